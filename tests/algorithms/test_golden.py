"""Ten steps with fixed seeds against ``tests/golden/tiny_10_steps.json``.

A change that is meant to change them writes the file anew, and shows the difference in its commit:
``pytest --regenerate-golden tests/algorithms/test_golden.py``.
"""

import json
from pathlib import Path

import pytest

from algorithms.study import run_cell

GOLDEN = Path(__file__).parents[1] / "golden" / "tiny_10_steps.json"
COMPARED = ("reward", "loss", "grad_norm")


def test_ten_steps_are_the_golden_ones(tiny_config, tmp_path, request):
    run_cell(tiny_config("steps=10", "algorithm.groups_per_step=4", "evaluation.items=2", "evaluation.samples=1"))
    (file,) = tmp_path.rglob("metrics.jsonl")
    steps = [json.loads(line) for line in file.read_text().splitlines()]
    found = {name: [step[name] for step in steps] for name in COMPARED}
    if request.config.getoption("--regenerate-golden"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
        pytest.skip(f"wrote {GOLDEN}")
    golden = json.loads(GOLDEN.read_text())
    assert golden.keys() == found.keys()
    for name in COMPARED:  # processors round differently
        assert found[name] == pytest.approx(golden[name], rel=1e-3, abs=1e-5), name
