"""``facebank album``: which scan the gallery's album is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .formatting import CommandApp
from .options import AsJson, example
from .output import counted, say, write_json, write_line
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.album.album import Album

_SHOWN = 12  # missing shards

ABOUT = """\b
The album is what 'facebank find', 'cluster', 'sort', 'tags' and 'identify
--scan' look through: the scan that 'facebank scan' makes, until another scan
file or a folder of Parquet shards is opened."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    album = CommandApp(
        help="Choose the scan that commands look through.\n\nShards are read only; 'facebank scan --merge' joins them.",
        no_args_is_help=True,
        epilog=f"{ABOUT}\n\n{example('album open shards/')}",
    )
    for name, command, words in (("open", open_, "open shards/"), ("show", show, "show"), ("close", close, "close")):
        album.command(name, epilog=f"{ABOUT}\n\n{example(f'album {words}')}")(command)
    app.add_typer(album, name="album")


def open_(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", show_default=False, help="Folder of Parquet shards, or a scan file."),
    ],
    as_json: AsJson = False,
) -> int:
    """Open a folder of Parquet shards, or a scan file, as the album.

    From then on all commands that look through an album use it, unless --scan-file names another.
    """
    from facebank.album.album import Album

    with settings_of(ctx).open_bank() as bank, Album(bank, path) as album:
        album.make_own()
        _show(album, as_json=as_json)
    return 0


def show(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Show which scan the album is, and what is in it."""
    from facebank.album.album import Album

    with settings_of(ctx).open_bank() as bank, Album(bank) as album:
        _show(album, as_json=as_json)
    return 0


def close(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Go back to the gallery's own scan.

    What was open stays as it is.
    """
    from facebank.album.own_album import close_album, default_scan_path

    with settings_of(ctx).open_bank() as bank:
        was_open, own = close_album(bank.path), default_scan_path(bank.path)
    if as_json:
        write_json({"album": str(own), "closed": was_open})
    elif was_open:
        write_line(f"the album is {own} again")
    else:
        write_line(f"no other album was open: it is {own}")
    return 0


def _show(album: Album, *, as_json: bool) -> None:
    content = album.content()
    if as_json:
        write_json(
            {
                "album": str(content.path),
                "kind": "scan" if content.parquet_shards is None else "shards",
                "parquet_shards": content.parquet_shards,
                "files": content.files,
                "photos": content.photos,
                "faces": content.faces,
                "missing": [
                    {"folder": place, "shard": str(shard)} for place, some in content.missing.items() for shard in some
                ],
            }
        )
        return
    for place, shards in content.missing.items():
        named = ", ".join(map(str, shards[:_SHOWN]))
        more = f" and {len(shards) - _SHOWN:,} more" if len(shards) > _SHOWN else ""
        say(f"of {place} these shards are not there yet: {named}{more}")
    faces, photos = counted(content.faces, "face"), counted(content.photos, "photo")
    shards_named = "" if content.parquet_shards is None else f", {counted(content.parquet_shards, 'Parquet shard')}"
    write_line(f"{content.path}: {faces} in {photos} ({counted(content.files, 'file')}{shards_named})")
