"""Joint decisions about faces seen at the same time, in which nobody occurs twice."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import replace
from subprocess import run

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.recognition import Rule
from facebank.recognition.joint_assignment import MAX_EXACT, assign_by_probabilities, competing_groups
from facebank.recognition.recognizer import MIN_ODDS
from facebank.types import Decision, Face, Identity, Reason

from .synthetic import (
    DIMENSION,
    MATCH,
    ONE_AND_TWO,
    THREE,
    TOO_NEAR,
    TWO,
    FixedPairs,
    axis,
    classifiers,
    identify_separately,
    make_face,
    make_people,
    make_probes,
    make_recognizer,
    normalize,
    outcome,
    rules,
    sample_counts,
    seeds,
    unit_vector,
)

TWICE = (Decision.UNCERTAIN, Reason.SAME_PERSON_TWICE, None)


def list_names(identities: Sequence[Identity]) -> list[str]:
    return [identity.person for identity in identities if identity.person is not None]


def make_competing_faces(generator: np.random.Generator, people: int, count: int) -> list[Face]:
    """Return faces near a few directions; many of them compete."""
    centers = np.eye(DIMENSION)[generator.integers(people, size=count)]
    return [
        make_face(embedding)
        for embedding in normalize(
            centers + generator.uniform(0, 0.3, (count, 1)) * generator.normal(size=(count, DIMENSION))
        )
    ]


@classifiers
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts, least_probability=st.floats(0, 0.9), face_count=st.integers(2, 12))
def test_no_two_faces_of_a_photo_get_one_name(
    classifier: str, rule: Rule, seed: int, counts: list[int], least_probability: float, face_count: int
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    lenient_rule = replace(rule, least_probability=least_probability, threshold=0.3, margin=0.02)
    recognizer = make_recognizer(enrolled, lenient_rule, classifier)
    identities = recognizer.identify(make_probes(generator, enrolled, face_count))
    assert len(set(list_names(identities))) == len(list_names(identities))
    for identity in identities:
        assert (
            (identity.person is not None) == (identity.decision is Decision.KNOWN) == (identity.reason is Reason.MATCH)
        )
        assert identity.person in {None, identity.candidates[0].person}
        assert identity.probability == identity.candidates[0].probability
        if rule.calibrator is not None:
            assert identity.person is None or (identity.probability or 0) >= least_probability
            values = [candidate.probability or 0.0 for candidate in identity.candidates]
            assert sum(values) + (identity.stranger_probability or 0.0) == pytest.approx(1)


@rules
@given(seed=seeds, data=st.data())
def test_face_never_gets_a_denied_name(rule: Rule, seed: int, data: st.DataObject) -> None:
    faces = make_competing_faces(np.random.default_rng(seed), 3, 5)
    denied = [data.draw(st.sets(st.integers(1, 3))) for _ in faces]
    for denied_ids, identity in zip(denied, make_recognizer(THREE, rule).identify(faces, denied), strict=True):
        offered = {candidate.person for candidate in identity.candidates}
        assert not offered & {f"person {person_id}" for person_id in denied_ids}


@rules
@given(seed=seeds, order=st.permutations(range(6)))
def test_order_of_competing_faces_does_not_matter(rule: Rule, seed: int, order: list[int]) -> None:
    faces = make_competing_faces(np.random.default_rng(seed), 2, 6)
    recognizer = make_recognizer(THREE, rule)
    joint = recognizer.identify(faces)
    assert recognizer.identify([faces[index] for index in order]) == [joint[index] for index in order]


@rules
@given(seed=seeds, counts=sample_counts)
def test_face_unlike_everybody_changes_no_other_decision(rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    faces = make_probes(generator, enrolled)
    unlike = make_face(normalize(np.random.default_rng(seed).normal(size=DIMENSION)))
    recognizer = make_recognizer(enrolled, rule)
    (single,) = recognizer.identify([unlike])
    if single.similarity is not None and single.similarity < rule.threshold and (single.probability or 0) < 0.05:
        assert [outcome(identity) for identity in recognizer.identify([*faces, unlike])] == [
            *(outcome(identity) for identity in recognizer.identify(faces)),
            outcome(single),
        ]


@classifiers
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_faces_that_do_not_compete_are_decided_separately(
    classifier: str, rule: Rule, seed: int, counts: list[int]
) -> None:
    """Allowing a name twice decides each face separately and differs in the reason only."""
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    faces = make_probes(generator, enrolled, 2)
    recognizer = make_recognizer(enrolled, rule, classifier)
    single = identify_separately(recognizer, faces)
    offered = [
        {
            candidate.person
            for candidate in identity.candidates
            if candidate.similarity > 0.1 or (candidate.probability or 0) > 0.01
        }
        for identity in single
    ]
    if classifier == "prototype" and not offered[0] & offered[1]:
        assert recognizer.identify(faces) == single
    lenient = make_recognizer(enrolled, replace(rule, allow_twice=True), classifier)
    assert identify_separately(lenient, faces) == single
    for identity, other in zip(lenient.identify(faces), single, strict=True):
        assert replace(identity, reason=other.reason) == other
        assert identity.reason in {other.reason, Reason.SAME_PERSON_TWICE}


@rules
def test_clearly_likelier_of_two_faces_gets_the_name(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, replace(rule, threshold=0.4))
    clear, weak = recognizer.identify([make_face(unit_vector(0.95)), make_face(unit_vector(0.42))])
    assert outcome(clear) == (*MATCH, "person 1")
    assert outcome(weak) == TWICE
    assert weak.candidates[0].person == "person 1"
    if weak.probability is not None:
        assert weak.probability < 0.1


@rules
def test_neither_of_two_equally_likely_faces_gets_the_name(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule)
    for cosines in ((0.95, 0.95), (0.72, 0.7), (0.95, 0.92, 0.9)):
        identities = recognizer.identify([make_face(unit_vector(cosine)) for cosine in cosines])
        assert {outcome(identity) for identity in identities} == {TWICE}
        assert sum(identity.probability or 0.0 for identity in identities) <= 1 + 1e-9
        allowed = make_recognizer(TWO, replace(rule, allow_twice=True)).identify(
            [make_face(unit_vector(cosine)) for cosine in cosines]
        )
        assert [outcome(identity)[1:] for identity in allowed] == [
            (Reason.MATCH, "person 1"),
            *[(Reason.SAME_PERSON_TWICE, "person 1")] * (len(cosines) - 1),
        ]


@rules
def test_face_that_loses_one_name_may_get_another(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule)
    both = [make_face(unit_vector(0.95)), make_face(unit_vector(0.62, 0.6))]
    assert outcome(recognizer.identify(both[1:])[0]) == TOO_NEAR
    first, second = recognizer.identify(both)
    assert outcome(first) == (*MATCH, "person 1")
    assert outcome(second) == (*MATCH, "person 2")
    assert second.candidates[0].person == "person 2"


@rules
def test_siblings_in_one_photo_are_decided_jointly(rule: Rule) -> None:
    faces = [make_face(unit_vector(0.68, 0.62)), make_face(unit_vector(0.62, 0.68))]
    recognizer = make_recognizer(THREE, rule, confusables=FixedPairs(THREE, ONE_AND_TWO, 0.8))
    assert not list_names(identify_separately(recognizer, faces))
    identities = recognizer.identify(faces)
    if rule.calibrator is not None:
        assert [identity.probability for identity in identities] == [pytest.approx(0.94, abs=0.03)] * 2
    both = [make_face(unit_vector(0.75, 0.5)), make_face(unit_vector(0.5, 0.75))]
    assert {identity.reason for identity in identify_separately(recognizer, both)} == {Reason.CONFUSABLE}
    assert list_names(recognizer.identify(both)) == ["person 1", "person 2"]


@rules
def test_remembered_stranger_does_not_compete(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule, strangers=unit_vector(0.7)[None])
    enrolled, stranger = recognizer.identify([make_face(axis(0)), make_face(unit_vector(0.7))])
    assert outcome(enrolled) == (*MATCH, "person 1")
    assert stranger.reason is Reason.REMEMBERED_STRANGER


@rules
def test_only_tracks_seen_together_compete(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule)
    tracks = [[make_face(unit_vector(0.9))] * 3, [make_face(unit_vector(0.89))] * 2, [make_face(unit_vector(0.91))]]
    assert list_names(recognizer.identify_tracks(tracks)) == ["person 1"] * 3
    identities = recognizer.identify_tracks(tracks, [[0, 1]])
    assert [outcome(identity) for identity in identities] == [TWICE, TWICE, (*MATCH, "person 1")]
    assert identities[2] == recognizer.identify_track(tracks[2])


def enumerate_assignments(indices: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities summed over all assignments."""
    faces, candidates = indices.shape
    shares = np.zeros_like(probabilities)
    for columns in itertools.product(range(candidates + 1), repeat=faces):
        people = [indices[row, column] for row, column in enumerate(columns) if column < candidates]
        if len(set(people)) == len(people):
            weight = np.prod([probabilities[row, column] for row, column in enumerate(columns)])
            for row, column in enumerate(columns):
                shares[row, column] += weight
    normalized: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
    return normalized


