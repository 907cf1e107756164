"""Exports and imports round-trip."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import ExchangeError, PersonNotFoundError, StorageError
from facebank.gallery import Gallery, ImportReport, export_gallery, import_gallery

if TYPE_CHECKING:
    from tests.gallery.conftest import FaceFactory


def contents(gallery: Gallery) -> dict[str, list[Any]]:
    """Return everything stored about everybody except for sample IDs, which differ between galleries."""
    tables = {variant: gallery.vectors(variant) for variant in gallery.variants()}
    people: dict[str, list[Any]] = {}
    for person in gallery.people():
        people[person.name] = [
            (person.born, person.note),
            *[
                (
                    sample.path,
                    sample.content_hash,
                    sample.box.tolist(),
                    sample.landmarks.tolist(),
                    (sample.detection_score, sample.quality, sample.quarter_turns),
                    (sample.taken_at, sample.enrolled_at, sample.masked, sample.camera_dated),
                    gallery.thumbnail(sample.id),
                    {
                        variant: table.matrix[table.sample_ids == sample.id].tolist()
                        for variant, table in tables.items()
                        if sample.id in table.sample_ids
                    },
                )
                for sample in gallery.samples(person.name)
            ],
        ]
    return people


def test_exports_are_imported_unchanged(gallery: Gallery, other_gallery: Gallery, export_folder: Path) -> None:
    assert import_gallery(other_gallery, export_folder) == ImportReport(
        person_count=3, sample_count=5, duplicates=0, duplicates_elsewhere=0
    )
    assert contents(other_gallery) == contents(gallery)
    assert len(other_gallery.vectors().sample_ids) == 5


def test_facts_and_metadata_are_exported(
    gallery: Gallery, other_gallery: Gallery, faces: FaceFactory, tmp_path: Path
) -> None:
    gallery.enroll("Ada", [faces.sample(masked=True), faces.sample(camera_dated=True), faces.sample()])
    gallery.describe("Ada", born="1985-06", note="\U0001f600" * 2000)
    gallery.enroll("Bob", faces.samples(1))
    import_gallery(other_gallery, export_gallery(gallery, tmp_path / "export").folder)
    assert contents(other_gallery) == contents(gallery)
    assert [sample.masked for sample in other_gallery.samples("Ada")] == [True, False, False]
    assert [sample.camera_dated for sample in other_gallery.samples("Ada")] == [False, True, False]
    assert other_gallery.birth_dates() == {other_gallery.person("Ada").id: "1985-06"}


def test_imports_add_missing_facts(
    gallery: Gallery, other_gallery: Gallery, faces: FaceFactory, tmp_path: Path
) -> None:
    gallery.enroll("Ada", faces.samples(1))
    gallery.enroll("Bob", [])
    gallery.describe("Ada", born="1985-06", note="from the sea")
    gallery.describe("Bob", born="1990")
    other_gallery.enroll("ada", [])
    other_gallery.enroll("BOB", [])
    other_gallery.describe("ada", note="tall")
    other_gallery.describe("Bob", born="1991")
    folder = export_gallery(gallery, tmp_path / "export").folder
    for _ in range(2):
        import_gallery(other_gallery, folder)
        ada = other_gallery.person("Ada")
        assert (ada.born, ada.note, other_gallery.person("Bob").born) == ("1985-06", "tall; from the sea", "1991")


def test_exports_without_the_newer_keys_are_read(other_gallery: Gallery, export_folder: Path) -> None:
    new_keys = {"people.jsonl": {"born", "note"}, "samples.jsonl": {"masked", "camera_dated"}}
    manifest = json.loads((export_folder / "manifest.json").read_text())
    for name, keys in new_keys.items():
        records = [json.loads(line) for line in (export_folder / name).read_text().splitlines()]
        assert all(keys <= record.keys() for record in records)
        older = [{key: record[key] for key in record if key not in keys} for record in records]
        content = "".join(json.dumps(record) + "\n" for record in older).encode()
        (export_folder / name).write_bytes(content)
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (export_folder / "manifest.json").write_text(json.dumps(manifest))
    assert import_gallery(other_gallery, export_folder) == ImportReport(
        person_count=3, sample_count=5, duplicates=0, duplicates_elsewhere=0
    )
    assert {(person.born, person.note) for person in other_gallery.people()} == {(None, None)}


def test_a_second_import_adds_nothing(other_gallery: Gallery, export_folder: Path) -> None:
    import_gallery(other_gallery, export_folder)
    before = contents(other_gallery)
    assert import_gallery(other_gallery, export_folder) == ImportReport(
        person_count=0, sample_count=0, duplicates=5, duplicates_elsewhere=0
    )
    assert contents(other_gallery) == before


def test_imports_merge_people_of_one_name(
    other_gallery: Gallery, export_folder: Path, random_faces: type[FaceFactory]
) -> None:
    faces = random_faces(1)
    other_gallery.enroll("ADA", faces.samples(2))
    assert import_gallery(other_gallery, export_folder).person_count == 2
    assert other_gallery.person("ada").sample_count == 6


def test_imports_report_faces_of_other_people(gallery: Gallery, other_gallery: Gallery, export_folder: Path) -> None:
    import_gallery(other_gallery, export_folder)
    other_gallery.rename("Ada", "Augusta")
    assert import_gallery(other_gallery, export_folder) == ImportReport(
        person_count=0, sample_count=0, duplicates=5, duplicates_elsewhere=4
    )
    assert "Ada" not in other_gallery.names().values()


def test_some_people_are_exported(
    gallery: Gallery, other_gallery: Gallery, export_folder: Path, tmp_path: Path
) -> None:
    export = export_gallery(gallery, tmp_path / "some", people=["zoë STRASSE", "Zoë Straße"])
    assert (export.person_count, export.sample_count) == (1, 1)
    import_gallery(other_gallery, export.folder)
    assert contents(other_gallery) == {"Zoë Straße": contents(gallery)["Zoë Straße"]}


def test_exporting_an_unknown_person_writes_nothing(gallery: Gallery, tmp_path: Path) -> None:
    gallery.enroll("Ada", [])
    with pytest.raises(PersonNotFoundError, match="Carl"):
        export_gallery(gallery, tmp_path / "none", people=["Ada", "Carl"])
    assert not (tmp_path / "none").exists()


def test_thumbnails_are_optional(gallery: Gallery, other_gallery: Gallery, export_folder: Path, tmp_path: Path) -> None:
    folder = export_gallery(gallery, tmp_path / "plain", thumbnails=False).folder
    assert not (folder / "thumbnails.npz").exists()
    import_gallery(other_gallery, folder)
    assert not any(sample.has_thumbnail for sample in other_gallery.samples("Ada"))
    assert (export_folder / "thumbnails.npz").exists()


def test_an_empty_gallery_is_exported(gallery: Gallery, other_gallery: Gallery, tmp_path: Path) -> None:
    folder = export_gallery(gallery, tmp_path / "empty").folder
    assert import_gallery(other_gallery, folder) == ImportReport(0, 0, 0, 0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 4), max_size=5), thumbnails=st.booleans())
def test_any_population_is_exported_and_imported(
    random_faces: type[FaceFactory], seed: int, counts: list[int], thumbnails: bool
) -> None:
    faces = random_faces(seed)
    options = {} if thumbnails else {"thumbnail": None}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with (
            Gallery.open(root / "source", faces.pack, create=True) as source,
            Gallery.open(root / "target", faces.pack, create=True) as target,
        ):
            source.enroll_people(
                [
                    (f"Person {number}", [faces.sample(**options) for _ in range(count)])
                    for number, count in enumerate(counts)
                ]
            )
            import_gallery(target, export_gallery(source, root / "export").folder)
            assert contents(target) == contents(source)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_only_its_owner_can_read_an_export(export_folder: Path) -> None:
    assert stat.S_IMODE(export_folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in export_folder.iterdir()} == {0o600}


def test_an_export_needs_a_new_or_empty_folder(gallery: Gallery, export_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert export_gallery(gallery, tmp_path / "empty").sample_count == 5
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for target in (export_folder, tmp_path / "file"):
        with pytest.raises(ExchangeError, match="already exists"):
            export_gallery(gallery, target)
    with pytest.raises(StorageError, match="cannot be written"):
        export_gallery(gallery, tmp_path / "file" / "below")
    assert sorted(tmp_path.rglob("*")) == before


def test_exports_have_the_documented_format(export_folder: Path) -> None:
    manifest = json.loads((export_folder / "manifest.json").read_text())
    assert manifest["format"] == "facebank-export"
    assert manifest["counts"]["samples"] == 5
    assert manifest["pack"] == {"name": "opencv", "digest": "ab" * 32, "dimension": 16}
    assert set(manifest["files"]) == {path.name for path in export_folder.iterdir()} - {"manifest.json"}
    people = [json.loads(line) for line in (export_folder / "people.jsonl").read_text().splitlines()]
    assert [(person["name"], person["samples"]) for person in people] == [
        ("Ada", 4),
        ("Nobody Yet", 0),
        ("Zoë Straße", 1),
    ]
    with np.load(export_folder / "vectors.npz", allow_pickle=False) as vectors:
        assert vectors["matrix"].shape == (10, 16)
