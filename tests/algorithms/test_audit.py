"""The audit fires when the mask did not hold, and only then."""

import pytest
import torch

import algorithms.audit as audit_module
from agents.tiny import make_model
from agents.tiny_tokenizer import make_tokenizer
from algorithms.audit import AuditError, Baseline, Fingerprints, require
from algorithms.layers import block_of_parameters, find_blocks, freeze, parse_layer


class Trained:
    """A model of four blocks with a mask and the record of its start."""

    def __init__(self, word, folder):
        self.model = make_model(make_tokenizer(), n_blocks=4, hidden=32, seed=0)
        self.selection = parse_layer(word, 4)
        names = freeze(self.model, self.selection)
        self.parameters = dict(self.model.named_parameters())
        trained = {name: self.parameters[name] for name in names}
        file = folder / "cell" / "start.safetensors"
        self.baseline = Baseline(self.parameters, trained, file, Fingerprints())

    def audit(self, fingerprints=None):
        block_of, fingerprints = block_of_parameters(self.model), fingerprints or Fingerprints()
        return self.baseline.audit(self.parameters, block_of, self.selection, 3, fingerprints)

    @torch.no_grad()
    def move(self, *blocks, by=0.01):
        for block in blocks:
            for parameter in find_blocks(self.model)[block].parameters():
                parameter.mul_(1 + by)


def test_a_block_that_moved_alone_passes_with_its_relative_change(tmp_path):
    trained = Trained(2, tmp_path)
    trained.move(2, by=0.01)
    audit = require(trained.audit())
    assert audit.relative_change_L == [0.0, 0.0, pytest.approx(0.01 / 1.01, rel=1e-3), 0.0]
    assert (audit.step, audit.other, audit.problems) == (3, 0.0, [])


def test_several_blocks_must_all_move(tmp_path):
    trained = Trained([0, 3], tmp_path)
    trained.move(0)
    assert trained.audit().problems == ["block 3 should train and did not move"]
    trained.move(3)
    assert trained.audit().ok


def test_a_mask_that_did_nothing_is_caught(tmp_path):
    trained = Trained(1, tmp_path)
    with pytest.raises(AuditError, match="after step 3: block 1 should train and did not move"):
        require(trained.audit())


@pytest.mark.parametrize("block", [0, 2, 3])
def test_a_frozen_block_that_moved_is_caught(tmp_path, block):
    trained = Trained(1, tmp_path)
    trained.move(1)
    trained.move(block, by=1e-6)
    audit = trained.audit()
    assert f"block {block} is frozen and moved" in audit.problems
    assert any(f"frozen parameter model.layers.{block}." in problem for problem in audit.problems)
    assert audit.to_dict()["ok"] is False


@torch.no_grad()
def test_one_bit_of_one_frozen_number_is_enough(tmp_path):
    trained = Trained(1, tmp_path)
    trained.move(1)
    weight = find_blocks(trained.model)[0].mlp.up_proj.weight
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert not trained.audit().ok


@torch.no_grad()
def test_a_frozen_embedding_that_moved_is_caught(tmp_path):
    trained = Trained(1, tmp_path)
    trained.move(1)
    trained.model.get_input_embeddings().weight[0, 0] += 1.0
    assert trained.audit().problems == ["frozen parameter model.embed_tokens.weight moved"]


@torch.no_grad()
def test_full_must_move_every_block_and_may_move_the_rest(tmp_path):
    trained = Trained("full", tmp_path)
    trained.move(0, 1, 2)
    assert trained.audit().problems == ["block 3 should train and did not move"]
    trained.move(3)
    for outside in (trained.model.get_input_embeddings(), trained.model.model.norm):
        outside.weight.mul_(1.5)
    audit = require(trained.audit())
    assert audit.other == pytest.approx(0.5 / 1.5, rel=1e-3)
    assert min(audit.relative_change_L) > 0


@torch.no_grad()
def test_a_weight_that_became_nan_is_caught(tmp_path):
    trained = Trained(1, tmp_path)
    trained.move(1)
    find_blocks(trained.model)[1].mlp.up_proj.weight[0, 0] = torch.nan
    assert trained.audit().problems == ["a trained weight is not finite"]


def test_the_start_is_a_file_that_can_be_dropped(tmp_path):
    trained = Trained(1, tmp_path)
    assert [file.name for file in (tmp_path / "cell").iterdir()] == ["start.safetensors"]
    trained.baseline.discard()
    trained.baseline.discard()
    assert not list((tmp_path / "cell").iterdir())


@torch.no_grad()
def test_what_arms_share_is_hashed_once_and_every_arm_sees_that_it_moved(tmp_path, monkeypatch):
    arms = [Trained(word, tmp_path / str(word)) for word in (1, 2)]
    shared = {name: p for name, p in arms[0].parameters.items() if ".layers.0." in name}
    arms[1].parameters |= shared
    for arm, block in zip(arms, (1, 2), strict=True):
        arm.move(block)
    hashed = []
    sha1 = audit_module.hashlib.sha1
    monkeypatch.setattr(audit_module.hashlib, "sha1", lambda data, **_: hashed.append(len(data)) or sha1(data))
    fingerprints = Fingerprints()
    assert all(arm.audit(fingerprints).ok for arm in arms)
    frozen = [sum(name.find(f".layers.{block}.") < 0 for name in arms[0].parameters) for block in (1, 2)]
    assert len(hashed) == sum(frozen) - len(shared)
    find_blocks(arms[0].model)[0].mlp.up_proj.weight[0, 0] += 1e-6
    assert [arm.audit(Fingerprints()).ok for arm in arms] == [False, False]
