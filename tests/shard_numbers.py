"""Shards that photos belong to."""

from __future__ import annotations

from facebank.media.shards import Shard


def shard_number_of(path: str, count: int, folder: str) -> int:
    """Return the number of the shard that holds a photo in a folder divided into `count` shards."""
    return next(number for number in range(1, count + 1) if Shard(number, count).holds(path, [folder]))
