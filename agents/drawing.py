"""Tokens drawn from distributions: many draws from few distributions, each decided by its own uniform number.

Shapes: _n distributions, _r draws, _V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

_SPAN = 256
"""Tokens summed up together, so that the long cumulative sum runs over sums."""


class Drawn(NamedTuple):
    """Per draw the token, its log-prob, and the entropy of its distribution, both in nats at the temperature."""

    token_r: torch.Tensor
    logprob_r: torch.Tensor
    entropy_r: torch.Tensor


def draw(logits_nV: torch.Tensor, of_r: torch.Tensor, uniform_r: torch.Tensor, temperature: float) -> Drawn:
    """Invert the cumulative distribution of row ``of_r`` of the logits at ``uniform_r``; greedy at temperature 0.

    Args:
        logits_nV: Unscaled, of any float dtype.
        of_r: Which distribution each draw is from.
        uniform_r: float64 in [0, 1).
        temperature: Divides the logits; 0 takes the largest and reports log-probs at temperature 1.
    """
    logits_nV = logits_nV.float()
    if temperature not in (0, 1):
        logits_nV = logits_nV / temperature
    prob_nV = torch.softmax(logits_nV, dim=-1)
    highest_n = logits_nV.amax(-1)
    # log-sum-exp from the likeliest token: one pass over the vocabulary less than asking for it.
    log_top_n = prob_nV.amax(-1).log()
    token_r = logits_nV.argmax(-1)[of_r] if temperature == 0 else _invert(prob_nV, of_r, uniform_r)
    logprob_r = logits_nV[of_r, token_r] - highest_n[of_r] + log_top_n[of_r]
    entropy_n = highest_n - log_top_n - prob_nV.mul_(logits_nV).sum(-1)
    return Drawn(token_r, logprob_r, entropy_n[of_r])


def _invert(prob_nV: torch.Tensor, of_r: torch.Tensor, uniform_r: torch.Tensor) -> torch.Tensor:
    """The first token whose cumulative probability exceeds the draw's share of the total."""
    n, vocabulary = prob_nV.shape
    whole = vocabulary // _SPAN * _SPAN
    sums = prob_nV[:, :whole].reshape(n, -1, _SPAN).sum(-1)
    if whole < vocabulary:
        sums = torch.cat([sums, prob_nV[:, whole:].sum(-1, keepdim=True)], dim=1)
    cumulative_ns = sums.cumsum(-1, dtype=torch.float64)
    cumulative_rs = cumulative_ns[of_r]
    # Scaled by the total, so that rounding can never point past the last token.
    wanted_r1 = uniform_r[:, None] * cumulative_rs[:, -1:]
    span_r1 = torch.searchsorted(cumulative_rs, wanted_r1, right=True).clamp_(max=cumulative_rs.shape[1] - 1)
    before_r1 = torch.where(span_r1 > 0, cumulative_rs.gather(1, (span_r1 - 1).clamp(min=0)), 0.0)
    place_rs = span_r1 * _SPAN + torch.arange(_SPAN, device=prob_nV.device)
    inside_rs = place_rs < vocabulary
    place_rs = place_rs.clamp_(max=vocabulary - 1)
    prob_rs = torch.where(inside_rs, prob_nV[of_r[:, None], place_rs], 0.0)
    within_rs = prob_rs.cumsum(-1, dtype=torch.float64)
    offset_r1 = torch.searchsorted(within_rs, wanted_r1 - before_r1, right=True)
    # Sums rounded in another order may end below the draw: then it is the span's last possible token.
    last_r1 = (within_rs < within_rs[:, -1:]).sum(-1, keepdim=True)
    return place_rs.gather(1, torch.minimum(offset_r1, last_r1)).squeeze(1)