def draw_faces(seed: int, faces: int, candidates: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Return candidates, ``(faces, candidates)``, and their probabilities, followed by that of a stranger."""
    generator = np.random.default_rng(seed)
    indices = np.stack([generator.permutation(people)[:candidates] for _ in range(faces)])
    probabilities = generator.dirichlet(np.full(candidates + 1, 0.5), size=faces)
    return indices, probabilities


@given(seeds, st.integers(2, 5), st.integers(1, 3))
def test_probabilities_match_enumeration_of_assignments(seed: int, faces: int, candidates: int) -> None:
    indices, probabilities = draw_faces(seed, faces, candidates, 4)
    assignment = assign_by_probabilities(indices, probabilities, MIN_ODDS)
    assert assignment.probabilities == pytest.approx(enumerate_assignments(indices, probabilities), abs=1e-9)
    assert len(set(assignment.clear[assignment.clear >= 0])) == (assignment.clear >= 0).sum()


@settings(max_examples=20)
@given(seeds)
def test_many_faces_are_assigned_jointly(seed: int) -> None:
    indices, probabilities = draw_faces(seed, MAX_EXACT + 4, 3, 6)
    assignment = assign_by_probabilities(indices, probabilities, MIN_ODDS)
    assert assignment.probabilities is not None
    assert assignment.probabilities.sum(axis=1) == pytest.approx(1)
    clear = assignment.clear[assignment.clear >= 0]
    assert len(set(clear)) == len(clear)


def test_faces_compete_transitively_for_near_people_only() -> None:
    indices = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [4, 6]])
    all_near, near = np.ones((5, 2), bool), np.array([[0, 0], [1, 1], [1, 0], [0, 0], [0, 0]], bool)
    assert competing_groups(indices, all_near, near, range(5)) == [[0, 1, 2]]
    assert competing_groups(indices, all_near, near, [0, 2]) == []
    assert competing_groups(indices, ~all_near, near, range(5)) == []


def test_photo_without_competing_faces_needs_no_scipy() -> None:
    code = (
        "import sys; from tests.recognition.synthetic import *; recognizer = make_recognizer(TWO, CALIBRATED);"
        "recognizer.identify([make_face(unit_vector(0.95)), make_face(unit_vector(0, 0.95))]);"
        "assert 'scipy.optimize' not in sys.modules"
    )
    run([sys.executable, "-c", code], check=True)
