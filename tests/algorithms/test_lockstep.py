"""Arms that train side by side leave what separate runs leave, and cost each other nothing."""

from __future__ import annotations

import fcntl
import json
import time
from contextlib import contextmanager

import pytest
from safetensors.torch import load_file
from study_metrics import metrics_of

from algorithms import group as group_module
from algorithms import panel as panel_module
from algorithms.arm import ArmsFailedError
from algorithms.cell import Cell
from algorithms.layers import parse_layer
from algorithms.study import run_cell, run_cells
from algorithms.workers.local import LocalWorker
from evaluation.results import RESULT_FILE, read_rows

LAYERS = ("full", "base", "0", "2", "[1,3]")
WORDS = ("steps=3", "evaluation.every=2")
VOLATILE = ("seconds", "seconds_per_phase", "tokens_per_second", "peak_memory_bytes", "finished_at", "overrides")
CLOSE = {"rel": 1e-4, "abs": 1e-5}


@pytest.fixture(scope="module")
def config_in(tiny_config_in, tmp_path_factory):
    """``config_in("fused", "1")``: layer 1 in a folder of that name."""
    root = tmp_path_factory.mktemp("lockstep")

    def of(name, layer, *words):
        return tiny_config_in(root / name, *WORDS, f"layer={layer}", *words)

    return of


@pytest.fixture(scope="module")
def separate(config_in):
    """The cells run one by one."""
    return {layer: run_cell(config_in("separate", layer)) for layer in LAYERS}


def cell_of(config):
    return Cell(config, parse_layer(config.layer, 4).label).folder


def lasting(result):
    return {name: value for name, value in vars(result).items() if name not in VOLATILE}


def about(result):
    """The same, give or take rounding."""
    kept = lasting(result)
    return kept | {"audit": {name: pytest.approx(value, **CLOSE) for name, value in kept["audit"].items()}}


def assert_same(config, expected):
    """Metrics but for times, rows, trained weights, audit and result."""
    folder, other = cell_of(config), cell_of(expected)
    for step, wanted in zip(metrics_of(folder / "metrics.jsonl"), metrics_of(other / "metrics.jsonl"), strict=True):
        assert step == pytest.approx(wanted, **CLOSE)
    assert read_rows(folder / "episodes.jsonl") == read_rows(other / "episodes.jsonl")
    audit, wanted = (json.loads((place / "audit.json").read_text()) for place in (folder, other))
    assert audit == {
        name: value if name == "problems" else pytest.approx(value, **CLOSE) for name, value in wanted.items()
    }
    weights, wanted = (
        {path.parent.name: load_file(path) for path in place.glob("checkpoint/*/trained.safetensors")}
        for place in (folder, other)
    )
    assert weights.keys() == wanted.keys()
    for step, tensors in weights.items():
        assert tensors.keys() == wanted[step].keys()
        for name, tensor in tensors.items():
            # By the norm: where a gradient is nought but rounding, a first step of AdamW is all sign.
            assert (tensor - wanted[step][name]).norm() < 1e-5 * tensor.norm(), name
    files, others = ({str(path.relative_to(place)) for path in place.rglob("*")} for place in (folder, other))
    assert files == others


@contextmanager
def interrupted_after(steps, monkeypatch):
    """Ctrl-C is seen after so many steps."""
    with monkeypatch.context() as patch:
        asked = []

        @contextmanager
        def deferred():
            yield lambda: asked.append(None) or len(asked) == steps

        patch.setattr(group_module, "deferred_interrupt", deferred)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.fixture
def played(monkeypatch):
    """The evaluations that were played: phase and number of arms."""
    calls = []
    play = panel_module.play_panel

    def counting(*arguments):
        calls.append((arguments[6], len(arguments[7])))
        return play(*arguments)

    monkeypatch.setattr(panel_module, "play_panel", counting)
    return calls


@pytest.fixture
def workers(monkeypatch):
    """The layers of every worker that was made."""
    made = []
    make = LocalWorker.__init__

    def noting(self, config, selections, *rest):
        made.append([selection.label for selection in selections])
        make(self, config, selections, *rest)

    monkeypatch.setattr(LocalWorker, "__init__", noting)
    return made


