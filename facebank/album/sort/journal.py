"""The journal of a sort: JSON lines in the target folder that record the source and target of each file.

Each line carries an HMAC-SHA256 of itself and the line before it. The key exists only in the user's gallery: nobody
else can write, alter, remove or reorder lines, or copy them from another journal. A truncated journal is still correct,
only shorter.

The first line names the target folder. Each run adds the sorted folder, a line for each file before the file is
transferred, and a line at its end. Older versions wrote only the files' lines, unsigned.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.entries import Entry, is_valid_path, parse_entry, require_visible
from facebank.errors import StorageError
from facebank.storage.concurrency import is_at, try_flock
from facebank.storage.files import read_reason, write_file, write_reason
from facebank.storage.text import printable, shell_command
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facebank.gallery import Gallery

JOURNAL = ".facebank-sort.jsonl"
_KEY_SETTING = "sort_journal_key"
_VERSION = 2
_KEY_BYTES = 32
_MAX_BYTES = 1 << 28
_MAX_UNSIGNED_BYTES = 1 << 26
_MAX_LINE_BYTES = 1 << 18
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_Line = dict[str, object]
_SEED = b"facebank sort journal 2"


def journal_key(gallery: Gallery) -> bytes | None:
    """Return the key (32 bytes) with which a gallery signs journals; None if it has none."""
    return _parse_key(gallery.read_setting(_KEY_SETTING))


def ensure_journal_key(gallery: Gallery) -> bytes:
    """Return the key (32 bytes) with which a gallery signs journals, created if missing.

    Raises `StorageError` if the stored key is invalid.
    """
    key = _parse_key(gallery.keep_setting(_KEY_SETTING, secrets.token_hex(_KEY_BYTES)))
    if key is None:
        raise StorageError(
            f"the gallery {printable(str(gallery.path))} is damaged: its key for sort journals is invalid; restore a "
            "backup of the gallery"
        )
    return key


def _parse_key(setting: object) -> bytes | None:
    with suppress(ValueError, TypeError):
        key = bytes.fromhex(str(setting)) if isinstance(setting, str) else b""
        return key if len(key) == _KEY_BYTES else None
    return None


@dataclass(frozen=True, slots=True)
class JournalContent:
    """The content of a journal."""

    out: Path  # holds the people's folders, absolute
    entries: tuple[Entry, ...] = ()  # in the order of the file
    folders: tuple[Path, ...] = ()  # the sorted folder of each entry, absolute
    untrusted_reason: str | None = None  # reason why the journal is not trusted; None if it is
    refused: tuple[tuple[str, str], ...] = ()  # invalid entries, each with the reason
    is_signed: bool = False  # whether the gallery signed it
    unfinished: int = 0  # number of last entries that may be half done because the program was killed
    # targets that facebank has rewritten since, each with its SHA-256 in hex
    rewritten: frozenset[tuple[str, str]] = frozenset()
    exists: bool = True  # whether the journal exists
    length: int = 0  # bytes of its complete lines

    def require_trust(self) -> None:
        """Raise `StorageError` if somebody else may have written the journal."""
        if self.untrusted_reason is not None:
            raise StorageError(self.untrusted_reason)
        if self.refused:
            line, reason = self.refused[0]
            raise StorageError(
                f"{_journal_name(self.out)} is not valid: {line}: {reason}; nothing was done. Look at it with "
                f"`{shell_command('sort', self.out, '--undo', '--dry-run')}`"
            )


def read_journal(out: Path, key: bytes | None, trusted_folder: Path | None = None) -> JournalContent:
    """Return the content of the journal of a folder.

    Raises `StorageError` if the journal is damaged or cannot be read.

    Parameters
    ----------
    out
        The folder that holds the people's folders, absolute.
    key
        The gallery's key; None if it has none.
    trusted_folder
        The sorted folder, absolute, if the user vouches for a journal that the gallery did not sign; all of its entries
        must come from that folder.
    """
    path = out / JOURNAL
    try:
        with _storage_errors(path, "read"):
            handle = os.open(path, os.O_RDONLY | _FLAGS)
            try:
                lines, length = _read(handle, path)
            finally:
                os.close(handle)
    except FileNotFoundError:
        return JournalContent(out, exists=False)
    if not lines:
        return JournalContent(out, is_signed=True)
    is_signed = trusted_folder is None and key is not None and _is_signed(lines, key)
    return replace(_read_signed(out, lines) if is_signed else _read_unsigned(out, lines, trusted_folder), length=length)


class SortJournal:
    """A journal that is open for writing. Use `open`, and ``with`` to record the end of the run and close it."""

    def __init__(self, path: Path, handle: int, key: bytes, last: bytes) -> None:
        self._path = path
        self._handle = handle
        self._key = key
        self._last = last  # the signature of the last line

    @classmethod
    def open(cls, out: Path, folder: Path | None, key: bytes) -> SortJournal:
        """Open the journal of a folder, created if missing, and lock it against other processes.

        Raises `StorageError` if the journal cannot be written, or the gallery did not sign it.

        Parameters
        ----------
        out
            The folder that holds the people's folders, absolute.
        folder
            The folder to sort, absolute; None if nothing is sorted.
        key
            The gallery's key.
        """
        path = out / JOURNAL
        with _storage_errors(path):
            out.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            with _storage_errors(path):
                _lock(handle, path)
                if hasattr(os, "fchmod"):
                    os.fchmod(handle, 0o600)  # older versions made it world-readable
                lines, end = _read(handle, path)
                _require_signed(out, lines, key)
                os.ftruncate(handle, end)  # an incomplete last line was written before its file was transferred
                os.lseek(handle, end, os.SEEK_SET)
            journal = cls(path, handle, key, bytes.fromhex(str(lines[-1]["mac"])) if lines else _SEED)
            header: list[_Line] = [] if lines else [_header(out)]
            if folder is not None:
                header.append({"sorting": str(folder)})
            journal._append(header)
        except BaseException:
            os.close(handle)
            raise
        return journal

    def write(self, entries: Sequence[Entry]) -> None:
        """Record a photo and its sidecars durably.

        Raises `StorageError` if they cannot be recorded; then the files must not be transferred.
        """
        self._append([entry.line for entry in entries])

    def note_rewritten(self, target: Path, content_hash: str) -> None:
        """Record that facebank changed a sorted file, with its new SHA-256 in hex; raises `StorageError` as `write`."""
        self._append([{"rewritten": str(target), "content_hash": content_hash}])

    def close(self) -> None:
        """Close the journal without recording that the run has ended."""
        os.close(self._handle)

    def __enter__(self) -> SortJournal:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None or not issubclass(error_type, StorageError):
                self._append([{"done": True}])
        finally:
            self.close()

    def _append(self, contents: Sequence[_Line]) -> None:
        lines, self._last = _signed_lines(self._key, self._last, contents)
        if not lines:
            return
        with _storage_errors(self._path):
            while lines:
                lines = lines[os.write(self._handle, lines) :]
            os.fsync(self._handle)


def adopt_journal(journal: JournalContent, folder: Path, key: bytes) -> None:
    """Replace a journal for which the user vouches with a signed one; raises `StorageError` if an entry is invalid.

    Parameters
    ----------
    journal
        As `read_journal` returns it with `trusted_folder`.
    folder
        The folder that was sorted, absolute.
    key
        The gallery's key.
    """
    journal.require_trust()
    entries_only = [entry.line for entry in journal.entries]
    contents: list[_Line] = [_header(journal.out), {"sorting": str(folder)}, *entries_only, {"done": True}]
    lines, _ = _signed_lines(key, _SEED, contents)
    path = journal.out / JOURNAL
    with _storage_errors(path):
        write_file(path, lines)


@contextmanager
def lock_journal(journal: JournalContent) -> Iterator[None]:
    """Lock a journal, against sorts by other processes, while it is undone.

    Raises `StorageError` if another process is sorting into the folder, or did since the journal was read.
    """
    path = journal.out / JOURNAL
    with _storage_errors(path, "read"):
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _lock(handle, path)
        if _read(handle, path)[1] != journal.length:
            raise _busy_error(path)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    """Lock an open file, where the system supports it; raises `StorageError` if another process has."""
    if try_flock(handle) is False or not is_at(handle, path):  # the file may have been removed before it was locked
        raise _busy_error(path)


def _busy_error(path: Path) -> StorageError:
    return StorageError(
        f"another process is sorting into {printable(str(path.parent))}, or undoing it: wait until it has finished"
    )


def _header(out: Path) -> _Line:
    return {"journal": _VERSION, "id": secrets.token_hex(8), "folder": str(out)}


def _read_signed(out: Path, lines: Sequence[_Line]) -> JournalContent:
    """Return the content of a journal with valid signatures; invalid entries are refused nevertheless."""
    recorded = Path(str(lines[0].get("folder")))
    if os.path.realpath(recorded) != os.path.realpath(out):
        untrusted_reason = (
            f"{_journal_name(out)} is about {printable(str(recorded))}: move the folder back there to undo the sort, "
            "or remove the file"
        )
        return JournalContent(out, untrusted_reason=untrusted_reason)
    entries, folders, refused = list[Entry](), list[Path](), list[tuple[str, str]]()
    rewritten, unfinished = set[tuple[str, str]](), 0
    sorting = list[Path]()
    for line in lines[1:]:
        content = _without_mac(line)
        if "sorting" in content:
            sorting, unfinished = [Path(str(content["sorting"]))], 0
        elif "done" in content:
            unfinished = 0
        elif "rewritten" in content:
            target = out / Path(str(content["rewritten"])).relative_to(recorded)
            rewritten.add((str(target), str(content["content_hash"])))
        else:
            try:
                entry = parse_entry(content, recorded, sorting)
            except InvalidValueError as error:
                refused.append((_describe(content), str(error)))
                continue
            entries.append(_rename(entry, out, recorded))
            folders += sorting
            unfinished = unfinished + 1 if entry.is_sidecar else 1
    return JournalContent(
        out, tuple(entries), tuple(folders), None, tuple(refused), True, unfinished, frozenset(rewritten)
    )


def _read_unsigned(out: Path, lines: Sequence[_Line], trusted_folder: Path | None) -> JournalContent:
    """Return the content of a journal that the gallery did not sign."""
    contents = list(map(_without_mac, lines))
    recorded = Path(str(contents[0].get("folder", out)))
    if not is_valid_path(str(recorded)) or os.path.realpath(recorded) != os.path.realpath(out):
        recorded = out
    entries_only = [content for content in contents if not content.keys() & {"journal", "sorting", "done", "rewritten"}]
    if trusted_folder is None:
        shown = tuple((_describe(content), "it is not signed") for content in entries_only)
        return JournalContent(out, untrusted_reason=_trust_message(out, lines), refused=shown)
    entries, refused = list[Entry](), list[tuple[str, str]]()
    for content in entries_only:
        try:
            entry = parse_entry(content, recorded, [trusted_folder])
            require_visible(entry, trusted_folder)
            entries.append(_rename(entry, out, recorded))
        except InvalidValueError as error:
            refused.append((_describe(content), str(error)))
    return JournalContent(out, tuple(entries), (trusted_folder,) * len(entries), None, tuple(refused))


def _rename(entry: Entry, out: Path, recorded: Path) -> Entry:
    """Return an entry with its target below the folder's current path, which differs if links to it changed."""
    return entry if recorded == out else replace(entry, target=str(out / Path(entry.target).relative_to(recorded)))


