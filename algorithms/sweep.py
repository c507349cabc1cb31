"""The arms that one configuration or several name: one after the other, or side by side in one process (fused)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import replace

from agents.models import resolve
from algorithms.arm import FAILURES, ArmsFailedError
from algorithms.cell import differing_keys
from algorithms.layers import expand_layer
from algorithms.processes import run_apart
from algorithms.screen import console
from algorithms.study import run_cell, run_cells
from conf.schema import Config
from evaluation.results import Result


def run_arms(config: Config, overrides: Sequence[str] = ()) -> list[Result]:
    """Run the cell that ``config`` names or, with ``layer=all``, base, full and every block of its model.

    Each arm is a cell of its own, exactly as ``layer=<arm>`` would run it: a finished one is only read, an unfinished
    one is resumed. As in a sweep of Hydra's, an arm that fails does not cost the others their turn. But when the first
    one fails, the configuration is at fault, and all would.

    Args:
        config: The cell; its ``layer`` may be ``all``.
        overrides: What was set on the command line, see ``run_cell``.

    Returns:
        The results in the order base, full, 0, 1 ...; of a single cell, one.

    Raises:
        ArmsFailedError: At the end, when an arm other than the first has failed.
        KeyboardInterrupt, CellError, LayerError, ConfigError, ValueError: As ``run_cell``.
    """
    if config.layer != "all":
        return [run_cell(config, overrides)]
    arms = expand_layer(config.layer, resolve(config.model, config.task).n_blocks)
    screen = console()
    results, failures = list[Result](), dict[int, str]()
    for number, layer in enumerate(arms, 1):
        screen.print(f"layer=all: arm {number} of {len(arms)}, layer={layer}", highlight=False)
        try:
            results.append(run_cell(replace(config, layer=layer), overrides))
        except FAILURES as error:
            if not results:
                raise
            # As text: the exception would hold on to the arm's frames, and so to its memory.
            failures[number] = f"layer={layer}: {error}"
            print(f"error in {failures[number]}", file=sys.stderr)
        gc.collect()
    if failures:
        raise ArmsFailedError(failures, len(arms))
    return results


def run_fused(
    configs: Sequence[Config], overrides: Sequence[Sequence[str]] | None = None, *, processes: int = 1
) -> list[list[Result]]:
    """Run the cells of many configurations; those that differ in ``layer`` only share one process and one base.

    Args:
        configs: The cells; a ``layer`` may be ``all``, and a cell that is named twice is run once.
        overrides: What was set on the command line, for each.
        processes: Deal the cells of a group out to so many processes, each with a base of its own.

    Returns:
        The results of each configuration, one but for ``all``.

    Raises:
        ArmsFailedError: At the end, when some cells have failed; the others are finished. Its ``failures`` are by the
            position of the configuration.
        KeyboardInterrupt: Ctrl-C, after a checkpoint of every arm.
        CellError, LayerError, ConfigError, ValueError: As ``run_cell``, when there is one group and it cannot begin.
    """
    words = overrides or [()] * len(configs)
    results, failures = dict[int, list[Result]](), dict[int, str]()
    groups = group_by_setting(configs)
    for group in groups:
        try:
            n_blocks = resolve(configs[group[0]].model, configs[group[0]].task).n_blocks
            owners = [(place, layer) for place in group for layer in expand_layer(configs[place].layer, n_blocks)]
            cells = [replace(configs[place], layer=layer) for place, layer in owners]
            theirs = [words[place] for place, _ in owners]
            alone = min(processes, len(cells)) == 1
            found = run_cells(cells, theirs) if alone else run_apart(cells, theirs, processes)
            for (place, _), result in zip(owners, found, strict=True):
                results.setdefault(place, []).append(result)
        except ArmsFailedError as error:
            for number, text in error.failures.items():
                place = owners[number][0]
                failures[place] = "; ".join(filter(None, [failures.get(place), text]))
        except FAILURES as error:
            if len(groups) == 1:
                raise
            failures |= dict.fromkeys(group, str(error))
    if failures:
        raise ArmsFailedError(failures, len(configs))
    return [results[place] for place in range(len(configs))]


def group_by_setting(configs: Sequence[Config]) -> list[list[int]]:
    """Positions of the configurations that differ in ``layer`` only, group by group, in the order of their first."""
    groups: list[list[int]] = []
    for place, config in enumerate(configs):
        for group in groups:
            if differing_keys(configs[group[0]], config) <= {"layer"}:
                group.append(place)
                break
        else:
            groups.append([place])
    return groups
