"""Faithfulness of explanation maps, measured by deletion curves on LFW with an independent occluder.

    python -m benchmarks.explanation ../shared/data --out benchmarks/reports/explanation

Maps are computed with a soft-edged patch and tested with hard-edged cells (1/14 of the crop per side) filled with the
face's mean color or noise. Cells of one face are deleted in steps of a tenth, in the order of the map or another order,
and the area under the curve of the similarity to the other, intact face is computed; the mean of both faces is
reported. A smaller area means that important parts were deleted earlier. Other orders are random cells, random patches
as coherent as a map, the reversed map, the mean map of other people, and the map of another pair. Differences are
paired, with 95 % bootstrap intervals over pairs of distinct people. The patch was chosen on development people by
`choose`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, central_face, lfw_faces, people_listed
from facebank import read_photo
from facebank.operations.explain import SHIPPED_OCCLUDER, Filling, Occluder, explain
from facebank.packs import load_pack
from facebank.vision import FaceAnalyzer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

    Doubles = NDArray[np.float64]
    Crops = tuple[RGBImage, RGBImage]

CELLS = 14
STEPS = 10
RANDOM_ORDERS = 2
CHOSEN_ON, MATED, NON_MATED = 8, 50, 25
RESAMPLES = 10_000
SEED = 4
CANDIDATES = tuple(
    Occluder(positions, radius, filling)
    for filling, (positions, radius) in itertools.product((Filling.BLUR, Filling.GRAY), ((8, 0.10), (8, 0.14)))
)


@dataclass(frozen=True, slots=True, eq=False)
class FacePair:
    """Two faces to explain: names and aligned crops."""

    people: tuple[str, str]
    crops: Crops


class Deletion:
    """Deletes cells of faces and measures the remaining similarity.

    Parameters
    ----------
    analyzer
        Embeds the faces.
    """

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._embedder = analyzer.embedder

    def area(self, crops: Crops, orders: tuple[FloatArray, FloatArray], filling: str) -> float:
        """Return the area under the deletion curve, averaged over both faces.

        Parameters
        ----------
        crops
            The aligned faces.
        orders
            Priority of each cell for each face, highest deleted first: ``(CELLS, CELLS)``.
        filling
            Content of deleted cells: ``colour`` or ``noise``.
        """
        whole = self._embedder.embed(np.stack(crops))
        areas = []
        for number, (crop, order) in enumerate(zip(crops, orders, strict=True)):
            left = self._embedder.embed(without(crop, order, filling)) @ whole[1 - number]
            curve = np.concatenate([[whole[0] @ whole[1]], left])
            areas.append(float(np.trapezoid(curve, dx=1 / STEPS)))
        return float(np.mean(areas))


def without(crop: RGBImage, order: FloatArray, filling: str) -> NDArray[np.uint8]:
    """Return a face with one tenth, two tenths, ... of its cells deleted: ``(STEPS, S, S, 3)``."""
    size = crop.shape[0]
    instead = np.broadcast_to(np.rint(crop.mean(axis=(0, 1))).astype(np.uint8), crop.shape)
    if filling == "noise":
        instead = np.random.default_rng(SEED).integers(0, 256, crop.shape, dtype=np.uint8)
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[np.argsort(-order.ravel(), kind="stable")] = np.arange(order.size)
    places = np.arange(size) * CELLS // size
    of_pixels = ranks.reshape(order.shape)[places[:, None], places[None]]
    gone = [of_pixels < round(order.size * step / STEPS) for step in range(1, STEPS + 1)]
    return np.stack([np.where(mask[..., None], instead, crop) for mask in gone])


def in_cells(drops: FloatArray) -> FloatArray:
    """Return the mean of a map in each cell."""
    return np.asarray(cv2.resize(drops, (CELLS, CELLS), interpolation=cv2.INTER_AREA), dtype=np.float32)


def random_orders(random: np.random.Generator, *, coherent: bool) -> tuple[FloatArray, FloatArray]:
    """Return a random order for each face, by cells, or by patches about as large as those of a map."""
    orders = random.normal(size=(2, CELLS, CELLS)).astype(np.float32)
    if coherent:
        deviation = SHIPPED_OCCLUDER.radius * CELLS / 1.5
        orders = np.stack([cv2.GaussianBlur(one, (0, 0), deviation) for one in orders])
    return orders[0], orders[1]


def cells_of(pair: FacePair, analyzer: FaceAnalyzer, occluder: Occluder) -> tuple[FloatArray, FloatArray]:
    """Return both maps of a pair, averaged in cells."""
    template = analyzer.embedder.template
    drops = explain(analyzer.embedder.embed, *pair.crops, template=template, occluder=occluder).drops
    return in_cells(drops[0]), in_cells(drops[1])


# Which faces ----------------------------------------------------------------------------------------------------------


def mated_pairs(faces: LfwFaces, count: int) -> list[tuple[str, str]]:
    """Return one pair of photos of each of some random people."""
    random = np.random.default_rng(SEED)
    found = faces.where(faces.found)
    people, photos = np.unique(found.names, return_counts=True)
    drawn = random.permutation(people[photos > 1])[:count]
    return [
        (str(one), str(other)) for one, other in (random.permutation(found.photos[found.names == p])[:2] for p in drawn)
    ]


def hard_pairs(faces: LfwFaces, count: int) -> list[tuple[str, str]]:
    """Return the most similar photos of different people, each person in one pair at most."""
    found = faces.where(faces.found)
    similarities = found.embeddings @ found.embeddings.T
    similarities[found.people[:, None] == found.people[None]] = -1
    similarities[np.tril_indices(len(similarities))] = -1
    chosen: list[tuple[str, str]] = []
    seen: set[str] = set()
    for place in np.argsort(similarities, axis=None)[::-1]:
        one, other = np.unravel_index(place, similarities.shape)
        pair = {str(found.names[one]), str(found.names[other])}
        if not pair & seen:
            seen |= pair
            chosen.append((str(found.photos[one]), str(found.photos[other])))
        if len(chosen) == count:
            break
    return chosen


def crop_pairs(folder: Path, pairs: Sequence[tuple[str, str]], analyzer: FaceAnalyzer) -> Iterator[FacePair]:
    """Return the aligned crops of pairs of photos."""
    for one, other in pairs:
        crops = []
        for analyzed in analyzer.analyze(read_photo(folder / name) for name in (one, other)):
            face = central_face(analyzed)
            if face is not None:
                crops.append(analyzer.crop(analyzed.photo, face))
        if len(crops) == 2:
            yield FacePair((one, other), (crops[0], crops[1]))


# Measuring ------------------------------------------------------------------------------------------------------------


def choose(pairs: Sequence[FacePair], analyzer: FaceAnalyzer) -> tuple[list[dict[str, object]], FloatArray]:
    """Measure every patch on development people; a smaller mean area over both fillings is better.

    Returns
    -------
    list[dict[str, object]], FloatArray
        Each patch with its areas, best first, and the mean map of the shipped one.
    """
    deletion = Deletion(analyzer)
    rows: list[dict[str, object]] = []
    mean_map = np.zeros((CELLS, CELLS), dtype=np.float32)
    for occluder in CANDIDATES:
        maps = [cells_of(pair, analyzer, occluder) for pair in pairs]
        areas = {
            filling: float(
                np.mean([deletion.area(pair.crops, cells, filling) for pair, cells in zip(pairs, maps, strict=True)])
            )
            for filling in ("colour", "noise")
        }
        if occluder == SHIPPED_OCCLUDER:
            mean_map = np.mean(maps, axis=(0, 1))
        patch = {"filling": occluder.filling.value, "positions": occluder.positions, "radius": occluder.radius}
        rows.append(
            {
                **patch,
                **{name: round(area, 4) for name, area in areas.items()},
                "mean": float(np.mean(list(areas.values()))),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return sorted(rows, key=lambda row: float(str(row["mean"]))), mean_map


def areas_of(pairs: Sequence[FacePair], analyzer: FaceAnalyzer, mean_map: FloatArray) -> dict[str, dict[str, Doubles]]:
    """Return the area of each pair, by filling and order."""
    deletion, random = Deletion(analyzer), np.random.default_rng(SEED)
    maps = []
    for number, pair in enumerate(pairs):
        maps.append(cells_of(pair, analyzer, SHIPPED_OCCLUDER))
        print(f"maps: {number + 1} of {len(pairs)} pairs", file=sys.stderr, flush=True)
    areas: dict[str, dict[str, list[float]]] = {}
    for number, (pair, cells) in enumerate(zip(pairs, maps, strict=True)):
        drawn = {
            kind: [random_orders(random, coherent=kind == "patches") for _ in range(RANDOM_ORDERS)]
            for kind in ("cells", "patches")
        }
        orders = {"map": [cells], "random cells": drawn["cells"], "random patches": drawn["patches"]}
        more = {
            "reverse": [(-cells[0], -cells[1])],
            "mean map": [(mean_map, mean_map)],
            "another pair's map": [maps[number - 1]],
        }
        for filling, wanted in (("colour", orders | more), ("noise", orders)):
            for name, several in wanted.items():
                area = float(np.mean([deletion.area(pair.crops, one, filling) for one in several]))
                areas.setdefault(filling, {}).setdefault(name, []).append(area)
        print(f"deletion: {number + 1} of {len(pairs)} pairs", file=sys.stderr, flush=True)
    return {filling: {name: np.array(values) for name, values in by.items()} for filling, by in areas.items()}


def compare_areas(areas: Mapping[str, Doubles]) -> dict[str, dict[str, object]]:
    """Compare the areas of the maps' order with those of every other order."""
    draws = np.random.default_rng(SEED).integers(0, len(areas["map"]), (RESAMPLES, len(areas["map"])))
    found: dict[str, dict[str, object]] = {}
    for name, values in areas.items():
        row: dict[str, object] = {"area": round(float(values.mean()), 4)}
        if name != "map":
            differences = areas["map"] - values
            low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
            row |= {
                "map_minus_this": round(float(differences.mean()), 4),
                "interval": [round(float(low), 4), round(float(high), 4)],
            }
            row["pairs_where_map_is_smaller"] = int((differences < 0).sum())
        found[name] = row
    return found


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    given = parser.parse_args()
    pack = load_pack()
    faces, analyzer = lfw_faces(given.data, pack), FaceAnalyzer.from_pack(pack)
    folder = given.data / "lfw"
    development = faces.of(people_listed(given.data, DEVELOPMENT))
    candidates, mean_map = choose(list(crop_pairs(folder, mated_pairs(development, CHOSEN_ON), analyzer)), analyzer)
    reporting = faces.of(people_listed(given.data, REPORTING))
    report: dict[str, object] = {"pack": pack.name, "chosen_on_development_people": candidates}
    for kind, names in (("mated", mated_pairs(reporting, MATED)), ("non_mated", hard_pairs(reporting, NON_MATED))):
        pairs = list(crop_pairs(folder, names, analyzer))
        areas = areas_of(pairs, analyzer, mean_map)
        report[kind] = {"pairs": len(pairs), **{filling: compare_areas(by) for filling, by in areas.items()}}
    given.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    given.out.with_suffix(".md").write_text(as_markdown(report), encoding="utf-8")


