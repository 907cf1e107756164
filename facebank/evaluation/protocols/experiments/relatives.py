"""Brothers and sisters with photos in LFW, from general knowledge, and the rule that chooses two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import DatasetError
from facebank.evaluation.protocols.experiments.parts import photos_of
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.dataset import Dataset

SISTERS = (
    ("Ashley_Olsen", "Mary-Kate_Olsen", "twins"),
    ("Serena_Williams", "Venus_Williams", "siblings"),
)
BROTHERS = (
    ("Michael_Schumacher", "Ralf_Schumacher", "siblings"),
    ("George_W_Bush", "Jeb_Bush", "siblings"),
    ("Prince_William", "Prince_Harry", "siblings"),
    ("Enrique_Iglesias", "Julio_Iglesias_Jr", "siblings"),
    ("Lachlan_Murdoch", "James_Murdoch", "siblings"),
    ("Ralph_Fiennes", "Joseph_Fiennes", "siblings"),
)
_CLOSEST = ("twins", "siblings")

RULE = (
    "Twins before other siblings; of these the two of whom the one with fewer photos has most; each needs at least {} "
    "photos. A dataset of just two people is taken as it is."
)


def closest(dataset: Dataset, pairs: tuple[tuple[str, str, str], ...], least: int) -> tuple[tuple[str, str], str]:
    """Choose two relatives by the written rule.

    Returns
    -------
    tuple[tuple[str, str], str]
        The two, and how they are related; "" for a dataset of two people.

    Raises
    ------
    DatasetError
        No two have enough photos.
    """
    counts = photos_of(dataset)
    if len(counts) == 2:
        first, second = counts
        return (first, second), ""

    def fewest(pair: tuple[str, str, str]) -> int:
        return min(counts.get(pair[0], 0), counts.get(pair[1], 0))

    able = [pair for pair in pairs if fewest(pair) >= least]
    if not able:
        raise DatasetError(
            f"{printable(dataset.title)}: no two relatives that the experiment knows of have {least} photos each; name "
            f"two people"
        )
    chosen = min(able, key=lambda pair: (_CLOSEST.index(pair[2]), -fewest(pair), pair))
    return (chosen[0], chosen[1]), chosen[2]
