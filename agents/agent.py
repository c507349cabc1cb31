"""The language model as an agent: one memory per episode, response ids -> action text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from agents.memory import Memory, check_profile, window_of
from agents.messages import profile_of
from agents.sampler import Sampling, stop_ids
from agents.tokens import decode
from conf.schema import TaskConfig


class PromptTooLongError(ValueError):
    """A prompt does not fit ``task.max_prompt_tokens``."""


class Agent:
    """Words for one task, in the vocabulary of one model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: TaskConfig) -> None:
        """Look up the prompt profile and the stop tokens.

        Raises:
            ValueError: Unknown prompt profile or history, one that ignores the other, or a stop text that no single
                token contains.
        """
        self._tokenizer, self._task = tokenizer, task
        check_profile(profile_of(task.prompt), task)
        self._stop_ids = stop_ids(tokenizer, task.stop)
        self.converses = window_of(task.history) is None
        """Whether each prompt of an episode begins with the one before it."""

    def sampling(self, temperature: float) -> Sampling:
        """How this task's answers are drawn."""
        return Sampling(temperature, self._task.max_response_tokens, self._stop_ids)

    def begin(self, observation: str, info: Mapping[str, Any]) -> Memory:
        """Return the memory of an episode that ``reset`` began so."""
        return Memory(self._tokenizer, self._task, observation, info)

    def prompt(self, memory: Memory) -> list[int]:
        """Return the ids the model reads.

        Raises:
            PromptTooLongError: They are more than ``task.max_prompt_tokens``.
        """
        ids = memory.prompt_ids
        if len(ids) > self._task.max_prompt_tokens:
            raise PromptTooLongError(
                f"a prompt of {len(ids)} tokens exceeds task.max_prompt_tokens={self._task.max_prompt_tokens}"
            )
        return ids

    def action(self, response_ids: list[int]) -> str:
        """Return the text before the first stop text, without special tokens or surrounding space."""
        text = decode(self._tokenizer, response_ids, skip_special_tokens=True)
        for stop in self._task.stop:
            text = text.split(stop, 1)[0]
        return text.strip()
