"""The shape of every configuration: one dataclass per folder of ``conf/``, checked by Hydra when a run is composed."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from conf.checks import ConfigError as ConfigError
from conf.checks import named, positive, require
from conf.planned import PlanConfig
from conf.runners import RunnerConfig


@dataclass
class TaskConfig:
    """``conf/task``: which environment, how its prompts look, how long answers may be."""

    name: str = MISSING
    """What folders and reports call it, e.g. ``math`` or ``math/gsm8k``."""
    env_id: str = MISSING
    """The Gymnasium id, e.g. ``onelayer/math-v0``."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of the environment's constructor."""
    reward_weights: dict[str, float] = field(default_factory=lambda: {"outcome": 1.0})
    """Weight of each reward term; a term without a weight counts 0."""
    train_split: str = "train"
    eval_split: str = "test"
    prompt: str = "chat"
    """Prompt profile: ``qa``, ``bare``, ``chat``, ``compact`` or ``verl_agent``."""
    instruction: str = ""
    history: str = "window:0"
    """``window:<k>``: each turn has its own prompt with the last k turns; ``chat``: one conversation that grows."""
    show_admissible: bool = False
    """Name the admissible actions in the prompt."""
    remember_invalid: bool = True
    """Off: a turn whose action was invalid leaves the next prompt as it was."""
    processes: int = 0
    """Worker processes that hold the environments; 0: they live in this process."""
    timeout_s: float = 60.0
    """Seconds one call of an environment in a worker process may take before the process is killed."""
    max_turns: int = 1
    max_prompt_tokens: int = 512
    max_response_tokens: int = 512
    stop: list[str] = field(default_factory=list)
    """Texts that end an answer; each must be contained in a single token of the model's vocabulary."""
    tiny_learning_rate: float = 2e-4
    """The rate of ``model=tiny``, which is made for each task; chosen on the full arm, used for every arm."""
    max_env_error_share: float = 0.1
    """A step that loses a larger share of its episodes to broken environments fails."""

    def __post_init__(self) -> None:
        positive(self, "task.", "max_turns", "max_prompt_tokens", "max_response_tokens")
        require(self.processes >= 0, "task.processes", self.processes, "0 (none) or more")
        require(0 < self.timeout_s < inf, "task.timeout_s", self.timeout_s, "seconds, more than 0")
        share = self.max_env_error_share
        require(0 <= share <= 1, "task.max_env_error_share", share, "in [0, 1]")
        rate = self.tiny_learning_rate
        require(0 < rate <= 1, "task.tiny_learning_rate", rate, "in (0, 1]")
        for term, weight in self.reward_weights.items():
            require(0 <= weight < inf, f"task.reward_weights.{term}", weight, "0 or more")
        named(self.name.replace("/", "-"), "task.name")


@dataclass
class ModelConfig:
    """``conf/model``: where the weights come from."""

    name: str = MISSING
    path: str | None = None
    """A local folder in Hugging Face format; tried first."""
    hub_id: str | None = None
    """A Hugging Face repository; tried when there is no ``path``."""
    revision: str | None = None
    embedded: str | None = None
    """A source that needs no hub: ``smollm2_wheel`` or ``tiny_recipe``; tried last."""
    n_blocks: int | None = None
    """Number of decoder blocks, checked against the weights; null: whatever the weights have."""
    learning_rate: float = 1e-5
    """One rate for every arm of a study, chosen for this model."""
    shape: dict[str, Any] = field(default_factory=dict)
    """What its ``config.json`` says of its size; read by ``--plan`` where no such file is at hand, by nothing else."""
    lora_rank: int = 0
    """Train low-rank adapters inside the chosen blocks in place of their weights; 0: the weights."""

    def __post_init__(self) -> None:
        require(self.lora_rank >= 0, "model.lora_rank", self.lora_rank, "0 or more")
        named(self.name, "model.name")


