"""Steps of the experiments; each searches for photos, and adds sections and figures to the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.evaluation.changes import MASKS, SIZES
from facebank.evaluation.dataset import SkippedEntry
from facebank.evaluation.figures import format_percent, rate
from facebank.evaluation.identification import (
    Condition,
    confusion_matrix,
    decision_note,
    person_by_person,
    searches_table,
    strangers_table,
)
from facebank.evaluation.protocols.degraded import degrade, split_by_frontality, summary
from facebank.evaluation.protocols.draws import (
    Draw,
    accuracies,
    count_photos,
    draw_photos,
    draws_table,
    pooled_rate,
    search_draws,
    shots_curve,
    units_of,
)
from facebank.evaluation.report import Section, Table
from facebank.evaluation.searches import Roles, exclude_related
from facebank.index.people_index import PeopleIndex
from facebank.operations.lookalike import HEADING, rank_resemblance
from facebank.storage.text import pluralize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item
    from facebank.evaluation.searches import Searches, TrialGallery

SPLITS = ("train", "validation", "test")
SPLIT_FRACTIONS = (0.6, 0.2, 0.2)
"""Fractions of the splits that are drawn for a dataset without splits."""
FAMILY = ("George_HW_Bush", "George_W_Bush", "Jeb_Bush")
FAMILY_PHOTOS = 4
_FAMILY_DRAWS = 20
_RANKED = 4
_FAMILY_RULE = (
    "The original photos of a family are private. The rerun uses the only three close relatives in LFW with at least "
    "eight photos each, a father and two sons."
)
_PUBLISHED_FAMILY = "1.00 of a family of three, 4 + 4 photos each, ResNet50 of VGGFace; their photos are private"
_PUBLISHED_ATHLETE = (
    "a man who is none of the seven was classified as Neymar 41.6 %, Ronaldo 17.9 %, ...; 'unknown' was not an option"
)
_PUBLISHED_STRANGER = "a stranger was classified as Neymar with 0.82; shirts affected the result, and two people in a "
"photo got one answer"
_MASKS_AND_SIZES = (
    "The same probes unaltered, with masks drawn at the landmarks, and downsized to the stated face sizes. Unaltered "
    "photos are enrolled. Strangers are people with a single photo."
)
_TURNED = (
    "Unaltered photos by frontality, computed from the landmarks: 1 is frontal, 0 has the nose at the edge of the face."
)

Step: TypeAlias = "Callable[[ExperimentRun], None]"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Definition of an experiment.

    Attributes
    ----------
    published
        The published figure and its data.
    rules
        Paragraphs on the choice of people; ``{min_photos}`` is filled in.
    heading, text, summary
        Title, text and summary of `few_photos`, as templates.
    purpose
        Seed of the random draws.
    photos
        Numbers of enrolled photos of each person.
    draws
        Number of draws for each number of photos.
    people_count
        Number of people, who are those with most photos.
    listed
        Names to choose the people from; None for all.
    relatives
        Pairs with their kinship, of which the closest is chosen instead.
    choose_strangers
        Function that returns the people to use as strangers; None for no strangers.
    strangers, composites
        Maximum numbers of strangers and of composite photos.
    published_sizes
        Numbers of enrolled photos and of probes of each person in `published_split`; None without that step.
    by_splits
        Whether to enroll from the training split, and to search for the test split only.
    lists_draws, lists_errors
        Whether to list each draw, and each photo that was not given the right name.
    """

    name: str
    title: str
    published: str
    rules: tuple[str, ...]
    purpose: int
    photos: tuple[int, ...]
    draws: int
    heading: str
    text: str
    summary: tuple[str, ...]
    steps: tuple[Step, ...]
    people_count: int = 2
    listed: tuple[str, ...] | None = None
    relatives: tuple[tuple[str, str, str], ...] = ()
    choose_strangers: Callable[[Bench, Dataset, Sequence[str], Experiment], Sequence[str]] | None = None
    strangers: int = 0
    composites: int = 0
    published_sizes: tuple[int, int] | None = None
    by_splits: bool = False
    lists_draws: bool = False
    lists_errors: bool = False

    @property
    def min_photos(self) -> int:
        """Smallest number of photos of a person."""
        if self.published_sizes is not None:
            return sum(self.published_sizes)
        return 2 if self.by_splits else max(self.photos) + 1


