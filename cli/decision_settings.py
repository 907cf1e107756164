"""``facebank settings``: how this gallery's decisions are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .output import write_json, write_table
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.settings import Setting

Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", show_default=False)]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, one object a setting.")]

EXPLAINED = """\b
fpir            share of strangers that may be given a name, 0.001 to 0.2
classifier      auto, or one kind: prototype, knn, svm, svm-rbf, logistic
stranger_share  share of faces expected to be strangers', above 0 and below 1; probabilities depend on it"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    settings = typer.Typer(
        help="Show or change how this gallery's decisions are made.",
        invoke_without_command=True,
        rich_markup_mode=None,
        epilog=f"{EXPLAINED}\n\n\b\nExample:\n  facebank settings\n  facebank settings set fpir 0.001",
    )
    settings.callback()(settings_or_show)
    for name, command, example in (
        ("show", show, "show"),
        ("set", change, "set classifier knn"),
        ("unset", unset, "unset classifier"),
    ):
        settings.command(name, epilog=f"{EXPLAINED}\n\n\b\nExample:\n  facebank settings {example}")(command)
    app.add_typer(settings, name="settings")


def settings_or_show(ctx: typer.Context) -> int:
    """Show or change how this gallery's decisions are made."""
    return show(ctx) if ctx.invoked_subcommand is None else 0


def show(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Show all settings and their defaults."""
    from facebank.settings import list_settings

    with settings_of(ctx).open_gallery() as gallery:
        settings = list_settings(gallery)
    return _tell(settings, as_json=as_json)


def change(
    ctx: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Keep a setting in the gallery."""
    from facebank.settings import change_setting

    with settings_of(ctx).open_gallery() as gallery:
        setting = change_setting(gallery, key, value)
    return _tell([setting], as_json=as_json)


def unset(ctx: typer.Context, key: Key, as_json: AsJson = False) -> int:
    """Go back to the default of a setting."""
    from facebank.settings import unset_setting

    with settings_of(ctx).open_gallery() as gallery:
        setting = unset_setting(gallery, key)
    return _tell([setting], as_json=as_json)


def _tell(settings: Sequence[Setting], *, as_json: bool) -> int:
    if as_json:
        for one in settings:
            write_json({"key": one.key, "value": one.value, "default": one.default, "is_set": one.is_set})
    else:
        rows = [(one.key, str(one.value), str(one.default), "yes" if one.is_set else "no") for one in settings]
        write_table(("setting", "value", "default", "set"), rows)
    return 0
