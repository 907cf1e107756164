"""``facebank import``: enrolls people from other programs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facebank.errors import UsageError
from facebank.schemas.records import imported_record
from facebank.storage.text import pluralize, printable

from .exit_codes import SOME_FAILED
from .global_options import global_options
from .help_layout import CommandApp
from .options import AsJson, Force, Thumbnails
from .output import say, write_json, write_line
from .progress import ProgressBar

if TYPE_CHECKING:
    from facebank.operations.import_compreface import ImportedExample

EXAMPLES = """\b
Examples:
  facebank import compreface http://192.168.1.5:8000 --key-file key.txt
  facebank import compreface https://faces.example.org KEY

The key can also be in the environment variable FACEBANK_COMPREFACE_KEY, because other users of this machine can see
the arguments of a command.

Exit codes: 0 every example was imported, 1 some were refused, 2 wrong usage or no answer from the service, 130
interrupted."""

_MAX_KEY_BYTES = 2_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = CommandApp(help="Import people from other programs.", no_args_is_help=True)
    group.callback()(_group)
    group.command("compreface", epilog=EXAMPLES)(compreface)
    app.add_typer(group, name="import", epilog=EXAMPLES)


def _group() -> None:
    """Import people from other programs."""


def compreface(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", show_default=False, help="URL of the service.")],
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            envvar="FACEBANK_COMPREFACE_KEY",
            show_default=False,
            show_envvar=False,
            help="API key of a recognition service.",
        ),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A file with the key on its only line.")] = None,
    thumbnails: Thumbnails = True,
    force: Force = False,
    as_json: AsJson = False,
) -> int:
    """Enroll the people of a CompreFace service.

    People are enrolled from the example images that the service stores; the service is not changed. Run the command
    again to continue after an interruption, or to add only new examples.
    """
    if key_file is not None:
        key = _read_key(key_file)
    if not key:
        raise UsageError("the key of the service is missing: name a file with the key with --key-file")
    if url.startswith("http://") and not url.startswith(("http://localhost", "http://127.0.0.1", "http://[::1]")):
        say("the URL is not https: others in the network can read the key and the photos")
    terms = global_options(ctx).first_use_terms()
    with global_options(ctx).open_bank(long_running=True) as bank, _ImportProgress(writes_lines=as_json) as progress:
        bank.preload()
        try:
            results = bank.import_compreface(url, key, thumbnails=thumbnails, force=force, progress=progress)
        except KeyboardInterrupt as error:
            done = pluralize(progress.imported, "example")
            raise KeyboardInterrupt(f"{done} imported; run the command again to continue") from error
    if terms is not None and progress.imported:
        say(terms)
    if not as_json:
        _print_summary(results)
    return 0 if all(result.accepted or result.image_id is None for result in results) else SOME_FAILED


class _ImportProgress(ProgressBar):
    """Progress that prints the result of each example and counts the imported ones."""

    imported = 0

    def report(self, result: object) -> None:
        """Print an `ImportedExample`."""
        example = cast("ImportedExample", result)
        self.imported += example.accepted
        if self.writes_lines:
            write_json(imported_record(example))
        elif not example.accepted:
            say(f"{example.subject}: {example.image_id or 'no example'}: {example.detail}")


def _print_summary(results: list[ImportedExample]) -> None:
    accepted = [result for result in results if result.accepted]
    reasons = Counter(result.reason for result in accepted)
    refused = sum(not result.accepted and result.image_id is not None for result in results)
    people = pluralize(len({result.person for result in accepted}), "person", "people")
    line = f"{pluralize(reasons['enrolled'], 'example')} of {people} imported"
    before = f", {reasons['already_enrolled']:,} enrolled before" if reasons["already_enrolled"] else ""
    write_line(f"{line}{before}{f', {refused:,} refused' if refused else ''}")


def _read_key(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            key = stream.read(_MAX_KEY_BYTES + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{printable(str(path))} cannot be read: --key-file takes a file with the key") from error
    if len(key) > _MAX_KEY_BYTES or "\n" in key:
        raise UsageError(f"{printable(str(path))} has no key: --key-file takes a file with the key on its only line")
    return key