@dataclass(slots=True, eq=False)
class ExperimentRun:
    """State of a run: the input, and the results of its steps.

    `faces` are those of `people` and of strangers; `last` is the last draw with the largest number of photos, and its
    gallery; `names` is the text that names the people.
    """

    bench: Bench
    dataset: Dataset
    experiment: Experiment
    people: tuple[str, ...]
    faces: FaceSet
    names: str
    video: Path | None
    wrong_labels: frozenset[str]
    figures: dict[str, Figure] = field(default_factory=dict)
    summary: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    failures: list[SkippedEntry] = field(default_factory=list)
    last: tuple[Draw, TrialGallery] | None = None

    @property
    def trial(self) -> TrialGallery:
        """The gallery of the last draw; raises `RuntimeError` before `few_photos` has run."""
        if self.last is None:
            raise RuntimeError("nothing is enrolled: the step few_photos must come first")
        return self.last[1]

    @property
    def stranger_indices(self) -> NDArray[np.int64]:
        """Indices of the strangers' photos with a face, ``int64`` of shape ``(N,)``."""
        is_enrolled = np.isin(
            self.faces.dataset.person_indices, [self.faces.dataset.people.index(person) for person in self.people]
        )
        return np.flatnonzero(~is_enrolled & self.faces.has_face).astype(np.int64)

    def add(self, title: str, text: Sequence[str], figures: Sequence[str] = (), items: Sequence[Item] = ()) -> None:
        """Add a section."""
        self.sections.append(Section(title, tuple(text), tuple(figures), tuple(items)))


def list_people(run: ExperimentRun) -> None:
    """Add a section on the people, the rule of their choice, and the basis of decisions."""
    rules = [rule.format(min_photos=run.experiment.min_photos) for rule in run.experiment.rules]
    run.add("People", (*rules, decision_note(run.bench)), items=(_people_table(run.faces, run.people),))


def few_photos(run: ExperimentRun) -> None:
    """Enroll few photos of each person, in several draws, and search for the others."""
    experiment, faces, max_photos = run.experiment, run.faces, max(run.experiment.photos)
    is_single = len(experiment.photos) == 1
    tables: list[Item] = []
    names: list[str] = []
    for number in experiment.photos:
        draws = [_draw(run, number, draw_number) for draw_number in range(experiment.draws)]
        run.bench.progress.begin(f"{pluralize(number, 'photo')} enrolled", experiment.draws)
        searches, trial = search_draws(run.bench, faces, draws)
        figures = accuracies(faces, searches, number)
        run.figures |= figures
        names += figures
        if experiment.lists_draws:
            tables.append(draws_table(draws, searches, number))
        if number == max_photos:
            run.last = draws[-1], trial
            title = "Decisions" if is_single else f"Decisions, {pluralize(number, 'photo')} enrolled"
            tables += person_by_person(searches, trial.names, title)
            if experiment.lists_errors:
                tables += _error_tables(faces, trial, searches, run.wrong_labels)
    if "accuracy" not in run.figures:
        run.figures["accuracy"] = replace(run.figures[f"rank_1_{max_photos}"], published=experiment.published)
        names = ["accuracy", *names] if is_single else [*names, "accuracy"]
    if experiment.by_splits:
        run.figures[f"rank_1_{max_photos}"] = run.figures["accuracy"]
        tables.insert(0, _splits_table(faces, _splits(faces, run.bench.random(experiment.purpose, max_photos, 0))))
    if not is_single:
        tables.insert(0, shots_curve(run.figures, experiment.photos))
    values = {
        "who": run.names,
        "photos": max_photos,
        "draws": experiment.draws,
        "accuracy": run.figures["accuracy"],
        "published": experiment.published,
        "fnir": run.figures[f"fnir_{max_photos}"],
        "others": f"{len(faces.faces) - max_photos * len(run.people):,}",
    }
    run.add(experiment.heading, (experiment.text.format(**values),), names, tables)
    run.summary += [sentence.format(**values) for sentence in experiment.summary]


