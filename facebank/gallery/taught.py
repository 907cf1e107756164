"""What a gallery remembers of what people said after an identification."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.gallery import feedback, people
from facebank.gallery.enrollment import check_sample
from facebank.gallery.records import Forgotten
from facebank.gallery.session import GallerySession
from facebank.gallery.store import feedback_tables, tables
from facebank.storage.text import printable

if TYPE_CHECKING:
    import sqlite3

    from facebank.gallery.records import FaceKey, NewSample, Stranger, StrangerTable
    from facebank.types import FloatArray


class TaughtGallery(GallerySession):
    """An open gallery's denials ("this is not Ada") and strangers ("this is nobody I know").

    Denials belong to a person: they are kept when the person is renamed, go along when people are merged, and are
    forgotten with the person. They change no embedding, so the gallery's revision stays; strangers advance it. Exports
    carry neither. Whoever is given a face as a sample wins over what was said against it.
    """

    _all_pictured = False
    """Whether all that is kept of faces is known to have the hash of its picture; what is new has."""

    def deny(self, person: str, face: FaceKey, vector: FloatArray | None = None) -> bool:
        """Note that a face is not a person's, so that the person is not offered for it again.

        Parameters
        ----------
        person
            The name.
        face
            Which face of which photo.
        vector
            The face's plain embedding, ``(dimension,)``, by which a copy of an enrolled photo is recognised; None to
            go by the photo alone.

        Returns
        -------
        bool
            Whether it was not known yet.

        Raises
        ------
        PersonNotFoundError
            If nobody is called so.
        UsageError
            If the person has a sample that is this very face, or this is no face.
        """
        feedback.check_face(face, vector, self.pack.dimension)
        with self._changing() as connection:
            denied = people.find(connection, person)
            _learn(connection, face)
            return feedback.deny(connection, self._bound, denied, face, vector=vector, now=datetime.now(UTC))

    def withdraw_denial(self, person: str, face: FaceKey) -> bool:
        """Take back that a face is not a person's; returns whether that had been said."""
        feedback.check_face(face, None, self.pack.dimension)
        with self._changing() as connection:
            return feedback.withdraw(connection, people.find(connection, person).id, face)

    def denials_of(self, face: FaceKey) -> set[int]:
        """Return the numbers of the people that a face is not."""
        with self._file.reading() as connection:
            return feedback.denied_people(connection, face)

    def learn_picture(self, content_hash: str, picture_hash: str | None) -> None:
        """Note by which picture a photo is known, for what was kept of its faces before pictures were known.

        No-op where all of it has one, or the picture is not known.

        Parameters
        ----------
        content_hash, picture_hash
            As of `FaceKey`, of one and the same file.

        Raises
        ------
        GalleryError, StorageError
            If the gallery cannot be written.
        """
        if picture_hash is None or not self._lacks_picture(content_hash):
            return
        with self._changing() as connection:
            feedback_tables.set_picture(connection, content_hash, picture_hash)

    def _lacks_picture(self, content_hash: str) -> bool:
        if self._all_pictured:
            return False
        with self._file.reading() as connection:
            self._all_pictured = not feedback_tables.lacks_picture(connection)
            return not self._all_pictured and feedback_tables.lacks_picture(connection, content_hash)

    def remember_stranger(self, sample: NewSample) -> tuple[int, bool]:
        """Remember a face as nobody's: its plain embedding, and its photo's path, hash and turns with the box.

        Parameters
        ----------
        sample
            The face; its other variants, landmarks and thumbnail are not kept.

        Returns
        -------
        tuple[int, bool]
            The stranger's number, and whether it is a new one: the same face is remembered once.

        Raises
        ------
        UsageError
            If somebody has a sample that is this very face, or the sample is not as `NewSample` says.
        """
        check_sample(sample, self.pack.dimension)
        with self._changing() as connection:
            _learn(connection, feedback.key_of(sample))
            number, is_new = feedback.remember_stranger(connection, self._bound, sample, datetime.now(UTC))
            if is_new:
                tables.advance(connection)
        return number, is_new

    def strangers(self) -> StrangerTable:
        """Return the embeddings of all remembered strangers, in the order of their numbers."""
        with self._reading() as connection:
            return feedback_tables.stranger_vectors(connection, self._bound)

    def stranger_faces(self) -> list[Stranger]:
        """Return where all remembered strangers were seen, in the order of their numbers."""
        with self._file.reading() as connection:
            return feedback_tables.strangers(connection)

    def forget_stranger(self, stranger_id: int) -> Forgotten:
        """Remove a remembered stranger for good, as `Gallery.forget` does a person.

        Raises
        ------
        UsageError
            If there is no such stranger.
        """
        with self._changing() as connection:
            if not feedback_tables.delete_strangers(connection, [stranger_id]):
                raise UsageError(
                    f"There is no stranger {stranger_id} in {printable(str(self.path))}: "
                    "`facebank strangers list` shows who is remembered."
                )
            tables.advance(connection)
            tables.note_traces(connection)
        return Forgotten(0, busy_readers=not self._file.wipe())


def _learn(connection: sqlite3.Connection, face: FaceKey) -> None:
    """Let what was kept of a photo's faces before know the photo by its picture too."""
    if face.picture_hash is not None:
        feedback_tables.set_picture(connection, face.content_hash, face.picture_hash)
