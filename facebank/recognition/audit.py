"""What is wrong with the samples of a gallery, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.gallery.same_face import is_same_place
from facebank.recognition.confusable import ConfusablePair, confusable_pairs
from facebank.recognition.neighborhood import Neighborhood, alike_samples, survey
from facebank.storage.text import shell_command

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.gallery import FaceKey
    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import Enrolled
    from facebank.recognition.pairs import PairModel

SAME_PERSON_ERROR = 0.3
"""The expected error from which two people may be one."""

FEW_SAMPLES = 1
"""How many samples are too few."""


class FindingKind(StrEnum):
    """What an audit finds: a closed list, those that matter most first."""

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
    """One thing that is wrong.

    Attributes
    ----------
    kind
        What it is.
    people
        The names of those whom it concerns; for `FindingKind.MISLABELLED` the owner and whom the sample is nearer to.
    samples
        The numbers of the samples that it is about; none where it is about people as a whole.
    value
        How bad it is: the expected error of a confusable pair, 0..0.5, otherwise a similarity, -1..1; None where
        there is nothing to measure.
    message
        What is wrong, in one sentence.
    commands
        What to do about it: shell commands, one of which helps.
    """

    kind: FindingKind
    people: tuple[str, ...]
    samples: tuple[int, ...]
    value: float | None
    message: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AuditedSamples:
    """The samples of a gallery with what an audit needs to know of them, all in one order.

    Attributes
    ----------
    enrolled
        Embeddings, owners, qualities.
    sample_ids
        Their numbers, ``int64`` of shape ``(N,)``.
    faces
        Which face of which photo each of them is.
    names
        The names of everybody by number, people without a sample too.
    """

    enrolled: Enrolled
    sample_ids: NDArray[np.int64]
    faces: Sequence[FaceKey]
    names: Mapping[int, str]

    def __post_init__(self) -> None:
        if not len(self.sample_ids) == len(self.faces) == self.enrolled.count:
            raise UsageError(f"Expected a number and a face for each of {self.enrolled.count} samples.")
        if not set(self.enrolled.people.tolist()) <= self.names.keys():
            raise UsageError("There are samples of people without a name.")

    def name(self, row: int) -> str:
        """Return whose sample a row is."""
        return self.names[int(self.enrolled.person_ids[row])]

    def number(self, row: int) -> int:
        """Return the number of the sample of a row."""
        return int(self.sample_ids[row])


def audit_samples(
    samples: AuditedSamples,
    background: Background | None = None,
    *,
    pair_model: PairModel | None = None,
    most_pairs: int = 20,
) -> list[Finding]:
    """Look for what will make recognition go wrong.

    Parameters
    ----------
    samples
        All samples of a gallery.
    background
        The pack's; None where it has none.
    pair_model
        How far people who look alike are told apart, as the pack's calibration says; None for what is usual.
    most_pairs
        How many pairs of confusable people are told of at most.

    Returns
    -------
    list[Finding]
        Those that matter most first: by kind, in the order of `FindingKind`, and the worst of each kind first.

    Raises
    ------
    UsageError
        The number of pairs is negative.
    """
    if most_pairs < 0:
        raise UsageError(f"The number of pairs must not be negative, as {most_pairs} is.")
    around = survey(samples.enrolled, background)
    one, other, similarities = alike_samples(samples.enrolled)
    pairs = confusable_pairs(samples.enrolled.index, pair_model, background)[:most_pairs]
    findings = [
        *_shared_photos(samples, one, other, similarities, around),
        *_mislabelled(samples, around),
        *(_confusable(samples, pair) for pair in pairs),
        *_disagreeing(samples, around),
        *_repeated(samples, one, other),
        *_too_similar(samples, around),
        *_few(samples),
    ]
    order = list(FindingKind)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def audit_nobody(names: Mapping[int, str]) -> list[Finding]:
    """Tell of people who have no sample, by their names."""
    return [
        Finding(
            FindingKind.NO_SAMPLES, (name,), (), None, f"{name} has no sample and is never recognised", (_enroll(name),)
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
    """Tell of faces that two people have: nearly the same embedding, or the same place of the same photo."""
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
            f"{first} and {second} have the same photo: samples {samples.number(a)} and {samples.number(b)}",
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


def _mislabelled(samples: AuditedSamples, around: Neighborhood) -> Iterator[Finding]:
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
    advice = [*_more_photos(samples, pair), *map(_remove, numbers)]
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
        f"{first} and {second} will be confused{doubt}: about {100 * pair.expected_error:.2g} % of the photos of one "
        f"are nearer to the other{nearer}. Other photos of {_who_needs_more(samples, pair)} help: "
        "another day, light and pose",
        tuple(advice),
    )


def _who_needs_more(samples: AuditedSamples, pair: ConfusablePair) -> str:
    return " and ".join(samples.names[person] for person in _fewest(samples, pair))


def _more_photos(samples: AuditedSamples, pair: ConfusablePair) -> list[str]:
    return [_enroll(samples.names[person]) for person in _fewest(samples, pair)]


def _fewest(samples: AuditedSamples, pair: ConfusablePair) -> list[int]:
    """Return whose photos help most: those of the one who has fewer, of both where neither has half of the other's."""
    people = samples.enrolled.person_ids
    counts = {person: int((people == person).sum()) for person in (pair.first, pair.second)}
    least = min(counts.values())
    return [person for person, count in counts.items() if count < 2 * least or count == least]


