"""The doctor on this machine as it is, with packs and galleries in every state."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from facebank.doctor.devices import examine_device
from facebank.doctor.diagnosis import examine, examine_gallery, examine_packs
from facebank.doctor.installation import InstallationFinding, InstalledDistributions, Severity
from facebank.errors import FacebankError
from facebank.gallery import Gallery, PackIdentity
from facebank.packs import EMBEDDED_FOLDER, load_pack
from facebank.recognition.calibration.files import CALIBRATION_NAME, user_folder

PROJECT = Path(__file__).resolve().parents[2]
TITLES = ["Software", "Installation", "Device", "Packs", "Folders", "Gallery"]


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packs"
    folder.mkdir()
    monkeypatch.setenv("FACEBANK_PACKS", str(folder))
    return folder


def add_copy(folder: Path) -> Path:
    """Copy the embedded pack to a folder, and name the pack after the folder."""
    shutil.copytree(EMBEDDED_FOLDER, folder)
    manifest = folder / "pack.toml"
    text = manifest.read_text(encoding="utf-8")
    assert 'name = "opencv"' in text
    manifest.write_text(text.replace('name = "opencv"', f'name = "{folder.name}"'), encoding="utf-8")
    return folder


def damage_network(folder: Path) -> str:
    """Change the last byte of a pack's network, and return the name of its file."""
    network = next(folder.glob("*.onnx"))
    network.write_bytes(network.read_bytes()[:-1] + b"?")
    return network.name


def findings_by_subject(findings: tuple[InstallationFinding, ...]) -> dict[str, InstallationFinding]:
    return {finding.subject: finding for finding in findings}


@pytest.mark.usefixtures("packs")
def test_this_machine_is_examined_in_six_sections(tmp_path: Path) -> None:
    diagnosis = examine(tmp_path / "none.facebank", None, "cpu")
    assert [section.title for section in diagnosis.sections] == TITLES
    findings = findings_by_subject(diagnosis.findings)
    assert findings["numpy"].detail == np.__version__
    assert findings["Small network"].detail == "requested cpu, ran on: cpu"
    assert findings["Pack opencv"].severity is Severity.OK
    assert diagnosis.healthy == all(finding.severity is not Severity.PROBLEM for finding in diagnosis.findings)
    assert all("\n" not in finding.detail for finding in diagnosis.findings)


