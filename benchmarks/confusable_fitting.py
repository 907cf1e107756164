"""Where the constants of `facebank.recognition.confusable` come from: LFW's development people and no others.

    python -m benchmarks.confusable_fitting ../shared/data --miner PACK_FOLDER

- The relation between the similarity of two people's prototypes, their numbers of samples and how many photos of one
  are nearer to the other, is fitted by maximum likelihood to all pairs of random galleries of development people and,
  weighing one in a hundred, to similar pairs turned towards one another (`benchmarks.confusable_pairs.turned`).
- The temperature of the discriminator is the one with the least log loss over turned pairs and pairs as they are, with
  one to five photos enrolled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.confusable_pairs import LEAST_TO_TURN, Pair, background_of, draw_trials, mined_pairs, turned
from benchmarks.lfw import DEVELOPMENT, LfwFaces, lfw_faces, people_listed
from facebank.packs import load_pack
from facebank.recognition import confusable
from facebank.recognition.photo_model import PhotoModel, agreement
from facebank.recognition.scoring import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.background import Background

COSINES = (0.3, 0.45, 0.6, 0.7, 0.8, 0.9)
ENROLLED = ((1, 1), (2, 2), (3, 3), (5, 5), (1, 2), (1, 3), (1, 5), (2, 5))
JUDGED = ((1, 1), (1, 3), (3, 3), (5, 5), (1, 5))
SIMILAR_SHARE = 0.01
GALLERIES = 4
PAIRS = 150
DULL = 0.1
DULL_KEPT = 20


def ordinary_pairs(faces: LfwFaces, seed: int) -> NDArray[np.float64]:
    """Return similarity, own and other number of samples, share of own photos nearer to the other, and a weight.

    Pairs less similar than `DULL` are so many that one in `DULL_KEPT` stands for all.
    """
    random, people = np.random.default_rng(seed), faces.people
    prototypes, probes, owners = [], [], []
    counts: list[int] = []
    for person in np.flatnonzero(np.bincount(people) > 1):
        rows = random.permutation(np.flatnonzero(people == person))
        count = min(int(random.choice([1, 2, 3, 5])), len(rows) - 1)
        shown = rows[count : count + 5]
        owners.append(np.full(len(shown), len(counts)))
        prototypes.append(faces.embeddings[rows[:count]].astype(np.float64).mean(axis=0))
        counts.append(count)
        probes.append(shown)
    seen, owner, samples = unit(np.stack(prototypes)), np.concatenate(owners), np.array(counts)
    scores = faces.embeddings[np.concatenate(probes)] @ seen.T
    nearer = scores > scores[np.arange(len(owner)), owner][:, None]
    shares = np.zeros((len(seen), len(seen)))
    np.add.at(shares, owner, nearer.astype(np.float64))
    shares /= np.bincount(owner)[:, None]
    apart = ~np.eye(len(seen), dtype=bool)
    similarities = (seen @ seen.T)[apart]
    own, other = (np.broadcast_to(side, apart.shape)[apart] for side in (samples[:, None], samples[None]))
    table = np.stack([similarities, own, other, shares[apart], np.ones(len(own))], axis=1)
    dull = table[similarities < DULL][::DULL_KEPT]
    dull[:, 4] = DULL_KEPT
    return np.concatenate([table[similarities >= DULL], dull])


def similar_pairs(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Return the same of pairs turned towards one another."""
    rows = []
    for cosine in COSINES:
        alike = [turned(pair, cosine) for pair in pairs]
        for enrolled in ENROLLED:
            for trial in draw_trials(alike, enrolled, 2):
                first, second = (
                    unit(side.astype(np.float64).sum(axis=0)[None])[0] for side in (trial.first, trial.second)
                )
                wrong = (trial.probes @ (first - second) > 0) != trial.of_first
                counts = len(trial.first), len(trial.second)
                similarity = first @ second
                rows.append([similarity, *counts, wrong[trial.of_first].mean(), 1.0])
                rows.append([similarity, *counts[::-1], wrong[~trial.of_first].mean(), 1.0])
    return np.array(rows)


def fit_relation(ordinary: NDArray[np.float64], similar: NDArray[np.float64], typical: float) -> confusable.Relation:
    """Return the relation under which the shares are likeliest."""
    from scipy.optimize import minimize

    table = np.concatenate([ordinary, similar])
    weights = np.concatenate(
        [
            (1 - SIMILAR_SHARE) * ordinary[:, 4] / ordinary[:, 4].sum(),
            SIMILAR_SHARE * similar[:, 4] / similar[:, 4].sum(),
        ]
    )
    similarities, own, other, shares = np.clip(table[:, :4], -0.999, None).T
    lead = confusable.lead_of_own(similarities, own, other, typical)

    def loss(logarithms: NDArray[np.float64]) -> float:
        expected = np.clip(
            confusable.error_of_lead(lead, own, confusable.Relation(*np.exp(logarithms))), 1e-7, 1 - 1e-7
        )
        return float(-(weights * (shares * np.log(expected) + (1 - shares) * np.log(1 - expected))).sum())

    start = np.log([0.05, 1.0, 3e-4])
    best = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 1500}).x
    return confusable.Relation(*np.exp(best).tolist())


def fit_temperature(pairs: Sequence[Pair], background: Background) -> tuple[float, float, float]:
    """Return the log loss, the temperature and its part for one sample, of the best on a grid."""
    model = PhotoModel(background.dimension, background)
    evidence, scarcity, weights = [], [], []
    for cosine in (None, *COSINES[1:]):
        alike = [turned(pair, cosine) if cosine else pair for pair in pairs]
        for enrolled in JUDGED:
            for trial in draw_trials(alike, enrolled, 1):
                one, other = model.believe(trial.first), model.believe(trial.second)
                seen, signs = model.seen(trial.probes), np.where(trial.of_first, 1.0, -1.0)
                evidence.append((model.log_likelihoods(seen, one) - model.log_likelihoods(seen, other)) * signs)
                scarcity.append(np.full(len(seen), 1 / len(trial.first) + 1 / len(trial.second)))
                sizes = trial.of_first.sum(), (~trial.of_first).sum()
                weights.append(np.where(trial.of_first, 0.5 / sizes[0], 0.5 / sizes[1]))
    told, few, weight = np.concatenate(evidence), np.concatenate(scarcity), np.concatenate(weights)
    return min(
        (float(np.average(np.logaddexp(0, -told / (flat + part * few)), weights=weight)), flat, part)
        for flat in (2.0, 3.0, 4.0, 5.0, 6.0)
        for part in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    )


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--miner", type=Path, required=True, help="folder of the pack whose embeddings find the pairs")
    arguments = parser.parse_args()
    people = people_listed(arguments.data, DEVELOPMENT)
    faces, mining = (lfw_faces(arguments.data, load_pack(name)).of(people) for name in (None, arguments.miner))
    both = faces.found & mining.found
    faces, mining = faces.where(both), mining.where(both)
    background = background_of(faces)
    pairs = mined_pairs(faces, mining, PAIRS, LEAST_TO_TURN)
    ordinary = np.concatenate([ordinary_pairs(faces, seed) for seed in range(GALLERIES)])
    found = fit_relation(ordinary, similar_pairs(pairs), agreement(background))
    print(f"agreement {agreement(background):.4f}")
    print(found)
    print(
        "log loss {:.4f} at temperature {:.0f}, of one sample {:.0f}".format(*fit_temperature(pairs[:80], background))
    )


if __name__ == "__main__":
    main()
