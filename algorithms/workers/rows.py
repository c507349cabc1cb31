"""Rows of a batch in verl's no-padding form: nested tensors by row, settings beside them.

Shapes: _B rows, each ragged in its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

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
    return torch.nested.as_nested_tensor([torch.tensor(row, dtype=dtype) for row in rows], layout=torch.jagged)
