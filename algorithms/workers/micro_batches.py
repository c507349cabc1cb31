"""Micro-batches of rows of similar length, for a module that pads.

verl gives every micro-batch the same number of tokens and mixes lengths in it, which is right where padding is removed
before the module and wasteful where it is not: a row then costs as much as the longest of its micro-batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.device import get_device_name
from verl.workers.engine.fsdp import transformer_impl

from algorithms.workers.rows import take_rows

Indices = list[list[int]]

_verls = transformer_impl.prepare_micro_batches


def partition_by_length(lengths: list[int], max_tokens: int) -> Indices:
    """Cut rows, longest first, into parts of at most ``max_tokens`` tokens, their padding counted.

    Raises:
        ValueError: A row alone is longer.
    """
    parts: Indices = []
    room = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):  # stable: equal lengths keep their order
        if lengths[row] > max_tokens:
            raise ValueError(f"a row of {lengths[row]} tokens exceeds the {max_tokens} tokens of a pass")
        if room == 0:
            parts.append([])
            room = max_tokens // lengths[row]
        parts[-1].append(row)
        room -= 1
    return parts


def divided(parts: Indices, number: int) -> Indices:
    """Halve the parts with the most rows until there are so many.

    Raises:
        ValueError: There are fewer rows.
    """
    parts = list(parts)
    if number > sum(map(len, parts)):
        raise ValueError(f"{sum(map(len, parts))} rows are no {number} parts")
    while len(parts) < number:
        widest = max(range(len(parts)), key=lambda place: len(parts[place]))
        rows = parts[widest]
        parts[widest : widest + 1] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    return parts


def prepare_micro_batches(
    data: TensorDict, dp_group: torch.distributed.ProcessGroup | None = None, **settings: Any
) -> tuple[list[TensorDict], Indices | None]:
    """As verl's function of this name, but by length where the module pads; ranks agree on a number of parts."""
    passes: Indices | None = tu.get_non_tensor_data(data=data, key="passes", default=None)
    if passes is not None:  # somebody who knows the rows has cut them already
        return [take_rows(data, part) for part in passes], passes
    packed = tu.get_non_tensor_data(data=data, key="use_remove_padding", default=True)
    if packed or not tu.get_non_tensor_data(data=data, key="use_dynamic_bsz", default=True):
        result: tuple[list[TensorDict], Indices | None] = _verls(data=data, dp_group=dp_group, **settings)
        return result
    lengths = data["input_ids"].offsets().diff().tolist()
    parts = partition_by_length(lengths, int(data["max_token_len_per_gpu"]))
    if torch.distributed.get_world_size(dp_group) > 1:
        number = torch.tensor(len(parts), device=get_device_name())
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX, group=dp_group)
        parts = divided(parts, int(number))
    return [tu.index_select_tensor_dict(data, part) for part in parts], parts


# The engine looks the function up in its own module; there is no other way in.
transformer_impl.prepare_micro_batches = prepare_micro_batches  # type: ignore[assignment]
