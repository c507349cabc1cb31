"""Seconds per phase and peak memory of one process."""

from __future__ import annotations

import ctypes
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch


class Meter:
    """Adds up wall-clock seconds by phase; ``lap`` hands out what was added since the last call."""

    def __init__(self) -> None:
        self._lap_s: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the block to ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._lap_s[name] += time.perf_counter() - start

    def add(self, name: str, seconds: float) -> None:
        """Charge seconds that somebody else measured."""
        self._lap_s[name] += seconds

    def lap(self) -> dict[str, float]:
        """Seconds by phase since the last lap."""
        lap, self._lap_s = dict(self._lap_s), defaultdict(float)
        return lap


def reset_peak_memory(device: str) -> None:
    """Start a new high-water mark: cells that follow each other in one process each get their own."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError, AttributeError):  # glibc only: give back what earlier cells freed
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # some containers do not let a process reset its mark; it then only grows
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes(device: str) -> int:
    """Peak device memory on CUDA, peak resident memory of this process on the CPU (0 where /proc is missing)."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with suppress(OSError):  # not Linux
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
