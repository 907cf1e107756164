"""What works here, what does not, and what to type about it: software, device, packs and gallery."""

from __future__ import annotations

import ctypes
import json
import platform
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank import __version__
from facebank.errors import DeviceError, FacebankError, MissingDependencyError
from facebank.installation import (
    CORE,
    OPTIONAL,
    RUNTIME,
    Finding,
    Installed,
    Severity,
    examine_installation,
    install_command,
    mend_command,
    replace_command,
)
from facebank.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxruntime import InferenceSession

    from facebank.packs.store import PackHealth

_PROVIDER_NAMES = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda"}
_QUOTED_COMMAND = re.compile(r"`([^`]+)`")
_SMALL_SIDE = 32


@dataclass(frozen=True, slots=True)
class Section:
    """Findings that belong together."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was looked at.

    Attributes
    ----------
    sections
        Software, installation, device, packs, gallery.
    """

    sections: tuple[Section, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all sections."""
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem; warnings may be."""
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)


def examine(gallery: Path | None = None, pack: str | None = None, device: str = "auto") -> Diagnosis:
    """Look at everything that recognition needs. Never raises for what it finds.

    Parameters
    ----------
    gallery
        The gallery's file; None for the default one.
    pack
        The pack in use; None for the embedded one.
    device
        ``auto``, ``cpu`` or ``cuda``: where a small network is run.
    """
    installed = Installed.read()
    return Diagnosis(
        (
            Section("Software", list_software(installed)),
            Section("Installation", examine_installation(installed)),
            _section("Device", lambda: examine_device(device, installed)),
            _section("Packs", lambda: examine_packs(pack)),
            _section("Gallery", lambda: examine_gallery(gallery, pack)),
        )
    )


def list_software(installed: Installed) -> tuple[Finding, ...]:
    """List the versions of Python, facebank and the libraries it uses."""
    versions = [
        Finding("facebank", __version__),
        Finding("Python", f"{platform.python_version()} ({platform.system()} {platform.machine()}), {sys.executable}"),
    ]
    libraries = ((name, installed.version(name)) for name in (*CORE, *OPTIONAL))
    return (*versions, *(Finding(name, version) for name, version in libraries if version))


def examine_device(device: str, installed: Installed) -> tuple[Finding, ...]:
    """Run a small network and see where it really ran.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    installed
        What is installed.

    Returns
    -------
    tuple[Finding, ...]
        The runtime's execution providers and the place where the network ran.
    """
    from facebank.packs.runtime import load_runtime, open_session

    try:
        providers = Finding("Execution providers", ", ".join(load_runtime().get_available_providers()))
    except MissingDependencyError:
        said = "not run: there is no ONNX runtime, or only part of one; facebank[cpu] and facebank[gpu] bring one"
        return (Finding("Small network", said, Severity.PROBLEM, mend_command(RUNTIME, installed)),)
    with tempfile.TemporaryDirectory(prefix="facebank-doctor-") as scratch:
        network = Path(scratch) / "small.onnx"
        network.write_bytes(small_network())
        try:
            places = where_it_ran(open_session(network, device), network)
        except DeviceError as error:
            return providers, _cuda_problem(f"asked for cuda, which cannot be used{_cause_of(error)}", installed)
        except FacebankError as error:
            return providers, Finding("Small network", f"not run: {error}", Severity.PROBLEM)
    return providers, _place_finding(device, places, providers.detail, installed)


