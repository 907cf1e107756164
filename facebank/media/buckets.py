"""Photos in buckets of S3 and of Google Cloud Storage, listed and read with fsspec.

Buckets are only read. Credentials are those that s3fs and gcsfs find. Messages do not repeat the text of
these libraries' errors, because it may contain addresses with keys.
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

# Not opened by fsspec.filesystem("gs"), which asks a second service for the kind of the bucket.
_SYSTEMS = {"s3": ("s3fs.core", "S3FileSystem"), "gs": ("gcsfs.core", "GCSFileSystem")}
_LOGGERS = ("fsspec", "s3fs", "gcsfs", "aiobotocore", "botocore", "google.auth")
_VERSION = "?versionId="  # s3fs treats the text after it as a version, and reads another object
_SECOND = 10**9  # nanoseconds
_TRIES = {"s3": 2, "gs": 1}  # gcsfs retries an interrupted read

_systems: dict[tuple[int, str], Any] = {}  # by process and scheme; they must not be used after a fork
_opening_lock = Lock()


class ObjectState(NamedTuple):
    """Size and modification of an object, to detect changes.

    `modified` combines the seconds of the last change with a hash of the ETag in place of nanoseconds: listings and
    objects have times of different precision, and an object can be replaced within a second.
    """

    size: int  # bytes
    modified: int  # nanoseconds since 1970

    @property
    def modified_at(self) -> datetime:
        """Time of the last change, in UTC."""
        return datetime.fromtimestamp(self.modified // _SECOND, UTC)


@dataclass(frozen=True, slots=True)
class BucketContents:
    """The addresses of the objects below a key of a bucket, in the natural order of `facebank.media.FolderContents`."""

    photos: Mapping[str, ObjectState] = field(default_factory=dict)
    videos: tuple[str, ...] = ()
    skipped: tuple[tuple[str, SkippedKind], ...] = ()  # pictures in unsupported formats
    others: frozenset[str] = frozenset()  # all objects other than photos
    is_folder: bool = True  # False if the key is that of one object


def list_bucket(url: str) -> BucketContents:
    """Return the photos, videos and unsupported pictures below a key of a bucket.

    Kinds are recognized by suffix, and states are the listing's: no object is requested. Names with a part that begins
    with a dot, and names that end with a slash or cannot be stored, are omitted. If `url` is the address of an object,
    it is listed as the only photo, whatever its name. Raises `UsageError` (no valid address), `MissingDependencyError`
    (the extra is not installed) or `ServiceError` (the bucket is missing, denied or unreachable).
    """
    address = BucketURL.parse(url)
    system = _file_system(address)
    prefix = f"{address.key}/" if address.key else ""
    with _translate_errors(address, "listed"):
        listing = system.find(address.bucket, prefix=prefix, detail=True, withdirs=False)
    start = f"{address.bucket}/{prefix}"
    states = {name[len(start) :]: _state(info) for name, info in listing.items() if _is_below(name, info, start)}
    if not states and address.key and (state := object_state(str(address))) is not None:
        return BucketContents({str(address): state}, is_folder=False)
    base_url = f"{address.scheme}://{start}"
    photos, videos, others = dict[str, ObjectState](), list[str](), set[str]()
    skipped: list[tuple[str, SkippedKind]] = []
    for name in sorted(states, key=lambda name: natural_order(name.split("/"))):
        kind = None if _is_hidden(name) else kind_by_suffix(PurePosixPath(name.rpartition("/")[2]).suffix.lower())
        if kind is FileKind.PHOTO:
            photos[base_url + name] = states[name]
            continue
        others.add(base_url + name)
        if kind is FileKind.VIDEO:
            videos.append(base_url + name)
        elif kind is not None:
            skipped.append((base_url + name, kind))
    return BucketContents(photos, tuple(videos), tuple(skipped), frozenset(others))


def object_state(url: str) -> ObjectState | None:
    """Return the state of an object, None if it does not exist; raises the errors of `list_bucket`."""
    address = BucketURL.parse(url)
    if not address.key or _VERSION in address.key:
        return None
    system = _file_system(address)
    with _translate_errors(address, "read"):
        try:
            info = system.info(f"{address.bucket}/{address.key}")
        except FileNotFoundError:
            return None
    return _state(info) if info.get("type") == "file" else None


def read_object(url: str, state: ObjectState, limits: PhotoLimits = DEFAULT_LIMITS) -> PhotoFile:
    """Read a photo's object without decoding it, at most `state.size` bytes.

    Raises the errors of `facebank.read_photo`, and those of `list_bucket` if the bucket can no longer be read.
    """
    limits.check_bytes(state.size, url)
    data = _read(BucketURL.parse(url), state.size) if state.size else b""
    return PhotoFile(url, data, state.modified_at)


def read_scanned_photo(path: str) -> DecodedPhoto:
    """Read a photo by its path or address in a scan; raises the errors of `facebank.read_photo` and `read_object`."""
    if not is_bucket_url(path):
        return read_photo(path)
    state = object_state(path)
    if state is None:
        raise _not_found_error(path)
    return decode_photo(read_object(path, state))


def _read(address: BucketURL, size: int) -> bytes:
    if _VERSION in address.key:
        raise UnreadablePhotoError(f"{printable(str(address))} has {_VERSION!r} in its name: give it another one")
    system = _file_system(address)
    for remaining in reversed(range(_TRIES[address.scheme])):
        try:
            data: bytes = system.cat_file(f"{address.bucket}/{address.key}", start=0, end=size)
        except Exception as error:
            problem = _Problem.of(error)
            if problem.fault is not _Fault.UNREACHABLE or not remaining:
                raise _read_error(address, problem) from error
        else:
            return data
    raise AssertionError("the last try returns or raises")


def _read_error(address: BucketURL, problem: _Problem) -> PhotoError | ServiceError:
    """Return the error for an object that cannot be read, or for its bucket if that cannot be read either."""
    if problem.fault is _Fault.MISSING and problem.code != _NO_BUCKET:
        return _not_found_error(str(address))
    if problem.fault in (_Fault.MISSING, _Fault.NO_CREDENTIALS, _Fault.UNREACHABLE):
        return problem.to_error(address, "read")
    advice = "; give the credentials the right to read it"
    if problem.fault is not _Fault.DENIED:
        object_state(str(address))  # raises if the bucket cannot be read
        advice = ", and its bucket can be read: try again later"
    return UnreadablePhotoError(f"{printable(str(address))} cannot be read: {problem.reason}{advice}")


def _not_found_error(url: str) -> PhotoNotFoundError:
    return PhotoNotFoundError(f"there is no photo {printable(url)}; check the address")


def _is_below(name: str, info: Mapping[str, Any], start: str) -> bool:
    below = name[len(start) :]
    is_named = name.startswith(start) and bool(below) and not below.endswith("/")
    return is_named and info.get("type") == "file" and is_storable(below)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _state(info: Mapping[str, Any]) -> ObjectState:
    """Return the state in a listing's entry or an object's headers, which differ in their keys."""
    modified_at = next((info[key] for key in ("LastModified", "mtime", "updated") if info.get(key)), None)
    if isinstance(modified_at, str):
        try:
            modified_at = datetime.fromisoformat(modified_at)
        except ValueError:
            modified_at = None
    seconds = int(modified_at.timestamp()) if isinstance(modified_at, datetime) else 0
    etag = next((str(info[key]) for key in ("ETag", "generation", "etag") if info.get(key)), "").strip('"')
    fraction = int.from_bytes(blake2b(etag.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % _SECOND
    return ObjectState(int(info["size"]), seconds * _SECOND + fraction)


def _file_system(address: BucketURL) -> Any:
    """Return the file system for the buckets of a service, opened once in a process."""
    key = (os.getpid(), address.scheme)
    with _opening_lock:
        if key not in _systems:
            _systems[key] = _open_file_system(address)
        return _systems[key]


def _open_file_system(address: BucketURL) -> Any:
    module, name = _SYSTEMS[address.scheme]
    try:
        system_class = getattr(importlib.import_module(module), name)
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise MissingDependencyError(
            f"photos of {address.scheme}:// need the extra 'buckets': python -m pip install 'facebank[buckets]'"
        ) from error
    import logging

    for library in _LOGGERS:  # these libraries would write tracebacks to standard error
        logger = logging.getLogger(library)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    options: dict[str, object] = {"use_listings_cache": False, "skip_instance_cache": True}
    if address.scheme == "gs":
        options["access"] = "read_only"
        if os.environ.get("STORAGE_EMULATOR_HOST"):
            options["token"] = "anon"  # noqa: S105 - emulators have no accounts
    with _translate_errors(address, "read"):
        system = system_class(**options)
    if address.scheme == "s3":
        system.retries = 1  # botocore tries five times
    return system


class _Fault(Enum):
    MISSING = auto()
    DENIED = auto()
    NO_CREDENTIALS = auto()
    UNREACHABLE = auto()
    OTHER = auto()


_NO_BUCKET = "NoSuchBucket"
# Names of exceptions and their bases, and codes of the services; the first match counts.
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
    """The cause of a library's exception."""

    fault: _Fault
    code: str  # the service's, or the name of the library's exception

    @classmethod
    def of(cls, error: BaseException) -> _Problem:
        """Return the problem for an exception, by its types and codes; its text is not used."""
        names, code = set[str](), ""
        cause: BaseException | None = error
        while cause is not None and len(names) < 100:
            names.update(kind.__name__ for kind in type(cause).__mro__)
            code = code or _code(cause)
            cause = cause.__cause__
        if code:
            names.add(code)
        fault = next((fault for fault, known_names in _FAULTS if not names.isdisjoint(known_names)), _Fault.OTHER)
        return cls(fault, code or type(error).__name__)

    @property
    def reason(self) -> str:
        """The problem in a few words, with the code."""
        return f"{'access is denied' if self.fault is _Fault.DENIED else 'the service fails'} ({printable(self.code)})"

    def to_error(self, address: BucketURL, participle: str) -> ServiceError:
        """Return the error for a bucket, with advice; `participle` is what it cannot be, such as ``read``."""
        label = printable(str(address))
        if self.fault is _Fault.MISSING:
            return ServiceError(f"there is no bucket {address.root}: check its name, the service and the account")
        if self.fault is _Fault.NO_CREDENTIALS:
            tool, variable = (
                ("aws", "AWS_PROFILE") if address.scheme == "s3" else ("gcloud", "GOOGLE_APPLICATION_CREDENTIALS")
            )
            return ServiceError(
                f"{label} cannot be {participle}: there are no credentials for it, or they are refused "
                f"({printable(self.code)}); set them up as for the command '{tool}', for example with {variable}"
            )
        if self.fault is _Fault.UNREACHABLE:
            variable = "AWS_ENDPOINT_URL" if address.scheme == "s3" else "STORAGE_EMULATOR_HOST"
            return ServiceError(
                f"{label} cannot be reached ({printable(self.code)}): check the network, and {variable} if it is set; "
                "the photos scanned so far are kept, and the next scan continues"
            )
        advice = "give the credentials the right to list the bucket and to read its objects"
        if self.fault is not _Fault.DENIED:
            advice = "check the bucket's region and the service's state, and try again"
        return ServiceError(f"{label} cannot be {participle}: {self.reason}; {advice}")


def _code(error: BaseException) -> str:
    """Return the error code of a service; empty if there is none."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "code", None)
    if code is None and isinstance(error, OSError) and str(error).startswith("Forbidden"):  # of gcsfs
        code = 403
    return "" if code is None else str(code)[:40]


@contextmanager
def _translate_errors(address: BucketURL, participle: str) -> Iterator[None]:
    """Translate a library's exceptions to `ServiceError`; `participle` is as for `_Problem.to_error`."""
    try:
        yield
    except Exception as error:
        raise _Problem.of(error).to_error(address, participle) from error
