"""Safe extraction from untrusted zip archives."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import PackIntegrityError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Limits of an archive.

    Attributes
    ----------
    unpacked_bytes
        Sum of the unpacked entries.
    ratio
        Greatest ratio of an entry's size to its compressed size, if it has more than 1 MiB.
    """

    unpacked_bytes: int = 2 << 30
    ratio: int = 100


class Archive:
    """A zip archive whose list of entries has been checked; see `open_archive`."""

    def __init__(self, archive: zipfile.ZipFile, label: str, limits: ArchiveLimits) -> None:
        self._archive = archive
        self._label = label
        self._limits = limits
        self._unpacked = 0
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        if len(self._entries) != len(archive.infolist()):
            raise self._refused("holds the same name twice")
        for entry in archive.infolist():
            self._check(entry)

    @property
    def names(self) -> list[str]:
        """Names of the entries, in the archive's order."""
        return list(self._entries)

    def unpack(self, name: str, target: BinaryIO, most: int | None = None) -> None:
        """Write an entry of at most `most` bytes (None: what the archive's limits leave) into an open file.

        Raises
        ------
        PackIntegrityError
            It is absent, broken, or larger than the limits allow.
        OSError
            The target cannot be written.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise self._refused(f"holds no {printable(name)}")
        left = self._limits.unpacked_bytes - self._unpacked
        if entry.file_size > (left if most is None else min(left, most)):
            raise self._refused(f"unpacks {printable(name)} to {entry.file_size} bytes, which is too much")
        if entry.file_size > _CHUNK and entry.file_size > self._limits.ratio * entry.compress_size:
            raise self._refused(f"unpacks {printable(name)} to more than {self._limits.ratio} times its size")
        self._unpacked += entry.file_size
        target.writelines(self._chunks(entry))

    def _chunks(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield an entry's bytes, never more than its stated size; its checksum is verified at the end."""
        try:
            with self._archive.open(entry) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except _BROKEN as error:
            raise _broken(self._label, error) from error

    def _check(self, entry: zipfile.ZipInfo) -> None:
        named = entry.orig_filename
        parts = named.removesuffix("/").split("/")
        if any(part in {"", ".", ".."} or any(sign in part for sign in "\\:\0") for part in parts):
            raise self._refused(f"holds the unsafe path {printable(named)}")
        if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise self._refused(f"holds a link or device, {printable(named)}")
        if entry.flag_bits & 1:
            raise self._refused("is encrypted")
        if entry.compress_type not in _METHODS:
            raise self._refused(f"holds {printable(named)} packed in a way that is not read")

    def _refused(self, what: str) -> PackIntegrityError:
        return PackIntegrityError(f"the archive {self._label} {what}: it is not used; get it from its publisher")


@contextmanager
def open_archive(path: Path, limits: ArchiveLimits | None = None, label: str | None = None) -> Iterator[Archive]:
    """Open a zip archive and check its list of entries; nothing is unpacked.

    `label` names it in messages (None: its file name); None for `limits` means the defaults.

    Raises
    ------
    PackIntegrityError
        It is no zip archive, a partial one, or has what no pack needs: absolute paths, ``..``, backslashes, links,
        encryption, the same name twice, more entries than fit in 1 MiB.
    """
    label = printable(label or path.name)
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(_Bounded(path))))
        except _BROKEN as error:
            raise _broken(label, error) from error
        yield Archive(archive, label, limits or ArchiveLimits())


class _Bounded(io.FileIO):
    """A file that returns at most 1 MiB per read, so that no archive makes `zipfile` read a huge list of entries."""

    def read(self, size: int | None = -1, /) -> bytes:
        position = self.tell()
        remaining = self.seek(0, io.SEEK_END) - position
        self.seek(position)
        wanted = remaining if size is None or size < 0 else size
        if wanted > _CHUNK:
            raise zipfile.BadZipFile(f"{wanted} bytes at once")
        return super().read(wanted) or b""


def _broken(label: str, error: Exception) -> PackIntegrityError:
    reason = printable(str(error)) or type(error).__name__
    return PackIntegrityError(f"the archive {label} is no zip archive, or a partial one ({reason}): download it again")
