"""Tokens, floating-point operations and seconds of a cell: a small model, not a simulation.

Symbols and units:

    E    episodes of a step: groups x answers per group            P, R  mean tokens of a prompt, of an answer
    U    mean turns of an episode; a row is one turn               N     parameters of the model
    N_up those from the lowest block that trains to the head       N_t   those that train
    b    bytes of a number in which is computed (2 or 4)           k     numbers a token leaves in the cache

    tokens      U E (P + R); the local runner reads a prompt once for all of its answers, where there is one turn
    generate    2 N tokens operations, and the weights and the cache are read once per token of an answer for all
                episodes that generate together: max(operations / speed, bytes / bandwidth)
    update      (2 N + 2 N_up + 2 N_t) tokens: forward, gradients of activations, gradients of weights
    gradient checkpointing: 2 N_up tokens more, of the blocks
    old log-probs where they are recomputed, reference where kl_coef > 0: 2 N tokens each

2 operations per weight and token: Kaplan et al. 2020, arXiv 2001.08361, section 2.1, the formula of
``evaluation.report.costs``. Left out: attention's own products, loading, environments, and what other shortcuts
save. Ranks are taken to share the work evenly, at no cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.budget.sizes import Sizes
from conf.schema import Config, PlanConfig
from evaluation.report.costs import flops


@dataclass(frozen=True)
class Play:
    """Episodes that are played: tokens read and written, and how often every weight is read for it."""

    episodes: int
    turns: int
    prompt: int
    response: int
    prompts_read: int
    """Prompts that go through the model, once for answers that share one."""
    at_once: int
    """Episodes that generate together."""

    @property
    def rows(self) -> int:
        """Turns of all episodes."""
        return self.episodes * self.turns

    @property
    def tokens(self) -> int:
        """Tokens that go through the model once when playing, and once more when training on what was played."""
        return self.prompts_read * self.prompt + self.rows * self.response

    @property
    def waves(self) -> int:
        """Times that one more token is written, each for ``at_once`` episodes."""
        return self.turns * self.response * -(-self.episodes // self.at_once)


@dataclass(frozen=True)
class Trained:
    """What trains: ``blocks`` of the model, or everything."""

    blocks: tuple[int, ...]
    everything: bool = False


def step_play(config: Config) -> Play:
    """The episodes of a training step."""
    algorithm = config.algorithm
    return _play(config, algorithm.groups_per_step * algorithm.group_size, algorithm.group_size)


def panel_play(config: Config) -> Play:
    """The episodes of one evaluation, greedy ones not among them."""
    return _play(config, config.evaluation.items * config.evaluation.samples, config.evaluation.samples)


def _play(config: Config, episodes: int, alike: int) -> Play:
    plan, task = config.plan, config.task
    turns = plan.turns or task.max_turns
    shared = alike if config.runner.name == "local" and config.runner.shortcuts and turns == 1 else 1
    return Play(
        episodes,
        turns,
        plan.prompt_tokens or task.max_prompt_tokens,
        plan.response_tokens or task.max_response_tokens,
        episodes * turns // shared,
        min(episodes, config.runner.rollout_batch),
    )


def play_s(sizes: Sizes, play: Play, plan: PlanConfig, bytes_per_number: int) -> float:
    """Seconds that one device generates for."""
    operations = 2 * sizes.total * play.tokens / (plan.peak_tflops * 1e12 * plan.share_of_peak)
    context = play.at_once * (play.prompt + play.response / 2)
    read = play.waves * bytes_per_number * (sizes.total + sizes.cached * context)
    return max(operations, read / (plan.bandwidth_gb_s * 1e9 * plan.share_of_bandwidth))


def update_s(sizes: Sizes, trained: Trained, config: Config) -> float:
    """Seconds of a step's update on one device, the log-probs that it needs among them; 0 where nothing trains."""
    if not trained.blocks:
        return 0.0
    tokens = step_play(config).tokens
    by_block: dict[int | None, int] = {**dict.fromkeys(range(sizes.n_blocks), sizes.block), None: sizes.rest}
    total = flops(by_block, trained.blocks, trained.everything, 0, tokens)
    if config.runner.gradient_checkpointing:
        lowest = 0 if trained.everything else min(trained.blocks)
        total += 2 * (sizes.n_blocks - lowest) * sizes.block * tokens
    scored = (config.algorithm.old_log_probs == "recompute") + (config.algorithm.kl_coef > 0)
    total += scored * flops(by_block, trained.blocks, trained.everything, tokens, 0)
    return total / (config.plan.peak_tflops * 1e12 * config.plan.share_of_peak)


def cell_s(sizes: Sizes, trained: Trained, config: Config, bytes_per_number: int, *, done: int = 0) -> float:
    """Device seconds of a cell of which ``done`` steps are taken: its other steps, and its evaluations.

    All of its evaluations: which of them are already on disk costs little to forget.
    """
    plan, panel, evaluation = config.plan, panel_play(config), config.evaluation
    once = play_s(sizes, panel, plan, bytes_per_number)
    greedy = play_s(sizes, _play(config, evaluation.items, 1), plan, bytes_per_number) if evaluation.greedy else 0.0
    if not trained.blocks:
        return once + greedy
    left = max(config.steps - done, 0)
    between = (config.steps - 1) // evaluation.every if evaluation.every else 0
    step = play_s(sizes, step_play(config), plan, bytes_per_number) + update_s(sizes, trained, config)
    return left * step + 2 * (once + greedy) + between * once


def makespan_s(cells: Sequence[tuple[int, float]], devices: int) -> float | None:
    """Seconds until the last of some cells is done, each on as many devices as it has ranks.

    Longest first, each as soon as enough devices are free (Graham 1969: within a third of the best there is where every
    cell has one rank).

    Args:
        cells: Of each its ranks and the seconds that they take together, working side by side.
        devices: How many there are.

    Returns:
        None where a cell has more ranks than there are devices.
    """
    free = [0.0] * devices
    for ranks, seconds in sorted(cells, key=lambda cell: (-cell[0], -cell[1])):
        if ranks > devices:
            return None
        free.sort()
        end = free[ranks - 1] + seconds
        free[:ranks] = [end] * ranks
    return max(free)
