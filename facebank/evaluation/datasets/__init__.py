"""Readers of datasets; each returns a `facebank.evaluation.dataset.Dataset`.

No input is trusted: sizes are checked before anything is allocated, no file is unpickled, and the paths in a list never
lead out of the folder of its photos. Unusable entries are listed in the dataset's `left_out`; if nothing can be used,
`facebank.errors.DatasetError` is raised.
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
