"""Audit of a gallery: problems of its samples, with advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.gallery import FaceKey
from facebank.gallery.same_face import is_same_place
from facebank.recognition.confusable import ConfusablePair, confusable_pairs
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.facts import FactWarningCode, fact_warnings
from facebank.recognition.neighborhood import Neighborhood, alike_samples, survey
from facebank.recognition.resemblance import halves, may_look_different
from facebank.storage.text import shell_command

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.recognition.calibration.background import Background
    from facebank.recognition.calibration.files import PackCalibration
    from facebank.recognition.facts import FactWarning
    from facebank.recognition.pairs import PairModel
    from facebank.types import Person


SAME_PERSON_ERROR = 0.3  # expected error above which two people may be one person
FEW_SAMPLES = 1  # maximum number of samples that counts as too few
MOST_PAIRS = 20  # default number of confusable pairs reported


class FindingKind(StrEnum):
    """The kinds of findings: a closed list, the most important first."""

    SHARED_PHOTO = "shared_photo"
    TWO_PEOPLE = "two_people"
    MISLABELLED = "mislabelled"
    CONFUSABLE = "confusable"
    DISAGREEING = "disagreeing"
    REPEATED = "repeated"
    TOO_SIMILAR = "too_similar"
    DATED_BEFORE_BIRTH = "dated_before_birth"
    OUTDATED_SAMPLES = "outdated_samples"
    ONLY_MASKED = "only_masked"
    NO_SAMPLES = "no_samples"
    FEW_SAMPLES = "few_samples"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem."""

    kind: FindingKind
    # names; for `FindingKind.MISLABELLED` the owner, then the person nearer to the sample
    people: tuple[str, ...]
    samples: tuple[int, ...]  # ids of the samples concerned; empty for a finding about whole people
    # severity: a confusable pair's expected error, 0..0.5, otherwise a similarity, -1..1; None without a measure
    value: float | None
    message: str  # one sentence
    commands: tuple[str, ...]  # alternative shell commands that help


@dataclass(frozen=True, slots=True, eq=False)
class AuditedSamples:
    """The samples of a gallery with their metadata, all in one order."""

    enrolled: Enrolled  # embeddings, owners, qualities
    sample_ids: NDArray[np.int64]  # ``int64`` of shape ``(N,)``
    faces: Sequence[FaceKey]  # each sample's face and photo
    names: Mapping[int, str]  # all people's names by number, including people without samples

    def __post_init__(self) -> None:
        if not len(self.sample_ids) == len(self.faces) == self.enrolled.count:
            raise UsageError(f"Expected a number and a face for each of {self.enrolled.count} samples.")
        if not set(self.enrolled.people.tolist()) <= self.names.keys():
            raise UsageError("There are samples of people without a name.")

    def name(self, row: int) -> str:
        """Return the name of the person of a row."""
        return self.names[int(self.enrolled.person_ids[row])]

    def number(self, row: int) -> int:
        """Return the sample id of a row."""
        return int(self.sample_ids[row])


def audit_samples(
    samples: AuditedSamples,
    background: Background | None = None,
    *,
    pair_model: PairModel | None = None,
    most_pairs: int = MOST_PAIRS,
) -> list[Finding]:
    """Return problems that impair recognition, in the order of `FindingKind`, the worst of each kind first.

    Parameters
    ----------
    samples
        All samples of a gallery.
    background, pair_model
        Of the pack; None if missing.
    most_pairs
        Largest number of pairs of confusable people; raises `UsageError` if negative.
    """
    if most_pairs < 0:
        raise UsageError(f"The number of pairs must be 0 or more, not {most_pairs}.")
    around = survey(samples.enrolled, background)
    one, other, similarities = alike_samples(samples.enrolled)
    pairs = confusable_pairs(samples.enrolled.index, pair_model, background)[:most_pairs]
    findings = [
        *_shared_photos(samples, one, other, similarities, around),
        *_mislabeled_findings(samples, around),
        *(_confusable(samples, pair) for pair in pairs),
        *_disagreeing(samples, around),
        *_repetition_findings(samples, one, other),
        *_too_similar(samples, around),
        *_few(samples),
    ]
    order = list(FindingKind)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def audit_nobody(names: Mapping[int, str]) -> list[Finding]:
    """Return the findings about people without a sample."""
    return [
        Finding(
            FindingKind.NO_SAMPLES, (name,), (), None, f"{name} has no sample and is never recognized", (_enroll(name),)
        )
        for _, name in _by_name(names)
    ]


