"""A worker, the weights it starts from, and a batch to train it on."""

from __future__ import annotations

import numpy as np
import pytest
from plain_ppo import log_prob_T, make_batch
from transformers import AutoModelForCausalLM

from agents.models import load_tokenizer, resolve
from algorithms.layers import parse_layer
from algorithms.machine import choose
from algorithms.workers.single import SingleWorker

QUESTIONS = ["Question: What is 3 + 4?\nAnswer:", "12 - 5 =", "Hello"]


@pytest.fixture
def worker(tiny_config):
    """``worker("layer=2", algorithm="dr_grpo")``: a fresh worker that answers three questions twice per step."""

    def of(*words, algorithm="grpo"):
        size = ["algorithm.groups_per_step=3", "algorithm.group_size=2"]
        config = tiny_config(*size, *words, algorithm=algorithm)
        model = resolve(config.model, config.task)
        return SingleWorker(config, parse_layer(config.layer, model.n_blocks), choose(config.runner), model)

    return of


@pytest.fixture(scope="module")
def start(tiny_path):
    """The model as it came."""
    return AutoModelForCausalLM.from_pretrained(tiny_path).eval()


@pytest.fixture(scope="module")
def batch(tiny_path, start):
    """Six answers of different lengths, as if drawn by a policy that differs a little: ratios on both sides of 1."""
    tokenizer = load_tokenizer(tiny_path)
    prompts = [tokenizer.encode(text) for text in QUESTIONS for _ in range(2)]
    rng = np.random.default_rng(0)
    responses = [rng.integers(4, 90, size=length).tolist() for length in (6, 3, 5, 1, 6, 4)]
    drawn = [log_prob_T(start, p, r).tolist() for p, r in zip(prompts, responses, strict=True)]
    return make_batch(prompts, responses, [[value + rng.normal(0, 0.3) for value in row] for row in drawn])
