"""Sessions shared by several threads: all cores for a single run, one for each of several concurrent runs."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock, get_ident
from typing import TYPE_CHECKING

from facebank.errors import FacebankError
from facebank.packs.openvino_runtime import OpenVinoSession
from facebank.packs.runtime import register_session, session_device, usable_cores
from facebank.packs.runtime_choice import open_network
from facebank.storage.concurrency import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from facebank.packs.network_file import NetworkFile
    from facebank.packs.runtime import Port, Session
    from facebank.types import FloatArray


def open_shared(
    network: NetworkFile,
    device: str = "auto",
    threads: int | None = None,
    runtime: str = "auto",
    *,
    shape: tuple[int, ...],
) -> Session:
    """Return a session for concurrent use; parameters and errors are those of `open_network`."""
    session = open_network(network, device, threads, runtime, shape=shape)
    if session_device(session) == "cuda" or (usable_cores() if threads is None else threads) == 1:
        return session
    runtime = "openvino" if isinstance(session, OpenVinoSession) else "onnxruntime"
    return SharedSession(session, lambda: open_network(network, "cpu", 1, runtime, shape=shape))


class SharedSession:
    """A session that runs on all threads, or on one while other threads `share_cores`; implements `Session`.

    Concurrent runs are faster with one thread each, because the threads of a run wait for each other. Outputs do not
    depend on this: concurrent runs use one thread only for input shapes for which both sessions have returned the same
    outputs, to the last bit.

    Parameters
    ----------
    session
        The session that uses all threads.
    open_single_threaded
        Callable that opens the session with one thread; called at the first concurrent run, to save memory.
    """

    def __init__(self, session: Session, open_single_threaded: Callable[[], Session]) -> None:
        self._session = session
        self._open_single_threaded = open_single_threaded
        self._single_threaded: Session | None = None
        # sessions for concurrent runs, by input shapes
        self._concurrent: dict[tuple[tuple[int, ...], ...], Session] = {}
        self._choice_lock = Lock()
        register_session(self)

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray]) -> list[FloatArray]:
        """Return the named outputs for inputs by name, in order, or all outputs."""
        with share_cores():
            is_alone = len(_sharing) == 1
            shapes = tuple(tensor.shape for tensor in feeds.values())
            session = self._session if is_alone else self._concurrent.get(shapes, self._session)
            results = session.run(outputs, feeds)
            if not is_alone and shapes not in self._concurrent and self._choice_lock.acquire(blocking=False):
                try:
                    self._concurrent[shapes] = self._choose(outputs, feeds, results)
                finally:
                    self._choice_lock.release()
            return results

    def get_inputs(self) -> Sequence[Port]:
        """Return the names and shapes of the inputs."""
        return self._session.get_inputs()

    def get_outputs(self) -> Sequence[Port]:
        """Return the names and shapes of the outputs."""
        return self._session.get_outputs()

    def get_providers(self) -> Sequence[str]:
        """Return the names of the execution providers."""
        return self._session.get_providers()

    def _choose(
        self, outputs: Sequence[str] | None, feeds: Mapping[str, FloatArray], results: list[FloatArray]
    ) -> Session:
        """Return the session for concurrent runs of inputs of these shapes; `results` are those of `self._session`."""
        try:
            if self._single_threaded is None:
                self._single_threaded = self._open_single_threaded()
        except FacebankError:  # the pack was removed meanwhile: use the loaded session
            return self._session
        single_results = self._single_threaded.run(outputs, feeds)
        is_same = all(
            result.tobytes() == single.tobytes() for result, single in zip(results, single_results, strict=True)
        )
        return self._single_threaded if is_same else self._session


@contextmanager
def share_cores() -> Iterator[None]:
    """Context manager that registers this thread as one of those that share the cores; may be nested."""
    thread = get_ident()
    if thread in _sharing:
        yield
        return
    _sharing.add(thread)
    try:
        yield
    finally:
        _sharing.discard(thread)


_sharing: set[int] = set()
at_fork(in_child=lambda: _sharing.intersection_update({get_ident()}))  # the other threads are gone
