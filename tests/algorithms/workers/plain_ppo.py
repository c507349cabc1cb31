"""Clipped PPO as a plain PyTorch loop, one row at a time: what the worker is compared with."""

from __future__ import annotations

import numpy as np
import torch

from agents.sampler import Request
from algorithms.batch import Batch
from algorithms.layers import block_of_parameters

ADVANTAGES = np.array([1.5, -0.5, -1.0, 0.0, 0.0, 2.0])
N_TOKENS = 6
"""The response limit of the tiny configuration."""


def make_batch(prompts, responses, logprobs):
    trajectory = np.arange(len(prompts))
    return Batch(
        prompt_ids=prompts,
        response_ids=responses,
        rollout_logprobs=logprobs,
        group_B=trajectory // 2,
        trajectory_B=trajectory,
        turn_B=0 * trajectory,
        reward_B=np.zeros(len(prompts)),
        anchor_B=[""] * len(prompts),
        return_N=np.zeros(len(prompts)),
        group_N=trajectory // 2,
    )


def asked(prompts):
    """Requests for the prompts, row i with seed i."""
    return [Request(prompt, seed) for seed, prompt in enumerate(prompts)]


def log_prob_T(model, prompt, response, temperature=1.0):
    """Log-probs of one response by one plain forward pass."""
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits / temperature, dim=-1)[range(len(response)), response]


def by_hand(model, batch, *, normaliser, trained, kl_from=None, kl_coef=0.0, entropy_coef=0.0, clip=0.2):
    """Loss and gradient norm of clipped PPO, row by row; ``normaliser(tokens)`` divides the sum over all tokens."""
    total = 0.0
    rows = zip(batch.prompt_ids, batch.response_ids, batch.rollout_logprobs, ADVANTAGES, strict=True)
    for prompt, response, old, advantage in rows:
        logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        log_probs_TV = torch.log_softmax(logits, dim=-1)
        new = log_probs_TV[range(len(response)), response]
        ratio = (new - torch.tensor(old)).exp()
        loss_T = -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
        if kl_from is not None:
            with torch.no_grad():
                behind = log_prob_T(kl_from, prompt, response) - new.detach()
            gap = behind + new.detach() - new
            loss_T = loss_T + kl_coef * (gap.exp() - gap - 1)
        entropy_T = -(log_probs_TV.exp() * log_probs_TV).sum(-1)
        total = total + (loss_T - entropy_coef * entropy_T).sum()
    loss = total / normaliser(sum(map(len, batch.response_ids)))
    model.zero_grad()
    loss.backward()
    inside = [p for name, p in model.named_parameters() if trained(block_of_parameters(model)[name])]
    return loss.item(), torch.cat([p.grad.flatten() for p in inside]).norm().item()


def token_mean(tokens):
    """GRPO: the mean over all tokens of the batch."""
    return tokens


def constant(tokens):
    """Dr. GRPO: rows times the response limit, however long the answers are."""
    return len(ADVANTAGES) * N_TOKENS