def published_split(run: ExperimentRun) -> None:
    """Enroll and search for the numbers of photos of the published split."""
    experiment, faces = run.experiment, run.faces
    enrolled, tested = experiment.published_sizes or (0, 0)
    draw = draw_photos(faces, run.people, enrolled, run.bench.random(experiment.purpose), max_probes=tested)
    searches, trial = search_draws(run.bench, faces, [draw])
    units = units_of(faces, searches)
    accuracy = rate(~searches.not_first, units, f"Photos whose best candidate is right, {enrolled} enrolled of each.")
    run.figures["accuracy"] = accuracy = replace(accuracy, published=experiment.published)
    run.figures[f"fnir_{enrolled}"] = rate(
        searches.missed, units, f"Photos that are not given the right name, {enrolled} enrolled of each."
    )
    text = f"Of {enrolled + tested} random photos of each, {enrolled} are enrolled and {tested} searched for."
    tables = person_by_person(searches, trial.names, "Decisions")
    run.add("The split of 2021", (text,), ("accuracy", f"fnir_{enrolled}"), tables)
    run.summary.append(
        f"With the published split, {pluralize(enrolled, 'photo')} of each enrolled: {accuracy} of the others have the "
        f"right best candidate; published: {experiment.published}."
    )


def family(run: ExperimentRun) -> None:
    """Enroll three relatives with few photos each."""
    counts = count_photos(run.dataset)
    lacking = [person for person in FAMILY if counts.get(person, 0) < 2 * FAMILY_PHOTOS]
    if lacking:
        reason = f"The family was not tested: fewer than {2 * FAMILY_PHOTOS} photos of {', '.join(lacking)}."
        run.add("A family of three", (_FAMILY_RULE, reason))
        run.summary.append(reason)
        run.failures.append(SkippedEntry("a family of three", reason))
        return
    faces = run.bench.read(run.dataset.select_people(FAMILY))
    randoms = [run.bench.random(run.experiment.purpose, 3, draw_number) for draw_number in range(_FAMILY_DRAWS)]
    draws = [draw_photos(faces, FAMILY, FAMILY_PHOTOS, random, max_probes=FAMILY_PHOTOS) for random in randoms]
    searches, trial = search_draws(run.bench, faces, draws)
    right = pooled_rate(~searches.not_first, faces, searches, "Photos of the family whose best candidate is right.")
    run.figures["family_accuracy"] = replace(right, published=_PUBLISHED_FAMILY)
    run.figures["family_fnir"] = pooled_rate(
        searches.missed, faces, searches, "Photos of the family that are not given the right name."
    )
    sentence = (
        f"A family of three, {FAMILY_PHOTOS} photos of each enrolled and {FAMILY_PHOTOS} searched for, "
        f"{_FAMILY_DRAWS} draws: {run.figures['family_accuracy']} have the right best candidate; published: "
        f"{_PUBLISHED_FAMILY}."
    )
    items = (_people_table(faces, FAMILY), confusion_matrix(searches, trial.names, "Decisions"))
    run.add("A family of three", (_FAMILY_RULE, sentence), ("family_accuracy", "family_fnir"), items)
    run.summary.append(sentence)


def strangers(run: ExperimentRun) -> None:
    """Search for strangers."""
    indices = run.stranger_indices
    if not len(indices):
        run.add("Strangers", ("FPIR was not tested: the data has no other people.",))
    else:
        searches = run.trial.search(indices)
        units = units_of(run.faces, searches)
        run.figures["fpir"] = rate(searches.misnamed, units, "Photos of strangers that get a name.")
        probabilities = searches.probabilities[np.isfinite(searches.probabilities)]
        highest = f" Their highest probability is {probabilities.max():.4f}." if len(probabilities) else ""
        sentence = f"FPIR (strangers that get a name): {run.figures['fpir']}.{highest}"
        run.add("Strangers", (f"Published: {_PUBLISHED_STRANGER}.", sentence), ("fpir",))
    run.summary.append(run.sections[-1].text[-1])


def ranked_stranger(run: ExperimentRun, women: frozenset[str]) -> None:
    """Search for strangers, and rank the enrolled people by resemblance to the male stranger with most photos."""
    faces, indices, title = run.faces, run.stranger_indices, "Strangers and resemblance"
    counts = count_photos(faces.dataset)
    men = [person for person in counts if person not in run.people and person not in women]
    if not len(indices) or not men:
        run.add(title, ("Not tested: the data has no other people.",))
    else:
        stranger = min(men, key=lambda person: (-counts[person], person))
        searches = run.trial.search(indices)
        units = units_of(faces, searches)
        run.figures["fpir"] = rate(searches.misnamed, units, "Photos of other athletes that get a name.")
        table, sentence = _ranking(faces, run.trial, stranger)
        text = (
            f"Published: {_PUBLISHED_ATHLETE}. The rerun uses the first {_RANKED} photos of {stranger}, the man with "
            "most photos among the athletes who are not enrolled. Resemblance ranks the enrolled people by similarity; "
            "it is not a probability, and the decision is independent of it.",
            f"FPIR for all photos of the {len(np.unique(faces.dataset.person_indices[indices]))} athletes who are not "
            f"enrolled, in the last gallery: {run.figures['fpir']}. {sentence}",
        )
        run.add(title, text, ("fpir",), (table, *_false_names(faces, run.trial, searches)))
    run.summary.append(run.sections[-1].text[-1])


