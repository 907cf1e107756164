"""Benefit of augmented variants of enrolled faces (flipped, relit, turned, scaled, masked), on LFW with drawn masks.

    python -m benchmarks.masks ../shared/data --out benchmarks/reports/masks

People are enrolled unmasked with one and with five photos. Probes are their other photos, unaltered and with a drawn
mask whose shapes and colors no augmentation uses; the detector runs on the masked photo. Reports the rank-1 rate and
FNIR of each method at an FPIR of 1 % (for unmasked or masked strangers, like the probes), with detection failures as
misses. Gains over plain prototypes have paired bootstrap intervals over people. `choose` selects the method on
development people; results are reported on the others. The methods "if seen masked" were added after a first look at
the other methods' results on the reporting people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING
from benchmarks.masked_faces import ENROLLED, MASKED, UPPER, VariantFaces, load_faces
from facebank.packs import load_pack
from facebank.storage.arrays import normalized
from facebank.vision.augmentation import VARIANTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

WEIGHTS = (0.1, 0.2, 0.3, 0.5, 1.0)
FPIR = 0.01
RESAMPLES = 2000
MAX_LOSS = 0.05  # percentage points of FNIR on unmasked probes


Scores: TypeAlias = "Callable[[NDArray[np.int64], bool], FloatArray]"
"""Returns scores for each enrolled person, given the indices of probes and whether they are masked."""
Method: TypeAlias = "Callable[[VariantFaces, Sequence[NDArray[np.int64]]], Scores]"
"""Enrolls people, given the indices of their samples."""


# Methods --------------------------------------------------------------------------------------------------------------


def prototypes(faces: VariantFaces, enrolled: Sequence[NDArray[np.int64]], weights: Mapping[str, float]) -> FloatArray:
    """Return each person's prototype, the L2-normalized weighted mean of embeddings and variants."""
    means: NDArray[np.float32] = np.stack(
        [
            sum((weight * faces.embeddings[name][rows].mean(axis=0) for name, weight in weights.items()), np.float32(0))
            for rows in enrolled
        ]
    )
    return normalized(means)


def probe_embeddings(faces: VariantFaces, masked: bool) -> FloatArray:
    """Return the embeddings of all photos as probes, ``(N, D)``."""
    return faces.embeddings[MASKED if masked else "plain"]


def mix(**weights: float) -> Method:
    """Return a method with one prototype, the weighted mean of plain embeddings and variants."""

    def enroll(faces: VariantFaces, enrolled: Sequence[NDArray[np.int64]]) -> Scores:
        people = prototypes(faces, enrolled, {"plain": 1.0, **weights})
        return lambda indices, masked: probe_embeddings(faces, masked)[indices] @ people.T

    return enroll


def keep_two_prototypes(rule: str) -> Method:
    """Return a method with a plain and a masked prototype, chosen by maximum score, by the detector or by the truth."""

    def enroll(faces: VariantFaces, enrolled: Sequence[NDArray[np.int64]]) -> Scores:
        plain_prototypes = prototypes(faces, enrolled, {"plain": 1.0})
        masked_prototypes = prototypes(faces, enrolled, {"mask": 1.0})

        def scores(indices: NDArray[np.int64], masked: bool) -> FloatArray:
            probes = probe_embeddings(faces, masked)[indices]
            first, second = probes @ plain_prototypes.T, probes @ masked_prototypes.T
            if rule == "maximum":
                return np.asarray(np.maximum(first, second), dtype=np.float32)
            hidden = faces.hidden[int(masked)][indices] > 0.5 if rule == "detector" else np.full(len(indices), masked)
            return np.asarray(np.where(hidden[:, None], second, first), dtype=np.float32)

        return scores

    return enroll


def mix_if_masked(rule: str, **weights: float) -> Method:
    """Return a method with plain prototypes, and with mixed ones for probes whose mouth is hidden."""

    def enroll(faces: VariantFaces, enrolled: Sequence[NDArray[np.int64]]) -> Scores:
        plain = prototypes(faces, enrolled, {"plain": 1.0})
        mixed = prototypes(faces, enrolled, {"plain": 1.0, **weights})

        def scores(indices: NDArray[np.int64], masked: bool) -> FloatArray:
            probes = probe_embeddings(faces, masked)[indices]
            hidden = faces.hidden[int(masked)][indices] > 0.5 if rule == "detector" else np.full(len(indices), masked)
            return np.asarray(np.where(hidden[:, None], probes @ mixed.T, probes @ plain.T), dtype=np.float32)

        return scores

    return enroll


