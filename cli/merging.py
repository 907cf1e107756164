"""``facebank people merge``, ``unmerge`` and ``split``: joins and separations of people."""

from __future__ import annotations

from typing import Annotated

import typer

from facebank.schemas.records import person_record
from facebank.storage.text import pluralize

from .global_options import global_options
from .options import AsJson, PersonName
from .output import say, write_json, write_line


def merge(
    ctx: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", show_default=False, help="The people to join with another.")
    ],
    into: Annotated[str, typer.Option(metavar="NAME", help="The person who gets the samples.")],
    force: Annotated[
        bool, typer.Option("--force", help="Join them although their samples look like two people.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Join people who are one person.

    Every sample is kept, and 'facebank people unmerge' undoes it.

    Refused if most faces of one person are unlike the other's or closer to a third person's, or if one photo shows
    both.
    """
    options = global_options(ctx)
    with options.open_gallery() as gallery:
        birth_dates = {person.name: person.born for person in map(gallery.person, names)}
        if force:
            person = gallery.merge(names, into)
    if not force:
        with options.open_bank() as bank:
            person = bank.merge(names, into)
    for name, birth_date in birth_dates.items():
        if birth_date not in (None, person.born):
            say(f"{name} was born {birth_date} and {person.name} {person.born}: the date of {person.name} is kept")
    if as_json:
        write_json(person_record(person))
    else:
        write_line(f"{person.name} now has {pluralize(person.sample_count, 'sample')}")
    return 0


def unmerge(ctx: typer.Context, name: PersonName, as_json: AsJson = False) -> int:
    """Undo the last merge into a person.

    The people who were joined are separate again, with the samples that they had.
    """
    with global_options(ctx).open_gallery() as gallery:
        separated = gallery.unmerge(name)
        person = gallery.person(name)
    for other in separated:
        if as_json:
            write_json(person_record(other))
        else:
            write_line(f"{other.name} is separate again, with {pluralize(other.sample_count, 'sample')}")
    if not as_json:
        write_line(f"{person.name} keeps {pluralize(person.sample_count, 'sample')}")
    return 0


def split(
    ctx: typer.Context,
    name: PersonName,
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

    Without numbers, the smaller half is moved if the samples form two halves that look like two people. 'facebank
    audit' finds such people; 'facebank people show' lists the numbers.
    """
    from facebank.operations.merge import find_half

    options, sample_ids = global_options(ctx), samples
    if not sample_ids:
        with options.open_bank() as bank:
            sample_ids = list(find_half(bank.gallery, name, bank.engine.thresholds.verify))
    with options.open_gallery() as gallery:
        new_person = gallery.split(name, into, sample_ids)
        person, moved = gallery.person(name), sorted(set(sample_ids))
    if as_json:
        write_json(
            {"person": person.name, "samples": person.sample_count, "into": new_person.name, "moved": list(moved)}
        )
    else:
        numbers = ", ".join(map(str, moved))
        write_line(
            f"{new_person.name} now has {pluralize(len(moved), 'sample')} of {person.name} ({numbers}); "
            f"{person.name} keeps {person.sample_count}"
        )
    return 0
