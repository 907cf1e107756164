"""Some people of a dataset only: those of a list, such as LFW's people for tuning or for reporting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.datasets.checking import broken, read_text
from facebank.evaluation.datasets.lfw import read_people
from facebank.storage.text import printable


def read_names(path: Path) -> frozenset[str]:
    """Read a list of people: ``people.txt`` or ``peopleDevTest.txt`` of LFW, or a name a line.

    Raises
    ------
    DatasetError
        It cannot be read, is broken, or names nobody.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    # People may have numbers for names: LFW's lists have a count behind each name.
    if lines and lines[0].isdecimal() and any("\t" in line for line in lines):
        return frozenset(person.name for person in read_people(path))
    names = frozenset(line.split("\t")[0].strip() for line in lines if line)
    if not names:
        raise broken(path, "the list of people is empty")
    return names


def only_named(dataset: Dataset, path: Path) -> Dataset:
    """Return the photos of the people that a list names; who is not in the dataset is told in `left_out`.

    Raises
    ------
    DatasetError
        The list is broken, or none of its people is in the dataset.
    """
    names = read_names(path)
    there = names & set(dataset.people)
    if not there:
        raise broken(path, f"none of its {len(names)} people is in {printable(dataset.title)}")
    some = dataset.of(there)
    missing = sorted(names - there)
    if not missing:
        return some
    why = f"{printable(missing[0])} and {len(missing) - 1} more" if len(missing) > 1 else printable(missing[0])
    note = LeftOut(path.name, f"{len(missing)} of {len(names)} people have no photos here: {why}")
    return replace(some, left_out=(*some.left_out, note))
