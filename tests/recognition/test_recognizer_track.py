"""Properties of a decision about several faces of one person."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.recognition import Rule

from .synthetic import classifiers, make_names, make_people, make_probes, make_recognizer, rules, sample_counts, seeds


@rules
@classifiers
def test_track_of_one_face_is_decided_like_a_photo(classifier: str, rule: Rule) -> None:
    generator = np.random.default_rng(7)
    enrolled = make_people(generator, [3, 2, 4])
    recognizer = make_recognizer(enrolled, rule=rule, classifier=classifier)
    for probe in make_probes(generator, enrolled):
        (single,) = recognizer.identify([probe])
        for copies in (1, 2, 50):
            track = recognizer.identify_track([probe] * copies)
            assert (track.decision, track.reason, track.person) == (single.decision, single.reason, single.person)
            assert track.similarity == pytest.approx(single.similarity, abs=1e-5)
            assert track.probability == (
                None if single.probability is None else pytest.approx(single.probability, abs=1e-4)
            )


@given(seeds, sample_counts)
def test_similarity_of_a_track_is_the_mean_of_its_faces(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    recognizer, faces = make_recognizer(enrolled), make_probes(generator, enrolled)
    track = recognizer.identify_track(faces)
    assert track.candidates
    single = [
        {candidate.person: candidate.similarity for candidate in recognizer.identify([face])[0].candidates}
        for face in faces
    ]
    for candidate in track.candidates:
        similarities = [
            similarities_alone[candidate.person]
            for similarities_alone in single
            if candidate.person in similarities_alone
        ]
        if len(similarities) == len(faces):
            assert min(similarities) - 1e-5 <= candidate.similarity <= max(similarities) + 1e-5


@given(seeds, sample_counts, st.randoms(use_true_random=False))
def test_order_of_frames_does_not_matter(seed: int, counts: list[int], random: Random) -> None:
    generator = np.random.default_rng(seed)
    enrolled = make_people(generator, counts)
    recognizer, faces = make_recognizer(enrolled), make_probes(generator, enrolled)
    shuffled = list(faces)
    random.shuffle(shuffled)
    first, second = recognizer.identify_track(faces), recognizer.identify_track(shuffled)
    assert first.decision == second.decision
    assert first.similarity == pytest.approx(second.similarity, abs=1e-5)


def test_good_faces_weigh_more() -> None:
    generator = np.random.default_rng(3)
    enrolled = make_people(generator, [4, 4])
    recognizer = make_recognizer(enrolled)
    names = list(make_names(enrolled).values())
    first, second = (
        replace(
            make_probes(generator, enrolled)[0],
            embedding=enrolled.embeddings[np.flatnonzero(enrolled.person_indices == index)[0]],
        )
        for index in (0, 1)
    )
    clear, blurred = (replace(first.assessment, score=score) for score in (0.9, 0.3))
    for best, name in ((0, names[0]), (1, names[1])):
        faces = [
            replace(face, assessment=clear if index == best else blurred) for index, face in enumerate((first, second))
        ]
        assert recognizer.identify_track(faces).candidates[0].person == name


def test_track_without_faces_is_an_error() -> None:
    enrolled = make_people(np.random.default_rng(1), [2])
    with pytest.raises(UsageError, match="needs at least one face"):
        make_recognizer(enrolled).identify_track([])