def _describe(content: _Line) -> str:
    source, target = (str(content.get(name))[:1000] for name in ("source", "target"))
    return printable(f"{str(content.get('way'))[:10]} of {source} to {target}")


def _trust_message(out: Path, lines: Sequence[_Line]) -> str:
    look = shell_command("sort", out, "--undo", "--dry-run")
    trust = shell_command("sort", "DIR", out, "--trust-journal")
    problem = "was not written with this gallery, or was altered since"
    advice = "name the gallery that wrote it with --gallery, or "
    if "mac" not in lines[0]:
        problem = "is not signed: an older facebank wrote it, or somebody else"
        advice = ""
    return (
        f"{_journal_name(out)} {problem}; nothing was done. Look at it with `{look}`. If it is yours, {advice}trust it "
        f"with `{trust}`, where DIR is the folder that was sorted, and add --undo to undo it; otherwise remove the file"
    )


def _require_signed(out: Path, lines: Sequence[_Line], key: bytes) -> None:
    if lines and not _is_signed(lines, key):
        raise StorageError(_trust_message(out, lines))


def _is_signed(lines: Sequence[_Line], key: bytes) -> bool:
    last = _SEED
    for line in lines:
        last = _signature(key, last, _without_mac(line))
        if not hmac.compare_digest(last.hex().encode(), str(line.get("mac")).encode("utf-8", "replace")):
            return False
    return "journal" in lines[0]


