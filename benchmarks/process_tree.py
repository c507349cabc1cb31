"""A command as a user runs it: when it ended, when each file appeared, and how much memory its processes had."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

PERIOD_S = 0.2


@dataclass
class Watched:
    """``seconds`` from the start of the first command to the end of the last; ``memory``: (second, bytes), sampled."""

    began: float
    seconds: float = 0.0
    memory: list[tuple[float, int]] = field(default_factory=list)

    def peak(self, until: float = float("inf")) -> int:
        """The most bytes seen, optionally up to some second."""
        return max((n_bytes for second, n_bytes in self.memory if second <= until), default=0)


def watch(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> Watched:
    """Run commands at the same time and sample the resident memory of all their processes, children included.

    Pages that two processes have in common (the libraries' code) count in each of them.

    Raises:
        RuntimeError: A command failed; the message holds the end of what it printed.
    """
    logs = [tempfile.TemporaryFile("w+") for _ in commands]  # noqa: SIM115 closed below
    found = Watched(time.time())
    processes = [
        subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | dict(environment))
        for command, log in zip(commands, logs, strict=True)
    ]
    try:
        roots = [psutil.Process(process.pid) for process in processes]
        while any(process.poll() is None for process in processes):
            found.memory.append((time.time() - found.began, sum(map(_resident, roots))))
            time.sleep(PERIOD_S)
        found.seconds = time.time() - found.began
        for process, command, log in zip(processes, commands, logs, strict=True):
            if process.returncode:
                log.seek(0)
                raise RuntimeError(f"{' '.join(command)} failed:\n{log.read()[-3000:]}")
    finally:
        for process, log in zip(processes, logs, strict=True):
            process.kill()
            process.wait()
            log.close()
    return found


def _resident(root: psutil.Process) -> int:
    total = 0
    with suppress(psutil.Error):  # it has just ended
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return total
