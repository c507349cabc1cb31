"""The shape of ``conf/plan``: the device that ``--plan`` counts in. Nothing that trains reads it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from omegaconf import MISSING

from conf.checks import positive, require


@dataclass
class PlanConfig:
    """A device by its data sheet, how many there are, and what is assumed where nothing has been measured."""

    name: str = MISSING
    unit: str = "GPU"
    """What its hours are called."""
    source: str = ""
    """Where the three numbers below come from."""
    memory_gb: float = 80.0
    """Memory of one device, 10^9 bytes."""
    peak_tflops: float = 989.0
    """Its dense peak in ``dtype``, 10^12 floating-point operations a second."""
    bandwidth_gb_s: float = 3350.0
    """What its memory delivers, 10^9 bytes a second."""
    dtype: str = "bfloat16"
    """What it computes in where ``runner.dtype`` is ``auto``."""
    devices: int = 1
    devices_per_node: int = 8
    cells_per_device: int = 1
    """More than one only where you ask for it: they share the memory, and each takes so many times as long."""
    share_of_peak: float = 0.3
    """Of the peak, in everything but writing answers token by token. An assumption: set what you know."""
    share_of_bandwidth: float = 0.5
    """Of the bandwidth, when answers are written. An assumption."""
    share_of_memory: float = 0.9
    """What may be planned with; the rest is for the driver, the allocator and what is not counted."""
    prompt_tokens: int | None = None
    """Mean tokens of a prompt; null: ``task.max_prompt_tokens``, an upper bound."""
    response_tokens: int | None = None
    """Mean tokens of an answer; null: ``task.max_response_tokens``, an upper bound."""
    turns: int | None = None
    """Mean turns of an episode; null: ``task.max_turns``, an upper bound."""

    def __post_init__(self) -> None:
        positive(self, "plan.", "devices", "devices_per_node", "cells_per_device")
        for name in ("memory_gb", "peak_tflops", "bandwidth_gb_s"):
            require(0 < getattr(self, name) < inf, f"plan.{name}", getattr(self, name), "more than 0")
        for name in ("share_of_peak", "share_of_bandwidth", "share_of_memory"):
            require(0 < getattr(self, name) <= 1, f"plan.{name}", getattr(self, name), "in (0, 1]")
        for name in ("prompt_tokens", "response_tokens", "turns"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"plan.{name}", value, "null, or a whole number >= 1")
        require(self.dtype in ("bfloat16", "float32"), "plan.dtype", self.dtype, "bfloat16, float32")
