"""Processes of ``facebank serve`` for trials."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from benchmarks.memory import resident_mebibytes


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A running service."""

    address: str
    process: subprocess.Popen[str]
    output: list[str]  # lines of standard error since the start; expected to be empty

    def mebibytes(self) -> float:
        """Return the resident memory in MiB."""
        return resident_mebibytes(self.process.pid)

    def kill(self) -> None:
        """Kill the service with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def run_service(gallery: Path, *options: str) -> Iterator[ServiceProcess]:
    """Run ``facebank serve`` within the block, and terminate it at the end if it is still running."""
    program = Path(sys.executable).with_name("facebank")
    command = [str(program), "--gallery", str(gallery), "serve", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            match = None
            for line in process.stderr:
                match = re.search(r"serving (http://\S+)", line)
                if match is not None:
                    break
            if match is None:
                raise RuntimeError(
                    f"The service of {gallery} did not start. Run this to see why: {shlex.join(command)}"
                )
            output: list[str] = []
            Thread(target=output.extend, args=(process.stderr,), daemon=True).start()
            yield ServiceProcess(match[1], process, output)
        finally:
            process.terminate()