def _without_mac(line: _Line) -> _Line:
    return {name: value for name, value in line.items() if name != "mac"}


def _signed_lines(key: bytes, last: bytes, contents: Sequence[_Line]) -> tuple[bytes, bytes]:
    """Return lines with their signatures, and the last signature."""
    lines = list[str]()
    for content in contents:
        last = _signature(key, last, content)
        lines.append(json.dumps({**content, "mac": last.hex()}) + "\n")
    return "".join(lines).encode("ascii"), last


def _signature(key: bytes, previous: bytes, content: _Line) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key, previous + b"\n" + text.encode("ascii"), "sha256")


def _read(handle: int, path: Path) -> tuple[list[_Line], int]:
    """Return the complete lines of a journal, and the byte offset at which the last of them ends."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
        raise _damage_error(path)
    lines, end = list[_Line](), 0
    with os.fdopen(os.dup(handle), "rb") as file:
        while (line := file.readline(_MAX_LINE_BYTES)).endswith(b"\n"):
            lines.append(_parse(line, path))
            end += len(line)
            if end > _MAX_UNSIGNED_BYTES and "mac" not in lines[0]:
                raise _damage_error(path)
    if len(line) == _MAX_LINE_BYTES:
        raise _damage_error(path)
    return lines, end


def _parse(line: bytes, path: Path) -> _Line:
    try:
        content = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise _damage_error(path) from error
    if not isinstance(content, dict):
        raise _damage_error(path)
    return content


def _damage_error(path: Path) -> StorageError:
    return StorageError(
        f"{printable(str(path))} is damaged: it cannot be used to undo a sort, and nothing was done; move it away to "
        "sort again"
    )


def _journal_name(out: Path) -> str:
    return f"the sort journal {printable(str(out / JOURNAL))}"


@contextmanager
def _storage_errors(path: Path, verb: str = "written") -> Iterator[None]:
    """Translate errors of the file system to `StorageError`, except `FileNotFoundError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "it is a link" if path.is_symlink() else (read_reason if verb == "read" else write_reason)(error)
        raise StorageError(f"{printable(str(path))} cannot be {verb}: {reason}") from error
