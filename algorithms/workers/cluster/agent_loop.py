"""verl's agent loop with our tasks and our agents in it: an episode, one row per turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from agents.agent import Agent
from agents.episode import Episode, Start
from agents.models import load_tokenizer
from agents.rollout import Player
from agents.world import MakeEnv, World, make_env_of, step
from algorithms.workers.cluster.asking import ask
from algorithms.workers.cluster.hosts import hosted
from algorithms.workers.cluster.rows import LOST, fields_of, head_of
from algorithms.workers.cluster.waiting import in_time
from conf.schema import TaskConfig

T = TypeVar("T")

THREADS = 256
"""Environments that may think, or hang, at the same time in one process."""
BUILD_S = 120
"""Seconds that building an environment may take, as in ``envs.pool``."""


class Table:
    """What the episodes of one process share: the task, the agent, where environments come from."""

    def __init__(self, task: TaskConfig, model_path: str, step_timeout_s: float) -> None:
        """Read the tokenizer; environments are made when episodes begin."""
        self.task, self.agent = task, Agent(load_tokenizer(Path(model_path)), task)
        self.make_env: MakeEnv = hosted(task, step_timeout_s) if task.processes else make_env_of(task)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="environment")
        queue = ("runner.step_timeout_s", step_timeout_s)  # a host minds task.timeout_s itself, from a call's turn on
        self.begin_limit = queue if task.processes else (f"task.timeout_s + {BUILD_S}", task.timeout_s + BUILD_S)
        self.step_limit = queue if task.processes else ("task.timeout_s", task.timeout_s)

    async def run(self, what: str, limit: tuple[str, float], call: Callable[[], T]) -> T:
        """Call an environment beside the others, for as long as it may take: a setting's name, and seconds."""
        answer = asyncio.get_running_loop().run_in_executor(self.threads, call)
        return await in_time(what, *limit, answer)


@cache
def table_of(task: str, model_path: str, step_timeout_s: float) -> Table:
    """The table of this process; ``task`` is its configuration as JSON."""
    config = OmegaConf.merge(OmegaConf.structured(TaskConfig), json.loads(task))
    return Table(OmegaConf.to_object(config), model_path, step_timeout_s)  # type: ignore[arg-type]


class TaskAgentLoop(AgentLoopBase):
    """One episode. Whatever breaks in it ends it as lost, by name; it never raises for that, and always ends."""

    async def run(self, sampling_params: dict[str, Any], **sample: Any) -> list[AgentLoopOutput]:  # type: ignore[override]
        """Play the episode that ``sample`` names and return its turns; of a lost one nothing but a note.

        Args:
            sampling_params: verl's; the temperature is taken from it.
            sample: ``uid``, ``session_id`` and what ``LayerTrainer`` put into the batch.
        """
        config: DictConfig = self.config
        task = json.dumps(OmegaConf.to_container(config.onelayer.task))
        table = table_of(task, config.actor_rollout_ref.model.path, config.onelayer.runner.step_timeout_s)
        member = int(sample["session_id"])
        start = Start(**json.loads(sample["start"])[member])
        episode = await self._play(table, start, float(sampling_params["temperature"]))
        if episode.status == "env_error" or not episode.turns:
            note = json.dumps(head_of(episode))
            await tq.async_kv_put(key=f"{sample['uid']}_{member}", partition_id=LOST, tag={"episode": note})
            return []
        return [self._row(episode, number) for number in range(len(episode.turns))]

    async def _play(self, table: Table, start: Start, temperature: float) -> Episode:
        player, agent, task = Player(start), table.agent, table.task
        sampling, engine = agent.sampling(temperature), self.rollout_config.name
        limit_s = self.config.onelayer.runner.answer_timeout_s
        try:
            world = await table.run(f"reset of {start}", table.begin_limit, lambda: World(table.make_env, start))
        except Exception as error:  # a task may be anybody's code and raise anything
            player.lose(error)
            return player.episode
        player.reset(world, agent)
        for turn in range(task.max_turns):
            player.read(agent)
            if not player.playing:
                break
            name = f"{start.split}-{start.index}-{start.group}-{start.sample}"
            try:
                generation = await ask(
                    self.server_manager, name, player.request(turn, agent), sampling, engine, limit_s
                )
                text = agent.action(generation.response_ids)
                (outcome,) = await table.run(f"step of {start}", table.step_limit, partial(step, [world], [text]))
            except Exception as error:  # as above, and a server may die: the step goes on without this episode
                player.lose(error)
                break
            player.act(generation, text, outcome)
        player.cut_off()
        table.threads.submit(world.close)
        return player.episode

    def _row(self, episode: Episode, number: int) -> AgentLoopOutput:
        turn = episode.turns[number]
        return AgentLoopOutput(
            prompt_ids=turn.prompt_ids,
            response_ids=turn.response_ids,
            response_mask=[1] * len(turn.response_ids),
            response_logprobs=turn.logprobs,
            reward_score=episode.total_reward,
            num_turns=len(episode.turns),
            metrics=AgentLoopMetrics(),
            extra_fields=fields_of(episode, number) | {"reward_extra_info": {}},
        )
