"""How large a model is, from a ``config.json`` or its excerpt in ``conf/model``; its weights are not touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from agents import smollm2, tiny
from agents.cache import cache_root
from algorithms.layers import LayerError, find_blocks
from conf.errors import UserError
from conf.schema import ModelConfig, TaskConfig


class UnknownSizeError(UserError, ValueError):
    """Nothing at hand says how large a model is; the message says what would."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of parameters, and the widths that activations and caches depend on."""

    n_blocks: int
    block: int
    """Parameters of a decoder block, of the largest where they differ."""
    rest: int
    """Parameters of embeddings, final norm and head; what is tied counts once."""
    hidden: int
    intermediate: int
    queries: int
    """Numbers in a token's queries, of all heads."""
    keys: int
    """Numbers in a token's keys; its values have as many."""
    vocabulary: int
    source: str

    @property
    def total(self) -> int:
        """All parameters."""
        return self.n_blocks * self.block + self.rest

    @property
    def cached(self) -> int:
        """Numbers that a token leaves in the cache of keys and values."""
        return 2 * self.n_blocks * self.keys


def sizes_of(model: ModelConfig, task: TaskConfig) -> Sizes:
    """Count the parameters of ``model``; of ``tiny``, which is made for each task, those of the task's.

    Raises:
        UnknownSizeError: There is no ``config.json`` at hand, and ``conf/model`` says nothing.
    """
    folder = _folder(model, task)
    try:
        if folder:
            return measure(AutoConfig.from_pretrained(folder, local_files_only=True), f"{folder / 'config.json'}")
        if model.shape and model.n_blocks:
            shape = dict(model.shape) | {"num_hidden_layers": model.n_blocks}
            return measure(AutoConfig.for_model(**shape), f"model.shape of {model.name} (conf/model)")
    except (ValueError, TypeError, OSError, LayerError) as error:  # a file or a shape that transformers cannot take
        raise UnknownSizeError(f"the size of model {model.name} cannot be read: {error}") from error
    raise UnknownSizeError(
        f"the size of model {model.name} is not known before its files are here; "
        "give model.path=<folder with config.json>, or model.n_blocks and model.shape as conf/model/qwen3_8b_base.yaml"
    )


def measure(config: PretrainedConfig, source: str) -> Sizes:
    """Build the model of a configuration on torch's meta device, where a tensor has a shape and no memory."""
    text: Any = config.get_text_config()
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(text)
    blocks = [sum(parameter.numel() for parameter in block.parameters()) for block in find_blocks(module)]
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    intermediate = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size
    return Sizes(
        n_blocks=len(blocks),
        block=max(blocks),
        rest=sum(parameter.numel() for parameter in module.parameters()) - sum(blocks),
        hidden=text.hidden_size,
        intermediate=intermediate,
        queries=heads * width,
        keys=(getattr(text, "num_key_value_heads", None) or heads) * width,
        vocabulary=text.vocab_size,
        source=source,
    )


def _folder(model: ModelConfig, task: TaskConfig) -> Path | None:
    """Where a ``config.json`` of the model lies on this machine; in the order in which a run looks for its weights."""
    if model.path is not None:
        folder = Path(model.path).expanduser()
        if not (folder / "config.json").is_file():
            raise UnknownSizeError(f"model.path={model.path} holds no config.json")
        return folder
    if model.hub_id is not None:
        found = try_to_load_from_cache(model.hub_id, "config.json", revision=model.revision)
        if isinstance(found, str):
            return Path(found).parent
    made = {"smollm2_wheel": lambda: smollm2.FOLDER, "tiny_recipe": lambda: tiny.folder_name(task)}
    if model.embedded in made and (cache_root() / made[model.embedded]() / "config.json").is_file():
        return cache_root() / made[model.embedded]()
    return None
