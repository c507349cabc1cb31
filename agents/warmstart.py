"""Supervised training of a causal language model on (prompt, response) token pairs, the loss on responses only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One thing to imitate: after ``prompt_ids`` write ``response_ids``, the end token included."""

    prompt_ids: list[int]
    response_ids: list[int]


def train(
    model: PreTrainedModel,
    examples: Sequence[Example],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    schedule: str = "constant",
    weight_decay: float = 0.0,
    clip_grad: float = 1.0,
    enough: Callable[[int], bool] | None = None,
) -> list[float]:
    """Train ``model`` in place and return the loss of every step.

    The same model, examples and seed give the same weights on one machine with one number of threads.

    Args:
        model: any causal language model; left in evaluation mode.
        examples: what to imitate, drawn without repetition until all were seen.
        steps: optimizer steps, at most.
        batch_size: examples per step; every response token of a batch counts the same.
        learning_rate: AdamW's.
        seed: decides the order of the examples.
        schedule: ``constant``, or ``cosine`` down to zero at ``steps``.
        weight_decay: AdamW's.
        clip_grad: largest norm of a step's gradient.
        enough: asked after every step with the number of steps done; true ends the training.

    Raises:
        ValueError: there are no examples, one has an empty prompt or response, or ``schedule`` is unknown.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is unknown; valid: {', '.join(SCHEDULES)}")
    if not examples or not all(example.prompt_ids and example.response_ids for example in examples):
        raise ValueError("a warm start needs examples, each with a prompt and a response")
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: SCHEDULES[schedule](step / steps))
    losses: list[float] = []
    queue: list[int] = []
    model.train()
    for step in range(1, steps + 1):
        while len(queue) < batch_size:
            queue += torch.randperm(len(examples), generator=order).tolist()
        batch, queue = queue[:batch_size], queue[batch_size:]
        loss = _token_losses([examples[index] for index in batch], model).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_grad)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rate.step()
        losses.append(loss.item())
        if enough is not None and enough(step):
            break
    model.eval()
    return losses


@torch.no_grad()
def chance_of(model: PreTrainedModel, examples: Sequence[Example], batch_size: int = 256) -> float:
    """Return the mean probability that ``model``, sampling at temperature 1, writes exactly the given responses.

    Where one response is right this is the expected sampled accuracy, without sampling noise.
    """
    was_training = model.training
    model.eval()
    chances = []
    for first in range(0, len(examples), batch_size):
        batch = examples[first : first + batch_size]
        rows = [len(example.response_ids) for example in batch]
        chances += [(-loss.sum()).exp().item() for loss in _token_losses(batch, model).split(rows)]
    model.train(was_training)
    return sum(chances) / len(chances)


def _token_losses(batch: Sequence[Example], model: PreTrainedModel) -> torch.Tensor:
    """Negative log-probability of every response token, row after row."""
    width = max(len(example.prompt_ids) + len(example.response_ids) for example in batch)
    input_BT = torch.zeros(len(batch), width, dtype=torch.long)
    label_BT = torch.full_like(input_BT, IGNORED)
    for row, example in enumerate(batch):
        ids = torch.tensor(example.prompt_ids + example.response_ids)
        # Padding on the right needs no mask: a causal model never looks there.
        input_BT[row, : len(ids)] = ids
        label_BT[row, len(example.prompt_ids) : len(ids)] = ids[len(example.prompt_ids) :]
    logits_BTV = model(input_ids=input_BT.to(model.device), use_cache=False).logits[:, :-1]
    target_BT = label_BT[:, 1:].to(model.device)
    counted_BT = target_BT != IGNORED
    return F.cross_entropy(logits_BTV[counted_BT].float(), target_BT[counted_BT], reduction="none")


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
}
