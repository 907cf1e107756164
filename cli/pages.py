"""HTML pages of pictures that commands write and open in a browser."""

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
    bool, typer.Option("--open", help="Open the page in the browser; without --out it goes to your cache folder.")
]


def write_page(
    gallery: Gallery,
    out: Path | None,
    write: Callable[[Path, ProgressBar], None],
    *,
    open_page: bool,
    writes_lines: bool,
) -> None:
    """Write a page, print its path and open it; no-op without --out and --open.

    Parameters
    ----------
    gallery
        Gallery of the people on the page. It records the page, so that ``facebank people forget`` lists it, or
        wipes it if it is in the cache.
    out
        Path of the page; None for one in the cache.
    write
        Writes the page to a file, with progress.
    open_page
        Whether to open the page in the browser.
    writes_lines
        As in `ProgressBar`.
    """
    from contextlib import suppress

    from facebank.errors import GalleryError, StorageError
    from facebank.gallery import PlaceKind
    from facebank.gallery.derived import page_file

    if out is None and not open_page:
        return
    if out is None:
        target = page_file(gallery.path)
        with suppress(GalleryError, StorageError):  # nobody can be forgotten in a read-only gallery
            gallery.note_place()
    else:
        target = out
        gallery.note_written(PlaceKind.PAGE, out)
    with ProgressBar(writes_lines=writes_lines) as bar:
        write(target, bar)
    say(f"page: {target}")
    if open_page and not _open_in_browser(target):
        say("no browser could be started: open the page by hand")


def _open_in_browser(page: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(page.absolute().as_uri())
    except (webbrowser.Error, OSError):
        return False
