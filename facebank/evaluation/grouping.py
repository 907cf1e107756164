"""Which group each photo belongs to, such as an age or a country: from a table, or from what the data say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError, InvalidNameError
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.datasets.checking import broken, shown
from facebank.evaluation.datasets.tables import read_table
from facebank.gallery.names import name_key, normalise_name
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.datasets.tables import Table

MOST_GROUPS = 20
LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which group each photo of a dataset belongs to.

    Attributes
    ----------
    column
        What the groups are of, such as ``age``.
    names
        The groups, sorted.
    of_photo
        The place among the names of each photo's, ``int64`` of shape ``(N,)``; -1 for none.
    left_out
        Rows of the table that could not be used.
    """

    column: str
    names: tuple[str, ...]
    of_photo: NDArray[np.int64]
    left_out: tuple[LeftOut, ...] = ()


def grouped_by(dataset: Dataset, column: str, by: Path | None = None) -> Grouping:
    """Put a dataset's photos into groups.

    Parameters
    ----------
    dataset
        Photos of named people.
    column
        Of the table, or a trait of the photos.
    by
        A table (CSV) with that column and one called ``person`` or ``photo``, which has the names that reports call
        photos; None for what the data say themselves.

    Raises
    ------
    DatasetError
        There is no such column, fewer than two groups or more than 20, or the table is broken.
    """
    if by is None:
        values, left_out = _traits(dataset, column), list[LeftOut]()
    else:
        values, left_out = _listed(dataset, column, by)
    names = tuple(sorted({value for value in values if value}))
    where = printable(str(by)) if by is not None else printable(dataset.title)
    if not 2 <= len(names) <= MOST_GROUPS:
        found = f"{len(names)} groups" if len(names) != 1 else "one group"
        why = " (put numbers into ranges)" if len(names) > MOST_GROUPS else ""
        raise DatasetError(
            f"{where}: the column {shown(column)} has {found} of people who are in the data, and 2 to {MOST_GROUPS} "
            f"can be compared{why}"
        )
    places = {name: place for place, name in enumerate(names)}
    of_photo = np.array([places.get(value, -1) for value in values], dtype=np.int64)
    return Grouping(printable(column), names, of_photo, tuple(left_out))


def _traits(dataset: Dataset, column: str) -> list[str]:
    there = sorted({name for photo in dataset.photos for name in photo.traits})
    if column not in there:
        has = f"; they have {', '.join(map(printable, there))}" if there else ""
        raise DatasetError(
            f"{printable(dataset.title)}: the data have no column {shown(column)}{has}: name a table with --by"
        )
    return [photo.traits.get(column, "")[:LONGEST_VALUE] for photo in dataset.photos]


def _listed(dataset: Dataset, column: str, by: Path) -> tuple[list[str], list[LeftOut]]:
    table = read_table(by, (column.strip().casefold(),))
    key = next((name for name in ("photo", "person") if name in table.columns), None)
    if key is None or key == column.strip().casefold():
        raise broken(by, "line 1: a column 'person' or 'photo' is needed beside the one of the groups")
    said, left_out = _values(by, table, key, column.strip().casefold())
    if key == "photo":
        keys = [photo.name for photo in dataset.photos]
    else:
        keys = ["" if photo.person is None else name_key(photo.person) for photo in dataset.photos]
    missing = [name for name in said if name not in set(keys)]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        left_out.append(LeftOut(by.name, f"it lists {shown(missing[0])}{more}, of whom the data have nothing"))
    return [said.get(name, "") for name in keys], left_out


def _values(by: Path, table: Table, key: str, column: str) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the group of each photo, or person by the key of the name."""
    said, left_out = dict[str, str](), list(table.left_out)
    for row in table.rows:
        name, value = row.values[key], printable(row.values[column][:LONGEST_VALUE])
        if key == "person":
            try:
                name = name_key(normalise_name(name))
            except InvalidNameError as error:
                left_out.append(LeftOut(f"line {row.line}", str(error).removesuffix(".")))
                continue
        if said.setdefault(name, value) != value:
            raise broken(by, f"line {row.line}: {shown(row.values[key])} is in two groups")
    return said, left_out
