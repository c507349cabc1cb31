"""What training leaves in a cell besides its result: steps, configuration and weights, made of numbers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file


def write_training(cell: Path, n_steps: int = 4, **metrics: float) -> Path:
    """Write ``metrics.jsonl`` and ``config.yaml`` of a cell that played 8 groups of 4 episodes in each step."""
    cell.mkdir(parents=True, exist_ok=True)
    row = {"success": 0.25, "entropy": 1.5, "response_tokens": 5.0, "zero_variance_groups": 0.5, "seconds": 2.0}
    lines = [{**row, "seconds/update": 1.0, **metrics, "step": step} for step in range(1, n_steps + 1)]
    (cell / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    algorithm, model, task = (folder.name for folder in list(cell.parents)[1:4])
    config: dict[str, Any] = {
        "task": {"name": task},
        "model": {"name": model},
        "algorithm": {"name": algorithm, "groups_per_step": 8, "group_size": 4},
        "steps": 30,
    }
    (cell / "config.yaml").write_text(yaml.safe_dump(config))
    return cell


def write_weights(file: Path, weights: dict[str, Any]) -> Path:
    """Write named numbers as a file of weights."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}, file)
    return file
