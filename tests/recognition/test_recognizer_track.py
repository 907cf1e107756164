"""Properties of a decision about several faces of one person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.recognition import Rule

from .synthetic import kinds, numbered, people, probes, recognizer, rules, sample_counts, seeds


@rules
@kinds
def test_track_of_one_face_is_decided_like_a_photo(kind: str, rule: Rule) -> None:
    generator = np.random.default_rng(7)
    enrolled = people(generator, [3, 2, 4])
    decides = recognizer(enrolled, rule=rule, kind=kind)
    for probe in probes(generator, enrolled):
        (alone,) = decides.identify([probe])
        for copies in (1, 2, 50):
            together = decides.identify_track([probe] * copies)
            assert (together.decision, together.reason, together.person) == (alone.decision, alone.reason, alone.person)
            assert together.similarity == pytest.approx(alone.similarity, abs=1e-5)
            assert together.probability == (
                None if alone.probability is None else pytest.approx(alone.probability, abs=1e-4)
            )


@given(seeds, sample_counts)
def test_similarity_of_a_track_is_the_mean_of_its_faces(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = people(generator, counts)
    decides, faces = recognizer(enrolled), probes(generator, enrolled)
    together = decides.identify_track(faces)
    assert together.candidates
    alone = [{each.person: each.similarity for each in decides.identify([face])[0].candidates} for face in faces]
    for candidate in together.candidates:
        similarities = [
            similarities_alone[candidate.person]
            for similarities_alone in alone
            if candidate.person in similarities_alone
        ]
        if len(similarities) == len(faces):
            assert min(similarities) - 1e-5 <= candidate.similarity <= max(similarities) + 1e-5


@given(seeds, sample_counts, st.randoms(use_true_random=False))
def test_order_of_frames_does_not_matter(seed: int, counts: list[int], random: object) -> None:
    generator = np.random.default_rng(seed)
    enrolled = people(generator, counts)
    decides, faces = recognizer(enrolled), probes(generator, enrolled)
    mixed = list(faces)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = decides.identify_track(faces), decides.identify_track(mixed)
    assert one.decision == other.decision
    assert one.similarity == pytest.approx(other.similarity, abs=1e-5)


def test_good_faces_weigh_more() -> None:
    generator = np.random.default_rng(3)
    enrolled = people(generator, [4, 4])
    decides = recognizer(enrolled)
    names = list(numbered(enrolled).values())
    first, second = (
        replace(probes(generator, enrolled)[0], embedding=enrolled.matrix[np.flatnonzero(enrolled.owners == place)[0]])
        for place in (0, 1)
    )
    clear, blurred = (replace(first.assessment, score=score) for score in (0.9, 0.3))
    for best, name in ((0, names[0]), (1, names[1])):
        faces = [
            replace(face, assessment=clear if place == best else blurred) for place, face in enumerate((first, second))
        ]
        assert decides.identify_track(faces).candidates[0].person == name


def test_track_without_faces() -> None:
    enrolled = people(np.random.default_rng(1), [2])
    with pytest.raises(UsageError, match="needs at least one face"):
        recognizer(enrolled).identify_track([])
