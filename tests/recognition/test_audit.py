"""Findings of audits in synthetic galleries with and without faults."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import UsageError
from facebank.gallery import FaceKey
from facebank.recognition.audit import AuditedSamples, Finding, FindingKind, audit_people_without_samples, audit_samples
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.neighborhood import min_similarity

from .synthetic import normalize

if TYPE_CHECKING:
    from facebank.types import FloatArray

DIMENSION = 128
BOX = np.array([10, 10, 90, 110], dtype=np.float32)


def make_people(count: int, photos: int, seed: int = 0, scatter: float = 0.73) -> FloatArray:
    """Return embeddings of people with `photos` consecutive photos each."""
    generator = np.random.default_rng(seed)
    centers = np.repeat(normalize(generator.normal(size=(count, DIMENSION))), photos, axis=0)
    return normalize(centers + scatter * generator.normal(size=centers.shape) / np.sqrt(DIMENSION))


def make_samples(
    embeddings: FloatArray,
    person_ids: Sequence[int],
    *,
    photos: Sequence[str] | None = None,
    qualities: Sequence[float] | None = None,
    names: dict[int, str] | None = None,
) -> AuditedSamples:
    """Return a gallery with samples numbered 101, 102, … and people named P1, P2, …"""
    labels = [str(row) for row in range(len(embeddings))] if photos is None else photos
    faces = [FaceKey(hashlib.sha256(label.encode()).hexdigest(), 0, BOX) for label in labels]
    sample_qualities = np.full(len(embeddings), 0.8) if qualities is None else np.array(qualities)
    enrolled = EnrolledSamples(embeddings, np.array(person_ids), sample_qualities.astype(np.float32))
    person_names = {int(person_id): f"P{person_id}" for person_id in set(person_ids)} if names is None else names
    return AuditedSamples(enrolled, 101 + np.arange(len(embeddings)), faces, person_names)


def filter_kind(findings: Sequence[Finding], kind: FindingKind) -> list[Finding]:
    return [finding for finding in findings if finding.kind is kind]


def test_clean_gallery_has_no_findings() -> None:
    assert audit_samples(make_samples(make_people(60, 4), np.repeat(np.arange(60), 4).tolist())) == []


def test_mislabeled_sample_is_found_with_the_right_person() -> None:
    person_ids = np.repeat(np.arange(20), 4)
    person_ids[5] = 9
    findings = audit_samples(make_samples(make_people(20, 4), person_ids.tolist()))
    (finding,) = findings
    assert finding.kind is FindingKind.MISLABELED
    assert (finding.names, finding.sample_ids) == (("P9", "P1"), (106,))
    assert finding.commands == ("facebank people show P9", "facebank people remove-sample 106")
    assert "sample 106 of P9 looks like P1" in finding.message


def test_sample_similar_to_nobody_disagrees() -> None:
    embeddings = make_people(20, 4)
    embeddings[13] = make_people(1, 1, seed=5)[0]
    (finding,) = audit_samples(make_samples(embeddings, np.repeat(np.arange(20), 4).tolist()))
    assert (finding.kind, finding.names, finding.sample_ids) == (FindingKind.DISAGREEING, ("P3",), (114,))
    assert finding.value is not None
    assert finding.value < 0.4


def test_two_disagreeing_samples_are_reported_once() -> None:
    embeddings = np.concatenate([make_people(20, 3), make_people(2, 1, seed=8)])
    person_ids = [*np.repeat(np.arange(20), 3).tolist(), 20, 20]
    (finding,) = audit_samples(make_samples(embeddings, person_ids))
    assert (finding.kind, finding.sample_ids) == (FindingKind.DISAGREEING, (161, 162))
    assert "two samples of P20" in finding.message


@pytest.mark.parametrize("equal_value", ["embedding", "position"])
def test_photo_shared_by_two_people_comes_first(equal_value: str) -> None:
    embeddings, person_ids = make_people(10, 3), np.repeat(np.arange(10), 3).tolist()
    embeddings[9] = embeddings[0]
    photos = [str(row) for row in range(30)]
    if equal_value == "position":
        photos[9] = photos[0]
        embeddings[9] = normalize(embeddings[:3].sum(axis=0).astype(np.float64))
    findings = audit_samples(make_samples(embeddings, person_ids, photos=photos))
    assert findings[0].kind is FindingKind.SHARED_PHOTO
    assert (findings[0].names, findings[0].sample_ids) == (("P0", "P3"), (101, 110))
    assert findings[0].commands[0] == "facebank people remove-sample 110"
    assert findings[0].commands[-1] == "facebank people merge P3 --into P0"


def test_two_faces_of_one_photo_are_not_duplicates() -> None:
    samples = make_samples(make_people(2, 2), [1, 1, 2, 2], photos=["a", "b", "a", "c"])
    other_face = FaceKey(samples.face_keys[2].content_hash, 0, BOX + 200)
    moved = AuditedSamples(
        samples.enrolled, samples.sample_ids, [*samples.face_keys[:2], other_face, samples.face_keys[3]], samples.names
    )
    assert audit_samples(moved) == []


def test_two_people_with_the_same_photo_are_confusable() -> None:
    embedding = make_people(1, 1)
    findings = audit_samples(make_samples(np.concatenate([embedding, embedding]), [1, 2]))
    assert [finding.kind for finding in findings] == [
        FindingKind.SHARED_PHOTO,
        FindingKind.CONFUSABLE,
        FindingKind.FEW_SAMPLES,
        FindingKind.FEW_SAMPLES,
    ]
    assert findings[1].value == pytest.approx(0.5, abs=0.05)
    assert "one person" in findings[1].message
    assert findings[1].commands[0] == "facebank people merge P2 --into P1"


def test_siblings_are_reported_up_to_the_pair_limit() -> None:
    embeddings = make_people(8, 2, seed=3)
    centers = np.repeat(embeddings[::2], 2, axis=0)
    embeddings[8:] = normalize(embeddings[8:] + 3 * centers[:8].astype(np.float64))
    samples = make_samples(embeddings, np.repeat(np.arange(8), 2).tolist())
    pairs = filter_kind(audit_samples(samples), FindingKind.CONFUSABLE)
    assert len(pairs) >= 4
    values = [pair.value for pair in pairs if pair.value is not None]
    assert values == sorted(values, reverse=True)
    assert any("enroll --name" in command for command in pairs[-1].commands)
    assert filter_kind(audit_samples(samples, max_pairs=1), FindingKind.CONFUSABLE) == pairs[:1]
    assert filter_kind(audit_samples(samples, max_pairs=0), FindingKind.CONFUSABLE) == []
    with pytest.raises(UsageError, match="must be 0 or more"):
        audit_samples(samples, max_pairs=-1)


def test_all_repeated_samples_but_the_best_are_removed() -> None:
    embeddings = make_people(10, 4)
    embeddings[1], embeddings[2] = embeddings[0], embeddings[0]
    qualities = np.full(40, 0.5)
    qualities[1] = 0.9
    findings = audit_samples(
        make_samples(embeddings, np.repeat(np.arange(10), 4).tolist(), qualities=qualities.tolist())
    )
    (finding,) = filter_kind(findings, FindingKind.REPEATED)
    assert finding.names == ("P0",)
    assert finding.sample_ids == (101, 103)


def test_burst_is_too_similar() -> None:
    embeddings = np.concatenate([make_people(10, 3), make_people(1, 6, seed=4, scatter=0.2)])
    findings = audit_samples(make_samples(embeddings, [*np.repeat(np.arange(10), 3).tolist(), *[10] * 6]))
    assert [(finding.kind, finding.names) for finding in findings] == [(FindingKind.TOO_SIMILAR, ("P10",))]
    assert findings[0].commands == ("facebank enroll --name P10 PHOTO...",)


def test_people_with_one_sample_or_none_are_reported() -> None:
    findings = audit_samples(make_samples(make_people(1, 1), [4], names={4: "Ada", 5: "Zoë"}))
    assert [(finding.kind, finding.names) for finding in findings] == [
        (FindingKind.NO_SAMPLES, ("Zoë",)),
        (FindingKind.FEW_SAMPLES, ("Ada",)),
    ]
    assert audit_people_without_samples({}) == []
    assert [finding.names for finding in audit_people_without_samples({2: "B", 1: "C"})] == [("B",), ("C",)]


def test_names_are_quoted_for_a_shell() -> None:
    name = "Ada $(rm -rf ~) 'X'"
    (finding,) = audit_samples(make_samples(make_people(1, 1), [4], names={4: name}))
    assert shlex.split(finding.commands[0]) == ["facebank", "enroll", "--name", name, "PHOTO..."]


def test_many_samples_beside_one_give_few_findings() -> None:
    embeddings = make_people(2, 500)[:501]
    findings = audit_samples(make_samples(embeddings, [*[1] * 500, 2]))
    assert {finding.kind for finding in findings} <= {FindingKind.DISAGREEING, FindingKind.FEW_SAMPLES}
    assert len(findings) < 10


def test_swapped_samples_among_thousands_are_found() -> None:
    count = 3000
    embeddings, person_ids = make_people(count, 3), np.repeat(np.arange(count), 3)
    person_ids[[0, 8]] = person_ids[[8, 0]]
    findings = audit_samples(make_samples(embeddings, person_ids.tolist()))
    reported = {
        sample_id
        for finding in findings
        if finding.kind is not FindingKind.CONFUSABLE
        for sample_id in finding.sample_ids
    }
    assert {101, 109} <= reported
    assert len(reported) < 0.02 * len(embeddings)


def test_mismatched_arguments_are_refused() -> None:
    samples = make_samples(make_people(2, 1), [1, 2])
    with pytest.raises(UsageError, match="Expected 2 sample ids"):
        AuditedSamples(samples.enrolled, samples.sample_ids[:1], samples.face_keys, samples.names)
    with pytest.raises(UsageError, match="person with the id 2 has samples but no name"):
        AuditedSamples(samples.enrolled, samples.sample_ids, samples.face_keys, {1: "P1"})


def test_minimum_similarity_rises_with_the_number_of_photos() -> None:
    similarities = min_similarity(np.array([0, 1, 2, 5, 500]), 0.65)
    assert np.isinf(similarities[0])
    assert (np.diff(similarities[1:]) > 0).all()
    assert 0.25 < similarities[1] < 0.4
