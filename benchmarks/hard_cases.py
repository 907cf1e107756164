"""Error rates of decisions on children, siblings, look-alikes and adults, by group.

    python -m benchmarks.hard_cases ../shared/data --people reporting --out benchmarks/reports/hard_cases/together

Each case enrolls embeddings of people of one group, searches for their other photos and for strangers, and counts the
recognizer's decisions with default settings. People are those of LFW (``peopleDevTest.txt``), ``hard/siblings.npz`` and
``hard/ages.npz``: families and people with even numbers are for development, those with odd numbers for reporting.
Intervals are 95 % bootstrap intervals over families or people.

- ``siblings``: two siblings with 4 photos each, alone or with 20 adults of LFW; strangers are from other families.
- ``relative``: one sibling with 3 photos is enrolled; probes are of this and of the other siblings.
- ``children``, ``adults of the same set``: 10 people with 2 photos (20 with ``--people all``); the others are
  strangers.
- ``look-alikes``: two of four similar people of LFW, chosen by the prototypes of all their photos.
- ``LFW, n people``: adults; ``LFW, 62 people``: those with 20 photos or more, from both lists.

The report has these fractions: ``named`` of strangers who are named, ``right`` of mated probes with the right name, and
``wrong among names`` of wrong names among all names of mated probes. The calibration error is that of the first
candidate's probability over ten bins of equal count, for mated probes and strangers together; ``between`` is the same
for the larger of two siblings' probabilities, normalized to a sum of 1.

``--calibration``, ``--least-probability 0`` and ``--without-pairs`` replace or disable single rules.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, read_people
from benchmarks.probes import make_probe
from benchmarks.resampling import bootstrap_interval
from facebank.gallery import PackIdentity
from facebank.operations.identify import build_recognizer
from facebank.packs import Pack, load_pack
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.calibration.files import PackCalibration, find_pack_calibration
from facebank.recognition.calibration.simulation import Identities
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.settings import DecisionSettings
from facebank.recognition.training import build_scorer
from facebank.types import Decision, Face, Identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

BINS = 10
COVERAGES = (0.5, 0.7, 0.8, 0.9)
MAX_STRANGERS = 80
MINIMUM_QUALITY = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class PeopleFaces:
    """Faces of a group of people.

    Attributes
    ----------
    embeddings, qualities
        Of shapes ``(N, D)`` and ``(N,)``.
    photos
        Row indices of each person's photos.
    families
        Family number of each person, of shape ``(P,)``; distinct if the data has no families.
    """

    embeddings: FloatArray
    qualities: FloatArray
    photos: tuple[NDArray[np.int64], ...]
    families: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        embeddings: FloatArray,
        qualities: FloatArray,
        people: NDArray[np.int64],
        families: NDArray[np.int64] | None = None,
    ) -> PeopleFaces:
        """Group faces by person, without those below the minimum quality at enrollment."""
        good = qualities >= MINIMUM_QUALITY
        embeddings, qualities, people = embeddings[good], qualities[good], people[good]
        _, person_ids = np.unique(people, return_inverse=True)
        photos = tuple(np.flatnonzero(person_ids == person) for person in range(person_ids.max() + 1))
        related = np.arange(len(photos)) if families is None else families[good][[rows[0] for rows in photos]]
        return cls(embeddings, qualities, photos, related)

    def with_photos(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of the people with at least `count` photos."""
        return np.flatnonzero([len(rows) >= count for rows in self.photos])

    def faces(self, rows: Sequence[int] | NDArray[np.int64]) -> list[Face]:
        """Return the faces at some rows as probes."""
        return [make_probe(self.embeddings[row], float(self.qualities[row])) for row in rows]


@dataclass(frozen=True, slots=True, eq=False)
class CaseSearch:
    """A search and its decision."""

    decision: Identity
    owner: str | None  # name of the probe's person, None for a stranger
    unit: int  # number of the family or person, the unit of resampling

    @property
    def is_mated(self) -> bool:
        """Whether the probe's person is enrolled."""
        return self.owner is not None


