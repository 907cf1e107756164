"""How much error rates differ between groups, in the terms of ISO/IEC 19795-10.

A false positive differential compares the groups' FPIR, a false negative differential their FNIR. Both are given as two
ratios: of the highest to the lowest rate, and of the highest to the geometric mean of all groups' rates; 1 is no
difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.figures import Figure, Kind
from facebank.evaluation.rates import Resamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.protocols.groups_trials import GroupTrial

_KINDS = (("false_positive", "FPIR", "fpir"), ("false_negative", "FNIR", "fnir"))
_NOTHING = 1e-12


def differentials(trials: Sequence[GroupTrial], figures: dict[str, Figure]) -> dict[str, Figure]:
    """Return the differentials that can be measured: those of rates that are not 0 in any group."""
    found: dict[str, Figure] = {}
    for kind, rate, key in _KINDS:
        rates = [figures.get(f"{key}_{trial.group.name}") for trial in trials]
        measured = [one for one in rates if one is not None]
        if len(measured) < len(trials) or min(one.value for one in measured) <= 0:
            continue
        values = np.array([[one.value] for one in measured])
        drawn = _drawn_rates(trials, positive=key == "fpir")
        fewest = min(one.distinct if one.distinct is not None else 0 for one in measured)
        for name, words, ratio in (
            ("", "lowest", _to_lowest),
            ("_to_geometric_mean", "geometric mean", _to_geometric_mean),
        ):
            low, high = np.quantile(ratio(drawn), (0.025, 0.975), method="inverted_cdf")  # some may be infinite
            found[f"{kind}_differential{name}"] = Figure(
                float(ratio(values)[0]),
                (float(low), float(high)),
                len(measured),
                kind=Kind.NUMBER,
                meaning=f"The highest {rate} of a group, divided by the {words} of all groups; 1 is no difference.",
                distinct=fewest,
            )
    return found


def _to_lowest(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratios(rates.max(axis=0), rates.min(axis=0))


def _to_geometric_mean(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratios(rates.max(axis=0), rates.prod(axis=0) ** (1 / len(rates)))


def _ratios(highest: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; a ratio to 0 is infinite, and 1 where both are 0."""
    ratios = np.where(highest > 0, np.inf, 1.0)
    return np.divide(highest, others, out=ratios, where=others > 0)


def _drawn_rates(trials: Sequence[GroupTrial], *, positive: bool) -> NDArray[np.float64]:
    """Return each group's rate in each resample, ``(G, R)``; people of several groups are drawn once for all."""
    parts = []
    for place, trial in enumerate(trials):
        searches, units = trial.within.searches, trial.within.units
        some = ~searches.mated if positive else searches.mated
        events = (searches.misnamed if positive else searches.missed)[some]
        parts.append((np.full(len(events), place), units[some], events.astype(np.float64)))
    groups, units, events = (np.concatenate(column) for column in zip(*parts, strict=True))
    resamples = Resamples.of(units)
    rates = []
    for place in range(len(trials)):
        mine = (groups == place).astype(np.float64)
        # A resample without anybody of the group leaves its rate as it is.
        count = resamples.sums(mine)
        usual = float((events * mine).sum() / mine.sum())
        rates.append(np.where(count > 0, resamples.sums(events * mine) / np.maximum(count, _NOTHING), usual))
    return np.stack(rates)
