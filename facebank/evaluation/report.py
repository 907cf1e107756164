"""What a protocol found: figures, tables, pictures, and what could not be used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facebank.evaluation.dataset import LeftOut
    from facebank.evaluation.figures import Figure
    from facebank.types import RGBImage


PAIR_SCORES = ("first", "second", "same_person", "similarity")
SEARCH_SCORES = (
    "enrolled",
    "gallery",
    "photo",
    "person",
    "best_candidate",
    "named",
    "uncertain",
    "similarity",
    "probability",
)
"""The columns of scores, of pairs and of searches."""


def written_score(value: float) -> str:
    """Write a similarity or probability in six decimals; "" where there is none."""
    return f"{value:.6f}" if math.isfinite(value) else ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings.

    Attributes
    ----------
    title
        One line.
    headings
        One for each column.
    rows
        Each as long as the headings.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a plot.

    Attributes
    ----------
    label
        For the legend.
    x, y
        ``float64`` of shape ``(N,)``.
    low, high
        Its band, of the same shape; None for none.
    weights
        How much each point stands for, drawn as its size; None for points without.
    """

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Lines over the same axes.

    Attributes
    ----------
    title, x_label, y_label
        Plain words with units.
    lines
        What is drawn.
    x_scale, y_scale
        ``linear``, ``log``, or ``probit`` for the axes of a DET curve.
    diagonal
        Whether the line on which both axes are equal is drawn: chance, or perfect calibration.
    markers
        Points with their labels, such as the shipped threshold: label, x, y.
    note
        What is written into the picture where no line can be seen in it.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_scale: str = "linear"
    y_scale: str = "linear"
    diagonal: bool = False
    markers: tuple[tuple[str, float, float], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A confusion matrix: how often each row's person was decided to be each column's.

    Attributes
    ----------
    title
        One line.
    rows, columns
        Names; the columns may have ``nobody`` beside the people.
    counts
        ``int64`` of shape ``(rows, columns)``.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How values are spread, for several groups.

    Attributes
    ----------
    title, x_label
        Plain words.
    groups
        Label and values of each.
    """

    title: str
    x_label: str
    groups: tuple[tuple[str, NDArray[np.float64]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One error with what the engine saw.

    Attributes
    ----------
    first, second
        Names of the photos.
    faces
        The two aligned faces, RGB ``uint8`` of shape ``(S, S, 3)`` each.
    maps
        For each face how much the similarity falls where it is hidden, RGB ``uint8`` of the same shape; None for none.
    similarity
        Cosine.
    verdict
        One line: what was decided, and what is so.
    """

    first: str
    second: str
    faces: tuple[RGBImage, RGBImage]
    maps: tuple[RGBImage, RGBImage] | None
    similarity: float
    verdict: str


@dataclass(frozen=True, slots=True, eq=False)
class ContactSheet:
    """The hardest errors, side by side."""

    title: str
    cases: tuple[Evidence, ...]


Item: TypeAlias = "Table | Curves | Matrix | Histogram | ContactSheet"


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A part of a report.

    Attributes
    ----------
    title
        Heading.
    text
        Paragraphs for people.
    figures
        Which of the report's figures are shown here, by name.
    items
        Tables and pictures, in order.
    """

    title: str
    text: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast photos were looked at in this very run: read, searched for faces, and all faces embedded.

    Attributes
    ----------
    photos, faces
        How many, without those that were known from an earlier run.
    seconds
        How long it took.
    """

    photos: int
    faces: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a protocol found.

    Attributes
    ----------
    protocol
        Its name, as the command has it.
    title
        Heading.
    summary
        What was found, in a few plain sentences.
    seed
        What randomness started from.
    pack
        ``name``, ``digest``, ``title``, ``licence`` and what else tells what embedded the faces.
    dataset
        ``title``, ``photos``, ``people`` and what else tells what it was run on.
    figures
        By name: lower case, words joined by underscores.
    sections
        In order.
    failures
        Photos in which no face was found, or that could not be read, and whatever else was left out.
    failed_checks
        Titles of the checks of the harness that failed.
    scores
        Every comparison or search, under the headings `PAIR_SCORES` or `SEARCH_SCORES`; written where that is asked
        for, because names of people and files are in it. None where the protocol gives none.
    timing
        How fast photos were looked at; None where all were known.
    """

    protocol: str
    title: str
    summary: tuple[str, ...]
    seed: int
    pack: Mapping[str, str]
    dataset: Mapping[str, str | int]
    figures: Mapping[str, Figure]
    sections: Sequence[Section]
    failures: Sequence[LeftOut] = field(default=())
    failed_checks: Sequence[str] = field(default=())
    scores: Table | None = None
    timing: Timing | None = None
