"""``facebank settings``: shows and changes the decision settings of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.schemas.records import setting_record

from .global_options import global_options
from .help_layout import CommandApp
from .options import example
from .output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from facebank.operations.identify import AlbumFacts
    from facebank.recognition.settings import Setting, Value

Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="A setting, as listed below.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write one JSON object for each setting.")]

SETTINGS_HELP = """\b
Settings:
fpir               target fraction of strangers who are given a name (false
                   positive identification rate), 0.001 to 0.2
classifier         auto, or one kind: prototype, knn, svm, svm-rbf, logistic
stranger_share     expected fraction of strangers' faces, above 0 and below 1;
                   probabilities depend on it
least_probability  minimum probability of a name, 0 or more and below 1
allow_twice        true or false: whether several faces of one photo may have
                   the same name, as in a collage
confusable_error   tolerated fraction of wrong names between people who look
                   alike, above 0 and at most 0.5"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    settings = CommandApp(
        help="Show or change the decision settings of the gallery.",
        invoke_without_command=True,
        epilog=f"{SETTINGS_HELP}\n\n{example('settings', 'settings set fpir 0.001')}",
    )
    settings.callback()(settings_or_show)
    for name, command, arguments in (
        ("show", show, "show"),
        ("set", change, "set classifier knn"),
        ("unset", unset, "unset classifier"),
    ):
        settings.command(name, epilog=f"{SETTINGS_HELP}\n\n{example(f'settings {arguments}')}")(command)
    app.add_typer(settings, name="settings")


def settings_or_show(ctx: typer.Context) -> int:
    """Show or change the decision settings of the gallery."""
    return show(ctx) if ctx.invoked_subcommand is None else 0


def show(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Show all settings and their defaults.

    Also shows the highest expected fraction of strangers named, which follows from all settings together.
    """
    from facebank.operations.identify import describe_others
    from facebank.recognition.settings import list_settings

    with global_options(ctx).open_gallery() as gallery:
        settings = list_settings(gallery)
    facts = _facts(ctx)
    if as_json:
        for setting in settings:
            record = setting_record(setting)
            if setting.key == "fpir":
                named = None if facts is None else facts.named
                record["strangers_named"] = None if named is None else named.fraction
                record["strangers_named_is_below"] = named is not None and named.is_below
                record["other_people"] = None if facts is None else facts.other_people
            write_json(record)
        return 0
    _print(settings, as_json=False)
    if facts is not None and facts.named is not None:
        fraction = f"{100 * facts.named.fraction:.2g} %"
        limit = f"below {fraction}" if facts.named.is_below else f"{fraction} at most"
        write_line(f"fraction of strangers named with this gallery, by fpir and least_probability together: {limit}")
        write_line(f"your album: {describe_others(facts.other_people, facts.unenrolled)}")
    return 0


def _facts(ctx: typer.Context) -> AlbumFacts | None:
    """Return facts about the album and its strangers; None, with a message, if the pack is not available."""
    from facebank.errors import FacebankError
    from facebank.operations.identify import album_facts

    with global_options(ctx).open_bank() as bank:
        try:
            return album_facts(bank.gallery, bank.engine, bank.settings)
        except FacebankError as error:
            say(f"the fraction of strangers named cannot be estimated without the pack: {error}")
            return None


def change(
    ctx: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False, help="Its new value.")],
    as_json: AsJson = False,
) -> int:
    """Change a setting of the gallery."""
    from facebank.recognition.settings import change_setting

    with global_options(ctx).open_gallery() as gallery:
        setting = change_setting(gallery, key, value)
    return _print([setting], as_json=as_json)


def unset(ctx: typer.Context, key: Key, as_json: AsJson = False) -> int:
    """Return a setting to its default."""
    from facebank.recognition.settings import unset_setting

    with global_options(ctx).open_gallery() as gallery:
        setting = unset_setting(gallery, key)
    return _print([setting], as_json=as_json)


def _print(settings: Sequence[Setting], *, as_json: bool) -> int:
    if as_json:
        for setting in settings:
            write_json(setting_record(setting))
    else:
        rows = [
            (setting.key, _value_text(setting.value), _value_text(setting.default), "yes" if setting.is_set else "no")
            for setting in settings
        ]
        write_table(("setting", "value", "default", "set"), rows)
    return 0


def _value_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
