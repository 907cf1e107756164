"""The three files of a report: JSON, HTML and Markdown."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import platform
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from facebank import schemas
from facebank.errors import StorageError, UsageError
from facebank.evaluation.figures import Figure
from facebank.evaluation.report import (
    ContactSheet,
    Curves,
    Evidence,
    Histogram,
    Item,
    Line,
    Matrix,
    Report,
    Section,
    Table,
    WrittenReport,
    write_report,
)
from tests.page_parser import PageParser

COMMAND = "facebank bench verify photos/lfw --pairs 'my pairs.csv' --out report"
LINE = Line("a", np.zeros(2), np.zeros(2))
FACE = np.zeros((4, 4, 3), np.uint8)
GRAY = np.zeros((4, 4), np.uint8)


@pytest.fixture(scope="module")
def report_files(report: Report, tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    return write_report(report, tmp_path_factory.mktemp("report") / "new" / "folder", command=COMMAND)


@pytest.fixture
def record(report_files: WrittenReport) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(report_files.json.read_text("ascii"))
    return loaded


def validate(record: object) -> None:
    schema = schemas.load("bench-report")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(record)


def test_record_matches_its_schema(record: dict[str, Any], report: Report) -> None:
    validate(record)
    assert record["command"] == COMMAND
    assert record["figures"]["accuracy"] == {
        "value": 0.9948,
        "interval": [0.993, 0.996],
        "count": 6000,
        "events": 5969,
        "expected": None,
        "kind": "rate",
        "descriptive": False,
        "insufficient": False,
        "standard_error": 0.0011,
        "published": "99.60 %, elsewhere",
        "meaning": "",
    }
    assert record["figures"]["fpir"]["insufficient"]
    assert len(record["failures"]) == len(report.failures)
    assert record["matrices"][0]["cells"] == [[0, 0, 5], [0, 1, 2], [1, 1, 7], [1, 2, 1]]


def test_schema_refuses_unknown_keys(record: dict[str, Any]) -> None:
    for entry in (record, record["figures"]["eer"], record["machine"], record["curves"][0]["lines"][0]):
        entry["unknown"] = 1
        with pytest.raises(jsonschema.ValidationError):
            validate(record)
        del entry["unknown"]
    validate(record)


def test_nan_is_written_as_null(record: dict[str, Any]) -> None:
    assert record["figures"]["loss"]["value"] is None
    assert record["figures"]["loss"]["interval"] == [None, 1.0]
    assert record["curves"][1]["lines"][0]["x"] == [0.1, None, 0.9]


def test_points_of_curves_are_recorded(record: dict[str, Any], curves: Curves) -> None:
    assert record["curves"][0]["lines"][0]["y"] == pytest.approx(curves.lines[0].y)
    assert record["curves"][0]["markers"] == [{"label": "Shipped threshold", "x": 0.001, "y": 0.02}]


def test_long_lines_are_thinned_and_keep_both_ends(report: Report, tmp_path: Path) -> None:
    x = np.linspace(0, 1, 50_001)
    section = Section("Long", items=(Curves("Long", "x", "y", (Line("one", x, x),)),))
    record = json.loads(write_report(replace(report, sections=(section,)), tmp_path, command="").json.read_text())
    points = record["curves"][0]["lines"][0]["x"]
    assert 1000 <= len(points) <= 2000
    assert (points[0], points[-1]) == (0, 1)


def test_same_report_gives_same_bytes(report: Report, report_files: WrittenReport, tmp_path: Path) -> None:
    repeated = write_report(report, tmp_path, command=COMMAND)
    for first, second in (
        (report_files.json, repeated.json),
        (report_files.markdown, repeated.markdown),
        (report_files.html, repeated.html),
    ):
        assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]


def test_report_discloses_nothing_about_the_machine(report_files: WrittenReport) -> None:
    record = json.loads(report_files.json.read_text())
    recorded = json.dumps([record["machine"], record["versions"]])
    assert platform.node() not in recorded
    assert str(Path.home()) not in report_files.json.read_text() + report_files.markdown.read_text()
    assert set(record["machine"].values()).isdisjoint({getpass.getuser(), platform.node()})


def test_page_is_self_contained(report_files: WrittenReport) -> None:
    page = PageParser(report_files.html.read_text("utf-8"))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "form", "base", "embed", "svg"}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        url = attributes.get("src") or attributes.get("href") or "#"
        assert url.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,", "data:image/jpeg;base64,", "#"))
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?https?:""", report_files.html.read_text("utf-8"))
    assert report_files.html.stat().st_size < 3_000_000