def compare_upper_faces() -> Method:
    """Return a method that compares masked probes by the upper face only."""

    def enroll(faces: VariantFaces, enrolled: Sequence[NDArray[np.int64]]) -> Scores:
        plain = prototypes(faces, enrolled, {"plain": 1.0})
        upper = prototypes(faces, enrolled, {UPPER: 1.0})
        return lambda indices, masked: (
            faces.embeddings["masked-upper"][indices] @ upper.T
            if masked
            else faces.embeddings["plain"][indices] @ plain.T
        )

    return enroll


def methods() -> dict[str, Method]:
    """Return all compared methods by name."""
    result: dict[str, Method] = {"plain": mix()}
    for variant in VARIANTS:
        for weight in WEIGHTS if variant == "mask" else (0.3, 1.0):
            result[f"{variant} {weight}"] = mix(**{variant: weight})
    result["brightness 1.0"] = mix(brighter=0.5, darker=0.5)
    result["rotation 1.0"] = mix(**{"rotated-left": 0.5, "rotated-right": 0.5})
    result["scale 1.0"] = mix(larger=0.5, smaller=0.5)
    for weight in WEIGHTS[:4]:
        result[f"flip 1.0, mask {weight}"] = mix(flip=1.0, mask=weight)
    for weight in WEIGHTS:
        result[f"mask {weight} if seen masked"] = mix_if_masked("detector", mask=weight)
    result["mask 0.5, told which"] = mix_if_masked("truth", mask=0.5)
    result["two prototypes, maximum"] = keep_two_prototypes("maximum")
    result["two prototypes, mask detector"] = keep_two_prototypes("detector")
    result["two prototypes, told which"] = keep_two_prototypes("truth")
    result["upper face, told which"] = compare_upper_faces()
    return result


# Measurement ----------------------------------------------------------------------------------------------------------


def searches(faces: VariantFaces, photo_count: int) -> Iterator[tuple[list[NDArray[np.int64]], NDArray[np.int64]]]:
    """Yield the sample indices of each enrolled person, and the indices of the probes, all their other photos."""
    indices = [np.flatnonzero(faces.person_numbers == person) for person in range(int(faces.person_numbers.max()) + 1)]
    samples = [rows[np.any(faces.embeddings["flip"][rows] != 0, axis=1)] for rows in indices]
    for start in range(ENROLLED if photo_count == 1 else 1):
        chosen = [rows[start : start + photo_count] for rows in samples if len(rows) >= start + photo_count]
        probes = [np.setdiff1d(indices[int(faces.person_numbers[rows[0]])], rows) for rows in chosen]
        yield chosen, np.concatenate(probes)


def measure(faces: VariantFaces, photo_count: int, method: Method) -> dict[str, NDArray[np.float64]]:
    """Count the probes and the misses of each kind for each person.

    Returns
    -------
    dict[str, NDArray[np.float64]]
        Each of shape ``(people,)``: ``probes``; for ``plain`` and ``masked`` probes ``wrong`` (not rank 1) and
        ``missed`` at the threshold of their own strangers; ``masked operational`` at that of unmasked strangers.
        ``stranger`` holds the masked strangers' FPIR there.
    """
    people = int(faces.person_numbers.max()) + 1
    strangers = np.flatnonzero(faces.person_numbers < 0)
    counts: dict[str, NDArray[np.float64]] = {}

    def count(title: str, rows: NDArray[np.int64]) -> None:
        counts[title] = counts.get(title, np.zeros(people)) + np.bincount(faces.person_numbers[rows], minlength=people)

    rates = []
    for enrolled, probes in searches(faces, photo_count):
        scores = method(faces, enrolled)
        columns = {int(faces.person_numbers[rows[0]]): column for column, rows in enumerate(enrolled)}
        own_columns = np.array([columns[int(number)] for number in faces.person_numbers[probes]])
        count("probes", probes)
        operational = 0.0
        for masked in (False, True):
            kind = MASKED if masked else "plain"
            similarities = scores(probes, masked)
            has_face = np.any(probe_embeddings(faces, masked)[probes] != 0, axis=1)
            right = (similarities.argmax(axis=1) == own_columns) & has_face
            best = scores(strangers, masked).max(axis=1)
            threshold = float(np.quantile(best, 1 - FPIR, method="higher"))
            operational = operational if masked else threshold
            genuine = similarities[np.arange(len(own_columns)), own_columns]
            count(f"{kind} wrong", probes[~right])
            count(f"{kind} missed", probes[~(right & (genuine > threshold))])
            if masked:
                count("masked operational", probes[~(right & (genuine > operational))])
                rates.append(float((best > operational).mean()))
    counts["stranger"] = np.array(rates)
    return counts


