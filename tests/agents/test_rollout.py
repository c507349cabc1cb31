"""Rollouts: many episodes side by side, each at its own cost and from its own seed."""

import pytest

import envs
from agents.agent import Agent, PromptTooLongError
from agents.episode import Episode, Start
from agents.rollout import rollout
from agents.sampler import Generation
from agents.seeding import seed_of
from agents.tiny_tokenizer import make_tokenizer
from conf.schema import TaskConfig

TOKENIZER = make_tokenizer()


class CountDown(envs.TaskEnv):
    """Item n begins at n; ``-`` takes one off; 0 is the goal. ``!`` breaks the environment, item 9 never begins."""

    card = envs.TaskCard("count down to nought", turns=4, splits=("train",), source="generated")
    reward_terms = ("outcome", "format")
    closed = 0

    def size(self, split):
        return 10

    def source(self, split):
        return "generated"

    def _begin(self, split, index):
        if index == 9:
            raise OSError("no such simulator")
        self.left = index
        return envs.Start(str(self.left), item_id=f"from {index}", anchor=f"left={index}")

    def _act(self, action):
        if action == "!":
            raise RuntimeError("the simulator died")
        valid = action == "-"
        self.left -= valid
        done = self.left == 0
        terms = {"outcome": float(done), "format": 0.0 if valid else -1.0}
        return envs.Transition(
            str(self.left),
            terms,
            terminated=done,
            success=done,
            valid=valid,
            status="ok" if valid else "malformed",
            anchor=f"left={self.left}",
        )

    def close(self):
        CountDown.closed += 1


class Scripted:
    """A policy that answers from a script and remembers what it was asked."""

    def __init__(self, answer):
        self.answer, self.batches = answer, []

    def generate(self, requests, sampling):
        texts = [TOKENIZER.decode(request.prompt_ids) for request in requests]
        self.batches.append([(text, request.seed) for text, request in zip(texts, requests, strict=True)])
        answers = [TOKENIZER.encode(self.answer(text)) for text in texts]
        return [Generation(ids, [-0.5] * len(ids), [0.1] * len(ids), truncated=False) for ids in answers]


def start(index, group=0, sample=0):
    return Start("train", index, group, sample, sampling_seed=100 * group + sample)


def play(starts, answer=lambda text: "-\nand more", max_turns=4):
    task = TaskConfig(name="count", env_id="-", prompt="qa", stop=["\n"], max_prompt_tokens=40, max_turns=max_turns)
    policy = Scripted(answer)
    agent = Agent(TOKENIZER, task)
    make_env = lambda: CountDown({"outcome": 1.0, "format": 0.5})  # noqa: E731
    return rollout(starts, make_env, agent, policy, agent.sampling(1.0), task.max_turns), policy


def test_an_episode_is_its_turns():
    (episode,), _ = play([start(2)])
    assert (episode.status, episode.success, episode.item_id) == ("done", True, "from 2")
    assert (episode.outcome, episode.total_reward) == (1.0, 1.0)
    first, second = episode.turns
    assert (first.observation, first.anchor, first.text) == ("2", "left=2", "-")
    assert (second.observation, second.anchor, second.text) == ("1", "left=1", "-")
    assert TOKENIZER.decode(first.prompt_ids) == "Question: 2\nAnswer:"
    assert TOKENIZER.decode(first.response_ids) == "-\nand more"
    assert len(first.logprobs) == len(first.entropies) == len(first.response_ids)
    assert first.reward_terms == {"outcome": 0.0, "format": 0.0}
    assert second.reward_terms == {"outcome": 1.0, "format": 0.0}


def test_groups_play_in_one_batch_and_the_finished_leave_it():
    starts = [start(index, group, sample) for group, index in enumerate((1, 3)) for sample in range(2)]
    episodes, policy = play(starts)
    assert [episode.start for episode in episodes] == starts
    assert [len(episode.turns) for episode in episodes] == [1, 1, 3, 3]
    assert [len(batch) for batch in policy.batches] == [4, 2, 2]


def test_a_bad_action_costs_reward_and_a_status():
    (episode,), _ = play([start(1)], answer=lambda text: "what?")
    assert [turn.status for turn in episode.turns] == ["malformed"] * 4
    assert [turn.valid for turn in episode.turns] == [False] * 4
    assert (episode.total_reward, episode.outcome) == (-2.0, 0.0)


@pytest.mark.parametrize("max_turns", [2, 4])
def test_a_turn_limit_truncates(max_turns):
    (episode,), _ = play([start(8)], max_turns=max_turns)  # ours of 2 and the environment's own of 4
    assert (episode.status, len(episode.turns), episode.success) == ("truncated", max_turns, False)


