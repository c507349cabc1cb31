"""Episodes on their way through verl's queue: one row per turn, and what is in no row beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agents.episode import Episode, Start, Turn
from envs import ContractError

LOST = "lost"
"""The partition of the queue that tells of episodes without rows: lost ones, and any that never had a turn."""


def fields_of(episode: Episode, number: int) -> dict[str, Any]:
    """What a row carries beside its tokens: ``extra_fields`` of verl's agent loop output."""
    turn = asdict(episode.turns[number])
    for tokens in ("prompt_ids", "response_ids", "logprobs"):
        del turn[tokens]
    return {
        "anchor": turn.pop("anchor"),
        "step_reward": turn.pop("reward"),
        "valid": turn.pop("valid"),
        "trajectory": trajectory_of(episode.start),
        "turn": number,
        "told": turn,
        "episode": head_of(episode),
    }


def head_of(episode: Episode) -> dict[str, Any]:
    """The episode without its turns, in plain values."""
    head = {name: getattr(episode, name) for name in ("item_id", "task_type", "status", "success", "error")}
    return head | {"start": asdict(episode.start)}


def trajectory_of(start: Start) -> str:
    """The episode's name within its step."""
    return f"{start.group}-{start.sample}"


def episode_of(head: Mapping[str, Any]) -> Episode:
    """The inverse of ``head_of``."""
    return Episode(Start(**head["start"]), **{name: value for name, value in head.items() if name != "start"})


def turn_of(
    fields: Mapping[str, Any], prompt_ids: Sequence[int], response_ids: Sequence[int], logprobs: Sequence[float]
) -> Turn:
    """The inverse of ``fields_of``, with the row's tokens."""
    own = {"anchor": fields["anchor"], "reward": fields["step_reward"], "valid": fields["valid"]}
    return Turn(list(prompt_ids), list(response_ids), list(logprobs), **{**fields["told"], **own})


def assemble(
    starts: Sequence[Start], rows: Sequence[tuple[Mapping[str, Any], Turn]], lost: Sequence[Mapping[str, Any]]
) -> tuple[list[Episode], list[tuple[int, int]]]:
    """Put the rows of a step together again, in the order of its starts, whatever order they come in.

    Args:
        starts: All episodes that were begun.
        rows: ``extra_fields`` of each row, and its turn.
        lost: ``head_of`` each episode without rows.

    Returns:
        The episodes, and for each row its episode's place and its own place in it.

    Raises:
        ContractError: An episode neither arrived nor was reported lost, a turn is missing, or the episodes of a group
            began in different states.
    """
    place_of = {trajectory_of(start): place for place, start in enumerate(starts)}
    found: dict[int, Episode] = {place_of[trajectory_of(Start(**head["start"]))]: episode_of(head) for head in lost}
    turns: dict[int, dict[int, Turn]] = {}
    where = []
    for fields, turn in rows:
        place = place_of[fields["trajectory"]]
        found.setdefault(place, episode_of(fields["episode"]))
        turns.setdefault(place, {})[fields["turn"]] = turn
        where.append((place, fields["turn"]))
    if missing := [start for place, start in enumerate(starts) if place not in found]:
        raise ContractError(f"{len(missing)} of {len(starts)} episodes did not come back, e.g. {missing[0]}")
    for place, its in turns.items():
        if sorted(its) != list(range(len(its))):
            raise ContractError(f"of the episode {starts[place]} turns {sorted(its)} came back")
        found[place].turns = [its[number] for number in range(len(its))]
    episodes = [found[place] for place in range(len(starts))]
    _require_shared_starts(episodes)
    return episodes, where


def _require_shared_starts(episodes: Sequence[Episode]) -> None:
    """Members of a group are compared with each other, which means something only from one initial state."""
    first: dict[int, Episode] = {}
    for episode in episodes:
        if episode.status == "env_error" or not episode.turns:
            continue
        other = first.setdefault(episode.start.group, episode)
        states = [(one.item_id, one.turns[0].observation, one.turns[0].anchor) for one in (other, episode)]
        if states[0] != states[1]:
            raise ContractError(
                f"group {episode.start.group} began in different states: {other.start} reads {states[0][1]!r}, "
                f"{episode.start} reads {states[1][1]!r}; reset must be deterministic in (split, index, seed)"
            )
