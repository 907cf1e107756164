"""The five experiments that the project grew from, each beside its published figure.

They ran on photographs that are not public; here they run on photos of other people, chosen by a written rule.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from facebank.evaluation.protocols.experiments.athletes_2019 import athletes_2019
from facebank.evaluation.protocols.experiments.celebrities_2018 import celebrities_2018
from facebank.evaluation.protocols.experiments.lfw5_2021 import lfw5_2021
from facebank.evaluation.protocols.experiments.sisters_2021 import sisters_2021
from facebank.evaluation.protocols.experiments.twins_2020 import twins_2020

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.evaluation.report import Report

EXPERIMENTS: MappingProxyType[str, Callable[..., Report]] = MappingProxyType(
    {
        "twins-2020": twins_2020,
        "athletes-2019": athletes_2019,
        "celebrities-2018": celebrities_2018,
        "lfw5-2021": lfw5_2021,
        "sisters-2021": sisters_2021,
    }
)
"""By the name that the command has; each is called with a bench and a dataset."""

__all__ = ["EXPERIMENTS", "athletes_2019", "celebrities_2018", "lfw5_2021", "sisters_2021", "twins_2020"]
