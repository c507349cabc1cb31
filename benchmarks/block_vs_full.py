"""What training one block saves: update time and peak memory of one block against all parameters, on the same batch.

Every arm is a process of its own, and they take turns, so that time is compared pair by pair and memory is each arm's
own. Each has the shortcuts of a cell by itself. The batch is collected once by the untrained model. Peak memory is the
process's high-water mark (VmHWM): Python and its libraries, loading, one rollout of the batch and the updates; the
second column of memory is what was there before the first update. All arms are alive together: SmolLM2-135M needs about
10 GB.

NOT covered: bfloat16, GPUs, long answers (activations then outweigh weights and optimizer state), LoRA. Generation is
the same for every arm and is not in the times.

    python benchmarks/block_vs_full.py [--rounds 5] [--threads 1] [--model-path FOLDER] [--blocks 0 15 29] [--every-row]
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from lockstep import serve, take_turns
from one_batch import Step
from side_by_side import configuration, machine, ratios, spread, table

from algorithms.meter import peak_memory_bytes

TIME_LIMIT, MEMORY_LIMIT = 0.65, 0.7


def arm(layer: str, batch_file: Path, options: argparse.Namespace) -> None:
    """One arm, in its own process: update whenever it is told to."""
    step = Step.build(
        configuration(
            f"layer={layer}",
            "algorithm.learning_rate=1e-12",  # AdamW works, the weights stand still: each round is the same update
            f"algorithm.drop_zero_advantage={not options.every_row}",
            model_path=options.model_path,
            threads=options.threads,
        )
    )
    work = pickle.loads(batch_file.read_bytes())
    step.collect()
    before = peak_memory_bytes("cpu")

    def update() -> dict[str, float]:
        return {"grad_norm": step.update(work)[0], "before": before, "peak": peak_memory_bytes("cpu")}

    serve(update)


def collect(batch_file: Path, options: argparse.Namespace) -> None:
    """The batch of all arms, drawn from the untrained model."""
    step = Step.build(configuration("layer=base", model_path=options.model_path, threads=options.threads))
    batch_file.write_bytes(pickle.dumps(step.collect()))


def main() -> None:
    """Collect, let the arms take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="updates of each arm that count, after one to warm up")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: one per usable core")
    parser.add_argument("--model-path", help="another model's folder")
    parser.add_argument("--blocks", nargs="+", default=["0", "15", "29"], help="the limits hold for the middle one")
    parser.add_argument("--every-row", action="store_true", help="rows of advantage zero are in the pass, too")
    parser.add_argument("--arm", nargs=2, metavar=("LAYER", "BATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        layer, batch_file = options.arm
        collect(Path(batch_file), options) if layer == "base" else arm(layer, Path(batch_file), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batch.pickle"
        command = [sys.executable, *sys.argv, "--arm"]
        subprocess.run([*command, "base", str(file)], check=True)
        batch, advantage_B = pickle.loads(file.read_bytes())[0]
        arms = {layer: [*command, layer, str(file)] for layer in ("full", *options.blocks)}
        said = take_turns(arms, options.rounds)

    middle = options.blocks[len(options.blocks) // 2]
    full_peak = said["full"][-1]["peak"]
    rows = []
    for layer, rounds in said.items():
        time_ratio, memory_ratio = ratios(rounds, said["full"], "seconds"), rounds[-1]["peak"] / full_peak
        met = median(time_ratio) <= TIME_LIMIT and memory_ratio <= MEMORY_LIMIT
        rows.append(
            [
                layer,
                f"{median(lap['seconds'] for lap in rounds):.2f}",
                spread(time_ratio),
                spread(ratios(rounds, said["full"], "cpu_seconds")),
                f"{rounds[-1]['before'] / 2**30:.2f}",
                f"{rounds[-1]['peak'] / 2**30:.2f}",
                f"{memory_ratio:.2f}",
                ("yes" if met else "NO") if layer == middle else "",
            ]
        )
    in_pass = len(batch) if options.every_row else np.count_nonzero(advantage_B)
    print(
        f"{machine(options.threads)} · float32 · {in_pass} of {len(batch)} rows in the pass, {options.rounds} rounds\n"
    )
    head = ["layer", "update s", "time / full", "CPU time / full", "GiB before", "peak GiB", "peak / full"]
    print(table([*head, f"time <= {TIME_LIMIT} and peak <= {MEMORY_LIMIT}"], rows))


if __name__ == "__main__":
    main()
