"""An episode in verl's agent loop is the episode that the local rollout plays; one that hangs ends by itself."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace

import gymnasium
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM

import envs
from agents.episode import Start
from agents.rollout import rollout
from agents.sampler import ModelPolicy
from agents.world import make_env_of
from algorithms.workers.cluster.agent_loop import Table, TaskAgentLoop
from algorithms.workers.cluster.server import HFServer
from conf import schema

STARTS = [Start("train", 3, 0, sample, sampling_seed=40 + sample) for sample in range(4)]


class Stuck(envs.TaskEnv):
    """Its items 1, 3 ... never answer."""

    card = envs.TaskCard("a word", turns=1, splits=("train", "test"), source="generated")

    def size(self, split):
        return 4

    def source(self, split):
        return "generated"

    def _begin(self, split, index):
        self.index = index
        return envs.Start("say a word", item_id=f"{split} {index}")

    def _act(self, action):
        if self.index % 2:
            threading.Event().wait(20)
        return envs.Transition("good", {"outcome": 1.0}, terminated=True, success=True)


@pytest.fixture
def play(tiny_words, tiny_path):
    """``play(starts, "task=...")``: episodes as verl's agent loops play them, on a server in this process."""
    schema.register()

    def of(starts, *words, **changes):
        with initialize_config_module("conf", version_base="1.3"):
            task = replace(OmegaConf.to_object(compose("config", [*tiny_words, *words])).task, **changes)
        loop = object.__new__(TaskAgentLoop)  # verl makes one per episode; of what it hands over this is read
        loop.config = OmegaConf.create({"onelayer": {"runner": {"answer_timeout_s": 60}}})
        loop.rollout_config = SimpleNamespace(name="hf_server")
        table = Table(task, str(tiny_path), 60.0)

        async def all_of_them():
            loop.server_manager = HFServer(str(tiny_path), "float32", threads=1, max_rows=64)
            return await asyncio.gather(*(loop._play(table, start, 1.0) for start in starts))

        return asyncio.run(all_of_them()), table

    return of


def test_a_household_is_played_as_the_local_rollout_plays_it(play, tiny_path):
    words = ["task=alfworld/small", "task.max_turns=3", "task.max_prompt_tokens=2000"]
    episodes, table = play(STARTS, *words)
    policy = ModelPolicy(AutoModelForCausalLM.from_pretrained(tiny_path).eval())
    local = rollout(STARTS, make_env_of(table.task), table.agent, policy, table.agent.sampling(1.0), 3)
    for mine, yours in zip(local, episodes, strict=True):
        assert (mine.start, mine.status, mine.item_id) == (yours.start, yours.status, yours.item_id)
        assert len(mine.turns) == len(yours.turns) == 3
        for ours, theirs in zip(mine.turns, yours.turns, strict=True):
            assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-5)
            assert theirs.entropies == pytest.approx(ours.entropies, abs=1e-5)
            theirs.logprobs, theirs.entropies = ours.logprobs, ours.entropies
            assert theirs == ours


def test_an_environment_that_hangs_costs_its_own_episode(play):
    gymnasium.register("stuck/word-v0", entry_point=Stuck)
    try:
        starts = [Start("train", index, index, 0, sampling_seed=index) for index in range(4)]
        own = {"name": "stuck", "env_id": "stuck/word-v0", "kwargs": {}, "reward_weights": {"outcome": 1.0}}
        episodes, _ = play(starts, timeout_s=0.5, **own)
    finally:
        del gymnasium.registry["stuck/word-v0"]
    assert [episode.status for episode in episodes] == ["done", "env_error", "done", "env_error"]
    assert "step of Start" in episodes[1].error
    assert "no answer within task.timeout_s=0.5 seconds" in episodes[1].error
