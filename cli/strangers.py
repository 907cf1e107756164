"""``facebank strangers``: lists and forgets faces that were marked as strangers'."""

from __future__ import annotations

from typing import Annotated

import typer

from facebank.schemas.records import round_coordinates

from .global_options import global_options
from .help_layout import CommandApp
from .options import AsJson, example
from .output import write_json, write_line, write_table


def register(app: typer.Typer) -> None:
    """Add the commands."""
    strangers = CommandApp(
        help="List or forget remembered strangers.\n\n'facebank deny --nobody' remembers a face as a stranger's.",
        no_args_is_help=True,
        epilog=example("strangers list"),
    )
    for name, command, arguments in (("list", list_strangers, "list"), ("forget", forget, "forget 3")):
        strangers.command(name, epilog=example(f"strangers {arguments}"))(command)
    app.add_typer(strangers, name="strangers")


def list_strangers(ctx: typer.Context, as_json: AsJson = False) -> int:
    """List the remembered strangers, with numbers and photos."""
    with global_options(ctx).open_gallery() as gallery:
        strangers = gallery.stranger_faces()
    if as_json:
        for stranger in strangers:
            write_json(
                {
                    "stranger_id": stranger.id,
                    "image": stranger.path,
                    "box": round_coordinates(stranger.face.box.tolist()),
                    "remembered_at": stranger.remembered_at.isoformat(),
                }
            )
    else:
        rows = [(str(stranger.id), stranger.path, stranger.remembered_at.date().isoformat()) for stranger in strangers]
        write_table(("stranger", "photo", "remembered"), rows)
    return 0


def forget(
    ctx: typer.Context,
    stranger_id: Annotated[
        int, typer.Argument(metavar="STRANGER", show_default=False, help="Its number in 'facebank strangers list'.")
    ],
    as_json: AsJson = False,
) -> int:
    """Remove a remembered stranger for good."""
    from .forgetting import report_leftovers

    with global_options(ctx).open_gallery() as gallery:
        forgotten = gallery.forget_stranger(stranger_id)
    if as_json:
        state = {"busy_readers": forgotten.busy_readers, "full_disk": forgotten.full_disk}
        write_json({"stranger_id": stranger_id, **state})
    else:
        write_line(f"stranger {stranger_id} is forgotten")
    report_leftovers(forgotten)
    return 0
