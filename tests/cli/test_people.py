"""``facebank people``: list, show, set, rename, merge, forget, export, import and re-embed."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from tests.demo_photos import BIDEN

from .conftest import Run, Validate, copy_embedded_pack, copy_with_date, sample_counts

pytestmark = pytest.mark.usefixtures("two_people")


def test_list_shows_people_with_their_samples(run: Run, validate: Validate) -> None:
    records = run("people", "list", "--json").records
    validate("people-list", records)
    assert [record["person"] for record in records] == ["Barack Obama", "Eileen Collins"]
    assert [(record["samples"], record["photos"]) for record in records] == [(1, 1), (1, 1)]
    titles, *rows = run("people", "list").out.splitlines()
    assert titles == "person\tsamples\tphotos\tenrolled"
    assert rows[0].startswith("Barack Obama\t1\t1\t")


def test_show_ignores_the_case_of_names(run: Run, portrait: Path, validate: Validate) -> None:
    records = run("people", "show", "barack OBAMA", "--json").records
    validate("people-show", records)
    assert [(record["person"], record["image"]) for record in records] == [("Barack Obama", str(portrait))]
    assert str(portrait) in run("people", "show", "Barack Obama").out


def test_show_writes_a_page_of_the_faces(run: Run, portrait: Path, tmp_path: Path) -> None:
    result = run("people", "show", "barack obama", "--out", "faces.html")
    assert "page: faces.html" in result.err
    text = (tmp_path / "faces.html").read_text("utf-8")
    assert "<h1>Samples of Barack Obama</h1>" in text
    assert text.count('src="data:image/jpeg;base64,') == 1
    assert f'<b>1</b> <a href="{portrait.as_uri()}"' in text
    assert f"<span>quality {run('people', 'show', 'Barack Obama', '--json').records[0]['quality']:.2f}</span>" in text
    assert stat.S_IMODE((tmp_path / "faces.html").stat().st_mode) == 0o600
    assert "faces.html" in run("people", "forget", "Barack Obama").err


def test_show_opens_a_page_in_the_cache_until_the_person_is_forgotten(run: Run, browser: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    run("people", "show", "Barack Obama", "--open", BROWSER=str(browser), FACEBANK_CACHE=cache)
    (page,) = (tmp_path / "cache" / "pages").iterdir()
    assert browser.with_name("opened").read_text().split() == [page.as_uri()]
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    without_browser = run(
        "people", "show", "Barack Obama", "--open", BROWSER="/no/browser", PATH="/no", FACEBANK_CACHE=cache
    )
    assert "no browser could be started" in without_browser.err
    run("people", "forget", "Barack Obama", FACEBANK_CACHE=cache)
    assert not page.exists()


def test_a_birth_date_and_a_note_are_set_and_removed(run: Run, validate: Validate) -> None:
    result = run("people", "set", "barack obama", "--born", "1961-08", "--note", "44th \x1b[31mpresident", "--json")
    validate("people-set", result.records)
    (record,) = result.records
    assert (record["person"], record["born"], record["note"]) == ("Barack Obama", "1961-08", "44th \x1b[31mpresident")
    listed = run("people", "list", "--json").records
    validate("people-list", listed)
    assert [(record["born"], record["note"]) for record in listed] == [(record["born"], record["note"]), (None, None)]
    shown = run("people", "show", "Barack Obama", "--json").records
    validate("people-show", shown)
    assert {(record["born"], record["note"]) for record in shown} == {(record["born"], record["note"])}
    lines = run("people", "show", "Barack Obama").out.splitlines()
    assert lines[-2:] == ["born 1961-08", r"note: 44th \x1b[31mpresident"]
    assert run("people", "set", "Barack Obama", "--no-note").out == "Barack Obama\nborn 1961-08\n"
    assert "neither" in run("people", "set", "Barack Obama", "--born", "").out
    run("people", "rename", "Barack Obama", "Barack")
    assert run("people", "list", "--json").records[0]["born"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--born", "1961-13"), "YYYY-MM-DD"),
        (("--born", "61"), "YYYY-MM-DD"),
        (("--born", "1849"), "before 1850"),
        (("--born", "2999"), "in the future"),
        (("--note", "x" * 2001), "2,000 characters"),
        (("--born", "1961", "--no-born"), "exclude each other"),
        ((), "nothing to set"),
    ],
)
def test_set_refuses_invalid_values(run: Run, options: Sequence[str], message: str) -> None:
    result = run("people", "set", "Barack Obama", *options, code=2)
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert run("people", "list", "--json").records[0]["born"] is None


def test_show_warns_of_a_childs_old_samples(run: Run, speech: Path, tmp_path: Path, validate: Validate) -> None:
    old = (datetime.now(UTC) - timedelta(days=1000)).strftime("%Y:%m:%d %H:%M:%S")
    copy_with_date(speech, tmp_path / "old.jpg", old)
    run("enroll", "--name", "Child", "old.jpg", "--force")
    assert run("people", "show", "Child", "--json").records[0]["camera_dated"] is True
    born = (datetime.now(UTC) - timedelta(days=3650)).strftime("%Y-%m")
    assert "enroll a newer photo" in run("people", "set", "Child", "--born", born).err
    result = run("people", "show", "Child", "--json")
    validate("people-show", result.records)
    assert [warning["code"] for warning in result.records[0]["warnings"]] == ["outdated_samples"]
    assert "enroll a newer photo" in run("people", "show", "Child").err
    (finding,) = (record for record in run("audit", "--json").records if record["finding"] == "outdated_samples")
    assert finding["people"] == ["Child"]
    run("people", "set", "Child", "--born", f"{datetime.now(UTC).year}")
    codes = [warning["code"] for warning in run("people", "show", "Child", "--json").records[0]["warnings"]]
    assert codes == ["outdated_samples", "dated_before_birth"]
    validate("audit", run("audit", "--json").records)
    run("people", "set", "Child", "--no-born")
    assert run("people", "show", "Child").err == ""


def test_file_dates_are_marked(run: Run, portrait: Path, speech: Path, tmp_path: Path) -> None:
    copy_with_date(speech, tmp_path / "dated.jpg", "2012:05:17 10:00:00")
    copy_with_date(portrait, tmp_path / "reset.jpg", "2000:01:01 00:00:00")
    with Image.open(speech) as photo:
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "plain.jpg")
    os.utime(tmp_path / "plain.jpg", (1_500_000_000, 1_500_000_000))
    run("enroll", "--name", "Dated", "dated.jpg", "reset.jpg", "plain.jpg", "--force", code=None)
    lines = [line.split("\t") for line in run("people", "show", "Dated").out.splitlines() if "\t" in line]
    shown = {Path(cells[1]).name: cells[4] for cells in lines[1:]}
    assert shown == {"dated.jpg": "2012-05-17", "reset.jpg": "", "plain.jpg": "2017-07-14 (file's date)"}


def test_a_person_is_renamed(run: Run, validate: Validate) -> None:
    records = run("people", "rename", "Barack Obama", "Barack  H. Obama ", "--json").records
    validate("people-rename", records)
    assert records[0]["person"] == "Barack H. Obama"
    assert sample_counts(run) == {"Barack H. Obama": 1, "Eileen Collins": 1}
    assert "people merge" in run("people", "rename", "Barack H. Obama", "eileen collins", code=2).err


def test_different_people_are_not_merged_or_imported_as_one(run: Run, validate: Validate) -> None:
    result = run("people", "merge", "Eileen Collins", "--into", "Barack Obama", code=2)
    assert "look like two people" in result.err
    assert "--force" in result.err
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1}
    run("people", "export", "backup")
    run("people", "merge", "Eileen Collins", "--into", "Barack Obama", "--force")
    run("people", "remove-sample", "2")
    run("people", "rename", "Barack Obama", "Eileen Collins")
    imported = run("people", "import", "backup", "--json", code=1)
    validate("people-import", imported.records)
    assert [refused["person"] for refused in imported.records[0]["refused"]] == ["Eileen Collins"]
    assert "unlike Eileen Collins" in imported.err


def test_merge_keeps_every_sample(run: Run, speech: Path, validate: Validate) -> None:
    run("enroll", "President", speech, "--force")
    run("people", "set", "President", "--born", "1961")
    run("people", "set", "Barack Obama", "--born", "1961-08-04")
    result = run("people", "merge", "President", "--into", "Barack Obama", "--json")
    validate("people-merge", result.records)
    assert result.records[0]["born"] == "1961-08-04"
    assert "the date of Barack Obama is kept" in result.err
    assert sample_counts(run) == {"Barack Obama": 2, "Eileen Collins": 1}


def test_audit_finds_a_wrong_merge_which_is_undone(run: Run, speech: Path, validate: Validate) -> None:
    run("people", "merge", "Eileen Collins", "--into", "Barack Obama", "--force")
    (finding, *_) = run("audit", "--json").records
    validate("audit", [finding])
    assert {"facebank people unmerge 'Barack Obama'", "facebank people split 'Barack Obama' --into NEW_NAME 2"} < set(
        finding["commands"]
    )
    shown = run("people", "show", "Barack Obama", "--json").records
    validate("people-show", shown)
    assert [record["person"] for record in shown[0]["merged"]] == ["Eileen Collins"]
    assert "Eileen Collins was joined on" in run("people", "show", "Barack Obama").out
    assert "merged into Barack Obama" in run("people", "show", "Eileen Collins", code=2).err
    unmerged = run("people", "unmerge", "Barack Obama", "--json").records
    validate("people-unmerge", unmerged)
    assert [(record["person"], record["samples"]) for record in unmerged] == [("Eileen Collins", 1)]
    run("enroll", "--force", "--name", "Eileen Collins", speech)
    split = run("people", "split", "Eileen Collins", "--into", "President", "3", "--json").records
    validate("people-split", split)
    assert split == [{"person": "Eileen Collins", "samples": 1, "into": "President", "moved": [3]}]
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1, "President": 1}


def test_forget_reports_the_removed_samples(run: Run, validate: Validate) -> None:
    records = run("people", "forget", "barack obama", "--json").records
    validate("people-forget", records)
    assert records == [
        {
            "person": "Barack Obama",
            "samples": 1,
            "files_with_name": 0,
            "busy_readers": False,
            "full_disk": False,
            "dry_run": False,
            "wiped": [],
            "stays": [],
            "mirrors": [],
        }
    ]
    assert sample_counts(run) == {"Eileen Collins": 1}
    assert run("people", "forget", "Eileen Collins").out == "Eileen Collins is forgotten, with 1 sample\n"


def test_forget_reports_busy_readers(run: Run, two_people: Path) -> None:
    with closing(sqlite3.connect(two_people)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        result = run("people", "forget", "Barack Obama", "--json")
    assert result.records[0]["busy_readers"] is True
    assert "reading the gallery" in result.err
    assert sample_counts(run) == {"Eileen Collins": 1}


def test_a_sample_is_removed(run: Run, validate: Validate) -> None:
    (sample,) = run("people", "show", "Barack Obama", "--json").records
    records = run("people", "remove-sample", str(sample["sample_id"]), "--json").records
    validate("people-remove-sample", records)
    assert sample_counts(run) == {"Barack Obama": 0, "Eileen Collins": 1}
    run("people", "remove-sample", str(sample["sample_id"]), code=2)


def test_people_are_exported_and_imported_into_a_new_gallery(
    run: Run, tmp_path: Path, speech: Path, validate: Validate
) -> None:
    exported = run("people", "export", "backup", "--json").records
    validate("people-export", exported)
    assert (exported[0]["people"], exported[0]["samples"]) == (2, 2)
    other = tmp_path / "other.facebank"
    imported = run("--gallery", other, "people", "import", "backup", "--json").records
    validate("people-import", imported)
    assert imported == [{"people": 2, "samples": 2, "duplicates": 0, "duplicates_elsewhere": 0, "refused": []}]
    (record,) = run("--gallery", other, "identify", speech, "--json").records
    assert [face["person"] for face in record["faces"]] == ["Barack Obama"]
    again = run("--gallery", other, "people", "import", "backup", "--json").records
    assert again == [{"people": 0, "samples": 0, "duplicates": 2, "duplicates_elsewhere": 0, "refused": []}]


def test_one_person_is_exported(run: Run, tmp_path: Path) -> None:
    result = run("people", "export", "one", "--person", "Eileen Collins")
    assert result.out == f"1 person with 1 sample written to {tmp_path / 'one'}\n"
    assert "already exists" in run("people", "export", "one", code=2).err


def test_re_embed_with_the_same_pack_changes_no_result(run: Run, speech: Path, validate: Validate) -> None:
    before = run("identify", speech, "--json").records
    records = run("people", "re-embed", "--json").records
    validate("people-re-embed", records)
    unfinished = {"lost": [], "busy_readers": False, "full_disk": False, "mirrors": []}
    assert records == [{"changed": True, "pack": "opencv", "embedded": 2, **unfinished}]
    after = run("identify", speech, "--json").records
    assert after[0]["faces"][0]["person"] == before[0]["faces"][0]["person"] == "Barack Obama"
    assert after[0]["faces"][0]["similarity"] == pytest.approx(before[0]["faces"][0]["similarity"], abs=1e-4)


def test_re_embed_changes_the_pack_of_a_gallery(run: Run, tmp_path: Path, speech: Path) -> None:
    other = tmp_path / "flipped"
    copy_embedded_pack(other)
    manifest = (other / "pack.toml").read_text().replace('name = "opencv"', 'name = "flipped"')
    (other / "pack.toml").write_text(manifest.replace("flip = false", "flip = true"))
    mismatch = run("--pack", other, "identify", speech, code=2)
    assert "people re-embed" in mismatch.err
    assert "'opencv'" in mismatch.err
    assert "'flipped'" in mismatch.err
    run("--pack", other, "people", "re-embed")
    (record,) = run("--pack", other, "identify", speech, "--json").records
    assert [face["person"] for face in record["faces"]] == ["Barack Obama"]


def test_re_embed_requires_all_photos_or_drop_missing(run: Run, tmp_path: Path) -> None:
    lost = tmp_path / "joe.jpg"
    lost.write_bytes(BIDEN.read_bytes())
    run("enroll", "Joe", "joe.jpg")
    lost.unlink()
    result = run("people", "re-embed", "--json", code=2)
    assert [(record["changed"], record["embedded"]) for record in result.records] == [(False, 2)]
    assert [sample["person"] for sample in result.records[0]["lost"]] == ["Joe"]
    assert str(lost) in result.err
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1, "Joe": 1}
    run("people", "re-embed", "--drop-missing", code=1)
    assert sample_counts(run) == {"Barack Obama": 1, "Eileen Collins": 1, "Joe": 0}


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["rename", "--", "Nobody"],
        ["forget"],
        ["merge", "--into", "Barack Obama"],
        ["export", "x", "--person"],
    ],
)
def test_an_unknown_name_is_refused_in_one_sentence(run: Run, command: list[str]) -> None:
    result = run("people", *command, "Nobody", code=2)
    assert result.err == "facebank: Nobody called 'Nobody' is enrolled: 'facebank people list' lists the people.\n"
