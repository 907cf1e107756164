"""Confusion matrices and classification reports."""

import numpy as np

from facebank.evaluation.confusion import classification_report, confusion_matrix
from facebank.evaluation.searching import Searches


def searches(own: list[int], named: list[int], uncertain: list[bool]) -> Searches:
    many = len(own)
    return Searches(
        places=np.arange(many),
        own=np.array(own),
        named=np.array(named),
        first=np.array(named),
        uncertain=np.array(uncertain),
        acquired=np.ones(many, dtype=bool),
        similarities=np.zeros(many),
        probabilities=np.zeros(many),
    )


def test_strangers_and_uncertain_answers_have_their_places() -> None:
    found = searches([0, 0, 0, 1, -1, -1], [0, 1, -1, 1, 0, -1], [False, False, True, False, False, False])
    matrix = confusion_matrix(found, ("Ann", "Bob"), "who for whom")
    assert matrix.rows == ("Ann", "Bob", "nobody")
    assert matrix.columns == ("Ann", "Bob", "nobody", "uncertain")
    assert matrix.counts.tolist() == [[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0]]
    assert classification_report(matrix, "each").rows == (
        ("Ann", "50.00 %", "33.33 %", "40.00 %", "3"),
        ("Bob", "50.00 %", "100.00 %", "66.67 %", "1"),
    )


def test_without_strangers_there_is_no_row_of_them_and_nobody_named_has_no_precision() -> None:
    matrix = confusion_matrix(searches([0], [-1], [False]), ("Ann",), "who for whom")
    assert matrix.rows == ("Ann",)
    assert classification_report(matrix, "each").rows == (("Ann", "-", "0.00 %", "0.00 %", "1"),)
