"""Cells of a study: read those that are finished, resume those that were cut off, run the rest, side by side."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from rich import box
from rich.table import Table

from algorithms.arm import FAILURES, Arm, ArmsFailedError, going
from algorithms.cell import Cell, differing_keys
from algorithms.claim import claimed
from algorithms.group import run_group
from algorithms.layers import LayerError
from algorithms.screen import abbreviated, console
from algorithms.selection import cell_of, select
from algorithms.setting import Setting
from algorithms.trackers import hand_to_sweep
from algorithms.workers.single import start_verl
from conf.errors import UserError
from conf.schema import Config
from evaluation.report.tables import summary_table
from evaluation.results import Result
from evaluation.strategies import StrategyError


def run_cell(config: Config, overrides: Sequence[str] = ()) -> Result:
    """Run the cell that ``config`` names and return its result; a finished cell is only read.

    Args:
        config: The cell.
        overrides: What was set on the command line, so that a report can print commands that match.

    Raises:
        CellError: Another process holds the cell, or the study was made with other settings.
        DeviceBusyError: Another process trains on the GPU.
        LayerError, ConfigError, ValueError: Something in the configuration; the message names the field.
        KeyboardInterrupt: Ctrl-C, after a checkpoint.
    """
    return run_cells([config], [overrides])[0]


def run_cells(configs: Sequence[Config], overrides: Sequence[Sequence[str]] | None = None) -> list[Result]:
    """Run cells that differ in ``layer`` only, as arms that train side by side in this process.

    Folders, files and results are those of separate runs; a cell may be begun one way and resumed the other. Arms that
    train everything share nothing: each has a worker of its own, and these come first.

    Args:
        configs: The cells; one that is named twice is run once.
        overrides: What was set on the command line, for each.

    Returns:
        The results in the order of ``configs``.

    Raises:
        ValueError: There are no cells, or they differ in more than their layer; the message names the keys.
        ArmsFailedError: At the end, when some of several cells failed; the others are finished.
        CellError, LayerError, ConfigError: As ``run_cell``, of a single cell or of what all cells share.
        KeyboardInterrupt: Ctrl-C, after a checkpoint of every arm.
    """
    if not configs:
        raise ValueError("there are no cells to run")
    if keys := {key for config in configs[1:] for key in differing_keys(configs[0], config)} - {"layer"}:
        raise ValueError(f"cells that run side by side differ in their layer only; these in {', '.join(sorted(keys))}")
    setting, words = _setting_of(configs), overrides or [()] * len(configs)
    places, failures = dict[int, Arm](), dict[int, str]()
    arms: dict[str, Arm] = {}
    for place, config in enumerate(configs):
        try:
            selection = select(config, setting.model.n_blocks)
        except (LayerError, StrategyError) as error:
            if isinstance(error, StrategyError):
                cell_of(config).failed(error, 0)
            if len(configs) == 1:
                raise
            failures[place] = str(error)
            print(f"error: {error}", file=sys.stderr)
            continue
        arm = Arm(selection, Cell(config, selection.label), list(words[place]), alone=len(configs) == 1)
        places[place] = arms.setdefault(selection.label, arm)
    try:
        _run(setting, list(arms.values()))
    except Exception as error:  # whatever it was, it is passed on: of an arm that is alone, or a bug
        for arm in arms.values():
            if not arm.result and not arm.failure:
                arm.leave_cause(error)
        raise
    _show(setting.config, [arm for arm in arms.values() if arm.result])
    failures |= {place: arm.failure for place, arm in places.items() if arm.failure}
    if failures:
        raise ArmsFailedError(failures, len(configs))
    return [arm.result for arm in places.values() if arm.result]


def _setting_of(configs: Sequence[Config]) -> Setting:
    try:
        return Setting(configs[0])
    except FAILURES as error:
        for config in configs:
            with suppress(UserError, ValueError, OSError):  # what is wrong may be what would name the cell
                cell_of(config).failed(error, 0)
        raise


def _run(setting: Setting, arms: Sequence[Arm]) -> None:
    """Take every arm to its result or its failure."""
    for arm in arms:
        with arm.at_own_cost():
            setting.require_data_for(arm.selection)
            arm.cell.check(setting.identity)
            arm.result = arm.cell.result
    unfinished = [arm for arm in going(arms) if not arm.result]
    if finished := [arm for arm in arms if arm.result]:
        which = finished[0].cell.folder if len(arms) == 1 else _layers(finished)
        console().print(f"finished before, nothing to do: {which}", highlight=False)
        for arm in finished:
            if arm.result:
                hand_to_sweep(setting.config, arm.cell.folder, arm.result)
    if not unfinished:
        return
    on_cluster = setting.config.runner.name == "cluster"
    if not on_cluster:
        start_verl(setting.machine)
    with ExitStack() as locks:
        if not on_cluster:  # there every rank claims its own
            locks.enter_context(claimed(setting.machine.device, share=setting.config.runner.share_device))
        for arm in unfinished:
            with arm.at_own_cost():
                locks.enter_context(arm.cell.locked())
                arm.cell.claim(setting.identity)
                arm.result = arm.cell.result  # another process may have finished it meanwhile
        ready = [arm for arm in going(unfinished) if not arm.result]
        alone = [[arm] for arm in ready if arm.selection.trains_everything or on_cluster]
        together = [arm for arm in ready if [arm] not in alone]
        for group in [*alone, together]:
            if group:
                _run_together(setting, group)


def _run_together(setting: Setting, group: Sequence[Arm]) -> None:
    try:
        run_group(setting, group)
    except FAILURES as error:  # in what the arms share
        if group[0].alone:
            raise
        for arm in going(group):
            if not arm.cell.result:
                arm.fail(error)
    gc.collect()  # the worker holds reference cycles, and whatever comes next needs its memory
    for arm in going(group):
        arm.result = arm.cell.result


def _layers(arms: Sequence[Arm]) -> str:
    return f"layers {abbreviated([arm.selection.label for arm in arms])}"


def _show(config: Config, finished: Sequence[Arm]) -> None:
    """The table of a cell, or a line for each of several."""
    if [arm.alone for arm in finished] == [True]:
        (arm,) = finished
        assert arm.result is not None
        console().print(summary_table(arm.result, arm.cell.folder))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "before", "after", "gain"):
        table.add_column(name, justify="right")
    table.add_column("folder", overflow="fold")
    for arm in finished:
        if result := arm.result:
            gain = f"{result.score - result.score_before:+.3f}" if result.steps else ""
            table.add_row(result.layer, f"{result.score_before:.3f}", f"{result.score:.3f}", gain, str(arm.cell.folder))
    study = shlex.quote(str(Path(config.runs_dir) / config.study))
    console().print(table, f"What each contributes: python -m evaluation.report {study}")
