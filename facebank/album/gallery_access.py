"""`GalleryAccess`: the gallery, engine and settings that an album works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.gallery import Gallery, PlaceKind
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.recognition.settings import DecisionSettings


class GalleryAccess(Protocol):
    """A gallery that is opened on first use, and its pack's engine; `facebank.FaceBank` implements it."""

    @property
    def path(self) -> Path:
        """The gallery's file, which need not exist."""
        ...

    @property
    def engine(self) -> Engine:
        """The pack's networks and thresholds."""
        ...

    @property
    def gallery(self) -> Gallery:
        """The open gallery; raises `GalleryNotFoundError` if the file does not exist."""
        ...

    @property
    def settings(self) -> DecisionSettings:
        """The gallery's own decision settings."""
        ...

    def open_gallery(self, *, create: bool = False) -> Gallery:
        """Return the open gallery; creates it if missing and `create` is set."""
        ...

    def identification(self, settings: DecisionSettings | None = None) -> Identification:
        """Return the recognizer for the gallery as it is now; None for its own settings."""
        ...

    def note_written(self, kind: PlaceKind, path: Path) -> None:
        """Record in the gallery where a copy of its people's data was written."""
        ...
