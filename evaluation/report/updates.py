"""Do two tasks move a block in the same direction? The cosine between their updates, block by block.

An update is the trained weights minus those training began from, so both tasks' checkpoints and the untrained model
have to be at hand, and both must have begun from the same weights. Shapes: ``_L`` blocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from agents.cache import ModelError
from agents.models import resolve
from conf.schema import ModelConfig
from evaluation.cells import Cell
from evaluation.comparison import Comparison
from evaluation.learning import settings
from evaluation.report.costs import WEIGHTS, block_of


@dataclass(frozen=True)
class UpdateCosine:
    """The cosine between the updates of two tasks by the same arm: model, algorithm, layer and training seed."""

    task_a: str
    task_b: str
    model: str
    algorithm: str
    layer: str
    seed: int
    block_L: NDArray[np.int64]
    cosine_L: NDArray[np.float64]


def update_cosines(comparisons: Sequence[Comparison]) -> tuple[list[UpdateCosine], list[str]]:
    """Compare the updates of every two tasks that trained the same layer of the same model.

    Returns:
        The cosines, and what could not be compared and why, once per pair of tasks and reason.
    """
    found, missing = [], []
    for a, b in combinations(comparisons, 2):
        ours, theirs = a.result, b.result
        if ours.task == theirs.task or (ours.model, ours.algorithm) != (theirs.model, theirs.algorithm):
            continue
        others = {(c.result.layer, c.result.seed): c for arm in b.arms for c in arm.cells if c.result.steps}
        cells = [c for arm in a.arms for c in arm.cells if c.result.steps]
        pairs = [(c, others[c.result.layer, c.result.seed]) for c in cells
                 if (c.result.layer, c.result.seed) in others]  # fmt: skip
        names = f"{ours.task} and {theirs.task} ({ours.model}, {ours.algorithm})"
        if not pairs:
            missing.append(f"{names}: no layer was trained on both with the same seed")
        for one, other in pairs:
            outcome = _cosine(one, other)
            if isinstance(outcome, str):
                missing.append(f"{names}: {outcome}")
            else:
                found.append(outcome)
    return found, list(dict.fromkeys(missing))


def _cosine(a: Cell, b: Cell) -> UpdateCosine | str:
    mine, theirs = (max(cell.folder.glob(WEIGHTS), default=None) for cell in (a, b))
    if mine is None or theirs is None:
        return "the trained weights (checkpoint/) are not kept for both"
    origin = _identity(a.folder)
    if origin is None or origin != _identity(b.folder):
        return "they did not start from the same weights"
    try:
        model = resolve(ModelConfig(**settings(a.folder)["model"]))
        if model.fingerprint() != origin:
            return "the untrained weights found here are not those they started from"
        block_L, cosine_L = cosines(mine, theirs, model.path)
    except (ModelError, OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        return f"the weights cannot be read: {str(error).splitlines()[0]}"
    result = a.result
    return UpdateCosine(
        result.task, b.result.task, result.model, result.algorithm, result.layer, result.seed, block_L, cosine_L
    )


def cosines(a: Path, b: Path, untrained: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cosine between two updates in every block that both hold, read tensor by tensor.

    Args:
        a: trained weights, ``trained.safetensors``.
        b: the same of the other task.
        untrained: the model's folder in Hugging Face format, weights in safetensors.

    Returns:
        Blocks, ascending, and cos = <u_a, u_b> / (|u_a| |u_b|) of each, u the trained minus the untrained weights of
        the whole block; nan where one of them did not move.
    """
    products: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(3))
    with ExitStack() as stack:
        opened = [stack.enter_context(safe_open(file, framework="pt"))
                  for file in (a, b, *sorted(untrained.glob("*.safetensors")))]  # fmt: skip
        start = {name: file for file in opened[2:] for name in file.keys()}  # noqa: SIM118
        for name in sorted(set(opened[0].keys()) & set(opened[1].keys()) & set(start)):
            block = block_of(name)
            if block is None:
                continue
            before = start[name].get_tensor(name).to(torch.float64)
            one, other = (file.get_tensor(name).to(torch.float64) - before for file in opened[:2])
            products[block] += [float((x * y).sum()) for x, y in ((one, other), (one, one), (other, other))]
    blocks = sorted(products)
    dot_L, square_a_L, square_b_L = np.array([products[block] for block in blocks]).reshape(-1, 3).T
    norm_L = np.sqrt(square_a_L * square_b_L)
    return np.array(blocks), np.divide(dot_L, norm_L, out=np.full(len(blocks), np.nan), where=norm_L > 0)


def _identity(cell: Path) -> str | None:
    """The hash of the weights that a cell started from, as its study recorded it."""
    found = settings(cell.parents[1], "settings.yaml").get("identity", {}).get("model_weights")
    return None if found is None else str(found)
