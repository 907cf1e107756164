"""Trial of a pack before its installation, in a separate process with limits on time and memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import FacebankError, ManifestError, MissingDependencyError, PackError, PackIntegrityError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.packs.manifest import PackManifest

_CHILD = "facebank.vision.pack_trial"
_MAX_BYTES = 1 << 16
_ERRORS: dict[str, type[FacebankError]] = {
    error.__name__: error for error in (ManifestError, PackError, PackIntegrityError, MissingDependencyError)
}


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """Limits of a trial's process: CPU time and elapsed time in seconds, and address space in bytes.

    The largest known pack needs a sixth of the CPU time.
    """

    processor_seconds: int = 60
    seconds: float = 300.0
    memory_bytes: int = 6 << 30


def try_pack(folder: Path, manifest: PackManifest, limits: TrialLimits | None = None) -> None:
    """Run the networks of a verified pack's folder on photos and noise; raises an error if they do not work.

    The process uses a temporary cache, which leaves nothing of a refused pack.

    Raises
    ------
    ManifestError
        The networks do not fit the manifest: another input or dimension.
    PackIntegrityError
        The networks find no face in a portrait, return numbers that are not finite or always the same, crash, or exceed
        the limits.
    MissingDependencyError
        No runtime is installed.
    PackError
        The program is frozen, for example by PyInstaller, and cannot start an interpreter.
    """
    limits = limits or TrialLimits()
    if getattr(sys, "frozen", False):
        raise PackError(
            "a frozen program, such as one built with PyInstaller, cannot install packs: install the pack with "
            "'facebank packs install' of a Python installation"
        )
    with tempfile.TemporaryDirectory(prefix="facebank-trial-") as scratch:
        result = Path(scratch) / "result.json"
        arguments = [str(limits.processor_seconds), str(limits.memory_bytes)]
        process = subprocess.Popen(  # noqa: S603 - this interpreter and this package's own module
            [sys.executable, "-P", "-m", _CHILD, str(folder.absolute()), str(result), *arguments],
            env={**os.environ, "FACEBANK_CACHE": scratch},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = process.wait(limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise _failure_error(manifest, f"it did not finish within {limits.seconds:g} seconds") from error
        finally:
            process.kill()
            process.wait()
        _raise_problem(manifest, _read_problem(result), code, limits)


def _raise_problem(manifest: PackManifest, problem: dict[str, str] | None, code: int, limits: TrialLimits) -> None:
    if problem is None:
        raise _failure_error(manifest, _exit_reason(code, limits))
    if not problem:
        return
    error = _ERRORS.get(problem.get("kind", ""))
    message = printable(problem.get("message", ""))
    if error is None:
        raise _failure_error(manifest, message)
    raise error(message)


def _read_problem(path: Path) -> dict[str, str] | None:
    """Return the problem that the process wrote, empty if there is none; None if it did not finish."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and all(isinstance(value, str) for value in content.values()) else None


def _exit_reason(code: int, limits: TrialLimits) -> str:
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return f"it took more than {limits.processor_seconds} seconds of CPU time, or was killed for its memory"
    if code < 0:
        return f"it crashed the runtime (signal {-code})"
    return "the trial ended without a result"


def _failure_error(manifest: PackManifest, reason: str) -> PackIntegrityError:
    return PackIntegrityError(
        f"the pack {manifest.name!r} was tried on photos and failed: {reason}; nothing was installed: "
        "get another version of the pack"
    )
