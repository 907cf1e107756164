"""Harness that kills the program at chosen and random moments, and checks the recovery of following runs.

A `Trial` defines the run to kill, the runs that follow, and the checks after each. The program runs in a forked process
that has already imported it. Half of the kills happen before the n-th change of a file (an open, link, rename or
remove, or the creation of a folder), half at a random time.
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

_CHANGES = frozenset(
    ("open", "os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.utime")
)
_IMPORTED = (
    "facebank_cli.app",
    "facebank.album.album",
    "facebank.operations.identify",
    "onnxruntime",
    "cv2",
    "PIL.Image",
)
NOTHING_DONE = 2  # state of the killed run
_LONGEST = 120.0  # seconds that a run may take


@dataclass(frozen=True, slots=True)
class Trial:
    """A run to kill, and the checks of following runs.

    Attributes
    ----------
    name
        Name in the counts.
    killed
        Arguments of the run to kill, with paths relative to the work folder.
    begins
        Part of the name of the file whose first opening starts the interval of kills.
    then
        Arguments of the following runs, each with a check of the work folder that returns a fault or None.
    before
        Arguments of runs before the one to kill.
    on_other_disk
        Whether hard links between folders fail, as between two disks, so that files are copied.
    """

    name: str
    killed: Sequence[str]
    begins: str
    then: Sequence[tuple[Sequence[str], Check]]
    before: Sequence[Sequence[str]] = ()
    on_other_disk: bool = False


@dataclass(slots=True)
class Outcome:
    """Outcome of a trial: number of kills, of kills that hit the run, and faults."""

    kills: int = 0
    hits: int = 0
    wrong: list[str] = field(default_factory=list)


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
        self._begin, self._template = (work.with_name(f"{work.name}.{name}") for name in ("begin", "template"))
        self._environment = {**os.environ, **environment}
        self._on_other_disk = False
        for name in _IMPORTED:
            import_module(name)

    def prepare(self, runs: Sequence[Sequence[str]]) -> None:
        """Run the program to create the initial state of all trials."""
        self._run_all(runs)
        _copy(self._work, self._begin)

    def run(self, arguments: Sequence[str]) -> int:
        """Run the program and return its exit code."""
        return os.waitstatus_to_exitcode(self._wait(self._fork(arguments, None, None, None)))

    def _run_all(self, runs: Sequence[Sequence[str]]) -> None:
        for arguments in runs:
            if self.run(arguments):
                raise RuntimeError(f"{' '.join(arguments)} failed: {self._output()}")

    def run_trial(self, trial: Trial, kills: int, seed: int = 0) -> Outcome:
        """Kill a run `kills` times, and check the runs that follow."""
        chance, outcome = random.Random(f"{seed} {trial.name}"), Outcome()
        self._on_other_disk = trial.on_other_disk
        _copy(self._begin, self._work)
        self._run_all(trial.before)
        _copy(self._work, self._template)
        changes, seconds = self._measure(trial)
        points = [*range(1, changes + 1)]
        chosen = [chance.choice(points) for _ in range(kills // 2)] if len(points) > kills // 2 else points
        moments: list[tuple[int | None, float | None]] = [(point, None) for point in chosen]
        moments += [(None, chance.uniform(0, seconds)) for _ in range(kills - len(chosen))]
        for point, moment in moments:
            _copy(self._template, self._work)
            outcome.kills += 1
            outcome.hits += self._kill(trial, point, moment)
            for arguments, check in trial.then:
                when = f"change {point} of {changes}" if moment is None else f"{1000 * moment:.1f} ms"
                code, why = self.run(arguments), check(self._work)
                if why is not None or code not in (0, NOTHING_DONE):
                    outcome.wrong.append(f"{trial.name}, {when}: {' '.join(arguments)} gave {code}, {why}")
                    break
        _copy(self._template, self._work)
        return outcome

    def _measure(self, trial: Trial) -> tuple[int, float]:
        """Return the number of file changes of a run after its first opening of `Trial.begins`, and its seconds."""
        reading, writing = os.pipe()
        child = self._fork(trial.killed, trial.begins, None, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as events:
            started = time.monotonic() if events.read(1) else 0.0
            changes = len(events.read())
        if os.waitstatus_to_exitcode(self._wait(child)) or not started:
            raise RuntimeError(f"{trial.name}: the run failed or never opened {trial.begins}: {self._output()}")
        return changes, time.monotonic() - started

    def _kill(self, trial: Trial, point: int | None, moment: float | None) -> bool:
        """Kill a run before its n-th change, or some seconds after the first; return whether the kill hit it."""
        reading, writing = os.pipe()
        child = self._fork(trial.killed, trial.begins, point, writing)
        os.close(writing)
        with os.fdopen(reading, "rb", buffering=0) as events:
            if moment is not None and events.read(1):
                time.sleep(moment)
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            while events.read(4096):
                pass
        return os.waitstatus_to_exitcode(self._wait(child)) == -signal.SIGKILL

    def _fork(self, arguments: Sequence[str], begins: str | None, point: int | None, pipe: int | None) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about forking with threads, which the child does not need
            child = os.fork()
        if child:
            return child
        try:
            self._run_program(arguments, begins, point, pipe)
        finally:
            os._exit(70)

    def _run_program(self, arguments: Sequence[str], begins: str | None, point: int | None, pipe: int | None) -> None:
        """Run the program in this process; never returns."""
        output = os.open(self._work.with_name("output.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(self._environment)
        os.chdir(self._work)
        sys.argv = ["facebank", *arguments]
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the process ends
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if self._on_other_disk:
            sys.addaudithook(_refuse_links)
        if begins is not None and pipe is not None:
            _audit_hook(begins, point, pipe)
        code = import_module("facebank_cli.app").main()
        sys.stdout.flush()
        os._exit(code)

    def _wait(self, child: int) -> int:
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise RuntimeError(f"the program did not end within {_LONGEST:.0f} s")

    def _output(self) -> str:
        return self._work.with_name("output.txt").read_text(encoding="utf-8", errors="replace")


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def _audit_hook(begins: str, point: int | None, pipe: int) -> None:
    """Report file changes after the opening of the file `begins`, and kill this process before one of them."""
    count = 0

    def on_event(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in _CHANGES or not (count or any(begins in str(argument) for argument in arguments)):
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


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return the content of all files and the targets of all links in a folder, by path."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def difference(now: Mapping[str, object], wanted: Mapping[str, object]) -> str | None:
    """Return the difference of two folders, None if they are equal."""
    if now == wanted:
        return None
    missing, more = sorted(wanted.keys() - now.keys()), sorted(now.keys() - wanted.keys())
    changed = sorted(name for name in now.keys() & wanted.keys() if now[name] != wanted[name])
    return f"missing {missing}, new {more}, changed {changed}"
