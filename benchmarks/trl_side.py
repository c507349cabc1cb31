"""TRL's half of ``trl_step.py``; it runs in the environment that has TRL and imports nothing of this project's."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as ours

import torch
from datasets import Dataset
from lockstep import say, wait_for_turn
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

VERSIONS = " ".join(f"{name} {version(name)}" for name in ("trl", "transformers", "accelerate"))
lengths: list[float] = []


def right(completions: list[str], completion_ids: list[list[int]], answer: list[str], **_: Any) -> list[float]:
    """1 where the last number of the first line is the answer; notes how long the answers were."""
    lengths.append(mean(map(len, completion_ids)))
    numbers = [re.findall(r"-?\d+", text.strip().split("\n")[0]) for text in completions]
    return [float(bool(found) and found[-1] == wanted) for found, wanted in zip(numbers, answer, strict=True)]


class Turns(TrainerCallback):
    """Waits for its turn before every step but the first."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Wait, then start the clock."""
        if state.global_step and not wait_for_turn():
            sys.exit()
        self.started = time.perf_counter(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock and tell."""
        if state.global_step == 1:
            say(ready=True)
            return
        say(
            seconds=time.perf_counter() - self.started[0],
            cpu_seconds=time.process_time() - self.started[1],
            tokens=lengths[-1],
            peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            versions=VERSIONS,
        )


def main() -> None:
    """Train as ``job.json`` says."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"], padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32, attn_implementation="sdpa")
    config = GRPOConfig(
        output_dir=str(Path(sys.argv[1]).with_name("trl")),
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=job["batch"],
        gradient_accumulation_steps=1,
        num_generations=job["group_size"],
        max_completion_length=job["max_new_tokens"],
        generation_kwargs={"eos_token_id": job["stop_ids"]},  # without it only end of text ends an answer
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        beta=0.0,
        num_iterations=1,
        max_steps=job["steps"],
        learning_rate=job["learning_rate"],
        lr_scheduler_type="constant",
        adam_beta2=job["beta2"],
        weight_decay=job["weight_decay"],
        max_grad_norm=job["clip_grad"],
        gradient_checkpointing=False,
        shuffle_dataset=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    GRPOTrainer(
        model=model,
        reward_funcs=right,
        args=config,
        train_dataset=Dataset.from_list(job["rows"]),
        processing_class=tokenizer,
        callbacks=[Turns()],
    ).train()


if __name__ == "__main__":
    main()
