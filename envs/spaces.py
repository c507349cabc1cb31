"""The space that observations and actions of a text task live in."""

from __future__ import annotations

import string
from typing import Any

from gymnasium.spaces import Text


class UnicodeText(Text):
    """Any string of at most ``max_length`` characters; samples are short and printable."""

    def __init__(self, max_length: int) -> None:
        super().__init__(
            max_length, min_length=0, charset=string.ascii_letters + string.digits + string.punctuation + " "
        )

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string that is not too long, whatever its characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw a printable text, of at most 64 characters unless a mask asks for more."""
        if mask is None and probability is None:
            mask = (int(self.np_random.integers(0, min(self.max_length, 64) + 1)), None)
        return super().sample(mask, probability)

    def __repr__(self) -> str:
        """Show the length only: the character set is all of Unicode."""
        return f"UnicodeText({self.max_length})"

    @property
    def is_np_flattenable(self) -> bool:
        """No: there is no finite character set to index."""
        return False
