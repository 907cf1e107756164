"""Whether the right pairs are called confusable, and whether the two people of a pair are told apart.

    python -m benchmarks.confusable ../shared/data --miner PACK_FOLDER --out benchmarks/reports/confusable

Pairs are the most similar people by another pack's embeddings (``--miner``), of people with four photos or more; some
photos of each are enrolled at random, the rest are probes that show one of the two. Development people
(``peopleDevTrain.txt``) teach the background and the constants, which `benchmarks.confusable_fitting` finds; reported
are other people (``peopleDevTest.txt``).

- ``pairs``: error among the answers given against the share answered, of the difference of the similarities to the two
  prototypes and of the discriminator. LFW's people are hardly ever confused. So the same is measured with the most
  similar people of ten photos or more, after one person's embeddings were turned rigidly towards the other's until the
  people are as similar as a cosine of 0.6 or 0.8 says: photos scatter as they do, people resemble one another as
  siblings may. These are simulations, no siblings.
- ``alternatives``: what else was tried, on development people.
- ``expected_error``: whether as many photos are nearer to the other person as was expected from the samples; of all
  pairs of random galleries, and of pairs turned to cosines from 0.3 to 0.9.
- ``relatives``: LFW's siblings, twins, parents and children, decided as `facebank.recognition.confusable` decides.

Intervals are of 95 %, by bootstrap over people: a pair counts as often as both its people are drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.confusable_fitting import GALLERIES, ordinary_pairs, similar_pairs
from benchmarks.confusable_pairs import (
    LEAST_PHOTOS,
    LEAST_TO_TURN,
    Pair,
    Trial,
    background_of,
    draw_trials,
    mined_pairs,
    turned,
)
from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, lfw_faces, people_listed
from facebank.packs import load_pack
from facebank.recognition.confusable import (
    LEAST_PROBABILITY,
    Confusables,
    PairDiscriminator,
    error_of_lead,
    lead_of_own,
)
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.photo_model import PhotoModel, agreement
from facebank.recognition.scoring import QUALITY_FLOOR, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.recognition.background import Background

PAIRS = 50
SPLITS = 20
ENROLLED = ((1, 1), (3, 3), (1, 3), (0, 0))
COSINES = (None, 0.6, 0.8)
COVERAGES = (1.0, 0.9, 0.8, 0.7)
RESAMPLES = 1000
LABEL_ERRORS = ("Michael_Schumacher/Michael_Schumacher_0008.jpg",)
EXPECTED = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 1.0)

Judge = Callable[[Trial], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Probes, each of one of two people. M of them.

    Attributes
    ----------
    scores
        By judge, above 0 for the right one of the two; the farther from 0 the surer; each of shape ``(M,)``.
    weights
        Each trial's probes of one person sum to one half, of shape ``(M,)``.
    pairs
        Which pair, of shape ``(M,)``.
    people
        The people of each pair.
    """

    scores: dict[str, NDArray[np.float64]]
    weights: NDArray[np.float64]
    pairs: NDArray[np.int64]
    people: list[tuple[str, str]]


def plain(trial: Trial) -> NDArray[np.float64]:
    """Return the difference of the similarities to both prototypes, as identification without a discriminator."""
    return np.asarray(
        trial.probes
        @ (_prototype(trial.first, trial.first_qualities) - _prototype(trial.second, trial.second_qualities))
    )


def discriminator(model: PhotoModel) -> Judge:
    """Return the judge that is measured."""

    def judge(trial: Trial) -> NDArray[np.float64]:
        probability = PairDiscriminator(model, trial.first, trial.second).probabilities(trial.probes)
        return np.asarray(np.log(probability / (1 - probability)))

    return judge


def alternatives(background: Background) -> dict[str, Judge]:
    """Return what else was tried."""
    within = np.asarray(background.within, dtype=np.float64)
    sphere = np.trace(within) / len(within) * np.eye(len(within))
    variances, axes = np.linalg.eigh(0.7 * within + 0.3 * sphere)
    whitening = (axes / np.sqrt(variances)) @ axes.T
    shrunken = np.linalg.inv(0.5 * within + 0.5 * sphere)
    others = background.draw(1000, seed=1).astype(np.float64)

    def nearest_sample(trial: Trial) -> NDArray[np.float64]:
        return np.asarray((trial.probes @ trial.first.T).max(axis=1) - (trial.probes @ trial.second.T).max(axis=1))

    def whitened(trial: Trial) -> NDArray[np.float64]:
        one, other = (unit(unit(rows @ whitening).sum(axis=0)[None])[0] for rows in (trial.first, trial.second))
        return np.asarray(unit(trial.probes @ whitening) @ (one - other))

    def discriminant(trial: Trial) -> NDArray[np.float64]:
        one, other = trial.first.mean(axis=0), trial.second.mean(axis=0)
        direction = shrunken @ (one - other)
        return np.asarray(trial.probes @ direction - (one + other) @ direction / 2)

    def normalised(trial: Trial) -> NDArray[np.float64]:
        sides = []
        for rows in (trial.first, trial.second):
            prototype = unit(rows.astype(np.float64).sum(axis=0)[None])[0]
            cohort = np.sort(others @ prototype)[-100:]
            sides.append((trial.probes @ prototype - cohort.mean()) / cohort.std())
        return np.asarray(sides[0] - sides[1])

    return {
        "nearest sample": nearest_sample,
        "within-class whitening": whitened,
        "linear discriminant, shrunken": discriminant,
        "score normalisation": normalised,
        "quality not weighted": _unweighted,
        "linear SVM": lambda trial: _fitted(trial, "svm"),
        "logistic regression": lambda trial: _fitted(trial, "logistic"),
    }


