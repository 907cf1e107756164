"""A network that several threads use: for one of them it has all its threads, for each of several one."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, get_ident
from typing import TYPE_CHECKING

from facebank.errors import FacebankError
from facebank.packs.openvino_runtime import OpenVinoSession
from facebank.packs.runtime import note_session, usable_cores, where_it_runs
from facebank.packs.runtime_choice import open_network
from facebank.storage.concurrency import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from facebank.packs.runtime import Port, Session
    from facebank.types import FloatArray


def open_shared(
    network: Callable[[], Path | bytes],
    device: str = "auto",
    threads: int | None = None,
    runtime: str = "auto",
    *,
    sha256: str,
    shape: tuple[int, ...],
) -> Session:
    """Load a network as `open_network` does, for several threads at once; `network` returns its file or content."""
    session = open_network(network(), device, threads, runtime, sha256=sha256, shape=shape)
    if where_it_runs(session) == "cuda" or (usable_cores() if threads is None else threads) == 1:
        return session
    same = "openvino" if isinstance(session, OpenVinoSession) else "onnxruntime"
    return SharedSession(session, lambda: open_network(network(), "cpu", 1, same, sha256=sha256, shape=shape))


class SharedSession:
    """A network that runs on all its threads, or on one beside others that are `at_work`; used as a session is.

    The threads of a run wait for each other: on busy cores several runs are faster with one thread each. Others never
    change the outputs: inputs of a shape run on one thread only once that was seen to give the same for that shape, to
    the bit.

    Parameters
    ----------
    session
        The network with all its threads.
    open_on_one
        Opens it with one thread; called when two first meet, so that nothing else needs memory for it.
    """

    def __init__(self, session: Session, open_on_one: Callable[[], Session]) -> None:
        self._session = session
        self._open_on_one = open_on_one
        self._on_one: Session | None = None
        self._beside_others: dict[tuple[tuple[int, ...], ...], Session] = {}  # what runs inputs of some shapes
        self._trying = Lock()
        note_session(self)

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Run the network with inputs by name; returns the named outputs, in order, or all."""
        with at_work():
            is_alone = len(_at_work) == 1
            shapes = tuple(tensor.shape for tensor in feeds.values())
            session = self._session if is_alone else self._beside_others.get(shapes, self._session)
            results = session.run(outputs, feeds)
            if not is_alone and shapes not in self._beside_others and self._trying.acquire(blocking=False):
                try:
                    self._beside_others[shapes] = self._chosen(outputs, feeds, results)
                finally:
                    self._trying.release()
            return results

    def get_inputs(self) -> Sequence[Port]:
        """Return the inputs."""
        return self._session.get_inputs()

    def get_outputs(self) -> Sequence[Port]:
        """Return the outputs."""
        return self._session.get_outputs()

    def get_providers(self) -> Sequence[str]:
        """Return what computes the network."""
        return self._session.get_providers()

    def _chosen(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray], results: list[FloatArray]
    ) -> Session:
        """Return what is to run inputs of these shapes beside other runs; `results` are those of all threads."""
        try:
            if self._on_one is None:
                self._on_one = self._open_on_one()
        except FacebankError:  # the pack was removed meanwhile: what is loaded goes on
            return self._session
        on_one = self._on_one.run(outputs, feeds)
        is_same = all(a.tobytes() == b.tobytes() for a, b in zip(results, on_one, strict=True))
        return self._on_one if is_same else self._session


@contextmanager
def at_work() -> Iterator[None]:
    """Count this thread, until the end of the block, among those that share the cores; a second time counts as one."""
    thread = get_ident()
    if thread in _at_work:
        yield
        return
    _at_work.add(thread)
    try:
        yield
    finally:
        _at_work.discard(thread)


_at_work: set[int] = set()
at_fork(in_child=lambda: _at_work.intersection_update({get_ident()}))  # the other threads are gone
