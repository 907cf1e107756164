"""The protocols with their data: from what a user names to something that can be run.

Each function opens and checks the data at once, and returns what `facebank.evaluation.running.run` runs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import DatasetError
from facebank.evaluation.datasets import find_pairs, open_dataset, read_errata, read_lfw
from facebank.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.datasets import Errata
    from facebank.evaluation.running import Job

ERRATA = "errata.txt"


def lfw(photos: Path, pairs: Path | None = None) -> Job:
    """LFW's View 2.

    Parameters
    ----------
    photos
        LFW's folder.
    pairs
        ``pairs.txt``; None to look in the folder, beside it, and in ``lfw-meta`` beside it.

    Raises
    ------
    DatasetError
        The photos or the pairs are missing or broken.
    """
    from facebank.evaluation.protocols.lfw import lfw as protocol

    if not photos.is_dir():
        dataset = open_dataset(photos)
        return partial(protocol, dataset=dataset)
    listed = pairs or find_pairs(photos)
    if listed is None:
        raise DatasetError(
            f"there is no pairs.txt in {printable(str(photos))}, beside it or in lfw-meta beside it: "
            "name it with --pairs"
        )
    return partial(protocol, dataset=read_lfw(photos, listed), errata=_errata_beside(listed))


def verify(data: Path, pairs: Path | None = None) -> Job:
    """Any pairs of photos; of a folder for each person, all pairs, or many at random.

    Parameters
    ----------
    data
        Photos of known people, or a list of pairs.
    pairs
        A list of pairs of the folder's photos; None for what the data have.

    Raises
    ------
    DatasetError
        The data are missing or broken.
    """
    from facebank.evaluation.protocols.verify import verify as protocol

    dataset = open_dataset(data) if pairs is None else open_dataset(pairs, data)
    # Pairs of LFW are the business of the protocol of that name; here all of its people can meet.
    made = replace(dataset, pairs=()) if pairs is None and data.is_dir() else dataset
    return partial(protocol, dataset=made)


def _errata_beside(pairs: Path) -> Errata | None:
    listed = pairs.with_name(ERRATA)
    return read_errata(listed) if listed.is_file() else None