def judged(pairs: Sequence[Pair], enrolled: tuple[int, int], judges: dict[str, Judge], splits: int = SPLITS) -> Judged:
    """Let judges decide about the probes of random trials of pairs."""
    scores: dict[str, list[NDArray[np.float64]]] = {name: [] for name in judges}
    weights, places = [], []
    for trial in draw_trials(pairs, enrolled, splits):
        of_first = trial.of_first
        signs = np.where(of_first, 1.0, -1.0)
        for name, judge in judges.items():
            scores[name].append(judge(trial) * signs)
        weights.append(np.where(of_first, 0.5 / of_first.sum(), 0.5 / (~of_first).sum()))
        places.append(np.full(len(of_first), trial.pair))
    return Judged(
        {name: np.concatenate(found) for name, found in scores.items()},
        np.concatenate(weights),
        np.concatenate(places),
        [(pair.first, pair.second) for pair in pairs],
    )


def risk(scores: NDArray[np.float64], weights: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the error at `COVERAGES`; `order` puts the surest first."""
    ordered = weights[order]
    answered = np.cumsum(ordered)
    wrong = np.cumsum(ordered * (scores[order] <= 0))
    last = np.minimum(np.searchsorted(answered, np.array(COVERAGES) * answered[-1] - 1e-9), len(order) - 1)
    return np.asarray(wrong[last] / answered[last])


def compared(found: Judged, names: Sequence[str], resamples: int = RESAMPLES) -> list[dict[str, Any]]:
    """Return the error of the judges at each coverage, and the difference of the last and the first."""
    orders = {name: np.argsort(-np.abs(found.scores[name]), kind="stable") for name in names}
    errors = {name: risk(found.scores[name], found.weights, orders[name]) for name in names}
    people = sorted({person for pair in found.people for person in pair})
    ones, others = (np.array([people.index(pair[side]) for pair in found.people]) for side in (0, 1))
    random, differences = np.random.default_rng(0), []
    for _ in range(resamples):
        drawn = np.bincount(random.integers(len(people), size=len(people)), minlength=len(people))
        weights = found.weights * (drawn[ones] * drawn[others])[found.pairs]
        if weights.any():
            first, last = (risk(found.scores[name], weights, orders[name]) for name in (names[0], names[-1]))
            differences.append(last - first)
    low, high = np.quantile(differences, [0.025, 0.975], axis=0)
    return [
        {
            "coverage": coverage,
            **{name: float(errors[name][place]) for name in names},
            "difference": float(errors[names[-1]][place] - errors[names[0]][place]),
            "interval": [float(low[place]), float(high[place])],
        }
        for place, coverage in enumerate(COVERAGES)
    ]


def reliability(table: NDArray[np.float64], typical: float) -> list[dict[str, float]]:
    """Compare the expected error with how often photos were nearer to the other person.

    Parameters
    ----------
    table
        As `benchmarks.confusable_fitting.ordinary_pairs` gives it.
    typical
        The mean cosine of two photos of one person.
    """
    similarities, own, other, happened, weights = table.T
    expected = error_of_lead(lead_of_own(similarities, own, other, typical), own)
    bins = np.digitize(expected, EXPECTED[1:-1])
    return [
        {
            "from": EXPECTED[place],
            "to": EXPECTED[place + 1],
            "pairs": int(weights[bins == place].sum()),
            "expected": float(np.average(expected[bins == place], weights=weights[bins == place])),
            "happened": float(np.average(happened[bins == place], weights=weights[bins == place])),
        }
        for place in range(len(EXPECTED) - 1)
        if (bins == place).any()
    ]


def relatives(faces: LfwFaces, data: Path, background: Background) -> Iterator[dict[str, Any]]:
    """Decide between LFW's relatives, five photos of each enrolled or half of them."""
    photos = {name: np.flatnonzero(faces.names == name) for name in set(faces.names.tolist())}
    for line in (data / "lfw-meta" / "relatives.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        first, second, relation = line.split("\t")[:3]
        rows = [photos.get(name, np.empty(0, dtype=np.int64)) for name in (first, second)]
        record: dict[str, Any] = {"people": [first, second], "relation": relation, "photos": [len(r) for r in rows]}
        if min(len(r) for r in rows) < 2:
            yield {**record, "result": "untested: too few photos"}
            continue
        counts = [min(5, len(r) // 2) for r in rows]
        answered = asked = 0
        wrong: set[str] = set()
        wrong_label: set[str] = set()
        random = np.random.default_rng(0)
        for _ in range(SPLITS):
            mixed = [random.permutation(r) for r in rows]
            enrolled = np.concatenate([r[:count] for r, count in zip(mixed, counts, strict=True)])
            owners = np.repeat([1, 2], counts)
            known = Enrolled(faces.embeddings[enrolled], owners, faces.qualities[enrolled])
            decide = Confusables(known, background)
            for other, probes in ((2, mixed[0][counts[0] :]), (1, mixed[1][counts[1] :])):
                for row in probes[:20].tolist():
                    which = decide.which(1, 2, faces.embeddings[row])
                    asked += 1
                    answered += which is not None
                    if which == other:
                        (wrong_label if str(faces.photos[row]) in LABEL_ERRORS else wrong).add(str(faces.photos[row]))
        yield {
            **record,
            "enrolled": counts,
            "decisions": asked,
            "coverage": answered / asked,
            "wrong": sorted(wrong),
            "wrong_by_label_error": sorted(wrong_label),
        }


def _prototype(rows: FloatArray, qualities: FloatArray) -> NDArray[np.float64]:
    weights = np.maximum(qualities, QUALITY_FLOOR).astype(np.float64)
    return np.asarray(unit((rows * weights[:, None]).sum(axis=0)[None])[0])


def _unweighted(trial: Trial) -> NDArray[np.float64]:
    one, other = (_prototype(rows, np.ones(len(rows), np.float32)) for rows in (trial.first, trial.second))
    return np.asarray(trial.probes @ (one - other))


def _fitted(trial: Trial, kind: str) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    rows = np.concatenate([trial.first, trial.second])
    sides = np.repeat([1, 0], [len(trial.first), len(trial.second)])
    weighted = {"class_weight": "balanced", "C": 1.0}
    machine = LinearSVC(**weighted) if kind == "svm" else LogisticRegression(**weighted)
    return np.asarray(machine.fit(rows, sides).decision_function(trial.probes))


def _similar(pairs: Sequence[Pair], cosine: float | None) -> list[Pair]:
    return [pair if cosine is None else turned(pair, cosine) for pair in pairs]


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--miner", type=Path, required=True, help="folder of the pack whose embeddings find the pairs")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    arguments = parser.parse_args()
    faces, mining = lfw_faces(arguments.data, load_pack()), lfw_faces(arguments.data, load_pack(arguments.miner))
    both = faces.found & mining.found
    faces, mining = faces.where(both), mining.where(both)
    lists = {name: people_listed(arguments.data, name) for name in (DEVELOPMENT, REPORTING)}
    background = background_of(faces.of(lists[DEVELOPMENT]))
    pairs, candidates = (
        {name: mined_pairs(faces.of(people), mining.of(people), PAIRS, least) for name, people in lists.items()}
        for least in (LEAST_PHOTOS, LEAST_TO_TURN)
    )
    report: dict[str, Any] = {"pairs": [], "alternatives": [], "expected_error": {}}
    judges = {"plain": plain, "discriminator": discriminator(PhotoModel(background.dimension, background))}
    tried = {"plain": plain, **alternatives(background), "discriminator": judges["discriminator"]}
    for cosine in COSINES:
        similar = {name: _similar(found, cosine) for name, found in (candidates if cosine else pairs).items()}
        for enrolled in ENROLLED:
            setting = {"cosine": cosine, "enrolled": "half" if enrolled == (0, 0) else list(enrolled)}
            found = judged(similar[REPORTING], enrolled, judges)
            report["pairs"].append({**setting, "risk": compared(found, list(judges))})
            print(setting, *report["pairs"][-1]["risk"], sep="\n  ", flush=True)
            others = compared(judged(similar[DEVELOPMENT], enrolled, tried, 3), list(tried), resamples=1)
            kept = [{name: row[name] for name in ("coverage", *tried)} for row in others]
            report["alternatives"].append({**setting, "risk": kept})
    ordinary = np.concatenate([ordinary_pairs(faces.of(lists[REPORTING]), seed) for seed in range(GALLERIES)])
    typical = agreement(background)
    report["expected_error"] = {
        "ordinary pairs": reliability(ordinary, typical),
        "turned pairs": reliability(similar_pairs(candidates[REPORTING]), typical),
    }
    report["least_probability"] = LEAST_PROBABILITY
    report["relatives"] = list(relatives(faces, arguments.data, background))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: report[name] for name in ("expected_error", "relatives")}, indent=1))


if __name__ == "__main__":
    main()
