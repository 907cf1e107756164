"""Readers of datasets; each returns a `facebank.evaluation.dataset.Dataset`.

No input is trusted: sizes are checked before anything is allocated, no file is unpickled, and the paths in a list never
lead out of the folder of its photos. Unusable entries are listed in the dataset's `left_out`; if nothing can be used,
`facebank.errors.DatasetError` is raised.
"""

from __future__ import annotations

from facebank.evaluation.datasets.annotations import read_coco, read_vott_csv, read_vott_json
from facebank.evaluation.datasets.arrays import read_arrays, read_embeddings
from facebank.evaluation.datasets.bin_file import read_bin
from facebank.evaluation.datasets.folders import read_folders
from facebank.evaluation.datasets.lfw import (
    Errata,
    ListedPerson,
    NamedPair,
    find_pairs,
    is_lfw,
    read_errata,
    read_lfw,
    read_pairs,
    read_people,
    wrong_pairs,
)
from facebank.evaluation.datasets.opening import KINDS, only_named, open_dataset, read_names
from facebank.evaluation.datasets.pairs_csv import read_pairs_csv

__all__ = [
    "KINDS",
    "Errata",
    "ListedPerson",
    "NamedPair",
    "find_pairs",
    "is_lfw",
    "only_named",
    "open_dataset",
    "read_arrays",
    "read_bin",
    "read_coco",
    "read_embeddings",
    "read_errata",
    "read_folders",
    "read_lfw",
    "read_names",
    "read_pairs",
    "read_pairs_csv",
    "read_people",
    "read_vott_csv",
    "read_vott_json",
    "wrong_pairs",
]
