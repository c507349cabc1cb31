"""Prompt profiles: how an observation becomes the token ids a model reads."""

from __future__ import annotations

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

Profile = Callable[[PreTrainedTokenizerBase, str, str], list[int]]


def qa(tokenizer: PreTrainedTokenizerBase, observation: str, instruction: str) -> list[int]:
    """A bare question-and-answer text, for base models and small ones: no chat template, few tokens."""
    lead = f"{instruction}\n" if instruction else ""
    return tokenizer.encode(f"{lead}Question: {observation}\nAnswer:", add_special_tokens=False)


def chat(tokenizer: PreTrainedTokenizerBase, observation: str, instruction: str) -> list[int]:
    """The model's own chat template, the instruction as system message when there is one."""
    system = [{"role": "system", "content": instruction}] if instruction else []
    messages = [*system, {"role": "user", "content": observation}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    return list(ids)


PROFILES: dict[str, Profile] = {"qa": qa, "chat": chat}


def profile_of(name: str) -> Profile:
    """Return the prompt profile called ``name``; raises ``ValueError`` naming the valid ones."""
    if name not in PROFILES:
        raise ValueError(f"task.prompt={name!r} is unknown; valid: {', '.join(PROFILES)}")
    return PROFILES[name]
