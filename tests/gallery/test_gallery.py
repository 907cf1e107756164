"""What can be done with people and samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import (
    InvalidNameError,
    PackMismatchError,
    PersonExistsError,
    PersonNotFoundError,
    StorageError,
    UsageError,
)
from facebank.faces import Detection
from facebank.gallery import EnrolledSample, Gallery, PackIdentity

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from facebank.gallery import NewSample
    from tests.gallery.conftest import Faces


def boxed(sample: NewSample, x1: float, y1: float, x2: float, y2: float) -> Detection:
    return replace(sample.detection, box=np.array([x1, y1, x2, y2], dtype=np.float32))


# Enrolling ------------------------------------------------------------------------------------------------------


def test_what_is_enrolled_comes_back_as_it_was(gallery: Gallery, faces: Faces) -> None:
    new = faces.sample(taken_at=datetime(1999, 12, 31, 23, 59, tzinfo=UTC))
    (enrolled,) = gallery.enrol("Ada", [new])
    (sample,) = gallery.samples("Ada")
    assert enrolled == EnrolledSample(sample.id, None)
    assert sample.person == "Ada"
    np.testing.assert_array_equal(sample.detection.box, new.detection.box)
    np.testing.assert_array_equal(sample.detection.landmarks, new.detection.landmarks)
    assert sample.detection.score == new.detection.score
    assert (sample.quality, sample.source, sample.content_hash) == (new.quality, new.source, new.content_hash)
    assert (sample.quarter_turns, sample.taken_at) == (new.quarter_turns, new.taken_at)
    assert abs((datetime.now(UTC) - sample.enrolled_at).total_seconds()) < 3600
    assert sample.has_thumbnail
    assert gallery.thumbnail(sample.id) == new.thumbnail
    for variant in ("plain", "flip"):
        table = gallery.vectors(variant)
        np.testing.assert_array_equal(table.matrix, [new.vectors[variant]])
        assert table.sample_ids.tolist() == [sample.id]
    assert gallery.variants() == ["flip", "plain"]


def test_it_is_there_when_the_file_is_opened_again(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(3))
    gallery.enrol("Bob", faces.samples(2))
    people, vectors = gallery.people(), gallery.vectors()
    gallery.close()
    with Gallery.open(gallery.path, faces.pack) as again:
        assert again.people() == people
        assert [(person.name, person.sample_count) for person in people] == [("Ada", 3), ("Bob", 2)]
        np.testing.assert_array_equal(again.vectors().matrix, vectors.matrix)
        assert again.index().count == 5


def test_a_sample_needs_neither_thumbnail_nor_time(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", [faces.sample(thumbnail=None, taken_at=None)])
    (sample,) = gallery.samples("Ada")
    assert not sample.has_thumbnail
    assert gallery.thumbnail(sample.id) is None
    assert sample.taken_at is None
    assert gallery.thumbnail(999) is None


@pytest.mark.parametrize("source", ["/photos/\udcff\udce9.jpg", "C:\\photos\\愛達.jpg", "line\nbreak", 'it\'s "x"; --'])
def test_a_photo_may_lie_anywhere(gallery: Gallery, faces: Faces, source: str) -> None:
    gallery.enrol("Robert'); DROP TABLE people;--", [faces.sample(source=source)])
    (person,) = gallery.people()
    assert gallery.samples(person.name)[0].source == source


def test_a_name_is_found_whatever_its_case_and_normal_form(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Zo\u00eb  Straße", faces.samples(1))
    gallery.enrol("ZOE\u0308 STRASSE", faces.samples(1))
    assert [person.name for person in gallery.people()] == ["Zo\u00eb Straße"]
    assert gallery.person("zoë strasse").sample_count == 2


def test_people_come_in_the_order_of_their_names(gallery: Gallery, faces: Faces) -> None:
    for name in ("bob", "Ada", "Carl"):
        gallery.enrol(name, faces.samples(1))
    assert [person.name for person in gallery.people()] == ["Ada", "bob", "Carl"]
    assert gallery.names() == {1: "bob", 2: "Ada", 3: "Carl"}


def test_a_person_can_be_written_down_without_samples(gallery: Gallery) -> None:
    before = gallery.revision
    assert gallery.enrol("Ada", []) == []
    assert gallery.person("Ada").sample_count == 0
    assert gallery.revision > before
    assert gallery.samples("Ada") == []


def test_several_people_are_enrolled_together_or_not_at_all(gallery: Gallery, faces: Faces) -> None:
    good, twin = faces.samples(2)
    outcomes = gallery.enrol_people([("Ada", [good]), ("Bob", [twin, good])])
    assert [[outcome.duplicate_of_person for outcome in person] for person in outcomes] == [[None], [None, "Ada"]]
    with pytest.raises(InvalidNameError):
        gallery.enrol_people([("Carl", faces.samples(1)), ("a/b", faces.samples(1))])
    with pytest.raises(UsageError):
        gallery.enrol_people([("Carl", faces.samples(1)), ("Dora", [faces.sample(content_hash="x")])])
    assert [person.name for person in gallery.people()] == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"content_hash": "abc"}, "SHA-256"),
        ({"quarter_turns": 4}, "turned"),
        ({"quality": float("nan")}, "finite"),
        ({"thumbnail": b"x" * (256 * 1024 + 1)}, "thumbnail"),
        ({"source": "x" * 40_000}, "path"),
        ({"vectors": {}}, "plain"),
        ({"vectors": {"flip": np.eye(16, dtype=np.float32)[0]}}, "plain"),
        ({"vectors": {"plain": np.eye(15, dtype=np.float32)[0]}}, r"shape \(16,\) but got \(15,\)"),
        ({"vectors": {"plain": np.full(16, np.nan, np.float32)}}, "finite"),
        ({"vectors": {"plain": np.zeros(16, np.float32)}}, "L2-normalised"),
        ({"vectors": {"plain": np.eye(16, dtype=np.float32)[0], "a b": np.eye(16, dtype=np.float32)[0]}}, "variant"),
        ({"detection": Detection(np.zeros(3, np.float32), np.zeros((5, 2), np.float32), 0.5)}, r"shape \(4,\)"),
        ({"detection": Detection(np.zeros(4, np.float32), np.zeros((5, 3), np.float32), 0.5)}, r"shape \(5, 2\)"),
    ],
)
def test_what_is_no_sample_is_refused(gallery: Gallery, faces: Faces, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        gallery.enrol("Ada", [faces.sample(), faces.sample(**change)])
    assert gallery.people() == []


# The same face twice ----------------------------------------------------------------------------------------------


def test_the_same_face_is_enrolled_once(gallery: Gallery, faces: Faces) -> None:
    samples = faces.samples(3)
    first = gallery.enrol("Ada", samples)
    revision = gallery.revision
    again = gallery.enrol("ada", samples)
    assert [outcome.sample_id for outcome in again] == [outcome.sample_id for outcome in first]
    assert {outcome.duplicate_of_person for outcome in again} == {"Ada"}
    assert gallery.person("Ada").sample_count == 3
    assert gallery.revision == revision


def test_the_same_face_within_one_call_is_enrolled_once(gallery: Gallery, faces: Faces) -> None:
    sample = faces.sample()
    outcomes = gallery.enrol("Ada", [sample, sample])
    assert [outcome.duplicate_of_person for outcome in outcomes] == [None, "Ada"]
    assert gallery.person("Ada").sample_count == 1


def test_a_face_of_somebody_else_is_told_whose_it_is(gallery: Gallery, faces: Faces) -> None:
    sample = faces.sample()
    (ada,) = gallery.enrol("Ada", [sample])
    assert gallery.enrol("Bob", [sample]) == [EnrolledSample(ada.sample_id, "Ada")]
    with pytest.raises(PersonNotFoundError):
        gallery.person("Bob")


def test_the_same_box_of_the_same_photo_is_the_same_face(gallery: Gallery, faces: Faces) -> None:
    sample = faces.sample()
    gallery.enrol("Ada", [replace(sample, detection=boxed(sample, 100, 100, 200, 220))])
    anew = replace(sample, detection=boxed(sample, 104, 98, 207, 222), vectors={"plain": faces.vector()})
    assert gallery.enrol("Ada", [anew])[0].duplicate_of_person == "Ada"


@pytest.mark.parametrize("box", [(300, 100, 400, 220), (160, 100, 260, 220), (100, 100, 130, 130)])
def test_two_faces_of_one_photo_are_two_samples(gallery: Gallery, faces: Faces, box: tuple[float, ...]) -> None:
    sample = faces.sample()
    gallery.enrol("Ada", [replace(sample, detection=boxed(sample, 100, 100, 200, 220))])
    other = replace(sample, detection=boxed(sample, *box), vectors={"plain": faces.vector()})
    assert gallery.enrol("Bob", [other])[0].duplicate_of_person is None


def test_boxes_of_a_photo_turned_differently_say_nothing(gallery: Gallery, faces: Faces) -> None:
    sample = faces.sample(quarter_turns=0)
    gallery.enrol("Ada", [sample])
    turned = replace(sample, quarter_turns=1, vectors={"plain": faces.vector()})
    assert gallery.enrol("Bob", [turned])[0].duplicate_of_person is None


@pytest.mark.parametrize(("distance", "same"), [(0.0, True), (0.5e-4, True), (2e-4, False)])
def test_embeddings_this_near_are_one_face(gallery: Gallery, faces: Faces, distance: float, same: bool) -> None:
    for _ in range(30):
        gallery.enrol("Others", faces.samples(1))
    vector = faces.vector().astype(np.float64)
    aside = np.linalg.svd(vector[None])[2][5]  # at a right angle
    copied = ((vector + distance * aside) / np.linalg.norm(vector + distance * aside)).astype(np.float32)
    gallery.enrol("Ada", [faces.sample(vectors={"plain": vector.astype(np.float32)})])
    (outcome,) = gallery.enrol("Bob", [faces.sample(vectors={"plain": copied})])
    assert outcome.duplicate_of_person == ("Ada" if same else None)


# Renaming and merging -----------------------------------------------------------------------------------------------


def test_renaming_keeps_every_sample(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(2))
    before = [sample.id for sample in gallery.samples("Ada")]
    renamed = gallery.rename("ada", "  Augusta Ada ")
    assert (renamed.id, renamed.name, renamed.sample_count) == (1, "Augusta Ada", 2)
    assert [sample.id for sample in gallery.samples("Augusta Ada")] == before
    with pytest.raises(PersonNotFoundError, match="'Ada'"):
        gallery.person("Ada")


def test_only_the_case_of_a_name_can_be_changed(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("ada", faces.samples(1))
    assert gallery.rename("ada", "ADA").name == "ADA"
    assert gallery.names() == {1: "ADA"}


def test_two_people_cannot_have_one_name(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(1))
    gallery.enrol("Bob", faces.samples(1))
    with pytest.raises(PersonExistsError, match="merge"):
        gallery.rename("Bob", "ADA")
    with pytest.raises(InvalidNameError):
        gallery.rename("Bob", "a/b")
    assert list(gallery.names().values()) == ["Ada", "Bob"]


def test_merging_keeps_every_sample(gallery: Gallery, faces: Faces) -> None:
    for name, count in (("Ada", 2), ("Augusta", 3), ("Lady L.", 1), ("Bob", 1)):
        gallery.enrol(name, faces.samples(count))
    merged = gallery.merge(["augusta", "Lady L.", "Ada"], into="ada")
    assert (merged.id, merged.name, merged.sample_count) == (1, "Ada", 6)
    assert gallery.names() == {1: "Ada", 4: "Bob"}
    assert len(gallery.vectors().sample_ids) == 7


def test_merging_with_somebody_unknown_changes_nothing(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(1))
    gallery.enrol("Bob", faces.samples(1))
    revision = gallery.revision
    with pytest.raises(PersonNotFoundError, match="Nobody"):
        gallery.merge(["Bob", "Nobody"], into="Ada")
    with pytest.raises(PersonNotFoundError, match="Carl"):
        gallery.merge(["Bob"], into="Carl")
    for sources in ([], ["ADA"]):
        with pytest.raises(UsageError, match="other"):
            gallery.merge(sources, into="Ada")
    assert gallery.revision == revision
    assert list(gallery.names().values()) == ["Ada", "Bob"]


# Removing -------------------------------------------------------------------------------------------------------


def test_a_forgotten_person_is_gone(gallery: Gallery, faces: Faces) -> None:
    samples = faces.samples(3)
    gallery.enrol("Ada", samples)
    gallery.enrol("Bob", faces.samples(1))
    forgotten = gallery.forget("ADA")
    assert (forgotten.samples, forgotten.busy_readers) == (3, False)
    assert gallery.names() == {2: "Bob"}
    assert gallery.index().count == 1
    assert gallery.thumbnail(1) is None
    with pytest.raises(PersonNotFoundError):
        gallery.forget("Ada")


def test_a_forgotten_person_can_come_back_under_other_numbers(gallery: Gallery, faces: Faces) -> None:
    samples = faces.samples(2)
    gallery.enrol("Ada", samples)
    gallery.forget("Ada")
    outcomes = gallery.enrol("Ada", samples)
    assert gallery.person("Ada").id == 2
    assert [outcome.sample_id for outcome in outcomes] == [3, 4]


def test_a_removed_sample_is_gone_and_its_person_stays(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(2))
    assert gallery.remove_sample(1).samples == 1
    assert [sample.id for sample in gallery.samples("Ada")] == [2]
    gallery.remove_sample(2)
    assert gallery.person("Ada").sample_count == 0
    assert gallery.index().count == 0
    with pytest.raises(UsageError, match="sample 2"):
        gallery.remove_sample(2)


# Revision, index, snapshot -----------------------------------------------------------------------------------------


def test_every_change_advances_the_revision(gallery: Gallery, faces: Faces) -> None:
    seen = [gallery.revision]
    for change in (
        lambda: gallery.enrol("Ada", faces.samples(2)),
        lambda: gallery.enrol("Bob", faces.samples(1)),
        lambda: gallery.rename("Bob", "Bobby"),
        lambda: gallery.merge(["Bobby"], "Ada"),
        lambda: gallery.remove_sample(1),
        lambda: gallery.forget("Ada"),
    ):
        change()
        seen.append(gallery.revision)
    assert seen == sorted(set(seen))


def test_the_index_follows_the_gallery(gallery: Gallery, faces: Faces) -> None:
    ada, bob = faces.samples(2), faces.samples(1)
    assert gallery.index().count == 0
    gallery.enrol("Ada", ada)
    gallery.enrol("Bob", bob)
    index = gallery.index()
    query = bob[0].vectors["plain"][None]
    assert (index.count, index.revision) == (3, gallery.revision)
    assert index.search(query, 1).person_ids.tolist() == [[2]]
    gallery.merge(["Bob"], "Ada")
    assert gallery.index().search(query, 1).person_ids.tolist() == [[1]]
    gallery.remove_sample(3)
    assert 3 not in gallery.index().search(query, 9).sample_ids
    assert gallery.index() is index


def test_the_index_follows_what_others_do(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(2))
    assert gallery.index().count == 2
    with Gallery.open(gallery.path, faces.pack) as other:
        other.forget("Ada")
        other.enrol("Bob", faces.samples(3))
        assert set(gallery.index().search(faces.vector()[None], 9).person_ids.ravel().tolist()) == {2}
        assert gallery.index().revision == gallery.revision == other.revision


def test_an_index_that_disagrees_is_built_anew(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(3))
    gallery.index().delete_person(1)
    gallery.enrol("Bob", faces.samples(1))
    assert gallery.index().count == 4


def test_a_snapshot_stays_as_it_is(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(1))
    with Gallery.open(gallery.path, faces.pack) as other, gallery.snapshot():
        before = gallery.revision
        other.enrol("Bob", faces.samples(2))
        assert gallery.revision == before
        assert len(gallery.people()) == gallery.index().count == 1
        with pytest.raises(UsageError, match="snapshot"):
            gallery.enrol("Carl", faces.samples(1))
    assert gallery.index().count == 3


# Another pack -----------------------------------------------------------------------------------------------------


def test_another_pack_is_refused_and_the_way_out_told(gallery: Gallery, faces: Faces) -> None:
    gallery.close()
    with pytest.raises(PackMismatchError, match=r"'opencv' .*'buffalo_l'.*--pack opencv.*people re-embed"):
        Gallery.open(gallery.path, faces.other_pack)
    for pack in (PackIdentity("renamed", faces.pack.digest, faces.dimension), None):
        with Gallery.open(gallery.path, pack) as opened:
            assert opened.pack == faces.pack


def test_a_gallery_goes_over_to_another_pack(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(2))
    gallery.enrol("Bob", faces.samples(1))
    assert gallery.index().dimension == 16
    anew = {number: {"plain": faces.vector(24)} for number in (1, 3)}
    gallery.rebind(faces.other_pack, anew, dropped=[2])
    assert gallery.pack == faces.other_pack
    assert gallery.variants() == ["plain"]
    np.testing.assert_array_equal(gallery.vectors().matrix, [anew[1]["plain"], anew[3]["plain"]])
    assert (gallery.index().dimension, gallery.index().count) == (24, 2)
    assert gallery.person("Ada").sample_count == 1
    gallery.close()
    with Gallery.open(gallery.path, faces.other_pack) as again:
        assert again.index().count == 2
    with pytest.raises(PackMismatchError):
        Gallery.open(gallery.path, faces.pack)


def test_a_gallery_is_re_embedded_with_the_same_pack(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(1))
    assert gallery.index().count == 1
    vector = faces.vector()
    gallery.rebind(faces.pack, {1: {"plain": vector}})
    np.testing.assert_allclose(gallery.index().search(vector[None], 1).similarities, 1, atol=1e-6)


@pytest.mark.parametrize(("embedded", "dropped"), [([1], []), ([1, 2, 3], []), ([1, 2], [2]), ([1], [2, 3])])
def test_re_embedding_must_account_for_every_sample(
    gallery: Gallery, faces: Faces, embedded: list[int], dropped: list[int]
) -> None:
    gallery.enrol("Ada", faces.samples(2))
    with pytest.raises(UsageError, match="changed"):
        gallery.rebind(faces.other_pack, {number: {"plain": faces.vector(24)} for number in embedded}, dropped)
    with pytest.raises(UsageError, match="Sample 1 cannot"):
        gallery.rebind(faces.other_pack, {1: {"plain": faces.vector(16)}}, [2])
    assert gallery.pack == faces.pack
    assert gallery.index().count == 2


def test_who_still_uses_the_old_pack_is_stopped(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(1))
    with Gallery.open(gallery.path, faces.pack) as other:
        other.rebind(faces.other_pack, {1: {"plain": faces.vector(24)}})
        for use in (gallery.index, gallery.vectors, lambda: gallery.enrol("Bob", faces.samples(1))):
            with pytest.raises(PackMismatchError, match="buffalo_l"):
                use()
        assert [person.name for person in gallery.people()] == ["Ada"]


# Settings, reading only, closing --------------------------------------------------------------------------------------


def test_settings_are_kept(gallery: Gallery) -> None:
    revision = gallery.revision
    value = {"threshold": 0.4, "names": ["Ada", "Zoë"], "nothing": None}
    gallery.write_setting("decisions", value)
    gallery.write_setting("other", 1)
    assert gallery.read_setting("decisions") == value
    gallery.write_setting("decisions", None)
    assert gallery.read_setting("decisions") is None
    assert gallery.read_setting("other") == 1
    assert gallery.revision == revision


@pytest.mark.parametrize("value", [float("nan"), object(), "x" * 70_000, {1, 2}])
def test_what_is_no_setting_is_refused(gallery: Gallery, value: object) -> None:
    with pytest.raises(UsageError, match="'key' cannot be kept"):
        gallery.write_setting("key", value)


def test_a_gallery_opened_for_reading_refuses_changes(gallery: Gallery, faces: Faces) -> None:
    gallery.enrol("Ada", faces.samples(1))
    with Gallery.open(gallery.path, faces.pack, read_only=True) as reader:
        assert reader.read_only
        assert reader.index().count == 1
        for change in (
            lambda: reader.enrol("Bob", faces.samples(1)),
            lambda: reader.forget("Ada"),
            lambda: reader.write_setting("key", 1),
        ):
            with pytest.raises(StorageError, match="opened for reading"):
                change()
    assert gallery.person("Ada").sample_count == 1
    assert not gallery.read_only


def test_a_closed_gallery_says_so(gallery: Gallery) -> None:
    gallery.close()
    gallery.close()
    with pytest.raises(UsageError, match="closed"):
        gallery.people()


def test_the_default_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from facebank.gallery import default_gallery_path

    monkeypatch.setenv("FACEBANK_GALLERY", str(tmp_path / "mine"))
    assert default_gallery_path() == tmp_path / "mine"
    monkeypatch.delenv("FACEBANK_GALLERY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_gallery_path().name == "gallery.facebank"
