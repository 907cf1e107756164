"""Readers of datasets; each returns a `facebank.evaluation.dataset.Dataset`.

Input is untrusted: sizes are checked before allocation, nothing is unpickled, and paths in lists cannot leave the
folder of photos. Unusable entries are listed in `Dataset.skipped`; `facebank.errors.DatasetError` is raised if none is
usable.
"""

from facebank.evaluation.datasets.lfw import Errata, find_pairs, find_wrong_pairs, read_errata, read_lfw, read_people
from facebank.evaluation.datasets.opening import open_dataset, select_listed

__all__ = [
    "Errata",
    "find_pairs",
    "find_wrong_pairs",
    "open_dataset",
    "read_errata",
    "read_lfw",
    "read_people",
    "select_listed",
]
