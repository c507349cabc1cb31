"""One process to a GPU, unless asked otherwise: whoever trains on one holds its lock."""

from __future__ import annotations

import fcntl
import getpass
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from conf.errors import UserError


class DeviceBusyError(UserError, RuntimeError):
    """Another process trains on the GPU; the message says which, and how to share it."""


POLL_S = 0.1


@contextmanager
def claimed(device: str, *, share: bool, patience_s: float = 0.0) -> Iterator[None]:
    """Hold the GPU for this process; the lock goes with the process, however it ends.

    The name of the lock is the GPU's own, so that processes that see it under different numbers agree.

    Args:
        device: As ``Machine.device``; anything but CUDA is not locked.
        share: Do not lock, and do not mind who has.
        patience_s: Seconds that whoever holds it may take to go.

    Raises:
        DeviceBusyError: Another process of ours holds it.
    """
    if share or not device.startswith("cuda"):
        yield
        return
    path = Path(tempfile.gettempdir()) / f"onelayer-{getpass.getuser()}-{identity(device)}.lock"
    with path.open("a+") as file:
        deadline = time.monotonic() + patience_s
        while not (held := _try_to_hold(file)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if not held:
            file.seek(0)
            raise DeviceBusyError(
                f"{device} is in use by process {file.read() or '?'}, and a GPU is for one at a time. "
                "Launch with a GPU for each job (docs/cluster.md), choose another with runner.device=cuda:<number>, "
                "or share it: runner.share_device=true"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_to_hold(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another has it
        return False
    return True


def identity(device: str) -> str:
    """What is the same for every process that uses the GPU."""
    return str(torch.cuda.get_device_properties(device).uuid)
