"""The class `Gallery`: the enrolled people in one file."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from facebank.errors import (
    GalleryBusyError,
    GalleryError,
    PackMismatchError,
    SampleNotFoundError,
    ServiceError,
    StorageError,
    UsageError,
)
from facebank.gallery import additions, feedback, mirrors, people, samples, vectors
from facebank.gallery.enrollment import check_embeddings, check_sample, enroll_samples, replace_embeddings
from facebank.gallery.names import name_key, normalize_name
from facebank.gallery.places import GalleryPlaces, PlaceKind, forget_places_of
from facebank.gallery.records import (
    PLAIN,
    EnrolledSample,
    FaceKey,
    ForgetReport,
    MergedPerson,
    NewSample,
    PackIdentity,
    VectorTable,
)
from facebank.gallery.removal import Removal, RemovalResult
from facebank.gallery.same_face import is_same_place
from facebank.gallery.store import state
from facebank.gallery.store.codec import MAX_DIMENSION
from facebank.gallery.store.file import GalleryFile, Wiping
from facebank.gallery.store.rows import delete
from facebank.storage.paths import file_path
from facebank.storage.text import printable, shell_command, shell_word

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import EllipsisType, TracebackType
    from typing import Self

    from facebank.gallery.additions import Additions, GalleryMark
    from facebank.gallery.mirrors import Mirror, MirrorRecord
    from facebank.gallery.name_table import NameTable
    from facebank.gallery.places import WrittenPlace
    from facebank.gallery.records import PersonFacts, Stranger, StrangerTable, Upgrade
    from facebank.gallery.samples import Owners
    from facebank.types import FloatArray, Person, Sample

BUSY_TIMEOUT = 30.0
"""Timeout for locks of other processes, in seconds."""

_MAX_LOOKUPS = 20  # beyond this, reading all names is faster than single lookups


class Gallery:
    """The enrolled people, in one SQLite file. Created by `open`, and closed by ``with`` or `close`.

    Every change is one transaction: it is durable when the call returns, or has no effect. Several processes may use
    one file; readers never wait for a writer.

    Several threads may use one `Gallery`; each has its own connection. `close` closes it for all of them: calls in
    progress in other threads raise `ClosedError`. A snapshot belongs to the thread that began it. After `os.fork` both
    processes may use the gallery; if a thread was using it at that moment, the child process gets a `UsageError`.
    """

    def __init__(self, file: GalleryFile, bound: state.Binding) -> None:
        self._file = file
        self._bound = bound
        self._places = GalleryPlaces(file)
        self._has_all_picture_hashes = False  # whether all samples, denials and strangers have a picture hash
        self.mirror: Mirror | None = None  # the mirror to search; None for the local index

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Gallery cannot be pickled: call Gallery.open in each process")

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        pack: PackIdentity | None = None,
        *,
        create: bool = False,
        read_only: bool = False,
        busy_timeout: float = BUSY_TIMEOUT,
        on_upgrade: Callable[[Upgrade], None] | None = None,
    ) -> Self:
        """Open a gallery.

        Parameters
        ----------
        path
            Path of the gallery's file.
        pack
            The pack that makes the embeddings; None if no embeddings are needed, for example to list people.
        create
            Whether to create a missing gallery; requires `pack`. Only its owner can read the new file.
        read_only
            Whether to refuse changes. They are always refused for a file on a read-only medium.
        busy_timeout
            Timeout for locks of other processes, in seconds.
        on_upgrade
            Called after an upgrade of the file from an older schema version.

        Raises
        ------
        GalleryNotFoundError
            The file is missing or empty.
        GalleryFormatError, GalleryVersionError
            The file is not a gallery or is damaged; or it was written by a newer facebank.
        PackMismatchError
            The gallery was made with another pack.
        GalleryBusyError
            Another process has locked the file.
        StorageError
            The file cannot be created, read or written.
        UsageError
            The arguments are not allowed together, or the path or the pack's dimension is invalid.
        """
        if create and (pack is None or read_only):
            raise UsageError("To create a gallery, pass a pack and leave read_only=False.")
        if pack is not None and not 1 <= pack.dimension <= MAX_DIMENSION:
            raise UsageError(f"The dimension of a gallery's pack is 1 to {MAX_DIMENSION}, not {pack.dimension}.")
        path = file_path(path, "the path of the gallery")
        file = GalleryFile.open(path, new_pack=pack if create else None, read_only=read_only, busy_timeout=busy_timeout)
        try:
            with file.reading() as connection:
                bound = state.binding(connection)
            _check_pack(path, bound.pack, pack or bound.pack)
        except BaseException:
            file.close()
            raise
        if file.upgrade is not None and on_upgrade is not None:
            on_upgrade(file.upgrade)
        return cls(file, bound)

    def close(self) -> None:
        """Close the file for all threads; no-op if closed."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Path of the gallery's file."""
        return self._file.path

    @property
    def pack(self) -> PackIdentity:
        """The pack that makes the embeddings."""
        return self._bound.pack

    @property
    def read_only(self) -> bool:
        """Whether changes are refused, on request or because the file cannot be written."""
        return not self._file.writable

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a `snapshot`, and so cannot change the gallery."""
        return self._file.in_transaction

    @property
    def revision(self) -> int:
        """Number that increases with every change of people, samples, embeddings or strangers by any process."""
        with self._file.reading() as connection:
            return state.revision(connection)

    @property
    def denials_revision(self) -> int:
        """Number that increases with every denial and withdrawal, which do not change `revision`."""
        with self._file.reading() as connection:
            return state.denials_revision(connection)

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """Read the gallery as of one moment in this thread; it cannot be changed inside."""
        with self._file.reading():
            yield self

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Open a read transaction after checking the pack, which another process may have replaced."""
        with self._file.reading() as connection:
            _check_pack(self.path, state.binding(connection).pack, self.pack)
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._file.changing() as connection:
            _check_pack(self.path, state.binding(connection).pack, self.pack)
            yield connection

    def people(self) -> list[Person]:
        """Return all people, in the order of their names."""
        with self._file.reading() as connection:
            return people.list_people(connection)

    def photo_counts(self) -> dict[int, int]:
        """Return the number of photos behind each person's samples, by person id; copies count once."""
        with self._file.reading() as connection:
            return people.photo_counts(connection)

    def person(self, name: str) -> Person:
        """Return the person with a name, ignoring case; raises `PersonNotFoundError`."""
        with self._file.reading() as connection:
            return people.find(connection, name)

    def names(self) -> dict[int, str]:
        """Return all people's names by person id."""
        with self._file.reading() as connection:
            return people.names(connection)

    def name_table(self) -> NameTable:
        """Return the same as `names`, in a mapping that needs less memory."""
        with self._file.reading() as connection:
            return people.name_table(connection)

    def birth_dates(self) -> dict[int, str]:
        """Return the known birth dates by person id: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
        with self._file.reading() as connection:
            return people.birth_dates(connection)

    def rename(self, name: str, new_name: str) -> Person:
        """Rename a person; all samples are kept.

        Raises `PersonNotFoundError`, `PersonExistsError` or `InvalidNameError`.
        """
        with self._changing() as connection:
            return people.rename(connection, name, new_name)

    def describe(
        self,
        name: str,
        *,
        new_name: str | None = None,
        born: str | EllipsisType | None = ...,
        note: str | EllipsisType | None = ...,
    ) -> Person:
        """Set or clear a person's facts in one transaction, and return the person.

        Parameters
        ----------
        name
            The person's name.
        new_name
            New name of the person; None to keep the name.
        born
            Birth date as ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``; None or an empty text clears it, ``...`` keeps it.
        note
            Text of at most 2,000 characters; None or an empty text clears it, ``...`` keeps it.

        Raises
        ------
        PersonNotFoundError, PersonExistsError, InvalidNameError
            Nobody has the name `name`; `new_name` is another person's name; or `new_name` is not a valid name.
        UsageError
            The birth date is invalid, before 1850 or in the future, or the note is too long.
        """
        with self._changing() as connection:
            person = people.describe(connection, name, born=born, note=note)
            return person if new_name is None else people.rename(connection, person.name, new_name)

    def merge(self, sources: Sequence[str], into: str) -> Person:
        """Merge people who are one person; `unmerge` undoes it.

        All samples are kept, and all denials that the samples do not contradict. The birth date is that of the
        remaining person, else the first one found; notes are joined unless that makes them too long.

        Parameters
        ----------
        sources
            Names of the people to merge; `into` is skipped.
        into
            Name of the remaining person, who is returned.

        Raises
        ------
        PersonNotFoundError
            One of the people is not enrolled; nothing is merged.
        UsageError
            `sources` names nobody but `into`.
        """
        with self._changing() as connection:
            return people.merge(connection, self._bound, sources, into)

    def merged_people(self, name: str) -> list[MergedPerson]:
        """Return the people merged into a person who can be separated again, in the order of the merges.

        Raises `PersonNotFoundError` if the person is not enrolled.
        """
        with self._file.reading() as connection:
            merges = people.merges_of(connection, people.find(connection, name).id)
        return [MergedPerson(merge.name, merge.sample_count, merge.merged_at) for merge in merges]

    def people_with_merges(self) -> set[str]:
        """Return the names of the people with merges that `unmerge` can undo."""
        with self._file.reading() as connection:
            names = people.names(connection)
            return {names[person_id] for person_id in people.people_with_merges(connection)}

    def unmerge(self, name: str) -> list[Person]:
        """Undo the last merge into a person, and return the people who are separate again.

        They get back their samples, names, birth dates, notes and denials, except denials contradicted by samples of
        the other person. Later changes of the remaining person are kept; samples that were removed or split off since
        do not come back. Raises `PersonNotFoundError` (not enrolled), `UsageError` (there is no merge to undo) or
        `PersonExistsError` (another person has one of the names by now).
        """
        with self._changing() as connection:
            return people.unmerge(connection, name)

    def split(self, name: str, into: str, sample_ids: Sequence[int]) -> Person:
        """Move some of a person's samples to a new person, and return that person, without birth date and note.

        Parameters
        ----------
        name, into
            The person's name, and the new person's name.
        sample_ids
            Ids of the samples to move: some, but not all.

        Raises
        ------
        PersonNotFoundError, PersonExistsError, InvalidNameError
            Nobody has the name `name`; a person has the name `into` already; or `into` is not a valid name.
        UsageError
            A sample is not this person's, or all or none are given.
        """
        with self._changing() as connection:
            return people.split(connection, name, into, sample_ids)

    def forget(self, name: str) -> ForgetReport:
        """Remove a person and all data about the person permanently, including people merged into the person.

        The file is rewritten, so that no removed byte stays in the file or its log. On a full disk the removal uses the
        space reserved beside the gallery, in several steps if necessary; the bytes are then overwritten when the
        gallery is next opened with enough space (`ForgetReport.full_disk`). Raises `PersonNotFoundError` (not enrolled)
        or `StorageError` (the gallery cannot be written).
        """
        return self.forget_people([name])

    def forget_people(self, names: Sequence[str]) -> ForgetReport:
        """Remove several people as `forget` does, in one transaction.

        Raises `PersonNotFoundError` if one of them is not enrolled; nobody is removed then.
        """
        if not names:
            return ForgetReport(0, busy_readers=False)

        def remove(connection: sqlite3.Connection) -> int:
            forgotten = {person.id: person for person in (people.find(connection, name) for name in names)}
            delete(connection, "people", "id", list(forgotten))
            state.advance(connection)
            state.note_traces(connection)
            mirrors.require_cleaning(connection)
            for person in forgotten.values():
                forget_places_of(connection, person.name)
            return sum(person.sample_count for person in forgotten.values())

        return self._wipe(self._remove(remove, names))

    def enroll(self, person: str, samples: Sequence[NewSample]) -> list[EnrolledSample]:
        """Add samples to a person; a face that is enrolled already is skipped.

        Two faces are the same if they are at the same place in the same photo, or if their plain embeddings are at most
        1e-4 apart. On an error nothing is changed.

        Parameters
        ----------
        person
            The name. A new person is added with the first new sample, or if no samples are given.
        samples
            The faces.

        Returns
        -------
        list[EnrolledSample]
            The result for each sample, in their order.

        Raises
        ------
        InvalidNameError
            The name is not valid.
        UsageError
            A sample is invalid: see `NewSample`.
        PackMismatchError
            Another process has re-embedded the gallery.
        GalleryBusyError, StorageError
            Another process has locked the gallery; or it cannot be written.
        """
        (results,) = self.enroll_people([(person, samples)])
        return results

    def enroll_people(
        self, groups: Sequence[tuple[str, Sequence[NewSample]]], facts: Mapping[str, PersonFacts] | None = None
    ) -> list[list[EnrolledSample]]:
        """Add samples to several people in one transaction; see `enroll`.

        Parameters
        ----------
        groups
            Names with their faces.
        facts
            Facts by name, to add where the gallery lacks them.

        Returns
        -------
        list[list[EnrolledSample]]
            The results for each group, in their order.
        """
        now = datetime.now(UTC)
        normalized = [(normalize_name(name), faces) for name, faces in groups]
        for _, faces in normalized:
            for sample in faces:
                check_sample(sample, self.pack.dimension)
        with self._changing() as connection:
            ids = people.person_ids(connection) if len(normalized) > _MAX_LOOKUPS else None
            results = [
                enroll_samples(connection, self._bound, name, faces, now, ids_by_key=ids) for name, faces in normalized
            ]
            for name, person_facts in (facts or {}).items():
                if people.find_key(connection, name_key(normalize_name(name))) is not None:
                    people.add_facts(connection, name, person_facts)
            return results

    def samples(self, name: str) -> list[Sample]:
        """Return a person's samples, by id; raises `PersonNotFoundError`."""
        with self._file.reading() as connection:
            return samples.samples_of(connection, people.find(connection, name).id)

    def samples_by_person(self) -> dict[int, list[Sample]]:
        """Return all samples by person id, each list by sample id."""
        with self._file.reading() as connection:
            return samples.samples_by_person(connection)

    def samples_at(self, face: FaceKey) -> list[Sample]:
        """Return the samples of one face of a photo, matched by place, of any person."""
        candidates = self.samples_of_photo(face.content_hash, face.picture_hash)
        return [sample for sample in candidates if is_same_place(FaceKey.from_sample(sample), face)]

    def samples_of_photo(self, content_hash: str, picture_hash: str | None = None) -> list[Sample]:
        """Return all people's samples from a photo, matched by its bytes or its picture (`FaceKey`)."""
        with self._file.reading() as connection:
            return samples.samples_of_photo(connection, content_hash, picture_hash)

    def sample(self, sample_id: int) -> Sample:
        """Return a sample; raises `SampleNotFoundError`."""
        with self._file.reading() as connection:
            self._require_sample(connection, sample_id)
            (sample,) = samples.samples_by_id(connection, [sample_id])
        return sample

    def whole_sample(self, sample_id: int) -> NewSample:
        """Return a sample with embeddings and thumbnail, to enroll it again; raises `SampleNotFoundError`."""
        with self._reading() as connection:
            self._require_sample(connection, sample_id)
            (sample,) = samples.samples_by_id(connection, [sample_id])
            return NewSample(
                box=sample.box,
                landmarks=sample.landmarks,
                detection_score=sample.detection_score,
                quality=sample.quality,
                path=sample.path,
                content_hash=sample.content_hash,
                quarter_turns=sample.quarter_turns,
                taken_at=sample.taken_at,
                thumbnail=samples.thumbnail(connection, sample_id),
                vectors=vectors.vectors_of_sample(connection, self._bound, sample_id),
                enrolled_at=sample.enrolled_at,
                masked=sample.masked,
                camera_dated=sample.camera_dated,
                picture_hash=sample.picture_hash,
            )

    def thumbnail(self, sample_id: int) -> bytes | None:
        """Return a sample's small JPEG; None if there is none."""
        with self._file.reading() as connection:
            return samples.thumbnail(connection, sample_id)

    def remove_sample(self, sample_id: int) -> ForgetReport:
        """Remove a sample permanently, as `forget` does; keeps its person. Raises `SampleNotFoundError`."""
        return self.remove_samples([sample_id])

    def remove_samples(self, sample_ids: Sequence[int]) -> ForgetReport:
        """Remove several samples as `remove_sample` does, in one transaction.

        Raises `SampleNotFoundError` if one is missing; none is removed then.
        """
        if not sample_ids:
            return ForgetReport(0, busy_readers=False)
        unique_ids = list(dict.fromkeys(sample_ids))

        def remove(connection: sqlite3.Connection) -> int:
            for sample_id in unique_ids:
                self._require_sample(connection, sample_id)
            delete(connection, "samples", "id", unique_ids)
            people.drop_empty_merges(connection)
            state.advance(connection)
            state.note_traces(connection)
            mirrors.require_cleaning(connection)
            return len(unique_ids)

        return self._wipe(self._remove(remove))

    def _require_sample(self, connection: sqlite3.Connection, sample_id: int) -> None:
        if not samples.has_sample(connection, sample_id):
            raise SampleNotFoundError(f"There is no sample {sample_id} in {printable(str(self.path))}.")

    def variants(self) -> list[str]:
        """Return the variants of embeddings that any sample has."""
        with self._reading() as connection:
            return vectors.variants(connection, self._bound.pack_id)

    def vectors(self, variant: str = PLAIN, *, masked: bool | None = False) -> VectorTable:
        """Return the embeddings of one variant, by sample id.

        Parameters
        ----------
        variant
            Name of the variant, such as ``"plain"``.
        masked
            False for unmasked samples, True for masked ones, None for all.
        """
        with self._reading() as connection:
            return vectors.rated_vectors(connection, self._bound, variant, masked=masked)[0]

    def vectors_of(self, sample_ids: Sequence[int]) -> FloatArray:
        """Return the plain embeddings of some samples: ``float32`` of shape ``(N, dimension)``."""
        with self._reading() as connection:
            return vectors.plain_vectors_of(connection, self._bound, sample_ids)

    def rated_vectors(self, *, masked: bool | None = False) -> tuple[VectorTable, FloatArray]:
        """Return plain embeddings, as `vectors` does, and the qualities, 0..1, of their samples, ``float32 (N,)``."""
        with self._reading() as connection:
            return vectors.rated_vectors(connection, self._bound, PLAIN, masked=masked)

    def mark(self, variants: Sequence[str]) -> GalleryMark | None:
        """Return the current state of the gallery for `added_since`; None for a file of an old version."""
        with self._reading() as connection:
            return additions.mark(connection, variants)

    def added_since(self, mark: GalleryMark) -> Additions | None:
        """Return what was added since a mark, for its variants; None if existing embeddings changed."""
        with self._reading() as connection:
            return additions.added_since(connection, self._bound, mark)

    def owners(self) -> Owners:
        """Return the owners of unmasked samples, by sample id."""
        with self._file.reading() as connection:
            return samples.owners(connection, masked=False)

    def rebind(
        self,
        pack: PackIdentity,
        vectors: Mapping[int, Mapping[str, FloatArray]],
        dropped: Sequence[int] = (),
        strangers: Mapping[int, FloatArray | None] | None = None,
    ) -> ForgetReport:
        """Replace all embeddings with another pack's, in one transaction.

        Parameters
        ----------
        pack
            The pack that made the new embeddings.
        vectors
            The new embeddings by sample and variant.
        dropped
            Samples without new embeddings, which are removed permanently. Their people are kept.
        strangers
            The new embedding of each remembered stranger, or None to forget the stranger. May be omitted if there are
            none.

        Returns
        -------
        ForgetReport
            The number of removed samples.

        Raises
        ------
        UsageError
            The samples or strangers are not exactly those of the gallery, which another process may have changed; or an
            embedding is invalid. The gallery is unchanged.
        """
        check_embeddings(vectors, strangers or {}, pack.dimension)
        with self._changing() as connection:
            bound = replace_embeddings(connection, pack, vectors, dropped, strangers or {})
            mirrors.require_cleaning(connection)
        self._bound = bound
        return self._wipe(RemovalResult(len(dropped)))

    def deny(self, person: str, face: FaceKey, vector: FloatArray | None = None) -> bool:
        """Record that a face is not a person's, so that the person is never suggested for it.

        Denials follow a person who is renamed or merged, and are removed with the person. They increase
        `denials_revision` but not `revision`, and are not exported.

        Parameters
        ----------
        person
            The person's name.
        face
            The face.
        vector
            The face's plain embedding, ``(dimension,)``, to recognize copies of an enrolled photo; None to match by
            place only.

        Returns
        -------
        bool
            Whether the denial is new.

        Raises
        ------
        PersonNotFoundError
            The person is not enrolled.
        UsageError
            The face is one of the person's samples, or is invalid.
        """
        feedback.check_face(face, vector, self.pack.dimension)
        with self._changing() as connection:
            denied = people.find(connection, person)
            feedback.set_picture_hash(connection, face.content_hash, face.picture_hash)
            return feedback.deny(connection, self._bound, denied, face, vector=vector, now=datetime.now(UTC))

    def withdraw_denial(self, person: str, face: FaceKey) -> bool:
        """Withdraw a denial, and return whether there was one; raises `PersonNotFoundError`."""
        feedback.check_face(face, None, self.pack.dimension)
        with self._changing() as connection:
            return feedback.withdraw(connection, people.find(connection, person).id, face)

    def denials_of(self, face: FaceKey) -> set[int]:
        """Return the ids of the people for whom a face was denied."""
        with self._file.reading() as connection:
            return feedback.denied_people(connection, face)

    def denied_faces(self, person: str) -> dict[int, FaceKey]:
        """Return the faces denied for a person, by denial id; raises `PersonNotFoundError`."""
        with self._file.reading() as connection:
            denials = feedback.denials_of_person(connection, people.find(connection, person).id)
        return {denial.id: denial.face for denial in denials}

    def add_picture_hash(self, content_hash: str, picture_hash: str | None) -> None:
        """Store a photo's picture hash with its samples, denials and strangers that lack it; no-op for None."""
        if picture_hash is None or self._has_all_picture_hashes:
            return
        with self._file.reading() as connection:
            self._has_all_picture_hashes = not feedback.lacks_picture_hash(connection)
            if self._has_all_picture_hashes or not feedback.lacks_picture_hash(connection, content_hash):
                return
        with self._changing() as connection:
            feedback.set_picture_hash(connection, content_hash, picture_hash)

    def remember_stranger(self, sample: NewSample) -> tuple[int, bool]:
        """Remember a face as a stranger, with embedding, box and path; returns its id and whether it is new.

        Raises `UsageError` if the face is a person's sample, or if the sample is invalid (see `NewSample`).
        """
        check_sample(sample, self.pack.dimension)
        with self._changing() as connection:
            feedback.set_picture_hash(connection, sample.content_hash, sample.picture_hash)
            stranger_id, is_new = feedback.remember_stranger(connection, self._bound, sample, datetime.now(UTC))
            if is_new:
                state.advance(connection)
        return stranger_id, is_new

    def strangers(self) -> StrangerTable:
        """Return the embeddings of all remembered strangers, by id."""
        with self._reading() as connection:
            return feedback.stranger_vectors(connection, self._bound)

    def stranger_faces(self) -> list[Stranger]:
        """Return the faces of all remembered strangers, by id."""
        with self._file.reading() as connection:
            return feedback.strangers(connection)

    def forget_stranger(self, stranger_id: int) -> ForgetReport:
        """Remove a stranger permanently, as `forget` does a person; raises `UsageError` if not found."""

        def remove(connection: sqlite3.Connection) -> int:
            if not delete(connection, "strangers", "id", [stranger_id]):
                raise UsageError(
                    f"There is no stranger {stranger_id} in {printable(str(self.path))}: "
                    "'facebank strangers list' lists the strangers."
                )
            state.advance(connection)
            state.note_traces(connection)
            return 0

        return self._clean(self._remove(remove))

    def read_setting(self, key: str) -> Any:
        """Return a setting's value, decoded from JSON; None if it is not set."""
        return self._file.read_setting(key)

    def write_setting(self, key: str, value: object) -> None:
        """Set a setting to a JSON value of at most 64 KiB; None removes it. Raises `UsageError` for other values."""
        self._file.write_setting(key, value)

    @contextmanager
    def replacing_setting(self, key: str, before: object, value: object, revision: int) -> Iterator[bool]:
        """Set a setting when the block ends, holding a write lock until then.

        Yields False, and changes nothing, if the gallery is not at `revision` or the setting is not `before`.
        """
        with self._file.changing() as connection:
            is_unchanged = (state.revision(connection), state.read_setting(connection, key)) == (revision, before)
            yield is_unchanged
            if is_unchanged:
                state.write_setting(connection, key, value)

    def keep_setting(self, key: str, value: object) -> Any:
        """Return a setting's value; sets it to `value` first if it is not set."""
        current = self.read_setting(key)
        if current is not None:
            return current
        with self._file.changing() as connection:
            current = state.read_setting(connection, key)  # another process may have been faster
            if current is None:
                state.write_setting(connection, key, value)
            return value if current is None else current

    def note_place(self) -> None:
        """Record the gallery's current path and cache folder, so that `forget` finds and wipes derived files."""
        self._places.note_derived()

    def note_written(self, kind: PlaceKind, path: str | os.PathLike[str]) -> None:
        """Record a file or folder with content of this gallery; no-op if the gallery cannot be written."""
        if not self._file.writable or self._file.in_transaction:
            return
        with suppress(GalleryError, StorageError):
            self._places.note_written(kind, Path(os.path.abspath(path)))  # noqa: PTH100 - resolve() follows links

    def written_places(self) -> list[WrittenPlace]:
        """Return the recorded places that still exist, latest first."""
        return self._places.written()

    def back_up(self, target: str | os.PathLike[str]) -> Path:
        """Copy the gallery, as of one moment, into a new file that only its owner can read; it may be in use.

        Raises `UsageError` (the file exists, or its folder does not) or `StorageError` (it cannot be written).
        """
        from facebank.gallery.backups import backup_path

        path = backup_path(self.path, target)
        self.note_written(PlaceKind.BACKUP, path)  # first, so that the copy lists its own path if it is restored
        self._file.back_up(path)
        return path

    def automatic_backups(self) -> list[Path]:
        """Return the copies made beside the gallery before an upgrade or repair; `forget` wipes them."""
        return self._places.backups()

    def derived_files(self) -> list[Path]:
        """Return the files in the cache that were derived from this gallery; `forget` wipes them."""
        return self._places.derived()

    def leftovers(self) -> list[Path]:
        """Return partial files left by killed processes; `forget` wipes them."""
        return self._places.leftovers()

    def mirrors(self) -> list[MirrorRecord]:
        """Return the records of the mirrors that hold this gallery's embeddings."""
        with self._file.reading() as connection:
            return list(mirrors.records_in(connection).values())

    def mirror_record(self, address: str) -> MirrorRecord | None:
        """Return the record of one of `mirrors`; None if unknown."""
        with self._file.reading() as connection:
            return mirrors.records_in(connection).get(address)

    def keep_mirror(self, record: MirrorRecord) -> None:
        """Store the record of a mirror; removals after its revision stay pending."""
        with self._file.changing() as connection:
            mirrors.keep_record(connection, record)

    def drop_mirror(self, address: str) -> bool:
        """Delete the record of a removed mirror, and return whether there was one."""
        with self._file.changing() as connection:
            return mirrors.drop_record(connection, address)

    def _remove(self, change: Callable[[sqlite3.Connection], int], names: Sequence[str] = ()) -> RemovalResult:
        """Run a change that removes samples, and optionally the named people, even on a full disk."""
        try:
            return Removal(self._file, self._places, self._changing).run(change, names)
        except BaseException:
            self._file.keep_reserve()
            raise

    def _wipe(self, removed: RemovalResult) -> ForgetReport:
        """Wipe derived files, which frees space, and the removed bytes in the gallery's file."""
        try:
            wiped = self._places.wipe()
        except BaseException:
            self._file.wipe()
            raise
        return self._clean(removed._replace(wiped=(*removed.wiped, *wiped)))

    def _clean(self, removed: RemovalResult) -> ForgetReport:
        wiping = self._file.wipe()
        self._file.keep_reserve()
        return ForgetReport(
            removed.sample_count,
            busy_readers=wiping is Wiping.BUSY,
            full_disk=wiping is Wiping.NO_ROOM,
            wiped=tuple(dict.fromkeys(removed.wiped)),
            mirrors=self._clean_mirrors(),
        )

    def _clean_mirrors(self) -> tuple[str, ...]:
        """Clean the mirror of this gallery, and return the addresses of mirrors with pending removals."""
        pending = {record.address for record in self.mirrors() if record.needs_cleaning}
        if self.mirror is not None and self.mirror.address in pending:
            with suppress(ServiceError, GalleryBusyError):  # the removal stays pending
                self.mirror.clean(self)
        return tuple(record.address for record in self.mirrors() if record.needs_cleaning) if pending else ()


def _check_pack(path: Path, bound: PackIdentity, pack: PackIdentity) -> None:
    if (bound.digest, bound.dimension) != (pack.digest, pack.dimension):
        raise PackMismatchError(
            f"The gallery {printable(str(path))} was made with the pack '{printable(bound.name[:64])}' "
            f"({printable(bound.digest[:8])}), not with '{printable(pack.name)}' ({printable(pack.digest[:8])}): "
            f"use --pack {shell_word(bound.name[:64])}, or convert the gallery to '{printable(pack.name)}' with "
            f"`{shell_command('--pack', pack.name, 'people', 're-embed')}`."
        )
