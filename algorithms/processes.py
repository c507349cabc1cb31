"""The arms of a fused sweep dealt out to several processes, where one process does not keep all cores busy.

Each process has a base of its own and does what several arms share once for its part; cells, files and results are the
same. Two processes of one thread each keep two cores busier than one process with two threads.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from algorithms.arm import FAILURES, ArmsFailedError
from algorithms.layers import LayerError
from algorithms.machine import usable_cores
from algorithms.selection import label_of, n_blocks_of
from conf.schema import Config
from evaluation.results import Result

_Outcome = tuple[list[Result], dict[int, str]]


def run_apart(cells: Sequence[Config], overrides: Sequence[Sequence[str]], processes: int) -> list[Result]:
    """As ``study.run_cells``, in up to ``processes`` processes that share the cores.

    Arms are dealt out in turn: the lower a block, the more it costs, so every process gets blocks from all over.

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
    parts = [distinct[first::n] for first in range(n)]
    # A fresh interpreter: one that has used torch's threads must not be forked.
    with ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = []
        for part in parts:
            mine = [replace(cells[place], runner=replace(cells[place].runner, threads=threads)) for place in part]
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


def _run(cells: list[Config], overrides: list[list[str]]) -> _Outcome:
    from algorithms.study import run_cells

    try:
        return run_cells(cells, overrides), {}
    except ArmsFailedError as error:
        return [], error.failures
    except FAILURES as error:  # of a single cell, or in what the cells share: as text, exceptions may not travel
        return [], dict.fromkeys(range(len(cells)), str(error))
