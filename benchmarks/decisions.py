"""Error rates of open-set decisions and calibration of their probabilities, on LFW.

    python -m benchmarks.decisions ../shared/data --out benchmarks/reports/decisions

The shipped calibration was made from LFW's development people (``peopleDevTrain.txt``). Results are measured on the
reporting people (``peopleDevTest.txt``), except for the 62 people with 20 photos or more, who are on either list: the
probes and strangers of each list are decided by a calibration made from the other list.

- ``operating point``: the 62 people with 5 photos or one photo enrolled, drawn five times; all their other photos and
  1,500 strangers with one photo each are searched for, with the decisions of ``facebank identify``.
- ``fpir``: for every classifier, galleries of 10, 100 and 1,000 reporting people: the fraction of strangers named at a
  requested FPIR of 1 %.
- ``calibration``: the probability of the best candidate compared with its frequency of being right, next to the best
  two-step function of the similarity, fitted to development people or to the evaluated searches themselves.

Intervals are 95 % bootstrap intervals over people or galleries.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.calibrate import EFFORT, populations
from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, read_people
from benchmarks.probes import make_probe
from benchmarks.resampling import bootstrap_interval
from facebank.gallery import PackIdentity
from facebank.operations.identify import build_recognizer
from facebank.packs import Pack, load_pack
from facebank.recognition.calibration.calibration import Calibration, Calibrator
from facebank.recognition.calibration.files import PackCalibration, find_pack_calibration
from facebank.recognition.calibration.fitting import fit_calibrator
from facebank.recognition.calibration.simulation import GalleryPlan, Identities, SimulatedSearches, simulate
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.pairs import DEFAULT_PAIR_MODEL
from facebank.recognition.recognizer import MIN_ODDS, MIN_PROBABILITY, Recognizer
from facebank.recognition.settings import DecisionSettings
from facebank.recognition.training import build_scorer
from facebank.types import Decision, Identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_PHOTOS = 20
STRANGERS = 1500
SEEDS = 5
GALLERIES = 40
FPIR = 0.01
STRANGER_FRACTIONS = (0.1, 0.5, 0.9)
PLANS = tuple(GalleryPlan(size, samples) for size in (10, 100, 1000) for samples in (1, 5))
BINS = 15
GALLERY_RESAMPLES = 100


@dataclass(frozen=True, slots=True)
class Rate:
    """A fraction with its 95 % interval and counts."""

    value: float
    low: float
    high: float
    events: int  # numerator
    count: int  # denominator

    def __str__(self) -> str:
        """Format the rate for printing."""
        return f"{self.value:.2%} [{self.low:.2%}, {self.high:.2%}] ({self.events} of {self.count})"


def rate(events: NDArray[np.bool_], units: NDArray[np.int64]) -> Rate:
    """Return the fraction of events with a bootstrap interval over units; the rule of three bounds zero events."""
    low, high = bootstrap_interval(events, units)
    if not events.any():
        high = 3 / len(np.unique(units))
    return Rate(float(events.mean()), low, high, int(events.sum()), len(events))


def identities(faces: LfwFaces) -> Identities:
    """Return the faces in the form used by gallery simulations."""
    return Identities(faces.embeddings, faces.people, faces.qualities)


def operating_point(
    faces: LfwFaces, pack: Pack, calibrators: dict[str, Calibrator], lists: dict[str, frozenset[str]], samples: int
) -> dict[str, Rate]:
    """Return FNIR, rank-1 errors and FPIR with 62 people enrolled; each list uses the other list's calibration."""
    names = faces.names
    people, counts = np.unique(names, return_counts=True)
    enrolled_people = people[counts >= MIN_PHOTOS]
    strangers = people[counts == 1]
    missed, not_first, named, person_ids, stranger_numbers = [], [], [], [], []
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        photos_of = {person: random.permutation(np.flatnonzero(names == person)) for person in enrolled_people}
        indices = np.concatenate([photos_of[person][:samples] for person in enrolled_people])
        enrolled = EnrolledSamples(
            faces.embeddings[indices], np.repeat(np.arange(len(enrolled_people)), samples), faces.qualities[indices]
        )
        names_by_number = {number: str(person) for number, person in enumerate(enrolled_people)}
        recognizers = {
            listing: make_recognizer(enrolled, names_by_number, pack, calibrator)
            for listing, calibrator in calibrators.items()
        }
        for number, person in enumerate(enrolled_people):
            recognizer = recognizers[other_list(person, lists)]
            for identity in decide(recognizer, faces, photos_of[person][samples:]):
                missed.append(identity.person != person)
                not_first.append(not identity.candidates or identity.candidates[0].person != person)
                person_ids.append(number)
        for person in random.permutation(strangers)[:STRANGERS]:
            recognizer = recognizers[other_list(person, lists)]
            (identity,) = decide(recognizer, faces, np.flatnonzero(names == person))
            named.append(identity.decision is Decision.KNOWN)
            stranger_numbers.append(int(np.searchsorted(people, person)))
    return {
        "FNIR": rate(np.array(missed), np.array(person_ids)),
        "rank-1 errors": rate(np.array(not_first), np.array(person_ids)),
        "FPIR": rate(np.array(named), np.array(stranger_numbers)),
    }


