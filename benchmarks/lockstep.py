"""Processes that take turns: each does its next piece of work when it is told to, all on one machine.

A child says when it has loaded and warmed up, then one JSON line for every line it reads; it ends when its input does.
What else a child prints goes to its log. Only the standard library, so that a child may live in another environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MARK = "lockstep "


Found = dict[str, Any]
"""What a child says of a turn; JSON."""


def serve(work: Callable[[], Mapping[str, Any]], warm_up: Callable[[], Mapping[str, Any]] | None = None) -> None:
    """The child's side: warm up once, by default with the work itself, then work on demand."""
    say(ready=True, **(warm_up or work)())
    while wait_for_turn():
        start, cpu = time.perf_counter(), time.process_time()
        found = work()
        say(seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu, **found)


def wait_for_turn() -> bool:
    """Block until the parent says go; False when it has gone."""
    return bool(sys.stdin.readline())


def say(**message: Any) -> None:
    """Tell the parent: ready, or what the last turn found."""
    print(MARK + json.dumps(message), flush=True)


def take_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, check: Callable[[Mapping[str, Found]], None] | None = None
) -> dict[str, list[Found]]:
    """Start every command, one after the other, then let them work in turn; return what each said, round by round.

    ``check`` is given what each found while warming up, before the first turn; what it raises ends everything.

    Raises:
        RuntimeError: A child ended early; the message holds the end of its log.
    """
    children: dict[str, subprocess.Popen[str]] = {}
    ready: dict[str, Found] = {}
    logs = {name: tempfile.TemporaryFile("w+") for name in commands}  # noqa: SIM115 closed below
    try:
        for name, command in commands.items():
            children[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=logs[name], text=True
            )
            ready[name] = _hear(children[name], logs[name], name)
        if check:
            check(ready)
        said: dict[str, list[Found]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, child in children.items():
                assert child.stdin
                child.stdin.write("go\n")
                child.stdin.flush()
                said[name].append(_hear(child, logs[name], name))
        return said
    finally:
        for child in children.values():
            child.kill()
            child.wait()
        for log in logs.values():
            log.close()


def _hear(child: subprocess.Popen[str], log: Any, name: str) -> Found:
    assert child.stdout
    for line in child.stdout:
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
        log.write(line)
    log.seek(0)
    raise RuntimeError(f"{name} ended early:\n{log.read()[-3000:]}")
