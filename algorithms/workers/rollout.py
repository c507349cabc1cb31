"""A verl rollout that samples with Hugging Face modules in the trainer's own process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from verl.utils.device import get_device_name
from verl.workers.rollout.base import _ROLLOUT_REGISTRY, BaseRollout

import agents.sampler
import algorithms.bank.generation
from agents.sampler import Generation, Request, Sampling
from algorithms.bank import PolicyBank
from algorithms.bank.past import Past

NAME = "hf_local"


class HFLocalRollout(BaseRollout):
    """Samples from the trainer's module itself when its weights can be used as they are, else from a copy.

    A copy (bfloat16 beside float32 masters) is brought up to date by ``update_weights``, verl's weight sync; the
    shared module needs none.
    """

    model: PreTrainedModel
    bank: PolicyBank | None = None
    share_prompts: bool = True
    past: Past | None = None
    """What a bank has read; whoever changes its weights clears it."""
    bytes_received: int = 0
    """By ``update_weights``, as they were sent."""

    def load(self, dtype: torch.dtype) -> None:
        """Load the starting weights: for a policy that never trains, or as the copy that will be synced."""
        path = str(self.model_config.local_path)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="sdpa")
        self.model = model.to(get_device_name())
        # A frozen head on a sliced input makes torch's CPU matmul copy the whole head per row.
        self.model.get_output_embeddings().register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
        self.model.eval()

    def share(self, module: PreTrainedModel) -> None:
        """Sample from ``module``, the one that trains."""
        self.model = module

    def share_bank(self, bank: PolicyBank) -> None:
        """Sample from the policies of ``bank``."""
        self.bank, self.model = bank, bank.model

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Generation]:
        """See ``agents.sampler.generate`` and, with a bank, ``algorithms.bank.generation.generate``."""
        self.model.eval()
        if self.bank is None:
            return agents.sampler.generate(self.model, requests, sampling, share_prompts=self.share_prompts)
        return algorithms.bank.generation.generate(self.bank, requests, sampling, self.past)

    async def update_weights(
        self, weights: Iterable[tuple[str, torch.Tensor]], wire_format: str = "named_tensors", **_: Any
    ) -> None:
        """Copy the named tensors into the copy; names it does not have are an error."""
        targets: dict[str, Mapping[str, torch.Tensor]] = {"": self.model.state_dict()}
        for full_name, tensor in weights:
            policy, _slash, name = full_name.rpartition("/")
            if policy not in targets:
                assert self.bank is not None, "only a bank's engine names policies"
                targets[policy] = self.bank.parameters(int(policy))
            targets[policy][name].detach().copy_(tensor)
            self.bytes_received += tensor.nbytes

    async def resume(self, tags: list[str]) -> None:
        """Nothing was released."""

    async def release(self) -> None:
        """The weights belong to the trainer; there is nothing to give back."""


# verl has a registry for rollouts but no function to register one.
_ROLLOUT_REGISTRY[(NAME, "async")] = f"{__name__}.{HFLocalRollout.__name__}"