# --- the same as separate runs ---


def test_arms_in_lockstep_are_separate_runs(config_in, separate, played, workers, capsys):
    began = time.perf_counter()
    results = run_cells([config_in("fused", layer) for layer in LAYERS])
    wall_s = time.perf_counter() - began
    assert [result.layer for result in results] == list(LAYERS)
    for layer, result in zip(LAYERS, results, strict=True):
        assert lasting(result) == about(separate[layer])
        assert_same(config_in("fused", layer), config_in("separate", layer))
    assert workers == [["full"], ["base", "0", "2", "[1,3]"]]  # what shares nothing goes first
    assert played == [
        *[("greedy_before", 1), ("before", 1), ("step=2", 1), ("greedy_after", 1), ("after", 1)],
        *[("step=2", 3), ("greedy_after", 3), ("after", 3)],
    ]
    assert sum(result.seconds for result in results) < wall_s
    steps = [json.loads(line) for line in (cell_of(config_in("fused", "2")) / "metrics.jsonl").read_text().splitlines()]
    assert [step["arms"] for step in steps] == [3, 3, 3]
    printed = capsys.readouterr().out
    assert "layers base, 0, 2, [1,3] | seed=0" in printed
    assert printed.count("step 3  arms 3") == 1
    assert "folder" in printed and str(cell_of(config_in("fused", "2"))) in printed


def test_begun_together_and_resumed_apart(config_in, separate, monkeypatch):
    layers = ("0", "2")
    with interrupted_after(2, monkeypatch):
        run_cells([config_in("apart", layer) for layer in layers])
    for layer in layers:
        assert lasting(run_cell(config_in("apart", layer))) == about(separate[layer])
        assert_same(config_in("apart", layer), config_in("separate", layer))


def test_begun_apart_and_resumed_together_the_ones_behind_first(config_in, separate, monkeypatch, played, capsys):
    layers = ("0", "2", "[1,3]")
    for layer, steps in (("0", 2), ("2", 1)):
        with interrupted_after(steps, monkeypatch):
            run_cell(config_in("together", layer))
    played.clear()
    results = run_cells([config_in("together", layer) for layer in layers])
    for layer, result in zip(layers, results, strict=True):
        assert lasting(result) == about(separate[layer])
        assert_same(config_in("together", layer), config_in("separate", layer))
    arms = {
        layer: [
            json.loads(line)["arms"]
            for line in (cell_of(config_in("together", layer)) / "metrics.jsonl").read_text().splitlines()
        ]
        for layer in layers
    }
    assert arms == {"0": [1, 1, 3], "2": [1, 2, 3], "[1,3]": [1, 2, 3]}
    # The third arm's start was played by the others.
    assert [call for call in played if "before" in call[0]] == []
    printed = capsys.readouterr().out
    assert "layers 0 resuming after step 2" in printed and "layers 2 resuming after step 1" in printed


def test_an_interrupt_leaves_a_checkpoint_of_every_arm(config_in, monkeypatch):
    with interrupted_after(1, monkeypatch):
        run_cells([config_in("stopped", layer) for layer in ("base", "0", "2")])
    for layer in ("0", "2"):
        assert [path.name for path in cell_of(config_in("stopped", layer)).glob("checkpoint/step=*")] == ["step=000001"]
    assert (cell_of(config_in("stopped", "base")) / RESULT_FILE).exists()


# --- what is there already ---


def test_a_finished_cell_is_only_read_and_lends_its_first_rows(config_in, separate, played, workers, capsys):
    first = run_cell(config_in("lent", "0"))
    played.clear()
    workers.clear()
    results = run_cells([config_in("lent", layer) for layer in ("0", "2")])
    assert results[0] == first
    assert workers == [["2"]]
    assert [phase for phase, _ in played] == ["step=2", "greedy_after", "after"]
    assert "finished before, nothing to do: layers 0\n" in capsys.readouterr().out
    assert_same(config_in("lent", "2"), config_in("separate", "2"))
    workers.clear()
    assert run_cells([config_in("lent", layer) for layer in ("0", "2")]) == results
    assert workers == []


