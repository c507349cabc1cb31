"""The whole study end to end, as a user runs it: base, full and every block, with start-up, evaluations and files.

Sides, one after the other, each in a runs folder of its own:

* fused: ``python run.py -m layer=... hydra/launcher=fused``, with ``--processes`` dealt out to several;
* separate: the same command with Hydra's basic launcher: cell after cell in one process, with every shortcut a cell can
  take by itself;
* off: the same with ``runner.shortcuts=false``;
* separate x2, off x2: two such commands with half of the cells each, one thread each, at the same time.

Wall time is the parent's. Memory is the resident memory of all processes of a side, sampled every 0.2 s; that of ONE
full run is the peak of separate and of off until ``full``, which runs first, has its result. With ``--separate-blocks``
the separate sides run only some blocks: a block then costs the time from the result before to its own, the rest is
interpolated linearly in the block's number, and of two at a time each is taken to do half. Such figures are marked ~.
Afterwards every cell is compared with the fused one's: panel, score, trained weights.

NOT covered: downloading or making the model (it is in the cache before anything is timed); GPUs; noise: each side runs
once, so what else the machine does is in the figures.

    python benchmarks/fused_study.py [--blocks all] [--separate-blocks 0,15,29] [--sides fused,off] [task=... steps=...]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from process_tree import Watched, watch
from safetensors.torch import load_file
from side_by_side import chosen_blocks, configuration, machine, sum_over_blocks, table

from agents.models import resolve
from algorithms.machine import choose
from evaluation.results import RESULT_FILE, Result, read_result

RUN = Path(__file__).resolve().parents[1] / "run.py"
SIDES = ("fused", "separate", "separate x2", "off", "off x2")
TIME_LIMIT, MEMORY_LIMIT = 0.25, 1.3


@dataclass
class Cell:
    """A finished cell: where it is, and the seconds at which it was begun and had its result."""

    folder: Path
    began: float
    ended: float

    @property
    def result(self) -> Result:
        """What it found."""
        return read_result(self.folder / RESULT_FILE)


@dataclass
class Ran:
    """One side: what was seen of it, and its cells by layer."""

    watched: Watched
    cells: dict[str, Cell]
    parts: list[list[str]]
    """The layers of each of its processes, in their order."""

    def seconds(self, n_blocks: int, every: bool) -> float:
        """Wall time of all blocks; from those that were run, unless that was ``every`` one."""
        if every:
            return self.watched.seconds
        costs: dict[str, float] = {}
        start_up = 0.0
        for part in self.parts:
            before = self.cells[part[0]].began
            start_up = max(start_up, before)
            for layer in part:
                costs[layer], before = self.cells[layer].ended - before, self.cells[layer].ended
        blocks = sum_over_blocks({int(layer): cost for layer, cost in costs.items() if layer.isdigit()}, n_blocks)
        return start_up + (costs["full"] + costs["base"] + blocks) / len(self.parts)


def run(side: str, layers: list[str], folder: Path, options: argparse.Namespace) -> Ran:
    """Run one side from the beginning to the end."""
    parts = [layers]
    if side.endswith("x2"):  # full costs most, and the lower a block, the more it costs
        blocks = [layer for layer in layers if layer.isdigit()]
        parts = [["full", *blocks[1::2]], ["base", *blocks[0::2]]]
    words = [f"runs_dir={folder}", *options.overrides, f"runner.shortcuts={not side.startswith('off')}"]
    words += [f"runner.threads={options.threads if len(parts) == 1 else 1}"]
    if side == "fused":
        words += ["hydra/launcher=fused", f"hydra.launcher.processes={options.processes}"]
    commands = [[sys.executable, str(RUN), "-m", f"layer={','.join(part)}", *words] for part in parts]
    watched = watch(commands, {"HYDRA_FULL_ERROR": "1"})
    cells = {}
    for file in folder.rglob(RESULT_FILE):
        locked, ended = (path.stat().st_mtime - watched.began for path in (file.parent / ".lock", file))
        cells[read_result(file).layer] = Cell(file.parent, locked, ended)
    assert set(cells) == set(layers), f"{side}: no result for {set(layers) - set(cells)}"
    return Ran(watched, cells, parts)


def compared(fused: Ran, other: Ran) -> list[object]:
    """How far the cells of a side are from the fused ones: cells, largest differences of scores and of weights.

    Raises:
        AssertionError: A cell was scored on another panel.
    """
    equal, score, weight = 0, 0.0, 0.0
    for layer, cell in other.cells.items():
        ours, theirs = fused.cells[layer].result, cell.result
        assert ours.panel == theirs.panel, f"layer={layer} was scored on another panel"
        difference = max(abs(ours.score_before - theirs.score_before), abs(ours.score - theirs.score))
        equal, score = equal + (difference == 0), max(score, difference)
        if layer != "base":
            (a, b) = (load_file(next(its.folder.rglob("trained.safetensors"))) for its in (fused.cells[layer], cell))
            assert a.keys() == b.keys(), f"layer={layer} trained other parameters"
            weight = max(weight, *(float((a[name] - b[name]).abs().max()) for name in a))
    return [f"{equal} of {len(other.cells)}", f"{score:.4f}", f"{weight:.1e}"]


def main() -> None:
    """Run the sides, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", default=",".join(SIDES), help="with commas; fused comes first")
    parser.add_argument("--blocks", default="all", help="the study: base, full and these, e.g. 0,15,29 or '5 of all'")
    parser.add_argument("--separate-blocks", help="the separate sides run only these, the rest is interpolated")
    parser.add_argument("--processes", type=int, default=1, help="of the fused side; they share the cores")
    parser.add_argument("--threads", type=int, default=0, help="of a process that is alone; 0: one per usable core")
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. steps=10 evaluation.items=16")
    options = parser.parse_args()
    config = configuration(*options.overrides, threads=options.threads)
    n_blocks = resolve(config.model, config.task).n_blocks  # so that the model is in the cache, too
    blocks = chosen_blocks(options.blocks, n_blocks)
    some = chosen_blocks(options.separate_blocks, n_blocks) if options.separate_blocks else blocks
    if some != blocks and len(blocks) < n_blocks:
        parser.error("--separate-blocks estimates the whole study, so it wants --blocks all")
    sides = [side for side in SIDES if side == "fused" or side in options.sides.split(",")]
    ran: dict[str, Ran] = {}
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            layers = ["full", "base", *map(str, blocks if side == "fused" else some)]
            ran[side] = run(side, layers, Path(folder) / side.replace(" ", "_"), options)
            print(f"{side}: {len(layers)} cells in {ran[side].watched.seconds:.1f} s", file=sys.stderr, flush=True)
        whole = {side: ran[side].seconds(n_blocks, side == "fused" or some == blocks) for side in sides}
        for side in sides:
            about = "" if side == "fused" or some == blocks else "~"
            apart = ["", "", ""] if side == "fused" else compared(ran["fused"], ran[side])
            peak = f"{ran[side].watched.peak() / 2**30:.2f}"
            rows.append([side, f"{about}{whole[side]:.0f}", f"{about}{whole['fused'] / whole[side]:.3f}", peak, *apart])
    words = " ".join(options.overrides)
    print(f"{machine(choose(config.runner).threads)} · {config.algorithm.name} · {words}")
    print(
        f"{config.model.name}, {config.task.name}, {config.steps} steps: base, full and {len(blocks)} blocks; ", end=""
    )
    print(f"{len(some)} blocks on the other sides\n")
    head = [
        "side",
        "wall s",
        "fused / side",
        "peak GiB",
        "cells with equal scores",
        "max score diff",
        "max weight diff",
    ]
    print(table(head, rows))
    for kind in ("separate", "off"):
        if pair := [whole[side] for side in (kind, f"{kind} x2") if side in whole]:
            ratio = whole["fused"] / min(pair)
            met = "yes" if ratio <= TIME_LIMIT else "NO"
            print(f"\nfused / the faster of {kind}: {ratio:.3f}; <= {TIME_LIMIT}: {met}")
        if kind in ran:
            full = ran[kind].watched.peak(until=ran[kind].cells["full"].ended)
            share = ran["fused"].watched.peak() / full
            met = "yes" if share <= MEMORY_LIMIT else "NO"
            print(f"peak of ONE full run, {kind}: {full / 2**30:.2f} GiB; fused / it: {share:.2f}; ", end="")
            print(f"<= {MEMORY_LIMIT}: {met}")


if __name__ == "__main__":
    main()
