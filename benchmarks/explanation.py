"""Faithfulness of explanation maps, measured by deletion curves on LFW with an independent occluder.

    python -m benchmarks.explanation ../shared/data --out benchmarks/reports/explanation

Maps are computed with a soft-edged patch and tested with hard-edged cells (1/14 of the crop per side) filled with the
face's mean color or noise. Cells of one face are deleted in steps of a tenth, in the order of the map or another order.
The figure is the area under the curve of the similarity to the other, intact face, averaged over both faces. A smaller
area means that important parts were deleted earlier. Other orders are random cells, random patches as coherent as a
map, the reversed map, the mean map of other people, and the map of another pair. Differences are paired, with 95 %
bootstrap intervals over pairs of distinct people. The patch was chosen on development people by `rank_occluders`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.json_report import write_json_report
from benchmarks.lfw import DEVELOPMENT, REPORTING, LfwFaces, central_face, lfw_faces, read_people
from facebank import read_photo
from facebank.operations.explain import DEFAULT_OCCLUDER, Filling, Occluder, explain
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
DEVELOPMENT_PAIRS, MATED_PAIRS, NON_MATED_PAIRS = 8, 50, 25
RESAMPLES = 10_000
SEED = 4
CANDIDATES = tuple(
    Occluder(positions, radius, filling)
    for filling, (positions, radius) in itertools.product((Filling.BLUR, Filling.GRAY), ((8, 0.10), (8, 0.14)))
)


@dataclass(frozen=True, slots=True, eq=False)
class FacePair:
    """Two faces to explain: paths of the photos relative to LFW's folder, and aligned crops."""

    paths: tuple[str, str]
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
        embeddings = self._embedder.embed(np.stack(crops))
        areas = []
        for number, (crop, order) in enumerate(zip(crops, orders, strict=True)):
            similarities = self._embedder.embed(delete_cells(crop, order, filling)) @ embeddings[1 - number]
            curve = np.concatenate([[embeddings[0] @ embeddings[1]], similarities])
            areas.append(float(np.trapezoid(curve, dx=1 / STEPS)))
        return float(np.mean(areas))


def delete_cells(crop: RGBImage, order: FloatArray, filling: str) -> NDArray[np.uint8]:
    """Return a face with one tenth, two tenths, ... of its cells deleted: ``(STEPS, S, S, 3)``."""
    size = crop.shape[0]
    replacement = np.broadcast_to(np.rint(crop.mean(axis=(0, 1))).astype(np.uint8), crop.shape)
    if filling == "noise":
        replacement = np.random.default_rng(SEED).integers(0, 256, crop.shape, dtype=np.uint8)
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[np.argsort(-order.ravel(), kind="stable")] = np.arange(order.size)
    cells = np.arange(size) * CELLS // size
    pixel_ranks = ranks.reshape(order.shape)[cells[:, None], cells[None]]
    masks = [pixel_ranks < round(order.size * step / STEPS) for step in range(1, STEPS + 1)]
    return np.stack([np.where(mask[..., None], replacement, crop) for mask in masks])


def average_in_cells(drops: FloatArray) -> FloatArray:
    """Return the mean of a map in each cell, ``(CELLS, CELLS)``."""
    return np.asarray(cv2.resize(drops, (CELLS, CELLS), interpolation=cv2.INTER_AREA), dtype=np.float32)


def random_orders(random: np.random.Generator, *, is_coherent: bool) -> tuple[FloatArray, FloatArray]:
    """Return a random order of cells for each face, ``(CELLS, CELLS)``; if `is_coherent`, neighbors are close in it."""
    orders = random.normal(size=(2, CELLS, CELLS)).astype(np.float32)
    if is_coherent:
        deviation = DEFAULT_OCCLUDER.radius * CELLS / 1.5
        orders = np.stack([cv2.GaussianBlur(order, (0, 0), deviation) for order in orders])
    return orders[0], orders[1]