class Searcher:
    """Searches of galleries with recognizers of a pack.

    Parameters
    ----------
    pack, pack_calibration
        The pack and its calibration.
    settings
        Settings of the decisions.
    uses_margins
        Whether look-alikes are compared by their margins.
    """

    def __init__(
        self, pack: Pack, pack_calibration: PackCalibration, settings: DecisionSettings, *, uses_margins: bool = True
    ) -> None:
        self._pack = pack
        self._pack_calibration = pack_calibration
        self._settings = settings
        self._uses_margins = uses_margins

    def search(self, enrolled: dict[str, tuple[FloatArray, FloatArray]], faces: list[Face]) -> list[Identity]:
        """Enroll people (embeddings and qualities by name), and return the independent decision on each face."""
        samples = EnrolledSamples(
            np.concatenate([rows for rows, _ in enrolled.values()]),
            np.repeat(np.arange(len(enrolled)), [len(rows) for rows, _ in enrolled.values()]),
            np.concatenate([quality for _, quality in enrolled.values()]),
        )
        recognizer = build_recognizer(
            samples.index,
            dict(enumerate(enrolled)),
            build_scorer("prototype", samples),
            classifier="prototype",
            pack_calibration=self._pack_calibration,
            thresholds=self._pack.manifest.thresholds,
            settings=self._settings,
        )
        if not self._uses_margins:
            recognizer._confusables = None
        return [recognizer.identify([face])[0] for face in faces]


def draw_gallery(
    people: PeopleFaces,
    chosen: Sequence[int] | NDArray[np.int64],
    samples: int,
    random: np.random.Generator,
    prefix: str = "",
) -> tuple[dict[str, tuple[FloatArray, FloatArray]], dict[str, NDArray[np.int64]]]:
    """Draw up to `samples` photos of each chosen person.

    Returns
    -------
    dict[str, tuple[FloatArray, FloatArray]]
        Embeddings and qualities to enroll, by name.
    dict[str, NDArray[np.int64]]
        Rows of the person's other photos, at least one, by name.
    """
    enrolled, probes = {}, {}
    for person in chosen:
        rows = random.permutation(people.photos[person])
        count = max(1, min(samples, len(rows) - 1))
        enrolled[f"{prefix}{person}"] = (people.embeddings[rows[:count]], people.qualities[rows[:count]])
        probes[f"{prefix}{person}"] = rows[count:]
    return enrolled, probes


def search_siblings(
    searcher: Searcher, people: PeopleFaces, adults: PeopleFaces, adult_count: int, draws: int
) -> Iterator[CaseSearch]:
    """Enroll two siblings of each family; search for their other photos and for people of other families."""
    random = np.random.default_rng(1)
    for _ in range(draws):
        for family in np.unique(people.families):
            pair = random.permutation(np.flatnonzero(people.families == family))[:2]
            enrolled, probes = draw_gallery(people, pair, 4, random)
            chosen_adults = random.permutation(adults.with_photos(4))[:adult_count]
            enrolled |= draw_gallery(adults, chosen_adults, 4, random, "adult ")[0]
            for name, rows in probes.items():
                for decision in searcher.search(enrolled, people.faces(rows)):
                    yield CaseSearch(decision, name, int(family))
            stranger_rows = np.concatenate([people.photos[p] for p in np.flatnonzero(people.families != family)])
            rows = random.permutation(stranger_rows)[:MAX_STRANGERS]
            for decision in searcher.search(enrolled, people.faces(rows)):
                yield CaseSearch(decision, None, int(family))


def search_relatives(
    searcher: Searcher, people: PeopleFaces, adults: PeopleFaces, adult_count: int, draws: int
) -> Iterator[CaseSearch]:
    """Enroll one sibling of each family with 3 photos; search for this and the other siblings."""
    random = np.random.default_rng(2)
    for _ in range(draws):
        for family in np.unique(people.families):
            members = random.permutation(np.flatnonzero(people.families == family))
            first = next((person for person in members if len(people.photos[person]) > 3), None)
            if first is None or len(members) < 2:
                continue
            enrolled, probes = draw_gallery(people, [first], 3, random)
            chosen_adults = random.permutation(adults.with_photos(3))[:adult_count]
            enrolled |= draw_gallery(adults, chosen_adults, 3, random, "adult ")[0]
            for decision in searcher.search(enrolled, people.faces(probes[f"{first}"])):
                yield CaseSearch(decision, f"{first}", int(family))
            rows = np.concatenate([people.photos[person] for person in members if person != first])
            for decision in searcher.search(enrolled, people.faces(rows)):
                yield CaseSearch(decision, None, int(family))


