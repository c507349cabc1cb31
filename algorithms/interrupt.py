"""Ctrl-C, and the signal by which schedulers end a job: the step that is running is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C or SIGTERM finish the step that is running; another Ctrl-C interrupts at once."""
    seen: list[int] = []

    def note(number: int, frame: object) -> None:
        if not seen:
            print("stopping after this step; press Ctrl-C again to stop at once", flush=True)
        seen.append(number)
        # Not SIGTERM: it comes twice where a whole group of processes is told, and the one that began them as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # SIGTERM is how schedulers announce that a job's time is up.
    with _handled_by(note, signal.SIGINT, signal.SIGTERM):
        yield lambda: bool(seen)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt``, so that what was started is stopped.

    Handlers belong to the main thread; in another this does nothing.
    """
    if not _in_main_thread():
        yield
        return
    with _handled_by(signal.default_int_handler, signal.SIGTERM):
        yield


@contextmanager
def unheard_by_children() -> Iterator[None]:
    """Let what is started here, and what that starts, pass over SIGTERM; this process hears it afterwards.

    Schedulers and ``timeout`` tell all processes of a job, and it is for the first one to end the others. What was
    started changes nothing about how this process takes the signal. In other threads than the main one nothing is done.
    """
    if not _in_main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object], *numbers: int) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before or signal.SIG_DFL)  # None: C code had one


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
