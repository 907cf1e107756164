"""Contract of runtimes, checked for each one with real networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from facebank.errors import DeviceError, PackError, PackIntegrityError, UsageError
from facebank.packs import NetworkFile, Session, has_openvino, load_pack, open_network, session_device
from facebank.packs.runtime_choice import RuntimeChoice, measurement_path, read_choice
from facebank.storage.files import sha256_of
from facebank.vision.network import run

needs_openvino = pytest.mark.skipif(
    not has_openvino() and "FACEBANK_CI_OPENVINO" not in os.environ,
    reason="OpenVINO is not installed: python -m pip install 'facebank[openvino]'",
)
EMBEDDER = load_pack().manifest.embedder
CROPS = np.random.default_rng(0).uniform(0, 255, (5, 3, 112, 112)).astype(np.float32)


def open_embedder(runtime: str, threads: int | None = 1) -> Session:
    return open_network(load_pack().embedder_file, "cpu", threads, runtime, shape=(2, 3, 112, 112))


@pytest.fixture(scope="module", params=["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
def session(request: pytest.FixtureRequest) -> Session:
    """The embedder of the embedded pack, on each runtime."""
    return open_embedder(request.param)


def test_ports_describe_the_network(session: Session) -> None:
    (port,) = session.get_inputs()
    assert port.name == "data"
    assert [size for size in port.shape if isinstance(size, int)] == [3, 112, 112]
    assert session.get_outputs()[0].shape[-1] == EMBEDDER.dimension
    assert session_device(session) == "cpu"


def test_outputs_equal_those_of_onnx_runtime_and_are_copies(session: Session) -> None:
    expected = open_embedder("onnxruntime").run(None, {"data": CROPS})[0]
    first = session.run(None, {"data": CROPS})[0]
    copy = first.copy()
    session.run(None, {"data": CROPS[::-1].copy()})
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, copy)
    np.testing.assert_allclose(first, expected, atol=1e-5 * np.abs(expected).max())


def test_outputs_are_in_the_requested_order(session: Session) -> None:
    detector = open_network(
        load_pack().detector_file,
        "cpu",
        1,
        "openvino" if "OpenVINO" in session.get_providers() else "onnxruntime",
        shape=(1, 3, 640, 640),
    )
    for height, width in ((64, 96), (96, 64)):
        images = np.random.default_rng(1).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
        boxes, scores = detector.run(["bbox_32", "cls_32"], {"input": images})
        assert (boxes.shape, scores.shape) == ((2, 6, 4), (2, 6, 1))


def test_concurrent_runs_do_not_mix_outputs(session: Session) -> None:
    expected = [session.run(None, {"data": crop[None]})[0] for crop in CROPS]
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda index: session.run(None, {"data": CROPS[index % 5][None]})[0], range(40)))
    for index, output in enumerate(outputs):
        np.testing.assert_array_equal(output, expected[index % 5])


def test_an_input_of_a_wrong_shape_is_an_error(session: Session) -> None:
    with pytest.raises(Exception, match=r"\S"):
        session.run(None, {"data": np.zeros((1, 3, 50, 50), np.float32)})


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
def test_an_invalid_network_is_an_error_without_output(
    runtime: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(PackIntegrityError, match=r"broken\.onnx"):
        open_network(NetworkFile(path, sha256_of(path), None), "cpu", 1, runtime, shape=(1,))
    assert capfd.readouterr() == ("", "")


def test_a_network_whose_tuned_form_is_rejected_is_used_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime has PRelu for unsigned integers, but no Relu."""
    values = [helper.make_tensor_value_info(name, TensorProto.UINT32, [1, 2]) for name in ("data", "result")]
    slopes = helper.make_tensor("slopes", TensorProto.UINT32, [1], [2])
    nodes = [helper.make_node("PRelu", ["data", "slopes"], ["result"])]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], [slopes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    path = tmp_path / "unsigned.onnx"
    path.write_bytes(model.SerializeToString())
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    session = open_network(NetworkFile(path, sha256_of(path), None), "cpu", 1, "onnxruntime", shape=(1, 2))
    numbers = np.array([[0, 3]], np.uint32)
    np.testing.assert_array_equal(session.run(None, {"data": numbers})[0], numbers)  # type: ignore[dict-item]


def test_an_unknown_runtime_is_an_error() -> None:
    with pytest.raises(UsageError, match="auto, onnxruntime or openvino"):
        open_embedder("tensorrt")
    with pytest.raises(DeviceError, match="--runtime onnxruntime"):
        open_network(load_pack().embedder_file, "cuda", 1, "openvino", shape=(1,))


def test_a_choice_needs_a_gain_and_equal_outputs() -> None:
    assert RuntimeChoice(onnxruntime=10, openvino=9, cosine=1).runtime == "openvino"
    assert RuntimeChoice(onnxruntime=10, openvino=9.8, cosine=1).runtime == "onnxruntime"
    assert RuntimeChoice(onnxruntime=10, openvino=5, cosine=0.99).runtime == "onnxruntime"


@pytest.mark.skipif(has_openvino(), reason="OpenVINO is installed")
def test_a_folder_named_openvino_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openvino").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_embedder("auto").get_providers() == ["CPUExecutionProvider"]


@needs_openvino
def test_the_choice_is_measured_once_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path))
    assert read_choice(EMBEDDER.sha256, 1) is None
    open_embedder("auto")
    choice = read_choice(EMBEDDER.sha256, 1)
    assert choice is not None
    assert choice.cosine > 0.999999
    for onnxruntime_time, openvino_time, provider in ((9.0, 1.0, "OpenVINO"), (1.0, 9.0, "CPUExecutionProvider")):
        measurement_path(EMBEDDER.sha256, 1).write_text(
            json.dumps({"onnxruntime": onnxruntime_time, "openvino": openvino_time, "cosine": 1.0})
        )
        assert open_embedder("auto").get_providers() == [provider]
    measurement_path(EMBEDDER.sha256, 1).write_text("damaged")
    open_embedder("auto")
    assert read_choice(EMBEDDER.sha256, 1) is not None


@needs_openvino
def test_openvino_in_a_forked_process_is_an_error() -> None:
    script = """
import os, sys
import numpy as np
from facebank.errors import DeviceError
from facebank.packs import load_pack
from facebank.vision import build_embedder
embedder = build_embedder(load_pack(), "cpu", 1, "openvino")
crops = np.zeros((1, 112, 112, 3), np.uint8)
embedder.embed(crops)
child = os.fork()
if not child:
    try:
        embedder.embed(crops)
    except DeviceError:
        os._exit(7)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 7


@needs_openvino
def test_telemetry_of_openvino_is_not_loaded() -> None:
    script = """
import sys
from facebank.packs import load_openvino
load_openvino()
print([name for name in sys.modules if name.startswith("openvino_telemetry") and sys.modules[name]])
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert process.stdout == "[]\n"


@needs_openvino
def test_an_input_of_a_wrong_shape_is_a_pack_error() -> None:
    with pytest.raises(PackError, match=r"pack\.toml"):
        run(open_embedder("openvino"), np.zeros((1, 3, 50, 50), np.float32))
