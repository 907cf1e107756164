"""The chapters of a report, in order: the same for Markdown and HTML; and the terms that it explains."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from facebank import __version__
from facebank.doctor.installation import Installed
from facebank.evaluation.report.model import Curves, Table
from facebank.evaluation.report.wording import figure_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from facebank.evaluation.report.model import Item, Report, Section, Timing

_MOST_FAILURES = 50

_DESCRIPTIVE = (
    "The figures of the next table were read off a curve: the threshold was chosen on these very photos. They describe "
    "the curve and promise nothing for other photos."
)
_INSUFFICIENT = (
    "Insufficient: fewer than ten of these were seen or could be expected (or fewer than ten were not), too few to say "
    "much. Only the interval counts."
)
_PUBLISHED = (
    "What others have published stands beside our figures for orientation: it was measured on their photos and by "
    "their rules."
)
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "opencv": ("opencv-python-headless", "opencv-python"),
    "scikit-learn": ("scikit-learn",),
}
_TERMS = (
    (
        r"FMR|FAR|[Ff]alse match(?:es| rate)?",
        "FMR, false match rate",
        "The share of comparisons of two different people that were called the same.",
    ),
    (
        r"FNMR|[Ff]alse non-match(?:es| rate)?",
        "FNMR, false non-match rate",
        "The share of comparisons of one person that were called different.",
    ),
    (
        r"TAR|FAR|[Tt]rue match rate",
        "TAR at FAR",
        "The share of comparisons of one person that were called the same, with the threshold at which so many of the "
        "others are: 1 - FNMR at that FMR.",
    ),
    (
        r"FNIR",
        "FNIR, false negative identification rate",
        "The share of searches for enrolled people that did not return their name; an answer of “uncertain” counts as "
        "a miss.",
    ),
    (
        r"FPIR",
        "FPIR, false positive identification rate",
        "The share of searches for people who are not enrolled that returned somebody's name.",
    ),
    (
        r"[Rr]ank-1",
        "Rank-1",
        "The share of searches for enrolled people whose best candidate is the right one, whatever was decided.",
    ),
    (
        r"FTA|[Ff]ailures? to acquire",
        "FTA, failure to acquire",
        "The share of photos in which no face was found, or that could not be read.",
    ),
    (
        r"(?:[Nn]on-)?[Mm]ated",
        "Mated, non-mated",
        "A search for somebody who is enrolled; a search for somebody who is not.",
    ),
    (
        r"EER|[Ee]qual error rate",
        "EER, equal error rate",
        "FMR and FNMR at the threshold where the two are the same; the less the better.",
    ),
    (
        r"ROC",
        "ROC curve",
        "How many comparisons of one person are accepted, over how many of two people are, for every threshold.",
    ),
    (
        r"AUC",
        "AUC",
        "The area below the ROC curve: 1 where every pair of one person is more alike than any other pair.",
    ),
    (
        r"DET",
        "DET curve",
        "The two kinds of error against each other for every threshold; nearer to the corner is better.",
    ),
    (
        r"[Bb]rier",
        "Brier score",
        "The mean squared difference between the probability that was said and what is so (1 or 0); 0 is perfect.",
    ),
    (
        r"[Ll]og loss",
        "Log loss",
        "How surprising the truth was, given the probabilities that were said; 0 is perfect, and being surely wrong "
        "costs most.",
    ),
    (
        r"ECE|[Ee]xpected calibration error",
        "ECE, expected calibration error",
        "How far probabilities are from the share that is so, on average: 0.02 means that what is said to be 90 % sure "
        "is so in about 88 to 92 of 100 cases.",
    ),
    (
        r"[Rr]isk|[Cc]overage",
        "Risk and coverage",
        "What is wrong among the answers given, when only the surest share of all questions is answered.",
    ),
    (
        r"[Tt]wo-class accuracy",
        "Two-class accuracy",
        "Of two people who are both enrolled, how often the one shown has the larger probability, whatever was "
        "decided.",
    ),
    (
        r"[Ff]alse (?:positive|negative) differentials?",
        "False positive and false negative differential",
        "By how much groups of people differ in FPIR, and in FNIR (ISO/IEC 19795-10); here as ratios, 1 being none.",
    ),
    (
        r"[Pp]recision|F1",
        "Precision, recall, F1",
        "Of what was given this name, the share that is this person; of this person's photos, the share that was given "
        "the name; and the harmonic mean of the two.",
    ),
    (
        r"[Ss]tandard error",
        "Standard error",
        "How much a mean over the folds would differ from time to time: it is within two of them in 95 of 100 cases.",
    ),
    (
        r"[Ss]imilarit(?:y|ies)",
        "Similarity",
        "How alike two faces are to the network, from -1 to 1. It is no probability.",
    ),
    (
        r"95 %",
        "95 % interval",
        "Were everything measured again and again with other people and photos of the same kind, 95 of 100 such "
        "intervals would hold the true value.",
    ),
    (
        r"insufficient",
        "Insufficient",
        "Fewer than ten events were seen or could be expected: too few for the value to say much. Only its interval "
        "counts.",
    ),
)
"""Pattern in the text of a report, term, explanation."""


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
    """Return the chapters: summary and command, figures, sections, what was left out, circumstances, terms."""
    shown = {name for section in report.sections for name in section.figures}
    others = [name for name in report.figures if name not in shown]
    chapters = [
        Chapter("", (*report.summary, Code(command))),
        Chapter("Figures", tuple(_figures(report, others))),
        *(_chapter(report, section) for section in report.sections),
        Chapter("What was left out", tuple(_failures(report))),
        Chapter("How this was made", tuple(_circumstances(report))),
    ]
    terms = terms_of(text for chapter in chapters for block in chapter.blocks for text in _texts(block))
    chapters.append(Chapter("What the words mean", (terms,) if terms.rows else ()))
    return tuple(chapter for number, chapter in enumerate(chapters) if chapter.blocks or not number)


def _texts(block: Block) -> Iterator[str]:
    """Return the words of a block."""
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
        yield "Nothing: every photo could be used."
        return
    rows = tuple((failure.what, failure.why) for failure in report.failures[:_MOST_FAILURES])
    yield Table(f"{len(report.failures):,} left out", ("What", "Why"), rows)
    more = len(report.failures) - len(rows)
    if more:
        yield f"And {more:,} more; all of them are in report.json."


def _circumstances(report: Report) -> Iterator[Table]:
    used = machine()
    yield Table(
        "Circumstances",
        ("", ""),
        (
            ("Protocol", report.protocol),
            ("Seed", str(report.seed)),
            *((f"Pack: {key}".replace("_", " "), value) for key, value in report.pack.items()),
            *((f"Dataset: {key}".replace("_", " "), _plain(value)) for key, value in report.dataset.items()),
            ("Machine", f"{used['system']}, {used['architecture']}, {used['processors']} processors"),
            *(() if report.timing is None else (("Speed", _speed(report.timing)),)),
            ("Python", str(used["python"])),
            *((name, version or "not installed") for name, version in versions().items()),
        ),
    )


def _speed(timing: Timing) -> str:
    seconds = max(timing.seconds, 1e-9)
    return (
        f"{timing.photos / seconds:.3g} photos and {timing.faces / seconds:.3g} faces a second, of {timing.photos:,} "
        f"photos in {timing.seconds:,.1f} s of this run (not to be compared between machines)"
    )


def _plain(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def machine() -> dict[str, str | int | None]:
    """Return the system, architecture, number of processors and Python version: nothing that identifies the machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of facebank and of the libraries that its figures depend on; None if one is absent."""
    installed = Installed.read()
    found: dict[str, str | None] = {"facebank": __version__}
    for name, distributions in _DISTRIBUTIONS.items():
        there = (installed.version(distribution) for distribution in distributions)
        found[name] = next((version for version in there if version is not None), None)
    return found


def terms_of(texts: Iterable[str]) -> Table:
    """Return a table of the terms that occur in some texts, explained after ISO/IEC 19795-1."""
    everything = "\n".join(texts)
    rows = tuple(
        (term, meaning) for pattern, term, meaning in _TERMS if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", everything)
    )
    return Table("Terms, after ISO/IEC 19795-1", ("Term", "Meaning"), rows)
