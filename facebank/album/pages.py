"""Pages of pictures to look at: one file each, nothing outside of it is needed, and it never calls anywhere."""

from __future__ import annotations

import base64
import os
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import StorageError, UsageError
from facebank.storage.files import face_file_mode, new_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a face is in a picture.

    Attributes
    ----------
    name
        Whose it is, as text.
    place
        Left, top, width and height, as shares of the picture's.
    """

    name: str
    place: tuple[float, float, float, float]


@contextmanager
def new_page(target: Path, title: str, introduction: str = "") -> Iterator[Callable[[str], object]]:
    """Write a page that appears complete or not at all. One of facebank's pages is replaced, no other file is.

    Parameters
    ----------
    target
        The page; its owner's alone.
    title
        Of the page, as text.
    introduction
        HTML that follows it.

    Yields
    ------
    Callable
        Adds HTML.

    Raises
    ------
    UsageError
        Another file is there.
    StorageError
        It cannot be written.
    """
    try:
        if os.path.lexists(target) and not _is_ours(target):
            raise UsageError(
                f"{printable(str(target))} is there already, and no page of pictures that facebank wrote: choose "
                "another name"
            )
        with new_file(target, mode=face_file_mode()) as part:
            page = TextIOWrapper(part.stream, encoding="utf-8", write_through=True)
            page.write(_HEAD.format(style=_STYLE, generator=_GENERATOR, title=as_html(title)) + introduction)
            yield page.write
            page.write(_FOOT)
            page.detach()
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {error.strerror or error}") from error


def figure(
    picture: bytes | None, alternative: str, caption: str, lines: Sequence[str] = (), *, marks: Sequence[Mark] = ()
) -> str:
    """Return an item of a list: a picture with what is said about it.

    Parameters
    ----------
    picture
        A JPEG file; None for none.
    alternative
        What it shows, as text.
    caption
        HTML of what stands below it.
    lines
        More lines below that, as text.
    marks
        Faces to frame.
    """
    below = caption + "".join(f"<span>{as_html(line)}</span>" for line in lines if line)
    shown = "" if picture is None else _image(picture, alternative, marks)
    return f"<li><figure>{shown}<figcaption>{below}</figcaption></figure></li>\n"


def link(path: str) -> str:
    """Return the name of a file as HTML that leads to the file; only its name where the path is not whole."""
    name = as_html(Path(path).name or path)
    if not Path(path).is_absolute():
        return name
    return f'<a href="{escape(Path(path).as_uri())}" title="{as_html(path)}">{name}</a>'


def as_html(text: str) -> str:
    """Return text from outside as HTML, what is invisible or turns the line around included."""
    return escape(printable(text), quote=True)


def _image(picture: bytes, alternative: str, marks: Sequence[Mark]) -> str:
    frames = "".join(
        f'<i style="left:{left:.2%};top:{top:.2%};width:{width:.2%};height:{height:.2%}" '
        f'title="{as_html(mark.name)}"></i>'
        for mark in marks
        for left, top, width, height in [mark.place]
    )
    data = base64.b64encode(picture).decode("ascii")
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{as_html(alternative)}">'
    return f'<span class="picture">{image}{frames}</span>'


def _is_ours(page: Path) -> bool:
    if not page.is_file() or page.is_symlink():
        return False
    with page.open("rb") as file:
        return _GENERATOR.encode("ascii") in file.read(_HEAD_BYTES)
