"""Addresses of buckets, ``s3://BUCKET/KEY`` and ``gs://BUCKET/KEY``: text that never becomes the path of a file."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from facebank.errors import UsageError
from facebank.storage.text import printable

_SCHEMES = ("s3://", "gs://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]", re.ASCII)
_LOST_SLASH = re.compile(r"(?:s3|gs):/[^/]")  # what pathlib makes of an address
_ANY_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_PARTS = re.compile(r"(.*?:/{1,2})(([^/]*).*)", re.DOTALL)  # one slash is left of two where it became a path
_PORT = re.compile(r"[^:]*:\d{1,5}", re.ASCII)
_SIGNED = re.compile(r"(?<=[?&#])([^=&]*(?:sig|token|secret|password|credential|key)[^=&]*=)[^&]+", re.IGNORECASE)


class BucketURL(NamedTuple):
    """The address of a bucket, or of an object or everything below a key in it."""

    scheme: str  # ``s3`` or ``gs``
    bucket: str
    key: str  # without a slash at its end; empty for the whole bucket

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}{'/' if self.key else ''}{self.key}"

    @property
    def root(self) -> str:
        """The bucket's own address."""
        return f"{self.scheme}://{self.bucket}"

    @classmethod
    def parse(cls, text: str) -> BucketURL:
        """Return the parts of an address.

        Raises
        ------
        UsageError
            It is not a valid address of a bucket.

        Examples
        --------
        >>> str(BucketURL.parse("s3://family/photos/"))
        's3://family/photos'
        """
        scheme, _, location = text.partition("://")
        bucket, _, key = location.partition("/")
        if not is_bucket_url(text):
            raise UsageError(f"{_redact(text)} is not the address of a bucket: write it as s3://BUCKET/FOLDER")
        if "@" in bucket or ":" in bucket:
            raise UsageError(
                f"{_redact(text)} holds more than a bucket's name, such as a key or password, which is refused: name "
                f"the bucket alone, as in {scheme}://BUCKET/FOLDER, and put credentials where the 'aws' or 'gcloud' "
                "command finds them"
            )
        if not _BUCKET.fullmatch(bucket):
            raise UsageError(f"{_redact(text)} names no bucket: write it as {scheme}://BUCKET/FOLDER")
        key = key.rstrip("/")
        if not is_storable(key) or any(part in (".", "..") for part in key.split("/")):
            raise UsageError(
                f"{_redact(text)} cannot be read: its name has a part '.' or '..', or invalid characters; rename it"
            )
        return cls(scheme, bucket, key)


def is_bucket_url(path: object) -> bool:
    """Return whether an object is the address of a bucket, valid or not."""
    return isinstance(path, str) and path.startswith(_SCHEMES)


def is_storable(key: str) -> bool:
    """Return whether a scan file can hold an object's name."""
    try:
        return b"\0" not in os.fsencode(key)
    except UnicodeEncodeError:
        return False


def names_bucket(path: object) -> bool:
    """Return whether a path's text is an address of a bucket, or what `pathlib.Path` makes of one."""
    if not isinstance(path, str):
        return False
    return is_bucket_url(path) or (_LOST_SLASH.match(path) is not None and not os.path.lexists(path))


def is_other_address(path: str) -> bool:
    """Return whether a text is an address of another kind, such as ``https://``, and not the path of a file."""
    return _ANY_ADDRESS.match(path) is not None and not is_bucket_url(path) and not os.path.lexists(path)


def bucket_file_message(path: str) -> str:
    """Return the message for an address of a bucket where a file is needed."""
    return (
        f"{_redact(path)} is in a bucket, from which only 'facebank scan' reads photos: download it, or mount the "
        "bucket and name the file or folder there"
    )


def missing_slash_message(path: str) -> str:
    """Return the message for an address of a bucket that lacks a slash, because it was converted to `pathlib.Path`."""
    return f"there is no folder {_redact(path)}: write a bucket URL as text, such as s3://BUCKET/FOLDER"


def unsupported_address_message(path: str) -> str:
    """Return the message for an address that is neither of S3 nor of Google Cloud Storage."""
    return f"{_redact(path)} cannot be scanned: photos are read from folders, s3:// and gs://; download them first"


def _redact(path: str) -> str:
    """Return an address for messages, without possible secrets: keys of S3 may have slashes in them."""
    parts = _PARTS.fullmatch(path)
    if parts is None:
        return printable(path)
    before, rest, host = parts.groups()
    if "@" in rest and ("@" in host or ":" in host):
        rest = f"…@{rest.rpartition('@')[2]}"
    elif ":" in host and not _PORT.fullmatch(host):
        rest = f"{host.partition(':')[0]}:…"
    return printable(before + _SIGNED.sub(r"\1…", rest))