def search_group(
    searcher: Searcher, people: PeopleFaces, size: int, samples: int, *, draws: int, max_strangers: int = 400
) -> Iterator[CaseSearch]:
    """Enroll people of a group; search for their other photos and for one photo of each of the other people."""
    random = np.random.default_rng([3, size, samples])
    for _ in range(draws):
        chosen = random.permutation(people.with_photos(samples + 1))[:size]
        enrolled, probes = draw_gallery(people, chosen, samples, random)
        for person, (name, rows) in zip(chosen, probes.items(), strict=True):
            for decision in searcher.search(enrolled, people.faces(rows[:20])):
                yield CaseSearch(decision, name, int(person))
        strangers = random.permutation(np.setdiff1d(np.arange(len(people.photos)), chosen))[:max_strangers]
        rows = np.array([random.choice(people.photos[person]) for person in strangers], dtype=np.int64)
        for person, decision in zip(strangers, searcher.search(enrolled, people.faces(rows)), strict=True):
            yield CaseSearch(decision, None, int(person))


def search_look_alikes(searcher: Searcher, people: PeopleFaces, groups: int) -> Iterator[CaseSearch]:
    """Enroll two of four similar people; search for all four."""
    random = np.random.default_rng(4)
    candidates = people.with_photos(3)
    samples = EnrolledSamples(
        np.concatenate([people.embeddings[people.photos[person]] for person in candidates]),
        np.repeat(np.arange(len(candidates)), [len(people.photos[person]) for person in candidates]),
        np.concatenate([people.qualities[people.photos[person]] for person in candidates]),
    )
    similarities = samples.index.prototypes @ samples.index.prototypes.T
    np.fill_diagonal(similarities, -1)
    firsts = np.argsort(-np.sort(similarities, axis=1)[:, -3:].mean(axis=1))[:groups]
    for number, first in enumerate(firsts):
        group = random.permutation([first, *np.argsort(-similarities[first])[:3]])
        enrolled, probes = draw_gallery(people, candidates[group[:2]], 2, random)
        for name, rows in probes.items():
            for decision in searcher.search(enrolled, people.faces(rows[:20])):
                yield CaseSearch(decision, name, number)
        for stranger in candidates[group[2:]]:
            for decision in searcher.search(enrolled, people.faces(people.photos[stranger][:20])):
                yield CaseSearch(decision, None, number)


def evaluate(searches: list[CaseSearch], *, with_choice: bool) -> dict[str, object]:
    """Return the figures of a case, and of the choice between two siblings if `with_choice`."""
    mated = [search for search in searches if search.is_mated]
    strangers = [search for search in searches if not search.is_mated]
    named = [search for search in mated if search.decision.decision is Decision.KNOWN]
    result: dict[str, object] = {
        "right": fraction([search.decision.person == search.owner for search in mated], mated),
        "wrong among names": fraction([search.decision.person != search.owner for search in named], named),
        "named": fraction([search.decision.decision is Decision.KNOWN for search in strangers], strangers),
        "calibration error": round(first_candidate_error(searches), 4),
        "reasons": reason_fractions(mated),
    }
    if with_choice:
        result |= evaluate_choice(mated)
    return result