def decide(recognizer: Recognizer, faces: LfwFaces, indices: NDArray[np.int64]) -> list[Identity]:
    """Return the decision on each photo, made independently of the others."""
    probes = (make_probe(faces.embeddings[index], float(faces.qualities[index])) for index in indices)
    return [recognizer.identify([probe])[0] for probe in probes]


def other_list(person: str, lists: dict[str, frozenset[str]]) -> str:
    """Return the LFW list that does not contain a person."""
    return REPORTING if person in lists[DEVELOPMENT] else DEVELOPMENT


def make_recognizer(enrolled: EnrolledSamples, names: dict[int, str], pack: Pack, calibrator: Calibrator) -> Recognizer:
    """Return the recognizer of a gallery with these samples and the shipped parameters for look-alikes."""
    return build_recognizer(
        enrolled.index,
        names,
        build_scorer("prototype", enrolled),
        classifier="prototype",
        pack_calibration=PackCalibration(
            Calibration(pack.digest, "a benchmark", 0, 0, (calibrator,), DEFAULT_PAIR_MODEL)
        ),
        thresholds=pack.manifest.thresholds,
        settings=DecisionSettings(fpir=FPIR),
    )


def simulate_galleries(
    people: Identities, plan: GalleryPlan, calibrator: Calibrator, pack_calibration: PackCalibration
) -> list[SimulatedSearches]:
    """Simulate galleries of one size with the calibrator's classifier and correction."""
    return [
        simulate(
            people,
            plan,
            calibrator.classifier,
            pack_calibration.background,
            np.random.default_rng([11, *plan_key(plan), number]),
            correction=calibrator.correction,
        )
        for number in range(GALLERIES)
    ]


def plan_key(plan: GalleryPlan) -> tuple[int, int]:
    """Return the numbers that seed the galleries of a plan."""
    return plan.size, plan.samples_each


def strangers_named(searches: SimulatedSearches, calibrator: Calibrator) -> NDArray[np.bool_]:
    """Return whether each stranger is named at the operating point."""
    strangers = ~searches.mated
    scores = searches.scores[strangers]
    named: NDArray[np.bool_] = scores[:, 0] >= calibrator.threshold(searches.enrolled, FPIR)
    probabilities = calibrator.probabilities(scores, searches.sample_counts[strangers], searches.size, 0.5)
    named &= probabilities[:, 0] >= MIN_PROBABILITY
    if scores.shape[1] > 1:
        named &= probabilities[:, 0] >= MIN_ODDS * probabilities[:, 1]
    return named


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Best candidates of pooled searches: probability, similarity, correctness and weight of each."""

    probabilities: NDArray[np.float64]
    similarities: NDArray[np.float64]
    right: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @property
    def log_loss(self) -> float:
        """Mean negative logarithm of the probability of the actual outcome."""
        predicted = np.where(self.right, self.probabilities, 1 - self.probabilities)
        return -float(self.weights @ np.log(np.maximum(predicted, 1e-15)))

    @property
    def brier(self) -> float:
        """Mean squared difference of the probability from the actual outcome, 0 or 1."""
        return float(self.weights @ (self.probabilities - self.right) ** 2)

    def reliability(self) -> list[tuple[float, float, float]]:
        """Return each bin's fraction of searches, mean probability and fraction of correct candidates."""
        bins = np.minimum((self.probabilities * BINS).astype(np.int64), BINS - 1)
        fractions, predicted, right = (
            np.bincount(bins, weights=self.weights * values, minlength=BINS)
            for values in (np.ones(len(bins)), self.probabilities, self.right)
        )
        return [
            (float(fraction), float(probability / fraction), float(correct / fraction))
            for fraction, probability, correct in zip(fractions, predicted, right, strict=True)
            if fraction > 0
        ]

    @property
    def ece(self) -> float:
        """Expected calibration error over bins of equal width."""
        return sum(fraction * abs(predicted - right) for fraction, predicted, right in self.reliability())


