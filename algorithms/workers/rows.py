"""Rows of a batch in verl's no-padding form: nested tensors by row, settings beside them.

Shapes: _B rows, each ragged in its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

from algorithms.bank.rows import Row
from algorithms.batch import Batch


def to_tensordict(batch: Batch, rows: Sequence[int], **settings: Any) -> TensorDict:
    """Return the chosen rows as verl's engine reads them, with ``settings`` as non-tensor entries."""
    prompts = [batch.prompt_ids[row] for row in rows]
    responses = [batch.response_ids[row] for row in rows]
    mask = nested([[1] * len(response) for response in responses])
    data = tu.get_tensordict(
        {
            "prompts": nested(prompts),
            "responses": nested(responses),
            "input_ids": nested([prompt + response for prompt, response in zip(prompts, responses, strict=True)]),
            "position_ids": nested([range(len(p) + len(r)) for p, r in zip(prompts, responses, strict=True)]),
            "response_mask": mask,
            "loss_mask": mask,
        }
    )
    tu.assign_non_tensor(data, pad_token_id=0, **settings)
    return data


def nested(rows: Sequence[Sequence[float]], dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """A jagged tensor [B, ragged] from lists."""
    lengths = [len(row) for row in rows]
    values = torch.tensor(list(chain.from_iterable(rows)), dtype=dtype)
    offsets = torch.tensor([0, *accumulate(lengths)])
    # Without the lengths torch pads such a tensor to the sum of them.
    limits: Any = {"min_seqlen": min(lengths), "max_seqlen": max(lengths)}
    return torch.nested.nested_tensor_from_jagged(values, offsets, **limits)


def answers_to_tensordict(rows: Sequence[Row], **settings: Any) -> TensorDict:
    """Rows whose prompts the engine knows: here one token stands for each prompt, and ``row`` numbers the rows."""
    responses = nested([row.response_ids for row in rows])
    mask = nested([[1] * len(row.response_ids) for row in rows])
    data = tu.get_tensordict(
        {
            "row": torch.arange(len(rows)),
            "prompts": nested([[0]] * len(rows)),
            "responses": responses,
            "input_ids": nested([[0, *row.response_ids] for row in rows]),
            "response_mask": mask,
            "loss_mask": mask,
        }
    )
    tu.assign_non_tensor(data, **settings)
    return data


def take_rows(data: TensorDict, rows: Sequence[int]) -> TensorDict:
    """Some rows of every field; what is no tensor stays.

    As verl's ``index_select_tensor_dict``, which takes every nested tensor apart into its rows to choose a few.
    """
    chosen: dict[str, Any] = {}
    for key, value in data.items():
        if not isinstance(value, torch.Tensor):
            chosen[key] = value
        else:
            chosen[key] = take_ragged(value, rows) if value.is_nested else value[torch.tensor(rows)]
    return TensorDict(chosen, batch_size=len(rows))


def take_ragged(nested_BT: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """Some rows of a jagged tensor [B, ragged], in the given order, with their gradient."""
    jagged: Any = nested_BT
    row = torch.tensor(rows, device=jagged.device)
    length_B = jagged.offsets().diff()[row]
    ends = length_B.cumsum(0)
    shift_B = jagged.offsets()[row] - (ends - length_B)
    place_N = torch.arange(int(ends[-1]), device=row.device) + shift_B.repeat_interleave(length_B)
    ends = torch.cat([ends.new_zeros(1), ends])
    limits: Any = {"min_seqlen": int(length_B.min()), "max_seqlen": int(length_B.max())}
    return torch.nested.nested_tensor_from_jagged(jagged.values()[place_N], ends, **limits)
