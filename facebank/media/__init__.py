"""Decoding of photos to upright RGB arrays, and drawing on them.

Reading returns a `facebank.types.DecodedPhoto` or raises a `facebank.errors.PhotoError`. Sizes are checked before
memory is allocated, only supported formats are decoded, and global settings of the decoders are restored. Videos are in
`facebank.media.video`, `facebank.media.live` and `facebank.media.video_writing`; `facebank.media.capture` opens their
decoder, and `facebank.media.cuts` detects shots. Files in buckets are in `facebank.media.buckets`, and the shards of a
listing in `facebank.media.shards`.
"""

from __future__ import annotations

from facebank.media.annotation import MAX_JPEG_SIDE, Mark, annotate_photo, draw_marks, is_annotated
from facebank.media.finding import PHOTO_SUFFIXES, FolderContents, find_photos, find_videos, list_folder
from facebank.media.formats import (
    SIGNATURE_BYTES,
    SkippedKind,
    decoder_versions,
    describe_skipped,
    recognize_format,
    skipped_message,
)
from facebank.media.labels import LabelPainter
from facebank.media.photo_input import (
    Channels,
    PhotoInput,
    StrPath,
    check_channels,
    check_photo,
    open_photo,
    photo_label,
)
from facebank.media.picture_hash import orient_hash, picture_hash, picture_hash_of_file
from facebank.media.pixels import encode_thumbnail, turn_photo, turn_pixels
from facebank.media.reading import (
    PhotoFile,
    PhotoHeader,
    PhotoLimits,
    decode_photo,
    picture_hash_of_photo,
    read_header,
    read_photo,
    read_photo_bytes,
    read_photo_file,
)
from facebank.media.structure import webp_canvas

__all__ = [
    "MAX_JPEG_SIDE",
    "PHOTO_SUFFIXES",
    "SIGNATURE_BYTES",
    "Channels",
    "FolderContents",
    "LabelPainter",
    "Mark",
    "PhotoFile",
    "PhotoHeader",
    "PhotoInput",
    "PhotoLimits",
    "SkippedKind",
    "StrPath",
    "annotate_photo",
    "check_channels",
    "check_photo",
    "decode_photo",
    "decoder_versions",
    "describe_skipped",
    "draw_marks",
    "encode_thumbnail",
    "find_photos",
    "find_videos",
    "is_annotated",
    "list_folder",
    "open_photo",
    "orient_hash",
    "photo_label",
    "picture_hash",
    "picture_hash_of_file",
    "picture_hash_of_photo",
    "read_header",
    "read_photo",
    "read_photo_bytes",
    "read_photo_file",
    "recognize_format",
    "skipped_message",
    "turn_photo",
    "turn_pixels",
    "webp_canvas",
]
