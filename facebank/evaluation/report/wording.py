"""Text of a report: the order of its chapters, figures and plots as tables, and the glossary."""

from __future__ import annotations

import math
import os
import platform
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank import __version__
from facebank.doctor.installation import InstalledDistributions
from facebank.evaluation.figures import FigureKind, format_number, format_percent, format_points
from facebank.evaluation.report.model import Curves, Histogram, Matrix, Table, finite, top_confusions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report.model import Item, Line, Report, Section, Timing

_MAX_FAILURES = 50

_DESCRIPTIVE = (
    "The figures of the next table were read off a curve: the threshold was chosen on the same photos. They describe "
    "this curve, and are no estimate for other photos."
)
_INSUFFICIENT = (
    "Insufficient: fewer than ten events (or fewer than ten non-events) were observed or expected. Rely on the "
    "interval, not on the value."
)
_PUBLISHED = (
    "Published figures of others are given for orientation: they were measured on other photos and by other rules."
)
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "opencv": ("opencv-python-headless", "opencv-python"),
    "scikit-learn": ("scikit-learn",),
}
_ABBREVIATIONS = re.compile(r"\b(auc|aurc|det|ece|eer|far|fmr|fnir|fnmr|fpir|fta|lfw|roc|svm|tar)\b")
_PHOTOS_ENROLLED = re.compile(
    r"(?P<measure>rank_1|fnir|fpir|accuracy|wrongly_named|uncertain|failure_to_acquire|brier|log_loss"
    r"|expected_calibration_error|open_set_classification_rate|area_under_risk_coverage"
    r"|two_class_accuracy(?:_at_coverage_\d+)?|named_(?:rightly|as_sibling)|wrong_among_names|calibration_error_between"
    r"|enrolled_sibling_named|absent_sibling_named|absent_sibling_(?:named_and_)?probable)"
    r"_(?P<photos>\d+)(?P<more>_at_fpir_[0-9e-]+|_knn|_svm|_svm_rbf|_logistic|_among_\d+)?"
)
_MAX_POINTS = 9
_WHOLE_TABLE = 24
_MAX_MATRIX = 12
_MAX_CONFUSIONS = 20
_INTEGER_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Code:
    """A command line."""

    text: str


Block: TypeAlias = "str | Code | Item"
"""A paragraph, a command line, or an item of a report."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading and the blocks below it; the first chapter has no heading."""

    title: str
    blocks: tuple[Block, ...]


def arrange(report: Report, command: str) -> tuple[Chapter, ...]:
    """Return the chapters: summary and command, figures, sections, skipped entries, setup and glossary."""
    in_sections = {name for section in report.sections for name in section.figures}
    remaining = [name for name in report.figures if name not in in_sections]
    chapters = [
        Chapter("", (*report.summary, Code(command))),
        Chapter("Figures", tuple(_figures(report, remaining))),
        *(_chapter(report, section) for section in report.sections),
        Chapter("Skipped entries", tuple(_failures(report))),
        Chapter("Setup", tuple(_setup(report))),
    ]
    terms = terms_of(text for chapter in chapters for block in chapter.blocks for text in _texts(block))
    chapters.append(Chapter("Glossary", (terms,) if terms.rows else ()))
    return tuple(chapter for number, chapter in enumerate(chapters) if chapter.blocks or not number)


def _texts(block: Block) -> Iterator[str]:
    """Yield all texts of a block."""
    if isinstance(block, str):
        yield block
    elif isinstance(block, Table):
        yield from (block.title, *block.headings, *(cell for row in block.rows for cell in row))
    elif isinstance(block, Curves):
        yield from (block.title, block.x_label, block.y_label, *(line.label for line in block.lines))
    elif not isinstance(block, Code):
        yield block.title


def _chapter(report: Report, section: Section) -> Chapter:
    return Chapter(section.title, (*section.text, *_figures(report, section.figures), *section.items))


def _figures(report: Report, names: Sequence[str]) -> Iterator[Block]:
    figures = {name: report.figures[name] for name in names}
    measured, read_off = figure_tables(figures)
    if measured.rows:
        yield measured
    if read_off.rows:
        yield _DESCRIPTIVE
        yield read_off
    if any(figure.insufficient for figure in figures.values()):
        yield _INSUFFICIENT
    if any(figure.published is not None for figure in figures.values()):
        yield _PUBLISHED


def _failures(report: Report) -> Iterator[Block]:
    if not report.failures:
        yield "None: all photos could be used."
        return
    rows = tuple((failure.entry, failure.reason) for failure in report.failures[:_MAX_FAILURES])
    yield Table(f"{len(report.failures):,} skipped", ("Entry", "Reason"), rows)
    more = len(report.failures) - len(rows)
    if more:
        yield f"{more:,} more are listed in report.json."


