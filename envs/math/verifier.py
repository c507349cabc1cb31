"""Scorers that parse what a model wrote (math-verify, reasoning-gym) run in a process of their own.

An answer like ``9^{9^{9^9}}`` can keep sympy busy for hours or eat the memory, and math-verify's own alarm works in a
main thread only. Here the scorer is always in a main thread; a process that does not reply in time is killed.
Not covered: this is no sandbox. sympy and reasoning-gym may evaluate text, with the rights of this user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from envs.math.boxed import last_boxed

ALARM_S = 2
"""math-verify's own time-out, for each expression it parses and each pair it compares."""
TIME_LIMIT_S = 10.0
START_LIMIT_S = 120.0
MEMORY_BYTES = 4 << 30


@dataclass(frozen=True)
class Job:
    """One answer to score: by ``latex`` or by ``reasoning_gym``, which needs the dataset's name, options and item."""

    kind: str
    text: str
    answer: str
    name: str = ""
    config: str = "{}"
    entry: Mapping[str, Any] | None = None


class Verifier:
    """A process that scores answers, started at the first one. Threads may share it; a forked process gets its own."""

    _process: subprocess.Popen[bytes] | None
    _pipe: Connection | None

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self.time_limit_s = time_limit_s
        self._forget()

    def score(self, job: Job) -> tuple[float, str]:
        """Return the outcome in [0, 1] and a status.

        Raises:
            RuntimeError: the process cannot be started.
        """
        if self._owner != os.getpid():
            self._forget()  # the pipe is the parent's
        with self._lock:
            pipe = self._pipe or self._start()
            try:
                pipe.send(job)
                if not pipe.poll(self.time_limit_s):
                    self.close()
                    return 0.0, "verifier_timeout"
                value, status = json.loads(pipe.recv_bytes())
                return value, status
            except (EOFError, ConnectionError):  # out of memory or stack: the answer's doing
                self.close()
                return 0.0, "verifier_crash"
            except BaseException:  # interrupted with the reply on its way: the next one must not read it
                self.close()
                raise

    def close(self) -> None:
        """End the process; the next answer starts another."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._pipe = self._process = None

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._process = None
        self._pipe = None
        self._owner = os.getpid()

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        # Not multiprocessing's own start: `spawn` runs the user's main script again, `fork` copies torch's threads.
        command = f"from envs.math.verifier import serve; serve({theirs.fileno()})"
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", command],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._pipe = ours
        try:
            if ours.poll(START_LIMIT_S) and ours.recv_bytes() == b"ready":
                return ours
        except (EOFError, ConnectionError):
            pass
        except BaseException:
            self.close()
            raise
        self.close()
        raise RuntimeError(f"the process that verifies answers did not start: {sys.executable} -c {command!r}")


def serve(file_descriptor: int) -> None:
    """Score jobs until the other end closes; the process's whole life."""
    import logging
    import resource
    import signal

    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's business; it closes the pipe
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES if hard < 0 else min(MEMORY_BYTES, hard), hard))
    import math_verify  # noqa: F401 - part of starting, not of the first answer's time

    pipe = Connection(file_descriptor)
    pipe.send_bytes(b"ready")
    while True:
        try:
            job: Job = pipe.recv()
        except EOFError:
            return
        reply = judge_latex(job.text, job.answer) if job.kind == "latex" else judge_reasoning_gym(job)
        pipe.send_bytes(json.dumps(reply).encode())


def judge_latex(text: str, answer: str) -> tuple[float, str]:
    """Compare every reading of the last box (without one: of the text) with every reading of the reference."""
    from itertools import product

    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
    from math_verify.errors import TimeoutException

    box = last_boxed(text)  # math-verify would take several boxes for one set
    text = text if box is None else f"\\boxed{{{box}}}"
    targets = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    reference = parse(f"\\boxed{{{answer}}}", parsing_timeout=ALARM_S) or [answer]
    try:
        readings = parse(text, targets, parsing_timeout=ALARM_S, raise_on_error=True)
    except TimeoutException:  # derives from BaseException
        return 0.0, "verifier_timeout"
    except Exception:  # math-verify and sympy raise anything on malformed LaTeX
        readings = []
    if not readings:
        return 0.0, "malformed"
    status = "ok"
    for gold, reading in product(reference, readings):
        try:
            if verify(gold, reading, timeout_seconds=ALARM_S, raise_on_error=True):
                return 1.0, "ok"
        except TimeoutException:
            status = "verifier_timeout"
        except Exception:  # two things that cannot be compared are not equal
            continue
    return 0.0, status


def judge_reasoning_gym(job: Job) -> tuple[float, str]:
    """Ask the dataset itself; it gives partial credit."""
    dataset = _reasoning_gym_dataset(job.name, job.config)
    try:
        return min(1.0, max(0.0, float(dataset.score_answer(job.text, dict(job.entry or {}))))), "ok"
    except Exception:  # many of its scorers parse without a guard: such an answer is malformed
        return 0.0, "malformed"


@lru_cache(maxsize=8)
def _reasoning_gym_dataset(name: str, config: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, seed=0, size=1, **json.loads(config))
