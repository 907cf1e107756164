"""Self-contained HTML pages of found photos, samples and groups of faces, which make no requests."""

from __future__ import annotations

import base64
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.finding import year_heading
from facebank.album.pictures import face_picture, read_unchanged
from facebank.errors import PhotoError, StorageError, UsageError
from facebank.media import encode_thumbnail
from facebank.storage.dates import format_photo_date
from facebank.storage.files import face_file_mode, new_file, write_reason
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import escape_html, label_with_probability, pluralize, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from facebank.album.finding import FoundPhoto, KnownPerson
    from facebank.album.groups.face_groups import Group
    from facebank.album.scan.scan_file import ScanFile
    from facebank.gallery import Gallery
    from facebank.types import DecodedPhoto, Sample

MAX_PICTURES = 500
"""Maximum number of pictures on a page, so that browsers can display it; further photos are links."""

MAX_GROUPS = 500
"""Maximum number of groups on a contact sheet, so that browsers can display it."""

MAX_GROUP_FACES = 12
"""Maximum number of faces of each group on a contact sheet."""

_PHOTO_SIDE = 320  # pixels of a photo's longer side
_FACE_SIDE = 112  # pixels of a face's longer side
_MAX_PICTURE = 1 << 18  # bytes; thumbnails of samples usually have a few thousand
_GENERATOR = '<meta name="generator" content="facebank">'
_HEAD_BYTES = 1000
_STYLE = """
:root { color-scheme: light dark; --quiet: #5b5b62; --line: #8886; --shade: #8882; --accent: #0065a0; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a9a9b2; --accent: #6fc0f0; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3, p { overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h2 { font-size: 1.2rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .5rem; color: var(--quiet); }
ol { display: flex; flex-wrap: wrap; gap: .75rem; list-style: none; margin: 0; padding: 0; }
a { color: var(--accent); }
figure { margin: 0; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere; }
figcaption { margin-top: .25rem; }
figcaption span { display: block; color: var(--quiet); }
.faces figure { width: 7rem; }
.faces img { display: block; width: 7rem; height: 7rem; object-fit: contain; background: var(--shade);
  border-radius: .3rem; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 100%), 1fr)); }
.photos .picture { position: relative; display: block; }
.photos img { display: block; width: 100%; height: auto; border-radius: .3rem; }
.picture i { position: absolute; border: 2px solid #fff; outline: 1px solid #000; border-radius: .2rem; }
code { background: var(--shade); padding: .1rem .3rem; border-radius: .2rem; }
@media (max-width: 30rem) {
  .photos { grid-template-columns: repeat(2, 1fr); }
  .faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(6rem, 1fr)); }
  .faces figure, .faces img { width: 100%; }
  .faces img { height: auto; aspect-ratio: 1; }
}
@media print { figure { break-inside: avoid; } }
"""
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
"""
_FOOT = """</body>
</html>
"""
_GROUPS_INTRODUCTION = """<p>Each group should be one person, the most typical faces first. Give a group a name with
<code>facebank people name NUMBER NAME</code>. If a group has two people, or two groups must not be joined, record it
with <code>facebank cluster --not-same 3.2 3.5</code>.</p>
"""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """The frame of a named face in a picture."""

    name: str
    box: tuple[float, float, float, float]  # left, top, width and height in fractions of the picture, 0..1


@contextmanager
def new_page(target: Path, title: str, introduction: str = "") -> Iterator[Callable[[str], object]]:
    """Write a page atomically, readable only by its owner. An existing file is replaced only if facebank wrote it.

    Parameters
    ----------
    target, title
        The file, and the page's title as text.
    introduction
        HTML below the title.

    Yields
    ------
    Callable
        Appends HTML to the page.

    Raises
    ------
    UsageError
        The file exists and was not written by facebank.
    StorageError
        The file cannot be written.
    """
    try:
        if os.path.lexists(target) and not _is_page(target):
            raise UsageError(
                f"{printable(str(target))} already exists and is not a page written by facebank: choose another name"
            )
        with new_file(target, mode=face_file_mode()) as part:
            page = TextIOWrapper(part.stream, encoding="utf-8", write_through=True)
            page.write(_HEAD.format(style=_STYLE, generator=_GENERATOR, title=escape_html(title)) + introduction)
            yield page.write
            page.write(_FOOT)
            page.detach()
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {write_reason(error)}") from error


def figure(
    picture: bytes | None,
    alternative: str,
    caption: str,
    lines: Sequence[str] = (),
    *,
    frames: Sequence[FaceFrame] = (),
) -> str:
    """Return an HTML list item with a picture and its caption.

    Parameters
    ----------
    picture, alternative
        A JPEG file or None, and its description as text.
    caption, lines
        HTML below the picture, and further lines as text.
    frames
        Faces to frame.
    """
    text = caption + "".join(f"<span>{escape_html(line)}</span>" for line in lines if line)
    image = "" if picture is None else _image(picture, alternative, frames)
    return f"<li><figure>{image}<figcaption>{text}</figcaption></figure></li>\n"


def link(path: str) -> str:
    """Return a file's name as an HTML link to the file; only the name if the path is not absolute.

    Examples
    --------
    >>> link("party.jpg")
    'party.jpg'
    """
    name = escape_html(Path(path).name or path)
    if not Path(path).is_absolute():
        return name
    return f'<a href="{escape_html(Path(path).as_uri())}" title="{escape_html(path)}">{name}</a>'


def _image(picture: bytes, alternative: str, frames: Sequence[FaceFrame]) -> str:
    overlay = "".join(
        f'<i style="left:{left:.2%};top:{top:.2%};width:{width:.2%};height:{height:.2%}" '
        f'title="{escape_html(frame.name)}"></i>'
        for frame in frames
        for left, top, width, height in [frame.box]
    )
    data = base64.b64encode(picture).decode("ascii")
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{escape_html(alternative)}">'
    return f'<span class="picture">{image}{overlay}</span>'


def _is_page(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return _GENERATOR.encode("ascii") in file.read(_HEAD_BYTES)


def write_found_page(photos: Sequence[FoundPhoto], title: str, target: Path, progress: Progress = SILENT) -> None:
    """Write a page with found photos by year and month, which are read again. Raises the errors of `new_page`.

    Parameters
    ----------
    photos
        Oldest first. The page shows photos without a camera's date last, by their files' dates.
    title, target
        As for `new_page`.
    progress
        Advanced with each photo.
    """
    ordered = sorted(photos, key=lambda photo: (not photo.camera_dated, not _date(photo)))  # stable: oldest first
    remaining = MAX_PICTURES
    progress.begin("Drawing", len(ordered))
    with new_page(
        target, title, f"<p>{_count_text(photos)}. Names of files lead to the photos on this computer.</p>\n"
    ) as add:
        for year, year_photos in groupby(ordered, _year):
            add(f"<section>\n<h2>{escape_html(year)}</h2>\n")
            for month, month_photos in groupby(year_photos, _month):
                add(f'<h3>{month}</h3>\n<ol class="photos">\n' if month else '<ol class="photos">\n')
                for photo in month_photos:
                    add(_photo_figure(photo, has_picture=remaining > 0))
                    remaining -= 1
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
    """Write a page with a person's samples. Raises the errors of `new_page`.

    Parameters
    ----------
    gallery
        The gallery with the thumbnails; a face without one is cropped from its photo.
    name, samples
        The person's name and samples.
    target
        As for `new_page`.
    progress
        Advanced with each sample.
    """
    introduction = (
        f"<p>{pluralize(len(samples), 'sample')}. Remove a wrong sample with "
        "<code>facebank people remove-sample NUMBER</code>.</p>\n"
    )
    progress.begin("Drawing", len(samples))
    with new_page(target, f"Samples of {name}", introduction) as add:
        add('<section>\n<ol class="faces">\n')
        for index, sample in enumerate(samples):
            add(_sample_figure(gallery, sample, has_picture=index < MAX_PICTURES))
            progress.advance()
        add("</ol>\n</section>\n")


def _count_text(photos: Sequence[FoundPhoto]) -> str:
    text = pluralize(len(photos), "photo")
    return text if len(photos) <= MAX_PICTURES else f"{text}, the first {MAX_PICTURES} with pictures"


def _date(photo: FoundPhoto) -> datetime | None:
    """Return when a photo was taken; None if the date is unknown or implausible."""
    return photo.taken_at if format_photo_date(photo.taken_at, camera_dated=photo.camera_dated) else None


def _year(photo: FoundPhoto) -> str:
    return year_heading(_date(photo), camera_dated=photo.camera_dated)


def _month(photo: FoundPhoto) -> str:
    date = _date(photo)
    return "" if date is None else f"{date:%B}"


def _photo_figure(photo: FoundPhoto, *, has_picture: bool) -> str:
    when = format_photo_date(photo.taken_at, camera_dated=photo.camera_dated, with_time=True)
    lines = [when, ", ".join(map(_name_text, photo.people))]
    picture, frames = None, list[FaceFrame]()
    if has_picture:
        try:
            upright = read_unchanged(photo.path, photo.quarter_turns, photo.content_hash, photo.picture_hash)
            picture = encode_thumbnail(
                upright, np.array([0, 0, upright.width, upright.height], np.float32), _PHOTO_SIDE
            )
            frames = [frame for person in photo.people if (frame := _face_frame(person, upright)) is not None]
        except PhotoError as error:
            lines.append(str(error))
    names = ", ".join(person.name for person in photo.people)
    return figure(picture, f"Photo of {names}", link(photo.path), lines, frames=frames)


def _sample_figure(gallery: Gallery, sample: Sample, *, has_picture: bool) -> str:
    lines = [
        format_photo_date(sample.taken_at, camera_dated=sample.camera_dated),
        f"quality {sample.quality:.2f}",
        "in a mask" if sample.masked else "",
    ]
    picture = gallery.thumbnail(sample.id) if has_picture else None
    if picture is not None and not (len(picture) <= _MAX_PICTURE and picture.startswith(b"\xff\xd8\xff")):
        picture = None
    if has_picture and picture is None:
        try:
            upright = read_unchanged(sample.path, sample.quarter_turns, sample.content_hash, sample.picture_hash)
            picture = encode_thumbnail(upright, sample.box)
        except PhotoError as error:
            lines.append(str(error))
    caption = f"<b>{sample.id}</b> {link(sample.path)}"
    return figure(picture, f"Sample {sample.id}", caption, lines)


def _name_text(person: KnownPerson) -> str:
    return label_with_probability(person.name, person.probability)


def _face_frame(person: KnownPerson, photo: DecodedPhoto) -> FaceFrame | None:
    if person.box is None:
        return None
    left, right = (min(max(edge / photo.width, 0.0), 1.0) for edge in (person.box[0], person.box[2]))
    top, bottom = (min(max(edge / photo.height, 0.0), 1.0) for edge in (person.box[1], person.box[3]))
    return FaceFrame(person.name, (left, top, right - left, bottom - top))


def write_contact_sheet(
    scan_file: ScanFile, groups: Sequence[Group], target: Path, progress: Progress = SILENT
) -> None:
    """Write a page with the `MAX_GROUPS` largest groups, whose photos are read again. Raises the errors of `new_page`.

    Parameters
    ----------
    scan_file, groups
        The scan, and its groups, largest first; up to `MAX_GROUP_FACES` faces of each are shown.
    target
        As for `new_page`.
    progress
        Advanced with each group.
    """
    progress.begin("Drawing", min(len(groups), MAX_GROUPS))
    with new_page(target, "People without a name", _GROUPS_INTRODUCTION) as add:
        for group in groups[:MAX_GROUPS]:
            add(_group_section(scan_file, group) + "\n")
            progress.advance()
        if len(groups) > MAX_GROUPS:
            add(f"<p>Smaller groups that are not shown: {len(groups) - MAX_GROUPS:,}.</p>\n")


def _group_section(scan_file: ScanFile, group: Group) -> str:
    faces = "".join(
        _face_figure(scan_file, face_id, f"{group.number}.{position}")
        for position, face_id in enumerate(group.faces[:MAX_GROUP_FACES], 1)
    )
    title = f"Group {group.number}: {pluralize(len(group.faces), 'face')} in {pluralize(group.photos, 'photo')}"
    if group.camera_dated:
        title += f", {group.first_taken:%Y-%m-%d} to {group.last_taken:%Y-%m-%d}"
    return f'<section id="group-{group.number}">\n<h2>{title}</h2>\n<ol class="faces">\n{faces}</ol>\n</section>'


def _face_figure(scan_file: ScanFile, face_id: int, label: str) -> str:
    photo, index = scan_file.locate_face(face_id)
    try:
        picture = face_picture(photo, index + 1, _FACE_SIDE)
    except PhotoError as error:
        return figure(None, "", f"{label}: {escape_html(str(error))}")
    return figure(picture, f"Face {label}", f"{label} {link(photo.path)}")
