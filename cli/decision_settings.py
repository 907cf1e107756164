"""``facebank settings``: how this gallery's decisions are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from facebank.schemas.records import setting_record

from .formatting import CommandApp
from .options import example
from .output import say, write_json, write_line, write_table
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.operations.identify import AlbumFacts
    from facebank.recognition.settings import Setting, Value

Key: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="A setting, as listed below.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Write one JSON object for each setting.")]

EXPLAINED = """\b
Settings:
fpir               largest fraction of strangers that may be given a name
                   (false positive identification rate), 0.001 to 0.2
classifier         auto, or one kind: prototype, knn, svm, svm-rbf, logistic
stranger_share     fraction of faces expected to be strangers', above 0 and
                   below 1; probabilities depend on it
least_probability  probability that a name must have as well, 0 or more and
                   below 1
allow_twice        true or false: whether several faces of one photo may have
                   one name, as in a collage
confusable_error   fraction of wrong names tolerated between people who look
                   alike, above 0 and at most 0.5"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    settings = CommandApp(
        help="Show or change how decisions are made in this gallery.",
        invoke_without_command=True,
        epilog=f"{EXPLAINED}\n\n{example('settings', 'settings set fpir 0.001')}",
    )
    settings.callback()(settings_or_show)
    for name, command, words in (
        ("show", show, "show"),
        ("set", change, "set classifier knn"),
        ("unset", unset, "unset classifier"),
    ):
        settings.command(name, epilog=f"{EXPLAINED}\n\n{example(f'settings {words}')}")(command)
    app.add_typer(settings, name="settings")


def settings_or_show(ctx: typer.Context) -> int:
    """Show or change how decisions are made in this gallery."""
    return show(ctx) if ctx.invoked_subcommand is None else 0


def show(ctx: typer.Context, as_json: AsJson = False) -> int:
    """Show all settings and their defaults.

    Also shown is the largest fraction of strangers that may be given a name by all settings together.
    """
    from facebank.operations.identify import described_others
    from facebank.recognition.settings import list_settings

    with settings_of(ctx).open_gallery() as gallery:
        settings = list_settings(gallery)
    facts = _facts(ctx)
    if as_json:
        for one in settings:
            record = setting_record(one)
            if one.key == "fpir":
                named = None if facts is None else facts.named
                record["strangers_named"] = None if named is None else named.share
                record["strangers_named_is_below"] = named is not None and named.is_below
                record["other_people"] = None if facts is None else facts.others
            write_json(record)
        return 0
    _tell(settings, as_json=False)
    if facts is not None and facts.named is not None:
        share = f"{100 * facts.named.share:.2g} %"
        told = f"below {share}" if facts.named.is_below else f"{share} at most"
        write_line(f"strangers given a name in this gallery, by fpir and least_probability together: {told}")
        write_line(f"your album: {described_others(facts.others, facts.in_scan)}")
    return 0


def _facts(ctx: typer.Context) -> AlbumFacts | None:
    """Return what decisions rest on; None where the pack that says so is not there."""
    from facebank.errors import FacebankError
    from facebank.operations.identify import album_facts

    with settings_of(ctx).open_bank() as bank:
        try:
            return album_facts(bank.gallery, bank.engine, bank.settings)
        except FacebankError as error:
            say(f"the share of strangers given a name is not known: {error}")
            return None


def change(
    ctx: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", show_default=False, help="Its new value.")],
    as_json: AsJson = False,
) -> int:
    """Keep a setting in the gallery."""
    from facebank.recognition.settings import change_setting

    with settings_of(ctx).open_gallery() as gallery:
        setting = change_setting(gallery, key, value)
    return _tell([setting], as_json=as_json)


def unset(ctx: typer.Context, key: Key, as_json: AsJson = False) -> int:
    """Return a setting to its default."""
    from facebank.recognition.settings import unset_setting

    with settings_of(ctx).open_gallery() as gallery:
        setting = unset_setting(gallery, key)
    return _tell([setting], as_json=as_json)


def _tell(settings: Sequence[Setting], *, as_json: bool) -> int:
    if as_json:
        for one in settings:
            write_json(setting_record(one))
    else:
        rows = [(one.key, _shown(one.value), _shown(one.default), "yes" if one.is_set else "no") for one in settings]
        write_table(("setting", "value", "default", "set"), rows)
    return 0


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
