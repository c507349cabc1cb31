"""Texts to token ids and back, each text once: episodes played side by side mostly read and write the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

_KEPT = 4096


@lru_cache(maxsize=_KEPT)
def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of ``text``, without special tokens of the tokenizer's own. The list is everybody's: do not change it."""
    return list(tokenizer.encode(text, add_special_tokens=False))


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
    """The text of ``ids``."""
    return _decoded(tokenizer, tuple(ids), skip_special_tokens)


@lru_cache(maxsize=_KEPT)
def _decoded(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...], skip_special_tokens: bool) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))
