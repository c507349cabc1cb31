"""One frozen base model and many policies, each of which replaces some of its decoder blocks by blocks of its own.

Below its first own block a policy computes what the base computes; above its own blocks it uses the base's weights
again. So the policies of a sweep over blocks run side by side: every block once for all rows that use the base's
weights, and once per policy that owns it. Rows are trees (``agents.tree``): what they share at their beginning is
computed once.

Shapes: _N nodes of a lane (its distinct tokens in context), _H hidden size. A lane is the hidden states of one policy,
from its first own block on; the lane ``BASE`` is the base model's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from agents.decoder import Attend, Decoder
from algorithms.layers import LayerSelection, find_blocks

BASE = -1
"""The number of the base model among the policies."""

Hidden = dict[int, torch.Tensor]
Rotations = dict[int, tuple[torch.Tensor, torch.Tensor]]


@dataclass
class _Policy:
    """What differs from the base: blocks by number and, where everything trains, what lies around them."""

    blocks: dict[int, nn.Module] = field(default_factory=dict)
    embedding: nn.Module | None = None
    norm: nn.Module | None = None
    head: nn.Module | None = None


class PolicyBank:
    """Policies 0, 1 ... of one model, by what each of them trains; policy ``BASE`` is the model as it came."""

    def __init__(self, model: PreTrainedModel, selections: Sequence[LayerSelection], *, keep_base: bool = True) -> None:
        """Freeze the model and copy what each selection trains.

        Args:
            model: On its device, in its dtype.
            selections: One per policy; ``base`` owns nothing.
            keep_base: Without it a single policy that trains everything is the model itself, not a copy, and there is
                no base to compare with.

        Raises:
            NotPackableError: The model's blocks cannot run on a flat list of tokens.
        """
        self.model = model
        self.decoder = Decoder(model, find_blocks(model))
        self.n_blocks = len(self.decoder.blocks)
        self._in_place = not keep_base and len(selections) == 1 and selections[0].trains_everything
        trainable = {id(p) for p in model.parameters() if p.requires_grad}  # under LoRA, the adapters only
        model.requires_grad_(False)
        self._names = {name: id(parameter) for name, parameter in model.named_parameters()}
        self._own: dict[int, dict[int, nn.Parameter]] = {}
        self._places = {id(module): name for name, module in model.named_modules()}
        self._swaps: dict[int, list[tuple[str, nn.Module, nn.Module]]] = {BASE: []}
        self._policies = {} if self._in_place else {BASE: _Policy()}
        for number, selection in enumerate(selections):
            self._policies[number] = self._make(number, selection, trainable)

    def _make(self, number: int, selection: LayerSelection, trainable: set[int]) -> _Policy:
        decoder = self.decoder
        parts: dict[str, nn.Module] = {str(block): decoder.blocks[block] for block in selection.blocks}
        if selection.trains_everything:
            parts |= {"embedding": decoder.embedding, "norm": decoder.norm, "head": decoder.head}
        originals = nn.ModuleDict(parts)
        # The configuration stays shared: it says which attention function the blocks use.
        memo = {id(module.config): module.config for module in originals.modules() if hasattr(module, "config")}
        # So does whoever listens to a part: verl's engine, to what the head is given.
        hooks = [hook for module in originals.modules() for hook in module._forward_pre_hooks.values()]
        memo |= {id(owner): owner for hook in hooks if (owner := getattr(hook, "__self__", None)) is not None}
        mine = originals if self._in_place else copy.deepcopy(originals, memo)
        pairs = zip(originals.parameters(), mine.parameters(), strict=True)
        self._own[number] = {id(original): own for original, own in pairs}
        for original, own in self._own[number].items():
            own.requires_grad_(original in trainable)
        self._swaps[number] = [(self._places[id(part)], part, mine[key]) for key, part in originals.items()]
        blocks = {block: mine[str(block)] for block in selection.blocks}
        if not selection.trains_everything:
            return _Policy(blocks)
        return _Policy(blocks, mine["embedding"], mine["norm"], mine["head"])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.norm.weight.device

    @property
    def cache_bytes_per_token(self) -> int:
        """Of keys and values in all blocks."""
        config: Any = self.model.config.get_text_config()
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        n_heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        return 2 * self.n_blocks * n_heads * head_size * self.decoder.norm.weight.element_size()

    def fork(self, policy: int) -> int:
        """The first block whose input is the policy's own: 0 where everything is, ``n_blocks`` where nothing is."""
        mine = self._policies[policy]
        return 0 if mine.embedding else min(mine.blocks, default=self.n_blocks)

    def lane(self, policy: int) -> int:
        """The lane in which the policy's rows run: a policy that owns nothing runs in the base's."""
        return policy if self._policies[policy].blocks else BASE

    def owns_embedding(self, policy: int) -> bool:
        """Whether the policy shares nothing at all with the base."""
        return self._policies[policy].embedding is not None

    def parameters(self, policy: int) -> dict[str, nn.Parameter]:
        """The whole model of a policy, by its names in Hugging Face's model; frozen ones are the base's own."""
        base, own = dict(self.model.named_parameters()), self._own.get(policy, {})
        return {name: own.get(self._names[name], parameter) for name, parameter in base.items()}

    def trained(self, policy: int) -> dict[str, nn.Parameter]:
        """Those that train."""
        return {name: parameter for name, parameter in self.parameters(policy).items() if parameter.requires_grad}

    def embed(self, lane: int, ids_N: torch.Tensor) -> torch.Tensor:
        """Hidden states before the first block, [N, H]."""
        return (self._policies[lane].embedding or self.decoder.embedding)(ids_N)

    def readers(self, lanes: Sequence[int]) -> Iterator[tuple[list[int], nn.Module, torch.Tensor]]:
        """The lanes that share a final norm and a head, the norm, and the head's weight [vocabulary, H]."""
        shared = [lane for lane in lanes if self._policies[lane].head is None]
        if shared:
            yield shared, self.decoder.norm, _weight(self.decoder.head)
        for lane in lanes:
            mine = self._policies[lane]
            if mine.head is not None and mine.norm is not None:
                yield [lane], mine.norm, _weight(mine.head)

    def groups(self, block: int, lanes: Sequence[int]) -> list[tuple[nn.Module, tuple[int, ...]]]:
        """Which lanes run through which weights at ``block``: an owner alone, all others together in the base's."""
        owners = [lane for lane in lanes if block in self._policies[lane].blocks]
        others = tuple(lane for lane in lanes if lane not in owners)
        base = self.decoder.blocks[block]
        return ([(base, others)] if others else []) + [(self._policies[o].blocks[block], (o,)) for o in owners]

    def run(
        self,
        lanes: Sequence[int],
        rotations: Rotations,
        enter: Callable[[int, Hidden], torch.Tensor],
        attend: Callable[[int, tuple[int, ...]], Attend],
        *,
        base_is_wanted: bool = True,
    ) -> Hidden:
        """Send the nodes of several lanes through all blocks.

        Args:
            lanes: Distinct.
            rotations: Cosines and sines of each lane's nodes.
            enter: (lane, hidden states of all lanes by now) -> the lane's hidden states as it begins: before block 0
                for ``BASE``, before its first own block for any other.
            attend: (block, lanes in the order of their nodes) -> attention within these lanes' rows.
            base_is_wanted: Otherwise ``BASE`` runs no farther than the last lane that enters from it.

        Returns:
            Hidden states after the last block, by lane.
        """
        forks = {lane: 0 if lane == BASE else self.fork(lane) for lane in lanes}
        hidden: Hidden = {}
        rotation_of: dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor]] = {}
        for block in range(self.n_blocks):
            for lane in sorted(lanes):  # the base first: others may enter from it
                if forks[lane] == block:
                    hidden[lane] = enter(lane, hidden)
            if not base_is_wanted and block == max(forks.values()):
                hidden.pop(BASE, None)
            for module, members in self.groups(block, list(hidden)):
                if members not in rotation_of:
                    parts = zip(*(rotations[lane] for lane in members), strict=True)
                    rotation_of[members] = tuple(torch.cat(part) for part in parts)  # type: ignore[assignment]
                together = torch.cat([hidden[lane] for lane in members]) if len(members) > 1 else hidden[members[0]]
                output = self.decoder.run(module, together, rotation_of[members], attend(block, members))
                pieces = output.split([len(hidden[lane]) for lane in members]) if len(members) > 1 else [output]
                hidden |= dict(zip(members, pieces, strict=True))
        return hidden

    def base_states(
        self, ids_N: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor], attend: Attend
    ) -> Iterator[torch.Tensor]:
        """What enters blocks 0, 1 ... of the base model, [N, H] each; as far as it is asked for."""
        hidden_NH = self.embed(BASE, ids_N)
        for block in self.decoder.blocks:
            yield hidden_NH
            hidden_NH = self.decoder.run(block, hidden_NH, rotation, attend)

    @contextmanager
    def assembled(self, policy: int) -> Iterator[PreTrainedModel]:
        """The policy as an ordinary model, for what runs one policy at a time; the base again afterwards."""
        try:
            for place, _, mine in self._swaps[policy]:
                self._put(place, mine)
            yield self.model
        finally:
            for place, original, _ in self._swaps[policy]:
                self._put(place, original)

    def _put(self, place: str, module: nn.Module) -> None:
        parent, _, name = place.rpartition(".")
        setattr(self.model.get_submodule(parent), name, module)


def _weight(head: nn.Module) -> torch.Tensor:
    weight = head.weight
    assert isinstance(weight, torch.Tensor)
    return weight
