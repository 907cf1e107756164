"""``facebank import``: people from other programs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facebank.errors import UsageError
from facebank.schemas.records import imported_record
from facebank.storage.text import printable

from .failures import SOME_FAILED
from .formatting import CommandApp
from .options import AsJson
from .output import counted, say, write_json, write_line
from .progress import ProgressBar
from .settings import settings_of

if TYPE_CHECKING:
    from facebank.operations.import_compreface import ImportedExample

EXAMPLES = """\b
Examples:
  facebank import compreface http://192.168.1.5:8000 --key-file key.txt
  facebank import compreface https://faces.example.org KEY

The key may also be in the environment's FACEBANK_COMPREFACE_KEY: other users of this machine can see a command's
arguments.

Exit codes: 0 every example was taken, 1 some were not, 2 wrong usage or no service to ask, 130 interrupted."""

_LONGEST_KEY_FILE = 2_000  # bytes


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
    url: Annotated[str, typer.Argument(metavar="URL", show_default=False, help="Address of the service.")],
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            envvar="FACEBANK_COMPREFACE_KEY",
            show_default=False,
            show_envvar=False,
            help="Key of a recognition service there.",
        ),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with the key in its first line.")
    ] = None,
    thumbnails: Annotated[bool, typer.Option(help="Keep a small picture of each face in the gallery.")] = True,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enroll a face that is unlike the person's other faces, or similar to somebody else's."
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Enroll everybody whom a CompreFace service knows.

    People are enrolled from the example images that the service keeps. Nothing is changed there. Interrupted, the same
    command goes on; run again, it adds only what is new there.
    """
    if key_file is not None:
        key = _key_in(key_file)
    if not key:
        raise UsageError("the key of the service is missing: name a file that has it with --key-file")
    if url.startswith("http://") and not url.startswith(("http://localhost", "http://127.0.0.1", "http://[::1]")):
        say("the address is not https: the key and the photos can be read by others in the network")
    terms = settings_of(ctx).first_use()
    with settings_of(ctx).open_bank(works_long=True) as bank, _Shown(writes_lines=as_json) as shown:
        bank.preload()
        try:
            results = bank.import_compreface(url, key, thumbnails=thumbnails, force=force, progress=shown)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(f"{shown.taken:,} examples are taken; the same command goes on") from error
    if terms is not None and shown.taken:
        say(terms)
    if not as_json:
        _summarize(results)
    return 0 if all(result.accepted or result.image_id is None for result in results) else SOME_FAILED


class _Shown(ProgressBar):
    """Shows what became of each example, and counts those that are taken."""

    taken = 0

    def report(self, result: object) -> None:
        """Show an `ImportedExample`."""
        example = cast("ImportedExample", result)
        self.taken += example.accepted
        if self.writes_lines:
            write_json(imported_record(example))
        elif not example.accepted:
            say(f"{example.subject}: {example.image_id or 'no example'}: {example.detail}")


def _summarize(results: list[ImportedExample]) -> None:
    accepted = [result for result in results if result.accepted]
    reasons = Counter(result.reason for result in accepted)
    refused = sum(not result.accepted and result.image_id is not None for result in results)
    people = counted(len({result.person for result in accepted}), "person", "people")
    line = f"{counted(reasons['enrolled'], 'example')} of {people} imported"
    before = f", {reasons['already_enrolled']:,} were there already" if reasons["already_enrolled"] else ""
    write_line(f"{line}{before}{f', {refused:,} refused' if refused else ''}")


def _key_in(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            key = stream.read(_LONGEST_KEY_FILE + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{printable(str(path))} cannot be read: --key-file names a file with the key") from error
    if len(key) > _LONGEST_KEY_FILE or "\n" in key:
        raise UsageError(f"{printable(str(path))} holds no key: --key-file names a file with one line, the key")
    return key
