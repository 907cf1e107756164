"""Figures, tables and plots of verification, shared by all protocols that compare pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.bench import MAX_CASES
from facebank.evaluation.curves import Comparisons, ErrorCurve, add_band, equal_error_rate
from facebank.evaluation.figures import (
    MIN_EVENTS,
    Figure,
    FigureKind,
    format_percent,
    pair_mean,
    rate,
    zero_event_bound,
)
from facebank.evaluation.report import (
    MAX_BANDS,
    PAIR_SCORES,
    ContactSheet,
    Curves,
    Histogram,
    Line,
    Section,
    Table,
    format_score,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.pairing import ComparedPairs
    from facebank.evaluation.report import Item

BANDS = "Bands are 95 % bootstrap intervals at each false match rate, resampling the people of both sides."
NO_ERRORS = "Some threshold makes no error:\nonly an upper bound of both rates can be shown."
RATES = (1e-2, 1e-3, 1e-4)
"""False match rates at which FNMR is reported."""


def operating_figures(comparisons: Comparisons, threshold: float) -> dict[str, Figure]:
    """Return FMR and FNMR at the shipped threshold."""
    condition = f"at the shipped threshold of {threshold:g}."
    return {
        "fmr_at_shipped_threshold": comparisons.fmr(threshold, f"Pairs of different people that match {condition}"),
        "fnmr_at_shipped_threshold": comparisons.fnmr(threshold, f"Pairs of one person that do not match {condition}"),
    }


def curve_figures(comparisons: Comparisons, rates: Sequence[float] = RATES) -> dict[str, Figure]:
    """Return the figures read off the error curves, without rates at which less than one false match is expected."""
    figures = {"equal_error_rate": equal_error_rate(comparisons), "area_under_roc": area_under_roc(comparisons)}
    non_mated_count = int((~comparisons.same).sum())
    for fmr in rates:
        if fmr * non_mated_count >= 1:
            figure = comparisons.fnmr_at(fmr, f"Pairs of one person that do not match {_at_fmr(fmr)}")
            figures[fnmr_name(fmr)] = replace(figure, expected=round(fmr * non_mated_count, 6))
    return figures


def true_accept_figures(curve: Mapping[str, Figure], rates: Sequence[float] = RATES) -> dict[str, Figure]:
    """Return the true accept rates that correspond to the FNMR figures of `curve_figures`."""
    return {
        f"tar_at_far_{_power(fmr)}": replace(
            complement(curve[fnmr_name(fmr)]), meaning=f"Pairs of one person that match {_at_fmr(fmr)}"
        )
        for fmr in rates
        if fnmr_name(fmr) in curve
    }


def _at_fmr(fmr: float) -> str:
    return f"at the threshold where {format_percent(fmr, None)} of the pairs of different people match."


def fnmr_name(fmr: float) -> str:
    """Return the name of the FNMR figure at an FMR, such as ``fnmr_at_fmr_1e-3``."""
    return f"fnmr_at_fmr_{_power(fmr)}"


def complement(figure: Figure) -> Figure:
    """Return the rate of the complementary event."""
    interval = None if figure.interval is None else (1 - figure.interval[1], 1 - figure.interval[0])
    events = None if figure.events is None else figure.count - figure.events
    return replace(figure, value=1 - figure.value, interval=interval, events=events)


def area_under_roc(comparisons: Comparisons) -> Figure:
    """Return the area under the ROC curve; see `ErrorCurve.area_under_roc`."""
    return Figure(
        ErrorCurve.of(comparisons).area_under_roc,
        count=len(comparisons.same),
        kind=FigureKind.NUMBER,
        descriptive=True,
        meaning="Probability that a pair of one person is more similar than a pair of different people.",
        distinct=_count_misordered(comparisons),
    )


def _count_misordered(comparisons: Comparisons) -> int:
    """Return the number of mated pairs below the most similar non-mated pair, or of the reverse if that is smaller."""
    values = np.nan_to_num(comparisons.similarities, nan=-np.inf)
    mated, non_mated = values[comparisons.same], values[~comparisons.same]
    return int(min((mated <= non_mated.max()).sum(), (non_mated >= mated.min()).sum()))


def failure_to_acquire(compared: ComparedPairs) -> Figure:
    """Return the fraction of photos without a face, including unreadable ones."""
    meaning = "Photos in which no face was found, or that could not be read."
    return rate(~compared.faces.has_face, compared.units, meaning)


def pair_difference(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    meaning: str = "",
) -> Figure:
    """Return the mean difference of two measurements of the same N pairs (``float64``), such as 1.0 for an error.

    Arrays have shape ``(N,)``. Each bootstrap resample draws the same people for both.
    """
    figure = replace(pair_mean(ours - theirs, first, second), meaning=meaning)
    return apply_rule_of_three(to_points(figure, ours, theirs), ours, theirs)


def apply_rule_of_three(figure: Figure, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Figure:
    """Return a paired difference, with the rule-of-three interval if the two measurements are identical.

    Measurements have shape ``(N,)``. The bootstrap would give an interval of width 0.
    """
    if (ours != theirs).any():
        return figure
    bound = zero_event_bound(len(ours))
    return replace(figure, interval=(-bound, bound))


def to_points(figure: Figure, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Figure:
    """Return a paired difference in percentage points, with the number of decisions ``(N,)`` that differ."""
    return replace(figure, points=True, distinct=int((ours != theirs).sum()))


def error_curves(lines: Sequence[tuple[str, Comparisons]], threshold: float | None = None) -> tuple[Curves, Curves]:
    """Return the DET and ROC curves of one or more labeled comparisons; a single one gets `threshold` as a marker."""
    curves = [(label, ErrorCurve.of(comparisons), comparisons) for label, comparisons in lines]
    has_bands = len(lines) <= MAX_BANDS
    dets = [add_band(curve.det(label), pairs) if has_bands else curve.det(label) for label, curve, pairs in curves]
    det_marks: tuple[tuple[str, float, float], ...] = ()
    roc_marks = det_marks
    if threshold is not None and len(lines) == 1:
        matched, same = lines[0][1].matches(threshold), lines[0][1].same
        fmr, fnmr = float(matched[~same].mean()), float((~matched)[same].mean())
        label = f"shipped threshold {threshold:g}"
        det_marks, roc_marks = ((label, fmr, fnmr),), ((label, fmr, 1 - fnmr),)
    bounds = tuple(
        bound for label, _, pairs in curves if (bound := _errorless_marker(label, pairs, is_alone=len(lines) == 1))
    )
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
        "Matches of one person at all thresholds (ROC)",
        "false match rate",
        "true match rate",
        tuple(complement_line(line) for line in dets),
        x_scale="log",
        markers=roc_marks,
    )
    return det, roc


def complement_line(line: Line) -> Line:
    """Return the line of the complementary rate, with its band."""
    low, high = (None if band is None else 1 - band for band in (line.high, line.low))
    return replace(line, y=1 - line.y, low=low, high=high)


def _errorless_marker(label: str, comparisons: Comparisons, *, is_alone: bool) -> tuple[str, float, float] | None:
    """Return a marker at the upper bounds of FMR and FNMR if some threshold makes no error, else None."""
    curve = ErrorCurve.of(comparisons)
    if ((curve.fmr > 0) & (curve.fnmr > 0)).any():
        return None
    mated_count, non_mated_count = int(comparisons.same.sum()), int((~comparisons.same).sum())
    text = f"no errors at {mated_count:,} and {non_mated_count:,} pairs: 95 % upper bound of each rate"
    marker = text if is_alone else f"{label}: {text}"
    return marker, zero_event_bound(non_mated_count), zero_event_bound(mated_count)


def similarity_histogram(comparisons: Comparisons) -> Histogram:
    """Return a histogram of the similarities of mated and non-mated pairs."""
    values, is_compared = comparisons.similarities, ~np.isnan(comparisons.similarities)
    groups = (("one person", comparisons.same & is_compared), ("different people", ~comparisons.same & is_compared))
    return Histogram("Similarities", "similarity (cosine)", tuple((label, values[mask]) for label, mask in groups))


def pair_scores(compared: ComparedPairs) -> Table:
    """Return every pair with its similarity, "" if it could not be compared."""
    names = [photo.name for photo in compared.faces.dataset.photos]
    rows = [
        (names[pair.first], names[pair.second], "yes" if pair.same else "no", format_score(value))
        for pair, value in zip(compared.pairing.pairs, compared.comparisons.similarities.tolist(), strict=True)
    ]
    return Table("Scores", PAIR_SCORES, tuple(rows))


def points_table(comparisons: Comparisons, curve: Mapping[str, Figure], rates: Sequence[float] = RATES) -> Table:
    """Return FNMR at each FMR as a table, including rates for which there are too few pairs."""
    rows = []
    for fmr in rates:
        figure = curve.get(fnmr_name(fmr))
        note = f"insufficient: needs {round(MIN_EVENTS / fmr):,} pairs of different people"
        threshold = "-" if figure is None else f"{comparisons.threshold_at(fmr):.3f}"
        rows.append((format_percent(fmr, None), threshold, note if figure is None else str(figure)))
    non_mated_count = int((~comparisons.same).sum())
    headings = ("False match rate", "Threshold (descriptive)", "False non-match rate (descriptive)")
    return Table(f"Points of the curve, from {non_mated_count:,} pairs of different people", headings, tuple(rows))


def errors_section(bench: Bench, compared: ComparedPairs, remarks: Mapping[int, str] | None = None) -> Section:
    """Return a section with the hardest false matches and false non-matches at the shipped threshold.

    Parameters
    ----------
    bench
        The bench that read the faces.
    compared
        The compared pairs.
    remarks
        Remarks added to the verdict, by index of the pair.
    """
    remarks = {} if remarks is None else remarks
    matches, misses = hardest_errors(compared.comparisons, compared.threshold)
    matches = matches[: max(MAX_CASES // 2, MAX_CASES - len(misses))]
    misses = misses[: MAX_CASES - len(matches)]
    items = []
    for title, truth, indices in (
        ("Different people who match, most similar first", "different people, but match", matches),
        ("Photos of one person that do not match, least similar first", "one person, but do not match", misses),
    ):
        chosen = [(int(index), compared.pairing.pairs[index]) for index in indices]
        verdicts = [
            "; ".join([f"labeled as {truth} at {compared.threshold:g}", *([remarks[n]] if n in remarks else [])])
            for n, _ in chosen
        ]
        cases = bench.evidence(compared.faces, [(pair.first, pair.second) for _, pair in chosen], verdicts)
        if cases:
            items.append(ContactSheet(title, cases))
    text = (
        "Aligned faces, the input of the network, and the drop in similarity when a part is covered: orange parts make "
        "the faces more similar, blue parts less."
    )
    return Section("Hardest errors", (text if items else "There are no errors to show.",), items=tuple(items))


def curve_items(compared: ComparedPairs, figures: Mapping[str, Figure]) -> tuple[Item, ...]:
    """Return the table of curve points, the DET and ROC curves, and the histogram of similarities."""
    return (
        points_table(compared.comparisons, figures),
        *error_curves((("pairs", compared.comparisons),), compared.threshold),
        similarity_histogram(compared.comparisons),
    )


def failures_section(compared: ComparedPairs) -> Section:
    """Return a section that lists the photos without a face."""
    rows = tuple((failure.entry, failure.reason) for failure in compared.faces.failures)
    tables = (Table("Photos without a face", ("Photo", "Reason"), rows),) if rows else ()
    return Section("Failures to acquire", (acquired_sentence(compared),), ("failure_to_acquire",), tables)


def hardest_errors(comparisons: Comparisons, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of false matches and false non-matches at a threshold (``int64``), worst first."""
    values, matched = comparisons.similarities, comparisons.matches(threshold)
    matches = np.flatnonzero(matched & ~comparisons.same)
    misses = np.flatnonzero(~matched & comparisons.same & ~np.isnan(values))
    return matches[np.argsort(-values[matches], kind="stable")], misses[np.argsort(values[misses], kind="stable")]


