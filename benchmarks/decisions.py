"""How far decisions can be trusted: strangers named, enrolled people missed, probabilities that hold when counted.

    python -m benchmarks.decisions ../shared/data --out benchmarks/reports/decisions

Faces are LFW's, as the pack embeds them. The shipped calibration was made from the development people
(``peopleDevTrain.txt``); everything here is measured on the reporting people (``peopleDevTest.txt``), but for the 62
people with 20 photos or more, who are of both lists: their probes and strangers of each list are decided by a
calibration made from the other list.

- ``operating point``: the 62 people with 5 photos or one photo enrolled, five times; all their other photos and 1,500
  strangers with one photo each are searched, decided exactly as ``facebank identify`` does.
- ``fpir``: for every classifier, galleries of 10, 100 and 1,000 reporting people: the share of strangers named where
  1 % was asked for.
- ``calibration``: the probability of the best candidate against how often it is right, beside the best function of the
  similarity that has two steps: fitted to development people, and fitted to the very searches it is judged by.

Intervals are of 95 %, by bootstrap over people or over galleries.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.calibrate import EFFORT, populations
from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, people_listed
from facebank.gallery import PackIdentity
from facebank.operations.identify import build_recognizer
from facebank.packs import Pack, load_pack
from facebank.recognition.calibration.calibration import Calibration, Calibrator
from facebank.recognition.calibration.files import PackCalibration, find_pack_calibration
from facebank.recognition.calibration.fitting import fit_calibrator
from facebank.recognition.calibration.simulation import GalleryPlan, Identities, Searches, simulate
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.pairs import USUAL_PAIRS
from facebank.recognition.recognizer import LEAST_ODDS, LEAST_PROBABILITY, Recognizer
from facebank.recognition.settings import DecisionSettings
from facebank.recognition.training import build_scorer
from facebank.types import Decision, Detection, Face, Identity, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTOS_OF_THE_KNOWN = 20
STRANGERS = 1500
SEEDS = 5
GALLERIES = 40
FPIR = 0.01
STRANGER_SHARES = (0.1, 0.5, 0.9)
PLANS = tuple(GalleryPlan(size, samples) for size in (10, 100, 1000) for samples in (1, 5))
BINS = 15
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its interval and count."""

    value: float
    low: float
    high: float
    events: int
    count: int

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.value:.2%} [{self.low:.2%}, {self.high:.2%}] ({self.events} of {self.count})"


