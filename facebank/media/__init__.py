"""Photos from disk or bytes to upright RGB arrays, safely, and annotated pictures back.

Whatever a file holds, reading it ends in a `facebank.types.DecodedPhoto` or in one `facebank.errors.PhotoError`: sizes
are checked before anything is allocated, only the formats of a closed list are decoded, and no setting of Pillow, no
warning filter and no other state of the process is left changed.
"""

from __future__ import annotations

from facebank.media.annotation import LARGEST_JPEG_SIDE, Mark, annotate_photo, draw_marks, is_annotated
from facebank.media.finding import FolderContents, find_photos, find_videos, look_through
from facebank.media.limits import PhotoLimits
from facebank.media.orientation import turn_photo
from facebank.media.picture_hash import picture_hash, picture_hash_of
from facebank.media.reading import (
    PhotoFile,
    PhotoHeader,
    decode_photo,
    picture_hash_of_photo,
    read_header,
    read_photo,
    read_photo_bytes,
    read_photo_file,
)
from facebank.media.thumbnails import encode_thumbnail

__all__ = [
    "LARGEST_JPEG_SIDE",
    "FolderContents",
    "Mark",
    "PhotoFile",
    "PhotoHeader",
    "PhotoLimits",
    "annotate_photo",
    "decode_photo",
    "draw_marks",
    "encode_thumbnail",
    "find_photos",
    "find_videos",
    "is_annotated",
    "look_through",
    "picture_hash",
    "picture_hash_of",
    "picture_hash_of_photo",
    "read_header",
    "read_photo",
    "read_photo_bytes",
    "read_photo_file",
    "turn_photo",
]
