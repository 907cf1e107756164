"""Properties of open-set identification with real scorers and a synthetic calibrator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.recognition import Recognizer, Rule
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.recognizer import (
    BEYOND_DOUBT,
    HARDLY_A_FACE,
    MAX_CANDIDATES,
    MIN_ODDS,
    empty_gallery_identities,
)
from facebank.recognition.scoring import PrototypeScorer
from facebank.recognition.training import build_scorer
from facebank.types import Decision, Identity, Reason

from .synthetic import (
    BACKGROUND,
    BELOW,
    CALIBRATED,
    DIMENSION,
    IMPROBABLE,
    MATCH,
    PLAIN,
    POOR,
    THREE,
    TOO_NEAR,
    TWO,
    axis,
    classifiers,
    decide,
    identify_separately,
    make_enrolled,
    make_face,
    make_names,
    make_people,
    make_probes,
    make_recognizer,
    normalize,
    outcome,
    rules,
    sample_counts,
    seeds,
    shuffle,
)


@given(seeds, sample_counts)
def test_naming_without_calibration_uses_threshold_and_margin(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    faces = make_probes(generator, enrolled)
    scores = PrototypeScorer(enrolled.index).scores(np.stack([probe.embedding for probe in faces]))
    for row, identity in zip(scores, identify_separately(make_recognizer(enrolled), faces), strict=True):
        ordered = np.sort(row)[::-1]
        assert identity.probability is None
        assert all(candidate.probability is None for candidate in identity.candidates)
        if ordered[0] < PLAIN.threshold:
            assert outcome(identity) == BELOW
        elif len(ordered) > 1 and ordered[0] - ordered[1] < PLAIN.margin:
            assert outcome(identity) == TOO_NEAR
        else:
            assert outcome(identity) == (*MATCH, f"person {int(np.argmax(row)) + 1}")


@given(seeds, sample_counts, st.floats(0.01, 0.99))
def test_naming_with_calibration_uses_the_odds_over_the_runner_up(
    seed: int, counts: list[int], stranger_share: float
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    faces = make_probes(generator, enrolled)
    scores = PrototypeScorer(enrolled.index).scores(np.stack([probe.embedding for probe in faces]))
    rule = replace(CALIBRATED, stranger_share=stranger_share)
    for row, identity in zip(scores, identify_separately(make_recognizer(enrolled, rule), faces), strict=True):
        probabilities = [candidate.probability for candidate in identity.candidates]
        assert identity.probability == probabilities[0]
        assert all(probability is not None and 0 <= probability <= 1 for probability in probabilities)
        assert sum(probability or 0 for probability in probabilities) < 1
        if row.max() < rule.threshold:
            assert outcome(identity) == BELOW
        elif any((probabilities[0] or 0) < MIN_ODDS * (other or 0) for other in probabilities[1:]):
            assert outcome(identity) == TOO_NEAR
        elif (probabilities[0] or 0) < rule.least_probability:
            assert len(counts) > MAX_CANDIDATES or outcome(identity) == IMPROBABLE
        elif len(counts) <= MAX_CANDIDATES:
            assert outcome(identity) == (*MATCH, f"person {int(np.argmax(row)) + 1}")


@classifiers
@settings(max_examples=20)
@given(seeds, sample_counts, st.floats(0.01, 0.999999), st.floats(-1, 0.6), st.floats(0, 0.99))
def test_nobody_is_named_below_the_probability(
    classifier: str, seed: int, counts: list[int], stranger_share: float, threshold: float, least_probability: float
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    rule = replace(CALIBRATED, threshold=threshold, stranger_share=stranger_share, least_probability=least_probability)
    recognizer = make_recognizer(enrolled, rule, classifier)
    faces = make_probes(generator, enrolled)
    for identity in (
        *recognizer.identify(faces),
        *identify_separately(recognizer, faces),
        recognizer.identify_track(faces),
    ):
        if identity.person is not None:
            assert (identity.probability or 0) >= least_probability
        if identity.reason is Reason.IMPROBABLE:
            assert identity.decision is Decision.UNCERTAIN
            assert (identity.probability or 0) < least_probability


def test_probability_applies_only_with_a_calibration() -> None:
    demanding = replace(CALIBRATED, threshold=0.2, least_probability=0.999)
    assert outcome(decide(make_recognizer(TWO, demanding), 0.5)) == IMPROBABLE
    assert outcome(decide(make_recognizer(TWO, replace(demanding, least_probability=0.0)), 0.5)) == (*MATCH, "person 1")
    assert outcome(decide(make_recognizer(TWO, replace(demanding, calibrator=None)), 0.5)) == (*MATCH, "person 1")


@classifiers
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_only_a_known_first_candidate_is_named(classifier: str, rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    for identity in make_recognizer(enrolled, rule, classifier).identify(make_probes(generator, enrolled)):
        assert (identity.person is not None) == (identity.decision is Decision.KNOWN)
        first = identity.candidates[0]
        assert identity.person in {None, first.person}
        assert (identity.similarity, identity.probability) == (first.similarity, first.probability)
        names = [candidate.person for candidate in identity.candidates]
        assert len(names) == len(set(names)) == min(MAX_CANDIDATES, len(counts))
        assert all(-1 <= candidate.similarity <= 1 for candidate in identity.candidates)


@classifiers
@rules
def test_candidates_are_sorted_by_score(classifier: str, rule: Rule) -> None:
    generator = np.random.default_rng(1)
    enrolled = make_people(generator, [3, 1, 5, 2, 2, 4, 1, 1])
    faces = make_probes(generator, enrolled, 30)
    scorer = build_scorer(classifier, enrolled, BACKGROUND)
    scores = scorer.scores(np.stack([probe.embedding for probe in faces]))
    for row, identity in zip(
        scores, identify_separately(make_recognizer(enrolled, rule, classifier), faces), strict=True
    ):
        expected = [f"person {index + 1}" for index in np.argsort(-row, kind="stable")[:MAX_CANDIDATES]]
        assert [candidate.person for candidate in identity.candidates] == expected


@rules
@given(seed=seeds, counts=sample_counts)
def test_order_of_samples_does_not_matter(rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    shuffled = shuffle(generator, enrolled)
    faces = make_probes(generator, enrolled)
    first, second = (make_recognizer(gallery, rule).identify(faces) for gallery in (enrolled, shuffled))
    for before, after in zip(first, second, strict=True):
        names = [candidate.person for candidate in after.candidates]
        assert [candidate.person for candidate in before.candidates] == names
        assert before.similarity == pytest.approx(after.similarity, abs=1e-6)
        assert before.probability == pytest.approx(after.probability, abs=1e-4)


@classifiers
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_order_of_faces_does_not_matter(classifier: str, rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    faces = make_probes(generator, enrolled)
    recognizer = make_recognizer(enrolled, rule, classifier)
    joint = recognizer.identify(faces)
    order = generator.permutation(len(faces))
    assert recognizer.identify([faces[index] for index in order]) == [joint[index] for index in order]
    assert recognizer.identify(faces) == joint


@rules
@given(first=st.floats(0, 0.9), rise=st.floats(0, 0.3), second=st.floats(-0.4, 0.4), fall=st.floats(0, 0.3))
def test_known_stays_known_as_the_margin_grows(
    rule: Rule, first: float, rise: float, second: float, fall: float
) -> None:
    recognizer = make_recognizer(TWO, rule)
    before = decide(recognizer, first, second)
    after = decide(recognizer, min(first + rise, 0.9), second - fall * (second - fall > -0.4))
    if before.person == "person 1":
        assert after.person == "person 1"
        assert (after.probability or 0) >= (before.probability or 0)


@given(seeds, sample_counts)
def test_distant_person_changes_no_name(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    for probe in make_probes(generator, enrolled):
        (before,) = make_recognizer(enrolled).identify([probe])
        opposite = EnrolledSamples(
            np.vstack([enrolled.embeddings, -probe.embedding]),
            np.append(enrolled.person_ids, len(counts) + 1),
            np.append(enrolled.qualities, np.float32(1)),
        )
        (after,) = make_recognizer(opposite).identify([probe])
        assert (outcome(after), after.candidates[0]) == (outcome(before), before.candidates[0])


@rules
def test_gallery_of_one_sample_uses_the_threshold_only(rule: Rule) -> None:
    recognizer = make_recognizer(make_enrolled((7, axis(0))), rule)
    assert outcome(decide(recognizer, 0.51)) == (*MATCH, "person 7")
    assert outcome(decide(recognizer, 0.49)) == BELOW


@pytest.mark.parametrize("classifier", ["svm", "svm-rbf", "logistic"])
def test_fitted_classifier_works_with_a_single_sample(classifier: str) -> None:
    recognizer = make_recognizer(make_enrolled((1, axis(0))), PLAIN, classifier)
    enrolled, opposite = recognizer.identify([make_face(axis(0)), make_face(-axis(0))])
    assert (enrolled.person, opposite.person) == ("person 1", None)


@rules
@classifiers
def test_near_runner_up_makes_the_decision_uncertain(classifier: str, rule: Rule) -> None:
    identity = decide(make_recognizer(TWO, replace(rule, threshold=-1), classifier), 0.7, 0.69)
    assert outcome(identity) == TOO_NEAR
    assert [candidate.person for candidate in identity.candidates] == ["person 1", "person 2"]


@rules
@classifiers
def test_two_people_with_the_same_photo_are_never_distinguished(classifier: str, rule: Rule) -> None:
    twins = make_enrolled((1, axis(0)), (2, axis(0)), (3, axis(5)))
    identity = decide(make_recognizer(twins, replace(rule, threshold=-1), classifier), 0.95)
    assert outcome(identity) == TOO_NEAR
    assert {candidate.person for candidate in identity.candidates[:2]} == {"person 1", "person 2"}


@rules
@pytest.mark.parametrize("quality", [0.0, 0.19, 0.2, 1.0])
def test_poor_face_needs_higher_certainty(rule: Rule, quality: float) -> None:
    recognizer = make_recognizer(TWO, rule)
    is_poor = quality < rule.minimum_quality
    assert outcome(decide(recognizer, 0.95, quality=quality)) == (*MATCH, "person 1")
    recognizer = make_recognizer(TWO, replace(rule, threshold=0.2, least_probability=0.0))
    doubtful = decide(recognizer, 0.28, quality=quality)
    assert outcome(doubtful) == (POOR if is_poor else (*MATCH, "person 1"))
    assert doubtful.candidates[0].person == "person 1"
    assert outcome(decide(recognizer, 0.1, quality=quality)) == (POOR if is_poor else BELOW)


@rules
def test_poor_face_of_low_detection_score_is_never_named(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule)
    for quality, expected in ((0.1, POOR), (1.0, (*MATCH, "person 1"))):
        plain = make_face(axis(0), quality)
        doubtful = replace(plain, assessment=replace(plain.assessment, weaknesses=(HARDLY_A_FACE,)))
        assert [outcome(identity) for identity in recognizer.identify([doubtful])] == [expected]
        assert [outcome(identity) for identity in recognizer.identify([plain])] == [(*MATCH, "person 1")]


@rules
@given(seed=seeds, counts=sample_counts, quality=st.floats(0, 0.19))
def test_poor_face_gets_no_name_that_a_good_one_would_not(
    rule: Rule, seed: int, counts: list[int], quality: float
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    recognizer = make_recognizer(enrolled, rule)
    good = make_probes(generator, enrolled)
    for good_face, poor_face in zip(good, (make_face(probe.embedding, quality) for probe in good), strict=True):
        ((named,), (poor,)) = recognizer.identify([good_face]), recognizer.identify([poor_face])
        assert poor.candidates == named.candidates
        assert outcome(poor) in {outcome(named), POOR}
        if poor.person is not None and rule.calibrator is not None:
            assert (poor.probability or 0) >= BEYOND_DOUBT


@classifiers
@pytest.mark.parametrize("samples", [2, 31, 500])
def test_many_samples_do_not_outweigh_a_single_one(classifier: str, samples: int) -> None:
    generator = np.random.default_rng(0)
    first = [(1, embedding) for embedding in normalize(axis(0) + 0.1 * generator.normal(size=(samples, DIMENSION)))]
    both = [*first[:400], (2, axis(1))] if classifier == "svm-rbf" else [*first, (2, axis(1))]
    for rule in (PLAIN, CALIBRATED):
        recognizer = make_recognizer(make_enrolled(*both), rule, classifier)
        assert decide(recognizer, 0.95).person == "person 1"
        assert decide(recognizer, 0, 0.95).person == "person 2"
        assert decide(recognizer, 0.3, 0.9).person == "person 2"


def test_person_among_thousands_is_found() -> None:
    generator = np.random.default_rng(0)
    enrolled = make_people(generator, [1] * 5000)
    identities = make_recognizer(enrolled, replace(CALIBRATED, threshold=0.9)).identify(
        [make_face(enrolled.embeddings[4321])]
    )
    assert [identity.candidates[0].person for identity in identities] == ["person 4322"]


def test_nobody_is_known_in_an_empty_gallery() -> None:
    (identity,) = empty_gallery_identities([make_face(axis(0))])
    assert identity == Identity(Decision.UNKNOWN, Reason.GALLERY_EMPTY, None, None, None, ())
    assert empty_gallery_identities([]) == make_recognizer(TWO).identify([]) == []


@pytest.mark.parametrize(
    "embeddings",
    [
        [np.ones(4, np.float32)],
        [np.ones((1, DIMENSION), np.float32)],
        [axis(0), np.ones(4, np.float32)],
        [np.float32(1)],
        [np.empty(0, np.float32)],
        [np.full(DIMENSION, np.nan, np.float32)],
        [axis(0), np.full(DIMENSION, np.inf, np.float32)],
        [np.full(DIMENSION, "a")],
    ],
)
def test_invalid_embeddings_are_refused(embeddings: list[Any]) -> None:
    with pytest.raises(UsageError, match="probes"):
        make_recognizer(TWO).identify([make_face(np.asarray(embedding)) for embedding in embeddings])


@pytest.mark.parametrize("strangers", [np.ones((1, 4)), np.full((1, DIMENSION), np.nan), np.ones(DIMENSION)])
def test_strangers_of_another_length_are_refused(strangers: Any) -> None:
    with pytest.raises(UsageError, match="strangers"):
        make_recognizer(TWO, strangers=strangers)


def test_classifier_of_other_people_is_refused() -> None:
    with pytest.raises(UsageError, match="people other than"):
        Recognizer(TWO.index, make_names(TWO), PrototypeScorer(THREE.index), PLAIN)