def test_page_has_a_strict_content_security_policy(report_files: WrittenReport) -> None:
    page = PageParser(report_files.html.read_text("utf-8"))
    policies = [
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    style = re.search(r"<style>(.*)</style>", report_files.html.read_text("utf-8"), re.DOTALL)
    assert style is not None
    style_hash = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'" in str(policies[0])


def test_page_is_accessible(report_files: WrittenReport) -> None:
    page = PageParser(report_files.html.read_text("utf-8"))
    assert ("html", {"lang": "en"}) in page.tags
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5 + 2 * 4
    assert all(attributes["alt"] for attributes in images)
    page_text = "".join(page.texts)
    assert "prefers-color-scheme" in page_text
    assert "@media print" in page_text


def write_page(report: Report, folder: Path, item: Item) -> str:
    """Return the HTML of a report with one item."""
    section = Section("S", items=(item,))
    return write_report(replace(report, sections=(section,), failures=()), folder, command="").html.read_text("utf-8")


def test_file_names_break_between_parts(report: Report, tmp_path: Path) -> None:
    case = Evidence("Ada_Lovelace/one_1.jpg", "b.jpg", (FACE, FACE), None, 0.43, "two people")
    html = write_page(report, tmp_path, ContactSheet("C", (case,)))
    assert "<bdi>Ada_<wbr>Lovelace/<wbr>one_<wbr>1.jpg</bdi>" in html
    assert 'alt="Face of Ada_Lovelace/one_1.jpg"' in html
    assert "<strong>0.430</strong>" in html


def test_numbers_do_not_wrap(report: Report, tmp_path: Path) -> None:
    table = Table("T", ("A", "B"), (("0.00 % to 0.94 %", "1,096 of 1,108"), ("to be", "of 5 of")))
    html = write_page(report, tmp_path, table)
    numbers = re.findall(r'<td dir="auto" class="number">([^<]*)</td>', html)
    assert {"0.00\N{NO-BREAK SPACE}% to 0.94\N{NO-BREAK SPACE}%", "1,096 of 1,108"} <= set(numbers)
    assert not {"to be", "of 5 of"} & set(numbers)


@pytest.mark.parametrize("name", ["markdown", "html"])
def test_names_are_escaped(report_files: WrittenReport, name: str) -> None:
    text = getattr(report_files, name).read_text("utf-8")
    assert "<script" not in text
    assert not {"\u202e", "\x1b"} & set(text)
    assert r"\u202e" in text
    assert "名" in text


def test_page_displays_names_unchanged(report_files: WrittenReport) -> None:
    assert "<script>alert('1')</script>\"|`*_$x^{$" in "".join(PageParser(report_files.html.read_text("utf-8")).texts)


def test_markdown_tables_are_well_formed(report_files: WrittenReport) -> None:
    tables: list[list[str]] = [[]]
    for line in report_files.markdown.read_text("utf-8").splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    tables = [table for table in tables if table]
    assert len(tables) > 8
    for table in tables:
        bars = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table}
        assert len(bars) == 1
        assert re.fullmatch(r"\|( --- \|)+", table[1])
        assert len(table) > 2


