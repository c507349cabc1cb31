"""The layer grammar and the mask: which decoder blocks of a model train.

A layer is one whole decoder block (attention, MLP and their norms). Token embeddings, final norm and head stay frozen
in every arm but ``full``, as in arXiv 2607.01232, section 2.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from conf.errors import UserError

GRAMMAR = (
    "base, full, a block number such as 7 or -1, a list such as [7,8], mid:k, random:k, best:k, worst:k or boost:k "
    "(from a finished study), or all: every arm"
)
BOOST = 2.0
"""What ``boost:k`` multiplies the rate of the best blocks by (arXiv 2607.01232, section 4)."""


class LayerError(UserError, ValueError):
    """A layer word that does not parse, or names a block the model does not have."""


@dataclass(frozen=True)
class LayerSelection:
    """Which blocks train, in ascending order.

    ``trains_everything`` is true for ``full``: embeddings, final norm and head train too. ``rates`` multiplies the
    learning rate of single blocks; a block that is not named has rate 1.
    """

    label: str
    blocks: tuple[int, ...]
    trains_everything: bool = False
    rates: dict[int, float] = field(default_factory=dict)

    @property
    def trains_nothing(self) -> bool:
        """True for ``base``, the untrained model that anchors every contribution."""
        return not self.blocks and not self.trains_everything

    @property
    def is_partial(self) -> bool:
        """True when some blocks train and others are frozen."""
        return bool(self.blocks) and not self.trains_everything

    def to_json(self) -> str:
        """As text, for configurations that carry plain values only."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LayerSelection:
        """The inverse of ``to_json``."""
        fields = json.loads(text)
        rates = {int(block): rate for block, rate in fields["rates"].items()}
        return cls(**(fields | {"blocks": tuple(fields["blocks"]), "rates": rates}))


@dataclass(frozen=True)
class Guided:
    """``best:k``, ``worst:k`` or ``boost:k``: a word whose blocks a finished study names."""

    kind: str
    k: int

    def label(self, source: str) -> str:
        """``best:5``, or ``best:5@laptop`` where the study is another one."""
        return f"{self.kind}:{self.k}" + (f"@{source}" if source else "")

    def select(self, ranked: Sequence[int], source: str) -> LayerSelection:
        """Take the blocks from ``ranked``, all blocks of the model, the best first."""
        if self.kind == "boost":
            rates = dict.fromkeys(sorted(ranked[: self.k]), BOOST)
            return LayerSelection(self.label(source), tuple(sorted(ranked)), trains_everything=True, rates=rates)
        chosen = ranked[: self.k] if self.kind == "best" else ranked[-self.k :]
        return LayerSelection(self.label(source), tuple(sorted(chosen)))


def guided(word: object, n_blocks: int) -> Guided | None:
    """What ``best:5``, ``worst:5`` and ``boost:5`` ask for; None of any other word.

    Raises:
        LayerError: More blocks than the model has, or none.
    """
    match = re.fullmatch(r"\s*(best|worst|boost):(\d+)\s*", word) if isinstance(word, str) else None
    return Guided(match[1], _count(match[1], int(match[2]), n_blocks)) if match else None


def parse_layer(word: object, n_blocks: int, *, seed: int = 0) -> LayerSelection:
    """Turn a layer word into the blocks it names, for a model of ``n_blocks`` blocks.

    Args:
        word: ``base``, ``full``, an integer (negative counts from the top), a list of integers, ``mid:k`` (the k
            centre blocks, [floor(L/2 - k/2), floor(L/2 + k/2)), section 4 of the paper) or ``random:k`` (k blocks
            drawn with ``seed``, the control that the paper lacks). Strings of these forms are accepted too. Words
            that need a finished study are ``guided``, see ``algorithms.selection``.
        n_blocks: Number of decoder blocks, L.
        seed: Seeds ``random:k`` and nothing else.

    Raises:
        LayerError: The word does not parse or names a block out of range; the message names the valid choices.
    """
    if isinstance(word, bool) or word is None:
        raise LayerError(f"layer={word} does not parse; valid: {GRAMMAR}")
    if isinstance(word, Iterable) and not isinstance(word, str):
        return _listed(list(word), n_blocks)
    text = str(word).strip()
    if text == "base":
        return LayerSelection("base", ())
    if text == "full":
        return LayerSelection("full", tuple(range(n_blocks)), trains_everything=True)
    if re.fullmatch(r"-?\d+", text):
        block = _block(text, n_blocks)
        return LayerSelection(str(block), (block,))
    if re.fullmatch(r"\[\s*-?\d+(\s*,\s*-?\d+)*\s*\]", text):
        return _listed(text.strip("[] ").split(","), n_blocks)
    if match := re.fullmatch(r"(mid|random):(\d+)", text):
        return _counted(match[1], int(match[2]), n_blocks, seed)
    if guided(text, n_blocks):
        raise LayerError(f"layer={text} names blocks only together with a finished study")
    raise LayerError(f"layer={text!r} does not parse; valid: {GRAMMAR}")


