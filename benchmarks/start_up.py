"""How long from Enter to the first finished training step, with the model in the cache.

Runs ``python run.py`` (or ``--command``) as a user would, in a fresh runs folder, and waits for the first line of
``metrics.jsonl``. That is: Python's imports, loading the model, the evaluation before training, one step. With
``--whole`` it waits for the end of the command, too.

NOT covered: downloading or converting the model; a cold file cache.

    python benchmarks/start_up.py [--whole] [--repeat 3] [--threads 1] [task=math layer=full ...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import configuration, machine, spread, table

from agents.models import resolve

LIMIT_S = 60
RUN = Path(__file__).resolve().parents[1] / "run.py"


def run(overrides: list[str], *, whole: bool) -> dict[str, float]:
    """Seconds until each mark of one run.

    Raises:
        RuntimeError: The command ended without a step; the message holds the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = [sys.executable, str(RUN), f"runs_dir={folder}/runs", *overrides]
        seconds, start = {}, time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        marks = {"evaluated before": "episodes.jsonl", "first step": "metrics.jsonl"}
        while len(seconds) < len(marks):
            for mark, name in marks.items():
                if mark not in seconds and any(file.stat().st_size for file in Path(folder).glob(f"runs/**/{name}")):
                    seconds[mark] = time.perf_counter() - start
            if process.poll() is not None and "first step" not in seconds:
                log.seek(0)
                raise RuntimeError(f"{' '.join(command)} ended without a step:\n{log.read()[-2000:]}")
            time.sleep(0.05)
        if whole:
            process.wait()
            seconds["whole run"] = time.perf_counter() - start
        else:
            process.kill()
            process.wait()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="wait for the end of the run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0: one per usable core")
    parser.add_argument("overrides", nargs="*", help="as for run.py")
    options = parser.parse_args()
    config = configuration(*options.overrides, threads=options.threads)
    resolve(config.model, config.task)  # so that the model is in the cache
    words = [f"runner.threads={options.threads}", *options.overrides]
    found = [run(words, whole=options.whole) for _ in range(options.repeat)]
    print(f"{machine(options.threads)} · python run.py {' '.join(words)} · {options.repeat} runs\n")
    rows = []
    for mark in found[0]:
        seconds = [marks[mark] for marks in found]
        limit = ("yes" if max(seconds) <= LIMIT_S else "NO") if mark == "first step" else ""
        rows.append([mark, spread(seconds, 1), limit])
    print(table(["until", "seconds, median (range)", f"<= {LIMIT_S} s"], rows))


if __name__ == "__main__":
    main()