def cell_maps(pair: FacePair, analyzer: FaceAnalyzer, occluder: Occluder) -> tuple[FloatArray, FloatArray]:
    """Return both maps of a pair, averaged in cells: ``(CELLS, CELLS)`` each."""
    template = analyzer.embedder.template
    drops = explain(analyzer.embedder.embed, *pair.crops, template=template, occluder=occluder).drops
    return average_in_cells(drops[0]), average_in_cells(drops[1])


# Pairs of faces -------------------------------------------------------------------------------------------------------


def mated_pairs(faces: LfwFaces, count: int) -> list[tuple[str, str]]:
    """Return the paths of one pair of photos of each of `count` random people."""
    random = np.random.default_rng(SEED)
    faces = faces.where(faces.has_face)
    people, counts = np.unique(faces.names, return_counts=True)
    chosen = random.permutation(people[counts > 1])[:count]
    drawn = (random.permutation(faces.paths[faces.names == person])[:2] for person in chosen)
    return [(str(first), str(second)) for first, second in drawn]


def hard_pairs(faces: LfwFaces, count: int) -> list[tuple[str, str]]:
    """Return the paths of the `count` most similar photos of different people, each person in one pair at most."""
    faces = faces.where(faces.has_face)
    similarities = faces.embeddings @ faces.embeddings.T
    similarities[faces.people[:, None] == faces.people[None]] = -1
    similarities[np.tril_indices(len(similarities))] = -1
    chosen: list[tuple[str, str]] = []
    paired: set[str] = set()
    for index in np.argsort(similarities, axis=None)[::-1]:
        first, second = np.unravel_index(index, similarities.shape)
        pair = {str(faces.names[first]), str(faces.names[second])}
        if not pair & paired:
            paired |= pair
            chosen.append((str(faces.paths[first]), str(faces.paths[second])))
        if len(chosen) == count:
            break
    return chosen


def crop_pairs(folder: Path, pairs: Sequence[tuple[str, str]], analyzer: FaceAnalyzer) -> Iterator[FacePair]:
    """Yield the aligned crops of pairs of photos in which both faces are found."""
    for first, second in pairs:
        crops = []
        for analyzed in analyzer.analyze(read_photo(folder / path) for path in (first, second)):
            face = central_face(analyzed)
            if face is not None:
                crops.append(analyzer.crop(analyzed.photo, face))
        if len(crops) == 2:
            yield FacePair((first, second), (crops[0], crops[1]))


# Measurement ----------------------------------------------------------------------------------------------------------


