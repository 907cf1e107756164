"""Evaluation protocols: each module registers its functions with `protocol`, and `PROTOCOLS` lists them all.

Importing this package is cheap; `load_protocol` imports the module of a protocol.
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


class ProtocolEntry(NamedTuple):
    """Module of a protocol in this package, and its one-line summary."""

    module: str
    summary: str


PROTOCOLS = {
    "lfw": ProtocolEntry("lfw", "Run LFW's View 2."),
    "verify": ProtocolEntry("verify", "Compare pairs of photos: do both show one person?"),
    "fewshot": ProtocolEntry("fewshot", "Measure accuracy by number of enrolled photos."),
    "openset": ProtocolEntry("openset", "Search for enrolled people and strangers."),
    "twins": ProtocolEntry("twins", "Measure confusion between people who look alike."),
    "siblings": ProtocolEntry("siblings", "Measure confusion between siblings."),
    "groups": ProtocolEntry("groups", "Compare error rates of groups, such as ages."),
    "sanity": ProtocolEntry("sanity", "Check the harness itself for leaks and bias."),
    "compare": ProtocolEntry("compare", "Compare packs or classifiers."),
    "masks": ProtocolEntry("degraded", "Search for faces with drawn masks."),
    "sizes": ProtocolEntry("degraded", "Search for small faces, downsized step by step."),
    "blur": ProtocolEntry("degraded", "Search for faces blurred step by step."),
    "pose": ProtocolEntry("degraded", "Search for turned heads in unaltered photos."),
    "exposure": ProtocolEntry("degraded", "Search for under- and overexposed faces."),
    "twins-2020": ProtocolEntry("experiments", "Rerun of 2020: two people who look alike."),
    "athletes-2019": ProtocolEntry("experiments", "Rerun of 2019: seven athletes and strangers."),
    "celebrities-2018": ProtocolEntry("experiments", "Rerun of 2018: three footballers."),
    "lfw5-2021": ProtocolEntry("experiments", "Rerun of 2021: five people of LFW."),
    "sisters-2021": ProtocolEntry("experiments", "Rerun of 2021: two sisters, masks and poses."),
}
"""Protocols by command name, in the order of the help."""


@dataclass(frozen=True, slots=True)
class Option:
    """Annotation that makes a parameter a command-line option: ``photos: Annotated[int, Option("--enrolled", ...)]``.

    `metavar` is the placeholder of the value in the help; `minimum` is the smallest allowed number, None for no limit.
    """

    flag: str
    help: str
    metavar: str | None = None
    minimum: int | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A registered protocol; `name` is that of its command.

    `open_data` takes the path of the data and options, and returns a `Dataset` or a mapping of arguments for `run`.
    `run` takes a `Bench`, those arguments and further options. `details` is the help after the summary, `examples` are
    arguments of ``facebank bench``, and `has_scores` is whether the report can list every comparison or search.
    """

    name: str
    run: Callable[..., Report]
    open_data: Callable[..., Dataset | Mapping[str, Any]]
    details: str
    examples: tuple[str, ...]
    has_scores: bool

    @property
    def help(self) -> str:
        """Help text: the summary and the details."""
        return f"{PROTOCOLS[self.name].summary}\n\n{self.details}".strip()

    def options(self) -> dict[str, tuple[Any, Option, Any]]:
        """Return type, option and default (`inspect.Parameter.empty` if required) of each option, by parameter."""
        options = {}
        for function in (self.open_data, self.run):
            hints = get_type_hints(function, include_extras=True)
            for name, parameter in inspect.signature(function).parameters.items():
                for option in getattr(hints.get(name), "__metadata__", ()):
                    if isinstance(option, Option):
                        options[name] = (hints[name].__origin__, option, parameter.default)
        return options

    def job(self, data: Path, options: Mapping[str, Any]) -> Job:
        """Open the data and return a job for `facebank.evaluation.bench.run`.

        `options` are values by parameter; None and empty lists stand for the default. Raises `DatasetError` if the data
        are missing or invalid.
        """
        values = {name: value for name, value in options.items() if value is not None and value != []}
        open_values = {
            name: values.pop(name) for name in inspect.signature(self.open_data).parameters if name in values
        }
        opened = self.open_data(data, **open_values)
        return partial(self.run, **(opened if isinstance(opened, Mapping) else {"dataset": opened}), **values)


_REGISTERED: dict[str, Protocol] = {}


def protocol(
    name: str,
    *,
    open_data: Callable[..., Dataset | Mapping[str, Any]],
    details: str = "",
    examples: tuple[str, ...] = (),
    has_scores: bool = False,
) -> Callable[[Run], Run]:
    """Return a decorator that adds a function as the protocol `name` to `PROTOCOLS`; parameters as in `Protocol`."""

    def register(run: Run) -> Run:
        _REGISTERED[name] = Protocol(name, run, open_data, details, examples or (f"{name} people/",), has_scores)
        return run

    return register


def load_protocol(name: str) -> Protocol:
    """Return a protocol of `PROTOCOLS` by name."""
    import_module(f"{__name__}.{PROTOCOLS[name].module}")
    return _REGISTERED[name]
