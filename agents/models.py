"""Where a model's files come from: a local folder, the Hugging Face hub, or a source that needs no hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from agents import smollm2, tiny
from agents.cache import ModelError, prepared
from conf.schema import ModelConfig, TaskConfig

HUB_TIMEOUT_S = 5
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
WEIGHT_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class ModelFiles:
    """A folder in Hugging Face format, the source it came from, and how many decoder blocks it holds."""

    path: Path
    source: str
    n_blocks: int

    def fingerprint(self) -> str:
        """A short hash of the weight files: their names, sizes and 64 samples of 64 KiB spread over each."""
        digest = hashlib.sha256()
        for file in sorted([*self.path.glob("*.safetensors"), *self.path.glob("*.bin")]):
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode())
            with file.open("rb") as stream:
                for sample in range(64):
                    stream.seek(sample * max(size - 65536, 0) // 63)
                    digest.update(stream.read(65536))
        return digest.hexdigest()[:16]


def resolve(model: ModelConfig, task: TaskConfig | None = None) -> ModelFiles:
    """Find or prepare the files of ``model``; ``task`` is what the ``tiny_recipe`` source is warmed up on.

    A ``path`` is taken at its word: when it is set, nothing else is tried.

    Raises:
        ValueError: ``model.path`` is not a complete model folder, ``model.n_blocks`` is not what the weights have,
            ``model.embedded`` is unknown, or no source is configured.
        ModelError: every configured source failed; the message lists each with its reason.
    """
    if model.path is not None:
        folder = Path(model.path).expanduser()
        if missing := missing_files(folder):
            raise ValueError(f"model.path={model.path} is not a complete model folder: {missing}")
        return _checked(model, folder, "folder")
    if model.embedded is not None and model.embedded not in EMBEDDED:
        raise ValueError(f"model.embedded={model.embedded!r} is unknown; valid: {', '.join(EMBEDDED)}")
    if model.hub_id is None and model.embedded is None:
        raise ValueError(f"model.name={model.name} has no source; set one of model.path, model.hub_id, model.embedded")
    failures = []
    if model.hub_id is not None:
        try:
            return _checked(model, _from_hub(model.hub_id, model.revision), "hub")
        except ModelError as error:
            failures.append(f"model.hub_id={model.hub_id}: {error}")
    if model.embedded is not None:
        try:
            folder, source = EMBEDDED[model.embedded](task)
            return _checked(model, folder, source)
        except ModelError as error:
            failures.append(f"model.embedded={model.embedded}: {error}")
    tried = "\n".join(f"  {failure}" for failure in ["model.path: not set", *failures])
    raise ModelError(f"model {model.name} was found nowhere:\n{tried}")


def missing_files(folder: Path) -> str:
    """Say what keeps ``folder`` from being a model in Hugging Face format; empty when it is complete."""
    if not folder.is_dir():
        return "there is no such folder"
    missing = [] if (folder / "config.json").is_file() else ["no config.json"]
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        missing.append(f"no tokenizer (one of {', '.join(TOKENIZER_FILES)})")
    index = next((folder / name for name in WEIGHT_INDEXES if (folder / name).is_file()), None)
    if index is not None:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing += [f"no {shard}" for shard in shards if not (folder / shard).is_file()]
    elif not any((folder / name).is_file() for name in WEIGHT_FILES):
        missing.append(f"no weights (one of {', '.join(WEIGHT_FILES)})")
    return ", ".join(missing)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model folder, padding on the left, with a pad token whatever the model.

    Raises:
        ValueError: it has neither a pad nor an end-of-text token.
    """
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(f"the tokenizer in {path} has neither a pad nor an eos token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def cached_on_hub(hub_id: str, revision: str | None = None) -> Path | None:
    """Return the complete snapshot of ``hub_id`` in the local Hugging Face cache, or None."""
    try:
        folder = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return None if missing_files(folder) else folder


def _from_hub(hub_id: str, revision: str | None) -> Path:
    if folder := cached_on_hub(hub_id, revision):
        return folder
    if constants.HF_HUB_OFFLINE:
        raise ModelError("not in the Hugging Face cache, and HF_HUB_OFFLINE is set")
    try:
        # One quick question first: a hub that cannot be reached must fail in seconds.
        listed = HfApi().model_info(hub_id, revision=revision, timeout=HUB_TIMEOUT_S).siblings or []
        has_safetensors = any(file.rfilename.endswith(".safetensors") for file in listed)
        weights = "*.safetensors" if has_safetensors else "*.bin"
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=[*SMALL_FILES, weights]))
    except Exception as error:  # the hub's client raises many kinds; each means the next source is tried
        raise ModelError(f"not in the Hugging Face cache; hub: {type(error).__name__}: {error}") from error
    if missing := missing_files(folder):
        raise ModelError(f"the repository is not a complete model: {missing}")
    return folder


def _checked(model: ModelConfig, folder: Path, source: str) -> ModelFiles:
    n_blocks = AutoConfig.from_pretrained(folder).get_text_config().num_hidden_layers
    if model.n_blocks is not None and model.n_blocks != n_blocks:
        raise ValueError(f"model.n_blocks={model.n_blocks}, but the weights in {folder} have {n_blocks} blocks")
    return ModelFiles(folder, source, n_blocks)


def _smollm2_wheel(task: TaskConfig | None) -> tuple[Path, str]:
    return prepared(smollm2.FOLDER, smollm2.build), smollm2.SOURCE


def _tiny_recipe(task: TaskConfig | None) -> tuple[Path, str]:
    if task is None:
        raise ModelError("the tiny model is warmed up on a task, and none was given")
    return prepared(tiny.folder_name(task), lambda folder: tiny.build(task, folder)), tiny.SOURCE


EMBEDDED: dict[str, Callable[[TaskConfig | None], tuple[Path, str]]] = {
    "smollm2_wheel": _smollm2_wheel,
    "tiny_recipe": _tiny_recipe,
}
