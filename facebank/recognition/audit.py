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
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.facts import FactWarningCode, fact_warnings
from facebank.recognition.halves import find_halves
from facebank.recognition.neighborhood import Neighborhood, find_neighbors, nearly_equal_samples
from facebank.storage.text import shell_command

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.recognition.calibration.background import Background
    from facebank.recognition.calibration.files import PackCalibration
    from facebank.recognition.facts import FactWarning
    from facebank.recognition.halves import Halves
    from facebank.recognition.pairs import PairModel
    from facebank.types import Person


SAME_PERSON_ERROR = 0.3  # expected error above which two people may be one person
FEW_SAMPLES = 1  # maximum number of samples that counts as too few
MAX_PAIRS = 20  # default number of confusable pairs reported


class FindingKind(StrEnum):
    """The kinds of findings: a closed list, the most important first."""

    SHARED_PHOTO = "shared_photo"
    TWO_PEOPLE = "two_people"
    MISLABELED = "mislabelled"  # spelled as in the JSON output, whose codes do not change
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
    """A problem of one or two people or of samples, with commands that can solve it."""

    kind: FindingKind
    # of people; for `FindingKind.MISLABELED` the sample's person, then the person nearer to the sample
    names: tuple[str, ...]
    sample_ids: tuple[int, ...]  # of the samples concerned; empty for a finding about whole people
    # severity: a confusable pair's expected error, 0..0.5, otherwise a similarity, -1..1; None without a measure
    value: float | None
    message: str  # one sentence
    commands: tuple[str, ...]  # alternative shell commands that help


@dataclass(frozen=True, slots=True, eq=False)
class AuditedSamples:
    """The samples of a gallery with their metadata, all in one order.

    Raises
    ------
    UsageError
        The lengths differ, or a person has no name.
    """

    enrolled: EnrolledSamples  # embeddings, person ids, qualities
    sample_ids: NDArray[np.int64]  # ``int64`` of shape ``(N,)``
    face_keys: Sequence[FaceKey]  # each sample's face and photo
    names: Mapping[int, str]  # all people's names by id, including people without samples

    def __post_init__(self) -> None:
        count = self.enrolled.count
        if not len(self.sample_ids) == len(self.face_keys) == count:
            raise UsageError(
                f"Expected {count} sample ids and face keys, one for each embedding, not {len(self.sample_ids)} and "
                f"{len(self.face_keys)}."
            )
        unnamed = set(self.enrolled.distinct_ids.tolist()) - self.names.keys()
        if unnamed:
            raise UsageError(f"The person with the id {min(unnamed)} has samples but no name: add it to `names`.")

    def name(self, row: int) -> str:
        """Return the name of the person of a row."""
        return self.names[int(self.enrolled.person_ids[row])]

    def sample_id(self, row: int) -> int:
        """Return the sample id of a row."""
        return int(self.sample_ids[row])


def audit_samples(
    samples: AuditedSamples,
    background: Background | None = None,
    *,
    pair_model: PairModel | None = None,
    max_pairs: int = MAX_PAIRS,
) -> list[Finding]:
    """Return problems that impair recognition, in the order of `FindingKind`, the worst of each kind first.

    Parameters
    ----------
    samples
        All samples of a gallery.
    background, pair_model
        The pack's background and pair model; None if it has none.
    max_pairs
        Largest number of pairs of confusable people; raises `UsageError` if negative.
    """
    if max_pairs < 0:
        raise UsageError(f"The number of pairs must be 0 or more, not {max_pairs}.")
    neighborhood = find_neighbors(samples.enrolled, background)
    first_rows, second_rows, similarities = nearly_equal_samples(samples.enrolled)
    pairs = confusable_pairs(samples.enrolled.index, pair_model, background)[:max_pairs]
    findings = [
        *_shared_photo_findings(samples, first_rows, second_rows, similarities, neighborhood),
        *_mislabeled_findings(samples, neighborhood),
        *(_confusable_finding(samples, pair) for pair in pairs),
        *_disagreement_findings(samples, neighborhood),
        *_repetition_findings(samples, first_rows, second_rows),
        *_similarity_findings(samples, neighborhood),
        *_few_sample_findings(samples),
    ]
    return _by_kind(findings)


def _by_kind(findings: Iterable[Finding]) -> list[Finding]:
    order = list(FindingKind)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def audit_people_without_samples(names: Mapping[int, str]) -> list[Finding]:
    """Return the findings about people without a sample."""
    return [
        Finding(
            FindingKind.NO_SAMPLES,
            (name,),
            (),
            None,
            f"{name} has no sample and is never recognized",
            (_enroll_command(name),),
        )
        for _, name in _by_name(names)
    ]


