"""The steps of the experiments: each searches for photos, and adds its section and figures to the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.evaluation.changes import MASKS, SIZES
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.figures import rate
from facebank.evaluation.identification import (
    Condition,
    confusion_matrix,
    how_decided,
    person_by_person,
    searches_table,
    strangers_table,
)
from facebank.evaluation.protocols.degraded import by_frontality, degrade, summary
from facebank.evaluation.protocols.draws import (
    Draw,
    accuracies,
    draw_photos,
    drawn_rate,
    draws_table,
    photos_of,
    search_draws,
    shots_curve,
    units_of,
)
from facebank.evaluation.report import Section, Table
from facebank.evaluation.searches import Roles, unrelated
from facebank.index.people_index import PeopleIndex
from facebank.operations.lookalike import HEADING, rank_resemblance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet
    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item
    from facebank.evaluation.searches import Searches, TrialGallery

PARTS = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)
"""Shares of the parts, drawn for a dataset without them."""
FAMILY = ("George_HW_Bush", "George_W_Bush", "Jeb_Bush")
FAMILY_PHOTOS = 4
_FAMILY_DRAWS = 20
_RANKED = 4
_FAMILY_RULE = (
    "The only three close relatives in LFW with at least eight photos each, a father and two sons, stand in for the "
    "private photos of a family."
)
_PUBLISHED_FAMILY = "1.00 of a family of three, 4 + 4 photos each, ResNet50 of VGGFace; their photos are private"
_PUBLISHED_ATHLETE = "a man who is none of the seven: Neymar 41.6 %, Ronaldo 17.9 %, ..., and no way to say 'nobody'"
_PUBLISHED_STRANGER = (
    "a stranger was called Neymar with 0.82; shirts decided, and two people in a photo shared one answer"
)
_MASKS_AND_SIZES = (
    "The same photos as they are, with masks drawn at the landmarks, and shrunk until the face is so many pixels; "
    "enrolled are photos as they are. Strangers are people with a single photo."
)
_TURNED = (
    "The photos as they are, sorted by how frontal the head is by its landmarks: 1 from the front, 0 with the nose at "
    "the side of the face. Heads are not turned artificially."
)

Step: TypeAlias = "Callable[[ExperimentRun], None]"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment as data.

    Attributes
    ----------
    published
        The published figure, and what it was measured on.
    rules, heading, text, summary
        Paragraphs on the people; title, text and summary of `few_photos`. Names in braces are filled in.
    purpose
        Number of its source of randomness.
    photos, draws
        How many photos of each person are enrolled; and in how many draws, for each of these numbers.
    number, listed
        How many people it runs on, those with most photos; and the names they are chosen from, None for all.
    relatives
        Pairs, each with its kinship, of which the closest is chosen instead.
    others
        Returns the people whose photos are read as well, as strangers.
    strangers, composites, split
        Limits of single steps: people searched for, photos put together, photos enrolled and searched for.
    by_parts
        Whether the dataset's training part is enrolled, and only its test part searched for.
    lists_draws, lists_errors
        Whether each draw, and each photo that was not given the right name, is listed.
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
    number: int = 2
    listed: tuple[str, ...] | None = None
    relatives: tuple[tuple[str, str, str], ...] = ()
    others: Callable[[Bench, Dataset, Sequence[str], Experiment], Sequence[str]] | None = None
    strangers: int = 0
    composites: int = 0
    split: tuple[int, int] | None = None
    by_parts: bool = False
    lists_draws: bool = False
    lists_errors: bool = False

    @property
    def least(self) -> int:
        """The fewest photos that a person needs."""
        if self.split is not None:
            return sum(self.split)
        return 2 if self.by_parts else max(self.photos) + 1


@dataclass(slots=True, eq=False)
class ExperimentRun:
    """One run of an experiment: its input, and what its steps have found.

    `faces` are those of `people` and of strangers; `last` is the last draw of the most photos, with its gallery.
    """

    bench: Bench
    dataset: Dataset
    experiment: Experiment
    people: tuple[str, ...]
    faces: FaceSet
    who: str
    video: Path | None
    wrong_labels: frozenset[str]
    figures: dict[str, Figure] = field(default_factory=dict)
    summary: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    failures: list[LeftOut] = field(default_factory=list)
    last: tuple[Draw, TrialGallery] | None = None

    @property
    def trial(self) -> TrialGallery:
        """The gallery of the last draw."""
        if self.last is None:
            raise RuntimeError("nothing has been enrolled yet")
        return self.last[1]

    @property
    def stranger_places(self) -> NDArray[np.int64]:
        """Places of the strangers' photos with a face, ``int64``."""
        known = np.isin(self.faces.dataset.owners, [self.faces.dataset.people.index(person) for person in self.people])
        return np.flatnonzero(~known & self.faces.found).astype(np.int64)

    def add(self, title: str, text: Sequence[str], figures: Sequence[str] = (), items: Sequence[Item] = ()) -> None:
        """Add a section."""
        self.sections.append(Section(title, tuple(text), tuple(figures), tuple(items)))


