"""Shared sessions use one thread for each concurrent run, with equal outputs to the last bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.errors import PackNotFoundError
from facebank.packs import SharedSession, open_session, share_cores
from tests.small_networks import last_node, small_embedder

if TYPE_CHECKING:
    from facebank.types import FloatArray

ONE_CROP, TWO_CROPS = (
    np.random.default_rng(0).uniform(0, 255, (count, 3, 112, 112)).astype(np.float32) for count in (1, 2)
)


class CountingSession:
    """A session that counts its runs."""

    def __init__(self, network: bytes, threads: int) -> None:
        self._session = open_session(network, "cpu", threads)
        self.runs = 0

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        self.runs += 1
        results: list[FloatArray] = self._session.run(outputs, feeds)
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class ObservedSession:
    """A shared session, with the sessions on all threads and on one thread that it uses."""

    def __init__(self, network: bytes, one_thread_network: bytes | None = None) -> None:
        self.on_all, self.on_one = CountingSession(network, 2), CountingSession(one_thread_network or network, 1)
        self.opened = 0
        self.shared = SharedSession(self.on_all, self._open)
        self.expected = open_session(network, "cpu", 2)

    def _open(self) -> CountingSession:
        self.opened += 1
        return self.on_one

    def run(self, tensor: FloatArray) -> tuple[int, int]:
        """Run the network and return the numbers of runs on all threads and on one."""
        before = self.on_all.runs, self.on_one.runs
        (result,), (expected,) = (session.run(None, {"data": tensor}) for session in (self.shared, self.expected))
        assert result.tobytes() == expected.tobytes()
        return self.on_all.runs - before[0], self.on_one.runs - before[1]


@contextmanager
def busy_thread() -> Iterator[None]:
    """Keep another thread registered as working within the block."""
    started, finished = Event(), Event()

    def work() -> None:
        with share_cores():
            started.set()
            finished.wait()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        started.wait()
        try:
            yield
        finally:
            finished.set()
            future.result()


def make_embedder(operation: str) -> bytes:
    return small_embedder(extra_nodes=last_node(operation, "embedding"), output="last")


def test_a_single_run_uses_all_threads() -> None:
    session = ObservedSession(small_embedder())
    assert [session.run(ONE_CROP), session.run(TWO_CROPS), session.run(ONE_CROP)] == [(1, 0)] * 3
    assert session.opened == 0


def test_concurrent_runs_use_one_thread_after_equal_outputs() -> None:
    session = ObservedSession(small_embedder())
    with busy_thread():
        assert [session.run(ONE_CROP), session.run(ONE_CROP)] == [(1, 1), (0, 1)]
        assert [session.run(TWO_CROPS), session.run(TWO_CROPS)] == [(1, 1), (0, 1)]  # each shape is compared once
    assert session.run(ONE_CROP) == (1, 0)
    assert session.opened == 1


def test_one_thread_with_other_outputs_is_not_used() -> None:
    session = ObservedSession(make_embedder("Identity"), make_embedder("Neg"))
    with busy_thread():
        assert [session.run(ONE_CROP), session.run(ONE_CROP)] == [(1, 1), (1, 0)]


def test_a_removed_network_continues_on_all_threads() -> None:
    def reopen() -> Any:
        raise PackNotFoundError("there is no such pack")

    shared = SharedSession(open_session(small_embedder(), "cpu", 2), reopen)
    with busy_thread():
        results = [shared.run(None, {"data": ONE_CROP})[0] for _ in range(2)]
    assert results[0].shape == (1, 48)
    assert results[0].tobytes() == results[1].tobytes()


def test_failed_runs_do_not_count_as_concurrent() -> None:
    failing = open_session(small_embedder(), "cpu", 2)
    shared = SharedSession(failing, lambda: failing)
    with pytest.raises(Exception, match="invalid dimensions"):
        shared.run(None, {"data": ONE_CROP[:, :2]})
    session = ObservedSession(small_embedder())
    assert [session.run(ONE_CROP) for _ in range(2)] == [(1, 0)] * 2


def test_ports_and_providers_are_those_of_the_session() -> None:
    session = open_session(small_embedder(), "cpu", 2)
    shared = SharedSession(session, lambda: session)
    properties: list[Callable[[Any], Any]] = [
        lambda session: [(port.name, port.shape) for port in session.get_inputs()],
        lambda session: [(port.name, port.shape) for port in session.get_outputs()],
        lambda session: session.get_providers(),
    ]
    for read in properties:
        assert read(shared) == read(session)


def test_nested_registration_counts_once() -> None:
    session = ObservedSession(small_embedder())
    with share_cores(), share_cores():
        assert [session.run(ONE_CROP), session.run(ONE_CROP)] == [(1, 0)] * 2
    with busy_thread(), share_cores():
        assert [session.run(ONE_CROP), session.run(ONE_CROP)] == [(1, 1), (0, 1)]
    assert session.run(ONE_CROP) == (1, 0)


def test_a_forked_process_ignores_the_threads_of_its_parent() -> None:
    script = """if True:
        import os
        from tests.packs.test_shared_session import ONE_CROP, ObservedSession, busy_thread, small_embedder

        with busy_thread():
            child = os.fork()
            if not child:
                session = ObservedSession(small_embedder())
                os._exit(0 if [session.run(ONE_CROP), session.run(ONE_CROP)] == [(1, 0)] * 2 else 1)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    project = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60, cwd=project).returncode == 0
