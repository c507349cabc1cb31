"""What entered a policy's first own block while it answered, kept for the update on these answers.

It is what one more pass of the frozen blocks would give, but for rounding, for as long as the base stays as it is.

Shapes: _P prompt tokens, _T response tokens but the last, _H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from algorithms.bank.rows import Row

LIMIT_BYTES = 2**26
"""More is not kept; a pass then gives it anew, and many policies share that pass."""

Key = tuple[int, tuple[int, ...], tuple[int, ...]]


class PrefixMemory:
    """Hidden states by policy, prompt and answer."""

    def __init__(self) -> None:
        self._prompts: dict[Key, torch.Tensor] = {}
        self._answers: dict[Key, torch.Tensor] = {}
        self.clear()

    @property
    def room(self) -> int:
        """Bytes that it still takes."""
        return max(LIMIT_BYTES - self._bytes, 0)

    def keep(self, row: Row, prompt_PH: torch.Tensor, answer_TH: Sequence[torch.Tensor]) -> None:
        """Keep what entered while ``row`` was read and written; equal rows and prompts are kept once."""
        prompt, answer = _keys(row)
        if prompt not in self._prompts:
            self._prompts[prompt] = prompt_PH
            self._bytes += prompt_PH.nbytes
        if answer not in self._answers and answer_TH:
            self._answers[answer] = torch.stack(list(answer_TH))
            self._bytes += self._answers[answer].nbytes

    def recall(self, row: Row) -> torch.Tensor | None:
        """Hidden states along ``row.path``, or None when they were not kept."""
        prompt, answer = _keys(row)
        parts = [self._prompts.get(prompt)]
        if len(row.response_ids) > 1:
            parts.append(self._answers.get(answer))
        known = [part for part in parts if part is not None]
        return torch.cat(known) if len(known) == len(parts) else None

    def clear(self) -> None:
        """Forget everything: the update is over."""
        self._prompts.clear()
        self._answers.clear()
        self._bytes = 0


def _keys(row: Row) -> tuple[Key, Key]:
    prompt = tuple(row.prompt_ids)
    return (row.policy, prompt, ()), (row.policy, prompt, tuple(row.response_ids[:-1]))