def whom(run: ExperimentRun) -> None:
    """List the people, the rule that chose them, and what decisions rest on."""
    rules = [rule.format(least=run.experiment.least) for rule in run.experiment.rules]
    run.add("Whom it runs on", (*rules, how_decided(run.bench)), items=(_people_table(run.faces, run.people),))


def few_photos(run: ExperimentRun) -> None:
    """Enroll few photos of each person, in several draws, and search for the others."""
    row, faces, most = run.experiment, run.faces, max(run.experiment.photos)
    is_single = len(row.photos) == 1
    tables: list[Item] = []
    names: list[str] = []
    for number in row.photos:
        draws = [_draw(run, number, turn) for turn in range(row.draws)]
        run.bench.progress.begin(f"{number} photos enrolled", row.draws)
        searches, trial = search_draws(run.bench, faces, draws)
        found = accuracies(faces, searches, number)
        run.figures |= found
        names += found
        if row.lists_draws:
            tables.append(draws_table(draws, searches, number))
        if number == most:
            run.last = draws[-1], trial
            title = "Who was named" if is_single else f"Who was named, {number} photos enrolled"
            tables += person_by_person(searches, trial.names, title)
            if row.lists_errors:
                tables += _error_tables(faces, trial, searches, run.wrong_labels)
    if "accuracy" not in run.figures:
        run.figures["accuracy"] = replace(run.figures[f"rank_1_{most}"], published=row.published)
        names = ["accuracy", *names] if is_single else [*names, "accuracy"]
    if row.by_parts:
        run.figures[f"rank_1_{most}"] = run.figures["accuracy"]
        tables.insert(0, _parts_table(faces, _parts(faces, run.bench.random(row.purpose, most, 0))))
    if not is_single:
        tables.insert(0, shots_curve(run.figures, row.photos))
    told = {
        "who": run.who,
        "photos": most,
        "draws": row.draws,
        "accuracy": run.figures["accuracy"],
        "published": row.published,
        "fnir": run.figures[f"fnir_{most}"],
        "others": f"{len(faces.faces) - most * len(run.people):,}",
    }
    run.add(row.heading, (row.text.format(**told),), names, tables)
    run.summary += [sentence.format(**told) for sentence in row.summary]


def published_split(run: ExperimentRun) -> None:
    """Enroll and search for as many photos of each person as in the published split."""
    row, faces = run.experiment, run.faces
    enrolled, tested = row.split or (0, 0)
    draw = draw_photos(faces, run.people, enrolled, run.bench.random(row.purpose), most=tested)
    searches, trial = search_draws(run.bench, faces, [draw])
    units, ending = units_of(faces, searches), f"{enrolled} enrolled of each."
    accuracy = rate(~searches.not_first, units, f"Photos whose best candidate is right, {ending}")
    run.figures["accuracy"] = accuracy = replace(accuracy, published=row.published)
    run.figures[f"fnir_{enrolled}"] = rate(
        searches.missed, units, f"Photos that are not given the right name, {ending}"
    )
    text = f"{enrolled + tested} photos of each are drawn; {enrolled} are enrolled and {tested} searched for."
    tables = person_by_person(searches, trial.names, "Who was named")
    run.add("The split of 2021", (text,), ("accuracy", f"fnir_{enrolled}"), tables)
    run.summary.append(
        f"Split as it was, {enrolled} photos of each enrolled: {accuracy} of the others have the right best candidate; "
        f"published: {row.published}."
    )


