"""Open-set identification: a face is named only above the calibrated threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.calibration.simulation import MAX_SCORES
from facebank.recognition.confusable import MIN_EXPECTED_ERROR, Confusables, share_among_lookalikes
from facebank.recognition.enrolled import check_embeddings
from facebank.recognition.pairs import DEFAULT_CONFUSABLE_ERROR, min_pair_probability
from facebank.recognition.ranking import (
    Ranking,
    average,
    build_identity,
    flag_people_seen_twice,
    least_certain,
    stack,
    withhold_name,
)
from facebank.recognition.scoring import PrototypeScorer, top_indices
from facebank.storage.arrays import normalized
from facebank.types import Candidate, Decision, Face, Identity, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.index.people_index import PeopleIndex
    from facebank.recognition.calibration.calibration import Calibrator
    from facebank.recognition.cohort import Cohort
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray

MAX_CANDIDATES = 5

MIN_ODDS = 10.0  # minimum ratio of the probabilities of a named person and the runner-up
HARDLY_A_FACE = "hardly a face"  # weakness of detections of a hand, an ear or a pattern
BEYOND_DOUBT = 0.95  # probability from which a poor face is named, unless it is hardly a face
MIN_PROBABILITY = 0.5  # default minimum probability of a name
_MIN_QUALITY = 1e-3
_MIN_TOTAL = 1e-12
_EVEN_CHANCE = 0.5
_ROUNDING = 1e-6  # scores are rounded to float32


@dataclass(frozen=True, slots=True)
class Rule:
    """The conditions for naming a face."""

    threshold: float  # lowest score of a name
    margin: float  # minimum lead over the runner-up's similarity; used only without a calibrator
    minimum_quality: float  # below this quality, 0..1, a face is named only beyond doubt
    # similarity from which a face is a remembered stranger's, unless an enrolled person is more similar
    stranger_threshold: float
    calibrator: Calibrator | None = None  # turns scores into probabilities; None for an uncalibrated pack
    stranger_share: float = 0.5  # prior probability that a face is a stranger's, in (0, 1)
    least_probability: float = MIN_PROBABILITY  # lowest probability of a name; used only with a calibrator
    allow_twice: bool = False  # whether several faces of one photo may get the same name
    # lowest probability of the first of two people who look alike, given that the face is one of them
    min_lookalike_probability: float = min_pair_probability(DEFAULT_CONFUSABLE_ERROR)


class _Scores(NamedTuple):
    """One probe's people: indices, ascending, scores and similarities, each of shape ``(K,)``."""

    person_indices: NDArray[np.int64]
    scores: FloatArray
    similarities: FloatArray