def _shared_photo_findings(
    samples: AuditedSamples,
    first_rows: NDArray[np.int64],
    second_rows: NDArray[np.int64],
    similarities: NDArray[np.float32],
    neighborhood: Neighborhood,
) -> Iterator[Finding]:
    """Yield a finding for each face that two people share: nearly equal embeddings, or one place in one photo."""
    person_ids = samples.enrolled.person_ids
    similarity_of = {(int(a), int(b)): float(s) for a, b, s in zip(first_rows, second_rows, similarities, strict=True)}
    for a, b in _same_places(samples):
        similarity_of[a, b] = float(samples.enrolled.embeddings[a] @ samples.enrolled.embeddings[b])
    for (a, b), similarity in sorted(similarity_of.items(), key=lambda entry: (-entry[1], entry[0])):
        if person_ids[a] == person_ids[b]:
            continue
        wrong, right = (a, b) if neighborhood.own_similarity[a] < neighborhood.own_similarity[b] else (b, a)
        first, second = samples.name(a), samples.name(b)
        yield Finding(
            FindingKind.SHARED_PHOTO,
            (first, second),
            (samples.sample_id(a), samples.sample_id(b)),
            similarity,
            f"{first} and {second} share a photo: samples {samples.sample_id(a)} and {samples.sample_id(b)}",
            (
                _remove_command(samples.sample_id(wrong)),
                _remove_command(samples.sample_id(right)),
                shell_command("people", "merge", second, "--into", first),
            ),
        )


def _same_places(samples: AuditedSamples) -> Iterator[tuple[int, int]]:
    photos: dict[str, list[int]] = {}
    for row, key in enumerate(samples.face_keys):
        for photo in {key.content_hash, key.picture_hash} - {None}:
            photos.setdefault(str(photo), []).append(row)
    pairs = {(a, b) for rows in photos.values() for index, a in enumerate(rows) for b in rows[index + 1 :]}
    yield from ((a, b) for a, b in sorted(pairs) if is_same_place(samples.face_keys[a], samples.face_keys[b]))


def _mislabeled_findings(samples: AuditedSamples, neighborhood: Neighborhood) -> Iterator[Finding]:
    rows = np.flatnonzero(neighborhood.mislabeled)
    own, other = neighborhood.own_similarity, neighborhood.other_similarity
    for row in rows[np.argsort(own[rows] - other[rows], kind="stable")].tolist():
        name, nearer = samples.name(row), samples.names[int(neighborhood.nearest[row])]
        sample_id = samples.sample_id(row)
        yield Finding(
            FindingKind.MISLABELED,
            (name, nearer),
            (sample_id,),
            float(other[row]),
            f"sample {sample_id} of {name} looks like {nearer} (similarity {other[row]:.2f}, to the "
            f"other samples of {name} {own[row]:.2f})",
            (shell_command("people", "show", name), _remove_command(sample_id)),
        )


def _confusable_finding(samples: AuditedSamples, pair: ConfusablePair) -> Finding:
    first, second = samples.names[pair.first], samples.names[pair.second]
    sample_ids = tuple(samples.sample_id(row) for row in pair.doubtful)
    names = [samples.names[person_id] for person_id in _people_to_enroll(samples, pair)]
    advice = [*map(_enroll_command, names), *map(_remove_command, sample_ids)]
    doubt = ""
    if pair.expected_error >= SAME_PERSON_ERROR:
        doubt = ", or are one person"
        advice.insert(0, shell_command("people", "merge", second, "--into", first))
    nearer = ""
    if sample_ids:
        listing = ", ".join(map(str, sample_ids))
        nearer = f"; samples that look like the other one: {listing} (see 'facebank people show')"
    return Finding(
        FindingKind.CONFUSABLE,
        (first, second),
        sample_ids,
        pair.expected_error,
        f"{first} and {second} are easily confused{doubt}: {100 * pair.expected_error:.2g} % of the photos of one "
        f"are nearer to the other{nearer}. Other photos of {' and '.join(names)} help: "
        "another day, light and pose",
        tuple(advice),
    )


def _people_to_enroll(samples: AuditedSamples, pair: ConfusablePair) -> list[int]:
    """Return the ids of the people to enroll further: only the one with fewer than half as many samples, else both."""
    person_ids = samples.enrolled.person_ids
    counts = {person_id: int((person_ids == person_id).sum()) for person_id in (pair.first, pair.second)}
    fewest = min(counts.values())
    return [person_id for person_id, count in counts.items() if count < 2 * fewest or count == fewest]