def _shared_photos(
    samples: AuditedSamples,
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    similarities: NDArray[np.float32],
    around: Neighborhood,
) -> Iterator[Finding]:
    """Yield faces shared by two people: nearly equal embeddings, or the same place in the same photo."""
    owners = samples.enrolled.person_ids
    alike = {(int(a), int(b)): float(s) for a, b, s in zip(one, other, similarities, strict=True)}
    for a, b in _same_places(samples):
        alike[a, b] = float(samples.enrolled.matrix[a] @ samples.enrolled.matrix[b])
    for (a, b), similarity in sorted(alike.items(), key=lambda entry: (-entry[1], entry[0])):
        if owners[a] == owners[b]:
            continue
        wrong, right = (a, b) if around.own[a] < around.own[b] else (b, a)
        first, second = samples.name(a), samples.name(b)
        yield Finding(
            FindingKind.SHARED_PHOTO,
            (first, second),
            (samples.number(a), samples.number(b)),
            similarity,
            f"{first} and {second} share a photo: samples {samples.number(a)} and {samples.number(b)}",
            (
                _remove(samples.number(wrong)),
                _remove(samples.number(right)),
                shell_command("people", "merge", second, "--into", first),
            ),
        )


def _same_places(samples: AuditedSamples) -> Iterator[tuple[int, int]]:
    photos: dict[str, list[int]] = {}
    for row, face in enumerate(samples.faces):
        for photo in {face.content_hash, face.picture_hash} - {None}:
            photos.setdefault(str(photo), []).append(row)
    pairs = {(a, b) for rows in photos.values() for place, a in enumerate(rows) for b in rows[place + 1 :]}
    yield from ((a, b) for a, b in sorted(pairs) if is_same_place(samples.faces[a], samples.faces[b]))


def _mislabeled_findings(samples: AuditedSamples, around: Neighborhood) -> Iterator[Finding]:
    rows = np.flatnonzero(around.mislabelled)
    for row in rows[np.argsort(around.own[rows] - around.other[rows], kind="stable")].tolist():
        name, nearer = samples.name(row), samples.names[int(around.nearest[row])]
        number = samples.number(row)
        yield Finding(
            FindingKind.MISLABELLED,
            (name, nearer),
            (number,),
            float(around.other[row]),
            f"sample {number} of {name} looks like {nearer} (similarity {around.other[row]:.2f}, to the other samples "
            f"of {name} {around.own[row]:.2f})",
            (shell_command("people", "show", name), _remove(number)),
        )


def _confusable(samples: AuditedSamples, pair: ConfusablePair) -> Finding:
    first, second = samples.names[pair.first], samples.names[pair.second]
    numbers = tuple(samples.number(row) for row in pair.doubtful)
    helpful = [samples.names[person] for person in _fewest(samples, pair)]
    advice = [*map(_enroll, helpful), *map(_remove, numbers)]
    doubt = ""
    if pair.expected_error >= SAME_PERSON_ERROR:
        doubt = ", or are one person"
        advice.insert(0, shell_command("people", "merge", second, "--into", first))
    nearer = ""
    if numbers:
        listed = ", ".join(map(str, numbers))
        nearer = f"; samples that look like the other one: {listed} (see `facebank people show`)"
    return Finding(
        FindingKind.CONFUSABLE,
        (first, second),
        numbers,
        pair.expected_error,
        f"{first} and {second} are easily confused{doubt}: {100 * pair.expected_error:.2g} % of the photos of one "
        f"are nearer to the other{nearer}. Other photos of {' and '.join(helpful)} help: "
        "another day, light and pose",
        tuple(advice),
    )


def _fewest(samples: AuditedSamples, pair: ConfusablePair) -> list[int]:
    """Return whose further photos help most: the person with less than half as many, else both."""
    people = samples.enrolled.person_ids
    counts = {person: int((people == person).sum()) for person in (pair.first, pair.second)}
    least = min(counts.values())
    return [person for person, count in counts.items() if count < 2 * least or count == least]


