"""Many episodes of many groups, turn by turn, each turn of all of them in one batch."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agents.agent import Agent, PromptTooLongError
from agents.episode import Episode, Start, Turn
from agents.memory import Memory
from agents.sampler import Generation, Kept, Policy, Request, Sampling
from agents.seeding import seed_of
from agents.world import MakeEnv, World, step
from conf.errors import UserError
from conf.schema import TaskConfig
from envs import ContractError
from envs.dispatch import Outcome

log = logging.getLogger(__name__)


class EnvironmentsBrokenError(UserError, RuntimeError):
    """More episodes were lost to their environments than the task allows."""


def rollout(
    starts: Sequence[Start], make_env: MakeEnv, agent: Agent, policy: Policy, sampling: Sampling, max_turns: int
) -> list[Episode]:
    """Play one episode per start, of at most ``max_turns`` turns, and return them in that order.

    An environment that raises makes its own episode an ``env_error`` and no other's. Finished episodes leave the
    batch. Episodes of several variants with the same start share an environment for as long as they say the same,
    and its loss, if it is lost. The
    sample of a turn is seeded by the start's ``sampling_seed`` and the turn's number alone, and drawn by the
    policy's variant of the start. Environments in processes of their own are stepped side by side. Whether too many
    episodes were lost is for ``require_intact`` to say.

    Raises:
        ValueError: No starts.
        ContractError: Episodes of one group began differently, so they cannot be compared.
    """
    if not starts:
        raise ValueError("a rollout needs at least one start")
    players = [Player(start) for start in starts]
    try:
        _play(players, make_env, agent, policy, sampling, max_turns)
    finally:
        for world in {player.world for player in players if hasattr(player, "world")}:
            world.close()
    return [player.episode for player in players]


def require_intact(episodes: Sequence[Episode], task: TaskConfig) -> None:
    """Refuse episodes of one policy of which too many were lost.

    Raises:
        EnvironmentsBrokenError: A share above ``task.max_env_error_share`` was lost to its environments.
    """
    lost = [episode for episode in episodes if episode.status == "env_error"]
    if len(lost) > task.max_env_error_share * len(episodes):
        causes = "; ".join(sorted({episode.error for episode in lost})[:3])
        raise EnvironmentsBrokenError(
            f"{len(lost)} of {len(episodes)} episodes were lost to their environments "
            f"(task.max_env_error_share={task.max_env_error_share}): {causes}"
        )


def _play(
    players: Sequence[Player], make_env: MakeEnv, agent: Agent, policy: Policy, sampling: Sampling, max_turns: int
) -> None:
    worlds: dict[Start, World] = {}
    for player in players:
        start = replace(player.episode.start, variant=0)
        if start not in worlds:
            worlds[start] = World(make_env, start)
        player.reset(worlds[start], agent)
    _require_shared_starts(players)
    for turn in range(max_turns):
        for player in players:
            player.read(agent)
        playing = [player for player in players if player.playing]
        if not playing:
            break
        generations = policy.generate([player.request(turn, agent) for player in playing], sampling)
        texts = [agent.action(generation.response_ids) for generation in generations]
        outcomes = _step(playing, texts)
        for player, generation, text, outcome in zip(playing, generations, texts, outcomes, strict=True):
            player.act(generation, text, outcome)
            if not player.playing:
                player.kept = Kept()  # an episode that is over needs its keys no more
    for player in players:
        player.cut_off()


def _step(players: Sequence[Player], texts: Sequence[str]) -> list[Outcome]:
    """Take a turn: players who share a world and say the same stay together, others leave for worlds of their own."""
    worlds, occupied = dict[tuple[World, str], World](), set[World]()
    for player, text in zip(players, texts, strict=True):
        way = player.world, text
        if way not in worlds:
            worlds[way] = player.world.fork() if player.world in occupied else player.world
            occupied.add(player.world)
        player.world = worlds[way]
    outcomes = dict(zip(worlds.values(), step(list(worlds.values()), [text for _, text in worlds]), strict=True))
    return [outcomes[player.world] for player in players]


def _require_shared_starts(players: Sequence[Player]) -> None:
    """Members of a group are compared with each other, which means something only from one initial state."""
    first: dict[int, Player] = {}
    for player in (player for player in players if player.playing):
        other = first.setdefault(player.episode.start.group, player)
        if player.initial != other.initial:
            raise ContractError(
                f"group {player.episode.start.group} began in different states: {other.episode.start} reads "
                f"{other.initial[1]!r}, {player.episode.start} reads {player.initial[1]!r}; reset must be "
                "deterministic in (split, index, seed)"
            )


def _at_own_cost(method: Callable[..., None]) -> Callable[..., None]:
    """Skip players that have finished; what a task raises ends its own episode and is recorded there."""

    @functools.wraps(method)
    def guarded(self: Player, *args: Any) -> None:
        if not self.playing:
            return
        try:
            method(self, *args)
        except Exception as error:  # a task may be anybody's code and raise anything
            self.lose(error)

    return guarded


class Player:
    """One episode on its way: its world, what its agent remembers, what it has collected.

    ``reset``, then in every turn ``read``, ``request``, ``act`` for as long as it is ``playing``. What a task raises
    makes its episode an ``env_error``; a player who has finished does nothing more.
    """

    world: World
    memory: Memory

    def __init__(self, start: Start) -> None:
        """Before the first observation."""
        self.episode, self.playing, self.kept = Episode(start), True, Kept()
        self.observation, self.anchor, self.prompt_ids = "", "", list[int]()
        self.initial = ("", "", "")

    def lose(self, error: Exception) -> None:
        """End the episode because its environment, or what answers in it, broke."""
        self.playing = False
        self.episode.status, self.episode.error = "env_error", f"{type(error).__name__}: {error}"
        log.warning("%s lost: %s", self.episode.start, self.episode.error)

    def cut_off(self) -> None:
        """End an episode that has had all its turns."""
        if self.playing:
            self.playing, self.episode.status = False, "truncated"

    @_at_own_cost
    def reset(self, world: World, agent: Agent) -> None:
        """Take in what the world opened with."""
        self.world = world
        observation, info = world.opening.get()
        self.episode.item_id = str(info.get("item_id", ""))
        self.episode.task_type = str(info.get("task_type", ""))
        self._see(observation, info)
        self.initial = (self.episode.item_id, self.observation, self.anchor)
        self.memory = agent.begin(observation, info)

    @_at_own_cost
    def read(self, agent: Agent) -> None:
        """Word the prompt of the next turn."""
        try:
            self.prompt_ids = agent.prompt(self.memory)
        except PromptTooLongError:
            # A conversation grows until it is full: that ends the episode and is nobody's fault.
            if not (agent.converses and self.episode.turns):
                raise
            self.playing, self.episode.status = False, "truncated"

    def request(self, turn: int, agent: Agent) -> Request:
        """What to ask the policy in this turn."""
        start = self.episode.start
        kept = self.kept if agent.converses else None
        return Request(self.prompt_ids, seed_of(start.sampling_seed, turn), start.variant, kept)

    @_at_own_cost
    def act(self, generation: Generation, text: str, outcome: Outcome) -> None:
        """Record the turn: what was written, and what came of it."""
        turn = Turn(
            prompt_ids=self.prompt_ids,
            response_ids=generation.response_ids,
            logprobs=generation.logprobs,
            entropies=generation.entropies,
            truncated=generation.truncated,
            text=text,
            observation=self.observation,
            anchor=self.anchor,
        )
        observation, reward, terminated, truncated, info = outcome.get()
        turn.reward, turn.reward_terms = float(reward), dict(info["reward_terms"])
        turn.action, turn.status = str(info.get("action", turn.text)), str(info.get("status", "ok"))
        turn.valid = bool(info.get("valid", True))
        turn.well_formed = bool(info.get("well_formed", turn.status != "malformed"))
        self.episode.turns.append(turn)
        self.episode.success = bool(info["success"])
        self.playing = not (terminated or truncated)
        self.episode.status = "truncated" if truncated and not terminated else "done"
        if self.playing:
            self._see(observation, info)
            self.memory.record(turn.response_ids, turn.action, observation, info)

    def _see(self, observation: str, info: dict[str, Any]) -> None:
        self.observation, self.anchor = observation, str(info.get("anchor", observation))
