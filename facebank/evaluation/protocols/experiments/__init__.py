"""The five experiments that the project grew from, each beside its published figure.

They ran on photographs that are not public; here they run on photos of other people, chosen by a written rule.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets import find_pairs, open_dataset
from facebank.evaluation.protocols import Option, protocol
from facebank.evaluation.protocols.experiments.athletes_2019 import athletes_2019
from facebank.evaluation.protocols.experiments.celebrities_2018 import celebrities_2018
from facebank.evaluation.protocols.experiments.lfw5_2021 import lfw5_2021
from facebank.evaluation.protocols.experiments.sisters_2021 import sisters_2021
from facebank.evaluation.protocols.experiments.twins_2020 import twins_2020
from facebank.evaluation.protocols.options import Person, errata_beside, open_everybody
from facebank.evaluation.report import Report

__all__ = ["athletes_2019", "celebrities_2018", "lfw5_2021", "sisters_2021", "twins_2020"]


def _open_labeled(data: Path) -> dict[str, Any]:
    """Return a dataset, and which of its labels are documented to be wrong; raises `DatasetError`."""
    listed = find_pairs(data) if data.is_dir() else None
    errata = None if listed is None else errata_beside(listed)
    return {"dataset": open_dataset(data), "wrong_labels": frozenset() if errata is None else errata.photos}


def _register(name: str, open_data: Callable[..., Any], experiment: Callable[..., Report]) -> None:
    @protocol(name, open_data=open_data, examples=(f"{name} lfw/",))
    def run(bench: Bench, dataset: Dataset, *, people: Person = None, **more: Any) -> Report:
        return experiment(bench, dataset, people=people, **more)


_register("twins-2020", open_everybody, twins_2020)
_register("athletes-2019", _open_labeled, athletes_2019)
_register("lfw5-2021", _open_labeled, lfw5_2021)
_register("sisters-2021", open_everybody, sisters_2021)


@protocol("celebrities-2018", open_data=open_everybody, examples=("celebrities-2018 lfw/",))
def _celebrities(
    bench: Bench,
    dataset: Dataset,
    *,
    people: Person = None,
    video: Annotated[Path | None, Option("--video", "A video to look at frame by frame.", "FILE")] = None,
) -> Report:
    return celebrities_2018(bench, dataset, people=people, video=video)
