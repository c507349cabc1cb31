"""A checkpoint comes back bit for bit, and the old one outlives every failure to write a new one."""

import errno
import resource
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from algorithms import checkpoint
from algorithms.checkpoint import CheckpointError


class Training:
    """A small network with an AdamW that has taken some steps."""

    def __init__(self, seed, steps=0):
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.model[0].requires_grad_(False)
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=0.1)
        self.take(steps)

    def take(self, steps):
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.model(torch.randn(8, 64)).square().mean().backward()
            self.optimizer.step()

    @property
    def optimizer_state(self):
        return {name: dict(self.optimizer.state[p]) for name, p in self.parameters.items() if p in self.optimizer.state}

    @torch.no_grad()
    def put_back(self, saved):
        for name, parameter in self.parameters.items():
            parameter.copy_(saved.parameters[name])
            self.optimizer.state[parameter] = dict(saved.optimizer_state[name])
        return saved.step

    def weights(self):
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_training_goes_on_bit_for_bit_from_a_checkpoint(tmp_path):
    straight = Training(seed=0, steps=3)
    saved = checkpoint.save(tmp_path, 3, straight.parameters, straight.optimizer_state)
    at_three = straight.weights()
    straight.take(4)

    resumed = Training(seed=0)  # the same frozen weights, other trained ones
    torch.manual_seed(999)
    assert resumed.put_back(checkpoint.load(saved, resumed.parameters)) == 3
    assert same(resumed.weights(), at_three)
    resumed.take(4)
    assert same(resumed.weights(), straight.weights())
    assert not same(resumed.weights(), at_three)


def test_only_the_newest_checkpoint_is_kept_and_holds_what_trains(tmp_path):
    training = Training(seed=0, steps=1)
    for step in (2, 10):
        checkpoint.save(tmp_path, step, training.parameters, training.optimizer_state)
    assert [folder.name for folder in tmp_path.iterdir()] == ["step=000010"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step=000010"
    assert checkpoint.steps_done(tmp_path) == 10
    saved = checkpoint.load_file(tmp_path / "step=000010" / "trained.safetensors")
    assert sorted(saved) == ["2.bias", "2.weight"]


def test_there_is_no_checkpoint_in_an_empty_or_missing_folder(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "missing") is None
    assert checkpoint.steps_done(tmp_path) == 0


@contextmanager
def no_file_longer_than(n_bytes):
    """The system itself refuses to write more, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [100, 600], ids=["for no weights", "for the weights but not for the optimizer"])
def test_a_disk_that_refuses_leaves_the_old_checkpoint(tmp_path, room):
    training = Training(seed=0, steps=1)
    old = checkpoint.save(tmp_path, 1, training.parameters, training.optimizer_state)
    before = training.weights()
    training.take(1)
    message = r"checkpoint of step 2 .*Kept: step=000001; free some space.*resume"
    with pytest.raises(CheckpointError, match=message), no_file_longer_than(room):
        checkpoint.save(tmp_path, 2, training.parameters, training.optimizer_state)
    assert list(tmp_path.iterdir()) == [old]
    assert training.put_back(checkpoint.load(old, training.parameters)) == 1
    assert same(training.weights(), before)


@pytest.mark.parametrize("function", ["save_file", "_flush"])
def test_no_space_left_on_the_device_leaves_the_old_checkpoint(tmp_path, monkeypatch, function):
    training = Training(seed=0, steps=1)
    old = checkpoint.save(tmp_path, 1, training.parameters, training.optimizer_state)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, function, full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.save(tmp_path, 2, training.parameters, training.optimizer_state)
    assert list(tmp_path.iterdir()) == [old]


def test_a_first_checkpoint_that_fails_says_that_none_is_kept(tmp_path):
    training = Training(seed=0, steps=1)
    with pytest.raises(CheckpointError, match="Kept: none"), no_file_longer_than(100):
        checkpoint.save(tmp_path, 1, training.parameters, training.optimizer_state)


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path):
    (tmp_path / ".writing-1").mkdir()
    (tmp_path / ".writing-1" / "trained.safetensors").write_bytes(b"torn")
    training = Training(seed=0, steps=1)
    assert checkpoint.latest(tmp_path) is None
    new = checkpoint.save(tmp_path, 1, training.parameters, training.optimizer_state)
    assert list(tmp_path.iterdir()) == [new]


def test_a_checkpoint_of_other_parameters_is_refused_by_name(tmp_path):
    training = Training(seed=0, steps=1)
    saved = checkpoint.save(tmp_path, 1, training.parameters, training.optimizer_state)
    del training.parameters["2.bias"]
    before = training.weights()
    with pytest.raises(CheckpointError, match=r"trains other parameters than this run, e.g. \['2.bias'\]"):
        checkpoint.load(saved, training.parameters)
    assert same(training.weights(), before)


def test_a_finished_cell_keeps_its_weights_only(tmp_path):
    training = Training(seed=0, steps=1)
    saved = checkpoint.save(tmp_path, 1, training.parameters, training.optimizer_state)
    checkpoint.keep_weights_only(tmp_path)
    assert sorted(file.name for file in saved.iterdir()) == ["meta.json", "trained.safetensors"]
