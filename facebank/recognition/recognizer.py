"""Open-set identification: a name is given only when it is earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facebank.faces import Candidate, Decision, Face, Outcome, Reason

if TYPE_CHECKING:
    from facebank.faces import FloatArray
    from facebank.gallery import VectorStore
    from facebank.packs import Thresholds

_CANDIDATES = 5
_FIRST_LIMIT = 32


class Recognizer:
    """Decides whose faces they are.

    Parameters
    ----------
    store
        The enrolled embeddings.
    names
        The people's names by their numbers in the store.
    thresholds
        Of the pack that made the embeddings.
    """

    def __init__(self, store: VectorStore, names: Mapping[int, str], thresholds: Thresholds) -> None:
        self._store = store
        self._names = names
        self._thresholds = thresholds

    def identify(self, faces: Sequence[Face]) -> list[Decision]:
        """Identify faces.

        Parameters
        ----------
        faces
            Probes, with embeddings of the same pack as the store's.

        Returns
        -------
        list[Decision]
            One for each face, in order.

        Raises
        ------
        UsageError
            The embeddings are of another length than the store's.
        """
        if not faces:
            return []
        candidates = self.candidates(np.stack([face.embedding for face in faces]))
        return [self._decide(face, found) for face, found in zip(faces, candidates, strict=True)]

    def candidates(self, embeddings: FloatArray) -> list[tuple[Candidate, ...]]:
        """Find the five most similar people of each embedding.

        Parameters
        ----------
        embeddings
            L2-normalised, ``float32`` of shape ``(n, dimension)``.

        Returns
        -------
        list[tuple[Candidate, ...]]
            Best first; a person counts with the most similar sample. Fewer than five where fewer are enrolled.
        """
        wanted = min(_CANDIDATES, self._store.people)
        limit = _FIRST_LIMIT
        while True:
            hits = self._store.search(embeddings, limit)
            found = [
                self._best_of_each(similarities, person_ids)
                for similarities, person_ids in zip(hits.similarities, hits.person_ids, strict=True)
            ]
            exhausted = limit >= self._store.count
            if exhausted or all(len(people) >= wanted for people in found):
                return [tuple(people[:_CANDIDATES]) for people in found]
            limit *= 4

    def _best_of_each(
        self, similarities: FloatArray, person_ids: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> list[Candidate]:
        _, first = np.unique(person_ids, return_index=True)
        return [Candidate(self._names[int(person_ids[i])], float(similarities[i])) for i in np.sort(first)]

    def _decide(self, face: Face, candidates: tuple[Candidate, ...]) -> Decision:
        outcome, reason = self._outcome(face, candidates)
        best = candidates[0] if candidates else None
        return Decision(
            outcome=outcome,
            reason=reason,
            person=best.person if best is not None and outcome is Outcome.KNOWN else None,
            similarity=best.similarity if best is not None else None,
            probability=None,
            candidates=candidates,
        )

    def _outcome(self, face: Face, candidates: tuple[Candidate, ...]) -> tuple[Outcome, Reason]:
        thresholds = self._thresholds
        if not candidates:
            return Outcome.UNKNOWN, Reason.GALLERY_EMPTY
        if face.quality.score < thresholds.minimum_quality:
            return Outcome.UNCERTAIN, Reason.FACE_TOO_POOR
        if candidates[0].similarity < thresholds.known:
            return Outcome.UNKNOWN, Reason.BELOW_THRESHOLD
        if len(candidates) > 1 and candidates[0].similarity - candidates[1].similarity < thresholds.margin:
            return Outcome.UNCERTAIN, Reason.RUNNER_UP_TOO_NEAR
        return Outcome.KNOWN, Reason.MATCH
