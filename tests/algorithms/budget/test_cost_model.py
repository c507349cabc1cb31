"""Operations, seconds and schedules by hand."""

from __future__ import annotations

import pytest

from algorithms.budget.arithmetic import Trained, cell_s, makespan_s, panel_play, play_s, step_play, update_s
from algorithms.budget.sizes import Sizes
from conf.schema import AlgorithmConfig, Config, EvaluationConfig, ModelConfig, PlanConfig, RunnerConfig, TaskConfig

MODEL = Sizes(10, 100, 50, 8, 16, 8, 4, 20, "here")  # 1050 parameters, 80 numbers a token in the cache
FULL, TOP = Trained(tuple(range(10)), everything=True), Trained((9,))


def make(plan=None, **changed):
    """16 answers, 4 per prompt, of 10 tokens to prompts of 6; a device of 1,000 operations and 1,000 bytes a second."""
    sheet = {"peak_tflops": 1e-9, "bandwidth_gb_s": 1e-6, "share_of_peak": 1.0, "share_of_bandwidth": 1.0}
    parts = {
        "task": TaskConfig(name="t", env_id="e", max_prompt_tokens=6, max_response_tokens=10),
        "model": ModelConfig(name="m"),
        "algorithm": AlgorithmConfig(name="a", groups_per_step=4, group_size=4, learning_rate=0.1),
        "runner": RunnerConfig(name="local"),
        "evaluation": EvaluationConfig(items=5, samples=2, greedy=False),
        "plan": PlanConfig(name="p", **(sheet | (plan or {}))),
    }
    return Config(**(parts | changed), steps=3)


def test_tokens_of_a_step():
    play = step_play(make())
    assert (play.episodes, play.prompts_read, play.tokens) == (16, 4, 4 * 6 + 160)
    plain = step_play(make(runner=RunnerConfig(name="local", shortcuts=False)))
    assert plain.tokens == 256
    assert step_play(make(runner=RunnerConfig(name="cluster", shortcuts=False))).tokens == 256
    assert panel_play(make()).tokens == 5 * 6 + 100


def test_given_means_take_the_place_of_limits():
    play = step_play(make({"prompt_tokens": 2, "response_tokens": 3, "turns": 2}))
    assert (play.rows, play.prompts_read, play.tokens) == (32, 32, 32 * 5)


def test_generation_takes_as_long_as_what_is_slower():
    fast_memory, fast_arithmetic = make({"bandwidth_gb_s": 1e6}), make({"peak_tflops": 1e6})
    play = step_play(make())
    assert play_s(MODEL, play, fast_memory.plan, 2) == pytest.approx(2 * 1050 * 184 / 1000)
    # Ten waves, each reads the weights and 16 episodes' caches, on average 6 + 5 tokens long.
    assert play_s(MODEL, play, fast_arithmetic.plan, 2) == pytest.approx(10 * 2 * (1050 + 80 * 16 * 11) / 1000)


def test_episodes_that_do_not_generate_together_read_the_weights_again():
    config = make({"peak_tflops": 1e6}, runner=RunnerConfig(name="local", rollout_batch=6))
    assert step_play(config).waves == 3 * 10


def test_an_update_counts_forward_and_both_backward_passes():
    assert update_s(MODEL, FULL, make()) == pytest.approx(3 * 2 * 1050 * 184 / 1000)
    above = 100 + 50
    assert update_s(MODEL, TOP, make()) == pytest.approx(2 * (1050 + above + 100) * 184 / 1000)
    assert update_s(MODEL, Trained(()), make()) == 0


def test_reference_and_recomputed_log_probs_are_a_forward_pass_each():
    costly = AlgorithmConfig(
        name="a", groups_per_step=4, group_size=4, learning_rate=0.1, kl_coef=0.1, old_log_probs="recompute"
    )
    more = update_s(MODEL, FULL, make(algorithm=costly)) - update_s(MODEL, FULL, make())
    assert more == pytest.approx(2 * 2 * 1050 * 184 / 1000)


def test_a_cell_is_its_steps_that_are_left_and_its_evaluations():
    config = make()
    panel = play_s(MODEL, panel_play(config), config.plan, 2)
    step = play_s(MODEL, step_play(config), config.plan, 2) + update_s(MODEL, TOP, config)
    assert cell_s(MODEL, TOP, config, 2) == pytest.approx(3 * step + 2 * panel)
    assert cell_s(MODEL, TOP, config, 2, done=2) == pytest.approx(step + 2 * panel)
    assert cell_s(MODEL, Trained(()), config, 2) == pytest.approx(panel)
    between = make(evaluation=EvaluationConfig(items=5, samples=2, greedy=False, every=1))
    assert cell_s(MODEL, TOP, between, 2) == pytest.approx(3 * step + 4 * panel)


def test_cells_are_dealt_out_longest_first():
    cells = [(1, 4.0), (1, 3.0), (1, 3.0), (1, 2.0)]
    assert [makespan_s(cells, devices) for devices in (1, 2, 4)] == [12.0, 6.0, 4.0]


def test_a_cell_of_many_ranks_waits_for_as_many_devices():
    cells = [(3, 5.0), (1, 4.0), (1, 4.0)]
    assert makespan_s(cells, 2) is None
    assert makespan_s(cells, 3) == 9.0
    assert makespan_s(cells, 5) == 5.0
    assert makespan_s([(1, 6.0), (2, 1.0), (1, 1.0)], 2) == 7.0
