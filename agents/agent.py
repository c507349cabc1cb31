"""The language model as an agent: observation -> prompt ids, response ids -> action text."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from agents.messages import profile_of
from agents.sampler import Sampling, stop_ids
from conf.schema import TaskConfig


class PromptTooLongError(ValueError):
    """An observation does not fit ``task.max_prompt_tokens``."""


class Agent:
    """Words for one task, in the vocabulary of one model. Each turn's prompt is its observation, nothing older."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: TaskConfig) -> None:
        """Look up the prompt profile and the stop tokens.

        Raises:
            ValueError: Unknown prompt profile, or a stop text that no single token contains.
        """
        self._tokenizer, self._task = tokenizer, task
        self._profile = profile_of(task.prompt)
        self._stop_ids = stop_ids(tokenizer, task.stop)

    def sampling(self, temperature: float) -> Sampling:
        """How this task's answers are drawn."""
        return Sampling(temperature, self._task.max_response_tokens, self._stop_ids)

    def prompt(self, observation: str) -> list[int]:
        """Return the ids the model reads.

        Raises:
            PromptTooLongError: They are more than ``task.max_prompt_tokens``.
        """
        ids = self._profile(self._tokenizer, observation, self._task.instruction)
        if len(ids) > self._task.max_prompt_tokens:
            raise PromptTooLongError(
                f"a prompt of {len(ids)} tokens exceeds task.max_prompt_tokens={self._task.max_prompt_tokens}"
            )
        return ids

    def action(self, response_ids: list[int]) -> str:
        """Return the text before the first stop text, without special tokens or surrounding space."""
        text = str(self._tokenizer.decode(response_ids, skip_special_tokens=True))
        for stop in self._task.stop:
            text = text.split(stop, 1)[0]
        return text.strip()
