"""A training step written by hand in plain PyTorch: what a careful person would write for this one task and no other.

It knows nothing of verl or of this project's code; it shares with them the mathematics only. Shapes: _B rows, _T
tokens, _R response tokens of all rows in one list, _V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache


class PlainLoop:
    """GRPO on one Hugging Face model: every parameter trains, or those of one decoder block."""

    def __init__(self, path: Path, block: int | None, *, lr: float, betas: tuple[float, float], decay: float) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa")
        if block is not None:
            self.model.requires_grad_(False)
            self.model.model.layers[block].requires_grad_(True)
        # Without this a frozen head is several times slower on CPU: torch copies it for every row of a sliced input.
        self.model.lm_head.register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=lr, betas=betas, weight_decay=decay)

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[list[int]], uniform_BT: torch.Tensor, stop_ids: Sequence[int]
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Sample at temperature 1: read each distinct prompt once, decode all rows together, drop those that stopped.

        ``uniform_BT`` are the random numbers, one per token, so that both sides draw the same answers.
        """
        self.model.eval()
        distinct = sorted(set(map(tuple, prompts)))
        width = max(map(len, distinct))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in distinct])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in distinct])
        cache = DynamicCache(config=self.model.config)
        position = (mask.cumsum(1) - 1).clamp(min=0)
        logits = self.model(
            ids, attention_mask=mask, position_ids=position, past_key_values=cache, logits_to_keep=1
        ).logits[:, -1]
        rows = torch.tensor([distinct.index(tuple(p)) for p in prompts])
        cache.batch_select_indices(rows)
        logits_BV, mask_BT, alive_B = logits[rows], mask[rows], torch.arange(len(prompts))
        tokens: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] = [[] for _ in prompts]
        stops = torch.tensor(stop_ids)
        for step in range(uniform_BT.shape[1]):
            logprob_BV = torch.log_softmax(logits_BV, dim=-1)
            cumulative_BV = logprob_BV.exp().cumsum(-1, dtype=torch.float64)
            drawn_B = uniform_BT[alive_B, step][:, None] * cumulative_BV[:, -1:]
            token_B1 = torch.searchsorted(cumulative_BV, drawn_B, right=True)
            chosen = logprob_BV.gather(1, token_B1)
            for row, token, logprob in zip(
                alive_B.tolist(), token_B1[:, 0].tolist(), chosen[:, 0].tolist(), strict=True
            ):
                tokens[row].append(token)
                logprobs[row].append(logprob)
            keep = (~torch.isin(token_B1[:, 0], stops)).nonzero()[:, 0]
            alive_B = alive_B[keep]
            if not len(alive_B) or step + 1 == uniform_BT.shape[1]:
                break
            cache.batch_select_indices(keep)
            mask_BT = torch.cat([mask_BT[keep], mask_BT.new_ones(len(keep), 1)], dim=1)
            logits_BV = self.model(
                token_B1[keep],
                attention_mask=mask_BT,
                position_ids=mask_BT.sum(1, keepdim=True) - 1,
                past_key_values=cache,
            ).logits[:, -1]
        return tokens, logprobs

    def update(
        self,
        prompts: Sequence[list[int]],
        responses: Sequence[list[int]],
        old_logprobs: Sequence[list[float]],
        advantages: np.ndarray,
        *,
        clip: float,
        clip_grad: float,
        drop_zero: bool,
    ) -> float:
        """One AdamW step on the clipped PPO loss, a mean over all response tokens; returns the gradient's norm.

        With ``drop_zero`` rows of advantage zero are left out of the pass; the mean still counts their tokens.
        """
        self.model.train()
        n_tokens = sum(map(len, responses))
        rows = [row for row in range(len(prompts)) if advantages[row] or not drop_zero]
        texts = [prompts[row] + responses[row] for row in rows]
        width = max(map(len, texts))
        ids_BT = torch.tensor([text + [0] * (width - len(text)) for text in texts])
        mask_BT = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
        # The token at position t is predicted by the hidden state at t - 1.
        where = [i * width + t for i, row in enumerate(rows) for t in range(len(prompts[row]) - 1, len(texts[i]) - 1)]
        label_R = torch.tensor([token for row in rows for token in responses[row]])
        old_R = torch.tensor([value for row in rows for value in old_logprobs[row]])
        advantage_R = torch.tensor([advantages[row] for row in rows for _ in responses[row]], dtype=torch.float32)
        hidden = self.model.model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
        logits_RV = self.model.lm_head(hidden.flatten(0, 1)[torch.tensor(where)])
        logprob_R = torch.log_softmax(logits_RV, dim=-1).gather(1, label_R[:, None])[:, 0]
        ratio_R = (logprob_R - old_R).exp()
        clipped_R = ratio_R.clamp(1 - clip, 1 + clip)
        loss = torch.maximum(-advantage_R * ratio_R, -advantage_R * clipped_R).sum() / n_tokens
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained, clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm)
