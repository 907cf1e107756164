"""Keys of a service: names, roles and hashes in a file beside the gallery; a key is shown only when it is created."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import ServiceError, UsageError
from facebank.storage.files import read_reason, write_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "facebank_"
_RANDOM_BYTES = 32
_MAX_FILE_BYTES = 1 << 20
_MAX_NAME_LENGTH = 100
_MAX_TOKEN_BYTES = 1_000
_MIN_TOKEN_LENGTH = 20


class Role(IntEnum):
    """The roles of keys; each includes the rights of those before."""

    READ = 1
    """Identify people, list people and photos."""
    TEACH = 2
    """Enroll, correct, name, rename and merge."""
    ADMIN = 3
    """Forget, change settings, scan folders of the machine."""

    @classmethod
    def from_name(cls, name: str) -> Role:
        """Return the role with a lowercase name; raises `UsageError` if there is none."""
        try:
            return cls[name.upper()]
        except KeyError as error:
            roles = ", ".join(role.name.lower() for role in cls)
            raise UsageError(f"unknown role {printable(name)!r}: use one of {roles}") from error


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored."""

    name: str  # chosen by the administrator
    role: str  # lowercase name of a `Role`
    hash: str  # SHA-256 of the key; its 256 random bits make a slow hash unnecessary
    created_at: str  # time in ISO 8601


class KeyFile:
    """The keys of a service, reread when the file changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signature: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    @classmethod
    def of_gallery(cls, gallery: Path) -> KeyFile:
        """Return the keys of the service of a gallery, ``NAME.facebank.keys``."""
        return cls(gallery.with_name(f"{gallery.name}.keys"))

    def keys(self) -> tuple[Key, ...]:
        """Return all keys; raises `ServiceError` for an invalid file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._signature, self._keys = None, ()
            return self._keys
        except OSError as error:
            raise ServiceError(
                f"the keys in {printable(str(self.path))} cannot be read ({read_reason(error)}): check the file's "
                "permissions"
            ) from error
        signature = status.st_mtime_ns, status.st_size, status.st_ino
        if signature != self._signature:
            self._keys = self._read(status.st_size)
            self._signature = signature
        return self._keys

    def owner_of(self, token: str) -> tuple[str, Role] | None:
        """Return the name and role of a key, or None if it is not valid."""
        digest, owner = _hash(token), None
        for key in self.keys():  # all of them, for constant time
            if hmac.compare_digest(key.hash, digest):
                owner = key.name, Role.from_name(key.role)
        return owner

    def add(self, name: str, role: Role) -> str:
        """Create a key and return it; only its hash is stored, so that it cannot be shown again.

        Raises
        ------
        UsageError
            The name is invalid, or a key has it already.
        ServiceError
            The file is invalid.
        StorageError
            The file cannot be written.
        """
        if not name.strip() or len(name) > _MAX_NAME_LENGTH or not name.isprintable():
            raise UsageError(f"a key's name must have 1 to {_MAX_NAME_LENGTH} printable characters")
        if any(key.name == name for key in self.keys()):
            raise UsageError(f"a key {printable(name)!r} exists already: revoke it first, or choose another name")
        token = new_token()
        key = Key(name, role.name.lower(), _hash(token), datetime.now(UTC).isoformat(timespec="seconds"))
        self._write([*self.keys(), key])
        return token

    def revoke(self, name: str) -> None:
        """Revoke a key immediately; raises `UsageError` if there is none with the name."""
        remaining = [key for key in self.keys() if key.name != name]
        if len(remaining) == len(self.keys()):
            raise UsageError(f"there is no key {printable(name)!r}: 'facebank serve keys list' lists the keys")
        self._write(remaining)

    def _write(self, keys: Sequence[Key]) -> None:
        content = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1)
        write_file(self.path, content.encode(), advice="choose another path for the gallery with --gallery")

    def _read(self, size: int) -> tuple[Key, ...]:
        try:
            stored = json.loads(self.path.read_bytes() if size <= _MAX_FILE_BYTES else b"")["keys"]
            keys = tuple(Key(**{name: str(record[name]) for name in Key.__slots__}) for record in stored)
            for key in keys:
                Role.from_name(key.role)
        except (OSError, ValueError, TypeError, KeyError, UsageError, RecursionError) as error:
            raise ServiceError(
                f"{printable(str(self.path))} is not a key file: move it away, and create new keys"
            ) from error
        return keys


def new_token() -> str:
    """Return a new random key."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def read_token_file(path: Path) -> str | None:
    """Return the key on the only line of a file; None if there is no file, raises `ServiceError` without a key."""
    try:
        with path.open("rb") as stream:
            token = stream.read(_MAX_TOKEN_BYTES + 1).decode().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ServiceError(f"{printable(str(path))} cannot be read: name a file with a key on one line") from error
    if not _MIN_TOKEN_LENGTH <= len(token) <= _MAX_TOKEN_BYTES or not token.isprintable() or " " in token:
        raise ServiceError(
            f"{printable(str(path))} has no key: a key is one line of at least {_MIN_TOKEN_LENGTH} characters without "
            "spaces; name a new file to create a key"
        )
    return token


def create_token_file(path: Path) -> str:
    """Write a new key to a file, and return it; raises `StorageError` if the file cannot be written."""
    token = new_token()
    write_file(path, f"{token}\n".encode(), advice="name a file that can be written with --token-file")
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
