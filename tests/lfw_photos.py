"""Photos of LFW as photos of a dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from facebank.evaluation.dataset import DatasetPhoto


def lfw_photos(shared: Path, people: Iterable[str], count: int) -> tuple[DatasetPhoto, ...]:
    """Return the first `count` photos of each person, or all if there are fewer; ``PERSON/FILE`` is a photo's name."""
    paths = [path for person in people for path in sorted((shared / "data/lfw" / person).glob("*.jpg"))[:count]]
    return tuple(DatasetPhoto(f"{path.parent.name}/{path.name}", path.parent.name, path) for path in paths)
