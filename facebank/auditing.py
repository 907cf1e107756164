"""What is wrong with a gallery: `facebank.recognition.audit` of what the gallery holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.gallery import FaceKey
from facebank.recognition.audit import AuditedSamples, Finding, audit_nobody, audit_samples
from facebank.recognition.enrolled import Enrolled

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.recognition.background import Background

MOST_PAIRS = 20
"""How many pairs of confusable people are told of, unless somebody asks for more."""


@dataclass(frozen=True, slots=True)
class GalleryAudit:
    """What an audit of a gallery found.

    Attributes
    ----------
    people, samples
        How many there are.
    findings
        Those that matter most first.
    """

    people: int
    samples: int
    findings: tuple[Finding, ...]


def audit_gallery(
    gallery: Gallery, background: Background | None = None, *, most_pairs: int = MOST_PAIRS
) -> GalleryAudit:
    """Look for what will make recognition in a gallery go wrong; changes nothing.

    Parameters
    ----------
    gallery
        The enrolled people.
    background
        What is known of the gallery's pack; None where nothing is.
    most_pairs
        How many pairs of confusable people are told of at most, at least 0.

    Raises
    ------
    UsageError
        The number of pairs is negative.
    """
    with gallery.snapshot():
        table, qualities, names = *gallery.rated_vectors(), gallery.names()
        faces = {
            sample.id: FaceKey(sample.content_hash, sample.quarter_turns, sample.detection.box)
            for name in names.values()
            for sample in gallery.samples(name)
        }
    numbers = table.sample_ids
    if not len(numbers):
        return GalleryAudit(len(names), 0, tuple(audit_nobody(names)))
    enrolled = Enrolled(table.matrix, table.person_ids, qualities)
    samples = AuditedSamples(enrolled, numbers, [faces[number] for number in numbers.tolist()], names)
    return GalleryAudit(len(names), len(numbers), tuple(audit_samples(samples, background, most_pairs=most_pairs)))
