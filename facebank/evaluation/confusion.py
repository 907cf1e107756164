"""Who was taken for whom, and how well each person was recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.report import Matrix, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.evaluation.searching import Searches

NOBODY_COLUMN = "nobody"
UNCERTAIN_COLUMN = "uncertain"


def confusion_matrix(searches: Searches, names: Sequence[str], title: str) -> Matrix:
    """Count whom each person's probes were decided to be; strangers have a row where there are any.

    Parameters
    ----------
    searches
        People are places in the names.
    names
        Of the enrolled people, as the gallery has them.
    title
        One line.
    """
    size = len(names)
    decided = np.where(searches.uncertain, size + 1, np.where(searches.named < 0, size, searches.named))
    shown = np.where(searches.mated, searches.own, size)
    counts = np.zeros((size + 1, size + 2), dtype=np.int64)
    np.add.at(counts, (shown, decided), 1)
    rows = (*names, NOBODY_COLUMN)
    if searches.mated.all():
        counts, rows = counts[:-1], rows[:-1]
    return Matrix(title, rows, (*names, NOBODY_COLUMN, UNCERTAIN_COLUMN), counts)


def classification_report(matrix: Matrix, title: str) -> Table:
    """Return precision, recall, F1 and support of each person; an uncertain or unknown answer is no recall.

    Parameters
    ----------
    matrix
        As `confusion_matrix` gives it; strangers who were named lower the precision.
    title
        One line.
    """
    people = matrix.columns[:-2]
    right = np.diagonal(matrix.counts)[: len(people)]
    answered, support = matrix.counts.sum(axis=0)[: len(people)], matrix.counts.sum(axis=1)[: len(people)]
    columns = _shares(right, answered), _shares(right, support), _shares(2 * right, answered + support)
    rows = tuple(
        (person, *(_percent(column[place]) for column in columns), f"{support[place]:,}")
        for place, person in enumerate(people)
    )
    return Table(title, ("person", "precision", "recall", "F1", "photos"), rows)


def person_by_person(searches: Searches, names: Sequence[str], title: str) -> tuple[Matrix, Table]:
    """Return both the confusion matrix and the classification report; parameters as of `confusion_matrix`."""
    matrix = confusion_matrix(searches, names, title)
    return matrix, classification_report(matrix, "Classification report")


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.2f} %"
