"""A command reports that it waits for another process to finish writing."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from facebank.storage.sqlite import QUEUE_SUFFIX

from .conftest import Run


def test_waiting_for_another_process_is_reported(run: Run, two_people: Path) -> None:
    queue = two_people.with_name(two_people.name + QUEUE_SUFFIX)
    with closing(sqlite3.connect(two_people, isolation_level=None, check_same_thread=False)) as other:

        def finish() -> None:
            while not queue.exists():
                time.sleep(0.05)
            time.sleep(2)
            other.execute("COMMIT")

        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            finished = pool.submit(finish)
            result = run("people", "rename", "Eileen Collins", "Eileen M. Collins", "--json")
            finished.result()
    assert result.err == f"waiting for another facebank that is writing to {two_people}\n"
    assert len(result.records) == 1
    assert "Eileen M. Collins" in run("people", "list").out
