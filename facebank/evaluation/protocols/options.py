"""Command-line options and data openers shared by several protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets import Errata, open_dataset, read_errata, select_listed
from facebank.evaluation.protocols import Option
from facebank.recognition.settings import DecisionSettings

ERRATA = "errata.txt"
"""Name of the file of label errors, next to a list of pairs."""
DEFAULT_FPIR = DecisionSettings().fpir

Shots: TypeAlias = Annotated[
    Sequence[int], Option("--enrolled", "Photos enrolled of each person; may be repeated.", "K", minimum=1)
]
Enrolled: TypeAlias = Annotated[int, Option("--enrolled", "Photos enrolled of each person.", "K", minimum=1)]
Fpir: TypeAlias = Annotated[float, Option("--fpir", "Fraction of strangers that may get a name, such as 0.01.", "RATE")]
Person: TypeAlias = Annotated[
    Sequence[str] | None, Option("--person", "Use only this person; may be repeated.", "NAME")
]
People: TypeAlias = Annotated[
    Path | None, Option("--people", "Use only the people of this list (one name per line, or LFW's format).", "FILE")
]
Pairs: TypeAlias = Annotated[
    Path | None, Option("--pairs", "List of photo pairs to compare; default: pairs formed from the names.", "FILE")
]
RelativesFile: TypeAlias = Annotated[
    Path | None,
    Option(
        "--relatives",
        "List of related pairs, tab- or comma-separated: name, name, optionally the relation.",
        "FILE",
    ),
]


def open_all(data: Path) -> Dataset:
    """Open a dataset; raises `DatasetError`."""
    return open_dataset(data)


def open_people(data: Path, people: People = None) -> Dataset:
    """Open a dataset, optionally restricted to listed people; raises `DatasetError`."""
    dataset = open_dataset(data)
    return dataset if people is None else select_listed(dataset, people)


def open_pairs(data: Path, pairs: Pairs = None, people: People = None) -> Dataset:
    """Open a dataset, optionally with a list of pairs and restricted to listed people; raises `DatasetError`."""
    dataset = open_dataset(data) if pairs is None else open_dataset(pairs, data)
    return dataset if people is None else select_listed(dataset, people)


def find_errata(pairs: Path) -> Errata | None:
    """Return the label errors documented next to a list of pairs, None without such a file."""
    path = pairs.with_name(ERRATA)
    return read_errata(path) if path.is_file() else None
