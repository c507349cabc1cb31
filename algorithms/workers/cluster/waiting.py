"""Waits that end: every one has a limit, and says by name what it waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from textwrap import shorten
from typing import Any, TypeVar

from conf.errors import UserError

T = TypeVar("T")

LONGEST = 500
"""Letters of what Ray says when a process dies, which is pages."""
WHO = ("class_name:", "name:", "pid:", "ip:")


class ClusterError(UserError, RuntimeError):
    """The cluster cannot run the cell as asked: unreachable, too small, or part of it died."""


class WaitedTooLongError(ClusterError):
    """Something did not answer within its limit."""

    def __init__(self, what: str, name: str, seconds: float) -> None:
        super().__init__(f"{what}: no answer within {name}={seconds:g} seconds")


def within(what: str, name: str, seconds: float, call: Callable[[], T]) -> T:
    """Return ``call()``; it runs in a thread, because what it waits for may never let go.

    Args:
        what: What is waited for.
        name: The setting that limits the wait.
        seconds: Its value.
        call: What may hang.

    Raises:
        WaitedTooLongError: It took longer.
        Exception: What ``call`` raised.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:  # whatever it is, it is raised where somebody waits
            outcome["error"] = error

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise WaitedTooLongError(what, name, seconds)
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


async def in_time(what: str, name: str, seconds: float, answer: Awaitable[T]) -> T:
    """The same for what is awaited.

    Raises:
        WaitedTooLongError: It took longer.
        Exception: What ``answer`` raised.
    """
    try:
        return await asyncio.wait_for(answer, seconds)
    except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
        raise WaitedTooLongError(what, name, seconds) from error


def in_short(told: str) -> str:
    """Of what Ray says: the first line, which process it was and where, and the last line."""
    lines = [line.strip() for line in told.strip().splitlines()] or [""]
    who = ", ".join(line for line in lines[1:-1] if line.startswith(WHO))
    return shorten(
        " ".join(dict.fromkeys([lines[0], f"({who})" if who else "", lines[-1]])), LONGEST, placeholder=" ..."
    )
