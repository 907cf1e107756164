"""Image ids of CompreFace's clients for samples."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.service.problems import RequestError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.types import Sample

_SAMPLE_BITS = 48


def image_id_of(sample: Sample) -> str:
    """Return the UUID (version 8, RFC 9562) of a sample: its id, and a hash that is unique to the sample."""
    digest = hashlib.sha256(f"{sample.content_hash} {sample.enrolled_at.isoformat()}".encode()).digest()
    value = int.from_bytes(digest[:16]) >> _SAMPLE_BITS << _SAMPLE_BITS | sample.id
    value = value & ~(0xF << 76) | 0x8 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def sample_of(bank: FaceBank, image_id: str) -> Sample:
    """Return the sample of an id; raises `RequestError` (404) if missing, (400) for an invalid id."""
    try:
        requested = uuid.UUID(image_id)
    except ValueError as error:
        raise RequestError(400, "InvalidValue", f"image_id: {printable(image_id[:80])!r} is not a UUID") from error
    try:
        sample = bank.gallery.sample(requested.int & (1 << _SAMPLE_BITS) - 1)
    except UsageError:
        sample = None
    if sample is None or image_id_of(sample) != str(requested):
        raise RequestError(404, "ImageNotFound", f"Image {requested} not found")
    return sample
