"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

collect_ignore = ["fork_script.py"]  # run as a script

PROJECT = Path(__file__).resolve().parent.parent

# A background process may inherit an ignored SIGINT, with which tests interrupt their child processes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest-xdist runs a worker on each core, so further threads of a worker would only compete.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Deadlines would fail on a busy machine.
hypothesis.settings.register_profile("facebank", deadline=None)
hypothesis.settings.load_profile("facebank")


def find_shared() -> Path | None:
    """Return the folder of real photographs and weights: ``FACEBANK_DATA``, else ``../shared``, else None."""
    configured = os.environ.get("FACEBANK_DATA")
    folder = Path(configured) if configured else PROJECT.parent / "shared"
    if (folder / "data").is_dir() and (folder / "models").is_dir():
        return folder
    if configured:
        raise pytest.UsageError(f"FACEBANK_DATA is {configured}: set it to a folder with data/ and models/")
    return None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with ``data/`` and ``models/``; skips the test if it is missing."""
    folder = find_shared()
    if folder is None:
        pytest.skip("needs ../shared (or FACEBANK_DATA): real photographs and weights")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a real-photo test that skips itself although the photos are present."""
    report = yield
    if report.skipped and "shared" in getattr(item, "fixturenames", ()) and find_shared() is not None:
        report.outcome = "failed"
        report.longrepr = f"skipped although {find_shared()} exists: {report.longrepr}"
    return report


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system in memory and returns its folder; skips if that is not permitted."""
    mount_point = tmp_path / "mounted"
    mount_point.mkdir()

    def mount_folder(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount_point)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a file system is not allowed here")
        return mount_point

    yield mount_folder
    subprocess.run(["umount", str(mount_point)], capture_output=True, check=False)
