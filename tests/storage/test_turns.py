"""Writers take turns: a waiting writer logs a warning, and is not starved by frequent writers."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facebank.storage.concurrency import hold_lock_file
from facebank.storage.connections import connect
from facebank.storage.sqlite import QUEUE_SUFFIX, begin_in_turn, write_transaction

PROJECT = Path(__file__).resolve().parents[2]

# Writes continuously until its input closes, then prints the number of writes.
LOOP = """
import sys, select, time
from pathlib import Path
from facebank.storage.sqlite import write_transaction
from facebank.storage.connections import connect
path = Path(sys.argv[1])
connection = connect(path, busy_timeout=30)
print("ready", flush=True)
count = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    with write_transaction(connection, path, 30):
        connection.execute("UPDATE t SET x = x + 1")
        time.sleep(float(sys.argv[2]))
    count += 1
print(count, flush=True)
"""

# Writes once, and prints the number of other processes' writes before it.
ONCE = """
import sys
from pathlib import Path
from facebank.storage.sqlite import write_transaction
from facebank.storage.connections import connect
path = Path(sys.argv[1])
connection = connect(path, busy_timeout=30)
for _ in range(int(sys.argv[2])):
    (before,) = connection.execute("SELECT x FROM t").fetchone()
    with write_transaction(connection, path, 30):
        (after,) = connection.execute("SELECT x FROM t").fetchone()
        connection.execute("UPDATE t SET y = y + 1")
    print(after - before, flush=True)
"""

# Holds a write transaction until it is killed.
HOLD = """
import sys
from pathlib import Path
from facebank.storage.sqlite import write_transaction
from facebank.storage.connections import connect
path = Path(sys.argv[1])
connection = connect(path, busy_timeout=30)
with write_transaction(connection, path, 30):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x, y); INSERT INTO t VALUES (0, 0)")
    return path


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_waiting_writer_precedes_frequent_writers(path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    loops = [start(LOOP, path, 0.03) for _ in range(3)]
    for loop in loops:
        assert read_line(loop) == "ready"
    waiting_writer = start(ONCE, path, 8)
    write_counts = [int(read_line(waiting_writer)) for _ in range(8)]
    counts = [int(loop.communicate("stop")[0].split()[-1]) for loop in loops]
    assert all(counts)
    assert max(write_counts) <= 40  # three other writers take turns; without turns, hundreds
    assert not path.with_name(path.name + QUEUE_SUFFIX).exists()


def test_waiting_is_logged_once(
    path: Path, start: Callable[..., subprocess.Popen[str]], caplog: pytest.LogCaptureFixture
) -> None:
    holder = start(HOLD, path)
    assert read_line(holder) == "ready"
    with closing(connect(path, busy_timeout=1)) as connection, caplog.at_level(logging.WARNING):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_in_turn(connection, path, 0.2)
        assert caplog.messages == []
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            begin_in_turn(connection, path, 1.5)
        assert caplog.messages == [f"waiting for another facebank that is writing to {path}"]
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (1000,)
        holder.communicate("")
        with write_transaction(connection, path, 1):
            connection.execute("UPDATE t SET x = 1")
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


def test_a_stale_queue_file_does_not_block_writers(path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    holder = start(HOLD, path)
    assert read_line(holder) == "ready"
    waiter = start(ONCE, path, 1)
    while not path.with_name(path.name + QUEUE_SUFFIX).exists():
        time.sleep(0.01)
    for process in (waiter, holder):
        process.send_signal(signal.SIGKILL)
        process.wait()
    with closing(connect(path, busy_timeout=1)) as connection, write_transaction(connection, path, 1):
        connection.execute("UPDATE t SET x = 1")
    assert not path.with_name(path.name + QUEUE_SUFFIX).exists()


@pytest.mark.parametrize("obstacle", ["folder", "link"])
def test_other_files_in_place_of_the_queue_are_kept(path: Path, obstacle: str) -> None:
    queue, outside = path.with_name(path.name + QUEUE_SUFFIX), path.with_name("outside")
    outside.write_text("x")
    queue.mkdir() if obstacle == "folder" else queue.symlink_to(outside)
    with closing(connect(path, busy_timeout=1)) as connection, write_transaction(connection, path, 1):
        connection.execute("UPDATE t SET x = 1")
    assert outside.read_text() == "x"
    assert queue.is_dir() or queue.is_symlink()


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"no database")
    with hold_lock_file(path) as first:
        assert first
        with hold_lock_file(path) as second:
            assert not second
        assert path.exists()
    assert not path.exists()
    with hold_lock_file(path) as again:
        assert again
