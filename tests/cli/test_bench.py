"""``facebank bench``: reports of every protocol, and errors."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.storage.arrays import normalized

from .conftest import Run, Validate

PEOPLE = ("Abdullah_Gul", "Alejandro_Toledo", "Alvaro_Uribe", "Amelie_Mauresmo")
STRANGERS = ("Aaron_Peirsol", "Ai_Sugiyama", "Al_Gore")


@pytest.fixture(scope="session")
def lfw(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LFW people with four, seven and one photos, and pairs in two folds."""
    folder = tmp_path_factory.mktemp("bench") / "lfw"
    for person, photo_count in zip(PEOPLE + STRANGERS, (4, 4, 7, 7, 1, 1, 1), strict=True):
        for path in sorted((shared / "data/lfw" / person).glob("*.jpg"))[:photo_count]:
            (folder / person).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / person)
    lines = ["2\t2"]
    for first, second in (PEOPLE[:2], PEOPLE[2:]):
        lines += [f"{first}\t1\t2", f"{second}\t1\t2", f"{first}\t1\t{second}\t1", f"{first}\t2\t{second}\t2"]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def test_lfw_writes_the_same_report_to_files_and_as_json(
    run: Run, lfw: Path, tmp_path: Path, validate: Validate
) -> None:
    result = run("bench", "lfw", lfw, "--out", "report", "--json")
    validate("bench-report", result.records)
    report = report_of(tmp_path / "report")
    assert result.records == [report]
    assert report["command"] == f"facebank bench lfw {lfw} --out report --json"
    assert (report["protocol"], report["seed"], report["pack"]["name"]) == ("lfw", 0, "opencv")
    accuracy = report["figures"]["accuracy"]
    assert 0 <= accuracy["value"] <= 1
    assert accuracy["standard_error"] >= 0
    assert accuracy["count"] == 8
    assert report["figures"]["accuracy_at_shipped_threshold"]["value"] == 1
    for name in ("report.md", "report.html"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert "LFW View 2" in text
        assert 'src="http' not in text


def test_a_second_run_gives_the_same_figures(run: Run, lfw: Path, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        run("bench", "openset", lfw, "--enrolled", "2", "--seed", "3", "--out", folder)
    first, second = (report_of(tmp_path / folder) for folder in ("first", "second"))
    assert first["figures"] == second["figures"]
    assert first["figures"]["rank_1_2"]["value"] == 1


@pytest.mark.parametrize(
    ("name", "options", "figure"),
    [
        ("verify", (), "fmr_at_shipped_threshold"),
        ("fewshot", ("--enrolled", "1", "--classifier", "prototype"), "rank_1_1"),
        ("twins", ("--person", "Alvaro_Uribe", "--person", "Alejandro_Toledo"), "accuracy_1"),
        ("pose", ("--enrolled", "2"), None),
        ("sisters-2021", ("--person", "Amelie_Mauresmo", "--person", "Alvaro_Uribe"), None),
    ],
)
def test_a_protocol_runs_on_a_small_album(
    run: Run, lfw: Path, tmp_path: Path, validate: Validate, name: str, options: tuple[str, ...], figure: str | None
) -> None:
    result = run("bench", name, lfw, "--out", "report", "--json", *options, code=None)
    assert result.code in {0, 1}, result.err
    validate("bench-report", result.records)
    figures = report_of(tmp_path / "report")["figures"]
    assert figures
    assert figure is None or figure in figures


def test_siblings_of_a_list_are_distinguished(run: Run, lfw: Path, tmp_path: Path, validate: Validate) -> None:
    (tmp_path / "pairs.csv").write_text(f"# remarks\nperson_a,person_b,relation\n{PEOPLE[2]},{PEOPLE[3]},siblings\n")
    result = run("bench", "siblings", lfw, "--relatives", "pairs.csv", "--others", "0", "--out", "report", "--json")
    validate("bench-report", result.records)
    figures = report_of(tmp_path / "report")["figures"]
    assert figures["two_class_accuracy_4"]["value"] == 1
    assert figures["absent_sibling_named_3"]["count"] > 0
    assert "no related people are given" in run("bench", "siblings", lfw, code=2).err
    invalid = run("bench", "siblings", lfw, "--relatives", "pairs.csv", "--fpir", "2", code=2)
    assert "fpir must be a fraction" in invalid.err


def test_groups_of_embeddings_are_compared(run: Run, tmp_path: Path, validate: Validate) -> None:
    rng = np.random.default_rng(0)
    centers, person = rng.normal(size=(24, 128)), np.repeat(np.arange(24), 4)
    embeddings = normalized((centers[person] + 0.5 * rng.normal(size=(96, 128))).astype(np.float32))
    np.savez(tmp_path / "made.npz", embedding=embeddings, person=person, young=person < 12)
    result = run("bench", "groups", "made.npz", "--column", "young", "--out", "report", "--json")
    validate("bench-report", result.records)
    assert report_of(tmp_path / "report")["figures"]["fnir_young_yes"]["count"] == 20 * 6 * 2
    lines = ["person,side", *(f"{number},{'left' if number % 2 else 'right'}" for number in range(24))]
    (tmp_path / "sides.csv").write_text("\n".join(lines), encoding="utf-8")
    run("bench", "groups", "made.npz", "--by", "sides.csv", "--column", "side", "--gallery-size", "3", "--out", "sides")
    assert report_of(tmp_path / "sides")["figures"]["fnir_side_left"]["count"] == 20 * 3 * 2
    assert "no column age" in run("bench", "groups", "made.npz", "--column", "age", code=2).err
    assert "the file contains only embeddings" in run("bench", "blur", "made.npz", code=2).err
    assert "No such file" in run("bench", "groups", "made.npz", "--by", "no.csv", "--column", "x", code=2).err


def test_classifiers_are_compared_on_the_same_searches(run: Run, lfw: Path, tmp_path: Path, validate: Validate) -> None:
    result = run("bench", "compare", lfw, "--searches", "--with-classifier", "knn", "--out", "report", "--json")
    validate("bench-report", result.records)
    assert any(name.endswith("_knn") for name in report_of(tmp_path / "report")["figures"])
    assert "--searches" in run("bench", "compare", lfw, "--with-classifier", "knn", code=2).err


def test_pairs_come_from_the_given_file(run: Run, lfw: Path) -> None:
    result = run("bench", "verify", lfw, "--pairs", lfw / "pairs.txt", "--out", "listed", "--json")
    assert result.records[0]["dataset"]["pairs_file"] == f"{lfw.name}/pairs.txt"


def test_sanity_needs_no_pairs_and_fails_if_a_check_fails(run: Run, lfw: Path) -> None:
    result = run("bench", "sanity", lfw, "--out", "sane", "--json", code=None)
    (report,) = result.records
    assert "pairs_file" not in report["dataset"]
    assert report["dataset"]["pairs"] == 0
    passed = report["figures"]["checks_passed"]
    assert result.code == (0 if passed["value"] == passed["count"] and not report["failures"] else 1)


def test_a_report_replaces_reports_only(run: Run, lfw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.md").write_text("# My own report\n", encoding="utf-8")
    result = run("bench", "verify", lfw, "--out", "report", code=2)
    assert "report.md exists and is not a facebank report" in result.err
    (folder / "report.md").unlink()
    for _ in range(2):
        run("bench", "verify", lfw, "--out", "report")
    (folder / "report.md").write_text("# My own report\n", encoding="utf-8")
    run("bench", "verify", lfw, "--out", "report", code=2)
    assert (folder / "report.md").read_text(encoding="utf-8") == "# My own report\n"


def test_missing_photos_are_left_out_and_reported(run: Run, lfw: Path, tmp_path: Path) -> None:
    album = tmp_path / "album"
    shutil.copytree(lfw, album)
    (album / PEOPLE[0] / f"{PEOPLE[0]}_0001.jpg").unlink()
    (album / PEOPLE[1] / f"{PEOPLE[1]}_0002.jpg").write_bytes(b"no picture")
    result = run("bench", "lfw", album, "--out", "report", code=1)
    assert "left out" in result.err
    report = report_of(tmp_path / "report")
    assert report["figures"]["accuracy_at_shipped_threshold"]["count"] < 8
    assert len(report["failures"]) >= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("openset", "nowhere"), "no such file or folder"),
        (("lfw", "empty"), "pairs.txt"),
        (("openset", "empty"), "empty"),
        (("openset", "lonely"), "no labeled person has 2 photos"),
        (("verify", "corrupt.bin"), "corrupt.bin"),
        (("verify", "pairs.csv"), "pairs.csv"),
    ],
)
def test_a_broken_dataset_is_refused_in_one_sentence(
    run: Run, lfw: Path, tmp_path: Path, arguments: tuple[str, str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    for person in STRANGERS:
        shutil.copytree(lfw / person, tmp_path / "lonely" / person)
    (tmp_path / "corrupt.bin").write_bytes(pickle.dumps(([b"1"], [True, False])))
    (tmp_path / "pairs.csv").write_text("first,second,same\n", encoding="utf-8")
    result = run("bench", *arguments, code=2)
    assert len(result.err.splitlines()) == 1
    assert message in result.err


def test_an_unwritable_report_folder_is_refused_at_once(run: Run, lfw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "choose another folder" in run("bench", "verify", lfw, "--out", "file/report", code=2).err


def test_cached_embeddings_can_be_removed(run: Run, lfw: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run("bench", "verify", lfw, FACEBANK_CACHE=str(cache))
    assert (tmp_path / "bench-verify" / "report.html").is_file()
    assert list((cache / "evaluation").glob("*.sqlite"))
    (record,) = run("bench", "forget", "--json", FACEBANK_CACHE=str(cache)).records
    assert record["bytes"] > 0
    assert list((cache / "evaluation").iterdir()) == []
    run("bench", "verify", lfw, "--no-cache", FACEBANK_CACHE=str(cache))
    assert list((cache / "evaluation").iterdir()) == []


def test_scores_are_written_on_request(run: Run, lfw: Path, tmp_path: Path) -> None:
    run("bench", "verify", lfw, "--out", "report", "--scores")
    with (tmp_path / "report" / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figures = report_of(tmp_path / "report")["figures"]
    assert len(rows) == figures["equal_error_rate"]["count"]
    same_person = [float(row["similarity"]) for row in rows if row["same_person"] == "yes"]
    assert sum(value < 0.29 for value in same_person) == figures["fnmr_at_shipped_threshold"]["events"]
    assert (tmp_path / "report" / "scores.csv").stat().st_mode & 0o077 == 0
    run("bench", "verify", lfw, "--out", "report")
    assert not (tmp_path / "report" / "scores.csv").exists()  # The scores of the earlier run are outdated.
    (tmp_path / "report" / "scores.csv").write_text("name,score\nAda,9\n")
    assert "not a facebank report" in run("bench", "verify", lfw, "--out", "report", "--scores", code=2).err


def test_a_benchmark_that_cannot_run_leaves_no_empty_folder(run: Run, lfw: Path, tmp_path: Path) -> None:
    assert "have the same name" in run("bench", "compare", lfw, "--with", "opencv", code=2).err
    assert not (tmp_path / "bench-compare").exists()
    (tmp_path / "mine").mkdir()
    run("bench", "compare", lfw, "--with", "opencv", "--out", "mine", code=2)
    assert (tmp_path / "mine").is_dir()
