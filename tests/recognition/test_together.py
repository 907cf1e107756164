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
from facebank.recognition.recognizer import LEAST_ODDS
from facebank.recognition.together import MOST_EXACT, competing, share_probabilities
from facebank.types import Decision, Face, Identity, Reason

from .synthetic import (
    DIMENSION,
    MATCH,
    ONE_AND_TWO,
    THREE,
    TOO_NEAR,
    TWO,
    Pairs,
    axis,
    face,
    kinds,
    one_by_one,
    outcome,
    people,
    probes,
    recognizer,
    rules,
    sample_counts,
    seeds,
    unit,
    with_cosines,
)

TWICE = (Decision.UNCERTAIN, Reason.SAME_PERSON_TWICE, None)


def names(decisions: Sequence[Identity]) -> list[str]:
    return [decision.person for decision in decisions if decision.person is not None]


def like_somebody(generator: np.random.Generator, owners: int, count: int) -> list[Face]:
    """Return faces near a few directions, so that many compete."""
    centers = np.eye(DIMENSION)[generator.integers(owners, size=count)]
    return [
        face(vector)
        for vector in unit(centers + generator.uniform(0, 0.3, (count, 1)) * generator.normal(size=(count, DIMENSION)))
    ]


@kinds
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts, least=st.floats(0, 0.9), faces=st.integers(2, 12))
def test_no_two_faces_of_a_photo_get_one_name(
    kind: str, rule: Rule, seed: int, counts: list[int], least: float, faces: int
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = people(generator, counts)
    judge = recognizer(enrolled, replace(rule, least_probability=least, threshold=0.3, margin=0.02), kind)
    decisions = judge.identify(probes(generator, enrolled, faces))
    assert len(set(names(decisions))) == len(names(decisions))
    for decision in decisions:
        assert (
            (decision.person is not None) == (decision.decision is Decision.KNOWN) == (decision.reason is Reason.MATCH)
        )
        assert decision.person in {None, decision.candidates[0].person}
        assert decision.probability == decision.candidates[0].probability
        if rule.calibrator is not None:
            assert decision.person is None or (decision.probability or 0) >= least
            values = [candidate.probability or 0.0 for candidate in decision.candidates]
            assert sum(values) + (decision.stranger_probability or 0.0) == pytest.approx(1)


@rules
@given(seed=seeds, data=st.data())
def test_face_never_gets_a_denied_name(rule: Rule, seed: int, data: st.DataObject) -> None:
    probed = like_somebody(np.random.default_rng(seed), 3, 5)
    denied = [data.draw(st.sets(st.integers(1, 3))) for _ in probed]
    for people_denied, decision in zip(denied, recognizer(THREE, rule).identify(probed, denied), strict=True):
        offered = {candidate.person for candidate in decision.candidates}
        assert not offered & {f"person {number}" for number in people_denied}


@rules
@given(seed=seeds, order=st.permutations(range(6)))
def test_order_of_competing_faces_does_not_matter(rule: Rule, seed: int, order: list[int]) -> None:
    probed = like_somebody(np.random.default_rng(seed), 2, 6)
    judge = recognizer(THREE, rule)
    together = judge.identify(probed)
    assert judge.identify([probed[place] for place in order]) == [together[place] for place in order]


@rules
@given(seed=seeds, counts=sample_counts)
def test_face_unlike_everybody_changes_nothing(rule: Rule, seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = people(generator, counts)
    probed = probes(generator, enrolled)
    unlike = face(unit(np.random.default_rng(seed).normal(size=DIMENSION)))
    judge = recognizer(enrolled, rule)
    (alone,) = judge.identify([unlike])
    if alone.similarity is not None and alone.similarity < rule.threshold and (alone.probability or 0) < 0.05:
        assert [outcome(each) for each in judge.identify([*probed, unlike])] == [
            *(outcome(each) for each in judge.identify(probed)),
            outcome(alone),
        ]


@kinds
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts)
def test_faces_that_do_not_compete_are_decided_separately(kind: str, rule: Rule, seed: int, counts: list[int]) -> None:
    """Allowing a name twice decides each face separately and differs in the reason only."""
    generator = np.random.default_rng(seed)
    enrolled = people(generator, counts)
    probed = probes(generator, enrolled, 2)
    judge = recognizer(enrolled, rule, kind)
    alone = one_by_one(judge, probed)
    offered = [
        {c.person for c in each.candidates if c.similarity > 0.1 or (c.probability or 0) > 0.01} for each in alone
    ]
    if kind == "prototype" and not offered[0] & offered[1]:
        assert judge.identify(probed) == alone
    allowing = recognizer(enrolled, replace(rule, allow_twice=True), kind)
    assert one_by_one(allowing, probed) == alone
    for one, other in zip(allowing.identify(probed), alone, strict=True):
        assert replace(one, reason=other.reason) == other
        assert one.reason in {other.reason, Reason.SAME_PERSON_TWICE}


@rules
def test_clearly_likelier_of_two_faces_gets_the_name(rule: Rule) -> None:
    judge = recognizer(TWO, replace(rule, threshold=0.4))
    clear, weak = judge.identify([face(with_cosines(0.95)), face(with_cosines(0.42))])
    assert outcome(clear) == (*MATCH, "person 1")
    assert outcome(weak) == TWICE
    assert weak.candidates[0].person == "person 1"
    if weak.probability is not None:
        assert weak.probability < 0.1


@rules
def test_neither_of_two_equally_likely_faces_gets_the_name(rule: Rule) -> None:
    judge = recognizer(TWO, rule)
    for cosines in ((0.95, 0.95), (0.72, 0.7), (0.95, 0.92, 0.9)):
        decisions = judge.identify([face(with_cosines(cosine)) for cosine in cosines])
        assert {outcome(each) for each in decisions} == {TWICE}
        assert sum(each.probability or 0.0 for each in decisions) <= 1 + 1e-9
        allowed = recognizer(TWO, replace(rule, allow_twice=True)).identify([face(with_cosines(c)) for c in cosines])
        assert [outcome(each)[1:] for each in allowed] == [
            (Reason.MATCH, "person 1"),
            *[(Reason.SAME_PERSON_TWICE, "person 1")] * (len(cosines) - 1),
        ]


@rules
def test_face_that_loses_one_name_may_get_another(rule: Rule) -> None:
    judge = recognizer(TWO, rule)
    both = [face(with_cosines(0.95)), face(with_cosines(0.62, 0.6))]
    assert outcome(judge.identify(both[1:])[0]) == TOO_NEAR
    first, second = judge.identify(both)
    assert outcome(first) == (*MATCH, "person 1")
    assert outcome(second) == (*MATCH, "person 2")
    assert second.candidates[0].person == "person 2"


@rules
def test_siblings_in_one_photo_help_each_other(rule: Rule) -> None:
    faces = [face(with_cosines(0.68, 0.62)), face(with_cosines(0.62, 0.68))]
    judge = recognizer(THREE, rule, confusables=Pairs(THREE, ONE_AND_TWO, 0.8))
    assert not names(one_by_one(judge, faces))
    decisions = judge.identify(faces)
    if rule.calibrator is not None:
        assert [decision.probability for decision in decisions] == [pytest.approx(0.94, abs=0.03)] * 2
    both = [face(with_cosines(0.75, 0.5)), face(with_cosines(0.5, 0.75))]
    assert {each.reason for each in one_by_one(judge, both)} == {Reason.CONFUSABLE}
    assert names(judge.identify(both)) == ["person 1", "person 2"]


@rules
def test_remembered_stranger_does_not_compete(rule: Rule) -> None:
    judge = recognizer(TWO, rule, strangers=with_cosines(0.7)[None])
    known, stranger = judge.identify([face(axis(0)), face(with_cosines(0.7))])
    assert outcome(known) == (*MATCH, "person 1")
    assert stranger.reason is Reason.REMEMBERED_STRANGER


@rules
def test_only_tracks_seen_together_compete(rule: Rule) -> None:
    judge = recognizer(TWO, rule)
    tracks = [[face(with_cosines(0.9))] * 3, [face(with_cosines(0.89))] * 2, [face(with_cosines(0.91))]]
    assert names(judge.identify_tracks(tracks)) == ["person 1"] * 3
    decisions = judge.identify_tracks(tracks, [[0, 1]])
    assert [outcome(each) for each in decisions] == [TWICE, TWICE, (*MATCH, "person 1")]
    assert decisions[2] == judge.identify_track(tracks[2])


# Probabilities of assignments --------------------------------------------------------------------------------------


def by_hand(places: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities summed over all assignments."""
    faces, candidates = places.shape
    shares = np.zeros_like(probabilities)
    for columns in itertools.product(range(candidates + 1), repeat=faces):
        given = [places[row, column] for row, column in enumerate(columns) if column < candidates]
        if len(set(given)) == len(given):
            ways = np.prod([probabilities[row, column] for row, column in enumerate(columns)])
            for row, column in enumerate(columns):
                shares[row, column] += ways
    summed: np.ndarray = shares / shares.sum(axis=1, keepdims=True)
    return summed


def drawn(seed: int, faces: int, candidates: int, persons: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    places = np.stack([generator.permutation(persons)[:candidates] for _ in range(faces)])
    probabilities = generator.dirichlet(np.full(candidates + 1, 0.5), size=faces)
    return places, probabilities


@given(seeds, st.integers(2, 5), st.integers(1, 3))
def test_probabilities_match_enumeration_of_assignments(seed: int, faces: int, candidates: int) -> None:
    places, probabilities = drawn(seed, faces, candidates, 4)
    shares = share_probabilities(places, probabilities, LEAST_ODDS)
    assert shares.probabilities == pytest.approx(by_hand(places, probabilities), abs=1e-9)
    assert len(set(shares.clear[shares.clear >= 0])) == (shares.clear >= 0).sum()


@settings(max_examples=20)
@given(seeds)
def test_many_faces_are_assigned_jointly(seed: int) -> None:
    places, probabilities = drawn(seed, MOST_EXACT + 4, 3, 6)
    shares = share_probabilities(places, probabilities, LEAST_ODDS)
    assert shares.probabilities is not None
    assert shares.probabilities.sum(axis=1) == pytest.approx(1)
    clear = shares.clear[shares.clear >= 0]
    assert len(set(clear)) == len(clear)


def test_faces_compete_transitively_for_near_people_only() -> None:
    places = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [4, 6]])
    everything, near = np.ones((5, 2), bool), np.array([[0, 0], [1, 1], [1, 0], [0, 0], [0, 0]], bool)
    assert competing(places, everything, near, range(5)) == [[0, 1, 2]]
    assert competing(places, everything, near, [0, 2]) == []
    assert competing(places, ~everything, near, range(5)) == []


def test_photo_without_competing_faces_needs_no_scipy() -> None:
    code = (
        "import sys; from tests.recognition.synthetic import *; judge = recognizer(TWO, CALIBRATED);"
        "judge.identify([face(with_cosines(0.95)), face(with_cosines(0, 0.95))]);"
        "assert 'scipy.optimize' not in sys.modules"
    )
    run([sys.executable, "-c", code], check=True)
