"""What an agent remembers of one episode, as the prompt of its next turn.

``window:k``: every turn has a prompt of its own, with the last k turns in it (k = 0: nothing but the present). This is
GiGPO's protocol (arXiv 2505.10978): rows stay short however long the episode.

``chat``: one conversation that only grows. Each prompt begins with the one before it and the answer to it, so a sampler
that kept their keys and values reads the new part only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from agents.messages import Profile, View, later_text, opening_text, profile_of
from agents.tokens import decode, encode
from conf.schema import TaskConfig

CHAT = "chat"


class Memory:
    """The memory of one episode. Make one per episode, then alternate ``prompt`` and ``record``."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, task: TaskConfig, observation: str, info: Mapping[str, Any]
    ) -> None:
        """Begin with what ``reset`` returned."""
        self._tokenizer, self._task, self._profile = tokenizer, task, profile_of(task.prompt)
        self._window = window_of(task.history)
        self._past: deque[tuple[str, str]] = deque(maxlen=self._window or 0)
        self._turn = 0
        self._text, self._ids = "", list[int]()
        self._see(observation, info)
        self._open()

    @property
    def prompt_ids(self) -> list[int]:
        """What the model reads next."""
        if not self._ids:  # as late as possible: a text may be all that is wanted
            self._ids = encode(self._tokenizer, self._text)
        return self._ids

    @property
    def prompt_text(self) -> str:
        """The same as text; in a conversation, with the answers given so far."""
        return self._text

    def record(self, response_ids: list[int], action: str, observation: str, info: Mapping[str, Any]) -> None:
        """Take in one turn: what the model wrote, what it did by that, what ``step`` returned.

        With ``task.remember_invalid`` off, a turn in which nothing was carried out is forgotten: the next prompt is the
        same.
        """
        if not (self._task.remember_invalid or info.get("played", info.get("valid", True))):
            return
        self._turn += 1
        self._past.append((self._observation, action))
        self._see(observation, info)
        if self._window is not None:
            self._open()
            return
        joint = later_text(self._tokenizer, self._profile, self._view())
        answer = decode(self._tokenizer, response_ids, skip_special_tokens=False)
        ending = decode(self._tokenizer, response_ids[-1:], skip_special_tokens=False) if response_ids else ""
        # An answer that ended its turn itself has written what the joint begins with.
        new = joint.removeprefix(ending) if ending else joint
        ids = self.prompt_ids
        self._text = f"{self._text}{answer}{new}"
        self._ids = [*ids, *response_ids, *encode(self._tokenizer, new)]

    def _open(self) -> None:
        self._text = opening_text(self._tokenizer, self._profile, self._task.instruction, self._view())
        self._ids = []

    def _see(self, observation: str, info: Mapping[str, Any]) -> None:
        self._observation = observation
        self._told = info

    def _view(self) -> View:
        told, admissible = self._told, self._told.get("admissible") if self._task.show_admissible else None
        return View(
            observation=self._observation,
            task=str(told.get("task", "")),
            notes=str(told.get("notes", "")),
            admissible=tuple(admissible or ()),
            turn=self._turn,
            past=tuple(self._past),
        )


def window_of(history: str) -> int | None:
    """Read ``task.history``: the number of past turns in a prompt, or None for a conversation that grows.

    Raises:
        ValueError: It is neither ``chat`` nor ``window:<k>``.
    """
    if history == CHAT:
        return None
    match = re.fullmatch(r"window:(\d{1,4})", history)
    if match is None:
        raise ValueError(f"task.history={history!r} is unknown; valid: {CHAT}, window:<number of past turns>")
    return int(match[1])


def check_profile(profile: Profile, task: TaskConfig) -> None:
    """Refuse settings that the prompt profile would ignore.

    Raises:
        ValueError: A history or admissible actions are asked for and this profile words neither.
    """
    if window_of(task.history) and not profile.shows_past:
        raise ValueError(f"task.prompt={task.prompt} shows no past turns; use task.history=window:0 or chat")
    if task.show_admissible and not profile.shows_admissible:
        raise ValueError(f"task.prompt={task.prompt} shows no admissible actions; use task.show_admissible=false")