def small_network() -> bytes:
    """Make a network of one convolution over a picture of 32 x 32 pixels, as ONNX."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.full((4, 3, 3, 3), 1 / 27, dtype=np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "weights"], ["features"])],
        "small",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, _SMALL_SIDE, _SMALL_SIDE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 4, _SMALL_SIDE - 2, _SMALL_SIDE - 2])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def where_it_ran(session: InferenceSession, network: Path) -> frozenset[str]:
    """Run a network with the runtime's profiler on, and read where its nodes were computed.

    Parameters
    ----------
    session
        A session of the network, whose providers are used.
    network
        The network `small_network`.

    Returns
    -------
    frozenset[str]
        ``cpu``, ``cuda`` or the name of another execution provider; all that computed a node.
    """
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(network.with_suffix(""))
    profiled = onnxruntime.InferenceSession(str(network), options, providers=session.get_providers())
    profiled.run(None, {"picture": np.ones((1, 3, _SMALL_SIDE, _SMALL_SIDE), dtype=np.float32)})
    events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    used = {event["args"]["provider"] for event in events if event.get("args", {}).get("provider")}
    return frozenset(_PROVIDER_NAMES.get(provider, provider) for provider in used)


def examine_packs(pack: str | None) -> tuple[Finding, ...]:
    """Compare the files of every installed pack with their hashes; also of the pack in use, if it is elsewhere."""
    from facebank.packs.store import list_packs, verify_pack

    try:
        names = [installed.name for installed in list_packs()]
        findings = [_pack_finding(verify_pack(name)) for name in names]
        if pack is not None and pack not in names:
            findings.append(_foreign_pack_finding(pack))
    except FacebankError as error:
        return (Finding("Packs", str(error), Severity.PROBLEM),)
    return tuple(findings)


def examine_gallery(gallery: Path | None, pack: str | None) -> tuple[Finding, ...]:
    """Look whether the gallery can be read and belongs to the pack in use."""
    from facebank.gallery import default_gallery_path, inspect_gallery

    path = gallery or default_gallery_path()
    label = printable(str(path))
    health = inspect_gallery(path)
    if not health.exists:
        return (Finding("Gallery", f"{label}: not there yet, the first enrolment makes it"),)
    findings = [_gallery_problem(label, problem) for problem in health.problems]
    if health.people is not None:
        said = f"{label}: {health.people} people, {health.samples} samples, {health.journal_mode} journal"
        findings.append(Finding("Gallery", said))
        findings.append(_gallery_pack_finding(path, health.pack_name, health.pack_digest, pack))
    return tuple(findings)


def _gallery_problem(label: str, problem: str) -> Finding:
    command = _QUOTED_COMMAND.search(problem)
    return Finding("Gallery", f"{label}: {problem}", Severity.PROBLEM, command[1] if command else None)


def _section(title: str, examine_it: Callable[[], tuple[Finding, ...]]) -> Section:
    try:
        return Section(title, examine_it())
    except ImportError as error:
        what = f"not looked at: the Python package {error.name} cannot be imported, see Installation"
        return Section(title, (Finding(title, what, Severity.PROBLEM),))


def _place_finding(device: str, places: frozenset[str], providers: str, installed: Installed) -> Finding:
    said = f"asked for {device}, ran on: {', '.join(sorted(places)) or 'nothing that says so'}"
    if device == "cuda" and places != {"cuda"}:
        return _cuda_problem(said, installed)
    if device == "auto" and "cuda" not in places and "CUDAExecutionProvider" in providers:
        problem = _cuda_problem(said, installed)
        return Finding(problem.subject, problem.detail, Severity.WARNING, problem.command)
    return Finding("Small network", said)


def _cuda_problem(said: str, installed: Installed) -> Finding:
    """Say why CUDA does not work, as far as can be seen from here."""
    subject = "Small network"
    runtimes = installed.owners("onnxruntime")
    majors = [major for name in runtimes if (major := installed.cuda_major(name)) is not None]
    if not majors:
        command = replace_command([*runtimes, *installed.owners("faiss")], install_command("facebank[gpu]"))
        return Finding(subject, f"{said}; {', '.join(runtimes)} is not built for CUDA", Severity.PROBLEM, command)
    if sys.platform == "linux":
        if not _loads("libcuda.so.1"):
            reason = "no NVIDIA driver is installed (nvidia-smi must work); until then use --device cpu"
            return Finding(subject, f"{said}; {reason}", Severity.PROBLEM)
        wanted = (f"libcudart.so.{majors[0]}", f"libcublas.so.{majors[0]}", "libcudnn.so.9")
        missing = [library for library in wanted if not _loads(library)]
        if missing:
            said = f"{said}; these libraries are missing: {', '.join(missing)}"
    return Finding(subject, said, Severity.PROBLEM, install_command("--upgrade", "facebank[gpu]"))


def _cause_of(error: DeviceError) -> str:
    lines = str(error.__cause__ or "").strip().splitlines()
    return f" ({printable(lines[0])})" if lines else ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _pack_finding(health: PackHealth) -> Finding:
    pack = health.pack
    name = printable(pack.name)
    if health.ok and pack.manifest:
        return Finding(f"Pack {name}", f"{pack.manifest.version}, {len(health.files)} files as published")
    broken = ", ".join(f"{file.name} is {file.state}" for file in health.files if file.state != "ok")
    return Finding(f"Pack {name}", pack.problem or broken, Severity.PROBLEM, _pack_command(pack.name, pack.embedded))


def _pack_command(name: str, embedded: bool) -> str | None:
    from facebank.packs.registry import known_packs

    if embedded:
        return install_command("--force-reinstall", "--no-deps", "facebank")
    if name in known_packs():
        return f"facebank packs remove {name} && facebank packs install {name}"
    return f"facebank packs remove {name}"


def _foreign_pack_finding(pack: str) -> Finding:
    """Look at a pack that is used from its folder."""
    from facebank.packs import load_pack
    from facebank.packs.store import FileState, file_state
    from facebank.vision.insightface_adapter import PREFIX, open_package

    subject = f"Pack {printable(pack)}"
    try:
        if pack.startswith(PREFIX):
            package = open_package(pack)
            said = f"run by the insightface library, calibrated on {package.thresholds.calibrated_on}"
            return Finding(subject, said, Severity.WARNING)
        loaded = load_pack(pack)
    except FacebankError as error:
        return Finding(subject, str(error), Severity.PROBLEM, "facebank packs list")
    states = {file: file_state(loaded.folder / file, sha256) for file, sha256 in loaded.manifest.files.items()}
    broken = ", ".join(f"{file} is {state}" for file, state in states.items() if state is not FileState.OK)
    if broken:
        return Finding(subject, broken, Severity.PROBLEM)
    return Finding(subject, f"{loaded.manifest.version}, {len(states)} files as published")


def _gallery_pack_finding(path: Path, made_by: str | None, digest: str | None, pack: str | None) -> Finding:
    try:
        name, in_use = _pack_identity(pack)
    except FacebankError as error:
        return Finding("Gallery's pack", f"cannot be compared: {error}", Severity.WARNING)
    if digest in (in_use, None):
        return Finding("Gallery's pack", name)
    option = "" if pack is None else f" --pack {shlex.quote(pack)}"
    return Finding(
        "Gallery's pack",
        f"its embeddings were made by the pack {printable(made_by or '?')}, in use is {printable(name)}: "
        "use that pack with --pack, or make the embeddings again from the photographs",
        Severity.PROBLEM,
        f"facebank --gallery {shlex.quote(str(path))}{option} people re-embed",
    )


def _pack_identity(pack: str | None) -> tuple[str, str]:
    from facebank.packs import load_pack
    from facebank.vision.insightface_adapter import PREFIX, open_package

    if pack is not None and pack.startswith(PREFIX):
        package = open_package(pack)
        return package.name, package.digest
    loaded = load_pack(pack)
    return loaded.name, loaded.digest
