"""``facebank strangers``: the faces remembered as nobody's."""

from __future__ import annotations

from typing import Annotated

import typer

from .formatting import CommandApp
from .options import AsJson, example
from .output import write_json, write_line, write_table
from .settings import settings_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    strangers = CommandApp(
        help="List or forget faces remembered as nobody you know.\n\nThey come from 'facebank deny --nobody'.",
        no_args_is_help=True,
        epilog=example("strangers list"),
    )
    for name, command, words in (("list", list_strangers, "list"), ("forget", forget, "forget 3")):
        strangers.command(name, epilog=example(f"strangers {words}"))(command)
    app.add_typer(strangers, name="strangers")


def list_strangers(ctx: typer.Context, as_json: AsJson = False) -> int:
    """List the remembered strangers, with numbers and photos."""
    with settings_of(ctx).open_gallery() as gallery:
        strangers = gallery.stranger_faces()
    if as_json:
        for stranger in strangers:
            write_json(
                {
                    "stranger_id": stranger.id,
                    "image": stranger.path,
                    "box": [round(edge, 2) for edge in stranger.face.box.tolist()],
                    "remembered_at": stranger.remembered_at.isoformat(),
                }
            )
    else:
        rows = [(str(one.id), one.path, one.remembered_at.date().isoformat()) for one in strangers]
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
    from .forgetting import tell_what_is_left

    with settings_of(ctx).open_gallery() as gallery:
        forgotten = gallery.forget_stranger(stranger_id)
    if as_json:
        left = {"busy_readers": forgotten.busy_readers, "full_disk": forgotten.full_disk}
        write_json({"stranger_id": stranger_id, **left})
    else:
        write_line(f"stranger {stranger_id} is forgotten")
    tell_what_is_left(forgotten)
    return 0
