"""Any sequence of operations gives the same result on a gallery and on a dictionary."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from facebank.errors import PersonExistsError, UsageError
from facebank.gallery import FaceKey, Gallery, inspect_gallery, name_key, normalize_name
from facebank.index.gallery_index import open_index

if TYPE_CHECKING:
    from facebank.gallery import NewSample
    from tests.gallery.conftest import FaceFactory

NAMES = st.sampled_from(["Ada", "ADA", "ada", "Bob", "Zoë", "Zoe\u0308", "Carl", "Straße", "STRASSE", "d'Arc; --"])


class GalleryMachine(RuleBasedStateMachine):
    """Runs the same operations on a gallery and on a dictionary of people's samples."""

    faces_class: type[FaceFactory]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "some.facebank"
        self.faces = self.faces_class(0)
        self.gallery = Gallery.open(self.path, self.faces.pack, create=True)
        self.spelling: dict[str, str] = {}
        self.expected: dict[str, dict[int, NewSample]] = {}
        self.denied: list[tuple[str, NewSample]] = []
        self.strangers: dict[int, NewSample] = {}
        self.highest_id = 0
        self.revision = self.gallery.revision

    def teardown(self) -> None:
        self.gallery.close()
        assert inspect_gallery(self.path).problems == ()
        self.folder.cleanup()

    def check_revision(self) -> None:
        assert self.gallery.revision > self.revision
        self.revision = self.gallery.revision

    @rule(name=NAMES, count=st.integers(0, 3))
    def enroll(self, name: str, count: int) -> None:
        new = self.faces.samples(count)
        outcomes = self.gallery.enroll(name, new)
        exists = name_key(name) in self.expected
        samples = self.expected.setdefault(name_key(name), {})
        self.spelling.setdefault(name_key(name), normalize_name(name))
        for sample, outcome in zip(new, outcomes, strict=True):
            assert outcome.duplicate_of_person is None
            assert outcome.sample_id > self.highest_id  # IDs are never reused
            self.highest_id = outcome.sample_id
            samples[outcome.sample_id] = sample
        if new or not exists:
            self.check_revision()

    @precondition(lambda self: any(self.expected.values()))
    @rule(name=NAMES, data=st.data())
    def enroll_again(self, name: str, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(key for key, samples in self.expected.items() if samples)))
        sample_id = data.draw(st.sampled_from(sorted(self.expected[key])))
        (outcome,) = self.gallery.enroll(name, [self.expected[key][sample_id]])
        assert (outcome.sample_id, outcome.duplicate_of_person) == (sample_id, self.spelling[key])

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def deny(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.expected)))
        faces = [*(face for _, face in self.denied), *self.strangers.values(), self.faces.sample()]
        face = data.draw(st.sampled_from(faces))
        if any(face is sample for sample in self.expected[key].values()):
            with pytest.raises(UsageError, match="remove-sample"):
                self.gallery.deny(self.spelling[key], FaceKey.from_sample(face))
            return
        is_new = all(other_key != key or other is not face for other_key, other in self.denied)
        assert self.gallery.deny(self.spelling[key], FaceKey.from_sample(face)) is is_new
        if is_new:
            self.denied.append((key, face))

    @precondition(lambda self: self.denied)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        key, face = self.denied.pop(data.draw(st.integers(0, len(self.denied) - 1)))
        assert self.gallery.withdraw_denial(key, FaceKey.from_sample(face))

    @rule()
    def remember_stranger(self) -> None:
        face = self.faces.sample()
        stranger_id, is_new = self.gallery.remember_stranger(face)
        assert is_new
        assert stranger_id not in self.strangers
        self.strangers[stranger_id] = face
        self.check_revision()

    @precondition(lambda self: self.strangers)
    @rule(data=st.data())
    def forget_stranger(self, data: st.DataObject) -> None:
        stranger_id = data.draw(st.sampled_from(sorted(self.strangers)))
        self.gallery.forget_stranger(stranger_id)
        del self.strangers[stranger_id]
        self.check_revision()

    @precondition(lambda self: self.denied or self.strangers)
    @rule(name=NAMES, data=st.data())
    def enroll_denied_face(self, name: str, data: st.DataObject) -> None:
        """An enrolled face takes precedence over an earlier denial."""
        face = data.draw(st.sampled_from([*(face for _, face in self.denied), *self.strangers.values()]))
        if any(face is sample for samples in self.expected.values() for sample in samples.values()):
            return
        (outcome,) = self.gallery.enroll(name, [face])
        self.highest_id = outcome.sample_id
        self.expected.setdefault(name_key(name), {})[outcome.sample_id] = face
        self.spelling.setdefault(name_key(name), normalize_name(name))
        self.denied = [(key, other) for key, other in self.denied if key != name_key(name) or other is not face]
        self.strangers = {stranger_id: other for stranger_id, other in self.strangers.items() if other is not face}
        self.check_revision()

    @precondition(lambda self: self.expected)
    @rule(new_name=NAMES, data=st.data())
    def rename(self, new_name: str, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(sorted(self.expected)))
        if name_key(new_name) in self.expected and name_key(new_name) != old:
            with pytest.raises(PersonExistsError):
                self.gallery.rename(old, new_name)
            return
        self.gallery.rename(old, new_name)
        samples = self.expected.pop(old)
        del self.spelling[old]
        self.expected[name_key(new_name)] = samples
        self.spelling[name_key(new_name)] = normalize_name(new_name)
        self.denied = [(name_key(new_name) if key == old else key, face) for key, face in self.denied]
        self.check_revision()

    @precondition(lambda self: len(self.expected) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        into, *sources = data.draw(st.lists(st.sampled_from(sorted(self.expected)), min_size=2, unique=True))
        merged = self.gallery.merge(sources, into)
        for source in sources:
            self.expected[into] |= self.expected.pop(source)
            del self.spelling[source]
        self.denied = self.merge_denials(sources, into)
        assert merged.sample_count == len(self.expected[into])
        self.check_revision()

    def merge_denials(self, sources: list[str], into: str) -> list[tuple[str, NewSample]]:
        denied: list[tuple[str, NewSample]] = []
        for key, face in self.denied:
            new_key = into if key in sources else key
            is_sample = new_key == into and any(face is sample for sample in self.expected[into].values())
            if not is_sample and all(other_key != new_key or other is not face for other_key, other in denied):
                denied.append((new_key, face))
        return denied

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.expected)))
        assert self.gallery.forget(self.spelling.pop(key)).sample_count == len(self.expected.pop(key))
        self.denied = [(other_key, face) for other_key, face in self.denied if other_key != key]
        self.check_revision()

    @precondition(lambda self: any(self.expected.values()))
    @rule(data=st.data())
    def remove_sample(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(key for key, samples in self.expected.items() if samples)))
        sample_id = data.draw(st.sampled_from(sorted(self.expected[key])))
        self.gallery.remove_sample(sample_id)
        del self.expected[key][sample_id]
        self.check_revision()

    @rule()
    def reopen(self) -> None:
        self.gallery.close()
        self.gallery = Gallery.open(self.path, self.faces.pack)

    @rule()
    def search(self) -> None:
        """The index is opened only occasionally, after several changes."""
        index = open_index(self.gallery)
        keys = {sample_id: key for key, samples in self.expected.items() for sample_id in samples}
        assert index.revision == self.revision
        people = index.people
        assert (0 if people is None else people.count) == len(keys)
        if people is None:
            return
        sample_ids = sorted(keys)
        probes = np.stack([self.expected[keys[sample_id]][sample_id].vectors["plain"] for sample_id in sample_ids])
        rows_by_probe = people.nearest_samples.within(probes.astype(np.float64), 1 - 1e-6)
        for sample_id, rows in zip(sample_ids, rows_by_probe, strict=True):
            person_indices = people.person_ids[people.person_indices(rows)].tolist()
            assert [index.names[person] for person in person_indices] == [self.spelling[keys[sample_id]]]

    @invariant()
    def check_people(self) -> None:
        counts = {person.name: person.sample_count for person in self.gallery.people()}
        assert counts == {self.spelling[key]: len(samples) for key, samples in self.expected.items()}
        assert self.gallery.revision == self.revision

    @invariant()
    def check_samples(self) -> None:
        for key, samples in self.expected.items():
            enrolled = {sample.id: sample for sample in self.gallery.samples(self.spelling[key])}
            assert enrolled.keys() == samples.keys()
            assert all(enrolled[sample_id].path == new.path for sample_id, new in samples.items())
            assert all(self.gallery.thumbnail(sample_id) == new.thumbnail for sample_id, new in samples.items())

    @invariant()
    def check_feedback(self) -> None:
        ids_by_key = {name_key(name): person_id for person_id, name in self.gallery.names().items()}
        for _, face in self.denied:
            expected = {ids_by_key[key] for key, other in self.denied if other is face}
            assert self.gallery.denials_of(FaceKey.from_sample(face)) == expected
        for samples in self.expected.values():
            for sample in samples.values():
                if all(face is not sample for _, face in self.denied):
                    assert self.gallery.denials_of(FaceKey.from_sample(sample)) == set()
        table = self.gallery.strangers()
        assert table.stranger_ids.tolist() == sorted(self.strangers)
        expected_rows = [self.strangers[stranger_id].vectors["plain"] for stranger_id in sorted(self.strangers)]
        np.testing.assert_array_equal(table.matrix, np.array(expected_rows).reshape(-1, self.faces.dimension))


def test_a_gallery_behaves_like_a_dictionary(random_faces: type[FaceFactory]) -> None:
    GalleryMachine.faces_class = random_faces
    run_state_machine_as_test(GalleryMachine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