def _power(fraction: float) -> str:
    return f"1e-{round(-np.log10(fraction))}"


def acquired_sentence(compared: ComparedPairs, outcome: str = "never match") -> str:
    """Return a sentence on the photos without a face and on their pairs, which have the given outcome."""
    failures, photos = len(compared.faces.failures), len(compared.faces.faces)
    count = int(np.isnan(compared.comparisons.similarities).sum())
    if not failures:
        return f"A face was found in all {photos:,} photos."
    return f"In {failures:,} of {photos:,} photos no face was found; the {count:,} pairs with them {outcome}."


def operating_sentence(figures: Mapping[str, Figure]) -> str:
    """Return FMR and FNMR at the shipped threshold as a sentence."""
    fmr, fnmr = figures["fmr_at_shipped_threshold"], figures["fnmr_at_shipped_threshold"]
    return (
        f"At the shipped threshold, fixed before this run, {rate_text(fmr)} of the pairs of different people match, "
        f"and {rate_text(fnmr)} of the pairs of one person do not."
    )


def rate_text(figure: Figure) -> str:
    """Return a rate as text: ``99.53 % ± 0.12 %``, ``0.45 %``, or ``0.10 % (insufficient: 3 of 3,000)``."""
    text = format_percent(figure.value)
    if figure.standard_error is not None:
        return f"{text} ± {format_percent(figure.standard_error)}"
    if not figure.insufficient:
        return text
    return f"{text} (insufficient" + (")" if figure.events is None else f": {figure.events:,} of {figure.count:,})")
