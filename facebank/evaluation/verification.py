"""Figures, tables and plots of verification, for all protocols that compare pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.bench import MOST_CASES
from facebank.evaluation.curves import Comparisons, ErrorCurve, banded, equal_error_rate
from facebank.evaluation.figures import LEAST_EVENTS, Figure, Kind, pair_mean, rate
from facebank.evaluation.report import PAIR_SCORES, ContactSheet, Curves, Histogram, Line, Section, Table, written_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.pairing import Compared
    from facebank.evaluation.report import Item

BANDS = "The bands of the curves are 95 % intervals at each false match rate, by drawing the people of both sides."
NO_ERRORS = "Some threshold makes no error at all:\nonly a bound of both rates can be shown."
MOST_BANDS = 3
"""No bands are computed for more lines: they would hide each other."""
RATES = (1e-2, 1e-3, 1e-4)
"""False match rates at which the false non-match rate is read off."""


def operating_figures(comparisons: Comparisons, threshold: float) -> dict[str, Figure]:
    """Return both error rates at the shipped threshold."""
    at = f"at the shipped threshold of {threshold:g}."
    return {
        "fmr_at_shipped_threshold": comparisons.fmr(threshold, f"Pairs of different people that match {at}"),
        "fnmr_at_shipped_threshold": comparisons.fnmr(threshold, f"Pairs of one person that do not match {at}"),
    }


def curve_figures(comparisons: Comparisons, rates: Sequence[float] = RATES) -> dict[str, Figure]:
    """Return the figures read off the error curves; points where not even one false match is expected are left out."""
    figures = {"equal_error_rate": equal_error_rate(comparisons), "area_under_roc": area_under_roc(comparisons)}
    others = int((~comparisons.same).sum())
    for fmr in rates:
        if fmr * others >= 1:
            meaning = f"Pairs of one person that do not match at the threshold where {percent(fmr)} of others do."
            figure = comparisons.fnmr_at(fmr, meaning)
            figures[fnmr_name(fmr)] = replace(figure, expected=round(fmr * others, 6))
    return figures


def true_accept_figures(curve: Mapping[str, Figure], rates: Sequence[float] = RATES) -> dict[str, Figure]:
    """Return the true accept rates that belong to the false non-match rates of `curve_figures`."""
    return {
        f"tar_at_far_{_power(far)}": replace(
            opposite(curve[fnmr_name(far)]),
            meaning=f"Pairs of one person that match at the threshold where {percent(far)} of others do.",
        )
        for far in rates
        if fnmr_name(far) in curve
    }


def fnmr_name(fmr: float) -> str:
    """Return the figure name of the false non-match rate at a false match rate."""
    return f"fnmr_at_fmr_{_power(fmr)}"


def opposite(figure: Figure) -> Figure:
    """Return the rate of the complementary event."""
    interval = None if figure.interval is None else (1 - figure.interval[1], 1 - figure.interval[0])
    events = None if figure.events is None else figure.count - figure.events
    return replace(figure, value=1 - figure.value, interval=interval, events=events)


def area_under_roc(comparisons: Comparisons) -> Figure:
    """Return how often a pair of one person is more similar than a pair of different people."""
    return Figure(
        ErrorCurve.of(comparisons).area_under_roc,
        count=len(comparisons.same),
        kind=Kind.NUMBER,
        descriptive=True,
        meaning="How often a pair of one person is more similar than a pair of different people.",
        distinct=_out_of_order(comparisons),
    )


def _out_of_order(comparisons: Comparisons) -> int:
    """Count the pairs that lie among pairs of the other kind, of the kind with fewer of them."""
    values = np.nan_to_num(comparisons.similarities, nan=-np.inf)
    own, others = values[comparisons.same], values[~comparisons.same]
    return int(min((own <= others.max()).sum(), (others >= own.min()).sum()))


def failure_to_acquire(compared: Compared) -> Figure:
    """Return the fraction of photos without a face, unreadable ones included."""
    meaning = "Photos in which no face was found, or that could not be read."
    return rate(~compared.faces.found, compared.units, meaning)


def pair_difference(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    meaning: str = "",
) -> Figure:
    """Return the mean difference of two measurements of the same N pairs, such as 1.0 for an error.

    The same people are drawn for both.
    """
    figure = replace(pair_mean(ours - theirs, first, second), meaning=meaning)
    return never_apart(of_shares(figure, ours, theirs), ours, theirs)


def never_apart(figure: Figure, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Figure:
    """Return a paired difference, with the rule of three's interval if the two never differed.

    The bootstrap cannot draw what was not seen, and would give an interval of width 0.
    """
    if (ours != theirs).any():
        return figure
    most = min(1.0, 3 / len(ours))
    return replace(figure, interval=(-most, most))


def of_shares(figure: Figure, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Figure:
    """Return a paired difference of fractions in percentage points, resting on the decisions that differ."""
    return replace(figure, points=True, distinct=int((ours != theirs).sum()))


def error_curves(lines: Sequence[tuple[str, Comparisons]], threshold: float | None = None) -> tuple[Curves, Curves]:
    """Return DET and ROC curves of one or more comparisons; the threshold is marked if there is only one."""
    curves = [(label, ErrorCurve.of(comparisons), comparisons) for label, comparisons in lines]
    bands = len(lines) <= MOST_BANDS
    dets = [banded(curve.det(label), of) if bands else curve.det(label) for label, curve, of in curves]
    det_marks: tuple[tuple[str, float, float], ...] = ()
    roc_marks = det_marks
    if threshold is not None and len(lines) == 1:
        matched, same = lines[0][1].matched(threshold), lines[0][1].same
        fmr, fnmr = float(matched[~same].mean()), float((~matched)[same].mean())
        label = f"shipped threshold {threshold:g}"
        det_marks, roc_marks = ((label, fmr, fnmr),), ((label, fmr, 1 - fnmr),)
    bounds = tuple(bound for label, _, of in curves if (bound := _errorless(label, of, alone=len(lines) == 1)))
    det = Curves(
        "Errors at all thresholds (DET)",
        "false match rate",
        "false non-match rate",
        tuple(dets),
        x_scale="probit",
        y_scale="probit",
        markers=(*det_marks, *bounds),
        note=NO_ERRORS if len(bounds) == len(lines) else "",
    )
    roc = Curves(
        "Pairs of one person that match, at all thresholds (ROC)",
        "false match rate",
        "true match rate",
        tuple(opposite_line(line) for line in dets),
        x_scale="log",
        markers=roc_marks,
    )
    return det, roc


def opposite_line(line: Line) -> Line:
    """Return a line of the complementary rate, with its band."""
    low, high = (None if band is None else 1 - band for band in (line.high, line.low))
    return replace(line, y=1 - line.y, low=low, high=high)


def _errorless(label: str, comparisons: Comparisons, *, alone: bool) -> tuple[str, float, float] | None:
    """Return the bounds of both rates, as a marker, if some threshold makes no error; else None."""
    curve = ErrorCurve.of(comparisons)
    if ((curve.fmr > 0) & (curve.fnmr > 0)).any():
        return None
    own, others = int(comparisons.same.sum()), int((~comparisons.same).sum())
    bound = f"no errors at {own:,} and {others:,} pairs: each rate is below this with 95 %"
    return (bound if alone else f"{label}: {bound}"), min(1.0, 3 / others), min(1.0, 3 / own)


def similarity_histogram(comparisons: Comparisons) -> Histogram:
    """Return the similarities of pairs of both kinds."""
    values, made = comparisons.similarities, ~np.isnan(comparisons.similarities)
    groups = (("one person", comparisons.same & made), ("different people", ~comparisons.same & made))
    return Histogram("Similarities", "similarity (cosine)", tuple((label, values[chosen]) for label, chosen in groups))


def pair_scores(compared: Compared) -> Table:
    """Return every pair with its similarity; empty text where no comparison could be made."""
    names = [photo.name for photo in compared.faces.dataset.photos]
    rows = [
        (names[pair.first], names[pair.second], "yes" if pair.same else "no", written_score(value))
        for pair, value in zip(compared.pairing.pairs, compared.comparisons.similarities.tolist(), strict=True)
    ]
    return Table("Scores", PAIR_SCORES, tuple(rows))


def points_table(comparisons: Comparisons, curve: Mapping[str, Figure], rates: Sequence[float] = RATES) -> Table:
    """Return the points of the curve as a table, including those that the pairs do not support."""
    rows = []
    for fmr in rates:
        figure = curve.get(fnmr_name(fmr))
        lacking = f"insufficient: needs {round(LEAST_EVENTS / fmr):,} pairs of different people"
        threshold = "-" if figure is None else f"{comparisons.threshold_at(fmr):.3f}"
        rows.append((percent(fmr), threshold, lacking if figure is None else str(figure)))
    others = int((~comparisons.same).sum())
    headings = ("False match rate", "Threshold (descriptive)", "False non-match rate (descriptive)")
    return Table(f"Points of the curve, from {others:,} pairs of different people", headings, tuple(rows))


def error_sheets(bench: Bench, compared: Compared, remarks: Mapping[int, str] | None = None) -> Section:
    """Return the hardest errors of both kinds at the shipped threshold, with what their similarities rest on.

    Parameters
    ----------
    bench
        Where the faces were read.
    compared
        The pairs.
    remarks
        Remarks on pairs, by their place.
    """
    remarks = {} if remarks is None else remarks
    matches, misses = hardest_errors(compared.comparisons, compared.threshold)
    matches = matches[: max(MOST_CASES // 2, MOST_CASES - len(misses))]
    misses = misses[: MOST_CASES - len(matches)]
    items = []
    for title, truth, places in (
        ("Different people who match, the most similar first", "different people, but match", matches),
        ("One person's photos that do not match, the least similar first", "one person, but do not match", misses),
    ):
        chosen = [(int(place), compared.pairing.pairs[place]) for place in places]
        verdicts = [
            "; ".join([f"labeled as {truth} at {compared.threshold:g}", *([remarks[n]] if n in remarks else [])])
            for n, _ in chosen
        ]
        cases = bench.evidence(compared.faces, [(pair.first, pair.second) for _, pair in chosen], verdicts)
        if cases:
            items.append(ContactSheet(title, cases))
    text = (
        "Aligned faces as the network sees them, and how much the similarity falls where each part is hidden: orange "
        "where the part makes them similar, blue where it makes them different."
    )
    return Section("Hardest errors", (text if items else "There are no errors to show.",), items=tuple(items))


def curve_items(compared: Compared, figures: Mapping[str, Figure]) -> tuple[Item, ...]:
    """Return the points of the curve, both curves, and the similarities."""
    return (
        points_table(compared.comparisons, figures),
        *error_curves((("pairs", compared.comparisons),), compared.threshold),
        similarity_histogram(compared.comparisons),
    )


def failures_section(compared: Compared) -> Section:
    """Return the photos without a face."""
    rows = tuple((failure.what, failure.why) for failure in compared.faces.failures)
    tables = (Table("Photos without a face", ("Photo", "Why"), rows),) if rows else ()
    return Section("Failures to acquire", (acquired_sentence(compared),), ("failure_to_acquire",), tables)


def hardest_errors(comparisons: Comparisons, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of wrong matches and of missed matches at a threshold, the worst first."""
    values, matched = comparisons.similarities, comparisons.matched(threshold)
    made = ~np.isnan(values)
    wrongly = np.flatnonzero(matched & ~comparisons.same)
    missed = np.flatnonzero(~matched & comparisons.same & made)
    return wrongly[np.argsort(-values[wrongly], kind="stable")], missed[np.argsort(values[missed], kind="stable")]


