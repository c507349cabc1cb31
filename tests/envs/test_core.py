"""The reward interface and the episode's edges, on a task of a few lines."""

from __future__ import annotations

import pytest
from gymnasium.error import ResetNeeded

import envs
from envs.spaces import UnicodeText


class Doors(envs.TaskEnv):
    """Two doors in a row; the action is played as ``outcome,nudge``."""

    card = envs.TaskCard("two doors", turns=3, splits=("train", "test"), source="generated")
    reward_terms = ("outcome", "format", "nudge")
    reset_options = ("colour",)

    def size(self, split):
        return {"train": 4, "test": 2}[self.check_split(split)]

    def source(self, split):
        return "generated"

    def _begin(self, split, index, colour="red"):
        self.doors = f"{colour} door {split} {index} {self.np_random.integers(1000)}"
        return envs.Start(self.doors, item_id=f"{split}-{index}", admissible=["open", "wait"])

    def _act(self, action):
        try:
            outcome, nudge = map(float, action.split(","))
        except ValueError:
            return envs.Transition(self.doors, {"format": -1.0}, valid=False, status="malformed")
        return envs.Transition("open", {"outcome": outcome, "nudge": nudge}, success=outcome > 0, anchor="door")


def test_doors_keeps_the_contract():
    envs.check_task(Doors, items=2)


def test_reward_is_the_weighted_sum_and_a_term_without_weight_counts_nothing():
    env = Doors(reward_weights={"outcome": 2.0, "nudge": 0.5})
    env.reset(seed=0)
    assert env.step("0.25,-1")[1] == 2.0 * 0.25 - 0.5
    _, reward, terminated, truncated, info = env.step("nonsense")
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["reward_terms"] == {"outcome": 0.0, "format": -1.0, "nudge": 0.0}
    assert (info["status"], info["valid"], info["success"]) == ("malformed", False, False)


def test_unknown_reward_weight_names_the_terms():
    with pytest.raises(ValueError, match="outcome, format, nudge"):
        Doors(reward_weights={"nugde": 1.0})


@pytest.mark.parametrize("action", ["1.5,0", "-0.5,0", "nan,0", "0,0.5", "0,-2", "0,nan"])
def test_a_reward_out_of_range_is_loud(action):
    env = Doors()
    env.reset(seed=0)
    with pytest.raises(envs.ContractError):
        env.step(action)
    with pytest.raises(ResetNeeded):
        env.step("0,0")


def test_outcome_sums_over_the_episode():
    env = Doors()
    env.reset(seed=0)
    env.step("0.75,0")
    with pytest.raises(envs.ContractError, match=r"sums to 1\.5"):
        env.step("0.75,0")


def test_an_undeclared_term_is_loud(monkeypatch):
    env = Doors()
    env.reset(seed=0)
    monkeypatch.setattr(env, "_act", lambda action: envs.Transition("", {"bonus": 0.0}))
    with pytest.raises(envs.ContractError, match="bonus"):
        env.step("0,0")


def test_too_long_keeps_the_state_and_costs_the_format_term():
    env = Doors(reward_weights={"format": 1.0})
    observation, start = env.reset(seed=0)
    after, reward, *_, info = env.step("\U0001f642" * (env.max_action_length + 1))
    assert (after, reward, info["status"], info["valid"]) == (observation, -1.0, "too_long", False)
    assert (info["anchor"], info["admissible"]) == (start["anchor"], start["admissible"])


def test_the_turn_limit_truncates_and_the_end_is_the_end():
    env = Doors()
    env.reset(seed=0)
    ends = [env.step("0,0")[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(ResetNeeded, match="over or has not begun"):
        env.step("0,0")


def test_reset_is_deterministic_in_split_index_seed():
    options = {"split": "test", "index": 1}
    first = Doors().reset(seed=5, options=options)
    assert Doors().reset(seed=5, options=options) == first
    assert Doors().reset(seed=6, options=options) != first


def test_reset_options():
    env = Doors()
    assert env.reset(seed=0)[1]["split"] == "train"
    assert env.reset(options={"colour": "blue", "index": 2})[0].startswith("blue door train 2")
    for options, message in [
        ({"split": "dev"}, "valid: train, test"),
        ({"index": 4}, "it has 4 items"),
        ({"split": "test", "index": -1}, "it has 2 items"),
        ({"indx": 1}, "valid: split, index, colour"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.reset(options=options)


def test_an_action_is_a_string():
    env = Doors()
    env.reset(seed=0)
    with pytest.raises(TypeError, match="bytes"):
        env.step(b"0,0")


def test_unicode_text():
    space = UnicodeText(100)
    space.seed(3)
    assert all(space.sample() in space for _ in range(50))
    assert all(text in space for text in ("", "三\x00🙂\ud800", "x" * 100))
    assert "x" * 101 not in space
    assert 3 not in space


class Leaky(Doors):
    """Has the same items in both splits."""

    def _begin(self, split, index, **options):
        self.doors = "door"
        return envs.Start("door", item_id=str(index))


class Fickle(Doors):
    """Begins differently in every instance."""

    def _begin(self, split, index, **options):
        self.doors = f"door {id(self)}"
        return envs.Start(self.doors, item_id=f"{split}-{index}")


class Fragile(Doors):
    """Raises at what the model wrote."""

    def _act(self, action):
        return envs.Transition("", {"outcome": float(action.strip() or 0)}, terminated=True)


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (Leaky, AssertionError, "is in both"),
        (Fickle, AssertionError, "differs"),
        (Fragile, ValueError, "could not convert"),
    ],
)
def test_check_task_finds_a_broken_task(broken, error, message):
    with pytest.raises(error, match=message):
        envs.check_task(broken, items=1)