def fraction(events: list[bool], searches: list[CaseSearch]) -> dict[str, float]:
    """Return the fraction of true events with its bootstrap interval over families or people."""
    if not events:
        return {"value": 0.0, "low": 0.0, "high": 0.0, "count": 0}
    low, high = bootstrap_interval(events, [search.unit for search in searches])
    return {
        "value": round(float(np.mean(events)), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "count": len(events),
    }


def reason_fractions(mated: list[CaseSearch]) -> dict[str, float]:
    """Return the fraction of mated probes by reason."""
    values, counts = np.unique([search.decision.reason.value for search in mated], return_counts=True)
    return {str(reason): round(float(count / len(mated)), 4) for reason, count in zip(values, counts, strict=True)}


def first_candidate_error(searches: list[CaseSearch]) -> float:
    """Return the calibration error of the first candidates' probabilities."""
    probabilities = np.array([search.decision.candidates[0].probability or 0.0 for search in searches])
    right = np.array([search.decision.candidates[0].person == search.owner for search in searches])
    return bins_error(probabilities, right)


def bins_error(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over bins of equal count."""
    order = np.argsort(probabilities, kind="stable")
    bins = np.array_split(order, BINS)
    return float(
        sum(abs(probabilities[rows].mean() - right[rows].mean()) * len(rows) for rows in bins) / len(probabilities)
    )


def evaluate_choice(mated: list[CaseSearch]) -> dict[str, object]:
    """Return the accuracy and calibration of the choice between two siblings, regardless of the decision."""
    families = {search.owner: search.unit for search in mated}
    probabilities, right = [], []
    for search in mated:
        siblings = {
            candidate.person: candidate.probability or 0.0
            for candidate in search.decision.candidates
            if families.get(candidate.person) == search.unit
        }
        if len(siblings) == 2:
            (best, larger), (_, smaller) = sorted(siblings.items(), key=lambda item: -item[1])
            probabilities.append(larger / max(larger + smaller, 1e-12))
            right.append(best == search.owner)
    confidence, correct = np.array(probabilities), np.array(right)
    order = np.argsort(-confidence, kind="stable")
    return {
        "between": {
            "accuracy": round(float(correct.mean()), 4),
            "calibration error": round(bins_error(confidence, correct), 4),
            **{
                f"at {coverage:g}": round(float(correct[order[: int(len(order) * coverage)]].mean()), 4)
                for coverage in COVERAGES
            },
        }
    }


@dataclass(frozen=True, slots=True, eq=False)
class PeopleGroups:
    """Groups of people, for development or for reporting."""

    siblings: PeopleFaces
    children: PeopleFaces
    grown_children: PeopleFaces  # the same set's people as adults
    adults: PeopleFaces  # of LFW
    frequent: PeopleFaces  # of LFW, with 20 or more photos, and strangers with one
    relatives: PeopleFaces  # of LFW


def read_groups(data: Path, pack: Pack, people: str) -> PeopleGroups:
    """Read the faces of all groups."""
    faces = lfw_faces(data, pack)
    faces = faces.where(faces.has_face)
    lists = {
        "development": read_people(data, DEVELOPMENT),
        "reporting": read_people(data, REPORTING),
        "all": frozenset(faces.names),
    }
    adults = faces.select_people(lists[people])
    counts = np.bincount(faces.people)[faces.people]
    frequent = faces.where((counts >= 20) | (counts == 1))
    remainders = {"development": (0,), "reporting": (1,), "all": (0, 1)}[people]
    hard = {}
    for name, key in (("siblings", "family"), ("ages", "person")):
        with np.load(data / "hard" / f"{name}.npz", allow_pickle=False) as arrays:
            rows = np.isin(arrays[key] % 2, remainders)
            hard[name] = {field: arrays[field][rows] for field in arrays.files}
    siblings, ages = hard["siblings"], hard["ages"]
    young = ages["young"]
    related = _relatives(data, faces.names)
    relatives = faces.where(related >= 0)
    families = PeopleFaces.of(siblings["embedding"], siblings["quality"], siblings["person"], siblings["family"])
    person_ids = np.unique(siblings["person"], return_inverse=True)[1].astype(np.int64)
    adults = exclude_people_of(adults, [Identities(siblings["embedding"], person_ids, siblings["quality"])])
    return PeopleGroups(
        families,
        PeopleFaces.of(ages["embedding"][young], ages["quality"][young], ages["person"][young]),
        PeopleFaces.of(ages["embedding"][~young], ages["quality"][~young], ages["person"][~young]),
        PeopleFaces.of(adults.embeddings, adults.qualities, adults.people),
        PeopleFaces.of(frequent.embeddings, frequent.qualities, frequent.people),
        PeopleFaces.of(relatives.embeddings, relatives.qualities, relatives.people, related[related >= 0]),
    )


def exclude_people_of(adults: LfwFaces, sets: Sequence[Identities], min_similarity: float = 0.45) -> LfwFaces:
    """Exclude adults who may also be in another set, since a stranger must not be enrolled."""
    person_ids = adults.people
    prototypes = EnrolledSamples(adults.embeddings, person_ids, adults.qualities).index.prototypes
    is_duplicate = np.zeros(len(prototypes), dtype=bool)
    for people in sets:
        others = EnrolledSamples(people.embeddings, people.person_ids, people.qualities).index.prototypes
        is_duplicate |= (prototypes @ others.T).max(axis=1) >= min_similarity
    return adults.where(~is_duplicate[person_ids])


def _relatives(data: Path, names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return the family number of each photo's person from LFW's list of relatives, -1 without relatives."""
    lines = (data / "lfw-meta" / "relatives.tsv").read_text(encoding="utf-8").splitlines()[1:]
    families = np.full(len(names), -1)
    for number, line in enumerate(lines):
        for name in line.split("\t")[:2]:
            families[(names == name) & (families < 0)] = number
    return families


def cases(
    searcher: Searcher, groups: PeopleGroups, people: str, draws: int
) -> dict[str, Callable[[], Iterator[CaseSearch]]]:
    """Return all cases by name."""
    size = 20 if people == "all" else 10
    cases_by_name: dict[str, Callable[[], Iterator[CaseSearch]]] = {
        "siblings, nobody else": lambda: search_siblings(searcher, groups.siblings, groups.adults, 0, draws),
        "siblings, 20 adults": lambda: search_siblings(searcher, groups.siblings, groups.adults, 20, draws),
        "relative not enrolled, nobody else": lambda: search_relatives(
            searcher, groups.siblings, groups.adults, 0, draws
        ),
        "relative not enrolled, 20 adults": lambda: search_relatives(
            searcher, groups.siblings, groups.adults, 20, draws
        ),
        "LFW's relatives not enrolled, 20 adults": lambda: search_relatives(
            searcher, groups.relatives, groups.adults, 20, draws
        ),
        "children": lambda: search_group(searcher, groups.children, size, 2, draws=10 * draws),
        "adults of the same set": lambda: search_group(searcher, groups.grown_children, size, 2, draws=10 * draws),
        "look-alikes": lambda: search_look_alikes(searcher, groups.adults, 30),
        "LFW, 62 people, 5 photos": lambda: search_group(
            searcher, groups.frequent, 62, 5, draws=draws, max_strangers=1500
        ),
        "LFW, 62 people, 1 photo": lambda: search_group(
            searcher, groups.frequent, 62, 1, draws=draws, max_strangers=1500
        ),
    }
    for count, samples in ((5, 2), (10, 3), (20, 2), (40, 3)):
        cases_by_name[f"LFW, {count} people, {samples} photos"] = lambda count=count, samples=samples: search_group(  # type: ignore[misc]
            searcher, groups.adults, count, samples, draws=max(draws, 80 * draws // count)
        )
    return cases_by_name


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/, lfw-meta/ and hard/")
    parser.add_argument(
        "--people",
        choices=("development", "reporting", "all"),
        default="reporting",
        help="list of people to use (default reporting)",
    )
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--case", action="append", help="run only cases whose name starts with this text")
    parser.add_argument("--draws", type=int, default=3, help="number of random draws of each case (default: 3)")
    parser.add_argument("--calibration", type=Path, help="path of a calibration.json to use instead of the pack's")
    parser.add_argument(
        "--least-probability", type=float, default=0.5, help="smallest probability of a name (default: 0.5)"
    )
    parser.add_argument("--without-pairs", action="store_true", help="compare look-alikes by scores alone")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    identity = PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension)
    pack_calibration = find_pack_calibration(identity, pack.folder)
    if arguments.calibration is not None:
        calibration = Calibration.from_json(arguments.calibration.read_bytes(), str(arguments.calibration))
        pack_calibration = replace(pack_calibration, calibration=calibration)
    settings = DecisionSettings(least_probability=arguments.least_probability)
    searcher = Searcher(pack, pack_calibration, settings, uses_margins=not arguments.without_pairs)
    groups = read_groups(arguments.data, pack, arguments.people)
    report: dict[str, object] = {"people": arguments.people, "pack": pack.name, "pack_digest": pack.digest}
    for name, case in cases(searcher, groups, arguments.people, arguments.draws).items():
        if arguments.case and not any(name.startswith(prefix) for prefix in arguments.case):
            continue
        result = evaluate(list(case()), with_choice=name.startswith("siblings"))
        report[name] = result
        print(f"{name}: {format_figures(result)}", flush=True)
    write_json_report(arguments.out, report)


def format_figures(figures: dict[str, object]) -> str:
    """Format the figures of a case for printing."""
    parts = []
    for key, value in figures.items():
        if isinstance(value, dict) and "low" in value:
            parts.append(f"{key} {value['value']:.1%} [{value['low']:.1%}, {value['high']:.1%}]")
        else:
            parts.append(f"{key} {value}")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
