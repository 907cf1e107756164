"""Pages about people: the photos that they are in, and the samples that they were taught with."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.pages import Mark, as_html, figure, link, new_page
from facebank.errors import PhotoError
from facebank.media import encode_thumbnail, read_photo, turn_photo
from facebank.storage.dates import shown_date
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import never_certain, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from facebank.album.finding import FoundPhoto, KnownPerson
    from facebank.gallery import Gallery
    from facebank.types import DecodedPhoto, Sample

MOST_PICTURES = 500
"""How many pictures a page shows, so that it stays one that a browser can hold; the others are links."""

_SIDE = 320  # pixels of a photo's longer side
_LONGEST_PICTURE = 1 << 18  # bytes: a sample's thumbnail has some thousand


def write_found_page(photos: Sequence[FoundPhoto], title: str, target: Path, progress: Progress = SILENT) -> None:
    """Write a page with the photos that somebody is in, by year and month; they are read again for it.

    Parameters
    ----------
    photos
        As `facebank.album.finding.photos_of` sorts them. Those without a camera's date follow, by their files'.
    title
        Of the page.
    target
        The page: see `facebank.album.pages.new_page`.
    progress
        Advanced with each photo.

    Raises
    ------
    UsageError
        Another file is there.
    StorageError
        It cannot be written.
    """
    ordered = sorted(photos, key=lambda photo: (not photo.camera_dated, not _date(photo)))  # stable: oldest first
    left = MOST_PICTURES
    progress.begin("Drawing", len(ordered))
    with new_page(
        target, title, f"<p>{_counted(photos)}. Names of files lead to the photos on this computer.</p>\n"
    ) as add:
        for year, of_year in groupby(ordered, _year):
            add(f"<section>\n<h2>{as_html(year)}</h2>\n")
            for month, of_month in groupby(of_year, _month):
                add(f'<h3>{month}</h3>\n<ol class="photos">\n' if month else '<ol class="photos">\n')
                for photo in of_month:
                    add(_photo_figure(photo, drawn=left > 0))
                    left -= 1
                    progress.advance()
                add("</ol>\n")
            add("</section>\n")


def write_samples_page(
    gallery: Gallery,
    name: str,
    samples: Sequence[Sample],
    target: Path,
    progress: Progress = SILENT,
) -> None:
    """Write a page with the faces that somebody was taught with.

    Parameters
    ----------
    gallery
        Keeps the small pictures; where it has none, the face is cut out of its photo.
    name
        The person's.
    samples
        The person's samples.
    target
        The page: see `facebank.album.pages.new_page`.
    progress
        Advanced with each sample.

    Raises
    ------
    UsageError
        Another file is there.
    StorageError
        It cannot be written.
    """
    introduction = (
        f"<p>{len(samples):,} {'sample' if len(samples) == 1 else 'samples'}. A sample that is wrong goes with "
        "<code>facebank people remove-sample NUMBER</code>.</p>\n"
    )
    progress.begin("Drawing", len(samples))
    with new_page(target, f"Samples of {name}", introduction) as add:
        add('<section>\n<ol class="faces">\n')
        for place, sample in enumerate(samples):
            add(_sample_figure(gallery, sample, drawn=place < MOST_PICTURES))
            progress.advance()
        add("</ol>\n</section>\n")


def _counted(photos: Sequence[FoundPhoto]) -> str:
    text = f"{len(photos):,} {'photo' if len(photos) == 1 else 'photos'}"
    return text if len(photos) <= MOST_PICTURES else f"{text}, the first {MOST_PICTURES} with pictures"


def _date(photo: FoundPhoto) -> datetime | None:
    """Return when a photo was taken, if that can be true."""
    return photo.taken_at if shown_date(photo.taken_at, camera_dated=photo.camera_dated) else None


def _year(photo: FoundPhoto) -> str:
    date = _date(photo)
    if date is None:
        return "Without a date"
    return str(date.year) if photo.camera_dated else f"{date.year}, by the files' dates"


def _month(photo: FoundPhoto) -> str:
    date = _date(photo)
    return "" if date is None else f"{date:%B}"


def _photo_figure(photo: FoundPhoto, *, drawn: bool) -> str:
    when = shown_date(photo.taken_at, camera_dated=photo.camera_dated, time=True)
    lines = [when, ", ".join(map(_named, photo.people))]
    picture, marks = None, list[Mark]()
    if drawn:
        try:
            upright = _read(photo.path, photo.quarter_turns, photo.content_hash, photo.picture_hash)
            picture = encode_thumbnail(upright, np.array([0, 0, upright.width, upright.height], np.float32), _SIDE)
            marks = [mark for person in photo.people if (mark := _mark(person, upright)) is not None]
        except PhotoError as error:
            lines.append(str(error))
    names = ", ".join(person.name for person in photo.people)
    return figure(picture, f"Photo of {names}", link(photo.path), lines, marks=marks)


def _sample_figure(gallery: Gallery, sample: Sample, *, drawn: bool) -> str:
    lines = [
        shown_date(sample.taken_at, camera_dated=sample.camera_dated),
        f"quality {sample.quality:.2f}",
        "in a mask" if sample.masked else "",
    ]
    picture = gallery.thumbnail(sample.id) if drawn else None
    if picture is not None and not (len(picture) <= _LONGEST_PICTURE and picture.startswith(b"\xff\xd8\xff")):
        picture = None
    if drawn and picture is None:
        try:
            upright = _read(sample.path, sample.quarter_turns, sample.content_hash, sample.picture_hash)
            picture = encode_thumbnail(upright, sample.box)
        except PhotoError as error:
            lines.append(str(error))
    caption = f"<b>{sample.id}</b> {link(sample.path)}"
    return figure(picture, f"Sample {sample.id}", caption, lines)


def _read(path: str, quarter_turns: int, content_hash: str, picture_hash: str | None) -> DecodedPhoto:
    """Read a photo again as it was when its faces were found; `PhotoError` if it is another now."""
    photo = read_photo(path)
    if photo.content_hash != content_hash and (picture_hash is None or photo.picture_hash != picture_hash):
        raise PhotoError(f"{printable(path)} has changed since it was looked at")
    return turn_photo(photo, quarter_turns)


def _named(person: KnownPerson) -> str:
    return person.name if person.probability is None else f"{person.name} {never_certain(person.probability)}"


def _mark(person: KnownPerson, photo: DecodedPhoto) -> Mark | None:
    if person.box is None:
        return None
    across, down = photo.width, photo.height
    left, right = (min(max(edge / across, 0.0), 1.0) for edge in (person.box[0], person.box[2]))
    top, bottom = (min(max(edge / down, 0.0), 1.0) for edge in (person.box[1], person.box[3]))
    return Mark(person.name, (left, top, right - left, bottom - top))
