"""Content of the sdist and the wheel, and their installation in a clean environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from facebank import __version__

pytestmark = pytest.mark.install

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = ("facebank", "cli", "tests", "models", "benchmarks", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
EMBEDDED = {
    "face_detection_yunet_2023mar_int8bq.onnx",
    "face_recognition_sface_2021dec_int8bq.onnx",
    "LICENSE-YuNet",
    "LICENSE-SFace",
    "background.npz",
    "calibration.json",
    "pack.toml",
}
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc", "golden", "results")


def run(
    *command: str | Path, folder: Path, exit_code: int = 0, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without this environment's packages, and check its exit code."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    process = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**inherited, "PYTHONUTF8": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert process.returncode == exit_code, process.stdout + process.stderr
    return process


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the sources, because builds leave files that affect later builds."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name, ignore=IGNORED)
        else:
            shutil.copy(PROJECT / name, folder)
    return folder


@pytest.fixture(scope="module")
def distributions(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist and the wheel built from it."""
    folder = tmp_path_factory.mktemp("distributions")
    run(sys.executable, "-m", "build", "--outdir", folder, sources, folder=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    return distributions / f"facebank-{__version__}-py3-none-any.whl"


def list_files(folder: Path, root: Path) -> set[str]:
    """Return the files of a folder, as paths relative to `root`."""
    return {path.relative_to(root).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_has_the_library_its_data_and_the_command_line(wheel: Path, sources: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    command_line = {f"facebank_{name}" for name in list_files(sources / "cli", sources)}
    expected = list_files(sources / "facebank", sources) | command_line
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == expected
    assert "facebank/py.typed" in names
    assert {PurePosixPath(name).name for name in names if name.startswith("facebank/packs/embedded/")} == EMBEDDED
    assert sum(name.startswith("facebank/demo/photos/") for name in names) >= 6
    assert any(name.startswith("facebank/schemas/") and name.endswith(".json") for name in names)


def test_the_sdist_has_the_sources_of_the_wheel_without_tests(distributions: Path, sources: Path) -> None:
    root = f"facebank-{__version__}"
    with tarfile.open(distributions / f"{root}.tar.gz") as archive:
        names = {member.name.removeprefix(f"{root}/") for member in archive.getmembers() if member.isfile()}
    needed = list_files(sources / "facebank", sources) | list_files(sources / "cli", sources)
    assert needed <= names
    others = {name for name in names - needed if ".egg-info/" not in name}
    assert others == {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}


@pytest.mark.parametrize("distribution", ["wheel", "sdist"])
def test_only_embedded_weights_are_included(distributions: Path, wheel: Path, distribution: str) -> None:
    if distribution == "wheel":
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
    else:
        with tarfile.open(distributions / f"facebank-{__version__}.tar.gz") as sdist:
            names = sdist.getnames()
    weights = {PurePosixPath(name).name for name in names if PurePosixPath(name).suffix in {".onnx", ".npz", ".pt"}}
    assert weights == {"hidden_mouth.npz"} | {name for name in EMBEDDED if name.endswith((".onnx", ".npz"))}


def create_environment(folder: Path) -> tuple[Path, Path]:
    """Create a clean virtual environment; return its Python and the folder of its commands."""
    run(sys.executable, "-m", "venv", folder, folder=folder.parent)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    return programs / "python", programs


def test_the_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    python, programs = create_environment(tmp_path / "venv")
    variables = {
        "FACEBANK_CACHE": str(tmp_path / "cache"),
        "FACEBANK_PACKS": str(tmp_path / "packs"),
        "FACEBANK_GALLERY": str(tmp_path / "own.facebank"),
    }
    run(python, "-m", "pip", "install", "--quiet", wheel, folder=tmp_path)
    assert __version__ in run(programs / "facebank", "--version", folder=tmp_path, variables=variables).stdout
    message = run(programs / "facebank", "demo", folder=tmp_path, exit_code=2, variables=variables).stderr
    assert "facebank[cpu]" in message
    assert len(message.splitlines()) == 1
    report = run(programs / "facebank", "doctor", folder=tmp_path, exit_code=1, variables=variables).stdout
    assert "-m pip install 'facebank[cpu]'" in report

    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cpu]", folder=tmp_path)
    demo = run(programs / "facebank", "demo", "--out", tmp_path / "demo", folder=tmp_path, variables=variables).stdout
    assert "Barack Obama" in demo
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["demo.jpg"]
    assert not (tmp_path / "own.facebank").exists()
    run(programs / "facebank", "doctor", folder=tmp_path, variables=variables)


def test_an_editable_installation_has_the_command(sources: Path, tmp_path: Path) -> None:
    python, programs = create_environment(tmp_path / "venv")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", sources, folder=tmp_path)
    program = "import facebank, facebank_cli; print(facebank.__file__, facebank_cli.__file__)"
    paths = run(python, "-c", program, folder=tmp_path).stdout.split()
    assert [Path(path).resolve() for path in paths] == [
        (sources / "facebank" / "__init__.py").resolve(),
        (sources / "cli" / "__init__.py").resolve(),
    ]
    assert (programs / "facebank").exists() or (programs / "facebank.exe").exists()
