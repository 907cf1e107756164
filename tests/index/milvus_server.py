"""A Milvus server for tests, from the PyPI package ``milvus``, reachable at 127.0.0.1 only.

The server always listens on every interface. It therefore runs in a network namespace that has only a loopback
interface; a relay on 127.0.0.1 reaches it through a Unix socket. As a script, this file runs the part in the namespace:
``python milvus_server.py FOLDER SOCKET [KEY=VALUE ...]``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SECONDS_TO_START = 60
_BUFFER_SIZE = 1 << 16
_PROXY_PORT, _HEALTH_URL = 19530, "http://127.0.0.1:9091/healthz"


def server_problem() -> str | None:
    """Return a message about what the server lacks; None if it can be started."""
    if importlib.util.find_spec("milvus") is None:
        return "the test server, the package milvus==2.3.5, is not installed"
    if shutil.which("unshare") is None:
        return "the program unshare, which keeps the test server on 127.0.0.1, is not installed"
    if subprocess.run([*_namespace(), "true"], capture_output=True, check=False).returncode:
        return "network namespaces, which keep the test server on 127.0.0.1, are not permitted"
    return None


def _namespace() -> list[str]:
    return ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]


class MilvusServer:
    """A running server; ``with`` starts and stops it.

    Parameters
    ----------
    folder
        The folder for its data.
    settings
        Settings that override the defaults, such as ``{"dataCoord.gc.interval": "5"}``.
    python
        The Python that has the package ``milvus``; this one by default.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, python: str = sys.executable) -> None:
        self.folder = folder
        self.port = 0
        self._settings = [f"{key}={value}" for key, value in (settings or {}).items()]
        self._python = python
        self._process: subprocess.Popen[str] | None = None
        self._relay: socket.socket | None = None

    @property
    def address(self) -> str:
        """The server's address in the form of ``--index``, without a collection."""
        return f"milvus://127.0.0.1:{self.port}"

    @property
    def process_id(self) -> int:
        """The server's process ID."""
        return int((self.folder / "server.pid").read_text(encoding="ascii"))

    def __enter__(self) -> MilvusServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; it keeps the data of an earlier run in the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sockets = Path(tempfile.mkdtemp(prefix="fbm-"))  # a socket's path has at most 107 bytes
        command = [self._python, __file__, str(self.folder), str(sockets / "s"), *self._settings]
        self._process = subprocess.Popen(
            [*_namespace(), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            output = self._process.stdout.read()
            self.stop()
            raise RuntimeError(f"the Milvus server did not start: {output}")
        if self._relay is None:  # a server that is started again has the same address
            self._relay = socket.create_server(("127.0.0.1", self.port))
            self.port = self._relay.getsockname()[1]
            threading.Thread(target=_relay, args=(self._relay, self._connect), daemon=True).start()
        self._sockets = sockets

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._sockets / "s"))
        except OSError:
            connection.close()
            raise
        return connection

    def halt(self) -> None:
        """Stop the server but keep its port, where connections then fail."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()

    def stop(self) -> None:
        """Stop the server and release its port."""
        self.halt()
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        shutil.rmtree(getattr(self, "_sockets", ""), ignore_errors=True)


def _relay(listening: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Relay each connection to a new one, in both directions, until the listening socket is closed."""
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(client, connect), daemon=True).start()


def _join(client: socket.socket, connect: Callable[[], socket.socket]) -> None:
    with client, contextlib.suppress(OSError), connect() as server:
        answers = threading.Thread(target=_copy, args=(server, client), daemon=True)
        answers.start()
        _copy(client, server)
        answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_BUFFER_SIZE):
            target.sendall(data)
    for connection in (source, target):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def _enable_loopback() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.pack("16sh14x", b"lo", 1 | 64)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(control, 0x8914, flags)  # SIOCSIFFLAGS


@contextlib.contextmanager
def _run_server(folder: Path, settings: Sequence[str]) -> Iterator[int]:
    from milvus import MilvusServer as PackagedServer
    from milvus import MilvusServerConfig

    server = PackagedServer(MilvusServerConfig(), wait_for_started=False)
    server.set_base_dir(str(folder))
    for key, _, value in (setting.partition("=") for setting in ("log.level=error", *settings)):
        server.config.set(key, value)
    server.start()
    try:
        yield server.server_proc.pid
    finally:
        server.stop()


def main(folder: Path, socket_path: str, settings: Sequence[str]) -> None:
    """Run a server in this network namespace, reachable through a Unix socket, until a signal arrives."""
    _enable_loopback()
    is_stopped = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: is_stopped.set())
    with _run_server(folder, settings) as process_id:
        (folder / "server.pid").write_text(str(process_id), encoding="ascii")
        deadline = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(_HEALTH_URL, timeout=5) as response:
                if b"OK" in response.read():
                    break
            time.sleep(0.1)
        else:
            sys.stdout.write("it is not healthy after a minute\n")
            return
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(socket_path)
        listening.listen(64)
        threading.Thread(
            target=_relay, args=(listening, lambda: socket.create_connection(("127.0.0.1", _PROXY_PORT))), daemon=True
        ).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        parent = os.getppid()
        while not is_stopped.wait(1.0):
            if os.getppid() != parent:  # the parent process was killed
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