def percent(share: float) -> str:
    """Return a round fraction as text: ``0.1 %``."""
    return f"{100 * share:g} %"


def _power(share: float) -> str:
    return f"1e-{round(-np.log10(share))}"


def acquired_sentence(compared: Compared) -> str:
    """Return how many photos have no face, and what their pairs count as."""
    failures, photos = len(compared.faces.failures), len(compared.faces.faces)
    lost = int(np.isnan(compared.comparisons.similarities).sum())
    if not failures:
        return f"A face was found in all {photos:,} photos."
    return f"In {failures:,} of {photos:,} photos no face was found; the {lost:,} pairs with them never match."


def operating_sentence(figures: Mapping[str, Figure]) -> str:
    """Return both error rates at the shipped threshold as a sentence."""
    fmr, fnmr = figures["fmr_at_shipped_threshold"], figures["fnmr_at_shipped_threshold"]
    return (
        f"At the shipped threshold, which was chosen before, {share(fmr)} of the pairs of different people "
        f"match, and {share(fnmr)} of the pairs of one person do not."
    )


def share(figure: Figure) -> str:
    """Return a rate for a sentence: ``99.53 % ± 0.12 %``, ``0.45 %``, or ``0.10 % (insufficient: 3 of 3,000)``."""
    text = f"{100 * figure.value:.2f} %"
    if figure.standard_error is not None:
        return f"{text} ± {100 * figure.standard_error:.2f} %"
    if not figure.insufficient:
        return text
    return f"{text} (insufficient" + (")" if figure.events is None else f": {figure.events:,} of {figure.count:,})")