def pool_outcomes(galleries: Sequence[SimulatedSearches], calibrator: Calibrator, stranger_fraction: float) -> Outcomes:
    """Pool the searches of several galleries, weighted so that strangers make up `stranger_fraction`."""
    probabilities = [
        calibrator.probabilities(searches.scores, searches.sample_counts, searches.size, stranger_fraction)[:, 0]
        for searches in galleries
    ]
    mated = np.concatenate([searches.mated for searches in galleries])
    weights = np.concatenate([searches.weights for searches in galleries])
    weights = np.where(
        mated,
        weights / weights[mated].sum() * (1 - stranger_fraction),
        weights / weights[~mated].sum() * stranger_fraction,
    )
    return Outcomes(
        np.concatenate(probabilities),
        np.concatenate([searches.scores[:, 0] for searches in galleries]).astype(np.float64),
        np.concatenate([searches.right for searches in galleries]),
        weights,
    )


def two_step_log_loss(fitted: Outcomes, judged: Outcomes) -> float:
    """Return the log loss on `judged` of the best two-step function of the similarity fitted to `fitted`."""
    order = np.argsort(fitted.similarities)
    below = np.cumsum(fitted.weights[order])
    right_below = np.cumsum((fitted.weights * fitted.right)[order])
    losses = _entropy(right_below, below) + _entropy(right_below[-1] - right_below, below[-1] - below)
    step = int(losses.argmin())
    edge = fitted.similarities[order[step]]
    low = right_below[step] / below[step]
    high = (right_below[-1] - right_below[step]) / max(below[-1] - below[step], 1e-15)
    # A step without errors would have an infinite loss at its first error.
    predicted = np.clip(np.where(judged.similarities <= edge, low, high), 1e-4, 1 - 1e-4)
    truth = np.where(judged.right, predicted, 1 - predicted)
    return -float(judged.weights @ np.log(truth))


def _entropy(right: NDArray[np.float64], totals: NDArray[np.float64]) -> NDArray[np.float64]:
    fraction = np.clip(right / np.maximum(totals, 1e-15), 1e-12, 1 - 1e-12)
    entropy: NDArray[np.float64] = -(right * np.log(fraction) + (totals - right) * np.log(1 - fraction))
    return entropy


def bootstrap(
    galleries: Sequence[SimulatedSearches], figure: Callable[[Sequence[SimulatedSearches]], float]
) -> list[float]:
    """Return a figure and the ends of its bootstrap interval over galleries."""
    random = np.random.default_rng(1)
    draws = [
        figure([galleries[i] for i in random.integers(len(galleries), size=len(galleries))])
        for _ in range(GALLERY_RESAMPLES)
    ]
    return [figure(galleries), *(float(value) for value in np.quantile(draws, [0.025, 0.975]))]


def calibration_figures(
    reporting: Sequence[SimulatedSearches], development: Sequence[SimulatedSearches], calibrator: Calibrator
) -> dict[str, object]:
    """Return the calibration figures of galleries of one size, for each fraction of strangers."""
    figures: dict[str, object] = {}
    for fraction in STRANGER_FRACTIONS:
        judged = pool_outcomes(reporting, calibrator, fraction)
        fitted = pool_outcomes(development, calibrator, fraction)

        def loss(galleries: Sequence[SimulatedSearches], fraction: float = fraction) -> float:
            return pool_outcomes(galleries, calibrator, fraction).log_loss

        figures[f"{fraction:g}"] = {
            "log_loss": bootstrap(reporting, loss),
            "two_steps_of_development": two_step_log_loss(fitted, judged),
            "two_steps_of_these_searches": two_step_log_loss(judged, judged),
            "brier": judged.brier,
            "ece": judged.ece,
            "reliability": judged.reliability(),
        }
    return figures


def decision_milliseconds(reporting: Identities, pack: Pack, calibrator: Calibrator, people: int = 1000) -> float:
    """Return the median time of 200 decisions on one face in a gallery of `people`, in milliseconds."""
    firsts = np.unique(reporting.person_ids, return_index=True)[1][:people]
    enrolled = EnrolledSamples(reporting.embeddings[firsts], np.arange(people), reporting.qualities[firsts])
    names_by_number = {number: str(number) for number in range(people)}
    recognizer = make_recognizer(enrolled, names_by_number, pack, calibrator)
    face = make_probe(reporting.embeddings[-1], 1.0)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        recognizer.identify([face])
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def fit_reporting_people(data: Path, pack: Pack) -> Calibrator:
    """Fit a calibrator like the shipped one to the reporting people instead of the development people."""
    return fit_calibrator(populations(data, pack, REPORTING), "prototype", None, effort=EFFORT)


