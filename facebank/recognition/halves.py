"""People whose samples fall into two halves that look like two people, such as after a wrong merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.resemblance import may_look_different, split_into_halves

if TYPE_CHECKING:
    from facebank.gallery import Gallery


@dataclass(frozen=True, slots=True)
class Halves:
    """A person whose samples may show two people."""

    name: str
    larger: tuple[int, ...]  # ids of the samples of the larger half
    smaller: tuple[int, ...]  # ids of the samples of the smaller half
    similarity: float  # mean similarity across the halves, -1..1


def find_halves(gallery: Gallery, threshold: float, name: str | None = None) -> list[Halves]:
    """Return people whose samples look like two people, such as after a wrong merge, the most different halves first.

    Omits people whose halves are explained by the years between the photos, unless they were merged; samples in masks
    are in neither half. Rates: ``python -m benchmarks.wrong_merges``.

    Parameters
    ----------
    gallery
        The enrolled people.
    threshold
        The pack's verification threshold.
    name
        Only this person; None for all.
    """
    with gallery.snapshot():
        table, names = gallery.vectors(), gallery.names()
        order = np.argsort(table.person_ids, kind="stable")
        person_ids, starts = np.unique(table.person_ids[order], return_index=True)
        only_id = None if name is None else gallery.person(name).id
        result = []
        for person_id, rows in zip(person_ids.tolist(), np.split(order, starts[1:]), strict=True):
            split = split_into_halves(table.matrix[rows], threshold) if only_id in (None, person_id) else None
            if split is not None:
                is_smaller, similarity = split
                smaller, larger = (table.sample_ids[rows[chosen]].tolist() for chosen in (is_smaller, ~is_smaller))
                result.append(Halves(names[person_id], tuple(larger), tuple(smaller), similarity))
        merged_names = gallery.people_with_merges()
        result = [halves for halves in result if halves.name in merged_names or not _is_explained(gallery, halves)]
    return sorted(result, key=lambda halves: halves.similarity)


def _is_explained(gallery: Gallery, halves: Halves) -> bool:
    """Return whether the years between all photos of one half and all of the other explain the halves."""
    dates = {sample.id: sample.taken_at for sample in gallery.samples(halves.name) if sample.camera_dated}
    smaller, larger = ([dates.get(sample_id) for sample_id in half] for half in (halves.smaller, halves.larger))
    born = gallery.person(halves.name).born
    return all(
        date is not None and other is not None and may_look_different(date, other, born)
        for date in smaller
        for other in larger
    )
