"""Harness that kills the program at chosen and random moments, and checks the recovery of following runs.

A `KillTrial` defines the run to kill, the runs that follow, and the checks after each. The program runs in a forked
process that has already imported it. Half of the kills happen before the n-th change of a file (an open, link, rename
or remove, or the creation of a folder), half at a random time.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

Check = Callable[[Path], str | None]

_CHANGE_EVENTS = frozenset(
    ("open", "os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime")
)
_PRELOADED_MODULES = (
    "facebank_cli.app",
    "facebank.album.album",
    "facebank.operations.identify",
    "onnxruntime",
    "cv2",
    "PIL.Image",
)
NOTHING_DONE = 2  # exit code if the kill left nothing to do
_RUN_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True, slots=True)
class KillTrial:
    """A run to kill, and the checks of following runs.

    Attributes
    ----------
    name
        Name in the counts.
    command
        Arguments of the run to kill, with paths relative to the work folder.
    start_file
        Part of the name of the file whose first opening starts the interval of kills.
    next_runs
        Arguments of the following runs, each with a check of the work folder that returns a fault or None.
    previous_runs
        Arguments of runs before the one to kill.
    is_on_other_disk
        Whether hard links between folders fail, as between two disks, so that files are copied.
    """

    name: str
    command: Sequence[str]
    start_file: str
    next_runs: Sequence[tuple[Sequence[str], Check]]
    previous_runs: Sequence[Sequence[str]] = ()
    is_on_other_disk: bool = False


@dataclass(slots=True)
class Outcome:
    """Outcome of a trial."""

    kills: int = 0
    hits: int = 0  # kills before the run had ended
    wrong: list[str] = field(default_factory=list)  # faults found by the checks


class Killer:
    """Runs trials in a work folder.

    Parameters
    ----------
    work
        Work folder of the program, restored before each kill and each trial.
    environment
        Environment of the program.
    """

    def __init__(self, work: Path, environment: Mapping[str, str]) -> None:
        self._work = work
        self._initial, self._template = (work.with_name(f"{work.name}.{name}") for name in ("initial", "template"))
        self._environment = {**os.environ, **environment}
        self._is_on_other_disk = False
        for name in _PRELOADED_MODULES:
            import_module(name)

    def prepare(self, runs: Sequence[Sequence[str]]) -> None:
        """Run the program to create the initial state of all trials."""
        self._run_all(runs)
        _copy(self._work, self._initial)

    def run(self, arguments: Sequence[str]) -> int:
        """Run the program and return its exit code."""
        return os.waitstatus_to_exitcode(self._wait(self._fork(arguments, None, None, None)))

    def _run_all(self, runs: Sequence[Sequence[str]]) -> None:
        for arguments in runs:
            if self.run(arguments):
                raise RuntimeError(f"{' '.join(arguments)} failed: {self._output()}")

    def run_trial(self, trial: KillTrial, kills: int, seed: int = 0) -> Outcome:
        """Kill a run `kills` times, and check the runs that follow."""
        rng, outcome = random.Random(f"{seed} {trial.name}"), Outcome()
        self._is_on_other_disk = trial.is_on_other_disk
        _copy(self._initial, self._work)
        self._run_all(trial.previous_runs)
        _copy(self._work, self._template)
        changes, seconds = self._measure(trial)
        points = [*range(1, changes + 1)]
        chosen = [rng.choice(points) for _ in range(kills // 2)] if len(points) > kills // 2 else points
        moments: list[tuple[int | None, float | None]] = [(point, None) for point in chosen]
        moments += [(None, rng.uniform(0, seconds)) for _ in range(kills - len(chosen))]
        for point, delay in moments:
            _copy(self._template, self._work)
            outcome.kills += 1
            outcome.hits += self._kill(trial, point, delay)
            for arguments, check in trial.next_runs:
                when = f"change {point} of {changes}" if delay is None else f"{1000 * delay:.1f} ms"
                code, fault = self.run(arguments), check(self._work)
                if fault is not None or code not in (0, NOTHING_DONE):
                    outcome.wrong.append(f"{trial.name}, {when}: {' '.join(arguments)} exited with {code}, {fault}")
                    break
        _copy(self._template, self._work)
        return outcome

    def _measure(self, trial: KillTrial) -> tuple[int, float]:
        """Return the number of file changes of a run after it first opened `KillTrial.start_file`, and its seconds."""
        read_end, write_end = os.pipe()
        child = self._fork(trial.command, trial.start_file, None, write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as events:
            started = time.monotonic() if events.read(1) else 0.0
            changes = len(events.read())
        if os.waitstatus_to_exitcode(self._wait(child)) or not started:
            raise RuntimeError(f"{trial.name}: the run failed or never opened {trial.start_file}: {self._output()}")
        return changes, time.monotonic() - started

    def _kill(self, trial: KillTrial, point: int | None, delay: float | None) -> bool:
        """Kill a run before its n-th change, or some seconds after the first; return whether the kill hit it."""
        read_end, write_end = os.pipe()
        child = self._fork(trial.command, trial.start_file, point, write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb", buffering=0) as events:
            if delay is not None and events.read(1):
                time.sleep(delay)
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            while events.read(4096):
                pass
        return os.waitstatus_to_exitcode(self._wait(child)) == -signal.SIGKILL

    def _fork(self, arguments: Sequence[str], start_file: str | None, point: int | None, pipe: int | None) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warns of forking with threads, which the child does not use
            child = os.fork()
        if child:
            return child
        try:
            self._run_program(arguments, start_file, point, pipe)
        finally:
            os._exit(70)

    def _run_program(
        self, arguments: Sequence[str], start_file: str | None, point: int | None, pipe: int | None
    ) -> None:
        """Run the program in this process; does not return."""
        output = os.open(self._work.with_name("output.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(self._environment)
        os.chdir(self._work)
        sys.argv = ["facebank", *arguments]
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the process ends
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if self._is_on_other_disk:
            sys.addaudithook(_refuse_links)
        if start_file is not None and pipe is not None:
            _add_audit_hook(start_file, point, pipe)
        code = import_module("facebank_cli.app").main()
        sys.stdout.flush()
        os._exit(code)

    def _wait(self, child: int) -> int:
        end = time.monotonic() + _RUN_TIMEOUT
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise RuntimeError(f"The program did not end within {_RUN_TIMEOUT:.0f} s: {self._output()}")

    def _output(self) -> str:
        return self._work.with_name("output.txt").read_text(encoding="utf-8", errors="replace")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def _add_audit_hook(start_file: str, point: int | None, pipe: int) -> None:
    """Report file changes after the opening of the file `start_file`, and kill this process before one of them."""
    count = 0

    def on_event(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in _CHANGE_EVENTS or not (count or any(start_file in str(argument) for argument in arguments)):
            return
        count += 1
        if count - 1 == point:
            os.kill(os.getpid(), signal.SIGKILL)
        with suppress(OSError):
            os.write(pipe, b".")

    sys.addaudithook(on_event)


def _refuse_links(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.link" and arguments[2] != arguments[3]:  # descriptors of the folders
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def read_tree(folder: Path) -> dict[str, bytes | str]:
    """Return the content of all files and the targets of all links in a folder, by path."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def difference(actual: Mapping[str, object], expected: Mapping[str, object]) -> str | None:
    """Return the difference between two results of `read_tree`, None if they are equal."""
    if actual == expected:
        return None
    missing, extra = sorted(expected.keys() - actual.keys()), sorted(actual.keys() - expected.keys())
    changed = sorted(name for name in actual.keys() & expected.keys() if actual[name] != expected[name])
    return f"missing {missing}, extra {extra}, changed {changed}"
