"""What is wrong with a gallery: `facebank.recognition.audit` of what the gallery holds."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.facts import FactWarningCode, fact_warnings
from facebank.gallery import FaceKey
from facebank.recognition.audit import AuditedSamples, Finding, FindingKind, audit_nobody, audit_samples
from facebank.recognition.enrolled import Enrolled

if TYPE_CHECKING:
    from facebank.calibrations import Knowledge
    from facebank.faces import Person
    from facebank.facts import FactWarning
    from facebank.gallery import Gallery

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
    gallery: Gallery, knowledge: Knowledge | None = None, *, most_pairs: int = MOST_PAIRS
) -> GalleryAudit:
    """Look for what will make recognition in a gallery go wrong; changes nothing.

    Samples that wear a mask are not compared with others.

    Parameters
    ----------
    gallery
        The enrolled people.
    knowledge
        What is known of the gallery's pack; None where nothing is.
    most_pairs
        How many pairs of confusable people are told of at most, at least 0.

    Raises
    ------
    UsageError
        The number of pairs is negative.
    """
    background = None if knowledge is None else knowledge.background
    calibration = None if knowledge is None else knowledge.calibration
    with gallery.snapshot():
        table, qualities, names = *gallery.rated_vectors(), gallery.names()
        owned = [(person, gallery.samples(person.name)) for person in gallery.people()]
    faces = {sample.id: FaceKey.enrolled(sample) for _, samples_of_one in owned for sample in samples_of_one}
    only_masked = {person.id for person, _ in owned if 0 < person.sample_count == person.masked_count}
    compared = {number: name for number, name in names.items() if number not in only_masked}
    findings = [_dated(person, each) for person, theirs in owned for each in fact_warnings(person, theirs)]
    if len(table.sample_ids):
        enrolled = Enrolled(table.matrix, table.person_ids, qualities)
        places = [faces[number] for number in table.sample_ids.tolist()]
        samples = AuditedSamples(enrolled, table.sample_ids, places, compared)
        pair_model = None if calibration is None else calibration.pairs
        found = audit_samples(samples, background, pair_model=pair_model, most_pairs=most_pairs)
        findings = [*found, *findings]
    else:
        findings = [*audit_nobody(compared), *findings]
    order = list(FindingKind)
    findings.sort(key=lambda finding: order.index(finding.kind))
    return GalleryAudit(len(names), len(faces), tuple(findings))


def _dated(person: Person, warning: FactWarning) -> Finding:
    if warning.code in (FactWarningCode.OUTDATED_SAMPLES, FactWarningCode.ONLY_MASKED):
        commands = [shlex.join(["facebank", "enroll", "--name", person.name]) + " PHOTO..."]
    else:
        commands = [f"facebank people remove-sample {number}" for number in warning.samples]
    kind = FindingKind(warning.code.value)
    return Finding(kind, (person.name,), warning.samples, None, warning.message, tuple(commands))