def _disagreeing(samples: AuditedSamples, around: Neighborhood) -> Iterator[Finding]:
    """Yield samples unlike the person's others; once for a person with two, and not if one is mislabelled."""
    owners = samples.enrolled.person_ids
    reported = set(owners[around.mislabelled].tolist())
    counts = np.bincount(samples.enrolled.owners)[samples.enrolled.owners]
    rows = np.flatnonzero(around.disagreeing)
    for row in rows[np.argsort(around.own[rows], kind="stable")].tolist():
        name, person = samples.name(row), int(owners[row])
        if person in reported and counts[row] == 2:
            continue
        reported.add(person)
        concerned = np.flatnonzero(owners == person).tolist() if counts[row] == 2 else [row]
        numbers = tuple(samples.number(place) for place in concerned)
        if len(numbers) == 2:
            message = f"the two samples of {name} hardly look like the same person (similarity {around.own[row]:.2f})"
        else:
            message = f"sample {numbers[0]} of {name} is unlike the others (similarity {around.own[row]:.2f})"
        split = shell_command("people", "split", name, "--into") + f" NEW_NAME {numbers[-1]}"
        commands = (shell_command("people", "show", name), split, *map(_remove, numbers))
        yield Finding(FindingKind.DISAGREEING, (name,), numbers, float(around.own[row]), message, commands)


