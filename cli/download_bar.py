"""A bar of the bytes that have come down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebank.packs.download import Progress


@contextmanager
def download_bar(*, writes_lines: bool = False) -> Iterator[Progress | None]:
    """Show a bar on standard error while something is downloaded, if that is a terminal.

    Parameters
    ----------
    writes_lines
        Whether lines for programs are written; the bar stays away where both would go to the terminal.

    Yields
    ------
    Progress or None
        To be called with the bytes that are here and all bytes, if known; None where nothing is shown.
    """
    if not sys.stderr.isatty() or (writes_lines and sys.stdout.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("Downloading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("Downloading", total=None, visible=False)
        yield lambda here, total: bar.update(task, completed=here, total=total, visible=True)