def rate(wrong: NDArray[np.bool_], groups: NDArray[np.int64]) -> Rate:
    """Return the pooled share, with a bootstrap interval over groups; the rule of three for zero events."""
    numbers, place = np.unique(groups, return_inverse=True)
    events, counts = np.bincount(place, weights=wrong), np.bincount(place)
    drawn = np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))
    shares = events[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    if not wrong.any():
        high = 3 / len(numbers)
    return Rate(float(wrong.mean()), float(low), float(high), int(wrong.sum()), len(wrong))


def identities(faces: LfwFaces) -> Identities:
    """Return faces to simulate galleries with."""
    return Identities(faces.embeddings, faces.people, faces.qualities)


def probe(faces: LfwFaces, place: int) -> Face:
    """Return one of LFW's faces as the recogniser takes it."""
    nowhere = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
    quality = float(faces.qualities[place])
    return Face(
        nowhere.box,
        nowhere.landmarks,
        nowhere.detection_score,
        Quality(quality, 100.0, quality, 1.0),
        faces.embeddings[place],
    )


def operating_point(
    faces: LfwFaces, pack: Pack, calibrators: dict[str, Calibrator], lists: dict[str, frozenset[str]], samples: int
) -> dict[str, Rate]:
    """Measure FNIR, rank-1 and FPIR with 62 people enrolled; each list is decided by the other's calibration."""
    names = faces.names
    people, photos = np.unique(names, return_counts=True)
    known = people[photos >= PHOTOS_OF_THE_KNOWN]
    single = people[photos == 1]
    missed, not_first, named, owners, strangers_of = [], [], [], [], []
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        mixed = {person: random.permutation(np.flatnonzero(names == person)) for person in known}
        places = np.concatenate([mixed[person][:samples] for person in known])
        enrolled = Enrolled(
            faces.embeddings[places], np.repeat(np.arange(len(known)), samples), faces.qualities[places]
        )
        called = {number: str(person) for number, person in enumerate(known)}
        recognizers = {
            listing: recognizer_of(enrolled, called, pack, calibrator) for listing, calibrator in calibrators.items()
        }
        for number, person in enumerate(known):
            searched = recognizers[other_list(person, lists)]
            for decision in decide(searched, faces, mixed[person][samples:]):
                missed.append(decision.person != person)
                not_first.append(not decision.candidates or decision.candidates[0].person != person)
                owners.append(number)
        for person in random.permutation(single)[:STRANGERS]:
            searched = recognizers[other_list(person, lists)]
            (decision,) = decide(searched, faces, np.flatnonzero(names == person))
            named.append(decision.decision is Decision.KNOWN)
            strangers_of.append(int(np.searchsorted(people, person)))
    return {
        "FNIR": rate(np.array(missed), np.array(owners)),
        "rank-1 errors": rate(np.array(not_first), np.array(owners)),
        "FPIR": rate(np.array(named), np.array(strangers_of)),
    }


def decide(recognizer: Recognizer, faces: LfwFaces, places: NDArray[np.int64]) -> list[Identity]:
    """Decide each photo for itself."""
    return [recognizer.identify([probe(faces, int(place))])[0] for place in places]


def other_list(person: str, lists: dict[str, frozenset[str]]) -> str:
    """Return the list of people that a person is not on."""
    return REPORTING if person in lists[DEVELOPMENT] else DEVELOPMENT


def recognizer_of(enrolled: Enrolled, names: dict[int, str], pack: Pack, calibrator: Calibrator) -> Recognizer:
    """Return what decides in a gallery of these samples, with the shipped numbers for people who look alike."""
    return build_recognizer(
        enrolled.index,
        names,
        build_scorer("prototype", enrolled),
        classifier="prototype",
        pack_calibration=PackCalibration(Calibration(pack.digest, "a benchmark", 0, 0, (calibrator,), USUAL_PAIRS)),
        thresholds=pack.manifest.thresholds,
        settings=DecisionSettings(fpir=FPIR),
    )


def searched(
    known: Identities, plan: GalleryPlan, calibrator: Calibrator, pack_calibration: PackCalibration
) -> list[Searches]:
    """Simulate galleries of one kind, scored as the calibrator is for."""
    return [
        simulate(
            known,
            plan,
            calibrator.classifier,
            pack_calibration.background,
            np.random.default_rng([11, *plan_key(plan), number]),
            correction=calibrator.correction,
        )
        for number in range(GALLERIES)
    ]


def plan_key(plan: GalleryPlan) -> tuple[int, int]:
    """Return what tells a plan from others."""
    return plan.size, plan.samples_each


def strangers_named(found: Searches, calibrator: Calibrator) -> NDArray[np.bool_]:
    """Return which strangers would be given a name at the operating point."""
    strangers = ~found.mated
    scores = found.scores[strangers]
    named: NDArray[np.bool_] = scores[:, 0] >= calibrator.threshold(found.enrolled, FPIR)
    shares = calibrator.probabilities(scores, found.samples[strangers], found.size, 0.5)
    named &= shares[:, 0] >= LEAST_PROBABILITY
    if scores.shape[1] > 1:
        named &= shares[:, 0] >= LEAST_ODDS * shares[:, 1]
    return named


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Probabilities of best candidates and whether they were right, weighted so that strangers have their share."""

    probabilities: NDArray[np.float64]
    similarities: NDArray[np.float64]
    right: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @property
    def log_loss(self) -> float:
        """Mean negative logarithm of the probability of what was the case."""
        told = np.where(self.right, self.probabilities, 1 - self.probabilities)
        return -float(self.weights @ np.log(np.maximum(told, 1e-15)))

    @property
    def brier(self) -> float:
        """Mean squared difference of probability and what was the case."""
        return float(self.weights @ (self.probabilities - self.right) ** 2)

    def reliability(self) -> list[tuple[float, float, float]]:
        """Return for each bin its share of searches, mean probability and share of right ones."""
        bins = np.minimum((self.probabilities * BINS).astype(np.int64), BINS - 1)
        share, told, right = (
            np.bincount(bins, weights=self.weights * values, minlength=BINS)
            for values in (np.ones(len(bins)), self.probabilities, self.right)
        )
        return [(float(a), float(b / a), float(c / a)) for a, b, c in zip(share, told, right, strict=True) if a > 0]

    @property
    def ece(self) -> float:
        """Expected calibration error over equal bins."""
        return sum(share * abs(told - right) for share, told, right in self.reliability())


def counted(found: Sequence[Searches], calibrator: Calibrator, stranger_share: float) -> Counted:
    """Put the searches of several galleries together, strangers having their share of the weight."""
    probabilities = [calibrator.probabilities(one.scores, one.samples, one.size, stranger_share)[:, 0] for one in found]
    mated = np.concatenate([one.mated for one in found])
    weights = np.concatenate([one.weights for one in found])
    weights = np.where(
        mated,
        weights / weights[mated].sum() * (1 - stranger_share),
        weights / weights[~mated].sum() * stranger_share,
    )
    return Counted(
        np.concatenate(probabilities),
        np.concatenate([one.scores[:, 0] for one in found]).astype(np.float64),
        np.concatenate([one.right for one in found]),
        weights,
    )


def two_steps(fitted: Counted, judged: Counted) -> float:
    """Return the log loss of the best function with two steps of the similarity, fitted to some searches."""
    order = np.argsort(fitted.similarities)
    below = np.cumsum(fitted.weights[order])
    right_below = np.cumsum((fitted.weights * fitted.right)[order])
    losses = _entropy(right_below, below) + _entropy(right_below[-1] - right_below, below[-1] - below)
    step = int(losses.argmin())
    edge = fitted.similarities[order[step]]
    low = right_below[step] / below[step]
    high = (right_below[-1] - right_below[step]) / max(below[-1] - below[step], 1e-15)
    # With a step that was never wrong, the fitted share would be refuted by the first surprise: rule of succession.
    told = np.clip(np.where(judged.similarities <= edge, low, high), 1e-4, 1 - 1e-4)
    truth = np.where(judged.right, told, 1 - told)
    return -float(judged.weights @ np.log(truth))


def _entropy(right: NDArray[np.float64], all_of_them: NDArray[np.float64]) -> NDArray[np.float64]:
    share = np.clip(right / np.maximum(all_of_them, 1e-15), 1e-12, 1 - 1e-12)
    entropy: NDArray[np.float64] = -(right * np.log(share) + (all_of_them - right) * np.log(1 - share))
    return entropy


def over_galleries(found: Sequence[Searches], figure: Callable[[Sequence[Searches]], float]) -> list[float]:
    """Return a figure with its interval over galleries."""
    random = np.random.default_rng(1)
    drawn = [figure([found[i] for i in random.integers(len(found), size=len(found))]) for _ in range(RESAMPLES // 10)]
    return [figure(found), *(float(value) for value in np.quantile(drawn, [0.025, 0.975]))]


def calibration_figures(
    reporting: Sequence[Searches], development: Sequence[Searches], calibrator: Calibrator
) -> dict[str, object]:
    """Measure the probabilities of one kind of gallery, for each share of strangers."""
    figures: dict[str, object] = {}
    for share in STRANGER_SHARES:
        judged, fitted = counted(reporting, calibrator, share), counted(development, calibrator, share)

        def loss(some: Sequence[Searches], share: float = share) -> float:
            return counted(some, calibrator, share).log_loss

        figures[f"{share:g}"] = {
            "log_loss": over_galleries(reporting, loss),
            "two_steps_of_development": two_steps(fitted, judged),
            "two_steps_of_these_searches": two_steps(judged, judged),
            "brier": judged.brier,
            "ece": judged.ece,
            "reliability": judged.reliability(),
        }
    return figures


def milliseconds_a_face(known: Identities, pack: Pack, calibrator: Calibrator, people: int = 1000) -> float:
    """Time the decision on one face among many people; the median of 200."""
    firsts = np.unique(known.people, return_index=True)[1][:people]
    enrolled = Enrolled(known.embeddings[firsts], np.arange(people), known.qualities[firsts])
    called = {number: str(number) for number in range(people)}
    recognizer = recognizer_of(enrolled, called, pack, calibrator)
    face = Face(
        np.zeros(4, np.float32),
        np.zeros((5, 2), np.float32),
        1.0,
        Quality(1.0, 100.0, 1.0, 1.0),
        known.embeddings[-1],
    )
    times = []
    for _ in range(200):
        start = time.perf_counter()
        recognizer.identify([face])
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def other_half(data: Path, pack: Pack) -> Calibrator:
    """Return what the shipped calibrator would be, had it been made from the reporting people of all kinds."""
    return fit_calibrator(populations(data, pack, REPORTING), "prototype", None, effort=EFFORT)


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    dimension = pack.manifest.embedder.dimension
    pack_calibration = find_pack_calibration(PackIdentity(pack.name, pack.digest, dimension), pack.folder)
    shipped = pack_calibration.calibration
    if shipped is None:
        parser.error(f"the pack {pack.name} is not calibrated")
    faces = lfw_faces(arguments.data, pack)
    faces = faces.where(faces.found)
    lists = {listing: people_listed(arguments.data, listing) for listing in (DEVELOPMENT, REPORTING)}
    development, reporting = (identities(faces.of(lists[listing])) for listing in (DEVELOPMENT, REPORTING))
    prototype = shipped.of("prototype")
    if prototype is None:
        parser.error(f"the pack {pack.name} has no calibration of the prototype classifier")
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}

    crossed = {DEVELOPMENT: prototype, REPORTING: other_half(arguments.data, pack)}
    points = {}
    for samples in (5, 1):
        figures = operating_point(faces, pack, crossed, lists, samples)
        points[samples] = {name: (figure.value, figure.low, figure.high) for name, figure in figures.items()}
        print(f"62 people, {samples} enrolled each: " + "; ".join(f"{name} {it}" for name, it in figures.items()))
    report["operating_point"] = points

    report["milliseconds_a_face_among_1000"] = milliseconds_a_face(reporting, pack, prototype)
    print(f"deciding on one face among 1,000 people: {report['milliseconds_a_face_among_1000']:.2f} ms")

    fpir: dict[str, dict[str, list[float]]] = {}
    calibration: dict[str, dict[str, object]] = {}
    for calibrator in shipped.calibrators:
        fpir[calibrator.classifier], calibration[calibrator.classifier] = {}, {}
        for plan in PLANS:
            if plan.size > calibrator.tables[-1].size:
                continue
            kind = f"{plan.size} people, {plan.samples_each} each"
            found = searched(reporting, plan, calibrator, pack_calibration)

            def named(some: Sequence[Searches], calibrator: Calibrator = calibrator) -> float:
                return float(np.mean([strangers_named(one, calibrator).mean() for one in some]))

            rates = over_galleries(found, named)
            fpir[calibrator.classifier][kind] = rates
            line = f"{calibrator.classifier}, {kind}: FPIR {rates[0]:.2%} [{rates[1]:.2%}, {rates[2]:.2%}]"
            if calibrator.classifier == "prototype":
                known_before = searched(development, plan, calibrator, pack_calibration)
                figures_of = calibration_figures(found, known_before, calibrator)
                calibration[calibrator.classifier][kind] = figures_of
                for share, values in figures_of.items():
                    line += f"\n    strangers {share}: " + described(values)
            print(line, flush=True)
    report["fpir_where_1_percent_was_asked"] = fpir
    report["calibration"] = calibration
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw_reliability(calibration, arguments.out.with_name(arguments.out.name + "_reliability.png"))


def draw_reliability(calibration: dict[str, dict[str, object]], path: Path) -> None:
    """Draw how often the best candidate was right against the probability that was told."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    kinds = calibration["prototype"]
    figure, axes = plt.subplots(
        len(STRANGER_SHARES), len(kinds), figsize=(2.4 * len(kinds), 2.6 * len(STRANGER_SHARES))
    )
    for column, (kind, figures) in enumerate(kinds.items()):
        if not isinstance(figures, dict):
            continue
        for row, share in enumerate(STRANGER_SHARES):
            axis, values = axes[row][column], figures[f"{share:g}"]
            shares, told, right = zip(*values["reliability"], strict=True)
            axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
            axis.scatter(told, right, s=[8 + 120 * part**0.5 for part in shares], color="#009e73", alpha=0.8)
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            axis.set_title(f"{kind}\nstrangers {share:.0%}, ECE {values['ece']:.3f}", fontsize=7)
            axis.tick_params(labelsize=6)
    figure.supxlabel("probability told", fontsize=8)
    figure.supylabel("share that was right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def described(values: object) -> str:
    """Write the figures of one share of strangers for people."""
    if not isinstance(values, dict):
        return ""
    loss = values["log_loss"]
    return (
        f"log loss {loss[0]:.4f} [{loss[1]:.4f}, {loss[2]:.4f}], two steps {values['two_steps_of_development']:.4f} "
        f"(fitted to these searches {values['two_steps_of_these_searches']:.4f}), Brier {values['brier']:.4f}, "
        f"ECE {values['ece']:.4f}"
    )


if __name__ == "__main__":
    main()
