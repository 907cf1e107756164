"""Clicks and seconds from an empty page to all photos of one person, in a real browser.

    python -m benchmarks.first_album ../shared

Serves an album of ``data/photos`` and 300 LFW photos (30 people with 10 photos each) with an empty gallery. In Debian's
``chromium`` it presses "Look through my photos", opens "Who is this?" and names the first person there. It confirms or
denies all further faces about which the page asks whether they are this person, names nobody else, and opens the
person's page. Before each click or key it waits two seconds, and a quarter of a second for each letter, as a person
would. Requires the extra ``test``. Writes ``benchmarks/reports/first_album.json``: the seconds of each step, the number
of clicks and keys, and how many photos of the person the page shows, by the labels of LFW.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.json_report import write_json_report
from benchmarks.page_pictures import CHROMIUM_ARGS
from benchmarks.robustness.serving import run_service

REPORT = Path(__file__).parent / "reports" / "first_album"  # without suffix
PEOPLE, PHOTOS = 30, 10
PAUSE, LETTER = 2.0, 0.25  # seconds before a click or key, and for each letter of a name
MAX_QUESTIONS = 20


@dataclass
class PageVisitor:
    """Acts on the page at the speed of a person, and counts and times the actions."""

    page: Page
    started: float = field(default_factory=time.monotonic)
    actions: int = 0  # clicks and keys
    seconds: dict[str, float] = field(default_factory=dict)  # since the start, by step

    def act(self, action: Callable[[], object]) -> None:
        """Pause, then click or press something."""
        self.page.wait_for_timeout(PAUSE * 1000)
        action()
        self.actions += 1

    def type_name(self, name: str) -> None:
        """Type a name at the speed of a person and press Enter."""
        self.act(lambda: self.page.keyboard.press("/"))
        self.page.keyboard.type(name, delay=LETTER * 1000)
        self.page.keyboard.press("Enter")
        self.actions += len(name) + 1

    def reach(self, step: str) -> None:
        """Record the seconds since the start."""
        self.seconds[step] = round(time.monotonic() - self.started, 1)


def make_album(data: Path, album: Path) -> dict[str, str]:
    """Copy the photos; return the person of each LFW photo by its SHA-256."""
    folders = sorted(folder for folder in (data / "lfw").iterdir() if len(list(folder.glob("*.jpg"))) >= PHOTOS)
    step = len(folders) // PEOPLE
    labels = dict[str, str]()
    for person_folder in folders[::step][:PEOPLE]:
        for path in sorted(person_folder.glob("*.jpg"))[:PHOTOS]:
            shutil.copyfile(path, album / path.name)
            labels[hashlib.sha256(path.read_bytes()).hexdigest()] = person_folder.name.replace("_", " ")
    shutil.copytree(data / "photos", album / "photos", copy_function=shutil.copyfile)
    return labels


def current_question(page: Page) -> tuple[str, str] | None:
    """Return the heading and the photo's hash of the question shown, or None if nothing is left to ask."""
    page.locator(".ask:not(.busy)").wait_for()
    page.locator("[data-question]:visible, [data-none]:visible").first.wait_for()
    if not page.locator("[data-question]").is_visible():
        return None
    source = page.locator("[data-face]").get_attribute("src") or ""
    return page.locator("#question").inner_text(), source.split("/")[3]


def find_person(visitor: PageVisitor, labels: dict[str, str]) -> dict[str, Any]:
    """Go from the empty page to the page of the first person asked about."""
    page = visitor.page
    visitor.act(lambda: page.get_by_role("button", name="Look through my photos").click())
    page.get_by_role("main").get_by_role("link", name="Who is this?").wait_for(timeout=180_000)
    visitor.reach("the photos are looked through")
    visitor.act(lambda: page.get_by_role("main").get_by_role("link", name="Who is this?").click())
    question = current_question(page)
    if question is None:
        raise RuntimeError(
            "The page asks no question; check that lfw/ and photos/ of the data contain photos with faces."
        )
    person = labels[question[1]]
    visitor.type_name(person)
    page.get_by_text(re.compile(r"Learned\.")).wait_for()
    visitor.reach("a name is given")
    for _ in range(MAX_QUESTIONS):
        question = current_question(page)
        if question is None or person not in question[0]:
            break
        visitor.act(partial(page.keyboard.press, "y" if labels.get(question[1]) == person else "n"))
    visitor.reach("the questions about the person are answered")
    visitor.act(lambda: page.get_by_role("link", name="People", exact=True).click())
    visitor.act(lambda: page.get_by_role("link", name=person).click())
    page.get_by_role("heading", name=person, level=1).wait_for()
    visitor.reach("the person's photos are shown")
    shown = {
        (link.get_attribute("href") or "").rsplit("/", 1)[-1]
        for link in page.locator(".photos a[href^='/photos/']").all()
    }
    hashes_of_person = {content_hash for content_hash, name in labels.items() if name == person}
    return {
        "seconds": visitor.seconds,
        "clicks_and_keys": visitor.actions,
        "photos_of_the_person": len(hashes_of_person),
        "shown_for_sure": len(shown & hashes_of_person),
        "wrong": len(shown - hashes_of_person),
        "perhaps": page.locator("[aria-labelledby=unsure] li").count(),
    }


def main() -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with data/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        album = Path(folder) / "Pictures"
        album.mkdir()
        labels = make_album(options.shared / "data", album)
        start = time.monotonic()
        gallery = Path(folder) / "family.facebank"
        with run_service(gallery, "--album", str(album)) as service, sync_playwright() as playwright:
            started = round(time.monotonic() - start, 1)
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_ARGS))
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(service.address, wait_until="load")
            report = {"start_of_the_service_seconds": started, **find_person(PageVisitor(page), labels)}
            browser.close()
    write_json_report(REPORT, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
