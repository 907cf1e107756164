"""Diagnosis of the devices and runtimes that run networks."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from facebank.doctor.installation import (
    RUNTIME,
    InstallationFinding,
    InstalledDistributions,
    Severity,
    install_command,
    repair_command,
    replace_command,
)
from facebank.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from facebank.packs import DeviceTrial


def examine_device(device: str, installed: InstalledDistributions) -> tuple[InstallationFinding, ...]:
    """Run a small network on ``auto``, ``cpu`` or ``cuda``; return the execution providers and the device used."""
    from facebank.packs import load_runtime, try_device

    try:
        providers = InstallationFinding("Execution providers", ", ".join(load_runtime().get_available_providers()))
        trial = try_device(device)
    except MissingDependencyError:
        detail = "not run: ONNX Runtime is missing or incomplete; install facebank[cpu] or facebank[gpu]"
        return (InstallationFinding("Small network", detail, Severity.PROBLEM, repair_command(RUNTIME, installed)),)
    except UsageError as error:
        return providers, InstallationFinding("Small network", f"not run: {error}", Severity.PROBLEM)
    return providers, _trial_finding(trial, providers.detail, installed), *_runtime_findings()


def _runtime_findings() -> Iterator[InstallationFinding]:
    """Yield a finding on the runtime that embeds faces in scans with the embedded pack, if OpenVINO is installed."""
    from facebank.packs import has_openvino, load_openvino, load_pack, read_choice

    if not has_openvino():
        return
    try:
        load_openvino()
    except MissingDependencyError as error:
        command = install_command("--force-reinstall", "openvino")
        yield InstallationFinding("OpenVINO", str(error), Severity.WARNING, command)
        return
    subject, choice = "Embedder's runtime", read_choice(load_pack().manifest.embedder.sha256, threads=1)
    if choice is None:
        yield InstallationFinding(subject, "not measured yet; measured by the first 'facebank scan' without --runtime")
    else:
        detail = f"OpenVINO takes {choice.openvino:g} ms, ONNX Runtime {choice.onnxruntime:g} ms"
        yield InstallationFinding(subject, f"{choice.title} for long work: {detail}")


def _trial_finding(trial: DeviceTrial, providers: str, installed: InstalledDistributions) -> InstallationFinding:
    detail = f"requested {trial.device}, ran on: {', '.join(sorted(trial.ran_on)) or 'nothing'}"
    needs_cuda = trial.device == "cuda" or (trial.device == "auto" and "CUDAExecutionProvider" in providers)
    if needs_cuda and trial.ran_on != {"cuda"}:
        problem = _cuda_problem(detail, trial.problem, installed)
        return replace(problem, severity=Severity.WARNING) if trial.device == "auto" and trial.ran_on else problem
    if not trial.ran_on:
        return InstallationFinding("Small network", f"{detail}: {trial.problem}", Severity.PROBLEM)
    return InstallationFinding("Small network", detail)


def _cuda_problem(detail: str, reason: str | None, installed: InstalledDistributions) -> InstallationFinding:
    """Return a finding with the likely reason for the failure of CUDA."""
    subject = "Small network"
    runtimes = installed.owners("onnxruntime")
    majors = [major for name in runtimes if (major := installed.cuda_major(name)) is not None]
    if not majors:
        command = replace_command([*runtimes, *installed.owners("faiss")], install_command("facebank[gpu]"))
        return InstallationFinding(
            subject, f"{detail}; {', '.join(runtimes)} is not built for CUDA", Severity.PROBLEM, command
        )
    detail = f"{detail}: {reason}" if reason else detail
    if sys.platform == "linux":
        if not _can_load("libcuda.so.1"):
            detail = f"{detail}; no NVIDIA driver is installed (nvidia-smi must work); until then use --device cpu"
            return InstallationFinding(subject, detail, Severity.PROBLEM)
        required = (f"libcudart.so.{majors[0]}", f"libcublas.so.{majors[0]}", "libcudnn.so.9")
        missing = [library for library in required if not _can_load(library)]
        if missing:
            detail = f"{detail}; these libraries are missing: {', '.join(missing)}"
    return InstallationFinding(subject, detail, Severity.PROBLEM, install_command("--upgrade", "facebank[gpu]"))


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