def test_a_cell_that_is_named_twice_is_run_once(config_in, workers):
    results = run_cells([config_in("twice", layer, "steps=1") for layer in ("1", "-3", "1")])
    assert results[0] == results[1] == results[2]
    assert workers == [["1"]]


# --- what goes wrong ---


def spoil(config, how, monkeypatch):
    """Let one cell fail; returns what its error says."""
    folder = cell_of(config)
    folder.mkdir(parents=True)
    if how == "locked":
        file = (folder / ".lock").open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        return "is being run by process", file
    if how == "no room":
        (folder / "checkpoint").write_text("a file in its place")
        return "cannot keep the starting weights", None
    update = LocalWorker.update

    def forgetful(worker, work):
        (variant,) = [v for v, selection in enumerate(worker.selections) if selection.label == "2"]
        before = {name: p.detach().clone() for name, p in worker.trained(variant).items()}
        metrics = update(worker, work)
        worker.load(variant, before, {})
        return metrics

    monkeypatch.setattr(LocalWorker, "update", forgetful)
    return "after step 1: block 2 should train and did not move", None


@pytest.mark.parametrize("how", ["locked", "no room", "does not move"])
def test_an_arm_that_fails_costs_the_others_nothing(config_in, separate, monkeypatch, capsys, how):
    layers = ("0", "2", "[1,3]")
    message, held = spoil(config_in(how, "2"), how, monkeypatch)
    with pytest.raises(ArmsFailedError, match=r"1 of 4 arms failed, the rest are finished: layer=2: ") as caught:
        run_cells([config_in(how, layer) for layer in (*layers, "base")])
    assert list(caught.value.failures) == [1]
    assert message in caught.value.failures[1]
    assert f"error in {caught.value.failures[1]}" in capsys.readouterr().err
    for layer in ("0", "[1,3]"):
        assert_same(config_in(how, layer), config_in("separate", layer))
    assert not (cell_of(config_in(how, "2")) / RESULT_FILE).exists()
    if held:
        held.close()


def test_a_word_that_does_not_parse_fails_alone_and_names_itself(config_in, workers):
    with pytest.raises(
        ArmsFailedError, match=r"2 of 3 arms failed.*layer='foo' does not parse.*layer=99 is out"
    ) as caught:
        run_cells([config_in("words", layer, "steps=1") for layer in ("foo", "1", "99")])
    assert list(caught.value.failures) == [0, 2]
    assert workers == [["1"]]
    assert (cell_of(config_in("words", "1", "steps=1")) / RESULT_FILE).exists()


def test_a_worker_that_cannot_be_made_fails_its_own_arms_only(config_in, monkeypatch):
    make = LocalWorker.__init__

    def too_large(self, config, selections, *rest):
        if selections[0].trains_everything:
            raise RuntimeError("out of memory")
        make(self, config, selections, *rest)

    monkeypatch.setattr(LocalWorker, "__init__", too_large)
    with pytest.raises(ArmsFailedError, match="1 of 2 arms failed, the rest are finished: layer=full: out of memory"):
        run_cells([config_in("memory", layer, "steps=1") for layer in ("full", "base")])


def test_cells_of_other_settings_are_refused_by_key(config_in):
    others = [config_in("keys", "1"), config_in("keys", "2", "seed=1", "algorithm.clip_ratio=0.1")]
    with pytest.raises(ValueError, match=r"differ in their layer only; these in algorithm.clip_ratio, seed"):
        run_cells(others)
    with pytest.raises(ValueError, match="no cells"):
        run_cells([])


def test_every_arm_has_a_wandb_run_of_its_own(config_in):
    words = ("steps=1", "tracker.name=wandb", "evaluation.greedy=false", "evaluation.items=2", "study=tracked")
    configs = [config_in("wandb", layer, *words) for layer in ("0", "2")]
    run_cells(configs)
    assert [len(list(cell_of(config).glob("wandb/offline-run-*/run-*.wandb"))) for config in configs] == [1, 1]
