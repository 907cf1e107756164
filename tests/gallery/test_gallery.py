"""Operations on people and samples."""

from __future__ import annotations

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
from facebank.gallery import Gallery, PackIdentity, default_gallery_path
from facebank.index.gallery_index import open_index
from tests.index.nearest import nearest_person

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gallery.conftest import FaceFactory


def test_renaming_keeps_every_sample(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(2))
    before = [sample.id for sample in gallery.samples("Ada")]
    renamed = gallery.rename("ada", "  Augusta Ada ")
    assert (renamed.id, renamed.name, renamed.sample_count) == (1, "Augusta Ada", 2)
    assert [sample.id for sample in gallery.samples("Augusta Ada")] == before
    with pytest.raises(PersonNotFoundError, match="'Ada'"):
        gallery.person("Ada")


def test_renaming_can_change_only_the_case(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("ada", faces.samples(1))
    assert gallery.rename("ada", "ADA").name == "ADA"
    assert gallery.names() == {1: "ADA"}


def test_two_people_cannot_have_one_name(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    gallery.enroll("Bob", faces.samples(1))
    with pytest.raises(PersonExistsError, match="merge"):
        gallery.rename("Bob", "ADA")
    assert list(gallery.names().values()) == ["Ada", "Bob"]


def test_renaming_to_an_invalid_name_is_refused(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Bob", faces.samples(1))
    with pytest.raises(InvalidNameError):
        gallery.rename("Bob", "a/b")
    assert list(gallery.names().values()) == ["Bob"]


def test_merging_keeps_every_sample(gallery: Gallery, faces: FaceFactory) -> None:
    for name, count in (("Ada", 2), ("Augusta", 3), ("Lady L.", 1), ("Bob", 1)):
        gallery.enroll(name, faces.samples(count))
    merged = gallery.merge(["augusta", "Lady L.", "Ada"], into="ada")
    assert (merged.id, merged.name, merged.sample_count) == (1, "Ada", 6)
    assert gallery.names() == {1: "Ada", 4: "Bob"}
    assert len(gallery.vectors().sample_ids) == 7


def test_merging_an_unknown_person_changes_nothing(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    gallery.enroll("Bob", faces.samples(1))
    revision = gallery.revision
    with pytest.raises(PersonNotFoundError, match="Nobody"):
        gallery.merge(["Bob", "Nobody"], into="Ada")
    with pytest.raises(PersonNotFoundError, match="Carl"):
        gallery.merge(["Bob"], into="Carl")
    assert gallery.revision == revision
    assert list(gallery.names().values()) == ["Ada", "Bob"]


@pytest.mark.parametrize("names", [[], ["ADA"]])
def test_merging_needs_another_person(gallery: Gallery, faces: FaceFactory, names: list[str]) -> None:
    gallery.enroll("Ada", faces.samples(1))
    with pytest.raises(UsageError, match="other"):
        gallery.merge(names, into="Ada")


def test_a_forgotten_person_is_gone(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(3)
    gallery.enroll("Ada", samples)
    gallery.enroll("Bob", faces.samples(1))
    forgotten = gallery.forget("ADA")
    assert (forgotten.sample_count, forgotten.busy_readers) == (3, False)
    assert gallery.names() == {2: "Bob"}
    assert len(gallery.vectors().sample_ids) == 1
    assert gallery.thumbnail(1) is None
    with pytest.raises(PersonNotFoundError):
        gallery.forget("Ada")


def test_a_forgotten_person_is_enrolled_with_new_ids(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(2)
    gallery.enroll("Ada", samples)
    gallery.forget("Ada")
    outcomes = gallery.enroll("Ada", samples)
    assert gallery.person("Ada").id == 2
    assert [outcome.sample_id for outcome in outcomes] == [3, 4]


def test_removing_a_sample_keeps_the_person(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(2))
    assert gallery.remove_sample(1).sample_count == 1
    assert [sample.id for sample in gallery.samples("Ada")] == [2]
    gallery.remove_sample(2)
    assert gallery.person("Ada").sample_count == 0
    assert len(gallery.vectors().sample_ids) == 0
    with pytest.raises(UsageError, match="sample 2"):
        gallery.remove_sample(2)


def test_every_change_advances_the_revision(gallery: Gallery, faces: FaceFactory) -> None:
    revisions = [gallery.revision]
    for change in (
        lambda: gallery.enroll("Ada", faces.samples(2)),
        lambda: gallery.enroll("Bob", faces.samples(1)),
        lambda: gallery.rename("Bob", "Bobby"),
        lambda: gallery.merge(["Bobby"], "Ada"),
        lambda: gallery.remove_sample(1),
        lambda: gallery.forget("Ada"),
    ):
        change()
        revisions.append(gallery.revision)
    assert revisions == sorted(set(revisions))


def test_the_index_follows_the_gallery(gallery: Gallery, faces: FaceFactory) -> None:
    ada, bob = faces.samples(2), faces.samples(1)
    assert len(gallery.vectors().sample_ids) == 0
    gallery.enroll("Ada", ada)
    gallery.enroll("Bob", bob)
    probe = bob[0].vectors["plain"]
    assert open_index(gallery).revision == gallery.revision
    assert nearest_person(gallery, probe) == 2
    gallery.merge(["Bob"], "Ada")
    assert nearest_person(gallery, probe) == 1
    gallery.remove_sample(3)
    index = open_index(gallery)
    assert index.people is not None
    assert index.people.count == 2


def test_the_index_follows_other_connections(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(2))
    assert len(gallery.vectors().sample_ids) == 2
    with Gallery.open(gallery.path, faces.pack) as other:
        other.forget("Ada")
        other.enroll("Bob", faces.samples(3))
        assert nearest_person(gallery, faces.vector()) == 2
        assert open_index(gallery).revision == gallery.revision == other.revision


def test_a_snapshot_does_not_change(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    with Gallery.open(gallery.path, faces.pack) as other, gallery.snapshot():
        before = gallery.revision
        other.enroll("Bob", faces.samples(2))
        assert gallery.revision == before
        assert len(gallery.people()) == len(gallery.vectors().sample_ids) == 1
        with pytest.raises(UsageError, match="snapshot"):
            gallery.enroll("Carl", faces.samples(1))
    assert len(gallery.vectors().sample_ids) == 3


def test_another_pack_is_rejected_with_advice(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.close()
    with pytest.raises(PackMismatchError, match=r"'opencv' .*'buffalo_l'.*--pack opencv.*people re-embed"):
        Gallery.open(gallery.path, faces.other_pack)
    for pack in (PackIdentity("renamed", faces.pack.digest, faces.dimension), None):
        with Gallery.open(gallery.path, pack) as opened:
            assert opened.pack == faces.pack


def test_a_gallery_is_re_embedded_with_another_pack(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(2))
    gallery.enroll("Bob", faces.samples(1))
    vectors = {sample_id: {"plain": faces.vector(24)} for sample_id in (1, 3)}
    gallery.rebind(faces.other_pack, vectors, dropped=[2])
    assert gallery.pack == faces.other_pack
    assert gallery.variants() == ["plain"]
    np.testing.assert_array_equal(gallery.vectors().matrix, [vectors[1]["plain"], vectors[3]["plain"]])
    assert gallery.vectors().matrix.shape == (2, 24)
    assert gallery.person("Ada").sample_count == 1
    gallery.close()
    with Gallery.open(gallery.path, faces.other_pack) as reopened:
        assert len(reopened.vectors().sample_ids) == 2
    with pytest.raises(PackMismatchError):
        Gallery.open(gallery.path, faces.pack)


def test_a_gallery_is_re_embedded_with_the_same_pack(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    assert len(gallery.vectors().sample_ids) == 1
    embedding = faces.vector()
    gallery.rebind(faces.pack, {1: {"plain": embedding}})
    np.testing.assert_allclose(gallery.vectors().matrix, [embedding], atol=1e-6)


@pytest.mark.parametrize(("embedded", "dropped"), [([1], []), ([1, 2, 3], []), ([1, 2], [2]), ([1], [2, 3])])
def test_re_embedding_must_account_for_every_sample(
    gallery: Gallery, faces: FaceFactory, embedded: list[int], dropped: list[int]
) -> None:
    gallery.enroll("Ada", faces.samples(2))
    with pytest.raises(UsageError, match="changed"):
        gallery.rebind(faces.other_pack, {sample_id: {"plain": faces.vector(24)} for sample_id in embedded}, dropped)
    with pytest.raises(UsageError, match="Sample 1 cannot"):
        gallery.rebind(faces.other_pack, {1: {"plain": faces.vector(16)}}, [2])
    assert gallery.pack == faces.pack
    assert len(gallery.vectors().sample_ids) == 2


def test_users_of_the_old_pack_get_an_error(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    with Gallery.open(gallery.path, faces.pack) as other:
        other.rebind(faces.other_pack, {1: {"plain": faces.vector(24)}})
        for use in (lambda: open_index(gallery), gallery.vectors, lambda: gallery.enroll("Bob", faces.samples(1))):
            with pytest.raises(PackMismatchError, match="buffalo_l"):
                use()
        assert [person.name for person in gallery.people()] == ["Ada"]


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
def test_invalid_settings_are_rejected(gallery: Gallery, value: object) -> None:
    with pytest.raises(UsageError, match="'key' cannot be stored"):
        gallery.write_setting("key", value)


def test_a_read_only_gallery_refuses_changes(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    with Gallery.open(gallery.path, faces.pack, read_only=True) as reader:
        assert reader.read_only
        assert len(reader.vectors().sample_ids) == 1
        for change in (
            lambda: reader.enroll("Bob", faces.samples(1)),
            lambda: reader.forget("Ada"),
            lambda: reader.write_setting("key", 1),
        ):
            with pytest.raises(StorageError, match="opened for reading"):
                change()
    assert gallery.person("Ada").sample_count == 1
    assert not gallery.read_only


def test_using_a_closed_gallery_raises(gallery: Gallery) -> None:
    gallery.close()
    gallery.close()
    with pytest.raises(UsageError, match="closed"):
        gallery.people()


def test_the_default_path_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEBANK_GALLERY", str(tmp_path / "mine"))
    assert default_gallery_path() == tmp_path / "mine"
    monkeypatch.delenv("FACEBANK_GALLERY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_gallery_path().name == "gallery.facebank"