def _disagreement_findings(samples: AuditedSamples, neighborhood: Neighborhood) -> Iterator[Finding]:
    """Yield a finding for each sample that is unlike the other samples of its person.

    The two samples of a person give one finding, and a person with a mislabeled sample gives none.
    """
    person_ids = samples.enrolled.person_ids
    reported = set(person_ids[neighborhood.mislabeled].tolist())
    counts = np.bincount(samples.enrolled.person_indices)[samples.enrolled.person_indices]
    rows = np.flatnonzero(neighborhood.disagreeing)
    for row in rows[np.argsort(neighborhood.own_similarity[rows], kind="stable")].tolist():
        name, person_id, similarity = samples.name(row), int(person_ids[row]), float(neighborhood.own_similarity[row])
        if person_id in reported and counts[row] == 2:
            continue
        reported.add(person_id)
        person_rows = np.flatnonzero(person_ids == person_id).tolist() if counts[row] == 2 else [row]
        sample_ids = tuple(samples.sample_id(person_row) for person_row in person_rows)
        if len(sample_ids) == 2:
            message = f"the two samples of {name} hardly look like the same person (similarity {similarity:.2f})"
        else:
            message = f"sample {sample_ids[0]} of {name} is unlike the others (similarity {similarity:.2f})"
        split = shell_command("people", "split", name, "--into") + f" NEW_NAME {sample_ids[-1]}"
        commands = (shell_command("people", "show", name), split, *map(_remove_command, sample_ids))
        yield Finding(FindingKind.DISAGREEING, (name,), sample_ids, similarity, message, commands)


