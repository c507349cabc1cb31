"""Arms side by side play one episode as long as they say the same, and each gets what it would have got alone."""

from __future__ import annotations

import pytest

import envs
from agents.agent import Agent
from agents.episode import Start
from agents.rollout import rollout
from agents.sampler import Generation
from agents.tiny_tokenizer import make_tokenizer
from conf.schema import TaskConfig

TOKENIZER = make_tokenizer()


class Diary(envs.TaskEnv):
    """Remembers what was said to it; ``!`` breaks it."""

    card = envs.TaskCard("say four words", turns=4, splits=("train",), source="generated")
    made, steps, closed = 0, 0, 0
    whims = iter(())

    def __init__(self):
        super().__init__()
        Diary.made += 1

    def size(self, split):
        return 10

    def source(self, split):
        return "generated"

    def _begin(self, split, index):
        self.said = [f"item {index}"]
        return envs.Start(self.said[0], item_id=self.said[0])

    def _act(self, action):
        if action == "!":
            raise OSError("it fell down")
        Diary.steps += 1
        self.said.append(action + next(Diary.whims, ""))
        return envs.Transition(" ".join(self.said), {"outcome": len(set(self.said)) / 40 if len(self.said) == 5 else 0})

    def close(self):
        Diary.closed += 1


class Speaker:
    """Variant v says what ``lines[v]`` has for its turn."""

    def __init__(self, lines):
        self.lines, self.turn = lines, 0

    def generate(self, requests, sampling):
        answers = [TOKENIZER.encode(self.lines[request.variant][self.turn]) for request in requests]
        self.turn += 1
        return [Generation(ids, [-0.5] * len(ids), [0.1] * len(ids), truncated=False) for ids in answers]


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    for name in ("made", "steps", "closed"):
        monkeypatch.setattr(Diary, name, 0)


def play(lines, variants, items=(3,), **changes):
    task = TaskConfig(name="diary", env_id="-", prompt="qa", max_turns=4, max_prompt_tokens=200, **changes)
    agent = Agent(TOKENIZER, task)
    starts = [Start("train", item, group, 0, 7 + group, v) for v in variants for group, item in enumerate(items)]
    return rollout(starts, Diary, agent, Speaker(lines), agent.sampling(1.0), 4)


SAME, LATE, EARLY = ["a", "b", "c", "d"], ["a", "b", "x", "d"], ["y", "b", "c", "d"]


@pytest.mark.parametrize("history", ["window:0", "chat"])
def test_episodes_that_part_are_what_they_are_alone(history):
    lines = [SAME, LATE, SAME, EARLY, LATE]
    together = play(lines, range(5), history=history)
    made = Diary.made
    alone = [play(lines, [variant], history=history)[0] for variant in range(5)]
    assert together == alone
    assert [episode.turns[-1].observation for episode in together[:2]] == ["item 3 a b c", "item 3 a b x"]
    assert (made, Diary.made) == (3, 3 + 5)


def test_what_is_the_same_is_played_once_and_every_world_is_closed():
    play([SAME] * 6, range(6), items=(1, 2))
    assert (Diary.made, Diary.steps, Diary.closed) == (2, 8, 2)
    play([SAME, LATE], range(2))
    assert (Diary.made, Diary.steps, Diary.closed) == (4, 8 + 4 + 2 + 2, 4)


def test_samples_of_one_variant_have_an_environment_each():
    task = TaskConfig(name="diary", env_id="-", prompt="qa", max_prompt_tokens=200)
    agent = Agent(TOKENIZER, task)
    starts = [Start("train", 3, 0, sample, sampling_seed=sample) for sample in range(4)]
    rollout(starts, Diary, agent, Speaker([SAME]), agent.sampling(1.0), 4)
    assert (Diary.made, Diary.steps) == (4, 16)


def test_an_environment_that_breaks_takes_those_that_broke_it():
    episodes = play([SAME, ["a", "!"], SAME, ["a", "!"]], range(4))
    assert [episode.status for episode in episodes] == ["truncated", "env_error"] * 2
    assert episodes[3].error == "OSError: it fell down"


def test_an_environment_that_is_not_deterministic_costs_the_episode_that_left(monkeypatch):
    monkeypatch.setattr(Diary, "whims", iter(["", "", "?"]))
    episodes = play([SAME, LATE], range(2))
    assert episodes[0] == play([SAME], [0])[0]
    assert episodes[1].status == "env_error"
    assert "the same actions led elsewhere when played again" in episodes[1].error