@dataclass
class AlgorithmConfig:
    """``conf/algorithm``: the update. Names follow the papers and verl."""

    name: str = MISSING
    advantage: str = "grpo"
    """The advantage function, one of ``algorithms.estimators.ESTIMATORS``."""
    groups_per_step: int = 8
    """Prompts per step."""
    group_size: int = 8
    """Answers per prompt."""
    normalize_std: bool = True
    """Divide a group's advantages by their standard deviation (GRPO) or not (Dr. GRPO)."""
    gamma: float = 0.95
    """GiGPO: discount of the rewards that follow a turn, in the return of that turn."""
    step_weight: float = 1.0
    """GiGPO: weight of the step advantage beside the episode's; omega in the paper, 0 is GRPO."""
    episode_statistics: str = "trajectories"
    """GiGPO: take a group's mean and deviation over ``trajectories`` (the paper) or ``rows`` (the published code)."""
    anchor_similarity: float | None = None
    """GiGPO: states whose word counts have at least this cosine count as one; null: equal states only."""
    loss_agg_mode: str = "token-mean"
    """How token losses become one number; verl's names."""
    clip_ratio: float = 0.2
    kl_coef: float = 0.0
    """Weight of the k3 divergence from the starting model in the loss; above 0 a reference model is kept."""
    entropy_coef: float = 0.0
    updates_per_step: int = 1
    """Optimizer steps per batch of rollouts: its rows are cut into as many parts."""
    learning_rate: float = MISSING
    single_block_learning_rate: float | None = None
    """Another rate for arms that train some blocks only; null: the same rate for every arm."""
    adam_betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip_grad: float = 1.0
    temperature: float = 1.0
    old_log_probs: str = "rollout"
    """``rollout``: those of the sampled tokens; ``recompute``: one more forward pass of the trainer."""
    drop_zero_advantage: bool = True
    """Leave rows whose gradient is exactly zero out of the pass; the normaliser still counts them."""

    def __post_init__(self) -> None:
        positive(self, "algorithm.", "groups_per_step", "updates_per_step")
        require(self.group_size >= 2, "algorithm.group_size", self.group_size, "a group of one has no advantage; >= 2")
        rows, updates = self.groups_per_step * self.group_size, self.updates_per_step
        require(updates <= rows, "algorithm.updates_per_step", updates, f"at most groups x size = {rows}")
        modes = ("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean")
        require(self.loss_agg_mode in modes, "algorithm.loss_agg_mode", self.loss_agg_mode, ", ".join(modes))
        require(0 <= self.gamma <= 1, "algorithm.gamma", self.gamma, "in [0, 1]")
        statistics = ("trajectories", "rows")
        given = self.episode_statistics
        require(given in statistics, "algorithm.episode_statistics", given, ", ".join(statistics))
        cosine = self.anchor_similarity
        require(cosine is None or 0 < cosine <= 1, "algorithm.anchor_similarity", cosine, "null, or in (0, 1]")
        for name in ("gamma", "step_weight", "episode_statistics", "anchor_similarity"):
            unread = self.advantage == "grpo" and getattr(self, name) != getattr(AlgorithmConfig, name)
            require(not unread, f"algorithm.{name}", getattr(self, name), "advantage=grpo does not read it")
        sources = ("rollout", "recompute")
        require(self.old_log_probs in sources, "algorithm.old_log_probs", self.old_log_probs, ", ".join(sources))
        require(0 < self.temperature < inf, "algorithm.temperature", self.temperature, "sampling needs one > 0")
        for name in ("kl_coef", "entropy_coef", "weight_decay", "step_weight"):
            value = getattr(self, name)
            require(0 <= value < inf, f"algorithm.{name}", value, "0 or more")
        for name in ("clip_ratio", "clip_grad"):
            value = getattr(self, name)
            require(0 < value < inf, f"algorithm.{name}", value, "more than 0")
        for name in ("learning_rate", "single_block_learning_rate"):
            rate = getattr(self, name)
            require(rate is None or rate == MISSING or 0 < rate <= 1, f"algorithm.{name}", rate, "in (0, 1]")
        betas = self.adam_betas
        require(len(betas) == 2 and all(0 <= b < 1 for b in betas), "algorithm.adam_betas", betas, "two, in [0, 1)")
        named(self.name, "algorithm.name")


@dataclass
class EvaluationConfig:
    """The fixed panel that every arm of a study is scored on, before and after training."""

    items: int = 64
    samples: int = 4
    temperature: float = 1.0
    seed: int = 0
    every: int = 0
    """Also evaluate every so many steps; 0: only before and after."""
    greedy: bool = True
    """Before and after training also play every item once, greedily."""

    def __post_init__(self) -> None:
        positive(self, "evaluation.", "items", "samples")
        require(0 <= self.temperature < inf, "evaluation.temperature", self.temperature, "0 (greedy) or more")
        require(self.every >= 0, "evaluation.every", self.every, "0 (never) or more")


@dataclass
class TrackerConfig:
    """``conf/tracker``: where progress is shown, besides ``metrics.jsonl``."""

    name: str = MISSING
    project: str = "onelayer"
    mode: str = "offline"
    """W&B mode: ``offline``, ``online`` or ``disabled``."""
    entity: str | None = None

    def __post_init__(self) -> None:
        modes = ("offline", "online", "disabled")
        require(self.mode in modes, "tracker.mode", self.mode, ", ".join(modes))
        require(self.name in (MISSING, "console", "wandb"), "tracker.name", self.name, "console, wandb")


@dataclass
class Config:
    """One cell of a study: task x model x algorithm x layer x seed."""

    task: TaskConfig = field(default_factory=TaskConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    runner: RunnerConfig = field(default_factory=RunnerConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    layer: Any = "mid:1"
    """What trains: ``base``, ``full``, a block number, ``[7,8]``, ``mid:k``, ``random:k``, and, as a finished study
    has it, ``best:k``, ``worst:k``, ``boost:k``; ``all``: every arm."""
    layer_study: str | None = None
    """The finished study, or its folder of one algorithm, that ``best:k`` and its like read; null: the cell's own."""
    seed: int = 0
    steps: int = 30
    study: str = "default"
    runs_dir: str = "runs"
    checkpoint_every: int = 10

    def __post_init__(self) -> None:
        positive(self, "", "checkpoint_every")
        require(self.steps >= 1, "steps", self.steps, "at least 1; for the untrained model say layer=base")
        longest = self.task.max_prompt_tokens + self.task.max_response_tokens
        passes = self.runner.max_tokens_per_pass
        require(passes >= longest, "runner.max_tokens_per_pass", passes, f"one row may have {longest} tokens")
        named(self.study, "study")
        require(self.runs_dir != "", "runs_dir", "''", "a folder")


GROUPS: dict[str, type] = {
    "task": TaskConfig,
    "model": ModelConfig,
    "algorithm": AlgorithmConfig,
    "runner": RunnerConfig,
    "tracker": TrackerConfig,
    "plan": PlanConfig,
}


def register() -> None:
    """Tell Hydra about the schema; ``conf/config.yaml`` builds on it, so every key is checked."""
    ConfigStore.instance().store(name="schema", node=Config)
