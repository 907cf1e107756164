"""What is wrong with a gallery: `facebank.recognition.audit` of what the gallery holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery import FaceKey
from facebank.operations.merge import find_halves
from facebank.recognition.audit import AuditedSamples, Finding, FindingKind, audit_nobody, audit_samples
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.facts import FactWarningCode, fact_warnings
from facebank.storage.text import shell_command

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from facebank.gallery import Gallery
    from facebank.operations.merge import Halves
    from facebank.recognition.calibrations import Knowledge
    from facebank.recognition.facts import FactWarning
    from facebank.types import Person

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
    gallery: Gallery,
    knowledge: Knowledge | None = None,
    *,
    most_pairs: int = MOST_PAIRS,
    verify: float | None = None,
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
    verify
        The pack's threshold of verification, by which people who may be two are found; None to look for none.

    Raises
    ------
    UsageError
        The number of pairs is negative.
    """
    background = None if knowledge is None else knowledge.background
    calibration = None if knowledge is None else knowledge.calibration
    with gallery.snapshot():
        table, qualities, names = *gallery.rated_vectors(), gallery.names()
        of_everybody = gallery.samples_of_everybody()
        owned = [(person, of_everybody.get(person.id, [])) for person in gallery.people()]
    faces = {sample.id: FaceKey.enrolled(sample) for _, samples_of_one in owned for sample in samples_of_one}
    only_masked = {person.id for person, _ in owned if 0 < person.sample_count == person.masked_count}
    compared = {number: name for number, name in names.items() if number not in only_masked}
    findings = [_dated(person, each) for person, theirs in owned for each in fact_warnings(person, theirs)]
    if len(table.sample_ids):
        rows = np.argsort(table.person_ids, kind="stable")  # in the order of the index
        sample_ids = table.sample_ids[rows]
        enrolled = Enrolled(table.matrix[rows], table.person_ids[rows], qualities[rows])
        places = [faces[number] for number in sample_ids.tolist()]
        samples = AuditedSamples(enrolled, sample_ids, places, compared)
        pair_model = None if calibration is None else calibration.pairs
        found = audit_samples(samples, background, pair_model=pair_model, most_pairs=most_pairs)
        halves = [] if verify is None else find_halves(gallery, verify)
        findings = [*map(_two_people, halves), *_not_of(found, {each.person for each in halves}), *findings]
        findings = _with_unmerge(gallery, findings)
    else:
        findings = [*audit_nobody(compared), *findings]
    order = list(FindingKind)
    findings.sort(key=lambda finding: order.index(finding.kind))
    return GalleryAudit(len(names), len(faces), tuple(findings))


def _two_people(halves: Halves) -> Finding:
    larger, smaller = (", ".join(map(str, half)) for half in (halves.larger, halves.smaller))
    return Finding(
        FindingKind.TWO_PEOPLE,
        (halves.person,),
        (*halves.larger, *halves.smaller),
        halves.similarity,
        f"the samples of {halves.person} look like two people (mean similarity {halves.similarity:.2f}): {larger}, and "
        f"{smaller}",
        (
            shell_command("people", "show", halves.person),
            shell_command("people", "split", halves.person, "--into") + " NEW_NAME",
        ),
    )


def _not_of(findings: Iterable[Finding], people: Container[str]) -> list[Finding]:
    """Leave out what says of single samples of some people that they should be removed."""
    single = FindingKind.MISLABELLED, FindingKind.DISAGREEING
    return [finding for finding in findings if finding.kind not in single or finding.people[0] not in people]


def _with_unmerge(gallery: Gallery, findings: Iterable[Finding]) -> list[Finding]:
    """Advise to undo a merge where a person looks like two and somebody was joined."""
    joined = gallery.merged_into()
    about = FindingKind.TWO_PEOPLE, FindingKind.MISLABELLED, FindingKind.DISAGREEING
    return [
        _also(finding, shell_command("people", "unmerge", finding.people[0]))
        if finding.kind in about and finding.people[0] in joined
        else finding
        for finding in findings
    ]


def _also(finding: Finding, command: str) -> Finding:
    """Return a finding with one more command, after the one that shows the samples."""
    return replace(finding, commands=(finding.commands[0], command, *finding.commands[1:]))


def _dated(person: Person, warning: FactWarning) -> Finding:
    if warning.code in (FactWarningCode.OUTDATED_SAMPLES, FactWarningCode.ONLY_MASKED):
        commands = [shell_command("enroll", "--name", person.name) + " PHOTO..."]
    else:
        commands = [f"facebank people remove-sample {number}" for number in warning.samples]
    kind = FindingKind(warning.code.value)
    return Finding(kind, (person.name,), warning.samples, None, warning.message, tuple(commands))
