"""Decisions with denials, remembered strangers and people who look alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.recognition import Rule
from facebank.recognition.recognizer import MAX_CANDIDATES
from facebank.types import Decision, Identity, Reason

from .synthetic import (
    BELOW,
    CALIBRATED,
    DIMENSION,
    DISTINGUISHED,
    IMPROBABLE,
    MATCH,
    ONE_AND_TWO,
    POOR,
    THREE,
    TOO_NEAR,
    TWO,
    UNDISTINGUISHED,
    FixedPairs,
    axis,
    classifiers,
    decide,
    make_face,
    make_names,
    make_people,
    make_probes,
    make_recognizer,
    outcome,
    rules,
    sample_counts,
    seeds,
    unit_vector,
)


@classifiers
@rules
@settings(max_examples=20)
@given(seed=seeds, counts=sample_counts, data=st.data())
def test_denied_people_are_never_offered(
    classifier: str, rule: Rule, seed: int, counts: list[int], data: st.DataObject
) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    faces = make_probes(generator, enrolled, 3)
    denials = st.sets(st.integers(1, len(counts) + 2))
    denied = [data.draw(denials) for _ in faces]
    recognizer = make_recognizer(enrolled, rule, classifier)
    for denied_ids, identity in zip(denied, recognizer.identify(faces, denied), strict=True):
        offered = {candidate.person for candidate in identity.candidates}
        remaining = len(set(make_names(enrolled)) - denied_ids)
        assert not offered & {f"person {person_id}" for person_id in denied_ids}
        assert len(offered) == min(MAX_CANDIDATES, remaining)
        assert identity.person is None or identity.person in offered
        assert all(np.isfinite(candidate.similarity) for candidate in identity.candidates)
        if rule.calibrator is None or not offered:
            assert identity.stranger_probability is None
        else:
            probabilities = [candidate.probability or 0.0 for candidate in identity.candidates]
            assert sum(probabilities) + (identity.stranger_probability or 0.0) == pytest.approx(1)


@rules
def test_denied_runner_up_is_not_too_near(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule)
    assert outcome(decide(recognizer, 0.7, 0.69)) == TOO_NEAR
    assert outcome(decide(recognizer, 0.7, 0.69, denied=[{2}])) == (*MATCH, "person 1")
    assert outcome(decide(recognizer, 0.7, 0.69, denied=[{1}])) == (*MATCH, "person 2")


@rules
def test_nobody_is_offered_if_everybody_is_denied(rule: Rule) -> None:
    identity = decide(make_recognizer(TWO, rule), 0.99, denied=[{1, 2, 77}])
    assert identity == Identity(*BELOW, None, None, ())


def test_denial_concerns_its_face_only() -> None:
    first, second = make_recognizer(TWO).identify(
        [make_face(unit_vector(0.9)), make_face(unit_vector(0.91))], [set(), {1}]
    )
    assert (first.person, second.person) == ("person 1", None)
    assert first == decide(make_recognizer(TWO), 0.9)


def test_denials_of_another_number_of_faces_are_refused() -> None:
    with pytest.raises(UsageError, match="2 faces, not for 1"):
        make_recognizer(TWO).identify([make_face(axis(0)), make_face(axis(1))], [{1}])


@rules
def test_remembered_stranger_is_named_only_if_somebody_is_more_similar(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule, strangers=np.stack([axis(4), axis(3)]))
    remembered = (Decision.UNKNOWN, Reason.REMEMBERED_STRANGER, None)
    assert outcome(decide(recognizer, 0.6, 0, 0, 0.7)) == remembered
    assert outcome(decide(recognizer, 0.7, 0, 0, 0.6)) == (*MATCH, "person 1")
    assert outcome(decide(recognizer, 0.1, 0, 0, 0.46)) == remembered
    assert outcome(decide(recognizer, 0.1, 0, 0, 0.44)) == BELOW
    assert outcome(decide(recognizer, 0.1, 0, 0, 0.7, quality=0.1)) == remembered


@rules
def test_stranger_is_remembered_if_everybody_is_denied(rule: Rule) -> None:
    recognizer = make_recognizer(TWO, rule, strangers=axis(3)[None])
    assert outcome(decide(recognizer, 0.6, 0, 0, 0.7, denied=[{1, 2}])) == (
        Decision.UNKNOWN,
        Reason.REMEMBERED_STRANGER,
        None,
    )
    assert outcome(decide(recognizer, 0.6, 0, 0, 0.1, denied=[{1, 2}])) == BELOW


def test_no_stranger_is_remembered_without_strangers() -> None:
    faces = [make_face(unit_vector(0.3)), make_face(unit_vector(0.8))]
    none = np.empty((0, DIMENSION), np.float32)
    assert make_recognizer(TWO, strangers=none).identify(faces) == make_recognizer(TWO).identify(faces)


CONFUSABLE = (Decision.UNCERTAIN, Reason.CONFUSABLE, None)


@rules
def test_look_alikes_are_named_only_if_distinguished(rule: Rule) -> None:
    distinguished, undistinguished = (
        FixedPairs(THREE, ONE_AND_TWO, DISTINGUISHED),
        FixedPairs(THREE, ONE_AND_TWO, UNDISTINGUISHED),
    )
    assert outcome(decide(make_recognizer(THREE, rule, confusables=distinguished), 0.7, 0.69)) == (*MATCH, "person 1")
    assert decide(make_recognizer(THREE, rule, confusables=distinguished), 0.69, 0.7).person == "person 2"
    for cosines in ((0.7, 0.69), (0.95, 0.1)):
        identity = decide(make_recognizer(THREE, rule, confusables=undistinguished), *cosines)
        assert outcome(identity) == CONFUSABLE
        assert {candidate.person for candidate in identity.candidates[:2]} == {"person 1", "person 2"}


def test_probabilities_of_look_alikes_follow_from_their_margin() -> None:
    for distinguished in (DISTINGUISHED, UNDISTINGUISHED):
        alike = decide(
            make_recognizer(THREE, CALIBRATED, confusables=FixedPairs(THREE, ONE_AND_TWO, distinguished)), 0.7, 0.69
        )
        plain = decide(make_recognizer(THREE, CALIBRATED), 0.7, 0.69)
        first, second = (candidate.probability or 0.0 for candidate in alike.candidates[:2])
        assert first / (first + second) == pytest.approx(distinguished)
        both = sum(candidate.probability or 0.0 for candidate in plain.candidates[:2])
        assert first + second == pytest.approx(both, abs=0.01)
        assert alike.stranger_probability == pytest.approx(plain.stranger_probability)


def test_look_alikes_behind_another_person_share_by_margin() -> None:
    pairs = FixedPairs(THREE, {frozenset({2, 3})}, UNDISTINGUISHED)
    identity = decide(make_recognizer(THREE, CALIBRATED, confusables=pairs), 0.7, 0.5, 0.4)
    assert [candidate.person for candidate in identity.candidates] == ["person 1", "person 2", "person 3"]
    _, first, second = (candidate.probability or 0.0 for candidate in identity.candidates)
    assert first / (first + second) == pytest.approx(UNDISTINGUISHED)


@rules
def test_look_alikes_do_not_affect_other_people(rule: Rule) -> None:
    recognizer = make_recognizer(THREE, rule, confusables=FixedPairs(THREE, ONE_AND_TWO, UNDISTINGUISHED))
    assert outcome(decide(recognizer, 0, 0, 0.9)) == (*MATCH, "person 3")
    assert outcome(decide(recognizer, 0.7, 0, 0.69)) == TOO_NEAR
    assert outcome(decide(recognizer, 0.3, 0.29)) == BELOW
    assert outcome(decide(recognizer, 0.3, 0.29, quality=0.1)) == POOR
    assert outcome(decide(recognizer, 0.7, 0.69, denied=[{2}])) == (*MATCH, "person 1")


@rules
def test_person_distinguished_from_one_may_be_too_near_to_a_third(rule: Rule) -> None:
    pairs = FixedPairs(THREE, ONE_AND_TWO, DISTINGUISHED)
    assert outcome(decide(make_recognizer(THREE, rule, confusables=pairs), 0.57, 0.565, 0.56)) == TOO_NEAR
    siblings = FixedPairs(THREE, {frozenset({1, 2}), frozenset({1, 3})}, DISTINGUISHED)
    lenient = replace(rule, least_probability=0.0)
    assert decide(make_recognizer(THREE, lenient, confusables=siblings), 0.57, 0.565, 0.56).person == "person 1"


def test_distinguished_person_is_not_named_below_the_probability() -> None:
    pairs = FixedPairs(THREE, {frozenset({1, 2}), frozenset({1, 3})}, DISTINGUISHED)
    careful = replace(CALIBRATED, stranger_share=0.9999)
    assert outcome(decide(make_recognizer(THREE, careful, confusables=pairs), 0.57, 0.565, 0.56)) == IMPROBABLE
