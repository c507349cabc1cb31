"""Floating-point operations of a piece of work, counted as torch dispatches them: matrix products and attention.

torch's own counter knows neither products that write in place nor the CPU's attention kernel; these are added here.
Everything else (norms, rotations, softmax, AdamW, drawing) is not counted: it is bytes, not arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

T = TypeVar("T")


def _in_place(sum_shape: Any, a_shape: Any, b_shape: Any, *_: Any, **__: Any) -> int:
    """``sum += a @ b``."""
    return 2 * a_shape[0] * a_shape[1] * b_shape[1]


def _attention(q_shape: Any, k_shape: Any, v_shape: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q_shape, k_shape, v_shape)


def _attention_backward(grad_shape: Any, q_shape: Any, k_shape: Any, v_shape: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad_shape, q_shape, k_shape, v_shape)


MISSING = {
    torch.ops.aten.addmm_: _in_place,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def counted(work: Callable[[], T]) -> tuple[T, float]:
    """Run ``work`` once and return its result and its GFLOP. It runs slower than otherwise: do not time it."""
    counter = FlopCounterMode(display=False, custom_mapping=MISSING)
    with counter:
        result = work()
    return result, counter.get_total_flops() / 1e9
