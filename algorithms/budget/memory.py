"""Bytes that a rank holds, and the fewest ranks that a model needs: what the runners keep, added up.

Symbols: N parameters, N_t those that train, N_up those from the lowest block that trains upwards, r ranks, b bytes of a
number in which is computed. Weights that train, and those beside them, are float32.

    weights      4 N / r, and on one rank a copy of every block that a policy of the bank owns: 4 N_t
    gathered     b (rest + two blocks), sharded: FSDP2 puts a block together where it is used, and the next ahead of it
    sampling     b N: the copy that answers are drawn from, whole on every rank; none where float32 trains on one rank;
                 a vLLM or SGLang server takes its share of the device instead, weights and cache in it
    casts        2 N_up, not sharded, in bfloat16: autocast keeps what it has cast until the gradients are there
    gradients    4 N_t / r         optimizer  8 N_t / r  (AdamW: two moments)
    reference    kl_coef > 0: 4 N / r beside ``full`` or sharded; one rank's bank has it anyhow
    pass         tokens of a pass x (blocks from the lowest that trains x a + 8 V): a, bytes of activations a token and
                 block, is counted from what torch keeps (a test does); V the vocabulary: logits and probabilities.
                 With gradient checkpointing (blocks from the lowest that trains x b h + a + 8 V), h the hidden size
    cache        b k per token of the episodes that generate together

Sharded is what has several ranks. Left out: what the driver and the allocator take, the 2 GiB buffer and the one whole
tensor that a weight sync goes through, and that verl keeps a sharded reference in host memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.budget.arithmetic import Trained
from algorithms.budget.sizes import Sizes

MAX_RANKS = 4096


@dataclass(frozen=True)
class Memory:
    """Bytes per rank: by name what is always there, then what a token of a pass and a token in the cache take."""

    fixed: dict[str, float]
    pass_token: float
    cached_token: float

    def total(self, pass_tokens: int, cached_tokens: int) -> float:
        """Bytes at the worst moment; a pass and the cache are not there at the same time."""
        return sum(self.fixed.values()) + max(pass_tokens * self.pass_token, cached_tokens * self.cached_token)


@dataclass(frozen=True)
class Server:
    """A vLLM or SGLang server beside the ranks: bytes that it takes on each device, and the devices that share it."""

    reserved: float
    devices: int

    def room(self, sizes: Sizes, number: int) -> float:
        """Bytes on a device for the cache, beside the weights; ``number``: bytes of a number."""
        return self.reserved - number * sizes.total / self.devices


def activation_bytes(sizes: Sizes, half: bool) -> float:
    """Bytes that torch keeps of a token in a block with gated MLP for its gradients; ``half``: bfloat16 autocast."""
    heads = sizes.queries + sizes.keys
    if half:
        return 26 * sizes.hidden + 8 * sizes.intermediate + 11 * heads
    return 24 * sizes.hidden + 16 * sizes.intermediate + 17 * heads


def memory_of(
    sizes: Sizes,
    arms: Sequence[Trained],
    *,
    ranks: int,
    half: bool,
    reference: bool,
    checkpointing: bool = False,
    server: Server | None = None,
) -> Memory:
    """What one rank holds of arms that share a process; several arms are a bank, which has one rank.

    Args:
        sizes: The model.
        arms: What trains; of one that trains nothing, the untrained model is only sampled from.
        ranks: Processes that share the model, one device each.
        half: Compute in bfloat16, else float32.
        reference: The update has a KL term.
        checkpointing: Of a pass only what enters each block is kept.
        server: What answers, if it is not the rank itself.
    """
    number = 2 if half else 4
    trained = sum(sizes.total if arm.everything else len(arm.blocks) * sizes.block for arm in arms)
    cached = 0.0 if server else float(number * sizes.cached)
    if not trained:
        return Memory({"sampling": server.reserved if server else number * sizes.total}, 0.0, cached)
    alone, sharded = len(arms) == 1, ranks > 1
    in_place = alone and arms[0].everything and not reference
    copies = trained if not sharded and not in_place else 0
    lowest = min(0 if arm.everything else min(arm.blocks, default=sizes.n_blocks) for arm in arms)
    above = (sizes.n_blocks - lowest) * sizes.block + sizes.rest
    fixed = {
        "weights": 4 * (sizes.total / ranks + copies),
        "gathered": number * (sizes.rest + 2 * sizes.block) if sharded else 0,
        "sampling": number * (sizes.total + copies) if half or sharded else 0,
        "casts": 2 * above if half and not sharded else 0,
        "gradients": 4 * trained / ranks,
        "optimizer": 8 * trained / ranks,
        "reference": 4 * sizes.total / ranks if reference and sharded else 0,
    }
    if server:
        fixed["sampling"] = server.reserved
    n_above, kept = sizes.n_blocks - lowest, activation_bytes(sizes, half)
    activations = n_above * number * sizes.hidden + kept if checkpointing else n_above * kept
    per_token = activations + 8 * sizes.vocabulary
    return Memory({name: size for name, size in fixed.items() if size}, per_token, cached)


@dataclass(frozen=True)
class Fit:
    """The fewest ranks that hold something, and how large a pass and a batch of episodes they have room for."""

    ranks: int
    memory: Memory
    pass_tokens: int
    episodes: int
    moved: bool = False
    """It takes ``runner=cluster``, where ``runner=local`` was asked for."""


def fit(
    sizes: Sizes,
    arms: Sequence[Trained],
    row: int,
    usable: float,
    *,
    half: bool,
    reference: bool,
    least: int = 1,
    most: int = MAX_RANKS,
    checkpointing: bool = False,
    server: Server | None = None,
) -> Fit | None:
    """Find them: the smallest number of ranks whose memory holds one row in a pass and one episode in the cache.

    Args:
        sizes: The model.
        arms: As ``memory_of``.
        row: Tokens of the longest row, prompt and answer.
        usable: Bytes of a device that may be planned with.
        half: As ``memory_of``.
        reference: As ``memory_of``.
        least: Begin with so many, or with the next whole number of servers.
        most: Look no further.
        checkpointing: As ``memory_of``.
        server: As ``memory_of``.

    Returns:
        None where even ``most`` ranks do not hold it: what every rank has whole, or a server's share, is too large.
    """
    number, share = 2 if half else 4, server.devices if server else 1
    cached = number * sizes.cached * row / share
    if server and server.room(sizes, number) < cached:
        return None
    for ranks in range(-(-least // share) * share, most + 1, share):
        memory = memory_of(
            sizes,
            arms,
            ranks=ranks,
            half=half,
            reference=reference,
            checkpointing=checkpointing,
            server=server,
        )
        room = usable - sum(memory.fixed.values())
        if memory.total(row, row) <= usable:
            passes = int(room / memory.pass_token) if memory.pass_token else 0
            return Fit(ranks, memory, passes, int((server.room(sizes, number) if server else room) / cached))
    return None
