"""The contract of a task as a test: ``check_task("package/my-task-v0")`` in anybody's test suite."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from envs.core import FORMAT, OUTCOME, TaskEnv
from envs.registry import make

RESET_KEYS = {"split": str, "index": int, "item_id": str, "source": str, "anchor": str}
STEP_KEYS = {"reward_terms": dict, "success": bool, "valid": bool, "status": str, "anchor": str}
BAD_ACTIONS = (
    "",
    " \n\t ",
    "\x00\x07\x1b[31m\x7f\r\x0b",
    "\ud800 a lone surrogate \udfff",
    "三加四等于七 ٣ + ٤ = ٧ семь 🙂",
    "\\boxed{\\frac{1}{",
    "9" * 20_000,
    "x" * 100_000,
    "\u202e١" * 50_000,
)

Factory = Callable[[], TaskEnv]


def check_task(
    task: str | TaskEnv | Factory, *, actions: Sequence[str] = (), items: int = 3, max_items: int = 2000
) -> None:
    """Assert that a task keeps Gymnasium's contract and ours.

    Args:
        task: a registered id, a function that builds the environment, or an environment registered in Gymnasium (it is
            built anew from its spec, because determinism is checked across instances).
        actions: texts the task understands, played besides the broken ones.
        items: items of every split that are played.
        max_items: splits are checked to be disjoint when all together have at most so many items.

    Raises:
        AssertionError: the contract is broken; the message names the rule.
    """
    factory = _factory(task)
    env = factory()
    try:
        _check_gymnasium(env)
        _check_declaration(env)
        for split in env.card.splits:
            for index in range(min(items, env.size(split))):
                for action in (*actions, *BAD_ACTIONS):
                    _check_episode(env, split, index, action)
                _check_determinism(factory, split, index, [*actions, *BAD_ACTIONS[:5]])
        _check_demonstrations(env, items)
        _check_reward_weights(factory, [*actions, *BAD_ACTIONS])
        _check_refusals(env, factory)
        _check_disjoint(env, max_items)
    finally:
        env.close()


def _factory(task: str | TaskEnv | Factory) -> Factory:
    if isinstance(task, str):
        env_id = task
        return lambda: make(env_id)
    if isinstance(task, TaskEnv):
        spec = task.spec
        assert spec is not None, (
            "an environment without a spec cannot be built again: pass its id or a function instead"
        )
        return lambda: make(spec.id, **spec.kwargs)
    return task


def _check_gymnasium(env: TaskEnv) -> None:
    with warnings.catch_warnings():
        # It warns that an environment built by hand has no spec, and nothing else that concerns a task.
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        warnings.filterwarnings(
            "error", message=".*(observation|reward|info|terminated|truncated).*", category=UserWarning
        )
        env.action_space.seed(0)  # it samples actions without a seed: the same ones every time, please
        check_env(env)


def _check_declaration(env: TaskEnv) -> None:
    assert isinstance(env, TaskEnv), f"{type(env).__name__} must subclass envs.TaskEnv"
    assert env.card.turns >= 1, "card.turns must be at least 1"
    assert env.card.splits, "card.splits names no split"
    assert OUTCOME in env.reward_terms, f"reward_terms must name {OUTCOME!r}"
    for split in env.card.splits:
        assert env.size(split) > 0, f"split {split!r} has no items"
        assert env.source(split), f"source({split!r}) is empty: say where the data comes from"


def _check_keys(info: dict[str, Any], keys: dict[str, type], where: str) -> None:
    for name, kind in keys.items():
        assert isinstance(info.get(name), kind), (
            f"{where}: info[{name!r}] must be a {kind.__name__}: {info.get(name)!r}"
        )
    if "admissible" in info:
        assert all(isinstance(a, str) for a in info["admissible"]), f"{where}: info['admissible'] must hold strings"


def _check_episode(env: TaskEnv, split: str, index: int, action: str) -> None:
    """One action again and again until the end: it must come, within the turns, and no action may raise."""
    _, info = env.reset(seed=0, options={"split": split, "index": index})
    _check_keys(info, RESET_KEYS, "reset")
    assert (info["split"], info["index"]) == (split, index), f"reset began another item than {split}[{index}]"
    outcome, ended = 0.0, False
    for _ in range(env.card.turns):
        observation, reward, terminated, truncated, info = env.step(action)
        _check_keys(info, STEP_KEYS, "step")
        assert isinstance(observation, str), "the observation must be a string"
        terms = info["reward_terms"]
        assert set(terms) == set(env.reward_terms), f"reward_terms must name {env.reward_terms}, not {tuple(terms)}"
        outcome += terms[OUTCOME]
        assert -1e-9 <= outcome <= 1 + 1e-9, f"the outcome of an episode must stay in [0, 1]: {outcome}"
        for name, value in terms.items():
            assert name == OUTCOME or -1 <= value <= 0, f"the shaping term {name!r} must lie in [-1, 0]: {value}"
        expected = sum(env.reward_weights.get(name, 0.0) * value for name, value in terms.items())
        assert math.isclose(reward, expected, abs_tol=1e-9), f"reward {reward} is not the weighted sum {expected}"
        if len(action) > env.max_action_length:
            assert (info["status"], info["valid"]) == ("too_long", False), "an action that is too long has a status"
        ended = terminated or truncated
        if ended:
            break
    assert ended, f"the episode did not end within card.turns = {env.card.turns}"
    try:
        env.step(action)
    except ResetNeeded:
        return
    raise AssertionError("step() after the end of an episode must raise gymnasium.error.ResetNeeded")


def _check_determinism(factory: Factory, split: str, index: int, actions: Sequence[str]) -> None:
    """The same (split, index, seed) and actions give the same episode, in one instance and in a fresh one."""
    one, other = factory(), factory()
    first = _play(one, split, index, actions)
    one.reset(seed=99)
    assert _play(one, split, index, actions) == first, f"{split}[{index}]: a second reset with the same seed differs"
    assert _play(other, split, index, actions) == first, (
        f"{split}[{index}]: a fresh instance with the same seed differs"
    )
    one.close()
    other.close()


def _play(env: TaskEnv, split: str, index: int, actions: Sequence[str]) -> list[Any]:
    steps: list[Any] = [env.reset(seed=7, options={"split": split, "index": index})]
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


def _check_demonstrations(env: TaskEnv, items: int) -> None:
    """Where a task has demonstrations, they solve their items."""
    demonstration = getattr(env, "demonstration", None)
    if demonstration is None:
        return
    for split in env.card.splits:
        for index in range(min(items, env.size(split))):
            _, info = env.reset(seed=0, options={"split": split, "index": index})
            for text in demonstration(split, index):
                info = env.step(text.strip())[-1]
            assert info.get("success"), f"the demonstration of {split}[{index}] does not solve it"


def _check_reward_weights(factory: Factory, actions: Sequence[str]) -> None:
    """Whatever the weights, ``reward`` is the weighted sum; a weight for an unknown term is refused at construction."""
    env = factory()
    env.reward_weights = {name: 0.5 + i for i, name in enumerate(env.reward_terms)}
    for action in actions:
        _check_episode(env, env.card.splits[0], 0, action)
    env.close()
    if env.spec is None:  # built by hand: how to pass it other weights is unknown
        return
    try:
        make(env.spec.id, **{**env.spec.kwargs, "reward_weights": {"no such term": 1.0}})
    except ValueError as error:
        assert OUTCOME in str(error), "the error for an unknown reward weight must name the terms the task declares"
    else:
        raise AssertionError("a weight for an unknown reward term must raise ValueError")


def _check_refusals(env: TaskEnv, factory: Factory) -> None:
    split = env.card.splits[0]
    for options in ({"split": "no such split"}, {"split": split, "index": env.size(split)}, {"index": -1}, {"indx": 0}):
        try:
            env.reset(seed=0, options=dict(options))
        except ValueError:
            continue
        raise AssertionError(f"reset(options={options}) must raise ValueError")
    fresh = factory()
    try:
        fresh.step("")
    except ResetNeeded:
        pass
    else:
        raise AssertionError("step() before reset() must raise gymnasium.error.ResetNeeded")
    if FORMAT in env.reward_terms:
        fresh.reset(seed=0)
        terms = fresh.step("x" * (env.max_action_length + 1))[4]["reward_terms"]
        assert terms[FORMAT] < 0, f"an action that is too long must cost the {FORMAT!r} term"
    fresh.close()


def _check_disjoint(env: TaskEnv, max_items: int) -> None:
    if sum(env.size(split) for split in env.card.splits) > max_items:
        return
    owner: dict[str, str] = {}
    for split in env.card.splits:
        for index in range(env.size(split)):
            item_id = env.reset(seed=0, options={"split": split, "index": index})[1]["item_id"]
            assert owner.setdefault(item_id, split) == split, (
                f"item {item_id} is in both {owner[item_id]!r} and {split!r}"
            )
