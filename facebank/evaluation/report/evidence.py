"""Errors explained: both aligned faces, and the parts of them that their similarity rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facebank.errors import PhotoError
from facebank.evaluation.report.model import Evidence

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet

CASES = 12
"""Errors on one contact sheet."""


def evidence_of(
    bench: Bench, faces: FaceSet, pairs: Sequence[tuple[int, int]], verdicts: Sequence[str], limit: int = CASES
) -> tuple[Evidence, ...]:
    """Explain pairs of photos; embeddings of partly hidden faces are cached like all others.

    Parameters
    ----------
    faces
        Of a dataset, as `Bench.read` returns them without a change.
    pairs
        Places in the dataset's photos, the worst errors first. Pairs without two faces, or with a photo that cannot be
        read any more, are skipped.
    verdicts
        One line for each: the decision, and the truth.
    """
    shown = [
        (pair, verdict)
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if all(faces.faces[place] is not None for place in pair)
    ][:limit]
    bench.progress.begin("explanations", len(shown))
    cases = []
    for pair, verdict in shown:
        case = _case(bench, faces, pair, verdict)
        bench.progress.advance()
        if case is not None:
            cases.append(case)
    return tuple(cases)


def _case(bench: Bench, faces: FaceSet, pair: tuple[int, int], verdict: str) -> Evidence | None:
    from facebank.operations.explain import explain

    reader = bench.reader
    try:
        first, second = (reader.crop(faces, place) for place in pair)
    except PhotoError:
        return None
    template = reader.engine.analyzer.embedder.template
    explanation = explain(reader.embed, first, second, template=template)
    names = [faces.dataset.photos[place].name for place in pair]
    maps = explanation.overlays((first, second))
    return Evidence(names[0], names[1], (first, second), maps, explanation.similarity, verdict)