def as_markdown(report: Mapping[str, object]) -> str:
    """Return the report as Markdown."""
    lines = [
        "# Faithfulness of explanation maps",
        "",
        f"`python -m benchmarks.explanation ../shared/data`, pack {report['pack']}. Area under the deletion curve:",
        "parts of a face are removed in some order, and the similarity to the other face is measured after each step.",
        "A smaller area means that important parts were removed earlier. The parts are covered by a different occluder",
        "than that of the maps. Differences are paired, with 95 % bootstrap intervals over pairs.",
    ]
    for kind, title in (
        ("mated", "Two photos of one person"),
        ("non_mated", "The most similar photos of different people"),
    ):
        found = report[kind]
        if not isinstance(found, dict):
            continue
        lines += ["", f"## {title}: {found['pairs']} pairs"]
        for filling, words in (("colour", "the face's mean color"), ("noise", "noise")):
            lines += [
                "",
                f"Removed parts are filled with {words}.",
                "",
                "| order | area | map's area minus this | pairs |",
            ]
            lines += ["|---|---|---|---|", *(_row(name, row, found["pairs"]) for name, row in found[filling].items())]
    return "\n".join(lines) + "\n"


def _row(name: str, row: Mapping[str, object], pairs: int) -> str:
    if name == "map":
        return f"| **the map's** | {row['area']} | | |"
    interval = row["interval"]
    low, high = interval if isinstance(interval, list) else (None, None)
    smaller = f"{row['pairs_where_map_is_smaller']} of {pairs}"
    return f"| {name} | {row['area']} | {row['map_minus_this']} [{low}, {high}] | {smaller} |"


if __name__ == "__main__":
    main()