def masks_sizes_and_poses(run: ExperimentRun) -> None:
    """Search for the same photos with masks and downsized, and for photos of turned heads."""
    faces, max_photos = run.faces, max(run.experiment.photos)
    draw = draw_photos(faces, run.people, max_photos, run.bench.random(run.experiment.purpose, max_photos))
    is_enrolled = np.isin(faces.dataset.person_indices, [faces.dataset.people.index(person) for person in run.people])
    roles = Roles(draw.enrolled, draw.probes, np.flatnonzero(~is_enrolled).astype(np.int64))
    conditions, plots = degrade(run.bench, faces, roles, (*MASKS, *SIZES))
    turned = split_by_frontality(conditions[0].faces, conditions[0].searches)[0]
    for condition in (*conditions, *turned):
        run.figures |= _rates(condition)
    run.summary += summary(conditions)
    run.failures += [failure for condition in conditions for failure in condition.failures]
    for title, method, tested, curves in (
        ("Masks and small faces", _MASKS_AND_SIZES, conditions, plots),
        ("Turned heads", _TURNED, turned, ()),
    ):
        names = [name for condition in tested for name in _rates(condition)]
        run.add(title, (method,), names, (*curves, searches_table(tested), strangers_table(tested)))


def _rates(condition: Condition) -> dict[str, Figure]:
    """Return the figures of a condition without calibration, for which two people are too few."""
    prefixes = ("rank_1", "fnir", "fpir", "failure")
    return {name: figure for name, figure in condition.figures().items() if name.startswith(prefixes)}


def _draw(run: ExperimentRun, photos: int, draw_number: int) -> Draw:
    experiment, faces = run.experiment, run.faces
    if not experiment.by_splits:
        numbers = (draw_number,) if len(experiment.photos) == 1 else (photos, draw_number)
        return draw_photos(faces, run.people, photos, run.bench.random(experiment.purpose, *numbers))
    random = run.bench.random(experiment.purpose, photos, draw_number)
    splits = _splits(faces, random)
    enrolled: list[NDArray[np.int64]] = []
    for person in range(len(faces.dataset.people)):
        usable = np.flatnonzero((faces.dataset.person_indices == person) & (splits == 0) & faces.has_face)
        enrolled.append(random.permutation(usable)[:photos])
    all_enrolled = np.concatenate(enrolled).astype(np.int64)
    tested = np.flatnonzero((splits == 2) & (faces.dataset.person_indices >= 0)).astype(np.int64)
    return Draw(all_enrolled, exclude_related(faces, tested, all_enrolled))


