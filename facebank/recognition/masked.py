"""Comparing faces in masks: with samples as they look behind a mask, drawn or worn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.enrolled import Enrolled
from facebank.recognition.scoring import QUALITY_FLOOR, LinearScorer, PrototypeScorer, prototypes

if TYPE_CHECKING:
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray

WORN_PENALTY = 0.12
"""What a score loses for a person all of whose samples wear a mask, and others by their share.

Two people in masks are more alike than bare. On LFW's development people with drawn masks, one photo bare and one in a
mask each, masked strangers above the threshold of bare ones fall from 6.3 to 1.0 % (1.5 % without the masked photo),
and masked photos that are missed from 18.2 to 11.6 %: ``python -m benchmarks.masked_samples``.
"""


def masked_scorer(enrolled: Enrolled, mixed: FloatArray | None, worn: Enrolled | None) -> PersonScorer | None:
    """Return what compares faces in masks with people.

    Parameters
    ----------
    enrolled
        The samples that show a bare face.
    mixed
        The same with a drawn mask mixed in, ``(N, D)``; None where there are no drawn masks.
    worn
        Samples that wear a mask; those of people without a bare sample are passed over, because strangers in masks are
        too much like them. None for none.

    Returns
    -------
    PersonScorer | None
        For the same people as `enrolled`; None where masked faces are compared as others are.
    """
    known = np.zeros(0, dtype=np.bool_) if worn is None else np.isin(worn.person_ids, enrolled.people)
    if mixed is None and not known.any():
        return None
    bare = Enrolled(enrolled.matrix if mixed is None else mixed, enrolled.person_ids, enrolled.qualities)
    if worn is None or not known.any():
        return PrototypeScorer(bare)
    everything = Enrolled(
        np.concatenate([bare.matrix, worn.matrix[known]]),
        np.concatenate([bare.person_ids, worn.person_ids[known]]),
        np.concatenate([bare.qualities, worn.qualities[known]]),
    )
    weights = np.maximum(everything.qualities, QUALITY_FLOOR).astype(np.float64)
    masked = np.arange(everything.count) >= bare.count
    share = np.bincount(everything.owners, weights * masked) / np.bincount(everything.owners, weights)
    penalty = (WORN_PENALTY * share).astype(np.float32)
    return LinearScorer(everything.people, prototypes(everything), -penalty)
