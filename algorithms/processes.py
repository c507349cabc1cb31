"""The arms of a fused sweep dealt out to several processes, where one process does not keep all cores busy.

Each process has a base of its own and does what several arms share once for its part; cells, files and results are the
same. Two processes of one thread each keep two cores busier than one process with two threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.process import BaseProcess

from algorithms.arm import FAILURES, ArmsFailedError
from algorithms.layers import LayerError
from algorithms.machine import usable_cores
from algorithms.selection import label_of, n_blocks_of, select
from conf.schema import Config
from evaluation.results import Result
from evaluation.strategies import StrategyError

_Outcome = tuple[list[Result], dict[int, str]]


def run_apart(cells: Sequence[Config], overrides: Sequence[Sequence[str]], processes: int) -> list[Result]:
    """As ``study.run_cells``, in up to ``processes`` processes that share the cores.

    The costliest arm goes first, each to the process that has least to do by then.

    Raises:
        ArmsFailedError: At the end, when some cells failed; by position among ``cells``.
        KeyboardInterrupt: Ctrl-C, after a checkpoint of every arm in every process.
    """
    first_of, same = dict[str, int](), list[int]()
    for place, cell in enumerate(cells):
        same.append(first_of.setdefault(_label(cell), place))
    distinct = list(first_of.values())
    n = min(processes, len(distinct))
    threads = cells[0].runner.threads or max(1, usable_cores() // n)
    parts = _dealt({place: _cost(cells[place]) for place in distinct}, n)
    # A fresh interpreter: one that has used torch's threads must not be forked.
    # So many processes on this machine's device is what was asked for.
    runner = replace(cells[0].runner, threads=threads, share_device=True)
    with ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), initializer=_end_with_parent) as pool:
        waiting = []
        for part in parts:
            mine = [replace(cells[place], runner=runner) for place in part]
            waiting.append(pool.submit(_run, mine, [list(overrides[place]) for place in part]))
        outcomes = [future.result() for future in waiting]
    failed, results = dict[int, str](), dict[int, Result]()
    for part, (found, texts) in zip(parts, outcomes, strict=True):
        failed |= {part[number]: text for number, text in texts.items()}
        results |= zip(part, found, strict=False)  # none of a part in which an arm failed
    if failed:
        raise ArmsFailedError({place: failed[f] for place, f in enumerate(same) if f in failed}, len(cells))
    return [results[first] for first in same]


def _label(cell: Config) -> str:
    """What the cell's folder is called: ``1`` and ``-3`` are one cell of a model with four blocks."""
    try:
        return label_of(cell, n_blocks_of(cell))
    except LayerError:  # it fails when its turn comes, by itself
        return f"?{cell.layer}"


def _cost(cell: Config) -> int:
    """What an arm costs, roughly, in runs of a block: those above its own, or everything three times."""
    try:
        n_blocks = n_blocks_of(cell)
        selection = select(cell, n_blocks)
    except (LayerError, StrategyError):
        return 1
    if selection.trains_everything:
        return 3 * n_blocks
    return 1 + n_blocks - min(selection.blocks, default=n_blocks)


def _dealt(cost_of: dict[int, int], n: int) -> list[list[int]]:
    parts: list[list[int]] = [[] for _ in range(n)]
    for place in sorted(cost_of, key=lambda place: -cost_of[place]):
        min(parts, key=lambda part: sum(cost_of[other] for other in part)).append(place)
    return [sorted(part) for part in parts]


def _end_with_parent() -> None:
    """When the parent is gone, however it ended, stop as a scheduler would ask to: with a checkpoint of every arm."""

    def wait() -> None:
        _parent().join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _parent() -> BaseProcess:
    parent = multiprocessing.parent_process()
    assert parent is not None
    return parent


def _run(cells: list[Config], overrides: list[list[str]]) -> _Outcome:
    from algorithms.study import run_cells

    try:
        return run_cells(cells, overrides), {}
    except ArmsFailedError as error:
        return [], error.failures
    except FAILURES as error:  # of a single cell, or in what the cells share: as text, exceptions may not travel
        return [], dict.fromkeys(range(len(cells)), str(error))
    finally:
        if not _parent().is_alive():
            os._exit(1)  # the pool would wait for work that nobody gives