def family(run: ExperimentRun) -> None:
    """Name three relatives from few photos each."""
    counts = photos_of(run.dataset)
    few = [person for person in FAMILY if counts.get(person, 0) < 2 * FAMILY_PHOTOS]
    if few:
        why = f"The family is untested: {', '.join(few)} has fewer than {2 * FAMILY_PHOTOS} photos here."
        run.add("A family of three", (_FAMILY_RULE, why))
        run.summary.append(why)
        run.failures.append(LeftOut("a family of three", why))
        return
    faces = run.bench.read(run.dataset.of(FAMILY))
    randoms = [run.bench.random(run.experiment.purpose, 3, turn) for turn in range(_FAMILY_DRAWS)]
    draws = [draw_photos(faces, FAMILY, FAMILY_PHOTOS, random, most=FAMILY_PHOTOS) for random in randoms]
    searches, trial = search_draws(run.bench, faces, draws)
    right = drawn_rate(~searches.not_first, faces, searches, "Photos of the family whose best candidate is right.")
    run.figures["family_accuracy"] = replace(right, published=_PUBLISHED_FAMILY)
    run.figures["family_fnir"] = drawn_rate(
        searches.missed, faces, searches, "Photos of the family that are not given the right name."
    )
    found = (
        f"A family of three, {FAMILY_PHOTOS} photos of each enrolled and {FAMILY_PHOTOS} searched for, "
        f"{_FAMILY_DRAWS} draws: {run.figures['family_accuracy']} have the right best candidate; published: "
        f"{_PUBLISHED_FAMILY}."
    )
    items = (_people_table(faces, FAMILY), confusion_matrix(searches, trial.names, "Who was named"))
    run.add("A family of three", (_FAMILY_RULE, found), ("family_accuracy", "family_fnir"), items)
    run.summary.append(found)


def strangers(run: ExperimentRun) -> None:
    """Search for strangers."""
    places = run.stranger_places
    if not len(places):
        run.add("Strangers", ("Strangers are untested: nobody else has photos here.",))
    else:
        searches = run.trial.search(places)
        units = units_of(run.faces, searches)
        run.figures["fpir"] = rate(searches.misnamed, units, "Strangers who are called one of the three.")
        likely = searches.probabilities[np.isfinite(searches.probabilities)]
        most = f" The highest probability that any was given is {likely.max():.4f}." if len(likely) else ""
        found = f"Strangers who are called one of the three: {run.figures['fpir']}.{most}"
        run.add("Strangers", (f"Published: {_PUBLISHED_STRANGER}.", found), ("fpir",))
    run.summary.append(run.sections[-1].text[-1])


def ranked_stranger(run: ExperimentRun, women: frozenset[str]) -> None:
    """Search for strangers, and rank the enrolled people by resemblance to the man with most photos among them."""
    faces, places, title = run.faces, run.stranger_places, "Somebody who is none of them"
    counts = photos_of(faces.dataset)
    men = [person for person in counts if person not in run.people and person not in women]
    if not len(places) or not men:
        run.add(title, ("Untested: there are no photos of anybody else here.",))
    else:
        nobody = min(men, key=lambda person: (-counts[person], person))
        searches = run.trial.search(places)
        units = units_of(faces, searches)
        run.figures["fpir"] = rate(searches.misnamed, units, "Photos of other athletes that are given a name.")
        table, said = _ranking(faces, run.trial, nobody)
        text = (
            f"Published: {_PUBLISHED_ATHLETE}. Here it is {nobody}, the man with most photos among the athletes who "
            f"are not enrolled, in his first {_RANKED} photos: resemblance says whom he looks like most, and the "
            "decision whether it is anybody. Shares of resemblance are no probabilities.",
            f"All photos of the {len(np.unique(faces.dataset.owners[places]))} athletes who are none of the seven, in "
            f"the last gallery: {run.figures['fpir']} are given a name. {said}",
        )
        run.add(title, text, ("fpir",), (table, *_false_names(faces, run.trial, searches)))
    run.summary.append(run.sections[-1].text[-1])


