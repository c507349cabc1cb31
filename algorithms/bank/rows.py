"""An answer and the policy that gave it or is asked about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One answer and the policy that is asked for its log-probs."""

    prompt_ids: list[int]
    response_ids: list[int]
    policy: int

    @property
    def path(self) -> list[int]:
        """What is read; the last token predicts nothing."""
        return self.prompt_ids + self.response_ids[:-1]
