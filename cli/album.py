"""``facebank album``: opens, shows and closes the scan that other commands read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebank.schemas.records import missing_shard_records

from .global_options import global_options
from .help_layout import CommandApp
from .options import AsJson, example
from .output import join_first, say, scan_line, write_json, write_line

if TYPE_CHECKING:
    from facebank.album.album import Album


ABOUT = """\b
The album is the scan that 'facebank find', 'cluster', 'sort', 'tags' and
'identify --scan' read: by default the one that 'facebank scan' writes.
'album open' selects another scan file or a folder of Parquet shards."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    album = CommandApp(
        help="Choose the scan that commands read.\n\n"
        "Parquet shards are read-only; 'facebank scan --merge' joins them into a scan.",
        no_args_is_help=True,
        epilog=f"{ABOUT}\n\n{example('album open shards/')}",
    )
    for name, command, arguments in (
        ("open", open_, "open shards/"),
        ("show", show, "show"),
        ("close", close, "close"),
    ):
        album.command(name, epilog=f"{ABOUT}\n\n{example(f'album {arguments}')}")(command)
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

    Commands that read the album then use it, unless --scan-file names another scan.
    """
    from facebank.album.album import Album

    with global_options(ctx).open_bank() as bank, Album(bank, path) as album:
        album.make_own()
        _show(album, as_json=as_json)
    return 0


def show(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Show the path of the album and its numbers of faces and photos."""
    from facebank.album.album import Album

    with global_options(ctx).open_bank() as bank, Album(bank) as album:
        _show(album, as_json=as_json)
    return 0


def close(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Return to the gallery's own scan.

    The scan or the shards that were open are not changed.
    """
    from facebank.album.scan_paths import close_album, default_scan_path

    with global_options(ctx).open_bank() as bank:
        was_open, default_path = close_album(bank.path), default_scan_path(bank.path)
    if as_json:
        write_json({"album": str(default_path), "closed": was_open})
    elif was_open:
        write_line(f"the album is {default_path} again")
    else:
        write_line(f"no other album was open; the album is {default_path}")
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
                "missing": missing_shard_records(content.missing),
            }
        )
        return
    for folder, missing in content.missing.items():
        say(f"missing shards of {folder}: {join_first(missing)}; scan them, and add their files to {content.path}")
    write_line(
        scan_line(
            content.path,
            faces=content.faces,
            photos=content.photos,
            files=content.files,
            parquet_shards=content.parquet_shards,
        )
    )