def test_an_environment_that_raises_costs_only_its_own_episode():
    starts = [start(2), start(9, group=1), start(3, group=2), start(2, group=3)]
    episodes, _ = play(starts, answer=lambda text: "!" if "3" in text else "-")
    assert [episode.status for episode in episodes] == ["done", "env_error", "env_error", "done"]
    assert episodes[1].error == "OSError: no such simulator"
    assert episodes[2].error == "RuntimeError: the simulator died"
    undisturbed, _ = play([starts[0], starts[3]], answer=lambda text: "-")
    assert [episodes[0], episodes[3]] == undisturbed


def test_an_environment_that_breaks_late_is_an_error_too():
    (episode,), _ = play([start(2)], answer=lambda text: "!" if "1" in text else "-")
    assert (episode.status, len(episode.turns)) == ("env_error", 1)


def test_every_environment_is_closed_however_it_ended():
    CountDown.closed = 0
    starts = [start(index, group) for group, index in enumerate((1, 9, 8, 3))]
    play(starts, answer=lambda text: "!" if "3" in text else "-")
    assert CountDown.closed == 4


def test_a_sample_is_seeded_by_its_start_and_its_turn_alone():
    starts = [start(2, group, sample) for group in range(2) for sample in range(3)]
    _, together = play(starts)
    _, alone = play([starts[4]])
    assert [batch[4][1] for batch in together.batches] == [batch[0][1] for batch in alone.batches]
    assert [batch[0][1] for batch in alone.batches] == [seed_of(101, 0), seed_of(101, 1)]
    assert len({seed for batch in together.batches for _, seed in batch}) == 12


def test_an_environment_that_cannot_be_made_costs_only_its_own_episode():
    made = []

    def make_env():
        made.append(None)
        if len(made) == 2:
            raise OSError("no room for a second")
        return CountDown()

    task = TaskConfig(name="count", env_id="-", prompt="qa", stop=["\n"], max_prompt_tokens=40)
    agent, starts = Agent(TOKENIZER, task), [start(1, group) for group in range(3)]
    episodes = rollout(starts, make_env, agent, Scripted(lambda text: "-\n"), agent.sampling(1.0), task.max_turns)
    assert [episode.status for episode in episodes] == ["done", "env_error", "done"]


def test_environments_are_closed_when_the_policy_fails():
    def fail(text):
        raise MemoryError

    CountDown.closed = 0
    with pytest.raises(MemoryError):
        play([start(1), start(1, 1)], answer=fail)
    assert CountDown.closed == 2


def test_a_group_that_begins_in_different_states_is_refused():
    with pytest.raises(envs.ContractError, match=r"group 0 began in different states: .*reads '1', .*reads '3'"):
        play([start(1), start(3)])


def test_a_rollout_needs_a_start():
    with pytest.raises(ValueError, match="at least one start"):
        play([])


def test_seeds_have_names():
    assert seed_of("rollout", 0, 1) == seed_of("rollout", 0, 1) == 3240747121356223638
    assert len({seed_of("rollout", 0, step, member) for step in range(20) for member in range(20)}) == 400
    assert seed_of("a", "bc") != seed_of("ab", "c")
    assert all(0 <= seed_of(word) < 2**63 for word in range(100))


def agent_of(**changes):
    return Agent(TOKENIZER, TaskConfig(name="t", env_id="-", **changes))


def prompt_of(observation, **changes):
    agent = agent_of(**changes)
    return agent.prompt(agent.begin(observation, {}))


def test_the_profiles_of_a_prompt():
    asked = prompt_of("1 + 1?", prompt="qa", instruction="Be brief.")
    assert TOKENIZER.decode(asked) == "Be brief.\nQuestion: 1 + 1?\nAnswer:"
    asked = prompt_of("1 + 1?", prompt="chat", instruction="Be brief.")
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    assert TOKENIZER.decode(asked) == expected
    assert "system" not in TOKENIZER.decode(prompt_of("1 + 1?", prompt="chat"))


def test_an_unknown_profile_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match=r"task.prompt='essay' is unknown; valid: qa, chat"):
        agent_of(prompt="essay")


def test_a_prompt_too_long_is_refused_with_both_numbers():
    with pytest.raises(PromptTooLongError, match=r"a prompt of 2\d tokens exceeds task.max_prompt_tokens=20"):
        prompt_of("1 + 1 = ?", prompt="qa", max_prompt_tokens=20)


def test_an_action_is_the_text_before_the_first_stop():
    agent = agent_of(stop=["\n", ";"])
    assert agent.action(TOKENIZER.encode(" go; east\nnow")) == "go"
    assert agent.action(TOKENIZER.encode(" go east<|im_end|>")) == "go east"


def test_an_episode_without_turns_is_worth_nothing():
    assert (Episode(start(0)).outcome, Episode(start(0)).total_reward) == (0, 0)
