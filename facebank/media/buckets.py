"""Photos in buckets of S3 and of Google Cloud Storage, listed and read with fsspec.

Nothing is ever written. Credentials are those that s3fs and gcsfs find by themselves, and what these libraries say is
not repeated in messages, because it may hold addresses with keys.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from hashlib import blake2b
from pathlib import PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from facebank.errors import (
    MissingDependencyError,
    PhotoError,
    PhotoNotFoundError,
    ServiceError,
    UnreadablePhotoError,
    was_interrupted,
)
from facebank.media.finding import FileKind, kind_by_suffix, natural_order
from facebank.media.reading import DEFAULT_LIMITS, PhotoFile, PhotoLimits, decode_photo, read_photo
from facebank.storage.bucket_urls import BucketURL, is_bucket_url, is_storable
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.media.formats import SkippedKind
    from facebank.types import DecodedPhoto

# not by fsspec.filesystem("gs"), which asks a second service what kind of bucket it is
_SYSTEMS = {"s3": ("s3fs.core", "S3FileSystem"), "gs": ("gcsfs.core", "GCSFileSystem")}
_LOGGERS = ("fsspec", "s3fs", "gcsfs", "aiobotocore", "botocore", "google.auth")
_VERSION = "?versionId="  # s3fs takes what follows in a name for a version, and reads another object
_SECOND = 10**9  # nanoseconds
_TRIES = {"s3": 2, "gs": 1}  # gcsfs itself reads again what broke off

_systems: dict[tuple[int, str], Any] = {}  # by process, as they must not be used after a fork
_opening = Lock()


class ObjectState(NamedTuple):
    """How an object is recognized as unchanged.

    `modified` has the seconds of its last change, and a hash of its ETag in place of nanoseconds: a listing and an
    object state times with different precision, and an object can be replaced within a second.
    """

    size: int  # bytes
    modified: int  # nanoseconds since 1970

    @property
    def modified_at(self) -> datetime:
        """When the object was last changed, in UTC."""
        return datetime.fromtimestamp(self.modified // _SECOND, UTC)


@dataclass(frozen=True, slots=True)
class BucketContents:
    """The objects below a key of a bucket, by their addresses, or the only one of that name."""

    # in natural order, as of `facebank.media.FolderContents`
    photos: Mapping[str, ObjectState] = field(default_factory=dict)
    videos: tuple[str, ...] = ()
    skipped: tuple[tuple[str, SkippedKind], ...] = ()
    others: frozenset[str] = frozenset()
    is_folder: bool = True


def look_through_bucket(url: str) -> BucketContents:
    """List the photos, videos and unsupported pictures below a key of a bucket.

    They are recognized by suffix, and states are the listing's, so that no object is asked for. Names with a part that
    begins with a dot, and names that end with a slash or cannot be stored, are omitted. An object that is named itself
    is listed as the only photo, whatever its name. Raises `UsageError` (no valid address), `MissingDependencyError`
    (the extra is not installed) or `ServiceError` (the bucket is missing, denied or unreachable).
    """
    place = BucketURL.parse(url)
    system = _file_system(place)
    prefix = f"{place.key}/" if place.key else ""
    with _explained(place, "listed"):
        found = system.find(place.bucket, prefix=prefix, detail=True, withdirs=False)
    begins = f"{place.bucket}/{prefix}"
    names = {name[len(begins) :]: _state(info) for name, info in found.items() if _is_below(name, info, begins)}
    if not names and place.key and (state := object_state(str(place))) is not None:
        return BucketContents({str(place): state}, is_folder=False)
    above = f"{place.scheme}://{begins}"
    photos, videos, others = dict[str, ObjectState](), list[str](), set[str]()
    skipped: list[tuple[str, SkippedKind]] = []
    for name in sorted(names, key=lambda name: natural_order(name.split("/"))):
        kind = None if _is_hidden(name) else kind_by_suffix(PurePosixPath(name.rpartition("/")[2]).suffix.lower())
        if kind is FileKind.PHOTO:
            photos[above + name] = names[name]
            continue
        others.add(above + name)
        if kind is FileKind.VIDEO:
            videos.append(above + name)
        elif kind is not None:
            skipped.append((above + name, kind))
    return BucketContents(photos, tuple(videos), tuple(skipped), frozenset(others))


def object_state(url: str) -> ObjectState | None:
    """Return the state of an object, None if there is none of this name; raises as `look_through_bucket`."""
    place = BucketURL.parse(url)
    if not place.key or _VERSION in place.key:
        return None
    system = _file_system(place)
    with _explained(place, "read"):
        try:
            info = system.info(f"{place.bucket}/{place.key}")
        except FileNotFoundError:
            return None
    return _state(info) if info.get("type") == "file" else None


def read_object(url: str, state: ObjectState, limits: PhotoLimits = DEFAULT_LIMITS) -> PhotoFile:
    """Read a photo's object without decoding it, and never more of it than its state says.

    Raises the errors of `facebank.read_photo`, and those of `look_through_bucket` if the bucket can no longer be read.
    """
    limits.check_bytes(state.size, url)
    data = _read(BucketURL.parse(url), state.size) if state.size else b""
    return PhotoFile(url, data, state.modified_at)


def read_scanned_photo(path: str) -> DecodedPhoto:
    """Read a photo by its path or address in a scan, as `facebank.read_photo` does; raises also as `read_object`."""
    if not is_bucket_url(path):
        return read_photo(path)
    state = object_state(path)
    if state is None:
        raise _not_there(path)
    return decode_photo(read_object(path, state))


def _read(place: BucketURL, size: int) -> bytes:
    if _VERSION in place.key:
        raise UnreadablePhotoError(f"{printable(str(place))} has {_VERSION!r} in its name: give it another one")
    system = _file_system(place)
    for left in reversed(range(_TRIES[place.scheme])):
        try:
            data: bytes = system.cat_file(f"{place.bucket}/{place.key}", start=0, end=size)
        except Exception as error:
            problem = _Problem.of(error)
            if problem.fault is not _Fault.UNREACHABLE or not left:
                raise _not_read(place, problem) from error
        else:
            return data
    raise AssertionError("the last try returns or raises")


def _not_read(place: BucketURL, problem: _Problem) -> PhotoError | ServiceError:
    """Return the error of one object that cannot be read; that of its bucket if no other can be read either."""
    if problem.fault is _Fault.MISSING and problem.code != _NO_BUCKET:
        return _not_there(str(place))
    if problem.fault in (_Fault.MISSING, _Fault.NO_CREDENTIALS, _Fault.UNREACHABLE):
        return problem.explained(place, "read")
    advice = "; give the credentials the right to read it"
    if problem.fault is not _Fault.DENIED:
        object_state(str(place))  # raises if the bucket cannot be read
        advice = ", and its bucket can be read: try again later"
    return UnreadablePhotoError(f"{printable(str(place))} cannot be read: {problem.reason}{advice}")


def _not_there(url: str) -> PhotoNotFoundError:
    return PhotoNotFoundError(f"there is no photo {printable(url)}; check the address")


def _is_below(name: str, info: Mapping[str, Any], begins: str) -> bool:
    below = name[len(begins) :]
    is_named = name.startswith(begins) and bool(below) and not below.endswith("/")
    return is_named and info.get("type") == "file" and is_storable(below)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _state(info: Mapping[str, Any]) -> ObjectState:
    """Return the state in a listing's entry or an object's headers; the two say the same in different words."""
    when = next((info[key] for key in ("LastModified", "mtime", "updated") if info.get(key)), None)
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            when = None
    seconds = int(when.timestamp()) if isinstance(when, datetime) else 0
    content = next((str(info[key]) for key in ("ETag", "generation", "etag") if info.get(key)), "").strip('"')
    fraction = int.from_bytes(blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % _SECOND
    return ObjectState(int(info["size"]), seconds * _SECOND + fraction)


def _file_system(place: BucketURL) -> Any:
    """Return what reads buckets of a kind, opened once in a process."""
    key = (os.getpid(), place.scheme)
    with _opening:
        if key not in _systems:
            _systems[key] = _opened(place)
        return _systems[key]


def _opened(place: BucketURL) -> Any:
    module, name = _SYSTEMS[place.scheme]
    try:
        system_class = getattr(importlib.import_module(module), name)
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise MissingDependencyError(
            f"photos of {place.scheme}:// need the extra 'buckets': python -m pip install 'facebank[buckets]'"
        ) from error
    import logging

    for library in _LOGGERS:  # they would write tracebacks to standard error
        logger = logging.getLogger(library)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    options: dict[str, object] = {"use_listings_cache": False, "skip_instance_cache": True}
    if place.scheme == "gs":
        options["access"] = "read_only"
        if os.environ.get("STORAGE_EMULATOR_HOST"):
            options["token"] = "anon"  # noqa: S105 - emulators know no accounts
    with _explained(place, "read"):
        system = system_class(**options)
    if place.scheme == "s3":
        system.retries = 1  # botocore itself tries five times
    return system


class _Fault(Enum):
    MISSING = auto()
    DENIED = auto()
    NO_CREDENTIALS = auto()
    UNREACHABLE = auto()
    OTHER = auto()


_NO_BUCKET = "NoSuchBucket"
# Names of exceptions and their bases, and codes of the services; the first line that fits counts.
_FAULTS = (
    (_Fault.MISSING, {"FileNotFoundError", _NO_BUCKET}),
    (
        _Fault.UNREACHABLE,
        {
            *("ConnectionError", "TimeoutError", "HTTPClientError", "ClientConnectionError", "ClientPayloadError"),
            *("IncompleteRead", "IncompleteReadError", "TransportError", "ProxyError"),
        },
    ),
    (
        _Fault.NO_CREDENTIALS,
        {
            *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
            *("SSOError", "ProfileNotFound", "ConfigParseError", "InvalidConfigError", "GoogleAuthError", "401"),
            *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken"),
            *("InvalidSecurity", "InvalidClientTokenId", "TokenRefreshRequired", "RequestTimeTooSkewed"),
        },
    ),
    (_Fault.DENIED, {"AccessDenied", "AllAccessDisabled", "AccountProblem", "PermissionError", "403"}),
)


class _Problem(NamedTuple):
    fault: _Fault
    code: str  # the service's, or the name of the library's exception

    @classmethod
    def of(cls, error: BaseException) -> _Problem:
        """Return what an exception of a library means; its text is not used."""
        names, code = set[str](), ""
        seen: BaseException | None = error
        while seen is not None and len(names) < 100:
            names.update(kind.__name__ for kind in type(seen).__mro__)
            code = code or _code(seen)
            seen = seen.__cause__
        if code:
            names.add(code)
        shown = code or type(error).__name__
        return cls(next((fault for fault, some in _FAULTS if not names.isdisjoint(some)), _Fault.OTHER), shown)

    @property
    def reason(self) -> str:
        """What it is in a few words, with the code."""
        return f"{'access is denied' if self.fault is _Fault.DENIED else 'the service fails'} ({printable(self.code)})"

    def explained(self, place: BucketURL, done: str) -> ServiceError:
        """Return the error that says what is wrong with a bucket that cannot be listed or read, and what to do."""
        name = printable(str(place))
        if self.fault is _Fault.MISSING:
            return ServiceError(
                f"there is no bucket {place.root}: check its name, and which service and account are asked"
            )
        if self.fault is _Fault.NO_CREDENTIALS:
            tool, variable = (
                ("aws", "AWS_PROFILE") if place.scheme == "s3" else ("gcloud", "GOOGLE_APPLICATION_CREDENTIALS")
            )
            return ServiceError(
                f"{name} cannot be {done}: there are no credentials for it, or they are refused "
                f"({printable(self.code)}); set them up as for the command '{tool}', for example with {variable}"
            )
        if self.fault is _Fault.UNREACHABLE:
            variable = "AWS_ENDPOINT_URL" if place.scheme == "s3" else "STORAGE_EMULATOR_HOST"
            return ServiceError(
                f"{name} cannot be reached ({printable(self.code)}): check the network, and {variable} if it is set; "
                "what is known of its photos is kept, and the next scan continues"
            )
        advice = "give the credentials the right to list the bucket and to read its objects"
        if self.fault is not _Fault.DENIED:
            advice = "check the bucket's region and the service's state, and try again"
        return ServiceError(f"{name} cannot be {done}: {self.reason}; {advice}")


def _code(error: BaseException) -> str:
    """Return the code that a service gave, empty if it gave none."""
    response = getattr(error, "response", None)
    stated = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "code", None)
    if stated is None and isinstance(error, OSError) and str(error).startswith("Forbidden"):  # of gcsfs
        stated = 403
    return "" if stated is None else str(stated)[:40]


@contextmanager
def _explained(place: BucketURL, done: str) -> Iterator[None]:
    """Turn what a library raises into `ServiceError`; `done` is what cannot be done."""
    try:
        yield
    except Exception as error:
        raise _Problem.of(error).explained(place, done) from error