def masks_sizes_and_poses(run: ExperimentRun) -> None:
    """Search for the same photos with masks and shrunk, and for photos of turned heads."""
    faces, most = run.faces, max(run.experiment.photos)
    draw = draw_photos(faces, run.people, most, run.bench.random(run.experiment.purpose, most))
    known = np.isin(faces.dataset.owners, [faces.dataset.people.index(person) for person in run.people])
    roles = Roles(draw.enrolled, draw.probes, np.flatnonzero(~known).astype(np.int64))
    conditions, plots = degrade(run.bench, faces, roles, (*MASKS, *SIZES))
    turned = by_frontality(conditions[0].faces, conditions[0].searches)[0]
    for condition in (*conditions, *turned):
        run.figures |= _rates(condition)
    run.summary += summary(conditions)
    run.failures += [failure for condition in conditions for failure in condition.failures]
    for title, how, shown, curves in (
        ("Masks and small faces", _MASKS_AND_SIZES, conditions, plots),
        ("Turned heads", _TURNED, turned, ()),
    ):
        names = [name for condition in shown for name in _rates(condition)]
        run.add(title, (how,), names, (*curves, searches_table(shown), strangers_table(shown)))


def _rates(condition: Condition) -> dict[str, Figure]:
    """Return a condition's figures without those of probabilities, for which two people are too few."""
    wanted = ("rank_1", "fnir", "fpir", "failure")
    return {name: figure for name, figure in condition.figures().items() if name.startswith(wanted)}


def _draw(run: ExperimentRun, photos: int, turn: int) -> Draw:
    row, faces = run.experiment, run.faces
    if not row.by_parts:
        numbers = (turn,) if len(row.photos) == 1 else (photos, turn)
        return draw_photos(faces, run.people, photos, run.bench.random(row.purpose, *numbers))
    random = run.bench.random(row.purpose, photos, turn)
    parts = _parts(faces, random)
    enrolled: list[NDArray[np.int64]] = []
    for person in range(len(faces.dataset.people)):
        able = np.flatnonzero((faces.dataset.owners == person) & (parts == 0) & faces.found)
        enrolled.append(random.permutation(able)[:photos])
    every = np.concatenate(enrolled).astype(np.int64)
    tested = np.flatnonzero((parts == 2) & (faces.dataset.owners >= 0)).astype(np.int64)
    return Draw(every, unrelated(faces, tested, every))


def _parts(faces: FaceSet, random: np.random.Generator) -> NDArray[np.int64]:
    """Return each photo's part: a place in `PARTS`, -1 for none.

    If the dataset has no parts they are drawn for each person, photos of one source together, each part with at least
    one source.
    """
    given = np.array([PARTS.index(photo.split) if photo.split in PARTS else -1 for photo in faces.dataset.photos])
    if {0, 2} <= set(given.tolist()):
        return given
    parts = np.zeros(len(faces.faces), dtype=np.int64)
    for person in range(len(faces.dataset.people)):
        mine = np.flatnonzero(faces.dataset.owners == person)
        sources = random.permutation(np.unique(faces.groups[mine]))
        validated, tested = (max(1, round(share * len(sources))) for share in SHARES[1:])
        later = {int(source): 2 for source in sources[:tested]}
        later |= {
            int(source): 1 for source in sources[tested : tested + validated][: max(0, len(sources) - tested - 1)]
        }
        parts[mine] = [later.get(int(source), 0) for source in faces.groups[mine]]
    return parts


def _people_table(faces: FaceSet, people: Sequence[str]) -> Table:
    counts, owners = photos_of(faces.dataset), faces.dataset.owners
    found = {person: int(faces.found[owners == faces.dataset.people.index(person)].sum()) for person in people}
    rows = tuple((person, "enrolled", f"{counts[person]:,}", f"{found[person]:,}") for person in people)
    return Table("Who stands in", ("person", "part", "photos", "with a face"), rows)


