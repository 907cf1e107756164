"""Comparing faces in masks: with samples as they look behind a mask, drawn or worn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.recognition.scoring import PrototypeScorer

if TYPE_CHECKING:
    from facebank.index.gallery_index import MaskedPeople

WORN_PENALTY = 0.12
"""What a score loses for a person all of whose samples wear a mask, and others by their share.

Two people in masks are more alike than bare. On LFW's development people with drawn masks, one photo bare and one in a
mask each, masked strangers above the threshold of bare ones fall from 6.3 to 1.0 % (1.5 % without the masked photo),
and masked photos that are missed from 18.2 to 11.6 %: ``python -m benchmarks.masked_samples``.
"""


def masked_scorer(people: MaskedPeople) -> PrototypeScorer:
    """Return what compares faces in masks with people."""
    index, worn_share = people
    return PrototypeScorer(index, WORN_PENALTY * worn_share if worn_share.any() else None)