def rank_occluders(pairs: Sequence[FacePair], analyzer: FaceAnalyzer) -> tuple[list[dict[str, object]], FloatArray]:
    """Rank the candidate patches by their mean area over both fillings.

    Returns
    -------
    list[dict[str, object]]
        Each patch with its areas, smallest mean (best) first.
    FloatArray
        Mean map of the shipped patch, ``(CELLS, CELLS)``.
    """
    deletion = Deletion(analyzer)
    rows: list[dict[str, object]] = []
    mean_map = np.zeros((CELLS, CELLS), dtype=np.float32)
    for occluder in CANDIDATES:
        maps = [cell_maps(pair, analyzer, occluder) for pair in pairs]
        areas = {
            filling: float(
                np.mean([deletion.area(pair.crops, cells, filling) for pair, cells in zip(pairs, maps, strict=True)])
            )
            for filling in ("colour", "noise")
        }
        if occluder == DEFAULT_OCCLUDER:
            mean_map = np.mean(maps, axis=(0, 1))
        patch = {"filling": occluder.filling.value, "positions": occluder.grid_size, "radius": occluder.radius}
        rows.append(
            {
                **patch,
                **{name: round(area, 4) for name, area in areas.items()},
                "mean": float(np.mean(list(areas.values()))),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return sorted(rows, key=lambda row: float(str(row["mean"]))), mean_map


def measure_areas(
    pairs: Sequence[FacePair], analyzer: FaceAnalyzer, mean_map: FloatArray
) -> dict[str, dict[str, Doubles]]:
    """Return the area of each of the N pairs, of shape ``(N,)``, by filling and order."""
    deletion, random = Deletion(analyzer), np.random.default_rng(SEED)
    maps = []
    for number, pair in enumerate(pairs):
        maps.append(cell_maps(pair, analyzer, DEFAULT_OCCLUDER))
        print(f"maps: {number + 1} of {len(pairs)} pairs", file=sys.stderr, flush=True)
    areas: dict[str, dict[str, list[float]]] = {}
    for number, (pair, cells) in enumerate(zip(pairs, maps, strict=True)):
        drawn = {
            parts: [random_orders(random, is_coherent=parts == "patches") for _ in range(RANDOM_ORDERS)]
            for parts in ("cells", "patches")
        }
        orders = {"map": [cells], "random cells": drawn["cells"], "random patches": drawn["patches"]}
        other_orders = {
            "reverse": [(-cells[0], -cells[1])],
            "mean map": [(mean_map, mean_map)],
            "another pair's map": [maps[number - 1]],
        }
        for filling, chosen in (("colour", orders | other_orders), ("noise", orders)):
            for name, variants in chosen.items():
                area = float(np.mean([deletion.area(pair.crops, variant, filling) for variant in variants]))
                areas.setdefault(filling, {}).setdefault(name, []).append(area)
        print(f"deletion: {number + 1} of {len(pairs)} pairs", file=sys.stderr, flush=True)
    return {
        filling: {name: np.array(values) for name, values in by_order.items()} for filling, by_order in areas.items()
    }


def compare_areas(areas: Mapping[str, Doubles]) -> dict[str, dict[str, object]]:
    """Compare the areas of the maps' order with those of every other order."""
    draws = np.random.default_rng(SEED).integers(0, len(areas["map"]), (RESAMPLES, len(areas["map"])))
    rows: dict[str, dict[str, object]] = {}
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
        rows[name] = row
    return rows


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and lfw-meta/")
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    pack = load_pack()
    faces, analyzer = lfw_faces(arguments.data, pack), FaceAnalyzer.from_pack(pack)
    folder = arguments.data / "lfw"
    development = faces.select_people(read_people(arguments.data, DEVELOPMENT))
    candidates, mean_map = rank_occluders(
        list(crop_pairs(folder, mated_pairs(development, DEVELOPMENT_PAIRS), analyzer)), analyzer
    )
    reporting = faces.select_people(read_people(arguments.data, REPORTING))
    report: dict[str, object] = {"pack": pack.name, "chosen_on_development_people": candidates}
    for label, path_pairs in (
        ("mated", mated_pairs(reporting, MATED_PAIRS)),
        ("non_mated", hard_pairs(reporting, NON_MATED_PAIRS)),
    ):
        pairs = list(crop_pairs(folder, path_pairs, analyzer))
        areas = measure_areas(pairs, analyzer, mean_map)
        report[label] = {
            "pairs": len(pairs),
            **{filling: compare_areas(by_order) for filling, by_order in areas.items()},
        }
    write_json_report(arguments.out, report)
    arguments.out.with_suffix(".md").write_text(format_markdown(report), encoding="utf-8")


def format_markdown(report: Mapping[str, object]) -> str:
    """Return the report as Markdown."""
    lines = [
        "# Faithfulness of explanation maps",
        "",
        f"`python -m benchmarks.explanation ../shared/data`, pack {report['pack']}. Area under the deletion curve:",
        "parts of a face are removed in some order, and the similarity to the other face is measured after each step.",
        "A smaller area means that important parts were removed earlier. The parts are covered by a different occluder",
        "than that of the maps. Differences are paired, with 95 % bootstrap intervals over pairs.",
    ]
    for label, title in (
        ("mated", "Two photos of one person"),
        ("non_mated", "The most similar photos of different people"),
    ):
        section = report[label]
        if not isinstance(section, dict):
            continue
        lines += ["", f"## {title}: {section['pairs']} pairs"]
        for filling, description in (("colour", "the face's mean color"), ("noise", "noise")):
            lines += [
                "",
                f"Removed parts are filled with {description}.",
                "",
                "| order | area | map's area minus this | pairs |",
            ]
            lines += [
                "|---|---|---|---|",
                *(_row(name, row, section["pairs"]) for name, row in section[filling].items()),
            ]
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
