"""Checkpoints of one cell: the blocks that train, the optimizer, the random state, the step.

A checkpoint is a folder ``step=00010`` that is written under another name and renamed when complete, so there is
always a whole one: the newest. The previous one is deleted only then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from conf.errors import UserError


class CheckpointError(UserError, RuntimeError):
    """A checkpoint could not be written or does not fit the model; what was there before is untouched."""


OptimizerState = Mapping[str, Mapping[str, torch.Tensor]]
"""By parameter name: ``step``, ``exp_avg``, ``exp_avg_sq``; empty before the first update."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: the steps done, the weights that train and the optimizer's state of each, by name."""

    step: int
    parameters: dict[str, torch.Tensor]
    optimizer_state: OptimizerState


def save(folder: Path, step: int, parameters: Mapping[str, torch.Tensor], optimizer_state: OptimizerState) -> Path:
    """Write the state after ``step`` optimizer steps and return its folder.

    Args:
        folder: The cell's ``checkpoint`` folder.
        step: Steps done; it is the data cursor too, since what a step trains on follows from its number.
        parameters: What trains, by name.
        optimizer_state: Of those parameters only.

    Raises:
        CheckpointError: The disk refused (full, read-only); the older checkpoint survives.
    """
    final, draft = folder / f"step={step:06d}", folder / f".writing-{os.getpid()}"
    try:
        for killed in folder.glob(".writing-*"):  # the cell is locked: nobody else is writing
            shutil.rmtree(killed, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file({n: p.detach().cpu().contiguous() for n, p in parameters.items()}, draft / "trained.safetensors")
        state = {name: dict(tensors) for name, tensors in optimizer_state.items()}
        torch.save({"optimizer": state, "rng": torch.get_rng_state()}, draft / "state.pt")
        (draft / "meta.json").write_text(json.dumps({"step": step, "parameters": sorted(parameters)}))
        for file in draft.iterdir():
            _flush(file)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        _flush(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
        shutil.rmtree(draft, ignore_errors=True)
        kept = latest(folder)
        raise CheckpointError(
            f"could not write the checkpoint of step {step} to {folder}: {error}. "
            f"Kept: {kept.name if kept else 'none'}; free some space and run the same command again to resume."
        ) from error
    for old in folder.glob("step=*"):
        if old != final:
            shutil.rmtree(old)
    return final


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    return max(folder.glob("step=*"), default=None)


def steps_done(folder: Path) -> int:
    """Steps done at the newest whole checkpoint; 0 where there is none."""
    newest = latest(folder)
    return int(newest.name.removeprefix("step=")) if newest else 0


def load(checkpoint: Path, names: Iterable[str]) -> Saved:
    """Read a checkpoint of the parameters ``names``, and put the random state back.

    Raises:
        CheckpointError: The checkpoint trains other parameters than this run.
    """
    try:
        meta = json.loads((checkpoint / "meta.json").read_text())
        parameters = load_file(checkpoint / "trained.safetensors")
        state = torch.load(checkpoint / "state.pt", weights_only=True, map_location="cpu")
    except Exception as error:  # every reader has errors of its own for a damaged file
        raise CheckpointError(
            f"{checkpoint} cannot be read: {error}. Delete this folder; the same command then starts over."
        ) from error
    wanted = set(names)
    # Without an update there is no optimizer state yet.
    if differing := sorted((set(meta["parameters"]) ^ wanted) | (state["optimizer"].keys() - wanted)):
        raise CheckpointError(f"{checkpoint} trains other parameters than this run, e.g. {differing[:3]}")
    torch.set_rng_state(state["rng"])
    return Saved(int(meta["step"]), parameters, state["optimizer"])


def keep_weights_only(folder: Path) -> None:
    """Drop the optimizer of a finished cell; its trained weights stay for later use."""
    for file in folder.glob("step=*/state.pt"):
        file.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
