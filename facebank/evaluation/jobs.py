"""The protocols with their data: from what a user names to something that can be run.

Each function opens and checks the data at once, and returns what `facebank.evaluation.bench.run` runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import DatasetError
from facebank.evaluation.bench import Run, make_bench
from facebank.evaluation.datasets import find_pairs, only_named, open_dataset, read_errata, read_lfw
from facebank.recognition.settings import DecisionSettings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench, Job
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.datasets import Errata

ERRATA = "errata.txt"
DEGRADED = ("masks", "sizes", "blur", "pose", "exposure")

_MINDS_LABELS = ("athletes-2019", "lfw5-2021")


@dataclass(frozen=True, slots=True)
class Opponent:
    """A pack with settings, to compare with others.

    Attributes
    ----------
    name
        What the report calls it.
    pack
        Name or folder; None for the one of the run.
    settings
        How searches are decided.
    """

    name: str
    pack: str | None = None
    settings: DecisionSettings = field(default_factory=DecisionSettings)


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


def verify(data: Path, pairs: Path | None = None, people: Path | None = None) -> Job:
    """Any pairs of photos; of a folder for each person, all pairs, or many at random.

    Parameters
    ----------
    data
        Photos of known people, or a list of pairs.
    pairs
        A list of pairs of the folder's photos; None for what the data have.
    people
        A list of the people to run on; None for everybody.

    Raises
    ------
    DatasetError
        The data are missing or broken.
    """
    from facebank.evaluation.protocols.verify import verify as protocol

    dataset = open_dataset(data) if pairs is None else open_dataset(pairs, data)
    return partial(protocol, dataset=_only(dataset, people))


def fewshot(
    data: Path,
    shots: Sequence[int] | None = None,
    classifiers: Sequence[str] | None = None,
    people: Path | None = None,
) -> Job:
    """Enroll some photos of each person and search for all others, by several classifiers; raises `DatasetError`."""
    from facebank.evaluation.protocols.fewshot import fewshot as protocol

    return partial(protocol, dataset=_opened(data, people), **_given(shots=shots, classifiers=classifiers))


def openset(data: Path, enrolled: Sequence[int] | None = None, people: Path | None = None) -> Job:
    """Search for enrolled people and strangers; raises `DatasetError`."""
    from facebank.evaluation.protocols.openset import openset as protocol

    return partial(protocol, dataset=_opened(data, people), **_given(shots=enrolled))


def twins(data: Path, people: Sequence[str] = (), relatives: Path | None = None) -> Job:
    """People who look alike: those named, all pairs of a list, or everybody; raises `DatasetError`."""
    from facebank.evaluation.protocols.twins import twins as protocol
    from facebank.evaluation.relatives import read_relatives

    listed = None if relatives is None else read_relatives(relatives)
    return partial(protocol, dataset=open_dataset(data), **_given(people=tuple(people) or None, relatives=listed))


def siblings(
    data: Path,
    relatives: Path | None = None,
    people: Path | None = None,
    *,
    photos: int | None = None,
    others: int | None = None,
    fpir: float | None = None,
) -> Job:
    """Brothers and sisters: pairs of a list, or of the families that the data name; raises `DatasetError`."""
    from facebank.evaluation.protocols.siblings import siblings as protocol
    from facebank.evaluation.relatives import read_relatives

    listed = None if relatives is None else read_relatives(relatives)
    dataset = _opened(data, people)
    if listed is not None and people is not None:
        listed = tuple(pair for pair in listed if {pair.first, pair.second} <= set(dataset.people))
    return partial(protocol, dataset=dataset, **_given(relatives=listed, photos=photos, others=others, fpir=fpir))


def groups(
    data: Path,
    column: str,
    by: Path | None = None,
    people: Path | None = None,
    *,
    photos: int | None = None,
    enrolled: int | None = None,
    fpir: float | None = None,
) -> Job:
    """People of several groups, as a column of a table or of the data says; raises `DatasetError`."""
    from facebank.evaluation.protocols.groups import groups as protocol
    from facebank.evaluation.protocols.groups_trials import grouped_by

    dataset = _opened(data, people)
    grouping = grouped_by(dataset, column, by)
    return partial(protocol, dataset=dataset, grouping=grouping, **_given(photos=photos, people=enrolled, fpir=fpir))


def degraded(name: str, data: Path, photos: int | None = None, people: Path | None = None) -> Job:
    """One of `DEGRADED`: probes made worse step by step, or sorted by pose.

    Parameters
    ----------
    name
        Of `DEGRADED`.
    data
        Photos of known people.
    photos
        How many of each person are enrolled; None for the protocol's own number.
    people
        A list of the people to run on; None for everybody.

    Raises
    ------
    DatasetError
        The data are missing or broken.
    """
    from facebank.evaluation.protocols import degraded as protocols

    return partial(getattr(protocols, name), dataset=_opened(data, people), **_given(photos=photos))


def sanity(data: Path) -> Job:
    """Let the harness find what was planted; raises `DatasetError`."""
    from facebank.evaluation.protocols.sanity import sanity as protocol

    return partial(protocol, dataset=open_dataset(data))


def experiment(name: str, data: Path, people: Sequence[str] = (), video: Path | None = None) -> Job:
    """One of the experiments that the project grew from.

    Parameters
    ----------
    name
        Such as ``lfw5-2021``.
    data
        Photos of known people.
    people
        Whom it runs on; nobody for those that its rule chooses.
    video
        For ``celebrities-2018``: looked at frame by frame.

    Raises
    ------
    DatasetError
        The data are missing or broken.
    """
    from facebank.evaluation.protocols.experiments import EXPERIMENTS

    dataset = open_dataset(data)
    wrong = None
    if name in _MINDS_LABELS and data.is_dir():
        listed = find_pairs(data)
        errata = None if listed is None else _errata_beside(listed)
        wrong = None if errata is None else errata.photos
    options = _given(people=tuple(people) or None, video=video, wrong_labels=wrong)
    return partial(EXPERIMENTS[name], dataset=dataset, **options)


def compare(
    data: Path,
    contenders: Sequence[Opponent],
    how: Run,
    stack: ExitStack,
    *,
    pairs: Path | None = None,
    searches: bool = False,
) -> Job:
    """Packs or settings on the same pairs, or the same searches.

    Parameters
    ----------
    data
        Photos of known people, or a list of pairs.
    contenders
        At least two.
    how, stack
        What loads the packs, and closes their caches in the end.
    pairs
        A list of pairs of the folder's photos; None for all pairs, or many at random.
    searches
        Whether people are searched for, instead of pairs compared.

    Raises
    ------
    DatasetError
        The data are missing or broken.
    UsageError
        There are fewer than two, or two of one name.
    PackError
        A pack is unknown, or what it says is wrong.
    """
    from facebank.evaluation.protocols.compare import Contender, Question
    from facebank.evaluation.protocols.compare import compare as protocol

    dataset = open_dataset(data) if pairs is None else open_dataset(pairs, data)
    benches: dict[str | None, Bench] = {}
    for one in contenders:
        if one.pack not in benches:
            benches[one.pack] = make_bench(how, stack, one.pack)
    against = [Contender(one.name, benches[one.pack], one.settings) for one in contenders]
    question = Question.OPENSET if searches else Question.VERIFY
    return lambda _: protocol(against, dataset, question)


def _opened(data: Path, people: Path | None) -> Dataset:
    return _only(open_dataset(data), people)


def _only(dataset: Dataset, people: Path | None) -> Dataset:
    return dataset if people is None else only_named(dataset, people)


def _given(**options: object) -> dict[str, Any]:
    """Return the options that are not None: for the others the protocol has defaults of its own."""
    return {name: value for name, value in options.items() if value is not None}


def _errata_beside(pairs: Path) -> Errata | None:
    listed = pairs.with_name(ERRATA)
    return read_errata(listed) if listed.is_file() else None
