"""A Hugging Face decoder taken apart: its blocks run on one flat list of tokens, whatever rows they belong to.

Everything in a decoder block but attention treats tokens one by one. So tokens of many rows, without padding and each
prefix once (``agents.tree``), go through the blocks as they are; only the attention function knows the rows. It is
registered in Transformers' own table of attention functions, and the blocks stay unmodified.

Shapes: _N tokens in the flat list, _H hidden size; q [N, heads, d], k and v [N, kv_heads, d].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from agents.attention import Reading, TreeAttention
from agents.tree import grow

ATTENTION = "onelayer"
"""Our name in Transformers' table; without rows to attend within it is its ``sdpa``."""

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""(q_NHd, k_Nhd, v_Nhd, scale) -> what each token gathers, [N, heads, d]."""


class NotPackableError(ValueError):
    """A model whose blocks cannot run on a flat list of tokens; the message says why."""


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    attend: Attend | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Transformers' interface: q, k, v are [1, heads, N, d] here, and the result is [1, N, heads, d]."""
    if attend is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **settings)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))
    return attend(q, k, v, scale)[None], None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)


class Decoder:
    """Embedding, blocks, final norm and head of a model; the model itself keeps working as before."""

    def __init__(self, model: PreTrainedModel, blocks: nn.ModuleList) -> None:
        """Find the parts.

        Raises:
            NotPackableError: A part is missing, the blocks need more than positions and their own attention, or the
                parts together do not compute what the model computes.
        """
        body = model.get_decoder()
        parts = [getattr(body, name, None) for name in ("rotary_emb", "norm", "embed_tokens")]
        if any(part is None for part in parts):
            raise NotPackableError(f"{type(model).__name__} has no rotary_emb, norm and embed_tokens beside its blocks")
        config: Any = model.config.get_text_config()
        if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
            raise NotPackableError(f"{type(model).__name__} has blocks that do not attend to everything before")
        dropouts = {name: value for name, value in config.to_dict().items() if ("drop" in name) and value}
        if dropouts:
            raise NotPackableError(f"{type(model).__name__} trains with dropout: {dropouts}")
        self.blocks = blocks
        self.embedding, self.norm, self.head = body.embed_tokens, body.norm, model.get_output_embeddings()
        self._rotary, self._config = body.rotary_emb, config
        before, config._attn_implementation = config._attn_implementation, ATTENTION
        try:
            self._require_equal(model)
        except NotPackableError:
            config._attn_implementation = before
            raise

    @torch.no_grad()
    def _require_equal(self, model: PreTrainedModel) -> None:
        """Refuse a model that does more than its parts say: scales its embedding, caps its logits ..."""
        ids = [1 + place % (self.embedding.num_embeddings - 1) for place in range(0, 7 * 8, 7)]
        tree = grow([ids])
        device = self.norm.weight.device
        theirs = model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0].float()
        rotation = self.rotation(torch.from_numpy(tree.position_N).to(device))
        hidden_NH = self.embedding(torch.from_numpy(tree.ids_N).to(device))
        try:
            for block in self.blocks:
                hidden_NH = self.run(block, hidden_NH, rotation, TreeAttention(Reading.of([tree]), device))
        except (TypeError, RuntimeError, AttributeError, IndexError) as error:  # a block that wants other inputs
            raise NotPackableError(f"the blocks of {type(model).__name__} want more than positions: {error}") from error
        ours = torch.nn.functional.linear(self.norm(hidden_NH), self.head.weight).float()
        tolerance = 1e-3 if theirs.dtype == hidden_NH.dtype else 0.1  # bfloat16 rounds in another order
        if not torch.allclose(ours, theirs, atol=tolerance * float(theirs.abs().max()), rtol=0.0):
            raise NotPackableError(f"{type(model).__name__} computes more than its blocks, final norm and head say")

    def rotation(self, position_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of the positions, each [N, d]."""
        cos, sin = self._rotary(self.embedding.weight[:1, None], position_N[None])
        return cos[0], sin[0]

    def run(
        self, block: nn.Module, hidden_NH: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor], attend: Attend
    ) -> torch.Tensor:
        """Send tokens through one block, one of this model's or a copy of one."""
        cos, sin = rotation
        output = block(hidden_NH[None], position_embeddings=(cos[None], sin[None]), attend=attend)
        return (output[0] if isinstance(output, tuple) else output)[0]