def _splits(faces: FaceSet, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the split of each photo as an index into `SPLITS`, ``int64`` of shape ``(N,)``, -1 for none.

    For a dataset without splits they are drawn per person, with photos of one source together and at least one source
    in each split.
    """
    stated = np.array([SPLITS.index(photo.split) if photo.split in SPLITS else -1 for photo in faces.dataset.photos])
    if {0, 2} <= set(stated.tolist()):
        return stated
    splits = np.zeros(len(faces.faces), dtype=np.int64)
    for person in range(len(faces.dataset.people)):
        indices = np.flatnonzero(faces.dataset.person_indices == person)
        sources = random.permutation(np.unique(faces.groups[indices]))
        validated, tested = (max(1, round(fraction * len(sources))) for fraction in SPLIT_FRACTIONS[1:])
        split_of_source = {int(source): 2 for source in sources[:tested]}
        split_of_source |= {
            int(source): 1 for source in sources[tested : tested + validated][: max(0, len(sources) - tested - 1)]
        }
        splits[indices] = [split_of_source.get(int(source), 0) for source in faces.groups[indices]]
    return splits


def _people_table(faces: FaceSet, people: Sequence[str]) -> Table:
    counts, person_indices = count_photos(faces.dataset), faces.dataset.person_indices
    with_face = {
        person: int(faces.has_face[person_indices == faces.dataset.people.index(person)].sum()) for person in people
    }
    rows = tuple((person, "enrolled", f"{counts[person]:,}", f"{with_face[person]:,}") for person in people)
    return Table("People", ("person", "part", "photos", "with a face"), rows)


def _splits_table(faces: FaceSet, splits: NDArray[np.int64]) -> Table:
    person_indices = faces.dataset.person_indices
    rows = tuple(
        (name, *(f"{int(((person_indices == number) & (splits == split)).sum()):,}" for split in range(len(SPLITS))))
        for number, name in enumerate(faces.dataset.people)
    )
    return Table("Splits of the first draw, in photos", ("person", *SPLITS), rows)


def _error_tables(
    faces: FaceSet, trial: TrialGallery, searches: Searches, wrong_labels: frozenset[str]
) -> tuple[Table, ...]:
    """Return a table of the photos that were not given the right name, with likely reasons; empty without any."""
    rows = list[tuple[str, ...]]()
    for index in np.unique(searches.indices[searches.missed]):
        mask = searches.indices == index
        face, name = faces.faces[index], str(faces.names[index])
        if face is None:
            answers, reason, weaknesses = "no face found", "", ""
        else:
            identity = trial.recognizer.identify([face])[0]
            named = searches.named[mask & searches.misnamed]
            answers = ", ".join(sorted({trial.names[number] for number in named})) or "nobody"
            reason, weaknesses = identity.reason.value, ", ".join(face.assessment.weaknesses)
        stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        label = "documented as mislabeled" if stem in wrong_labels else ""
        times = f"{int((mask & searches.missed).sum())} of {int(mask.sum())}"
        rows.append((name, answers, times, reason.replace("_", " "), weaknesses, label))
    headings = ("photo", "named", "missed in draws", "reason in the last draw", "weaknesses", "label")
    return (Table("Photos not given the right name", headings, tuple(rows)),) if rows else ()


def _false_names(faces: FaceSet, trial: TrialGallery, searches: Searches) -> tuple[Table, ...]:
    """Return a table of the strangers who were given a name, with probabilities; empty without any."""
    cases: dict[tuple[str, str], list[float]] = {}
    for number in np.flatnonzero(searches.misnamed & ~searches.mated):
        person = faces.dataset.photos[searches.indices[number]].person or ""
        cases.setdefault((person, trial.names[searches.named[number]]), []).append(searches.probabilities[number])
    photos = count_photos(faces.dataset)
    rows = tuple(
        (person, name, f"{len(answers)} of {photos.get(person, 0)}", f"{min(answers):.2f} to {max(answers):.2f}")
        for (person, name), answers in sorted(cases.items(), key=lambda case: (-len(case[1]), case[0]))
    )
    headings = ("stranger", "named", "photos", "probability")
    return (Table("Strangers who are given a name", headings, rows),) if rows else ()


def _ranking(faces: FaceSet, trial: TrialGallery, stranger: str) -> tuple[Table, str]:
    """Return a table of the enrolled people by resemblance to a stranger, and a sentence on the decisions."""
    person_indices, enrolled = faces.dataset.person_indices, trial.enrolled
    qualities = np.ones(len(enrolled), dtype=np.float32)
    people = PeopleIndex.from_samples(faces.embeddings[enrolled], person_indices[enrolled], qualities)
    names = dict(enumerate(faces.dataset.people))
    indices = np.flatnonzero((person_indices == faces.dataset.people.index(stranger)) & faces.has_face)[:_RANKED]
    rows, outcomes = list[tuple[str, ...]](), list[str]()
    for index in indices:
        face = faces.faces[index]
        if face is None:
            continue
        identity = trial.recognizer.identify([face])[0]
        outcomes.append(identity.decision.value)
        matches = rank_resemblance(face.embedding, people, names)[:3]
        ranked = ", ".join(f"{match.person} {format_percent(match.share, 1)}" for match in matches)
        probability = "" if identity.probability is None else f"{identity.probability:.4f}"
        rows.append((str(faces.names[index]), ranked, identity.decision.value, identity.person or "", probability))
    headings = ("photo", HEADING, "decision", "named", "probability of the first")
    sentence = f"{stranger} was unknown in {outcomes.count('unknown')} of {len(outcomes)} ranked photos."
    return Table(f"{stranger}: {HEADING}", headings, tuple(rows)), sentence
