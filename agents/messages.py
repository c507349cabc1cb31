"""Prompt profiles: how what an agent knows at a turn becomes the text its model reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class View:
    """What a prompt is made of at one turn; empty where the task does not tell."""

    observation: str
    task: str = ""
    """What is asked, in words."""
    notes: str = ""
    """The task's summary of what the episode has shown so far."""
    admissible: tuple[str, ...] = ()
    turn: int = 0
    """How many turns were taken before this one."""
    past: tuple[tuple[str, str], ...] = ()
    """The last turns, oldest first: what was observed, what was done then."""


@dataclass(frozen=True)
class Profile:
    """How a view is worded. ``opening`` stands for itself; ``later`` goes on with a conversation (``history=chat``)."""

    opening: Callable[[View], str]
    later: Callable[[View], str]
    templated: bool
    """In the model's own chat template, or as bare text."""
    shows_past: bool = False
    """Whether ``opening`` words ``View.past``."""
    shows_admissible: bool = True
    """Whether admissible actions are worded when the view has them."""


def _question(view: View) -> str:
    return f"Question: {view.observation}\nAnswer:"


def _observation(view: View) -> str:
    return view.observation


def _later_observation(view: View) -> str:
    return f"\n{view.observation}"


def _options(view: View) -> str:
    return f"\nYou can: {', '.join(view.admissible)}." if view.admissible else ""


def _message(view: View) -> str:
    done = "".join(f"\n> {action}" for _, action in view.past)
    return f"{view.observation}{_options(view)}" + (f"\nYour last actions:{done}" if done else "")


def _whole_message(view: View) -> str:
    """A message that stands for itself: after the first turn the observation no longer says what is asked."""
    task = f"Your task is to: {view.task}.\n" if view.task and view.turn else ""
    return f"{task}{_message(view)}"


_WORD = re.compile("[a-z]+")
_PLAIN = frozenset(_WORD.findall("a an and at examine find in it look of on put some the them to two under with"))


def _compact(view: View) -> str:
    """Few tokens: task, notes, what was done, what is seen; then the model writes the action.

    What the task names carries a star wherever else it is named: a model this small is slow to find it by itself.
    """
    lines = [view.notes] if view.notes else []
    lines += ["did: " + "; ".join(action for _, action in view.past)] if view.past else []
    # What the first text of an episode shows is in the notes, where the task keeps any.
    lines += [view.observation] if view.turn or not view.notes else []
    starred = _starred("\n".join([*lines, *_listed(view)]), view.task)
    return (f"task: {view.task}\n" if view.task else "") + f"{starred}\n>"


def _compact_later(view: View) -> str:
    return "\n" + _starred("\n".join([view.observation, *_listed(view)]), view.task) + "\n>"


def _listed(view: View) -> list[str]:
    return ["can: " + "; ".join(view.admissible)] if view.admissible else []


def _starred(text: str, task: str) -> str:
    named = set(_WORD.findall(task)) - _PLAIN
    return _WORD.sub(lambda word: f"{word[0]}*" if word[0] in named else word[0], text)


def _verl_agent(view: View) -> str:
    """What verl-agent tells its model, in that order; the wording is ours.

    Protocol (arXiv 2505.10978, appendix E, and its code): the task, the number of steps taken and the last
    observations with their actions from the second turn on; the observation; the admissible commands in quotes, one a
    line, without ``help``; an answer of ``<think>`` then ``<action>``.
    """
    if view.turn:
        first = view.turn - len(view.past) + 1
        past = "\n".join(
            f"[Observation {number}: '{observation}', Action {number}: '{action}']"
            for number, (observation, action) in enumerate(view.past, first)
        )
        recent = f" These are your last {len(view.past)} observations, each with the action you chose: {past}"
        head = (
            f"You control a household robot. Your task is to: {view.task}\n"
            f"So far you have taken {view.turn} step(s).{recent if past else ''}\n"
            f"This is step {view.turn + 1}. You now observe: {view.observation}"
        )
    else:
        head = f"You control a household robot.\nYou now observe: {view.observation}"
    commands = "\n ".join(f"'{command}'" for command in view.admissible if command != "help")
    return (
        f"{head}\nActions that are admissible now: [{commands}].\n\n"
        "Choose your next action. First think it through step by step, between <think> and </think>. "
        "Then give one admissible action between <action> and </action>."
    )


PROFILES: dict[str, Profile] = {
    # A bare question-and-answer text, for base models and small ones: no chat template, few tokens.
    "qa": Profile(_question, lambda view: f"\n{_question(view)}", templated=False, shows_admissible=False),
    # The observation as a user's message.
    "chat": Profile(_whole_message, _message, templated=True, shows_past=True),
    # The observation and nothing else: code that the model goes on with.
    "bare": Profile(_observation, _later_observation, templated=False, shows_admissible=False),
    # For models too small for sentences.
    "compact": Profile(_compact, _compact_later, templated=False, shows_past=True),
    # verl-agent's protocol, for figures that can be put beside GiGPO's.
    "verl_agent": Profile(_verl_agent, _verl_agent, templated=True, shows_past=True),
}


def profile_of(name: str) -> Profile:
    """Return the prompt profile called ``name``; raises ``ValueError`` naming the valid ones."""
    if name not in PROFILES:
        raise ValueError(f"task.prompt={name!r} is unknown; valid: {', '.join(PROFILES)}")
    return PROFILES[name]


@lru_cache(maxsize=4096)  # episodes of a group, and of arms side by side, read the same texts
def opening_text(tokenizer: PreTrainedTokenizerBase, profile: Profile, instruction: str, view: View) -> str:
    """The text of a prompt that stands for itself, up to where the model writes."""
    text = profile.opening(view)
    if not profile.templated:
        return f"{instruction}\n{text}" if instruction else text
    system = [{"role": "system", "content": instruction}] if instruction else []
    return _templated(tokenizer, [*system, {"role": "user", "content": text}])


def later_text(tokenizer: PreTrainedTokenizerBase, profile: Profile, view: View) -> str:
    """What follows an answer in a conversation: the end of the answer's turn, then the next observation.

    Raises:
        ValueError: The model's chat template words a conversation's messages differently once others follow.
    """
    text = profile.later(view)
    if not profile.templated:
        return text
    mark = "\x02"  # in no template and no vocabulary
    first = [{"role": "user", "content": "-"}, {"role": "assistant", "content": mark}]
    whole = _templated(tokenizer, [*first, {"role": "user", "content": text}])
    if whole.count(mark) != 1:
        raise ValueError("this model's chat template does not keep an answer as it was; use task.history=window:2")
    return whole.split(mark)[1]


def _templated(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
