"""The tiny model: about a million parameters, made on first use by a seeded recipe, one for every task.

The recipe imitates demonstrations of the task's training split until the model, sampling, is right about three times
in ten on training items it was not shown; then reinforcement learning has something to improve. It is a test
instrument: nothing it scores is evidence about language models.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Protocol, runtime_checkable

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from agents.agent import Agent
from agents.messages import profile_of
from agents.tiny_tokenizer import make_tokenizer
from agents.warmstart import Example, chance_of, train
from conf.schema import TaskConfig
from envs.registry import make

logger = logging.getLogger(__name__)

VERSION = 1
"""Raise it when anything here changes the weights; it is part of the folder's name."""
SOURCE = f"recipe tiny v{VERSION}"
N_BLOCKS, HIDDEN = 4, 128
BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY, MAX_STEPS = 64, 2e-3, 0.1, 1500
TARGET = 0.3
"""Chance of a right answer on held-back items at which the warm start ends."""
CHECK_EVERY = 10
MAX_EPISODES, MAX_HELD_BACK = 4096, 128


Demonstrated = tuple[str, str]
"""An observation and what was written in answer to it."""


@runtime_checkable
class Demonstrating(Protocol):
    """An environment that can be warm-started on: a task as in ``envs.core``, plus ``demonstration``."""

    def size(self, split: str) -> int:
        """Return the number of items in ``split``."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode."""

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one turn."""

    def demonstration(self, split: str, index: int) -> list[str]:
        """Return what a good agent writes in each turn of this item, as it continues the prompt (``" 7"``)."""

    def close(self) -> None:
        """Let go of what the environment holds."""


def folder_name(task: TaskConfig) -> str:
    """Name the cached folder after everything the warmed-up model depends on."""
    words = [VERSION, task.env_id, task.kwargs, task.train_split, task.prompt, task.instruction, task.stop]
    digest = hashlib.sha256(json.dumps(words, sort_keys=True, default=dict).encode()).hexdigest()[:10]
    return f"tiny-{task.name.replace('/', '-')}-{digest}"


def build(task: TaskConfig, folder: Path) -> None:
    """Make the tiny model of ``task`` in ``folder``, with a ``recipe.json`` that says how it went.

    Raises:
        ValueError: the environment offers no demonstrations, too few, or one that does not solve its item.
    """
    logger.info("making the tiny model of %s: a warm start of a minute or two, once", task.name)
    started = time.monotonic()
    episodes = list(demonstrations(task))
    n_held_back = min(MAX_HELD_BACK, len(episodes) // 5)
    if n_held_back == 0:
        raise ValueError(f"{task.env_id} has {len(episodes)} items to demonstrate in {task.train_split}; 5 are too few")
    tokenizer = make_tokenizer(_texts(task, episodes))
    held_back, shown = (
        [example for episode in part for example in _examples(tokenizer, task, episode)]
        for part in (episodes[:n_held_back], episodes[n_held_back:])
    )
    model = make_model(tokenizer, N_BLOCKS, HIDDEN, seed=VERSION)
    chances: list[float] = []

    def enough(step: int) -> bool:
        if step % CHECK_EVERY:
            return False
        chances.append(chance_of(model, held_back))
        logger.info("warm start of %s: step %d, right on held-back items %.3f", task.name, step, chances[-1])
        return chances[-1] >= TARGET

    losses = train(
        model,
        shown,
        steps=MAX_STEPS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        seed=VERSION,
        enough=enough,
    )
    if chances[-1] < TARGET:
        logger.warning("the tiny model of %s reached %.3f of %.2f; go on with that", task.name, chances[-1], TARGET)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    made = {"shown": len(shown), "steps": len(losses), "held_back": chances, "seconds": time.monotonic() - started}
    (folder / "recipe.json").write_text(json.dumps({"version": VERSION, "task": task.name, **made}))


def demonstrations(task: TaskConfig) -> Iterator[list[Demonstrated]]:
    """Play items of the task's training split, in a seeded order, as its environment demonstrates them.

    Raises:
        ValueError: the environment offers no demonstrations, or one does not solve its item.
    """
    env = make(task.env_id, **task.kwargs)
    try:
        if not isinstance(env, Demonstrating):
            raise ValueError(
                f"task.env_id={task.env_id}: {type(env).__name__} offers no demonstrations, so no tiny model can be "
                f"warmed up on it; add a method demonstration(split, index) -> list[str] or choose another model"
            )
        n_items = env.size(task.train_split)
        for index in Random("onelayer/tiny").sample(range(n_items), min(n_items, MAX_EPISODES)):
            yield _play(env, task.train_split, index)
    finally:
        env.close()


def make_untrained(path: Path, n_blocks: int = 4, hidden: int = 64, seed: int = 0) -> Path:
    """Write a tiny model with random weights and a character tokenizer to ``path``; for tests, well under a second."""
    tokenizer = make_tokenizer()
    make_model(tokenizer, n_blocks, hidden, seed).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_model(tokenizer: PreTrainedTokenizerBase, n_blocks: int, hidden: int, seed: int) -> Qwen3ForCausalLM:
    """Return a Qwen3 with random weights; ``seed`` decides them and the global random state is left alone."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
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


def _play(env: Demonstrating, split: str, index: int) -> list[Demonstrated]:
    observation, _ = env.reset(seed=0, options={"split": split, "index": index})
    turns, info = [], {}
    for text in env.demonstration(split, index):
        turns.append((observation, text))
        observation, _, _, _, info = env.step(text.strip())
    if not info.get("success"):
        raise ValueError(f"{type(env).__name__}: the demonstration of {split} item {index} does not solve it")
    return turns


def _texts(task: TaskConfig, episodes: list[list[Demonstrated]]) -> Iterator[str]:
    """What the model will read and write, spelled out in characters."""
    letters, profile = make_tokenizer(), profile_of(task.prompt)
    for observation, text in (turn for episode in episodes for turn in episode):
        prompt_ids = profile(letters, observation, task.instruction)
        yield letters.decode(prompt_ids, skip_special_tokens=True) + text


def _examples(tokenizer: PreTrainedTokenizerBase, task: TaskConfig, episode: list[Demonstrated]) -> Iterator[Example]:
    agent = Agent(tokenizer, task)
    for observation, text in episode:
        response_ids = tokenizer.encode(text, add_special_tokens=False)
        yield Example(agent.prompt(observation), [*response_ids, tokenizer.eos_token_id])
