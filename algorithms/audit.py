"""Proof that the layer mask worked: how far each block of the model moved from where it started.

A frozen parameter must be bit-identical to its start (checked by hash); a block that trains must have moved.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from algorithms.layers import LayerSelection, block_of_parameters
from conf.errors import UserError


class AuditError(UserError, RuntimeError):
    """A block moved that should not have, or did not move and should have."""


@dataclass(frozen=True)
class Audit:
    """Relative change of every block, ||theta - theta_0|| / ||theta_0||, in float64.

    ``other`` is the same for embeddings, final norm and head together. ``problems`` is empty when the mask held.
    """

    step: int
    relative_change_L: list[float]
    other: float
    problems: list[str]

    @property
    def ok(self) -> bool:
        """True when exactly what should move moved."""
        return not self.problems

    def to_dict(self) -> dict[str, object]:
        """For ``audit.json`` and ``result.json``."""
        return asdict(self) | {"ok": self.ok}


class Baseline:
    """Where the weights started: hashes of what is frozen, a file with what trains.

    The file, not memory, holds the copy: an audit must not change the peak memory it sits beside.
    """

    def __init__(self, model: nn.Module, file: Path) -> None:
        self._file = file
        self._hashes = {name: _hash(p) for name, p in model.named_parameters() if not p.requires_grad}
        start = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(start, file)
        except (OSError, SafetensorError) as error:
            raise AuditError(f"cannot keep the starting weights in {file}: {error}") from error

    def audit(self, model: nn.Module, selection: LayerSelection, step: int) -> Audit:
        """Compare ``model`` with its start.

        Args:
            model: The module that trains, with the same parameter names as at the start.
            selection: What was meant to train.
            step: Number of steps done, for the record.
        """
        block_of = block_of_parameters(model)
        moved: dict[int | None, float] = defaultdict(float)
        norm: dict[int | None, float] = defaultdict(float)
        tampered = []
        with safe_open(self._file, framework="pt") as start:
            for name, parameter in model.named_parameters():
                block = block_of[name]
                norm[block] += float(parameter.detach().double().square().sum())
                if name in self._hashes:
                    if _hash(parameter) != self._hashes[name]:
                        tampered.append(name)
                        moved[block] = math.inf
                    continue
                before = start.get_tensor(name).to(parameter.device).double()
                moved[block] += float((parameter.detach().double() - before).square().sum())
        n_blocks = 1 + max(block for block in block_of.values() if block is not None)
        change_L = [math.sqrt(moved[block] / norm[block]) if norm[block] else 0.0 for block in range(n_blocks)]
        other = math.sqrt(moved[None] / norm[None]) if norm[None] else 0.0
        problems = [f"frozen parameter {name} moved" for name in tampered]
        for block, change in enumerate(change_L):
            should_move = selection.trains_everything or block in selection.blocks
            if should_move and change == 0.0:
                problems.append(f"block {block} should train and did not move")
            if not should_move and change != 0.0:
                problems.append(f"block {block} is frozen and moved")
        if not tampered and not all(map(math.isfinite, [*change_L, other])):
            problems.append("a trained weight is not finite")
        return Audit(step, change_L, other, problems)

    def discard(self) -> None:
        """Delete the file with the starting weights."""
        self._file.unlink(missing_ok=True)


def require(audit: Audit) -> Audit:
    """Return ``audit``; raise ``AuditError`` with its problems when the mask did not hold."""
    if not audit.ok:
        raise AuditError(f"layer-mask audit failed after step {audit.step}: {'; '.join(audit.problems)}")
    return audit


def _hash(parameter: torch.Tensor) -> bytes:
    flat = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha1(flat.data, usedforsecurity=False).digest()
