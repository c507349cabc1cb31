"""Device, compute dtype and threads: what ``auto`` in ``conf/runner`` means on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from conf.schema import RunnerConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU_BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Machine:
    """Where a run computes."""

    device: str
    dtype: torch.dtype
    threads: int


def choose(runner: RunnerConfig) -> Machine:
    """Turn the runner's wishes into a choice this machine can keep.

    Raises:
        ValueError: the device is not there, or device, dtype or threads is not a valid value.
    """
    device = _device(runner.device) if runner.name != "cluster" else _cluster_device(runner.device)
    if runner.dtype not in ("auto", *DTYPES):
        raise ValueError(f"runner.dtype={runner.dtype!r} is unknown; valid: auto, {', '.join(DTYPES)}")
    if runner.threads < 0:
        raise ValueError(f"runner.threads={runner.threads} is negative; 0 means one per usable core")
    dtype = DTYPES.get(runner.dtype) or (torch.bfloat16 if has_fast_bfloat16(device) else torch.float32)
    threads = runner.threads or (1 if runner.name == "cluster" else _default_threads())
    return Machine(device, dtype, threads)


def devices() -> list[str]:
    """Return the devices torch can use here, the fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def has_fast_bfloat16(device: str) -> bool:
    """Say whether bfloat16 is faster than float32.

    Of processors those with AMX; with AVX-512's instructions a product takes twice float32's time
    (``benchmarks/matmul_share.py``).
    """
    if device.startswith("cuda"):
        if not torch.cuda.is_available():  # a cluster's GPUs: those that verl supports have it
            return True
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and "amx_bf16" in cpu_bfloat16_flags()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_bfloat16_flags() -> list[str]:
    """Return which of the processor's bfloat16 instruction sets are there; empty where Linux does not say."""
    return [flag for flag in CPU_BFLOAT16_FLAGS if flag in cpu_info().get("flags", "").split()]


@lru_cache(maxsize=1)
def cpu_info() -> dict[str, str]:
    """Return the first processor's entry in ``/proc/cpuinfo``; empty where there is none."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = file.read_text().split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _default_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(wanted)) if wanted.isdigit() and int(wanted) else usable_cores()


def _cluster_device(wanted: str) -> str:
    """What the ranks compute on: the machine that starts them may have no GPU itself."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def _device(wanted: str) -> str:
    here = devices()
    if wanted == "auto":
        return "cuda" if "cuda" in here else "cpu"
    if wanted.split(":")[0] not in ("cuda", "mps", "cpu"):
        raise ValueError(f"runner.device={wanted!r} is unknown; valid: auto, cpu, cuda, cuda:<number>, mps")
    if wanted.split(":")[0] not in here:
        raise ValueError(f"runner.device={wanted}, but torch finds none here; there is: {', '.join(here)}")
    return wanted
