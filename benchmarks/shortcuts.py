"""What each shortcut of the update saves: the same batch, with the shortcuts switched on one after the other.

One batch of rollouts of the untrained model; the learning rate is 1e-12, so every repetition is the same update. Rows
whose advantage is zero are left out in all of them. How the steps are made, from outside, in this script only:

* head everywhere: as off, and the engine is kept from giving the head only the rows that predict something;
* off: ``runner.shortcuts=false``, verl's engine on padded rows, each read whole;
* no padding: the bank; ``scoring.grow``, which finds what rows share, is replaced by one that finds nothing, and the
  packing counts accordingly; ``PolicyBank.fork`` says 0: every block runs in the update, as in an ordinary model. The
  head is the bank's from here on: its log-probs and their gradient are formed together;
* shared beginnings: ``grow`` as it is: a prompt once per group, what answers have in common at their beginning once;
* frozen prefix: ``fork`` as it is. With one policy and one update per step the blocks below the trained one run once in
  both ways, so this changes nothing there; it does in ``--layers all``, all blocks in one bank, and ``full`` has none;
* kept from the rollout: the bank as a run uses it: what entered the trained block while the answers were drawn is read
  again, not computed again. The rollout itself is not timed.

NOT covered: generation (``fused_step.py``), recomputed old log-probs, KL, several updates per step, bfloat16, GPUs.
Both workers live in one process and share its allocator.

    python benchmarks/shortcuts.py [--rounds 5] [--threads 1] [--layers 15,full] [task=... model=...]
"""

from __future__ import annotations

import argparse
import functools
import gc
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from arithmetic import counted
from one_batch import Step, Work
from side_by_side import alternate, configuration, machine, ratios, spread, table

import algorithms.bank.packing
import algorithms.bank.scoring
from agents.models import resolve
from agents.tree import Tree
from algorithms.bank import PolicyBank
from algorithms.workers.engine import LayerMaskEngine

LIMITS = {"full": 0.5}
BLOCK_LIMIT = 0.25


def grow_apart(rows: Sequence[Sequence[int]]) -> Tree:
    """A tree in which rows share nothing."""
    length_B = np.array([len(row) for row in rows])
    first_B = np.concatenate([[0], length_B.cumsum()[:-1]])
    place_T = np.arange(length_B.max())
    real_BT = place_T < length_B[:, None]
    return Tree(
        ids_N=np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]),
        position_N=np.broadcast_to(place_T, real_BT.shape)[real_BT],
        node_BT=np.where(real_BT, first_B[:, None] + place_T, 0),
        length_B=length_B,
        start_B=np.zeros(len(rows), dtype=np.int64),
    )


def _hide_rows(self: LayerMaskEngine, *args: Any, **settings: Any) -> Any:
    result = _INPUTS(self, *args, **settings)
    self.predicting_rows, self._head_rows = self._head_rows, None
    return result


def _select_logits(self: LayerMaskEngine, output: Any, *args: Any, **settings: Any) -> Any:
    output.logits = output.logits.flatten(0, 1)[self.predicting_rows].unsqueeze(0)
    return _OUTPUTS(self, output, *args, **settings)


def _from_the_bottom(self: PolicyBank, policy: int) -> int:
    return 0


_INPUTS, _OUTPUTS = LayerMaskEngine.prepare_model_inputs, LayerMaskEngine.prepare_model_outputs
NOTHING_SHARED = [
    patch.object(algorithms.bank.scoring, "grow", grow_apart),
    patch.object(algorithms.bank.packing, "_shared", lambda a, b: 0),
]
FROM_THE_BOTTOM = [patch.object(PolicyBank, "fork", _from_the_bottom)]
HEAD_EVERYWHERE = [
    patch.object(LayerMaskEngine, "prepare_model_inputs", _hide_rows),
    patch.object(LayerMaskEngine, "prepare_model_outputs", _select_logits),
]
LAST = "+ kept from the rollout: all"
WAYS = {
    "head everywhere": (False, HEAD_EVERYWHERE),
    "off": (False, []),
    "no padding": (True, [*NOTHING_SHARED, *FROM_THE_BOTTOM]),
    "+ shared beginnings": (True, FROM_THE_BOTTOM),
    "+ frozen prefix": (True, []),
    LAST: (True, []),
}
"""What is patched while the bank (true) or the plain worker updates."""


def updater(step: Step, work: Work, patches: Sequence[Any]) -> Callable[[], dict[int, float]]:
    """An update under patches."""

    def update() -> dict[int, float]:
        with ExitStack() as stack:
            for one in patches:
                stack.enter_context(one)
            return step.update(work)

    return update


def timed(prepare: Callable[[], object], update: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock and of the processor that ``update`` takes."""
    prepare()
    start, cpu = time.perf_counter(), time.process_time()
    update()
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def measure(layer: str, options: argparse.Namespace) -> list[list[object]]:
    """The rows of the table for one layer, or for every block at once."""
    words = ["algorithm.learning_rate=1e-12", *options.overrides]
    configs = {
        bank: configuration(*words, f"runner.shortcuts={bank}", model_path=options.model_path, threads=options.threads)
        for bank in (True, False)
    }
    n_blocks = resolve(configs[True].model, configs[True].task).n_blocks
    layers = list(range(n_blocks)) if layer == "all" else [layer]
    steps = {bank: Step.build(config, layers) for bank, config in configs.items()}
    work = steps[True].collect()
    updates = {way: updater(steps[bank], work, patches) for way, (bank, patches) in WAYS.items()}
    # A rollout of the same answers, before an update that may read what it kept; begin_step forgets what was kept.
    prepares = {way: steps[True].collect if way == LAST else steps[True].worker.begin_step for way in WAYS}
    found = {}
    for way, update in updates.items():
        prepares[way]()
        found[way] = counted(update)
    sides = {way: functools.partial(timed, prepares[way], update) for way, update in updates.items()}
    laps = alternate(sides, options.rounds)
    off = found["off"][0]
    rows: list[list[object]] = []
    for way, (norms, gflop) in found.items():
        differences = [abs(norm - off[v]) / off[v] for v, norm in norms.items() if off[v]]
        relative = ratios(laps[way], laps["off"], "seconds")
        limit = LIMITS.get(layer, BLOCK_LIMIT)
        met = "" if way != LAST else f"<= {limit}: " + ("yes" if median(relative) <= limit else "NO")
        seconds = f"{median(lap['seconds'] for lap in laps[way]):.2f}"
        cpu = spread(ratios(laps[way], laps["off"], "cpu"), 3)
        rows.append([layer, way, seconds, spread(relative, 3), cpu, f"{gflop:.1f}", f"{max(differences):.1e}", met])
    in_pass = sum(int(np.count_nonzero(advantage_B)) for _, advantage_B in work.values())
    tokens = [len(ids) for batch, _ in work.values() for ids in batch.prompt_ids]
    print(f"layer={layer}: {in_pass} of {len(tokens)} rows in the pass, {np.mean(tokens):.0f} tokens a prompt")
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; 0: one per usable core")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("--layers", default="15,full", help="with commas; all: every block in one bank")
    parser.add_argument("overrides", nargs="*", help="as for run.py, e.g. model=tiny task=math/reversed")
    options = parser.parse_args()
    rows = []
    for layer in options.layers.split(","):
        rows += measure(layer, options)
        gc.collect()
    print(f"\n{machine(options.threads)} · float32 · {options.rounds} rounds\n")
    head = ["layer", "update", "s", "/ off", "/ off, CPU time", "GFLOP", "gradient norm, difference to off", "limit"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