def test_markdown_has_the_required_statements(report_files: WrittenReport) -> None:
    text = report_files.markdown.read_text("utf-8")
    assert "| Accuracy | 99.48 % ± 0.11 % (standard error) | 99.30 % to 99.60 % | 5,969 of 6,000 |" in text
    assert "0.00 % (insufficient)" in text
    assert "not measurable" in text
    read_off = text.index("### Read off a curve")
    assert "are no estimate" in text[:read_off]
    assert text.index("| EER | 1.23 %") > read_off
    assert text.index("| FPIR |") < read_off
    assert "11 more are listed" in text
    assert "FPIR, false positive identification rate" in text
    assert "FNIR, false negative identification rate" not in text  # the report does not use it
    assert f"    {COMMAND}\n" in text
    assert text.index("Nearly all pairs") < text.index(COMMAND) < text.index("## Figures")


def test_empty_report_is_written(report: Report, tmp_path: Path) -> None:
    empty = replace(report, summary=(), figures={}, sections=(), failures=())
    files = write_report(empty, tmp_path, command="")
    validate(json.loads(files.json.read_text()))
    assert "all photos could be used" in files.markdown.read_text("utf-8")
    assert "## Figures" not in files.markdown.read_text("utf-8")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (Section("S", figures=("fnir",)), "'S' refers to the missing figure 'fnir'"),
        (Section("S", items=(Table("T", ("A", "B"), (("1",),)),)), "differs from the number of headings"),
        (Section("S", items=(Curves("C", "x", "y", (replace(LINE, y=np.zeros(3)),)),)), "arrays of different lengths"),
        (Section("S", items=(Curves("C", "x", "y", (replace(LINE, low=np.zeros(2)),)),)), "only one edge of its band"),
        (
            Section("S", items=(Curves("C", "x", "y", (LINE,), "cubic"),)),
            "unknown scale; expected one of linear, log, probit",
        ),
        (
            Section("S", items=(Matrix("M", ("a",), ("a",), np.zeros((2, 1), np.int64)),)),
            "does not match its rows and columns",
        ),
        (Section("S", items=(Histogram("H", "x", (("a", np.zeros((2, 2))),)),)), "not one-dimensional"),
        (Section("S", items=(ContactSheet("C", (Evidence("a", "b", (FACE, GRAY), None, 0.1, ""),)),)), "RGB uint8"),
    ],
)
def test_invalid_report_is_refused_before_writing(
    report: Report, tmp_path: Path, section: Section, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_report(replace(report, sections=(section,)), tmp_path / "report", command="")
    assert not (tmp_path / "report").exists()


def test_names_of_figures_pack_and_dataset_are_checked(report: Report, tmp_path: Path) -> None:
    for invalid, message in (
        (replace(report, figures={"Rank 1": Figure(0.5)}, sections=()), "'Rank 1'"),
        (replace(report, pack={}), "lacks the key 'name'"),
        (replace(report, dataset={}), "lacks the key 'title'"),
    ):
        with pytest.raises(UsageError, match=message):
            write_report(invalid, tmp_path, command="")


def test_folder_that_cannot_be_created_is_an_error(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(StorageError, match=r"cannot write .*report\.json.*choose another folder"):
        write_report(replace(report, sections=()), tmp_path / "file" / "report", command="")


def test_older_report_is_replaced(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path, command="")
    files = write_report(replace(report, sections=(), title="Another"), tmp_path, command="")
    assert json.loads(files.json.read_text())["title"] == "Another"
    assert files.markdown.read_text().startswith("# Another\n")


@pytest.mark.parametrize("name", ["report.json", "report.md", "report.html"])
def test_only_a_report_is_replaced(report: Report, tmp_path: Path, name: str) -> None:
    for exists in (False, True):
        if exists:
            (tmp_path / name).unlink()
            write_report(report, tmp_path, command="")
        (tmp_path / name).write_text('{"title": "mine"}')
        with pytest.raises(UsageError, match=f"{name} exists and is not a facebank report"):
            write_report(report, tmp_path, command="")
        assert (tmp_path / name).read_text() == '{"title": "mine"}'


def test_importing_the_writer_does_not_load_matplotlib() -> None:
    program = "import sys, facebank.evaluation.report; print('matplotlib' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
