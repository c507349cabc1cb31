"""The fixed panel: which items, which sampling seeds, and one row per attempt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from agents.agent import Agent
from agents.episode import Episode, Start
from agents.rollout import MakeEnv, require_intact, rollout
from agents.sampler import Policy
from agents.seeding import seed_of
from conf.schema import EvaluationConfig, TaskConfig
from evaluation.results import PanelRow

GREEDY = "greedy_"
"""Begins the name of a phase of greedy answers."""


def panel_items(task: TaskConfig, evaluation: EvaluationConfig, size: int) -> list[int]:
    """Choose the panel: ``evaluation.items`` indices of the evaluation split, the same in every arm of a study.

    Args:
        task: Names the split.
        evaluation: How many items, and the panel's own seed (training seeds do not touch it).
        size: Number of items in the split; a smaller split is taken whole.

    Raises:
        ValueError: The split or the panel is empty.
    """
    if size < 1 or evaluation.items < 1 or evaluation.samples < 1:
        raise ValueError(
            f"an evaluation needs items: split {task.eval_split!r} of {task.name} has {size}, "
            f"evaluation.items={evaluation.items}, evaluation.samples={evaluation.samples}"
        )
    if size <= evaluation.items:
        return list(range(size))
    draw = random.Random(seed_of("panel", task.name, task.eval_split, evaluation.seed))
    return sorted(draw.sample(range(size), evaluation.items))


def settings_of(phase: str, evaluation: EvaluationConfig) -> EvaluationConfig:
    """How a phase is played: a greedy one plays every item once, whatever the others do."""
    return replace(evaluation, samples=1, temperature=0.0) if phase.startswith(GREEDY) else evaluation


def play_panel(
    policy: Policy,
    agent: Agent,
    make_env: MakeEnv,
    task: TaskConfig,
    evaluation: EvaluationConfig,
    items: list[int],
    phase: str,
    variants: Sequence[int] = (0,),
) -> dict[int, list[Episode]]:
    """Play every panel item ``evaluation.samples`` times with each of the policy's variants, all in one rollout.

    The sampling seed of an attempt depends on panel seed, item and sample only, so all arms share their random numbers
    and differences between arms are paired. A phase that begins with ``greedy_`` plays every item once, greedily.

    Returns:
        The episodes of each variant, see ``panel_rows``.
    """
    evaluation = settings_of(phase, evaluation)
    starts = [
        Start(task.eval_split, item, group, sample, seed_of("panel", task.name, evaluation.seed, item, sample), variant)
        for variant in variants
        for group, item in enumerate(items)
        for sample in range(evaluation.samples)
    ]
    sampling = agent.sampling(evaluation.temperature)
    played: dict[int, list[Episode]] = {variant: [] for variant in variants}
    for episode in rollout(starts, make_env, agent, policy, sampling, task.max_turns):
        played[episode.start.variant].append(episode)
    return played


def panel_rows(phase: str, episodes: Sequence[Episode], task: TaskConfig) -> list[PanelRow]:
    """One row per attempt of one variant.

    Raises:
        EnvironmentsBrokenError: Too many episodes were lost to their environments.
    """
    require_intact(episodes, task)
    # An episode whose reset failed does not know its item; its siblings do.
    known = {episode.start.index: episode for episode in episodes if episode.item_id}
    return [_row(phase, episode, known.get(episode.start.index, episode)) for episode in episodes]


def _row(phase: str, episode: Episode, known: Episode) -> PanelRow:
    last = episode.turns[-1] if episode.turns else None
    names = {name for turn in episode.turns for name in turn.reward_terms}
    return PanelRow(
        phase=phase,
        item=episode.start.index,
        item_id=known.item_id,
        sample=episode.start.sample,
        outcome=float(episode.outcome),
        success=episode.success,
        status=episode.status,
        reward_terms={n: float(sum(turn.reward_terms.get(n, 0.0) for turn in episode.turns)) for n in sorted(names)},
        turns=len(episode.turns),
        tokens=sum(len(turn.response_ids) for turn in episode.turns),
        truncated=any(turn.truncated for turn in episode.turns),
        prompt=last.observation if last else "",
        answer=last.text if last else "",
        sampling_seed=episode.start.sampling_seed,
        task_type=known.task_type,
        malformed=sum(not turn.well_formed for turn in episode.turns),
        inadmissible=sum(turn.well_formed and not turn.valid for turn in episode.turns),
    )
