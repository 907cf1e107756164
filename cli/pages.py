"""Pages of pictures that commands write, and show in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .output import say
from .progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.gallery import Gallery


PageOut: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="FILE.html", help="Write a page with the pictures.")
]
PageOpen: TypeAlias = Annotated[
    bool, typer.Option("--open", help="Open the page in the browser; without --out it is kept in your cache folder.")
]


def write_page(
    gallery: Gallery,
    out: Path | None,
    write: Callable[[Path, ProgressBar], None],
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
    write
        Writes it, with the progress of its pictures.
    opens
        Whether it is shown in the browser.
    writes_lines
        As for `ProgressBar`.
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
    with ProgressBar(writes_lines=writes_lines) as bar:
        write(target, bar)
    say(f"page: {target}")
    if opens and not _is_shown(target):
        say("no browser could be started: open the page by hand")


def _is_shown(page: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(page.absolute().as_uri())
    except (webbrowser.Error, OSError):
        return False
