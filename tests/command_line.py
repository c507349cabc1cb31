"""The command line as a user has it, in processes that start at once: forked from one that has read torch and verl."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["algorithms.study", "verl.workers.engine_workers"])


class Command:
    """``python <words>``, begun; what it prints goes to ``log``."""

    def __init__(self, log: Path, *words: str) -> None:
        self._log = log
        self._process = CONTEXT.Process(target=_main, args=(log, words))
        self._process.start()

    @property
    def output(self) -> str:
        """What it has printed so far, errors too."""
        return self._log.read_text()

    def end(self, timeout_s: float = 120) -> int:
        """Wait for it and return its exit code."""
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"still running after {timeout_s} s: {self.output}")
        return self._process.exitcode

    def signal_when(self, number: int, condition: Callable[[], bool], timeout_s: float = 120, whom: str = "") -> int:
        """Send a signal as soon as ``condition`` holds and return the exit code.

        It goes to the process itself or, with ``whom``, to one among its descendants whose name holds that word.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self._process.is_alive(), f"ended too early: {self.output}"
            assert time.monotonic() < deadline, f"never came to the point: {self.output}"
            time.sleep(0.005)
        pid = self._process.pid or 0
        if whom:
            below = psutil.Process(pid).children(recursive=True)
            pid = next(one.pid for one in below if whom in " ".join(one.cmdline()))
        os.kill(pid, number)
        return self.end(timeout_s)


def _main(log: Path, words: tuple[str, ...]) -> None:
    os.chdir(ROOT)
    os.environ.pop("HYDRA_FULL_ERROR", None)  # what a user sees, wherever the tests run
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if words[0] == "-m":
        sys.argv = list(words[1:])
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")
