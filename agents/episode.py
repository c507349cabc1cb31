"""What a rollout returns: episodes made of turns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Start:
    """Where one episode begins: fully determines the environment's initial state.

    ``group`` says which episodes are compared with each other (all share split and index); ``sample`` numbers the
    members of a group; ``sampling_seed`` seeds the tokens drawn in this episode, whatever batch it is drawn in.
    ``variant`` says which policy plays it, where one rollout serves a bank of several.
    """

    split: str
    index: int
    group: int
    sample: int
    sampling_seed: int
    variant: int = 0


@dataclass
class Turn:
    """One exchange: what the model read, what it wrote, what the environment made of it.

    ``logprobs`` and ``entropies`` are per response token, in nats, at the sampling temperature. ``reward`` is the
    weighted sum of ``reward_terms``. ``truncated`` is true when the response hit the token limit. ``text`` is what the
    environment was given and ``action`` what it read there. ``well_formed``: an action could be read; ``valid``: it
    could also be carried out.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    logprobs: list[float]
    entropies: list[float]
    truncated: bool
    text: str
    observation: str
    reward: float = 0.0
    reward_terms: dict[str, float] = field(default_factory=dict)
    anchor: str = ""
    action: str = ""
    well_formed: bool = True
    valid: bool = True
    status: str = "ok"


@dataclass
class Episode:
    """One attempt at one item.

    ``status`` is ``done`` (the task ended), ``truncated`` (the turn limit ended it, or its conversation no longer fits
    ``task.max_prompt_tokens``) or ``env_error`` (the environment broke; ``error`` says how; such an episode is counted
    and left out of its group's statistics).
    """

    start: Start
    turns: list[Turn] = field(default_factory=list)
    item_id: str = ""
    task_type: str = ""
    """Which kind of item it is, where the task has kinds."""
    status: str = "done"
    success: bool = False
    error: str = ""

    @property
    def outcome(self) -> float:
        """The task's own result: the sum of the ``outcome`` terms, in [0, 1]."""
        return sum(turn.reward_terms.get("outcome", 0.0) for turn in self.turns)

    @property
    def total_reward(self) -> float:
        """The weighted reward the policy is trained on, summed over turns."""
        return sum(turn.reward for turn in self.turns)
