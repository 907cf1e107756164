"""Networks run on the requested device, or raise an error with the reason."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from facebank.errors import DeviceError, PackIntegrityError, UsageError
from facebank.packs import load_pack, open_session, session_device, try_device
from facebank.packs.runtime import quota_cores, usable_cores
from tests.packs.conftest import run_python

HAS_CUDA = try_device("cuda").ran_on == {"cuda"}


def test_a_session_runs_on_the_cpu() -> None:
    session = open_session(load_pack().detector_path(), "cpu", threads=1)
    assert session_device(session) == "cpu"
    assert session.get_session_options().intra_op_num_threads == 1
    assert session.run(["cls_8"], {"input": np.zeros((1, 3, 32, 32), np.float32)})[0].shape == (1, 16, 1)


@pytest.mark.skipif(HAS_CUDA, reason="needs a computer without CUDA")
def test_cuda_does_not_fall_back_to_the_cpu() -> None:
    path = load_pack().detector_path()
    with pytest.raises(DeviceError, match=r"facebank doctor.*--device cpu"):
        open_session(path, "cuda")
    assert session_device(open_session(path, "auto")) == "cpu"
    assert try_device("cuda").ran_on == frozenset()
    assert try_device("cuda").problem


@pytest.mark.skipif(not HAS_CUDA, reason="needs a computer with CUDA and the gpu extra")
def test_cuda_has_the_outputs_of_the_cpu() -> None:
    path = load_pack().embedder_path()
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 112, 112)).astype(np.float32)
    sessions = [open_session(path, device) for device in ("cpu", "cuda")]
    assert [session_device(session) for session in sessions] == ["cpu", "cuda"]
    on_cpu, on_cuda = (session.run(None, {"data": images})[0] for session in sessions)
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-3 * np.abs(on_cpu).max())


def test_a_trial_reports_its_device() -> None:
    assert try_device("cpu").ran_on == {"cpu"}
    assert try_device("cpu").problem is None
    assert try_device("auto").ran_on == {"cuda" if HAS_CUDA else "cpu"}


def test_a_trial_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert try_device("cpu").ran_on == {"cpu"}
    assert list(tmp_path.iterdir()) == []


def test_a_trial_without_a_temporary_folder_reports_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    trial = try_device("cpu")
    assert trial.ran_on == frozenset()
    assert "No such file" in str(trial.problem)


def test_an_unknown_device_is_an_error() -> None:
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        open_session(Path("x.onnx"), "tpu")
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        try_device("tpu")


def test_an_invalid_network_is_an_error_without_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(PackIntegrityError, match=r"broken\.onnx") as caught:
        open_session(path, "cpu")
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "pip install 'facebank[cpu]'"), ("", "facebank doctor"), ("import _no_such_module_", "facebank doctor")],
    ids=["absent", "emptied by an uninstall", "broken"],
)
def test_a_missing_runtime_is_an_error_with_the_command(tmp_path: Path, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "onnxruntime").mkdir()
        (tmp_path / "onnxruntime" / "__init__.py").write_text(content)
    prefix = "import sys; sys.modules['onnxruntime'] = None; " if content is None else ""
    script = f"{prefix}from pathlib import Path; from facebank.packs import open_session; open_session(Path('x.onnx'))"
    process = run_python(script, tmp_path)
    last_line = process.stderr.strip().splitlines()[-1]
    assert last_line.startswith("facebank.errors.MissingDependencyError")
    assert expected in last_line


def test_an_interrupted_import_is_a_keyboard_interrupt(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        "import sys\n"
        "assert 'numpy' in sys.modules, 'an interrupt within its import of NumPy would be lost'\n"
        "try:\n    raise KeyboardInterrupt\n"
        "except KeyboardInterrupt as error:\n    raise ImportError('initialization failed') from error\n"
    )
    script = "from facebank.packs.runtime import load_runtime; load_runtime()"
    process = run_python(script, tmp_path)
    assert process.stderr.strip().splitlines()[-1] == "KeyboardInterrupt"


def test_usable_cores_are_cores_of_the_machine() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_quota_is_rounded_up_to_cores() -> None:
    assert quota_cores("max 100000\n") is None
    assert quota_cores("150000 100000\n") == 2
    assert quota_cores("1000 100000") == 1


def test_importing_packs_does_not_load_a_runtime() -> None:
    script = (
        "import sys, facebank.packs; "
        "print([name for name in ('onnx', 'onnxruntime', 'cv2', 'urllib.request', 'numpy') if name in sys.modules])"
    )
    process = run_python(script)
    assert (process.stdout.strip(), process.stderr) == ("[]", "")
