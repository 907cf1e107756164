"""``facebank people split`` and ``unmerge``: one person who is two."""

from __future__ import annotations

from typing import Annotated

import typer

from facebank.schemas.records import person_record

from .options import AsJson
from .output import counted, write_json, write_line
from .people import Name
from .settings import settings_of


def split(
    ctx: typer.Context,
    name: Name,
    into: Annotated[str, typer.Option(metavar="NAME", help="The name of the new person.")],
    samples: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="SAMPLE...", show_default=False, help="Numbers of samples, from 'facebank people show'."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Move some samples of a person to a new person.

    Without numbers of samples, those of the smaller half go where the samples are in two halves that look like two
    people; 'facebank audit' finds those, and 'facebank people show' lists the numbers.
    """
    from facebank.operations.merge import find_half

    settings, numbers = settings_of(ctx), samples
    if not numbers:
        with settings.open_bank() as bank:
            numbers = list(find_half(bank.gallery, name, bank.engine.thresholds.verify))
    with settings.open_gallery() as gallery:
        new = gallery.split(name, into, numbers)
        person, moved = gallery.person(name), sorted(set(numbers))
    if as_json:
        write_json({"person": person.name, "samples": person.sample_count, "into": new.name, "moved": list(moved)})
    else:
        listed = ", ".join(map(str, moved))
        write_line(
            f"{new.name} has {counted(len(moved), 'sample')} of {person.name} now ({listed}); {person.name} keeps "
            f"{person.sample_count}"
        )
    return 0


def unmerge(ctx: typer.Context, name: Name, as_json: AsJson = False) -> int:
    """Undo the last merge into a person.

    Whoever was joined is a person again, with the samples from before.
    """
    with settings_of(ctx).open_gallery() as gallery:
        apart = gallery.unmerge(name)
        person = gallery.person(name)
    for each in apart:
        if as_json:
            write_json(person_record(each))
        else:
            write_line(f"{each.name} is apart again, with {counted(each.sample_count, 'sample')}")
    if not as_json:
        write_line(f"{person.name} keeps {counted(person.sample_count, 'sample')}")
    return 0