@pytest.mark.usefixtures("packs")
@pytest.mark.parametrize(
    ("function", "title"),
    [
        ("list_software", "Software"),
        ("examine_installation", "Installation"),
        ("examine_device", "Device"),
        ("examine_packs", "Packs"),
        ("examine_gallery", "Gallery"),
    ],
)
def test_a_failing_section_is_a_problem_and_the_others_are_examined(
    function: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device\x1b")

    monkeypatch.setattr(f"facebank.doctor.diagnosis.{function}", raise_disk_full)
    sections = {
        section.title: section.findings for section in examine(tmp_path / "none.facebank", None, "cpu").sections
    }
    assert list(sections) == TITLES
    (finding,) = sections[title]
    assert finding.severity is Severity.PROBLEM
    assert "No space left on device" in finding.detail
    assert finding.detail.isprintable()


def test_a_temporary_folder_that_cannot_be_written_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    finding = findings_by_subject(examine_device("cpu", InstalledDistributions.read()))["Small network"]
    assert finding.severity is Severity.PROBLEM
    assert "No such file" in finding.detail


def run_examination(tmp_path: Path, prelude: str) -> list[str]:
    """Examine in a new process, and return the titles in one line, then each problem with its command."""
    program = (
        f"import sys; {prelude}\n"
        "from pathlib import Path\n"
        "from facebank.doctor.diagnosis import examine\n"
        f"diagnosis = examine(Path({str(tmp_path / 'none.facebank')!r}), None, 'cpu')\n"
        "print(*(section.title for section in diagnosis.sections))\n"
        "for finding in diagnosis.findings:\n"
        "    if finding.severity == 'problem':\n"
        "        print(finding.subject, finding.detail, finding.command, sep=' | ')\n"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.mark.parametrize(
    ("module", "title", "requirement"),
    [("cv2", "OpenCV", "opencv-python-headless=="), ("PIL", "Pillow", "--force-reinstall Pillow==")],
)
def test_a_library_that_cannot_be_imported_is_a_problem_with_its_command(
    tmp_path: Path, module: str, title: str, requirement: str
) -> None:
    """The metadata is intact, as when a system library is missing."""
    (tmp_path / f"{module}.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    titles, *problems = run_examination(tmp_path, f"sys.path.insert(0, {str(tmp_path)!r})")
    assert titles == " ".join(TITLES)
    (problem,) = [line for line in problems if line.startswith(f"{title} | cannot be imported")]
    assert "libGL.so.1" in problem
    assert requirement in problem


def test_requested_cuda_is_used_or_a_problem() -> None:
    installed = InstalledDistributions.read()
    finding = findings_by_subject(examine_device("cuda", installed))["Small network"]
    if finding.severity is Severity.OK:
        assert finding.detail.endswith("ran on: cuda")
        return
    assert finding.severity is Severity.PROBLEM
    if installed.cuda_major(installed.owners("onnxruntime")[0]) is None:
        assert "not built for CUDA" in finding.detail
        assert finding.command is not None
        assert "facebank[gpu]" in finding.command


def test_an_unknown_device_is_a_problem_not_a_crash() -> None:
    finding = findings_by_subject(examine_device("quantum", InstalledDistributions.read()))["Small network"]
    assert finding.severity is Severity.PROBLEM
    assert "quantum" in finding.detail


@pytest.mark.parametrize("module", ["onnxruntime", "onnx", "faiss", "cv2", "numpy"])
def test_the_doctor_runs_without_a_library(module: str, tmp_path: Path) -> None:
    titles, *problems = run_examination(tmp_path, f"sys.modules[{module!r}] = None")
    assert titles == " ".join(TITLES)
    assert any(" | cannot be imported: " in line for line in problems)
    if module == "onnxruntime":
        assert any("ONNX Runtime is missing or incomplete" in line for line in problems)


def test_an_altered_pack_is_a_problem_with_its_file(packs: Path) -> None:
    assert findings_by_subject(examine_packs(None))["Pack opencv"].severity is Severity.OK
    network = damage_network(add_copy(packs / "mine"))
    finding = findings_by_subject(examine_packs(None))["Pack mine"]
    assert finding.severity is Severity.PROBLEM
    assert f"{network} is altered" in finding.detail
    assert finding.command == "facebank packs remove mine"


def test_a_pack_in_use_from_a_folder_is_examined_too(packs: Path, tmp_path: Path) -> None:
    folder = add_copy(tmp_path / "own")
    assert findings_by_subject(examine_packs(str(folder)))[f"Pack {folder}"].severity is Severity.OK
    network = damage_network(folder)
    finding = findings_by_subject(examine_packs(str(folder)))[f"Pack {folder}"]
    assert (finding.severity, finding.detail) == (Severity.PROBLEM, f"{network} is altered")


@pytest.mark.usefixtures("packs")
@pytest.mark.parametrize(
    "pack",
    ["nowhere", "insightface:nowhere", "insightface:~nobody/x", pytest.param("x" * 5000, id="too long"), "evil\x1b[2J"],
)
def test_a_missing_pack_is_a_problem_in_one_printable_line(pack: str) -> None:
    finding = examine_packs(pack)[-1]
    assert finding.severity is Severity.PROBLEM
    assert finding.subject.isprintable()
    assert finding.detail.isprintable()


@pytest.mark.usefixtures("packs")
def test_an_insightface_folder_is_reported_as_uncalibrated(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"a network")
    finding = examine_packs(f"insightface:{tmp_path}")[-1]
    assert finding.severity is Severity.WARNING
    assert "calibrated on: no data" in finding.detail


def test_a_missing_gallery_is_fine(tmp_path: Path) -> None:
    (finding,) = examine_gallery(tmp_path / "new.facebank", None)
    assert finding.severity is Severity.OK
    assert "first enrollment" in finding.detail


def test_a_text_file_as_gallery_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "text.facebank"
    path.write_text("not a gallery at all, but long enough to have a header of some kind" * 20)
    (finding,) = examine_gallery(path, None)
    assert finding.severity is Severity.PROBLEM
    assert path.read_text().startswith("not a gallery")


def test_a_gallery_of_the_pack_in_use_is_fine(tmp_path: Path) -> None:
    pack = load_pack()
    path = tmp_path / "mine.facebank"
    Gallery.open(path, PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension), create=True).close()
    assert {finding.severity for finding in examine_gallery(path, None)} == {Severity.OK}


def test_an_invalid_calibration_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path / "calibrations"))
    pack, path = load_pack(), tmp_path / "g.facebank"
    identity = PackIdentity(pack.name, pack.digest, pack.manifest.embedder.dimension)
    with Gallery.open(path, identity, create=True):
        pass
    assert "Calibration" not in findings_by_subject(examine_gallery(path, None))
    folder = user_folder(identity)
    folder.mkdir(parents=True)
    (folder / CALIBRATION_NAME).write_text("{}", encoding="utf-8")
    finding = findings_by_subject(examine_gallery(path, None))["Calibration"]
    assert finding.severity is Severity.PROBLEM
    assert str(folder) in finding.detail


def test_a_gallery_of_another_pack_is_a_problem_with_both_packs_and_the_command(tmp_path: Path) -> None:
    path = tmp_path / "of another.facebank"
    Gallery.open(path, PackIdentity("arc", "ab" * 32, 512), create=True).close()
    finding = findings_by_subject(examine_gallery(path, None))["Gallery's pack"]
    assert finding.severity is Severity.PROBLEM
    assert "arc" in finding.detail
    assert "opencv" in finding.detail
    assert finding.command == f"facebank --gallery '{path}' people re-embed"


def test_a_gallery_of_a_missing_pack_is_a_warning(packs: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.facebank"
    Gallery.open(path, PackIdentity("arc", "ab" * 32, 512), create=True).close()
    with pytest.raises(FacebankError):
        load_pack("gone")
    assert findings_by_subject(examine_gallery(path, "gone"))["Gallery's pack"].severity is Severity.WARNING