def compare(counts: dict[str, NDArray[np.float64]], plain: dict[str, NDArray[np.float64]]) -> dict[str, object]:
    """Return the rates in percent, and the gains over plain prototypes in points, with 95 % intervals."""
    total = counts["probes"]
    random = np.random.default_rng(20_240_501)
    people = np.flatnonzero(total)
    draws = random.choice(people, size=(RESAMPLES, len(people)))
    result: dict[str, object] = {}
    for kind in ("plain", MASKED):
        result[f"{kind} rank-1"] = _percent(1 - counts[f"{kind} wrong"].sum() / total.sum())
        for title in (f"{kind} missed", *(["masked operational"] if kind == MASKED else [])):
            gains = plain[title] - counts[title]
            resampled = gains[draws].sum(axis=1) / total[draws].sum(axis=1)
            name = title.replace("missed", "FNIR").replace("operational", "FNIR at the unmasked threshold")
            result[name] = _percent(counts[title].sum() / total.sum())
            result[f"{name}, gain"] = _percent(gains.sum() / total.sum())
            result[f"{name}, interval"] = [_percent(edge) for edge in np.percentile(resampled, [2.5, 97.5])]
    result["masked strangers' FPIR there"] = _percent(counts["stranger"].mean())
    return result


def choose(tables: Sequence[Mapping[str, Mapping[str, object]]]) -> str:
    """Return the method with the largest gain on masked probes, with equal weight for one and five enrolled photos.

    Excludes methods that raise FNIR on unmasked probes by more than `MAX_LOSS`, or that use the true presence of a
    mask.
    """
    allowed = [
        name
        for name in tables[0]
        if "told which" not in name and all(_figure(table[name], "plain FNIR, gain") >= -MAX_LOSS for table in tables)
    ]
    return max(allowed, key=lambda name: sum(_figure(table[name], "masked FNIR, gain") for table in tables))


def _figure(row: Mapping[str, object], name: str) -> float:
    return float(str(row[name]))


def _percent(fraction: float) -> float:
    return round(100 * float(fraction), 3)


def evaluate(faces: VariantFaces) -> tuple[dict[str, object], list[dict[str, dict[str, object]]]]:
    """Return all measurements on some people, and the tables of methods for one and five enrolled photos."""
    has_face = np.any(faces.embeddings["plain"] != 0, axis=1)
    report: dict[str, object] = {
        "people": int(faces.person_numbers.max()) + 1,
        "strangers": int((faces.person_numbers < 0).sum()),
        "photos": len(has_face),
        "faces not found": int((~has_face).sum()),
        "masked faces not found": _percent(1 - np.any(faces.embeddings[MASKED][has_face] != 0, axis=1).mean()),
        "mask detector, hits": _percent((faces.hidden[1][has_face] > 0.5).mean()),
        "mask detector, false alarms": _percent((faces.hidden[0][has_face] > 0.5).mean()),
    }
    tables = []
    for photo_count in (1, ENROLLED):
        plain = measure(faces, photo_count, mix())
        tables.append({name: compare(measure(faces, photo_count, method), plain) for name, method in methods().items()})
        report[f"enrolled with {photo_count}"] = {"probes": int(plain["probes"].sum()), "methods": tables[-1]}
    return report, tables


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--pack", default=None, help="name or folder of a pack (default: the embedded one)")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    report: dict[str, object] = {"pack": pack.name, "pack_digest": pack.digest, "fpir": FPIR}
    for label, listing, people, strangers in (
        ("development", DEVELOPMENT, 320, 600),
        ("reporting", REPORTING, 464, 833),
    ):
        faces = load_faces(arguments.data, pack, listing, people, strangers)
        report[label], tables = evaluate(faces)
        if label == "development":
            report["chosen on development"] = chosen = choose(tables)
        for photo_count, table in zip((1, ENROLLED), tables, strict=True):
            print(label, f"{photo_count} enrolled, {chosen}:", json.dumps(table[chosen]))
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
