"""Small random models of several families, made from their configurations."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
PACKABLE = {
    "llama": LlamaConfig(**SIZES),
    "llama, tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "phi3": Phi3Config(**SIZES),
    "gemma": GemmaConfig(**SIZES, head_dim=16),
}
NOT_PACKABLE = {
    "scaled logits": CohereConfig(**SIZES, logit_scale=0.5),
    "learned positions": GPT2Config(vocab_size=64, n_embd=32, n_layer=4, n_head=4, n_positions=128),
    "sliding windows": Qwen3Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=2),
    "dropout": LlamaConfig(**SIZES, attention_dropout=0.1),
}


def build(config, seed=0):
    """A model with random weights, the norms' too; the global random state is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model