def _disagreeing(samples: AuditedSamples, around: Neighborhood) -> Iterator[Finding]:
    """Tell of samples that are like nobody; of two that disagree once, and not if one of them is mislabelled."""
    owners = samples.enrolled.person_ids
    told = set(owners[around.mislabelled].tolist())
    counts = np.bincount(samples.enrolled.owners)[samples.enrolled.owners]
    rows = np.flatnonzero(around.disagreeing)
    for row in rows[np.argsort(around.own[rows], kind="stable")].tolist():
        name, person = samples.name(row), int(owners[row])
        if person in told and counts[row] == 2:
            continue
        told.add(person)
        concerned = np.flatnonzero(owners == person).tolist() if counts[row] == 2 else [row]
        numbers = tuple(samples.number(place) for place in concerned)
        if len(numbers) == 2:
            message = f"the two samples of {name} hardly look like one person (similarity {around.own[row]:.2f})"
        else:
            message = f"sample {numbers[0]} of {name} is unlike the others (similarity {around.own[row]:.2f})"
        split = shell_command("people", "split", name, "--into") + f" NEW_NAME {numbers[-1]}"
        commands = (shell_command("people", "show", name), split, *map(_remove, numbers))
        yield Finding(FindingKind.DISAGREEING, (name,), numbers, float(around.own[row]), message, commands)


def _repeated(samples: AuditedSamples, one: NDArray[np.int64], other: NDArray[np.int64]) -> Iterator[Finding]:
    """Tell of a person's samples that another one repeats; the best one of each kind is kept."""
    owners, qualities = samples.enrolled.person_ids, samples.enrolled.qualities
    repeats: dict[int, set[int]] = {}
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        if owners[a] == owners[b]:
            worse = b if qualities[a] >= qualities[b] else a
            repeats.setdefault(int(owners[a]), set()).add(worse)
    for person, rows in sorted(repeats.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        name, numbers = samples.names[person], tuple(sorted(samples.number(row) for row in rows))
        several = f"{len(numbers)} samples of {name} repeat" if len(numbers) > 1 else f"a sample of {name} repeats"
        message = f"{several} another one as good as exactly"
        yield Finding(FindingKind.REPEATED, (name,), numbers, None, message, tuple(map(_remove, numbers)))


def _too_similar(samples: AuditedSamples, around: Neighborhood) -> Iterator[Finding]:
    people = samples.enrolled.people
    places = np.flatnonzero(around.too_similar)
    for place in places[np.argsort(-around.agreement[places], kind="stable")].tolist():
        name = samples.names[int(people[place])]
        message = f"all samples of {name} are alike, as of one moment (mean similarity {around.agreement[place]:.2f})"
        value = float(around.agreement[place])
        yield Finding(FindingKind.TOO_SIMILAR, (name,), (), value, message, (_enroll(name),))


def _few(samples: AuditedSamples) -> Iterator[Finding]:
    people, counts = samples.enrolled.people, np.bincount(samples.enrolled.owners)
    enrolled = dict(zip(people.tolist(), counts.tolist(), strict=True))
    yield from audit_nobody({person: name for person, name in samples.names.items() if person not in enrolled})
    for person, name in _by_name(samples.names):
        if 1 <= enrolled.get(person, 0) <= FEW_SAMPLES:
            message = f"{name} has one sample only: one bad photo decides everything"
            yield Finding(FindingKind.FEW_SAMPLES, (name,), (), None, message, (_enroll(name),))


def _by_name(names: Mapping[int, str]) -> list[tuple[int, str]]:
    return sorted(names.items(), key=lambda entry: (entry[1], entry[0]))


def _remove(number: int) -> str:
    return shell_command("people", "remove-sample", str(number))


def _enroll(name: str) -> str:
    return shell_command("enroll", "--name", name) + " PHOTO..."
