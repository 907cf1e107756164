"""Differences between two analyses of the same faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from facebank.types import Face

    FacePairs: TypeAlias = Sequence[tuple[Face, Face]]
    """Each face in the first analysis and in the second one."""


def count_different_decisions(pairs: FacePairs) -> int:
    """Return the number of faces with a different name, decision or reason."""
    return sum(
        (first.person, first.decision, first.reason) != (second.person, second.decision, second.reason)
        for first, second in pairs
    )


def largest_box_difference(pairs: FacePairs) -> float:
    """Return the largest difference of a box coordinate in pixels, 0 without faces."""
    return max((float(np.abs(np.subtract(first.box, second.box)).max()) for first, second in pairs), default=0.0)


def embedding_similarities(pairs: FacePairs) -> list[float]:
    """Return the similarity of the two embeddings of each face, -1..1."""
    return [float(first.embedding @ second.embedding) for first, second in pairs]