def _repetition_findings(
    samples: AuditedSamples, first_rows: NDArray[np.int64], second_rows: NDArray[np.int64]
) -> Iterator[Finding]:
    """Yield a finding for each person with repeated samples: all but the best of each group."""
    person_ids, qualities = samples.enrolled.person_ids, samples.enrolled.qualities
    repeats: dict[int, set[int]] = {}
    for a, b in zip(first_rows.tolist(), second_rows.tolist(), strict=True):
        if person_ids[a] == person_ids[b]:
            worse = b if qualities[a] >= qualities[b] else a
            repeats.setdefault(int(person_ids[a]), set()).add(worse)
    for person_id, rows in sorted(repeats.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        name, sample_ids = samples.names[person_id], tuple(sorted(samples.sample_id(row) for row in rows))
        subject = f"{len(rows)} samples of {name} repeat" if len(rows) > 1 else f"a sample of {name} repeats"
        message = f"{subject} another one almost exactly"
        yield Finding(FindingKind.REPEATED, (name,), sample_ids, None, message, tuple(map(_remove_command, sample_ids)))


def _similarity_findings(samples: AuditedSamples, neighborhood: Neighborhood) -> Iterator[Finding]:
    person_ids = samples.enrolled.distinct_ids
    indices = np.flatnonzero(neighborhood.too_similar)
    for index in indices[np.argsort(-neighborhood.agreement[indices], kind="stable")].tolist():
        name = samples.names[int(person_ids[index])]
        detail = f"mean similarity {neighborhood.agreement[index]:.2f}"
        message = f"all samples of {name} are nearly the same, as if taken at one moment ({detail})"
        value = float(neighborhood.agreement[index])
        yield Finding(FindingKind.TOO_SIMILAR, (name,), (), value, message, (_enroll_command(name),))


def _few_sample_findings(samples: AuditedSamples) -> Iterator[Finding]:
    person_ids, counts = samples.enrolled.distinct_ids, np.bincount(samples.enrolled.person_indices)
    sample_counts = dict(zip(person_ids.tolist(), counts.tolist(), strict=True))
    yield from audit_people_without_samples(
        {person_id: samples.names[person_id] for person_id in samples.names.keys() - sample_counts}
    )
    for person_id, name in _by_name(samples.names):
        if 1 <= sample_counts.get(person_id, 0) <= FEW_SAMPLES:
            message = f"{name} has only one sample: decisions depend on that photo alone"
            yield Finding(FindingKind.FEW_SAMPLES, (name,), (), None, message, (_enroll_command(name),))


def _by_name(names: Mapping[int, str]) -> list[tuple[int, str]]:
    return sorted(names.items(), key=lambda entry: (entry[1], entry[0]))


def _remove_command(sample_id: int) -> str:
    return shell_command("people", "remove-sample", str(sample_id))


def _enroll_command(name: str) -> str:
    return shell_command("enroll", "--name", name) + " PHOTO..."


@dataclass(frozen=True, slots=True)
class GalleryAudit:
    """The findings about a gallery."""

    person_count: int
    sample_count: int
    findings: tuple[Finding, ...]  # the most important first


def audit_gallery(
    gallery: Gallery,
    pack_calibration: PackCalibration | None = None,
    *,
    max_pairs: int = MAX_PAIRS,
    threshold: float | None = None,
) -> GalleryAudit:
    """Return the problems that impair recognition in a gallery, which is not changed.

    Masked samples are not compared with others.

    Parameters
    ----------
    gallery
        The enrolled people.
    pack_calibration
        The pack's calibration, or None.
    max_pairs
        Largest number of pairs of confusable people to report; raises `UsageError` if negative.
    threshold
        The pack's verification threshold, to find people whose samples may show two; None to skip that.
    """
    background = None if pack_calibration is None else pack_calibration.background
    calibration = None if pack_calibration is None else pack_calibration.calibration
    with gallery.snapshot():
        table, qualities, names = *gallery.rated_vectors(), gallery.names()
        people, samples_by_person = gallery.people(), gallery.samples_by_person()
    face_keys = {sample.id: FaceKey.from_sample(sample) for group in samples_by_person.values() for sample in group}
    only_masked = {person.id for person in people if 0 < person.sample_count == person.masked_count}
    compared = {person_id: name for person_id, name in names.items() if person_id not in only_masked}
    findings = [
        _fact_finding(person, warning)
        for person in people
        for warning in fact_warnings(person, samples_by_person.get(person.id, []))
    ]
    if len(table.sample_ids):
        rows = np.argsort(table.person_ids, kind="stable")  # in the order of the index
        sample_ids = table.sample_ids[rows]
        enrolled = EnrolledSamples(table.matrix[rows], table.person_ids[rows], qualities[rows])
        ordered_keys = [face_keys[sample_id] for sample_id in sample_ids.tolist()]
        samples = AuditedSamples(enrolled, sample_ids, ordered_keys, compared)
        pair_model = None if calibration is None else calibration.pairs
        sample_findings = audit_samples(samples, background, pair_model=pair_model, max_pairs=max_pairs)
        split_people = [] if threshold is None else find_halves(gallery, threshold)
        findings = [
            *map(_two_people_finding, split_people),
            *_drop_single_samples(sample_findings, {halves.name for halves in split_people}),
            *findings,
        ]
        findings = _advise_unmerge(gallery, findings)
    else:
        findings = [*audit_people_without_samples(compared), *findings]
    return GalleryAudit(len(names), len(face_keys), tuple(_by_kind(findings)))


def _two_people_finding(halves: Halves) -> Finding:
    larger, smaller = (", ".join(map(str, half)) for half in (halves.larger, halves.smaller))
    return Finding(
        FindingKind.TWO_PEOPLE,
        (halves.name,),
        (*halves.larger, *halves.smaller),
        halves.similarity,
        f"the samples of {halves.name} look like two people (mean similarity {halves.similarity:.2f}): {larger}, and "
        f"{smaller}",
        (
            shell_command("people", "show", halves.name),
            shell_command("people", "split", halves.name, "--into") + " NEW_NAME",
        ),
    )


def _drop_single_samples(findings: Iterable[Finding], names: Container[str]) -> list[Finding]:
    """Drop findings about single samples of some people, because their advice is to remove samples."""
    single = FindingKind.MISLABELED, FindingKind.DISAGREEING
    return [finding for finding in findings if finding.kind not in single or finding.names[0] not in names]


def _advise_unmerge(gallery: Gallery, findings: Iterable[Finding]) -> list[Finding]:
    """Advise undoing a merge if a person looks like two and was merged."""
    merged_names = gallery.people_with_merges()
    kinds = FindingKind.TWO_PEOPLE, FindingKind.MISLABELED, FindingKind.DISAGREEING
    advised = []
    for finding in findings:
        commands = finding.commands
        if finding.kind in kinds and finding.names[0] in merged_names:
            commands = (commands[0], shell_command("people", "unmerge", finding.names[0]), *commands[1:])
        advised.append(replace(finding, commands=commands))
    return advised


def _fact_finding(person: Person, warning: FactWarning) -> Finding:
    if warning.code in (FactWarningCode.OUTDATED_SAMPLES, FactWarningCode.ONLY_MASKED):
        commands = [_enroll_command(person.name)]
    else:
        commands = [_remove_command(sample_id) for sample_id in warning.sample_ids]
    kind = FindingKind(warning.code.value)
    return Finding(kind, (person.name,), warning.sample_ids, None, warning.message, tuple(commands))
