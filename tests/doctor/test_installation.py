"""Conflicts between installed packages, found in real metadata of temporary site folders."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from facebank.doctor.diagnosis import examine_imports, list_software
from facebank.doctor.installation import (
    CORE,
    FAMILIES,
    OPTIONAL,
    InstallationFinding,
    InstalledDistributions,
    Severity,
    examine_installation,
)

PROJECT = Path(__file__).resolve().parents[2]

TITLES = {"onnxruntime": "ONNX Runtime", "faiss": "FAISS", "cv2": "OpenCV"}
Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site-packages"


@pytest.fixture
def install(site: Path) -> Install:
    """A function that writes the files of a distribution into the site folder, as pip does."""

    def install_distribution(name: str, version: str = "1.0", module: str | None = None, requires: str = "") -> None:
        info = site / f"{re.sub(r'[-_.]+', '_', name)}-{version}.dist-info"
        info.mkdir(parents=True)
        requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires.split("|") if requirement)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}")
        files = [f"{info.name}/METADATA"]
        if module:
            files += [f"{module}/__init__.py", f"{module}/core.so"]
            (site / module).mkdir(exist_ok=True)
            (site / module / "__init__.py").write_text("")
            (site / module / "core.so").write_text("")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))

    return install_distribution


@pytest.fixture
def core_packages(install: Install) -> None:
    """Install the packages that facebank always requires."""
    for name in CORE:
        install(name)


def examine(site: Path) -> dict[str, InstallationFinding]:
    return {finding.subject: finding for finding in examine_installation(InstalledDistributions.read([str(site)]))}


def parse_command(finding: InstallationFinding) -> tuple[set[str], list[str]]:
    """Return the packages that the command of a finding removes and installs."""
    assert finding.command is not None
    words = shlex.split(finding.command)
    assert subprocess.run(["bash", "-n", "-c", finding.command], check=False).returncode == 0
    if "&&" not in words:
        return set(), words[words.index("install") + 1 :]
    separator = words.index("&&")
    return set(words[words.index("-y") + 1 : separator]), words[words.index("install", separator) + 1 :]


@pytest.mark.usefixtures("core_packages")
def test_one_package_per_library_is_fine(site: Path, install: Install) -> None:
    install("onnxruntime", "1.32.0", "onnxruntime")
    install("faiss-cpu", "1.15.1", "faiss")
    install("opencv-python-headless", "5.0", "cv2")
    findings = examine(site)
    assert {finding.severity for finding in findings.values()} == {Severity.OK}
    assert findings["FAISS"].detail == "faiss-cpu 1.15.1"


@pytest.mark.usefixtures("core_packages")
@pytest.mark.parametrize(
    ("module", "names", "expected"),
    [
        ("onnxruntime", ["onnxruntime", "onnxruntime-gpu"], "onnxruntime-gpu==2.0"),
        ("onnxruntime", ["onnxruntime_gpu", "onnxruntime"], "onnxruntime-gpu==1.0"),
        ("onnxruntime", ["onnxruntime", "onnxruntime-openvino"], "onnxruntime==1.0"),
        ("faiss", ["faiss-cpu", "faiss-gpu"], "faiss-gpu==2.0"),
        ("faiss", ["faiss-cpu", "faiss-gpu-cu11"], "faiss-gpu-cu11==2.0"),
        ("faiss", ["faiss-cpu", "faiss-gpu-cu12"], "faiss-gpu-cu12==2.0"),
        ("faiss", ["faiss-gpu-cu13", "faiss-cpu"], "faiss-gpu-cu13==1.0"),
        ("cv2", ["opencv-python", "opencv-python-headless"], "opencv-python-headless==2.0"),
        ("cv2", ["opencv-contrib-python", "opencv-python"], "opencv-python-headless"),
        ("cv2", ["opencv-python", "opencv-python-headless", "opencv-contrib-python"], "opencv-python-headless==2.0"),
    ],
)
def test_conflicting_packages_are_removed_and_one_is_reinstalled(
    site: Path, install: Install, module: str, names: list[str], expected: str
) -> None:
    for number, name in enumerate(names, start=1):
        install(name, f"{number}.0", module)
    finding = examine(site)[TITLES[module]]
    assert finding.severity is Severity.PROBLEM
    assert "overwrite each other" in finding.detail
    removed, installed = parse_command(finding)
    assert removed == {name.replace("_", "-") for name in names}
    assert installed == [expected]


@pytest.mark.usefixtures("core_packages")
def test_insightface_is_reported_as_the_cause_of_a_conflict(site: Path, install: Install) -> None:
    install("insightface", "2.1", "insightface")
    install("onnxruntime", module="onnxruntime")
    install("onnxruntime-gpu", module="onnxruntime")
    assert "insightface requires" in examine(site)["ONNX Runtime"].detail


@pytest.mark.usefixtures("core_packages")
def test_a_package_with_missing_files_is_a_problem(site: Path, install: Install) -> None:
    install("onnxruntime-gpu", "1.26.0", "onnxruntime")
    (site / "onnxruntime" / "core.so").unlink()
    finding = examine(site)["ONNX Runtime"]
    assert finding.severity is Severity.PROBLEM
    assert "lacks 1 of its files" in finding.detail
    assert parse_command(finding) == ({"onnxruntime-gpu"}, ["onnxruntime-gpu==1.26.0"])


def test_missing_packages_are_problems_with_commands(site: Path) -> None:
    site.mkdir()
    findings = examine(site)
    assert {finding.severity for finding in findings.values()} == {Severity.PROBLEM}
    assert parse_command(findings["ONNX Runtime"]) == (set(), ["facebank[cpu]"])
    assert parse_command(findings["FAISS"]) == (set(), ["facebank[cpu]"])
    assert parse_command(findings["OpenCV"]) == (set(), ["opencv-python-headless"])
    assert parse_command(findings["Packages"]) == (set(), list(CORE))


@pytest.mark.usefixtures("core_packages")
@pytest.mark.parametrize(
    ("runtime_requirements", "faiss_requirements", "fits"),
    [
        ('nvidia-cudnn-cu12~=9.0; extra == "cudnn"', "nvidia-cuda-runtime-cu12<13,>=12.6", True),
        ('nvidia-cudnn-cu13~=9.0; extra == "cudnn"', "nvidia-cuda-runtime-cu12<13,>=12.6", False),
        ('nvidia-cudnn-cu12~=9.0; extra == "cudnn"', "nvidia-cublas-cu11>=11.11|numpy", False),
    ],
)
def test_runtime_and_faiss_must_require_the_same_cuda(
    site: Path, install: Install, runtime_requirements: str, faiss_requirements: str, fits: bool
) -> None:
    install("onnxruntime-gpu", "1.26.0", "onnxruntime", f"numpy|{runtime_requirements}")
    install("faiss-gpu", "1.15.1", "faiss", faiss_requirements)
    finding = examine(site)["CUDA"]
    assert finding.severity is (Severity.OK if fits else Severity.PROBLEM)
    if not fits:
        assert parse_command(finding) == ({"onnxruntime-gpu", "faiss-gpu"}, ["facebank[gpu]"])


@pytest.mark.usefixtures("core_packages")
def test_remains_of_a_removed_package_are_ignored(site: Path, install: Install) -> None:
    install("onnxruntime", module="onnxruntime")
    (site / "~nnxruntime-1.0.dist-info").mkdir()
    (site / "faiss_cpu-1.0.dist-info").mkdir()
    assert examine(site)["ONNX Runtime"].severity is Severity.OK
    assert examine(site)["FAISS"].severity is Severity.PROBLEM


def test_the_core_matches_pyproject() -> None:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    names = {re.split(r"[\[<>=~ ]", requirement)[0] for requirement in dependencies}
    assert names == {*CORE, "opencv-python-headless"}


def test_the_optional_libraries_match_the_extras() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    required = {
        (extra, re.split(r"[\[<>=!~ ]", requirement)[0])
        for extra, requirements in extras.items()
        if extra not in {"test", "dev", "docs"}
        for requirement in requirements
    }
    families = {"onnxruntime", "faiss"} & {family.module for family in FAMILIES}
    others = {(extra, name) for extra, name in required if not name.startswith(tuple(families))}
    assert others == {(library.extra, library.name) for library in OPTIONAL if library.extra is not None}


def test_optional_libraries_are_listed_installed_or_not(site: Path, install: Install) -> None:
    install("lxml", "6.0")
    findings = {finding.subject: finding for finding in list_software(InstalledDistributions.read([str(site)]))}
    assert findings["lxml"].detail == "6.0"
    assert "facebank[heif]" in findings["pillow-heif"].detail
    assert findings["pillow-heif"].severity is Severity.OK
    assert "rich" not in findings


def test_an_optional_library_that_cannot_be_imported_is_a_problem(
    site: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lxml.etree", None)
    install("lxml", "6.0")
    (finding,) = examine_imports(InstalledDistributions.read([str(site)]))
    assert (finding.subject, finding.severity) == ("lxml", Severity.PROBLEM)
    assert finding.command is not None
    assert finding.command.endswith("lxml==6.0")