def _repetition_findings(
    samples: AuditedSamples, one: NDArray[np.int64], other: NDArray[np.int64]
) -> Iterator[Finding]:
    """Yield a person's repeated samples; the best of each group is kept."""
    owners, qualities = samples.enrolled.person_ids, samples.enrolled.qualities
    repeats: dict[int, set[int]] = {}
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        if owners[a] == owners[b]:
            worse = b if qualities[a] >= qualities[b] else a
            repeats.setdefault(int(owners[a]), set()).add(worse)
    for person, rows in sorted(repeats.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        name, numbers = samples.names[person], tuple(sorted(samples.number(row) for row in rows))
        several = f"{len(numbers)} samples of {name} repeat" if len(numbers) > 1 else f"a sample of {name} repeats"
        message = f"{several} another one almost exactly"
        yield Finding(FindingKind.REPEATED, (name,), numbers, None, message, tuple(map(_remove, numbers)))


def _too_similar(samples: AuditedSamples, around: Neighborhood) -> Iterator[Finding]:
    people = samples.enrolled.people
    places = np.flatnonzero(around.too_similar)
    for place in places[np.argsort(-around.agreement[places], kind="stable")].tolist():
        name = samples.names[int(people[place])]
        alike = f"mean similarity {around.agreement[place]:.2f}"
        message = f"all samples of {name} are nearly the same, as if taken at one moment ({alike})"
        value = float(around.agreement[place])
        yield Finding(FindingKind.TOO_SIMILAR, (name,), (), value, message, (_enroll(name),))


def _few(samples: AuditedSamples) -> Iterator[Finding]:
    people, counts = samples.enrolled.people, np.bincount(samples.enrolled.owners)
    enrolled = dict(zip(people.tolist(), counts.tolist(), strict=True))
    yield from audit_nobody({person: name for person, name in samples.names.items() if person not in enrolled})
    for person, name in _by_name(samples.names):
        if 1 <= enrolled.get(person, 0) <= FEW_SAMPLES:
            message = f"{name} has only one sample: decisions depend on that photo alone"
            yield Finding(FindingKind.FEW_SAMPLES, (name,), (), None, message, (_enroll(name),))


def _by_name(names: Mapping[int, str]) -> list[tuple[int, str]]:
    return sorted(names.items(), key=lambda entry: (entry[1], entry[0]))


def _remove(number: int) -> str:
    return shell_command("people", "remove-sample", str(number))


def _enroll(name: str) -> str:
    return shell_command("enroll", "--name", name) + " PHOTO..."


@dataclass(frozen=True, slots=True)
class GalleryAudit:
    """The numbers of people and samples of a gallery, and the findings, the most important first."""

    people: int
    samples: int
    findings: tuple[Finding, ...]


def audit_gallery(
    gallery: Gallery,
    pack_calibration: PackCalibration | None = None,
    *,
    most_pairs: int = MOST_PAIRS,
    verify: float | None = None,
) -> GalleryAudit:
    """Find problems that impair recognition in a gallery; does not change it.

    Masked samples are not compared with others.

    Parameters
    ----------
    gallery
        The enrolled people.
    pack_calibration
        The pack's calibration, or None.
    most_pairs
        Largest number of pairs of confusable people to report; raises `UsageError` if negative.
    verify
        The pack's verification threshold, to find people whose samples may show two; None to skip that.
    """
    background = None if pack_calibration is None else pack_calibration.background
    calibration = None if pack_calibration is None else pack_calibration.calibration
    with gallery.snapshot():
        table, qualities, names = *gallery.rated_vectors(), gallery.names()
        of_everybody = gallery.samples_by_person()
        owned = [(person, of_everybody.get(person.id, [])) for person in gallery.people()]
    faces = {sample.id: FaceKey.from_sample(sample) for _, samples_of_one in owned for sample in samples_of_one}
    only_masked = {person.id for person, _ in owned if 0 < person.sample_count == person.masked_count}
    compared = {number: name for number, name in names.items() if number not in only_masked}
    findings = [_date_finding(person, each) for person, theirs in owned for each in fact_warnings(person, theirs)]
    if len(table.sample_ids):
        rows = np.argsort(table.person_ids, kind="stable")  # in the order of the index
        sample_ids = table.sample_ids[rows]
        enrolled = Enrolled(table.matrix[rows], table.person_ids[rows], qualities[rows])
        places = [faces[number] for number in sample_ids.tolist()]
        samples = AuditedSamples(enrolled, sample_ids, places, compared)
        pair_model = None if calibration is None else calibration.pairs
        found = audit_samples(samples, background, pair_model=pair_model, most_pairs=most_pairs)
        halves = [] if verify is None else find_halves(gallery, verify)
        findings = [*map(_two_people, halves), *_without_people(found, {each.person for each in halves}), *findings]
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


def _without_people(findings: Iterable[Finding], people: Container[str]) -> list[Finding]:
    """Drop findings about single samples of some people, because their advice is to remove samples."""
    single = FindingKind.MISLABELLED, FindingKind.DISAGREEING
    return [finding for finding in findings if finding.kind not in single or finding.people[0] not in people]


def _with_unmerge(gallery: Gallery, findings: Iterable[Finding]) -> list[Finding]:
    """Advise undoing a merge if a person looks like two and was merged."""
    joined = gallery.merged_into()
    about = FindingKind.TWO_PEOPLE, FindingKind.MISLABELLED, FindingKind.DISAGREEING
    advised = []
    for finding in findings:
        commands = finding.commands
        if finding.kind in about and finding.people[0] in joined:
            commands = (commands[0], shell_command("people", "unmerge", finding.people[0]), *commands[1:])
        advised.append(replace(finding, commands=commands))
    return advised


def _date_finding(person: Person, warning: FactWarning) -> Finding:
    if warning.code in (FactWarningCode.OUTDATED_SAMPLES, FactWarningCode.ONLY_MASKED):
        commands = [_enroll(person.name)]
    else:
        commands = [_remove(number) for number in warning.samples]
    kind = FindingKind(warning.code.value)
    return Finding(kind, (person.name,), warning.samples, None, warning.message, tuple(commands))


@dataclass(frozen=True, slots=True)
class Halves:
    """A person whose samples may show two people: name, sample ids of each half, mean similarity across."""

    person: str
    larger: tuple[int, ...]
    smaller: tuple[int, ...]
    similarity: float


def find_halves(gallery: Gallery, verify: float, name: str | None = None) -> list[Halves]:
    """Return people whose samples look like two people, such as after a wrong merge, the most different halves first.

    Omits people whose halves are explained by the years between the photos, unless they were merged; samples in masks
    are in neither half. Rates: ``python -m benchmarks.wrong_merges``.

    Parameters
    ----------
    gallery
        The enrolled people.
    verify
        The pack's verification threshold.
    name
        Only this person; None for all.
    """
    with gallery.snapshot():
        table, names = gallery.vectors(), gallery.names()
        order = np.argsort(table.person_ids, kind="stable")
        people, starts = np.unique(table.person_ids[order], return_index=True)
        wanted = None if name is None else gallery.person(name).id
        found = []
        for person_id, rows in zip(people.tolist(), np.split(order, starts[1:]), strict=True):
            parts = halves(table.matrix[rows], verify) if wanted in (None, person_id) else None
            if parts is not None:
                is_smaller, similarity = parts
                smaller, larger = (table.sample_ids[rows[chosen]].tolist() for chosen in (is_smaller, ~is_smaller))
                found.append(Halves(names[person_id], tuple(larger), tuple(smaller), similarity))
        joined = gallery.merged_into()
        found = [each for each in found if each.person in joined or not _is_explained(gallery, each)]
    return sorted(found, key=lambda each: each.similarity)


def _is_explained(gallery: Gallery, found: Halves) -> bool:
    """Return whether the years between all photos of one half and all of the other explain the halves."""
    dates = {sample.id: sample.taken_at for sample in gallery.samples(found.person) if sample.camera_dated}
    some, others = ([dates.get(number) for number in half] for half in (found.smaller, found.larger))
    born = gallery.person(found.person).born
    return all(
        date is not None and other is not None and may_look_different(date, other, born)
        for date in some
        for other in others
    )
