"""Pages of pictures that commands write, and show in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .output import say
from .progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.gallery import Gallery

    from .progress import Advance

PageOut: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="FILE.html", help="Write a page with the pictures.")
]
PageOpen: TypeAlias = Annotated[
    bool, typer.Option("--open", help="Show the page in the browser; without --out it lies in the cache, yours alone.")
]


def write_page(
    gallery: Gallery,
    out: Path | None,
    count: int,
    write: Callable[[Path, Advance], None],
    *,
    opens: bool,
    writes_lines: bool,
) -> None:
    """Write a page, say where it is, and show it; no-op where nobody asked for one.

    Parameters
    ----------
    gallery
        Whose people it shows: whoever forgets one of them is told of the page, or it is wiped where it is in the cache.
    out
        The page; None for one in the cache.
    count
        How many pictures it has.
    write
        Writes it, and calls what it is given after each picture.
    opens
        Whether it is shown in the browser.
    writes_lines
        As for `progress`.
    """
    from contextlib import suppress

    from facebank.errors import GalleryError, StorageError
    from facebank.gallery import PlaceKind
    from facebank.gallery.derived import page_file

    if out is None and not opens:
        return
    if out is None:
        target = page_file(gallery.path)
        with suppress(GalleryError, StorageError):  # one who may only read the gallery forgets nobody in it
            gallery.note_place()
    else:
        target = out
        gallery.note_written(PlaceKind.PAGE, out)
    with progress("Drawing", count, writes_lines=writes_lines) as advance:
        write(target, advance)
    say(f"page: {target}")
    if opens and not _is_shown(target):
        say("no browser could be started: open the page by hand")


def _is_shown(page: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(page.absolute().as_uri())
    except (webbrowser.Error, OSError):
        return False
