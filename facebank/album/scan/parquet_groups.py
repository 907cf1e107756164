"""Groups of faces, and pairs of faces of different people, stored beside Parquet shards in one small file.

::

    16 bytes   the format
    32 bytes   BLAKE2b of the rest
    40 bytes a face: SHA-256 of its photo, its index in the photo from 0, and its group's number

Faces of a group follow one another, the most typical first. The number 0 is not a group: its faces form pairs of
different people, each with its neighbor. Faces refer to their photo's hash, so that shards can be added and removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.errors import ScanFormatError
from facebank.storage.files import face_file_mode, read_reason, write_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

FaceName: TypeAlias = tuple[str, int]
"""SHA-256 of a photo's bytes, in hex, and the index of a face in it, from 0."""

GROUPS_FILE = "facebank.groups"
_FORMAT = b"facebank groups1"
_DIGEST = 32
_ROW = np.dtype([("photo", "u1", 32), ("index", "<i4"), ("group", "<i4")])
_MAX_BYTES = 8 * 1024**3
_APART = 0


class ShardGroups:
    """The groups of a folder of shards, stored in `GROUPS_FILE` in the folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / GROUPS_FILE

    def read(self) -> tuple[dict[int, list[FaceName]], list[tuple[FaceName, FaceName]]]:
        """Return the faces of each group, and the pairs of different people; empty if the file is missing.

        Raises `ScanFormatError` if the file is damaged.
        """
        try:
            size = self._path.stat().st_size
            head = len(_FORMAT) + _DIGEST
            if size > _MAX_BYTES or size < head or (size - head) % _ROW.itemsize:
                raise self._damage_error
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}, []
        except OSError as error:
            raise ScanFormatError(f"{printable(str(self._path))} cannot be read: {read_reason(error)}.") from error
        if not data.startswith(_FORMAT) or data[len(_FORMAT) : head] != _digest(data[head:]):
            raise self._damage_error
        rows = np.frombuffer(data, dtype=_ROW, offset=head)
        names = [(bytes(photo).hex(), int(index)) for photo, index in zip(rows["photo"], rows["index"], strict=True)]
        groups, apart = dict[int, list[FaceName]](), list[FaceName]()
        for name, group in zip(names, rows["group"].tolist(), strict=True):
            (groups.setdefault(group, []) if group != _APART else apart).append(name)
        if len(apart) % 2 or min(groups, default=1) < 1 or any(index < 0 for _, index in names):
            raise self._damage_error
        return groups, list(zip(apart[::2], apart[1::2], strict=True))

    def write(self, groups: Mapping[int, Sequence[FaceName]], apart: Sequence[tuple[FaceName, FaceName]]) -> None:
        """Replace the groups and pairs; raises `StorageError` if the folder is not writable."""
        named = [(name, group) for group, names in groups.items() for name in names]
        named += [(name, _APART) for pair in apart for name in pair]
        rows = np.empty(len(named), dtype=_ROW)
        for number, ((content_hash, index), group) in enumerate(named):
            rows[number] = np.frombuffer(bytes.fromhex(content_hash), dtype=np.uint8), index, group
        data = rows.tobytes()
        write_file(
            self._path,
            _FORMAT + _digest(data) + data,
            mode=face_file_mode(),
            advice="groups of faces are stored beside the shards: copy the shards to a writable folder",
        )

    @property
    def _damage_error(self) -> ScanFormatError:
        return ScanFormatError(f"{printable(str(self._path))} is damaged: remove it and group the faces again.")


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()
