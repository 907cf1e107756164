"""Readers of datasets; each returns a `facebank.evaluation.dataset.Dataset`.

Input is untrusted: sizes are checked before allocation, nothing is unpickled, and paths in lists cannot leave the
folder of photos. Unusable entries are listed in `Dataset.skipped`; `facebank.errors.DatasetError` is raised if none is
usable.
"""

from facebank.evaluation.datasets.lfw import Errata, find_pairs, read_errata, read_lfw, read_people, wrong_pairs
from facebank.evaluation.datasets.opening import only_named, open_dataset

__all__ = [
    "Errata",
    "find_pairs",
    "only_named",
    "open_dataset",
    "read_errata",
    "read_lfw",
    "read_people",
    "wrong_pairs",
]
