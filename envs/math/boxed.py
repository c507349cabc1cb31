r"""Where a solution writes its final answer: the last ``\boxed{...}``."""

from __future__ import annotations

_OPENING = "\\boxed{"


def last_boxed(text: str) -> str | None:
    r"""Return what stands in the last ``\boxed{...}``, its braces balanced; None without one, or with nothing in it."""
    start = text.rfind(_OPENING)
    if start < 0:
        return None
    start += len(_OPENING)
    depth = 1
    for end in range(start, len(text)):
        depth += (text[end] == "{") - (text[end] == "}")
        if depth == 0:
            return text[start:end].strip() or None
    return None
