"""The protocols: each is a file that registers itself with `protocol`, and a row of the table of contents here.

Importing this package is cheap; a protocol's own file is imported when the protocol is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

if TYPE_CHECKING:
    from facebank.evaluation.bench import Job
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.report import Report

Run = TypeVar("Run", bound="Callable[..., Report]")


class Entry(NamedTuple):
    """A row of the table of contents: the module of a protocol in this package, and what it does in one line."""

    module: str
    summary: str


CONTENTS = {
    "lfw": Entry("lfw", "Run LFW's View 2."),
    "verify": Entry("verify", "Compare photos by pairs: do they show one person."),
    "fewshot": Entry("fewshot", "Enroll a few photos of each person."),
    "openset": Entry("openset", "Search for enrolled people and strangers."),
    "twins": Entry("twins", "Tell people apart who look alike."),
    "siblings": Entry("siblings", "Tell brothers and sisters apart."),
    "groups": Entry("groups", "Compare groups of people, such as ages or countries."),
    "sanity": Entry("sanity", "Let the harness test itself."),
    "compare": Entry("compare", "Compare packs or classifiers."),
    "masks": Entry("degraded", "Search for masked faces: masks of several kinds are drawn."),
    "sizes": Entry("degraded", "Search for small faces, of fewer and fewer pixels."),
    "blur": Entry("degraded", "Search for blurred faces, more and more out of focus."),
    "pose": Entry("degraded", "Search for turned heads: real photos, sorted by pose."),
    "exposure": Entry("degraded", "Search for faces in bad light: too little, or too much."),
    "twins-2020": Entry("experiments", "Two sisters: the closest relatives there are."),
    "athletes-2019": Entry("experiments", "Seven athletes, and one who is none of them."),
    "celebrities-2018": Entry("experiments", "Three footballers before other backgrounds."),
    "lfw5-2021": Entry("experiments", "Five people from 80, 5, 3 and 1 photos each."),
    "sisters-2021": Entry("experiments", "Two sisters, with masks, turned and small."),
}
"""The protocols by the name of their command, in the order of the help."""


@dataclass(frozen=True, slots=True)
class Option:
    """Makes a parameter an option of the command line: ``photos: Annotated[int, Option("--enrolled", ...)] = 4``.

    `metavar` stands for the value in the help; `least` is the smallest number allowed, None for no limit.
    """

    flag: str
    help: str
    metavar: str | None = None
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol as it is registered, by the name of its command.

    `run` takes a `Bench`, what `open_data` returned, and options. `open_data` takes the path of the data and options,
    and returns a `Dataset`, or several arguments of `run` by name. `details` is the help after the summary, `examples`
    are arguments of ``facebank bench``, and `has_scores` is whether the report has every comparison or search.
    """

    name: str
    run: Callable[..., Report]
    open_data: Callable[..., Dataset | Mapping[str, Any]]
    details: str
    examples: tuple[str, ...]
    has_scores: bool

    @property
    def help(self) -> str:
        """The summary and the details."""
        return f"{CONTENTS[self.name].summary}\n\n{self.details}".strip()

    def options(self) -> dict[str, tuple[Any, Option, Any]]:
        """Return the options by parameter: type, option, and default (`inspect.Parameter.empty` where required)."""
        found = {}
        for function in (self.open_data, self.run):
            hints = get_type_hints(function, include_extras=True)
            for name, parameter in inspect.signature(function).parameters.items():
                for option in getattr(hints.get(name), "__metadata__", ()):
                    if isinstance(option, Option):
                        found[name] = (hints[name].__origin__, option, parameter.default)
        return found

    def job(self, data: Path, options: Mapping[str, Any]) -> Job:
        """Open and check the data, and return what `facebank.evaluation.bench.run` runs.

        Options are by parameter; those that are None or empty keep their default. Raises `DatasetError` if the data are
        missing or broken.
        """
        given = {name: value for name, value in options.items() if value is not None and value != []}
        opening = {name: given.pop(name) for name in inspect.signature(self.open_data).parameters if name in given}
        opened = self.open_data(data, **opening)
        return partial(self.run, **(opened if isinstance(opened, Mapping) else {"dataset": opened}), **given)


_REGISTERED: dict[str, Protocol] = {}


def protocol(
    name: str,
    *,
    open_data: Callable[..., Dataset | Mapping[str, Any]],
    details: str = "",
    examples: tuple[str, ...] = (),
    has_scores: bool = False,
) -> Callable[[Run], Run]:
    """Register a function as the protocol of this name, which has a row in `CONTENTS`; parameters as in `Protocol`."""

    def register(run: Run) -> Run:
        _REGISTERED[name] = Protocol(name, run, open_data, details, examples or (f"{name} people/",), has_scores)
        return run

    return register


def load_protocol(name: str) -> Protocol:
    """Return a protocol of `CONTENTS` by name."""
    import_module(f"{__name__}.{CONTENTS[name].module}")
    return _REGISTERED[name]