def measure_plans(
    calibrator: Calibrator, pack_calibration: PackCalibration, development: Identities, reporting: Identities
) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Simulate galleries of all sizes that a classifier is calibrated for, and print the results.

    Returns
    -------
    dict[str, list[float]]
        FPIR of reporting people and the ends of its interval, 0..1, by size.
    dict[str, object]
        Calibration figures by size; empty except for the prototype classifier.
    """
    fpir: dict[str, list[float]] = {}
    calibration: dict[str, object] = {}

    def named_fraction(galleries: Sequence[SimulatedSearches]) -> float:
        return float(np.mean([strangers_named(searches, calibrator).mean() for searches in galleries]))

    for plan in PLANS:
        if plan.size > calibrator.tables[-1].size:
            continue
        title = f"{plan.size} people, {plan.samples_each} each"
        galleries = simulate_galleries(reporting, plan, calibrator, pack_calibration)
        fpir[title] = bootstrap(galleries, named_fraction)
        value, low, high = fpir[title]
        line = f"{calibrator.classifier}, {title}: FPIR {value:.2%} [{low:.2%}, {high:.2%}]"
        if calibrator.classifier == "prototype":
            development_galleries = simulate_galleries(development, plan, calibrator, pack_calibration)
            by_fraction = calibration_figures(galleries, development_galleries, calibrator)
            calibration[title] = by_fraction
            for fraction, values in by_fraction.items():
                line += f"\n    strangers {fraction}: " + format_figures(values)
        print(line, flush=True)
    return fpir, calibration


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    dimension = pack.manifest.embedder.dimension
    pack_calibration = find_pack_calibration(PackIdentity(pack.name, pack.digest, dimension), pack.folder)
    shipped = pack_calibration.calibration
    if shipped is None:
        parser.error(f"The pack {pack.name} is not calibrated; run 'facebank packs calibrate {pack.name} PHOTOS'.")
    faces = lfw_faces(arguments.data, pack)
    faces = faces.where(faces.has_face)
    lists = {listing: read_people(arguments.data, listing) for listing in (DEVELOPMENT, REPORTING)}
    development, reporting = (identities(faces.select_people(lists[listing])) for listing in (DEVELOPMENT, REPORTING))
    prototype = shipped.calibrator("prototype")
    if prototype is None:
        parser.error(
            f"The pack {pack.name} has no calibration of the classifier prototype; "
            f"run 'facebank packs calibrate {pack.name} PHOTOS'."
        )
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest}

    calibrators = {DEVELOPMENT: prototype, REPORTING: fit_reporting_people(arguments.data, pack)}
    points = {}
    for samples in (5, 1):
        figures = operating_point(faces, pack, calibrators, lists, samples)
        points[samples] = {name: (figure.value, figure.low, figure.high) for name, figure in figures.items()}
        print(f"62 people, {samples} enrolled each:", "; ".join(f"{name} {rate}" for name, rate in figures.items()))
    report["operating_point"] = points

    report["milliseconds_a_face_among_1000"] = decision_milliseconds(reporting, pack, prototype)
    print(f"deciding on one face among 1,000 people: {report['milliseconds_a_face_among_1000']:.2f} ms")

    fpir: dict[str, dict[str, list[float]]] = {}
    calibration: dict[str, dict[str, object]] = {}
    for calibrator in shipped.calibrators:
        name = calibrator.classifier
        fpir[name], calibration[name] = measure_plans(calibrator, pack_calibration, development, reporting)
    report["fpir_where_1_percent_was_asked"] = fpir
    report["calibration"] = calibration
    write_json_report(arguments.out, report)
    draw_reliability(calibration, arguments.out.with_name(arguments.out.name + "_reliability.png"))


def draw_reliability(calibration: dict[str, dict[str, object]], path: Path) -> None:
    """Draw reliability diagrams: fraction of correct best candidates by predicted probability."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plans = calibration["prototype"]
    figure, axes = plt.subplots(
        len(STRANGER_FRACTIONS), len(plans), figsize=(2.4 * len(plans), 2.6 * len(STRANGER_FRACTIONS))
    )
    for column, (title, figures) in enumerate(plans.items()):
        if not isinstance(figures, dict):
            continue
        for row, fraction in enumerate(STRANGER_FRACTIONS):
            axis, values = axes[row][column], figures[f"{fraction:g}"]
            fractions, predicted, right = zip(*values["reliability"], strict=True)
            axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
            areas = 8 + 120 * np.sqrt(fractions)
            axis.scatter(predicted, right, s=areas, color="#009e73", alpha=0.8)
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            axis.set_title(f"{title}\nstrangers {fraction:.0%}, ECE {values['ece']:.3f}", fontsize=7)
            axis.tick_params(labelsize=6)
    figure.supxlabel("predicted probability", fontsize=8)
    figure.supylabel("fraction correct", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def format_figures(values: object) -> str:
    """Format the figures of one fraction of strangers for printing."""
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
