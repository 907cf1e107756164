"""HTML pages: complete, private, escaped, limited in size, and never replacing other files."""

from __future__ import annotations

import os
import re
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from facebank.album import pages
from facebank.album.finding import FoundPhoto, KnownPerson
from facebank.album.pages import FaceFrame, figure, link, new_page, write_found_page
from facebank.errors import StorageError, UsageError
from facebank.media import read_photo
from tests.demo_photos import COLLINS, SPEECH
from tests.page_parser import PageParser
from tests.recorder import Recorder

HOSTILE = "</title><script>alert(1)</script>\"'&\u202egpj"


def require_harmless(page: PageParser) -> None:
    """Check that a page has no scripts and no requests."""
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "embed", "form", "link", "base"})
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.attributes("img", "src"))
    assert all(target.startswith("file:///") for target in page.attributes("a", "href"))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page.attributes("meta", "content")


def found_photo(path: Path, when: datetime | None, *, camera_dated: bool, name: str = "Ada") -> FoundPhoto:
    content_hash = read_photo(path).content_hash if path.exists() else "0" * 64
    people = (KnownPerson(name, 0.9996, (10, 10, 50, 50)), KnownPerson("Grace", None))
    return FoundPhoto(str(path), when, people, camera_dated, content_hash=content_hash)


def write_page(path: Path, text: str) -> None:
    with new_page(path, HOSTILE) as add:
        add(text)


def test_a_page_is_harmless_and_private_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for text in ("first", "second"):
        write_page(path, text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = PageParser(path.read_text("utf-8"))
    require_harmless(page)
    assert "second" in page.texts
    assert "first" not in page.texts


def test_an_unfinished_page_does_not_replace_a_complete_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "first")
    before = path.read_bytes()
    with pytest.raises(KeyError), new_page(path, "Second"):
        raise KeyError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_only_pages_of_facebank_are_replaced(tmp_path: Path) -> None:
    diary, link_path = tmp_path / "diary.html", tmp_path / "link.html"
    write_page(tmp_path / "page.html", "first")
    diary.write_text("Dear diary")
    link_path.symlink_to(tmp_path / "page.html")
    for path in (diary, link_path, tmp_path):
        with pytest.raises(UsageError, match="not a page written by facebank"), new_page(path, "Page"):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary.html", "link.html", "page.html"]
    assert diary.read_text() == "Dear diary"


def test_a_page_in_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"), new_page(tmp_path / "none" / "page.html", "Page"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_file_names_are_escaped_links() -> None:
    path = os.fsdecode(b"/a b/<b onclick=x>#?%\"'\xff.jpg")
    page = PageParser(link(path))
    (target,) = page.attributes("a", "href")
    assert unquote_to_bytes(urlsplit(target).path) == os.fsencode(path)
    assert [tag for tag, _ in page.tags] == ["a"]
    assert PageParser(link("<bytes>")).tags == []
    captioned = PageParser(
        figure(b"\xff\xd8\xff", HOSTILE, link(path), [HOSTILE], frames=[FaceFrame(HOSTILE, (0.1, 0.2, 0.3, 0.4))])
    )
    assert [tag for tag, _ in captioned.tags] == ["li", "figure", "span", "img", "i", "figcaption", "a", "span"]
    assert captioned.attributes("i", "style") == ["left:10.00%;top:20.00%;width:30.00%;height:40.00%"]
    assert not any("\u202e" in text for text in captioned.texts)


def test_found_photos_are_grouped_by_year_and_month_with_file_dates_last(tmp_path: Path) -> None:
    path = COLLINS
    replaced, gone = tmp_path / "<img src=x onerror=y>.jpg", tmp_path / "gone.jpg"
    shutil.copy(SPEECH, replaced)
    changed = found_photo(replaced, datetime(2019, 6, 2), camera_dated=True)
    shutil.copy(path, replaced)
    recorder = Recorder()
    write_found_page(
        [
            found_photo(path, datetime(2012, 5, 17), camera_dated=True, name=HOSTILE),
            found_photo(path, datetime(2018, 1, 1, tzinfo=UTC), camera_dated=False),
            changed,
            found_photo(gone, datetime(2019, 7, 1), camera_dated=True),
            found_photo(path, datetime(2000, 1, 1), camera_dated=False),
        ],
        f"Photos of {HOSTILE}",
        tmp_path / "page.html",
        recorder,
    )
    text = (tmp_path / "page.html").read_text("utf-8")
    page = PageParser(text)
    require_harmless(page)
    assert re.findall(r"<h[23]>(.*?)</h[23]>", text) == [
        *("2012", "May", "2019", "June", "July", "2018, by the files&#x27; dates", "January", "Without a date"),
    ]
    assert recorder.advances == 5
    assert len(page.attributes("img", "src")) == len(page.attributes("i", "style")) == 3
    assert all(len(source) < 100_000 for source in page.attributes("img", "src"))
    assert any(line.endswith("has changed since it was scanned: scan again") for line in page.texts)
    assert any("gone.jpg" in line and "no photo" in line for line in page.texts)
    assert "Ada 0.999, Grace" in page.texts


def test_a_page_has_a_limited_number_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PICTURES", 2)
    photo = found_photo(COLLINS, datetime(2019, 6, 1), camera_dated=True)
    write_found_page([photo] * 5, "Photos of Ada", tmp_path / "page.html")
    page = PageParser((tmp_path / "page.html").read_text("utf-8"))
    assert (len(page.attributes("img", "src")), len(page.attributes("a", "href"))) == (2, 5)
    assert any(text.startswith("5 photos, the first 2 with pictures") for text in page.texts)
