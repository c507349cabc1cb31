"""What ``metrics.jsonl`` says of one step of one arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from agents.episode import Episode
from algorithms.advantages import zero_variance_share
from algorithms.batch import Batch
from algorithms.similarity import anchor_statistics


def step_metrics(
    episodes: Sequence[Episode],
    batch: Batch,
    update: Mapping[str, float],
    seconds: Mapping[str, float],
    anchor_similarity: float | None,
) -> dict[str, float]:
    """Return the metrics of a step, but for those that are not about its episodes, its update or its time.

    Args:
        episodes: All that were played.
        batch: Their rows.
        update: What the worker says of the update.
        seconds: The arm's share of the time, by phase; ``generate`` among them.
        anchor_similarity: As in the algorithm's configuration.
    """
    played = [episode for episode in episodes if episode.status != "env_error"]
    turns = [turn for episode in played for turn in episode.turns]
    tokens = sum(len(turn.response_ids) for turn in turns)
    entropy = sum(sum(turn.entropies) for turn in turns) / tokens
    names = sorted({name for turn in turns for name in turn.reward_terms})
    return {
        "reward": float(np.nanmean(batch.return_N)),
        **{f"reward/{name}": sum(t.reward_terms.get(name, 0.0) for t in turns) / len(played) for name in names},
        "success": float(np.mean([episode.success for episode in played])),
        "zero_variance_groups": zero_variance_share(batch.return_N, batch.group_N),
        "truncated": float(np.mean([turn.truncated for turn in turns])),
        "turns": len(turns) / len(played),
        "malformed": float(np.mean([not turn.well_formed for turn in turns])),
        "inadmissible": float(np.mean([turn.well_formed and not turn.valid for turn in turns])),
        **anchor_statistics(batch.group_B, batch.anchor_B, anchor_similarity),
        "env_errors": len(episodes) - len(played),
        "response_tokens": tokens / len(turns),
        **({"entropy": entropy} if isfinite(entropy) else {}),  # not every server tells
        **({"kl": update["kl_loss"]} if "kl_loss" in update else {}),  # from the starting model, k3
        "old_policy_kl": update.get("actor/ppo_kl", 0.0),
        "clip_fraction": update.get("actor/pg_clipfrac", 0.0),
        "loss": update.get("loss", 0.0),
        "grad_norm": update.get("grad_norm", 0.0),
        **{f"seconds/{phase}": value for phase, value in seconds.items()},
        "seconds": sum(seconds.values()),
        "tokens_per_second": tokens / seconds["generate"],
    }