def _setup(report: Report) -> Iterator[Table]:
    info = machine()
    yield Table(
        "Run and machine",
        ("", ""),
        (
            ("Protocol", report.protocol),
            ("Seed", str(report.seed)),
            *((f"Pack: {key}".replace("_", " "), value) for key, value in report.pack.items()),
            *((f"Dataset: {key}".replace("_", " "), _plain(value)) for key, value in report.dataset.items()),
            ("Machine", f"{info['system']}, {info['architecture']}, {info['processors']} processors"),
            *(() if report.timing is None else (("Speed", _speed(report.timing)),)),
            ("Python", str(info["python"])),
            *((name, version or "not installed") for name, version in versions().items()),
        ),
    )


def _speed(timing: Timing) -> str:
    seconds = max(timing.seconds, 1e-9)
    return (
        f"{timing.photos / seconds:.3g} photos and {timing.faces / seconds:.3g} faces a second, of {timing.photos:,} "
        f"photos in {timing.seconds:,.1f} s of this run (not comparable between machines)"
    )


def _plain(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def machine() -> dict[str, str | int | None]:
    """Return system, architecture, number of processors and Python version, without host or user names."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of facebank and of the libraries that affect its figures, None if not installed."""
    installed = InstalledDistributions.read()
    versions_by_name: dict[str, str | None] = {"facebank": __version__}
    for name, distributions in _DISTRIBUTIONS.items():
        candidates = (installed.version(distribution) for distribution in distributions)
        versions_by_name[name] = next((version for version in candidates if version is not None), None)
    return versions_by_name


def terms_of(texts: Iterable[str]) -> Table:
    """Return a table of those terms of ``terms.toml`` that occur in the texts."""
    text = "\n".join(texts)
    terms = tomllib.loads((files(__package__) / "terms.toml").read_text(encoding="utf-8"))["terms"]
    rows = tuple(
        (term["term"], term["meaning"]) for term in terms if re.search(rf"(?<!\w)(?:{term['pattern']})(?!\w)", text)
    )
    return Table("Terms, after ISO/IEC 19795-1", ("Term", "Meaning"), rows)


def figure_title(name: str) -> str:
    """Return a figure's name as text: ``fnir_5_at_fpir_1e-2`` becomes ``FNIR at FPIR 1e-2, 5 enrolled``."""
    match = _PHOTOS_ENROLLED.fullmatch(name)
    if match is not None:
        name = f"{match['measure']}{match['more'] or ''}, {match['photos']} enrolled"
    name = re.sub(r"^rank_1(?![0-9])", "rank-1", name)
    name = re.sub(r"^two_class", "two-class", re.sub(r"among_([0-9]+)(?=,)", r"among_\1_others", name))
    words = _ABBREVIATIONS.sub(lambda abbreviation: abbreviation.group().upper(), name.replace("_", " "))
    return words[:1].upper() + words[1:]


def figure_tables(figures: Mapping[str, Figure]) -> tuple[Table, Table]:
    """Return a table of the measured figures, and one of the figures that were read off a curve."""
    measured = {name: figure for name, figure in figures.items() if not figure.descriptive}
    read_off = {name: figure for name, figure in figures.items() if figure.descriptive}
    return _figure_table("Measured", measured), _figure_table("Read off a curve", read_off)


def _figure_table(title: str, figures: Mapping[str, Figure]) -> Table:
    published = any(figure.published for figure in figures.values())
    headings = ("Figure", "Value", "95 % interval", "Count", *(("Published",) if published else ()), "Meaning")
    rows = (
        (
            figure_title(name),
            value_of(figure),
            interval_of(figure),
            count_of(figure),
            *((figure.published or "",) if published else ()),
            figure.meaning,
        )
        for name, figure in figures.items()
    )
    return Table(title, headings, tuple(rows))


def value_of(figure: Figure) -> str:
    """Return a figure's value as text: ``0.45 %``, with standard error and ``(insufficient)`` if they apply."""
    text = _format_figure(figure, figure.value) + (" points" if figure.points else "")
    if figure.standard_error is not None:
        text += f" ± {_format_value(figure.standard_error, figure.kind)} (standard error)"
    return text + (" (insufficient)" if figure.insufficient else "")


def interval_of(figure: Figure) -> str:
    """Return a figure's interval as text: ``0.16 % to 0.90 %``."""
    if figure.interval is None:
        return "none"
    low, high = figure.interval
    if math.isinf(high):
        return f"{_format_figure(figure, low)} or more"
    return f"{_format_figure(figure, low)} to {_format_figure(figure, high)}"


def count_of(figure: Figure) -> str:
    """Return a figure's count as text: ``12 of 2,650``."""
    if figure.events is None:
        return f"{figure.count:,}" if figure.count else ""
    return f"{figure.events:,} of {figure.count:,}"


def _format_figure(figure: Figure, value: float) -> str:
    return format_points(value) if figure.points and math.isfinite(value) else _format_value(value, figure.kind)


def _format_value(value: float, kind: FigureKind) -> str:
    if not math.isfinite(value):
        return "not measurable"
    return number(value) if kind is FigureKind.NUMBER else percent(value)


def percent(fraction: float) -> str:
    """Return a fraction as a percentage with two decimals, more if these would all be zero."""
    if not math.isfinite(fraction):
        return "none"
    hundredths = 100 * fraction
    if 0 < abs(hundredths) < 0.095:
        return f"{float(f'{hundredths:.2g}'):f}".rstrip("0") + " %"
    return format_percent(fraction)


def number(value: float) -> str:
    """Return a number with four significant digits; integers keep all of theirs."""
    if not math.isfinite(value):
        return "none"
    whole = round(value)
    if abs(value - whole) < _INTEGER_TOLERANCE and abs(value) < 1e15:
        return f"{whole:,}"
    return format_number(value)


def similarity(value: float) -> str:
    """Return a similarity with three decimals, ``none`` if it is not finite."""
    return f"{value:.3f}" if math.isfinite(value) else "none"


def as_table(item: Curves | Matrix | Histogram) -> Table:
    """Return a plot as a table; long lines are sampled."""
    if isinstance(item, Curves):
        return _curves_table(item)
    return _matrix_table(item) if isinstance(item, Matrix) else _histogram_table(item)


def _curves_table(curves: Curves) -> Table:
    x_of = percent if curves.x_scale == "probit" else number
    y_of = percent if curves.y_scale == "probit" else number
    common = curves.lines[0].x if len(curves.lines) > 1 and not curves.markers else None
    if common is not None and common.size <= _WHOLE_TABLE and all(_is_same(line.x, common) for line in curves.lines):
        headings = (curves.x_label, *(line.label for line in curves.lines))
        rows = [
            (x_of(float(x)), *(y_of(float(line.y[index])) for line in curves.lines)) for index, x in enumerate(common)
        ]
        return Table(f"{curves.title}: {curves.y_label}", headings, tuple(rows))
    points = [(line.label, *point) for line in curves.lines for point in _points(line)]
    points += [(label, x, y, None) for label, x, y in curves.markers]
    has_bands = any(band is not None for *_, band in points)
    rows = [
        (
            label,
            x_of(x),
            y_of(y),
            *(("" if band is None else f"{y_of(band[0])} to {y_of(band[1])}",) if has_bands else ()),
        )
        for label, x, y, band in points
    ]
    return Table(curves.title, ("Line", curves.x_label, curves.y_label, *(("Band",) if has_bands else ())), tuple(rows))


def _is_same(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    return first.shape == second.shape and bool(np.array_equal(first, second))


def _points(line: Line) -> Iterator[tuple[float, float, tuple[float, float] | None]]:
    """Yield x, y and band of all points of a short line, or of evenly spaced points of a long one."""
    size = line.x.size
    count = size if size <= _WHOLE_TABLE else _MAX_POINTS
    for index in np.unique(np.linspace(0, max(0, size - 1), count).round().astype(int)):
        band = None
        if line.low is not None and line.high is not None and np.isfinite([line.low[index], line.high[index]]).all():
            band = float(line.low[index]), float(line.high[index])
        yield float(line.x[index]), float(line.y[index]), band


def _matrix_table(matrix: Matrix) -> Table:
    if max(matrix.counts.shape) <= _MAX_MATRIX:
        rows = tuple(
            (name, *(f"{count:,}" for count in counts))
            for name, counts in zip(matrix.rows, matrix.counts.tolist(), strict=True)
        )
        return Table(matrix.title, ("Person shown", *matrix.columns), rows)
    confusions = tuple(
        (matrix.rows[row], matrix.columns[column], f"{matrix.counts[row, column]:,}")
        for row, column in top_confusions(matrix, _MAX_CONFUSIONS)
    )
    return Table(f"{matrix.title}: most frequent confusions", ("Person shown", "Decision", "Count"), confusions)


def _histogram_table(histogram: Histogram) -> Table:
    rows = []
    for label, group in histogram.groups:
        values = finite(group)
        spread = np.quantile(values, (0.05, 0.5, 0.95)) if values.size else np.full(3, np.nan)
        rows.append((label, f"{values.size:,}", *(number(float(value)) for value in spread)))
    return Table(histogram.title, ("Group", "Values", "5 % are below", "Half are below", "95 % are below"), tuple(rows))