def _parts_table(faces: FaceSet, parts: NDArray[np.int64]) -> Table:
    owners = faces.dataset.owners
    rows = tuple(
        (name, *(f"{int(((owners == number) & (parts == part)).sum()):,}" for part in range(len(PARTS))))
        for number, name in enumerate(faces.dataset.people)
    )
    return Table("Parts of the first draw, in photos", ("person", *PARTS), rows)


def _error_tables(
    faces: FaceSet, trial: TrialGallery, searches: Searches, wrong_labels: frozenset[str]
) -> tuple[Table, ...]:
    """List each photo that was not given the right name, with likely reasons; no table without any."""
    rows = list[tuple[str, ...]]()
    for place in np.unique(searches.places[searches.missed]):
        mine = searches.places == place
        face, name = faces.faces[place], str(faces.names[place])
        if face is None:
            said, reason, weak = "no face found", "", ""
        else:
            decision = trial.recognizer.identify([face])[0]
            named = searches.named[mine & searches.misnamed]
            said = ", ".join(sorted({trial.names[number] for number in named})) or "nobody"
            reason, weak = decision.reason.value, ", ".join(face.assessment.weaknesses)
        stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        known = "documented as wrongly labeled" if stem in wrong_labels else ""
        often = f"{int((mine & searches.missed).sum())} of {int(mine.sum())}"
        rows.append((name, said, often, reason.replace("_", " "), weak, known))
    headings = ("photo", "named", "missed in draws", "reason in the last draw", "weaknesses", "label")
    return (Table("Photos not given the right name", headings, tuple(rows)),) if rows else ()


def _false_names(faces: FaceSet, trial: TrialGallery, searches: Searches) -> tuple[Table, ...]:
    """List the strangers who were given a name, with its probabilities; no table without any."""
    cases: dict[tuple[str, str], list[float]] = {}
    for number in np.flatnonzero(searches.misnamed & ~searches.mated):
        person = faces.dataset.photos[searches.places[number]].person or ""
        cases.setdefault((person, trial.names[searches.named[number]]), []).append(searches.probabilities[number])
    photos = photos_of(faces.dataset)
    rows = tuple(
        (person, name, f"{len(said)} of {photos.get(person, 0)}", f"{min(said):.2f} to {max(said):.2f}")
        for (person, name), said in sorted(cases.items(), key=lambda case: (-len(case[1]), case[0]))
    )
    headings = ("stranger", "named", "photos", "probability")
    return (Table("Strangers who are given a name", headings, rows),) if rows else ()


def _ranking(faces: FaceSet, trial: TrialGallery, nobody: str) -> tuple[Table, str]:
    """Rank the enrolled people by resemblance to a stranger; return the table and a sentence on the decisions."""
    owners, enrolled = faces.dataset.owners, trial.enrolled
    everybody = np.ones(len(enrolled), dtype=np.float32)
    people = PeopleIndex.of(faces.embeddings[enrolled], owners[enrolled], everybody)
    names = dict(enumerate(faces.dataset.people))
    mine = np.flatnonzero((owners == faces.dataset.people.index(nobody)) & faces.found)[:_RANKED]
    rows, outcomes = list[tuple[str, ...]](), list[str]()
    for place in mine:
        face = faces.faces[place]
        if face is None:
            continue
        decision = trial.recognizer.identify([face])[0]
        outcomes.append(decision.decision.value)
        alike = rank_resemblance(face.embedding, people, names)[:3]
        ranked = ", ".join(f"{one.person} {one.share:.1%}".replace("%", " %") for one in alike)
        likely = "" if decision.probability is None else f"{decision.probability:.4f}"
        rows.append((str(faces.names[place]), ranked, decision.decision.value, decision.person or "", likely))
    headings = ("photo", HEADING, "decision", "named", "probability of the first")
    said = f"{nobody} was unknown in {outcomes.count('unknown')} of {len(outcomes)} photos that are ranked."
    return Table(f"{nobody}: {HEADING}", headings, tuple(rows)), said
