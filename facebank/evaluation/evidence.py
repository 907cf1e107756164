"""What the engine saw in pairs that it got wrong: both aligned faces, and what their similarity rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from facebank.errors import PhotoError
from facebank.evaluation.report import Evidence

if TYPE_CHECKING:
    from facebank.evaluation.bench import Bench
    from facebank.evaluation.laboratory import FaceSet

CASES = 12
"""As many errors as one contact sheet shows."""


def evidence_of(
    bench: Bench, faces: FaceSet, pairs: Sequence[tuple[int, int]], verdicts: Sequence[str], limit: int = CASES
) -> tuple[Evidence, ...]:
    """Show pairs of photos with what their similarity rests on.

    The embeddings of faces with a part hidden are kept as all others are, so that a second run does not embed anything.

    Parameters
    ----------
    bench
        Where the faces were read.
    faces
        Of a dataset, unchanged: as `Bench.read` gives them without a change.
    pairs
        Places in the dataset's photos, the worst errors first. Those without two faces, and those whose photo cannot be
        read any more, are passed over.
    verdicts
        One line for each: what was decided, and what is so.
    limit
        How many are shown at most.
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
    from facebank.operations.explanation import explain

    laboratory = bench.laboratory
    try:
        first, second = (laboratory.crop(faces, place) for place in pair)
    except PhotoError:
        return None
    template = laboratory.engine.analyzer.embedder.template
    explanation = explain(laboratory.embed, first, second, template=template)
    names = [faces.dataset.photos[place].name for place in pair]
    maps = explanation.overlays((first, second))
    return Evidence(names[0], names[1], (first, second), maps, explanation.similarity, verdict)
