"""Access to files within named folders, safe against links that lead outside, even links created meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.storage.bucket_urls import is_bucket_url
from facebank.storage.paths import named_path
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import BufferedReader, BufferedWriter
    from os import DirEntry
    from typing import Self

_BY_HANDLE = {os.open, os.stat, os.mkdir, os.unlink, os.rmdir, os.link, os.rename} <= os.supports_dir_fd
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0) | os.O_RDONLY
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not block
_BINARY = getattr(os, "O_BINARY", 0)

NOT_THERE = frozenset((errno.ENOENT, errno.ENAMETOOLONG))
"""Error numbers for a file that does not exist, or whose name is too long to exist."""

_MAX_SHOWN = 3
_CACHE_SIZE = 1024


class OpenFolder:
    """An open folder. Created by `open` or `folder`, and closed by ``with`` or `close`.

    Names are looked up in the folder itself, wherever its path leads now, and links are not followed. Systems
    without directory handles (Windows) check each name before use. All methods raise `OSError` on failure.
    """

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def open(cls, path: Path, *, follow: bool = True) -> Self:
        """Return an opened folder, following links.

        Without `follow` the path must not be a link.
        """
        if _BY_HANDLE:
            return cls(path, os.open(path, _FOLDER if follow else _FOLDER | _NO_LINK))
        if not path.is_dir() or (path.is_symlink() and not follow):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return cls(path, None)

    def close(self) -> None:
        """Close the handle; no-op if closed."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def folder(self, name: str, *, create: bool = False) -> OpenFolder:
        """Return an open subfolder, created if missing with `create`; raises `OSError` if it is a link or no folder."""
        at, handle = self._at(name)
        if create:
            with suppress(FileExistsError):
                os.mkdir(at, dir_fd=handle)
        status = os.stat(at, dir_fd=handle, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is a link or not a folder", str(self.path / name))
        opened = os.open(at, _FOLDER | _NO_LINK, dir_fd=handle) if handle is not None else None
        return OpenFolder(self.path / name, opened)

    def status(self) -> os.stat_result:
        """Return the status of the folder."""
        return os.stat(self.path if self._handle is None else self._handle)  # noqa: PTH116 - by its descriptor

    def entries(self) -> AbstractContextManager[Iterator[DirEntry[str]]]:
        """Return its entries, as `os.scandir` does; valid while the folder is open."""
        return os.scandir(self.path if self._handle is None else self._handle)

    def stat(self, name: str) -> os.stat_result | None:
        """Return the status of a file or link, without following it; None if absent."""
        at, handle = self._at(name)
        try:
            return os.stat(at, dir_fd=handle, follow_symlinks=False)
        except OSError as error:
            if error.errno in NOT_THERE:
                return None
            raise

    def is_same_folder(self, other: OpenFolder) -> bool:
        """Return whether both are the same folder."""
        return os.path.samestat(self.status(), other.status())

    def read(self, name: str) -> BufferedReader:
        """Return a regular file, open for reading; raises `OSError` for a link, a pipe, a device or a folder."""
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
        """Create a new file, and return it open for writing."""
        at, handle = self._at(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _BINARY
        return os.fdopen(os.open(at, flags, mode, dir_fd=handle), "wb")

    def link(self, name: str, target: OpenFolder, target_name: str) -> None:
        """Create a hard link to a file; fails if the name exists."""
        at, handle = self._at(name)
        to, target_handle = target._at(target_name)
        follow = {"follow_symlinks": False} if os.link in os.supports_follow_symlinks else {}
        os.link(at, to, src_dir_fd=handle, dst_dir_fd=target_handle, **follow)

    def rename(self, name: str, target_name: str) -> None:
        """Rename a file within this folder, replacing an existing one."""
        at, handle = self._at(name)
        to, _ = self._at(target_name)
        os.replace(at, to, src_dir_fd=handle, dst_dir_fd=handle)

    def remove(self, name: str) -> None:
        """Remove a file or a link."""
        at, handle = self._at(name)
        os.unlink(at, dir_fd=handle)

    def _at(self, name: str) -> tuple[str, int | None]:
        if name in {"", ".", ".."} or os.path.basename(name) != name or "\0" in name:  # noqa: PTH119
            raise OSError(errno.EINVAL, "not a file name", name)
        return (name, self._handle) if self._handle is not None else (str(self.path / name), None)


@dataclass(frozen=True, slots=True)
class FileLocation:
    """The location of a file: an open folder and a name in it."""

    folder: OpenFolder
    name: str

    @property
    def path(self) -> Path:
        """The path, for messages."""
        return self.folder.path / self.name

    @property
    def is_taken(self) -> bool:
        """Whether the name exists, including broken links."""
        return self.folder.stat(self.name) is not None

    def is_same_location(self, other: FileLocation) -> bool:
        """Return whether both are the same location; two hard links are not."""
        if self.folder.is_same_folder(other.folder) and self.name.casefold() == other.name.casefold():
            return True
        mine, others = self.folder.stat(self.name), other.folder.stat(other.name)
        return mine is not None and others is not None and os.path.samestat(mine, others) and mine.st_nlink <= 1

    def read(self) -> BufferedReader:
        """Return the open file, as `OpenFolder.read` does."""
        return self.folder.read(self.name)

    def remove(self) -> None:
        """Remove the file."""
        self.folder.remove(self.name)


@contextmanager
def open_location(root: Path, path: Path, *, create: bool = False) -> Iterator[FileLocation]:
    """Open the location of a file, which need not exist, within a named folder.

    Links to the folder are followed; links below it must stay inside. `create` creates missing folders, including
    `root`. Raises `OSError` if the location is outside, or a folder cannot be opened.
    """
    real_root = Path(os.path.realpath(root))
    try:
        within = Path(os.path.realpath(path.parent)).relative_to(real_root)
    except ValueError:
        raise OSError(errno.ELOOP, f"a link in its path leads out of {printable(str(root))}", str(path)) from None
    if create:
        real_root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        folder = opened.enter_context(OpenFolder.open(real_root))
        for name in within.parts:
            folder = opened.enter_context(folder.folder(name, create=create))
        yield FileLocation(folder, path.name)


def _require_file(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a link or not a regular file", str(path))


class NamedFolders:
    """The files and folders named by a user, the only ones where files may be changed.

    A named path that is a link, or is reached by one, stands for its target. A link inside that leads outside is
    excluded. The XMP sidecars of a named photo are included, unless they are links.

    Parameters
    ----------
    paths
        Files and folders, which need not exist. Empty for every path that is not behind a link, except links in the
        top folder: ``/home`` and ``/tmp`` are links on some systems.
    cached
        Whether lookups of folders are cached. Use it for a short time only: a folder may be replaced by a link
        meanwhile.

    Examples
    --------
    >>> NamedFolders(["photos"]).contains("photos/2019/mia.jpg")
    True
    >>> NamedFolders(["photos"]).contains("photos/../notes.txt")
    False
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], *, cached: bool = True) -> None:
        named = [named_path(path) for path in paths]
        self._folders = tuple(_normcase(os.path.realpath(path)) for path in named)
        self._sidecar_paths = frozenset(chain.from_iterable(_sidecars(path) for path in named if not path.is_dir()))
        self._real_folder = lru_cache(_CACHE_SIZE)(os.path.realpath) if cached else os.path.realpath

    def contains(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a path, which need not exist, leads into the named folders; False for a bucket URL."""
        if is_bucket_url(path):
            return False
        real = Path(_normcase(self.real(path)))
        if self._folders:
            return str(real) in self._sidecar_paths or any(real.is_relative_to(folder) for folder in self._folders)
        return real == Path(_normcase(_resolve_top_link(path)))

    @contextmanager
    def open_folder(self, path: str | os.PathLike[str]) -> Iterator[OpenFolder]:
        """Open a folder within the named folders, safe against links created meanwhile.

        Raises `OSError` if it is outside or cannot be opened.
        """
        real = Path(_normcase(self.real(path)))
        root = next((Path(folder) for folder in self._folders if real.is_relative_to(folder)), None)
        if root is None:
            raise OSError(errno.ELOOP, "a link in its path leads out of the named folders", str(path))
        with ExitStack() as opened:
            folder = opened.enter_context(OpenFolder.open(root, follow=False))
            for name in real.relative_to(root).parts:
                folder = opened.enter_context(folder.folder(name))
            yield folder

    @contextmanager
    def open_file(self, path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
        """Open a regular file within the named folders for reading, as safely as `open_folder`."""
        real = self.real(path)
        parent, name = os.path.split(real)
        with ExitStack() as opened:
            if _normcase(real) in self._folders:
                folder = opened.enter_context(OpenFolder.open(Path(parent)))
            else:
                folder = opened.enter_context(self.open_folder(parent))
            yield opened.enter_context(folder.read(name))

    def real(self, path: str | os.PathLike[str]) -> str:
        """Return the path with all links resolved."""
        folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
        joined = os.path.join(self._real_folder(folder), name)  # noqa: PTH118 - a name may be empty
        return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114


def skipped_files_message(paths: Sequence[str], noun: str = "photo", *, as_targets: bool = False) -> str:
    """Return the message for files (a `noun` for each) that were skipped because a link leads out of the named folders.

    With `as_targets`, the files were to be written through the links.
    """
    shown = ", ".join(printable(path) for path in paths[:_MAX_SHOWN])
    more = f" and {len(paths) - _MAX_SHOWN:,} more" if len(paths) > _MAX_SHOWN else ""
    counted = pluralize(len(paths), f"{noun} is", f"{noun}s are")
    them, they = ("it", "it") if len(paths) == 1 else ("them", "they")
    place, advice = f"to {them}", f"name the folder that holds {them}"
    if as_targets:
        place, advice = f"where {they} would be written", "remove the links"
    return f"{counted} skipped, because links lead out of the named folders {place} ({shown}{more}): {advice}"


def _sidecars(path: Path) -> tuple[str, str]:
    folder = os.path.realpath(path.parent)
    return _normcase(str(Path(folder, f"{path.name}.xmp"))), _normcase(str(Path(folder, f"{path.stem}.xmp")))


def _normcase(path: str) -> str:
    return os.path.normcase(path)


def _resolve_top_link(path: str | os.PathLike[str]) -> str:
    """Return an absolute path in which only a link in the top folder is resolved."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
    top, first, *others = absolute.parts if len(absolute.parts) > 1 else (*absolute.parts, "")
    return str(Path(os.path.realpath(Path(top, first)), *others)) if others else str(absolute)
