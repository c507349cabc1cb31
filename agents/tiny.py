"""The tiny model: under a million parameters, made on first use by a seeded recipe, one for every task.

The recipe imitates demonstrations of the task's training split until the model, sampling, is right about three times
in ten on training items it was not shown; then reinforcement learning has something to improve. It is a test
instrument: nothing it scores is evidence about language models.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from agents import demonstrations
from agents.agent import Agent
from agents.demonstrations import Turn
from agents.episode import Start
from agents.rollout import require_intact, rollout
from agents.sampler import ModelPolicy
from agents.seeding import seed_of
from agents.tiny_tokenizer import make_tokenizer
from agents.warmstart import Example, chance_of, train
from conf.schema import TaskConfig
from envs.registry import make

logger = logging.getLogger(__name__)

VERSION = 1
"""Raise it when anything here changes the weights; it is part of the folder's name."""
SOURCE = f"recipe tiny v{VERSION}"
N_BLOCKS = 4
TARGET = 0.3
"""Success on held-back items at which the warm start ends."""
OWN_SHARE = 0.2
"""Share of the task's own items where a wider dataset helps; one in five generalised better than more."""


@dataclass(frozen=True)
class Recipe:
    """How a kind of task is warmed up on; ``feed_forward`` is in units of ``hidden``."""

    hidden: int
    feed_forward: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    schedule: str
    max_steps: int
    first_check: int
    check_every: int
    max_held_back: int
    prompt_weight: float = 0.0
    similar_lengths: int = 1
    vocabulary: int = 512
    rounds: int = 1
    """Most times to train for ``max_steps``; another round follows where the target is still far."""
    whole_numbers: bool = False


ANSWERS = Recipe(128, 3, 64, 2e-3, 0.1, "constant", 1500, 10, 10, 128)
"""For tasks of one turn, measured by the chance of the demonstrated answer."""
EPISODES = Recipe(96, 2, 16, 2e-3, 0.01, "linear", 1600, 1600, 1600, 64, 0.3, 16, 1024, 3, True)
"""For tasks of several turns, measured by playing. Small batches; prompts, too, are text to learn to copy from."""


def folder_name(task: TaskConfig) -> str:
    """Name the cached folder after everything the warmed-up model depends on."""
    names = "env_id kwargs train_split eval_split prompt instruction history show_admissible remember_invalid max_turns"
    limits = "max_prompt_tokens max_response_tokens stop"
    source = make(task.env_id, **task.kwargs).source(task.train_split)
    words = [VERSION, source, *(getattr(task, name) for name in f"{names} {limits}".split())]
    digest = hashlib.sha256(json.dumps(words, sort_keys=True, default=dict).encode()).hexdigest()[:10]
    return f"tiny-{task.name.replace('/', '-')}-{digest}"


def build(task: TaskConfig, folder: Path) -> None:
    """Make the tiny model of ``task`` in ``folder``, with a ``recipe.json`` that says how it went.

    Raises:
        ValueError: the environment offers no demonstrations, too few, or one that does not solve its item.
    """
    logger.info("making the tiny model of %s: a warm start of some minutes, once", task.name)
    started, recipe = time.monotonic(), ANSWERS if task.max_turns == 1 else EPISODES
    episodes = demonstrations.own(task)
    n_held_back = min(recipe.max_held_back, len(episodes) // 5)
    if n_held_back == 0:
        raise ValueError(f"{task.env_id} has {len(episodes)} items to demonstrate in {task.train_split}; 5 are too few")
    held_back, shown = episodes[:n_held_back], episodes[n_held_back:]
    wider = demonstrations.wider(task, apart_from=held_back)
    repeats = max(1, round(len(wider) * OWN_SHARE / (1 - OWN_SHARE) / len(shown)))
    corpus = (prompt + text for episode in shown + wider for prompt, text in episode)
    tokenizer = make_tokenizer(corpus, recipe.vocabulary, whole_numbers=recipe.whole_numbers)
    model = make_model(tokenizer, N_BLOCKS, recipe.hidden, seed=VERSION, feed_forward=recipe.feed_forward)
    if task.max_turns == 1:
        measure = partial(chance_of, model, _examples(tokenizer, held_back))
    else:
        measure = partial(_success, model, Agent(tokenizer, task), task, n_held_back)
    scores = _warm_up(model, _examples(tokenizer, repeats * shown + wider), recipe, measure)
    best = max(scores.values())
    if best < TARGET:
        logger.warning("the tiny model of %s succeeds %.3f of the time, short of %.2f", task.name, best, TARGET)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    made = {"version": VERSION, "task": task.name, "held_back": scores, "seconds": time.monotonic() - started}
    (folder / "recipe.json").write_text(json.dumps(made))


def make_untrained(path: Path, n_blocks: int = 4, hidden: int = 64, seed: int = 0) -> Path:
    """Write a tiny model with random weights and a character tokenizer to ``path``; for tests, well under a second."""
    tokenizer = make_tokenizer()
    make_model(tokenizer, n_blocks, hidden, seed).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_model(
    tokenizer: PreTrainedTokenizerBase, n_blocks: int, hidden: int, seed: int, feed_forward: int = 3
) -> Qwen3ForCausalLM:
    """Return a Qwen3 with random weights; ``seed`` decides them and the global random state is left alone."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=feed_forward * hidden,
        num_hidden_layers=n_blocks,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)


def _warm_up(
    model: Qwen3ForCausalLM, shown: list[Example], recipe: Recipe, measure: Callable[[], float]
) -> dict[int, float]:
    """Train up to the target; where it is never reached, keep the best weights there were. Return scores by step."""
    scores: dict[int, float] = {}
    best = model.state_dict()

    def enough(step: int) -> bool:
        nonlocal best
        if step < recipe.first_check or step % recipe.check_every:
            return False
        score, total = measure(), done + step
        scores[total] = score
        if score == max(scores.values()):
            best = deepcopy(model.state_dict())
        if total % 50 == 0:
            logger.info("warm start, step %d: success %.3f on held-back items", total, score)
        return score >= TARGET

    for done in range(0, recipe.rounds * recipe.max_steps, recipe.max_steps):
        train(
            model,
            shown,
            steps=recipe.max_steps,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            seed=VERSION + done,
            schedule=recipe.schedule,
            prompt_weight=recipe.prompt_weight,
            similar_lengths=recipe.similar_lengths,
            enough=enough,
        )
        if max(scores.values()) >= TARGET:
            break
    model.load_state_dict(best)
    return scores


def _success(model: Qwen3ForCausalLM, agent: Agent, task: TaskConfig, n_items: int) -> float:
    """Play the held-back items once each, sampling; the share that succeeded."""
    was_training = model.training
    model.eval()
    make_env = partial(make, task.env_id, **task.kwargs)
    items = demonstrations.order(make_env().size(task.train_split))[:n_items]
    starts = [
        Start(task.train_split, item, group, 0, seed_of("tiny", VERSION, item)) for group, item in enumerate(items)
    ]
    episodes = rollout(starts, make_env, agent, ModelPolicy(model), agent.sampling(1.0), task.max_turns)
    require_intact(episodes, task)
    model.train(was_training)
    return sum(episode.success for episode in episodes) / len(episodes)


def _examples(tokenizer: PreTrainedTokenizerBase, episodes: Iterable[list[Turn]]) -> list[Example]:
    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    return [
        Example(ids(prompt), [*ids(text), tokenizer.eos_token_id]) for episode in episodes for prompt, text in episode
    ]
