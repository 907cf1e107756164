"""Fixtures of the report tests: a report with every kind of item and hostile names."""

from __future__ import annotations

import numpy as np
import pytest

from facebank.evaluation.dataset import SkippedEntry
from facebank.evaluation.figures import Figure, FigureKind
from facebank.evaluation.report import (
    ContactSheet,
    Curves,
    Evidence,
    Histogram,
    Line,
    Matrix,
    Report,
    Section,
    Table,
)

HOSTILE = "<script>alert('1')</script>\"|`*_$x^{$ \u202etxt.\x1b[31m & \ud800 名"


@pytest.fixture(scope="session")
def curves() -> Curves:
    rates = np.array([0.0, 1e-4, 1e-3, 0.01, 0.1, 1.0])
    line = Line(f"_{HOSTILE}", rates, rates[::-1], rates[::-1] * 0.9, np.minimum(1, rates[::-1] * 1.1))
    return Curves("DET", "FMR", "FNMR", (line,), "probit", "probit", markers=(("Shipped threshold", 0.001, 0.02),))


@pytest.fixture(scope="session")
def report(curves: Curves) -> Report:
    random = np.random.default_rng(4)
    face = random.integers(0, 256, (112, 112, 3)).astype(np.uint8)
    case = Evidence(HOSTILE, "b.jpg", (face, face), (face, face), 0.51, f"{HOSTILE}: the same; they are two people")
    weighted = Line(
        "calibrated", np.array([0.1, np.nan, 0.9]), np.array([0.2, 0.5, 0.8]), weights=np.array([1.0, 0, 9])
    )
    items = (
        curves,
        Curves("Reliability", "Probability", "Share", (weighted,), diagonal=True),
        Curves("Nothing", "x", "y", ()),
        Table(f"Table of {HOSTILE}", ("Name", "A | B"), ((HOSTILE, "1"), ("", "2"))),
        Table("Empty", ("A",), ()),
        Matrix("Confusions", (HOSTILE, "Eva"), (HOSTILE, "Eva", "nobody"), np.array([[5, 2, 0], [0, 7, 1]])),
        Histogram("Spread", "Similarity", ((HOSTILE, random.normal(size=50)), ("none", np.array([np.nan])))),
        ContactSheet("Hardest", (case, case)),
        ContactSheet("None", ()),
    )
    figures = {
        "accuracy": Figure(0.9948, (0.993, 0.996), 6000, 5969, standard_error=0.0011, published="99.60 %, elsewhere"),
        "fpir": Figure(0.0, (0.0, 0.003), 1000, 0, meaning=f"Of {HOSTILE}"),
        "eer": Figure(0.0123, (0.01, 0.02), 6000, descriptive=True),
        "loss": Figure(float("nan"), (float("-inf"), 1.0), kind=FigureKind.NUMBER),
    }
    return Report(
        protocol="verify",
        title=f"Pairs of {HOSTILE}",
        summary=(f"Nearly all pairs of {HOSTILE} were judged correctly.",),
        seed=3,
        pack={"name": "opencv", "digest": "ab", "title": "YuNet and SFace", "licence": "Apache-2.0"},
        dataset={"title": HOSTILE, "photos": 13233, "people": 5749},
        figures=figures,
        sections=(Section(f"Errors of {HOSTILE}", (HOSTILE,), ("fpir", "eer"), items), Section("Empty")),
        failures=[SkippedEntry(f"{number} {HOSTILE}", "no face was found") for number in range(61)],
    )
