"""Folders that are held open, so that no link that somebody puts into a path meanwhile leads out of them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader, BufferedWriter
    from typing import Self

_BY_HANDLE = {os.open, os.stat, os.mkdir, os.unlink, os.rmdir, os.link, os.rename} <= os.supports_dir_fd
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0) | os.O_RDONLY
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for its other end
_BINARY = getattr(os, "O_BINARY", 0)

NOT_THERE = frozenset((errno.ENOENT, errno.ENAMETOOLONG))
"""Errors of looking for a file that say that there is none: no file has a name that is too long."""


class OpenFolder:
    """A folder that is held open. Use `open` or `folder`, and ``with`` to let go of it.

    Every name is looked up in the folder itself and no link is followed, whatever became of the folder's path since.
    Where the system knows no handles of folders (Windows), each name is looked at before it is used.

    Parameters
    ----------
    path
        Where it is, or was when it was opened.
    handle
        Its descriptor; None where there are none.
    """

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a folder by a path that somebody named: links are followed.

        Raises
        ------
        OSError
            There is none, or it may not be opened.
        """
        if _BY_HANDLE:
            return cls(path, os.open(path, _FOLDER))
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return cls(path, None)

    def close(self) -> None:
        """Let go of it; a second time does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def folder(self, name: str, *, create: bool = False) -> OpenFolder:
        """Open a folder in it, made where missing if `create` says so.

        Raises
        ------
        OSError
            There is none; it is a link or no folder.
        """
        at, handle = self._at(name)
        if create:
            with suppress(FileExistsError):
                os.mkdir(at, dir_fd=handle)
        status = os.stat(at, dir_fd=handle, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is a link, or no folder", str(self.path / name))
        opened = os.open(at, _FOLDER | _NO_LINK, dir_fd=handle) if handle is not None else None
        return OpenFolder(self.path / name, opened)

    def stat(self, name: str) -> os.stat_result | None:
        """Return what is known about a file or a link of a name, not of what it leads to; None where there is none."""
        at, handle = self._at(name)
        try:
            return os.stat(at, dir_fd=handle, follow_symlinks=False)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise

    def is_same_folder(self, other: OpenFolder) -> bool:
        """Return whether another path leads to the very same folder."""
        one, two = (
            os.stat(each.path if each._handle is None else each._handle)  # noqa: PTH116 - by its descriptor
            for each in (self, other)
        )
        return os.path.samestat(one, two)

    def read(self, name: str) -> BufferedReader:
        """Open a regular file for reading.

        Raises
        ------
        OSError
            There is none; it is a link, a pipe, a device or a folder.
        """
        at, handle = self._at(name)
        _require_file(os.stat(at, dir_fd=handle, follow_symlinks=False), self.path / name)
        file = os.fdopen(os.open(at, os.O_RDONLY | _NO_LINK | _NO_WAITING | _BINARY, dir_fd=handle), "rb")
        try:
            _require_file(os.fstat(file.fileno()), self.path / name)
        except BaseException:
            file.close()
            raise
        return file

    def create(self, name: str, mode: int = 0o600) -> BufferedWriter:
        """Make a file that is not there yet, and open it for writing."""
        at, handle = self._at(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
        return os.fdopen(os.open(at, flags, mode, dir_fd=handle), "wb")

    def link(self, name: str, target: OpenFolder, target_name: str) -> None:
        """Give a file another name, over nothing."""
        at, handle = self._at(name)
        to, target_handle = target._at(target_name)
        follow = {"follow_symlinks": False} if os.link in os.supports_follow_symlinks else {}
        os.link(at, to, src_dir_fd=handle, dst_dir_fd=target_handle, **follow)

    def rename(self, name: str, target_name: str) -> None:
        """Give a file another name in this folder; what had that name is gone."""
        at, handle = self._at(name)
        to, _ = self._at(target_name)
        os.replace(at, to, src_dir_fd=handle, dst_dir_fd=handle)

    def remove(self, name: str) -> None:
        """Remove a file, or a link."""
        at, handle = self._at(name)
        os.unlink(at, dir_fd=handle)

    def _at(self, name: str) -> tuple[str, int | None]:
        if name in {"", ".", ".."} or os.path.basename(name) != name or "\0" in name:  # noqa: PTH119
            raise OSError(errno.EINVAL, "no name of a file in a folder", name)
        return (name, self._handle) if self._handle is not None else (str(self.path / name), None)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for a file: a folder that is held open, and a name in it."""

    folder: OpenFolder
    name: str

    @property
    def path(self) -> Path:
        """Where it is, to be shown."""
        return self.folder.path / self.name

    @property
    def is_taken(self) -> bool:
        """Whether anything has the name, a link without a target included."""
        return self.folder.stat(self.name) is not None

    def is_same_place(self, other: Spot) -> bool:
        """Return whether what is removed at one place is gone at the other: two hard links are two places."""
        if self.folder.is_same_folder(other.folder) and self.name.casefold() == other.name.casefold():
            return True
        one, two = self.folder.stat(self.name), other.folder.stat(other.name)
        return one is not None and two is not None and os.path.samestat(one, two) and one.st_nlink <= 1

    def read(self) -> BufferedReader:
        """Open it as `OpenFolder.read` does."""
        return self.folder.read(self.name)

    def remove(self) -> None:
        """Remove the file."""
        self.folder.remove(self.name)


@contextmanager
def spot_within(root: Path, path: Path, *, create: bool = False) -> Iterator[Spot]:
    """Open the place of a file within a folder that somebody named.

    Parameters
    ----------
    root
        The folder; links on the way to it are followed.
    path
        The file, which need not be there. Links between the two are followed only where they stay inside.
    create
        Whether folders that are missing are made, the first included.

    Raises
    ------
    OSError
        The place lies outside, or a folder on the way cannot be opened.
    """
    real_root = Path(os.path.realpath(root))
    try:
        within = Path(os.path.realpath(path.parent)).relative_to(real_root)
    except ValueError:
        raise OSError(errno.ELOOP, f"a link on the way to it leads out of {printable(str(root))}", str(path)) from None
    if create:
        real_root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        folder = opened.enter_context(OpenFolder.open(real_root))
        for name in within.parts:
            folder = opened.enter_context(folder.folder(name, create=create))
        yield Spot(folder, path.name)


def _require_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a link, or no regular file", str(path))
