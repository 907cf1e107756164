"""Screenshots of the web page for the documentation, with the demo photos, written to ``docs/pages``.

    python -m benchmarks.page_pictures

Requires Debian's ``chromium`` and the extra ``test``. Review the results by eye.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx
from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from benchmarks.robustness.inputs import DEMO_PHOTOS
from benchmarks.robustness.serving import run_service
from facebank import FaceBank


class Screenshot(NamedTuple):
    """A screenshot to take."""

    name: str  # of the file, without suffix
    url_path: str  # or ``PHOTO`` for the first photo of the first person
    width: int  # of the window, in pixels
    height: int
    is_dark: bool = False  # color scheme
    is_full_page: bool = False  # beyond the window's height


PAGES = Path(__file__).resolve().parents[1] / "docs" / "pages"
PEOPLE = {"Barack": ("barack_obama_portrait_2012.jpg", "barack_obama_speech.jpg"), "Joe": ("joe_biden_blue_room.jpg",)}
SCREENSHOTS = (
    Screenshot("people", "/", 1280, 800),
    Screenshot("people-dark", "/", 1280, 800, is_dark=True),
    Screenshot("people-phone", "/", 390, 844),
    Screenshot("person", "/people/1", 1280, 800),
    Screenshot("who", "/who", 1280, 800),
    Screenshot("who-dark", "/who", 1280, 800, is_dark=True),
    Screenshot("who-phone", "/who", 390, 844, is_full_page=True),
    Screenshot("photo", "PHOTO", 1280, 800),
    Screenshot("photo-dark", "PHOTO", 1280, 800, is_dark=True),
    Screenshot("settings", "/settings", 1280, 1100),
)
CHROMIUM_ARGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def take_screenshot(browser: Browser, address: str, screenshot: Screenshot) -> None:
    """Take a screenshot and write it to `PAGES`."""
    size: ViewportSize = {"width": screenshot.width, "height": screenshot.height}
    page = browser.new_page(viewport=size, color_scheme="dark" if screenshot.is_dark else "light")
    url_path = screenshot.url_path
    if url_path == "PHOTO":
        page.goto(f"{address}/people/1", wait_until="networkidle")
        url_path = page.locator('main a[href^="/photo"]').first.get_attribute("href") or "/"
    page.goto(address + url_path, wait_until="networkidle")
    page.wait_for_timeout(1500)
    image = Image.open(io.BytesIO(page.screenshot(full_page=screenshot.is_full_page)))
    image.convert("RGB").save(PAGES / f"{screenshot.name}.webp", quality=85, method=6)
    page.close()


def main() -> None:
    """Take all screenshots."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FACEBANK_CACHE"] = str(Path(folder) / "cache")
        album, gallery = Path(folder) / "Pictures", Path(folder) / "family.facebank"
        album.mkdir()
        for path in DEMO_PHOTOS.glob("*.jpg"):
            shutil.copy2(path, album)
        with FaceBank.open(gallery) as bank:
            for name, file_names in PEOPLE.items():
                bank.enroll(name, [album / file_name for file_name in file_names])
        with run_service(gallery, "--album", str(album)) as service, sync_playwright() as playwright:
            httpx.post(f"{service.address}/api/v1/album/scan", trust_env=False).raise_for_status()
            while httpx.get(f"{service.address}/api/v1/album/scan", trust_env=False).json()["status"] != "done":
                time.sleep(0.2)
            time.sleep(5)  # until all faces are decided
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_ARGS))
            for screenshot in SCREENSHOTS:
                take_screenshot(browser, service.address, screenshot)
            browser.close()


if __name__ == "__main__":
    main()