class Recognizer:
    """Open-set identification of faces against the enrolled people.

    Parameters
    ----------
    people, names
        The enrolled people, and their names by id.
    scorer
        The scorer of a classifier, fitted to the same samples.
    rule
        The conditions for naming a face.
    strangers
        Embeddings of remembered strangers, ``(S, D)``.
    confusables
        Separates people who look alike; None to treat all people alike.
    cohort
        The album's other people, by whom scores are corrected; None for raw scores.
    hidden_mouth_scorer
        The scorer for faces with a hidden mouth, such as in a mask; None to use `scorer`.

    Attributes
    ----------
    rule
        The conditions for naming a face.
    sample_counts
        Number of samples of each enrolled person, ``int64`` of shape ``(P,)``.
    unenrolled, other_people
        Number of people who are not enrolled, and of others for each enrolled person; 0 without a cohort.

    Raises
    ------
    UsageError
        The scorer was fitted to other people, or the strangers' embeddings have another length.
    """

    def __init__(
        self,
        people: PeopleIndex,
        names: Mapping[int, str],
        scorer: PersonScorer,
        rule: Rule,
        *,
        strangers: FloatArray | None = None,
        confusables: Confusables | None = None,
        hidden_mouth_scorer: PersonScorer | None = None,
        cohort: Cohort | None = None,
    ) -> None:
        fitted = [scorer] if hidden_mouth_scorer is None else [scorer, hidden_mouth_scorer]
        if not all(np.array_equal(fitted_scorer.person_ids, people.person_ids) for fitted_scorer in fitted):
            raise UsageError("The classifier was fitted to people other than the enrolled ones: fit it to these.")
        self._index = people
        self._person_ids = people.person_ids
        self.sample_counts = people.counts
        self._names = names
        self._scorer = scorer
        self.rule = rule
        self._dimension = people.dimension
        self._strangers = None
        if strangers is not None and len(strangers):
            self._strangers = check_embeddings(strangers, "the strangers", self._dimension)
        self._confusables = confusables
        self._hidden_mouth_scorer = hidden_mouth_scorer
        self._cohort = cohort
        self.unenrolled = 0 if cohort is None else cohort.unenrolled
        self.other_people = 0 if cohort is None else cohort.other_people

    def identify(self, faces: Sequence[Face], denied: Sequence[AbstractSet[int]] = ()) -> list[Identity]:
        """Return the identities of the faces of one photo, with each name at most once.

        Parameters
        ----------
        faces
            Probes, with embeddings of the same pack as the enrolled ones.
        denied
            For each face, the ids of people for whom it was denied; empty if there are no denials.

        Raises
        ------
        UsageError
            The embeddings are not finite, or of a different length than the enrolled ones.
        """
        if not faces:
            return []
        rows = [check_embeddings(face.embedding[None], "probes", self._dimension) for face in faces]
        embeddings = np.concatenate(rows)
        ranking = self._rank(embeddings, _hidden_mouths(faces), denied)
        stranger_similarities = self._stranger_similarities(embeddings)
        return self._decide_together(faces, ranking, stranger_similarities, [range(len(faces))])

    def identify_track(self, faces: Sequence[Face]) -> Identity:
        """Return the identity of one person from at least one face, such as those of a track in a video.

        Scores are averaged, weighted by the square of each face's quality. The average is treated as the score of a
        single photo, because frames of one track share light, pose and camera. Errors as for `identify`.
        """
        return self.identify_tracks([faces])[0]

    def identify_tracks(
        self, tracks: Sequence[Sequence[Face]], together: Sequence[Sequence[int]] = ()
    ) -> list[Identity]:
        """Return the identities of people from several faces each; raises as `identify_track`.

        Parameters
        ----------
        tracks
            Faces of one person each.
        together
            Groups of indices of tracks that are visible at the same time: no name is used twice among them.
        """
        if not tracks:
            return []
        faces, rankings, stranger_similarities = zip(*map(self._rank_track, tracks), strict=True)
        return self._decide_together(faces, stack(rankings), np.array(stranger_similarities), together)

    def _rank_track(self, faces: Sequence[Face]) -> tuple[Face, Ranking, float]:
        """Return a typical face of a track, its ranking, and its similarity to the nearest remembered stranger."""
        if not faces:
            raise UsageError("A track needs at least one face.")
        rows = [check_embeddings(face.embedding[None], "probes", self._dimension) for face in faces]
        embeddings = np.concatenate(rows)
        qualities = np.array([face.quality for face in faces])
        weights = np.maximum(qualities, _MIN_QUALITY) ** 2
        weights = weights / weights.sum()
        ranking = self._rank_scores([self._score_track(embeddings, _hidden_mouths(faces), weights)])
        stranger_similarity = float(self._stranger_similarities(embeddings) @ weights)
        typical = replace(faces[0].assessment, score=float(qualities @ weights))
        mean = normalized(average(embeddings, weights).astype(np.float64)).astype(np.float32)
        return (
            Face(faces[0].box, faces[0].landmarks, faces[0].detection_score, typical, mean[0]),
            ranking,
            stranger_similarity,
        )

    def _rank(self, embeddings: FloatArray, hidden: NDArray[np.bool_], denied: Sequence[AbstractSet[int]]) -> Ranking:
        if denied and len(denied) != len(embeddings):
            raise UsageError(f"Expected denials for {len(embeddings)} faces, not for {len(denied)}.")
        max_denied = max(map(len, denied), default=0)
        scored: list[_Scores] = []
        nearby = self._candidates_of(embeddings, hidden, MAX_SCORES + max_denied)
        for row, (embedding, near) in enumerate(zip(embeddings, nearby, strict=True)):
            scores, similarities = self._score(embedding, near, is_hidden=bool(hidden[row]))
            if denied and denied[row]:
                scores = np.where(np.isin(self._person_ids[near], list(denied[row])), -np.inf, scores).astype(
                    np.float32
                )
            scored.append(_Scores(near, scores, similarities))
        return self._rank_scores(scored)

    def _score_track(self, embeddings: FloatArray, hidden: NDArray[np.bool_], weights: NDArray[np.float64]) -> _Scores:
        """Return the weighted average scores of several faces of one person."""
        near = np.arange(len(self._person_ids))
        queries = self._queries(embeddings)
        if isinstance(self._scorer, PrototypeScorer) and queries is not None and not self._compares_masks(hidden).any():
            (near,) = self._scorer.near((weights @ queries)[None], MAX_SCORES, self._margin_tolerance)
        results = [
            self._score(embedding, near, is_hidden=bool(is_hidden))
            for embedding, is_hidden in zip(embeddings, hidden, strict=True)
        ]
        scores, similarities = (average(np.stack(rows), weights)[0] for rows in zip(*results, strict=True))
        return _Scores(near, scores, similarities)

    def _candidates_of(self, embeddings: FloatArray, hidden: NDArray[np.bool_], limit: int) -> list[NDArray[np.int64]]:
        """Return the candidates for the best scores of each face."""
        embeddings64, queries, by_mask = (
            embeddings.astype(np.float64),
            self._queries(embeddings),
            self._compares_masks(hidden),
        )
        if queries is None:
            return [np.arange(len(self._person_ids))] * len(embeddings)
        tolerance = self._margin_tolerance + (0.0 if self._cohort is None else self._cohort.spread)
        is_linear = isinstance(self._scorer, PrototypeScorer)
        unmasked = self._scorer.near(
            queries[~by_mask] if is_linear else embeddings64[~by_mask],
            limit,
            self._margin_tolerance if is_linear else tolerance,
        )
        masked = (
            []
            if self._hidden_mouth_scorer is None
            else self._hidden_mouth_scorer.near(embeddings64[by_mask], limit, tolerance)
        )
        masked_rows, unmasked_rows = iter(masked), iter(unmasked)
        return [next(masked_rows if is_masked else unmasked_rows) for is_masked in by_mask.tolist()]

    def _compares_masks(self, hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return hidden & (self._hidden_mouth_scorer is not None)

    def _queries(self, embeddings: FloatArray) -> NDArray[np.float64] | None:
        """Return the points whose nearest prototypes score best; None if there is no single such point."""
        return embeddings.astype(np.float64) if self._cohort is None else self._cohort.queries(embeddings)

    @property
    def _margin_tolerance(self) -> float:
        """Largest difference between the score by which `_queries` ranks and the exact one."""
        return _ROUNDING + (0.0 if self._cohort is None else 1.0 / max(self._cohort.other_people, 1))

    def _score(
        self, embedding: FloatArray, person_indices: NDArray[np.int64], *, is_hidden: bool
    ) -> tuple[FloatArray, FloatArray]:
        scorer = self._scorer if self._hidden_mouth_scorer is None or not is_hidden else self._hidden_mouth_scorer
        scores = scorer.scores_of(embedding, person_indices)
        # for a hidden mouth, the reported similarity is that with masked samples
        is_similarity = isinstance(scorer, PrototypeScorer)
        similarities = scores if is_similarity else self._index.similarities(embedding, person_indices)
        if self._cohort is not None:
            scores = self._cohort.correct_scores(scores[None], similarities[None], embedding[None], person_indices)[0]
        return scores, similarities

    def _rank_scores(self, scored: Sequence[_Scores]) -> Ranking:
        best = [top_indices(probe.scores[None], MAX_SCORES)[0] for probe in scored]
        person_indices = np.stack([probe.person_indices[order] for probe, order in zip(scored, best, strict=True)])
        scores = np.stack([probe.scores[order] for probe, order in zip(scored, best, strict=True)])
        similarities = np.stack([probe.similarities[order] for probe, order in zip(scored, best, strict=True)])
        if self.rule.calibrator is None:
            return Ranking(person_indices, scores, similarities, None)
        probabilities = self.rule.calibrator.probabilities(
            scores, self.sample_counts[person_indices], len(self._person_ids), self.rule.stranger_share, self.unenrolled
        )
        if self._confusables is not None:
            share_among_lookalikes(self._confusables, person_indices, similarities, probabilities)
        return Ranking(person_indices, scores, similarities, probabilities)

    def _stranger_similarities(self, embeddings: FloatArray) -> FloatArray:
        if self._strangers is None:
            return np.full(len(embeddings), -1.0, dtype=np.float32)
        return np.asarray((embeddings @ self._strangers.T).max(axis=1), dtype=np.float32)

    def _decide_together(
        self,
        faces: Sequence[Face],
        ranking: Ranking,
        stranger_similarities: NDArray[np.floating],
        together: Sequence[Sequence[int]],
    ) -> list[Identity]:
        alone = [self._decide(face, ranking, row, float(stranger_similarities[row])) for row, face in enumerate(faces)]
        if self.rule.allow_twice:
            return flag_people_seen_twice(alone, together)
        if not any(len(rows) > 1 for rows in together):
            return alone
        from facebank.recognition.joint_assignment import COMPETING, competing_groups

        near = ranking.scores >= self.rule.threshold
        plausible = near if ranking.probabilities is None else near | (ranking.probabilities[:, :-1] >= COMPETING)
        plausible &= np.isfinite(ranking.scores)
        plausible[[identity.reason is Reason.REMEMBERED_STRANGER for identity in alone]] = False
        joint: dict[int, list[Identity]] = {}
        for rows in together:
            for group in competing_groups(ranking.person_indices, plausible, near, rows) if len(rows) > 1 else ():
                # in a canonical order, so that results do not depend on the photo's order
                group.sort(key=lambda row: (ranking.person_indices[row].tolist(), ranking.scores[row].tolist()))
                for row, identity in self._assign_jointly(group, faces, ranking, stranger_similarities, alone).items():
                    joint.setdefault(row, []).append(identity)
        return [least_certain(joint[row]) if row in joint else identity for row, identity in enumerate(alone)]

    def _assign_jointly(
        self,
        group: Sequence[int],
        faces: Sequence[Face],
        ranking: Ranking,
        stranger_similarities: NDArray[np.floating],
        alone: Sequence[Identity],
    ) -> dict[int, Identity]:
        """Return the identities of faces that compete for people, by row; a loser may keep its next candidate."""
        from facebank.recognition.joint_assignment import assign_by_probabilities, assign_by_similarities

        rule, part = self.rule, ranking.select(group)
        if part.probabilities is None:
            near = part.scores >= rule.threshold
            assignment = assign_by_similarities(
                part.person_indices, part.similarities, near, rule.threshold, rule.margin
            )
        else:
            assignment = assign_by_probabilities(part.person_indices, part.probabilities, MIN_ODDS)
        joint = replace(part, probabilities=assignment.probabilities)
        ordered = joint.reorder(assignment.columns)
        named = {index for index, person in enumerate(assignment.clear) if person >= 0}
        while True:  # a name that depends on another face's name is withdrawn with it
            taken = {index: {int(assignment.clear[other]) for other in named - {index}} for index in named}
            still_named = {
                index
                for index in named
                if self._outcome(
                    faces[group[index]], ordered, index, float(stranger_similarities[group[index]]), taken[index]
                )[0]
                is Decision.KNOWN
            }
            if still_named == named:
                break
            named = still_named
        names = {self._names[int(self._person_ids[assignment.clear[index]])] for index in named}
        identities = {}
        for index, row in enumerate(group):
            if index in named:
                candidates, decision, reason = self._candidates(ordered, index), Decision.KNOWN, Reason.MATCH
            else:
                candidates = self._candidates(joint, index)
                decision, reason = withhold_name(alone[row], names)
            identities[row] = build_identity(decision, reason, candidates)
        return identities

    def _decide(self, face: Face, ranking: Ranking, row: int, stranger_similarity: float) -> Identity:
        candidates = self._candidates(ranking, row)
        if not candidates:
            is_remembered = stranger_similarity >= self.rule.stranger_threshold
            reason = Reason.REMEMBERED_STRANGER if is_remembered else Reason.BELOW_THRESHOLD
            return Identity(Decision.UNKNOWN, reason, None, None, None, ())
        return build_identity(*self._outcome(face, ranking, row, stranger_similarity), candidates)

    def _candidates(self, ranking: Ranking, row: int) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(
                person=self._names[int(self._person_ids[index])],
                similarity=float(ranking.similarities[row, column]),
                probability=None if ranking.probabilities is None else float(ranking.probabilities[row, column]),
            )
            for column, index in enumerate(ranking.person_indices[row, :MAX_CANDIDATES])
            if np.isfinite(ranking.scores[row, column])
        )

    def _outcome(
        self,
        face: Face,
        ranking: Ranking,
        row: int,
        stranger_similarity: float,
        taken: AbstractSet[int] = frozenset(),
    ) -> tuple[Decision, Reason]:
        rule = self.rule
        is_poor = face.quality < rule.minimum_quality
        if stranger_similarity >= max(rule.stranger_threshold, float(ranking.similarities[row, 0])):
            return Decision.UNKNOWN, Reason.REMEMBERED_STRANGER
        if is_poor and (HARDLY_A_FACE in face.assessment.weaknesses or not self._is_beyond_doubt(ranking, row)):
            return Decision.UNCERTAIN, Reason.FACE_TOO_POOR
        if ranking.scores[row, 0] < rule.threshold:
            return Decision.UNKNOWN, Reason.BELOW_THRESHOLD
        doubt = self._doubt_about_runner_up(ranking, row, taken)
        if doubt is None and ranking.probabilities is not None:
            doubt = Reason.IMPROBABLE if ranking.probabilities[row, 0] < rule.least_probability else None
        return (Decision.KNOWN, Reason.MATCH) if doubt is None else (Decision.UNCERTAIN, doubt)

    def _doubt_about_runner_up(self, ranking: Ranking, row: int, taken: AbstractSet[int]) -> Reason | None:
        """Return the reason for doubt between the best person and a runner-up; None if there is none."""
        first, *others = ranking.person_indices[row].tolist()
        for column, (other, is_near) in enumerate(zip(others, self._too_near(ranking, row).tolist(), strict=True), 1):
            if not np.isfinite(ranking.scores[row, column]):
                break
            if other in taken:  # already reflected in the probabilities
                if is_near and ranking.probabilities is not None:
                    return Reason.RUNNER_UP_TOO_NEAR
            elif self._confusables is not None and self._confusables.margin_weight(first, other):
                if self._pair_probability(ranking, row, column) < self._min_pair_probability(first, other):
                    return Reason.CONFUSABLE
            elif is_near:
                return Reason.RUNNER_UP_TOO_NEAR
        return None

    def _min_pair_probability(self, first: int, other: int) -> float:
        confusables = self._confusables
        error = 0.0 if confusables is None else confusables.expected_error(first, other)
        return self.rule.min_lookalike_probability if error >= MIN_EXPECTED_ERROR else _EVEN_CHANCE

    def _pair_probability(self, ranking: Ranking, row: int, column: int) -> float:
        """Return the probability of the best person, given that it is that one or the other."""
        if ranking.probabilities is not None:
            a, b = (float(ranking.probabilities[row, index]) for index in (0, column))
            return a / max(a + b, _MIN_TOTAL)
        if self._confusables is None:
            return 1.0
        first, other = ranking.person_indices[row, [0, column]].tolist()
        margin = float(ranking.similarities[row, 0]) - float(ranking.similarities[row, column])
        return self._confusables.probability(first, other, margin)

    def _is_beyond_doubt(self, ranking: Ranking, row: int) -> bool:
        if ranking.probabilities is None:
            return bool(ranking.scores[row, 0] >= self.rule.threshold + self.rule.margin)
        return bool(ranking.probabilities[row, 0] >= BEYOND_DOUBT and ranking.scores[row, 0] >= self.rule.threshold)

    def _too_near(self, ranking: Ranking, row: int) -> NDArray[np.bool_]:
        """Return which of the people after the best one are too near to it, ``(K - 1,)``."""
        if ranking.probabilities is None:
            similarities = ranking.similarities[row]
            near: NDArray[np.bool_] = similarities[0] - similarities[1:] < self.rule.margin
        else:
            probabilities = ranking.probabilities[row, :-1]
            near = probabilities[0] < MIN_ODDS * probabilities[1:]
        return near


def _hidden_mouths(faces: Sequence[Face]) -> NDArray[np.bool_]:
    return np.array([face.assessment.mouth_hidden for face in faces])


def empty_gallery_identities(faces: Sequence[Face]) -> list[Identity]:
    """Return the identities for an empty gallery."""
    return [Identity(Decision.UNKNOWN, Reason.GALLERY_EMPTY, None, None, None, ()) for _ in faces]
