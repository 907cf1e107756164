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

from benchmarks.robustness.serving import run_service
from facebank import FaceBank


class Picture(NamedTuple):
    """A screenshot: name, URL path, window size, color scheme, and whether the whole page is captured."""

    name: str
    where: str
    width: int
    height: int
    dark: bool = False
    whole: bool = False


PROJECT = Path(__file__).resolve().parents[1]
DEMO_PHOTOS = PROJECT / "facebank" / "demo" / "photos"
PAGES = PROJECT / "docs" / "pages"
PEOPLE = {"Barack": ("barack_obama_portrait_2012.jpg", "barack_obama_speech.jpg"), "Joe": ("joe_biden_blue_room.jpg",)}
PICTURES = (
    Picture("people", "/", 1280, 800),
    Picture("people-dark", "/", 1280, 800, dark=True),
    Picture("people-phone", "/", 390, 844),
    Picture("person", "/people/1", 1280, 800),
    Picture("who", "/who", 1280, 800),
    Picture("who-dark", "/who", 1280, 800, dark=True),
    Picture("who-phone", "/who", 390, 844, whole=True),
    Picture("photo", "PHOTO", 1280, 800),
    Picture("photo-dark", "PHOTO", 1280, 800, dark=True),
    Picture("settings", "/settings", 1280, 1100),
)
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def draw(browser: Browser, address: str, picture: Picture) -> None:
    """Take one screenshot."""
    size: ViewportSize = {"width": picture.width, "height": picture.height}
    page = browser.new_page(viewport=size, color_scheme="dark" if picture.dark else "light")
    where = picture.where
    if where == "PHOTO":
        page.goto(f"{address}/people/1", wait_until="networkidle")
        where = page.locator('main a[href^="/photo"]').first.get_attribute("href") or "/"
    page.goto(address + where, wait_until="networkidle")
    page.wait_for_timeout(1500)
    drawn = Image.open(io.BytesIO(page.screenshot(full_page=picture.whole)))
    drawn.convert("RGB").save(PAGES / f"{picture.name}.webp", quality=85, method=6)
    page.close()


def main() -> None:
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FACEBANK_CACHE"] = str(Path(folder) / "cache")
        album, gallery = Path(folder) / "Pictures", Path(folder) / "family.facebank"
        album.mkdir()
        for photo in DEMO_PHOTOS.glob("*.jpg"):
            shutil.copy2(photo, album)
        with FaceBank.open(gallery) as bank:
            for name, photos in PEOPLE.items():
                bank.enroll(name, [album / photo for photo in photos])
        with run_service(gallery, "--album", str(album)) as service, sync_playwright() as player:
            httpx.post(f"{service.address}/api/v1/album/scan", trust_env=False).raise_for_status()
            while httpx.get(f"{service.address}/api/v1/album/scan", trust_env=False).json()["status"] != "done":
                time.sleep(0.2)
            time.sleep(5)  # until all of it is decided
            browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
            for picture in PICTURES:
                draw(browser, service.address, picture)
            browser.close()


if __name__ == "__main__":
    main()
