"""Options that several protocols have, and how they open their data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets import Errata, only_named, open_dataset, read_errata
from facebank.evaluation.protocols import Option
from facebank.recognition.settings import DecisionSettings

ERRATA = "errata.txt"
"""Name of the file beside a list of pairs that documents label errors."""
USUAL_FPIR = DecisionSettings().fpir

Shots: TypeAlias = Annotated[
    Sequence[int], Option("--enrolled", "Photos enrolled of each person; may be repeated.", "K", least=1)
]
Enrolled: TypeAlias = Annotated[int, Option("--enrolled", "Photos enrolled of each person.", "K", least=1)]
Fpir: TypeAlias = Annotated[float, Option("--fpir", "Share of strangers that may be named, such as 0.01.", "RATE")]
Person: TypeAlias = Annotated[
    Sequence[str] | None, Option("--person", "One of the people to run on; may be repeated.", "NAME")
]
People: TypeAlias = Annotated[
    Path | None, Option("--people", "A list of the people to run on: LFW's, or a name a line; else everybody.", "FILE")
]
Pairs: TypeAlias = Annotated[
    Path | None, Option("--pairs", "A list of pairs of the folder's photos; else all, or many of them.", "FILE")
]
RelativesFile: TypeAlias = Annotated[
    Path | None,
    Option(
        "--relatives",
        "A list of pairs of people, tab- or comma-separated: name, name and, if wished, how they are related.",
        "FILE",
    ),
]


def open_everybody(data: Path) -> Dataset:
    """Return a dataset as it is; raises `DatasetError`."""
    return open_dataset(data)


def open_people(data: Path, people: People = None) -> Dataset:
    """Return a dataset, with the people of a list only where one is given; raises `DatasetError`."""
    dataset = open_dataset(data)
    return dataset if people is None else only_named(dataset, people)


def open_pairs(data: Path, pairs: Pairs = None, people: People = None) -> Dataset:
    """Return a dataset with the pairs of a list where one is given; raises `DatasetError`."""
    dataset = open_dataset(data) if pairs is None else open_dataset(pairs, data)
    return dataset if people is None else only_named(dataset, people)


def errata_beside(pairs: Path) -> Errata | None:
    """Return the documented label errors of the file beside a list of pairs; None without one."""
    listed = pairs.with_name(ERRATA)
    return read_errata(listed) if listed.is_file() else None
