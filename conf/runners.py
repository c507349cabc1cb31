"""The shape of ``conf/runner``: where the arithmetic happens."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf

from omegaconf import MISSING

from conf.checks import positive, require

RUNNERS = ("local", "cluster")
ENGINES = ("hf", "vllm", "sglang")
SHARED = ("name", "device", "dtype", "threads", "max_tokens_per_pass", "rollout_batch", "share_device")
"""What both runners read; ``shortcuts`` is the local runner's alone, the rest the cluster's."""


@dataclass
class RunnerConfig:
    """``conf/runner``: where the arithmetic happens. But for ``dtype``, nothing here changes more than rounding."""

    name: str = MISSING
    """``local``: this process; ``cluster``: verl's trainer on Ray."""
    device: str = "auto"
    dtype: str = "auto"
    """Compute dtype, ``float32`` or ``bfloat16`` (weights that train stay float32); auto: the faster one here."""
    threads: int = 0
    """Torch threads of a process; 0: one per core this process may use, on a cluster 1."""
    max_tokens_per_pass: int = 4096
    """Tokens in one forward or backward pass; a larger batch is cut into several."""
    rollout_batch: int = 256
    """Episodes of a cell that generate together; on a cluster answers in one batch of a Hugging Face server."""
    share_device: bool = False
    """Train on a GPU on which another process trains already; off: that is an error."""
    shortcuts: bool = True
    """Compute once what rows or policies have in common; off: every cell by itself, every row whole, to compare."""
    address: str | None = None
    """Where a Ray of this machine is joined, ``auto`` or ``host:port``; null: one of this run's own is started."""
    cpus: int = 0
    """CPUs that a Ray of this run's own counts, which is what it places by; 0: as many as the run asks for."""
    ranks: int = 1
    """Processes that the model that trains is sharded over (FSDP2), on one GPU each where there are GPUs."""
    nodes: int = 1
    """Groups of as many ranks, each on one machine; the Ray at ``runner.address`` must have so many machines."""
    engine: str = "hf"
    """What answers: ``hf`` (Hugging Face, on CPU), ``vllm`` or ``sglang`` (on GPUs, beside the ranks)."""
    tensor_parallel: int = 1
    """Ranks that share one server; there are ranks / tensor_parallel servers."""
    gpu_memory_share: float = 0.5
    """What a vLLM or SGLang server may take of its GPU's memory."""
    gradient_checkpointing: bool = False
    """Keep of a pass what enters each block and compute the rest again for the gradients: less memory, more time."""
    agent_workers: int = 1
    """Processes that play the episodes of training."""
    start_timeout_s: float = 900.0
    """Seconds that each part of the start may take: Ray, the placement, the ranks and servers."""
    answer_timeout_s: float = 600.0
    """Seconds that an answer of a server may take; later, its episode is lost, and an evaluation's cell fails."""
    step_timeout_s: float = 3600.0
    """Seconds that the episodes of a step, or one exchange with the ranks, may take; later, the cell fails."""

    def __post_init__(self) -> None:
        require(self.name in (MISSING, *RUNNERS), "runner.name", self.name, ", ".join(RUNNERS))
        positive(self, "runner.", "max_tokens_per_pass", "rollout_batch", "ranks", "nodes", "tensor_parallel")
        positive(self, "runner.", "agent_workers")
        require(self.cpus >= 0, "runner.cpus", self.cpus, "0 (what the run asks for) or more")
        require(self.engine in ENGINES, "runner.engine", self.engine, ", ".join(ENGINES))
        require(0 < self.gpu_memory_share < 1, "runner.gpu_memory_share", self.gpu_memory_share, "in (0, 1)")
        for name in ("start_timeout_s", "answer_timeout_s", "step_timeout_s"):
            require(0 < getattr(self, name) < inf, f"runner.{name}", getattr(self, name), "seconds, more than 0")
        for name in ("nodes", "tensor_parallel"):
            part = getattr(self, name)
            require(self.ranks % part == 0, f"runner.{name}", part, f"it must divide runner.ranks={self.ranks}")
        share, servers = self.ranks // self.nodes, self.tensor_parallel
        fits = share % servers == 0 or servers % share == 0
        require(fits, "runner.tensor_parallel", servers, f"a server's ranks are one node's {share}, or whole nodes")
        if self.name == "local":
            for field in fields(self):
                own = field.name in (*SHARED, "shortcuts") or getattr(self, field.name) == field.default
                require(own, f"runner.{field.name}", getattr(self, field.name), "only runner=cluster reads it")
        if self.name == "cluster":
            self._check_cluster()

    def _check_cluster(self) -> None:
        require(not self.shortcuts, "runner.shortcuts", self.shortcuts, "false: only runner=local has them")
        require(self.device in ("auto", "cpu", "cuda"), "runner.device", self.device, "on a cluster auto, cpu or cuda")
        alone = self.engine != "hf" or self.tensor_parallel == 1
        require(alone, "runner.tensor_parallel", self.tensor_parallel, "1: a Hugging Face server is one process")
        one = self.nodes == 1 or self.address is not None
        require(one, "runner.nodes", self.nodes, "1, or say runner.address: a Ray of this run's own is one machine")
        local = self.address is not None and self.cpus
        require(not local, "runner.cpus", self.cpus, "0: the Ray at runner.address counts its own")