def expand_layer(word: object, n_blocks: int) -> list[object]:
    """Return the layer words that ``word`` stands for in a sweep: ``all`` is base, full and every block, else itself.

    The anchors come first, so that a sweep that is cut short has what every contribution is measured against.
    """
    return ["base", "full", *range(n_blocks)] if word == "all" else [word]


def _listed(words: Sequence[object], n_blocks: int) -> LayerSelection:
    if not words:
        raise LayerError(f"layer=[] trains nothing; for the untrained model say layer=base. Valid: {GRAMMAR}")
    blocks = tuple(sorted({_block(word, n_blocks) for word in words}))
    return LayerSelection("[" + ",".join(map(str, blocks)) + "]", blocks)


def _counted(kind: str, k: int, n_blocks: int, seed: int) -> LayerSelection:
    _count(kind, k, n_blocks)
    if kind == "mid":
        low = (n_blocks - k) // 2
        return LayerSelection(f"mid:{k}", tuple(range(low, low + k)))
    drawn = random.Random(f"random-blocks/{seed}/{n_blocks}/{k}").sample(range(n_blocks), k)
    return LayerSelection(f"random:{k}", tuple(sorted(drawn)))


def _count(kind: str, k: int, n_blocks: int) -> int:
    if not 1 <= k <= n_blocks:
        raise LayerError(f"layer={kind}:{k} is out of range; this model has {n_blocks} blocks, so k is 1..{n_blocks}")
    return k


def _block(word: object, n_blocks: int) -> int:
    try:
        block = int(str(word))
    except ValueError:
        raise LayerError(f"layer: {word!r} is no block number; valid: {GRAMMAR}") from None
    if not -n_blocks <= block < n_blocks:
        raise LayerError(f"layer={block} is out of range; this model has {n_blocks} blocks, 0 to {n_blocks - 1}")
    return block % n_blocks


def find_blocks(model: nn.Module) -> nn.ModuleList:
    """Return the decoder blocks of any Hugging Face causal LM, wrapped (PEFT) or not.

    They are the one ``ModuleList`` whose length is the configured number of layers and whose members share a class.

    Raises:
        LayerError: No such list, or more than one.
    """
    config: Any = getattr(model, "config", None)
    n_blocks = config.get_text_config().num_hidden_layers if config else None
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_blocks and len({type(block) for block in module}) == 1
    ]
    # A list inside a block of another list (experts, say) is not the decoder's.
    outer = [(name, module) for name, module in found if not any(name.startswith(f"{other}.") for other, _ in found)]
    if len(outer) != 1:
        names = ", ".join(name for name, _ in outer) or "none"
        raise LayerError(f"cannot tell the {n_blocks} decoder blocks of {type(model).__name__} apart; found: {names}")
    return outer[0][1]


def block_of_parameters(model: nn.Module) -> dict[str, int | None]:
    """Map each parameter's name to the index of its block, or None for embeddings, final norm and head."""
    owner = {id(p): index for index, block in enumerate(find_blocks(model)) for p in block.parameters()}
    return {name: owner.get(id(parameter)) for name, parameter in model.named_parameters()}


def freeze(model: nn.Module, selection: LayerSelection) -> list[str]:
    """Freeze every parameter that ``selection`` does not train; return the names of those that do.

    Parameters that are already frozen (the base weights under LoRA) stay frozen.

    Raises:
        LayerError: Nothing is left to train.
    """
    trained = []
    for (name, parameter), block in zip(model.named_parameters(), block_of_parameters(model).values(), strict=True):
        chosen = selection.trains_everything or block in selection.blocks
        parameter.requires_grad_(parameter.requires_grad and chosen)
        if parameter.requires_grad:
            trained.append(name)
    if not trained:
        raise LayerError(f"layer={selection.label} leaves nothing to train in {type(model).__name__}")
    return trained
