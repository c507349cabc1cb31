"""``layer=all``: every arm in one process, what is finished skipped, what fails named at the end."""

import dataclasses

import pytest

from algorithms import sweep
from algorithms.arm import ArmsFailedError
from algorithms.study import run_cell
from algorithms.sweep import group_by_setting, run_arms, run_fused
from algorithms.trainer import NoSignalError
from conf.errors import UserError

ARMS = ["base", "full", "0", "1", "2", "3"]


@pytest.fixture
def pretend(monkeypatch):
    """``pretend({1: NoSignalError("no")})``: cells that run at once, or fail; returns the layers asked for."""

    def as_if(failing):
        asked = []

        def run(config, overrides):
            asked.append(config.layer)
            if error := failing.get(config.layer):
                raise error
            return f"result of {config.layer} {list(overrides)}"

        monkeypatch.setattr(sweep, "run_cell", run)
        return asked

    return as_if


def test_all_runs_every_arm_and_again_only_reads_them(tiny_config, capsys):
    first = run_cell(tiny_config("layer=2", "steps=1"))
    results = run_arms(tiny_config("layer=all", "steps=1"), ["layer=all"])
    assert [result.layer for result in results] == ARMS
    assert results[4] == first
    printed = capsys.readouterr().out
    assert [f"layer=all: arm {n} of 6, layer={arm}" in printed for n, arm in enumerate(ARMS, 1)] == [True] * 6
    assert printed.count("finished before, nothing to do") == 1
    assert run_arms(tiny_config("layer=all", "steps=1")) == results
    assert capsys.readouterr().out.count("finished before, nothing to do") == 6


def test_any_other_layer_is_one_cell(tiny_config, pretend):
    asked = pretend({})
    assert run_arms(tiny_config("layer=mid:2"), ["steps=2"]) == ["result of mid:2 ['steps=2']"]
    assert asked == ["mid:2"]


def test_an_arm_that_fails_does_not_cost_the_others_their_turn(tiny_config, pretend, capsys):
    failing = {1: NoSignalError("nothing was trained"), "full": RuntimeError("out of memory")}
    asked = pretend(failing)
    message = r"2 of 6 arms failed, the rest are finished: layer=full: out of memory; layer=1: nothing was trained"
    with pytest.raises(ArmsFailedError, match=message):
        run_arms(tiny_config("layer=all"))
    assert asked == ["base", "full", 0, 1, 2, 3]
    assert "error in layer=1: nothing was trained" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layer", "error"), [("base", UserError("wrong data")), (0, KeyboardInterrupt()), (2, AssertionError("a bug"))]
)
def test_a_wrong_configuration_an_interrupt_and_a_bug_end_it_at_once(tiny_config, pretend, layer, error):
    asked = pretend({layer: error})
    with pytest.raises(type(error)):
        run_arms(tiny_config("layer=all"))
    assert asked[-1] == layer


def test_a_study_learns_with_gigpo(tiny_config, tmp_path):
    config = tiny_config("layer=0", "steps=1")
    algorithm = dataclasses.replace(config.algorithm, name="gigpo", advantage="gigpo")
    (result,) = run_arms(dataclasses.replace(config, algorithm=algorithm))
    assert (result.algorithm, result.status) == ("gigpo", "finished")
    assert [change > 0 for change in result.audit["relative_change"]] == [True, False, False, False]


# --- fused: side by side in one process ---


@pytest.fixture
def fused(monkeypatch):
    """``fused({1: "no"})``: groups that run at once, with arms that fail; returns what was asked for."""

    def as_if(failing):
        asked = []

        def run(configs, overrides):
            asked.append(
                [(config.seed, config.layer, *words) for config, words in zip(configs, overrides, strict=True)]
            )
            failures = {place: failing[c.layer] for place, c in enumerate(configs) if c.layer in failing}
            if failures:
                raise ArmsFailedError(failures, len(configs))
            return [f"result of {config.layer}" for config in configs]

        monkeypatch.setattr(sweep, "run_cells", run)
        return asked

    return as_if


def test_cells_that_differ_only_in_layer_are_a_group(tiny_config, fused):
    asked = fused({})
    configs = [tiny_config(f"layer={layer}", f"seed={seed}") for layer in ("base", "2", "2") for seed in (0, 1)]
    results = run_fused(configs, [[f"word {number}"] for number in range(6)])
    assert asked == [
        [(seed, "base", f"word {seed}"), (seed, 2, f"word {seed + 2}"), (seed, 2, f"word {seed + 4}")]
        for seed in (0, 1)
    ]
    assert results == [["result of base"]] * 2 + [["result of 2"]] * 4
    assert group_by_setting(configs) == [[0, 2, 4], [1, 3, 5]]
    assert group_by_setting([tiny_config("layer=0"), tiny_config("layer=1", "study=other")]) == [[0], [1]]


def test_all_stands_for_every_arm_of_its_group(tiny_config, fused):
    asked = fused({})
    results = run_fused([tiny_config("layer=mid:2"), tiny_config("layer=all")])
    assert [[layer for _, layer in group] for group in asked] == [["mid:2", "base", "full", 0, 1, 2, 3]]
    assert [len(group) for group in results] == [1, 6]


def test_what_fails_is_told_by_the_configuration_it_came_from(tiny_config, fused):
    fused({0: "layer=0: no", 3: "layer=3: neither", "foo": "layer=foo"})
    configs = [tiny_config(f"layer={layer}", f"seed={seed}") for layer, seed in (("1", 0), ("all", 0), ("foo", 1))]
    with pytest.raises(ArmsFailedError, match="2 of 3 arms failed") as caught:
        run_fused(configs)
    assert caught.value.failures == {1: "layer=0: no; layer=3: neither", 2: "layer=foo"}


def test_a_group_that_cannot_begin_does_not_cost_the_others_their_turn(tiny_config, fused):
    asked = fused({})
    with pytest.raises(ArmsFailedError, match=r"1 of 2 arms failed.*is not a complete model folder"):
        run_fused([tiny_config("layer=0", "model.path=/nowhere"), tiny_config("layer=1")])
    assert asked == [[(0, 1)]]
    with pytest.raises(ValueError, match="is not a complete model folder"):
        run_fused([tiny_config("layer=0", "model.path=/nowhere")])
