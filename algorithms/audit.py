"""Proof that the layer mask worked: how far each block of the model moved from where it started.

A frozen parameter must be bit-identical to its start (checked by hash); a block that trains must have moved.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from algorithms.layers import LayerSelection
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


class Fingerprints:
    """Hash and squared norm of tensors, each computed once: what is frozen is shared by many arms.

    One object serves one round, in which no weight changes.
    """

    def __init__(self) -> None:
        self._hashes: dict[Any, bytes] = {}
        self._squares: dict[Any, float] = {}
        self._seen: list[torch.Tensor] = []

    def hash(self, tensor: torch.Tensor) -> bytes:
        """A hash of the bits."""
        key = self._key(tensor)
        if key not in self._hashes:
            flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            self._hashes[key] = hashlib.sha1(flat.data, usedforsecurity=False).digest()
        return self._hashes[key]

    def square(self, tensor: torch.Tensor) -> float:
        """The sum of the squares, in float64."""
        key = self._key(tensor)
        if key not in self._squares:
            self._squares[key] = float(tensor.detach().double().square().sum())
        return self._squares[key]

    def _key(self, tensor: torch.Tensor) -> Any:
        """The memory that the tensor reads, and how; it stays taken while this object lives."""
        self._seen.append(tensor)
        return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


class Baseline:
    """Where the weights of one arm started: hashes of what is frozen, a file with what trains.

    The file, not memory, holds the copy: an audit must not change the peak memory it sits beside.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.Tensor],
        trained: Mapping[str, torch.Tensor],
        file: Path,
        fingerprints: Fingerprints,
    ) -> None:
        """Take the hashes and write the file.

        Args:
            parameters: The arm's whole model, by name.
            trained: Those of them that train.
            file: Where their start is kept.
            fingerprints: Of this moment.

        Raises:
            AuditError: The file cannot be written.
        """
        self._file = file
        self._hashes = {name: fingerprints.hash(p) for name, p in parameters.items() if name not in trained}
        start = {name: parameter.detach().cpu().contiguous() for name, parameter in trained.items()}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(start, file)
        except (OSError, SafetensorError) as error:
            raise AuditError(f"cannot keep the starting weights in {file}: {error}") from error

    def audit(
        self,
        parameters: Mapping[str, torch.Tensor],
        block_of: Mapping[str, int | None],
        selection: LayerSelection,
        step: int,
        fingerprints: Fingerprints,
    ) -> Audit:
        """Compare the arm's model with its start.

        Args:
            parameters: The whole model, by the same names as at the start.
            block_of: The block of each parameter, or None.
            selection: What was meant to train.
            step: Number of steps done, for the record.
            fingerprints: Of this moment.
        """
        moved: dict[int | None, float] = defaultdict(float)
        norm: dict[int | None, float] = defaultdict(float)
        tampered = []
        with safe_open(self._file, framework="pt") as start:
            for name, parameter in parameters.items():
                block = block_of[name]
                norm[block] += fingerprints.square(parameter)
                if name in self._hashes:
                    if fingerprints.hash(parameter) != self._hashes[name]:
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
