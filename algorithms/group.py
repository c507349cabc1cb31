"""Unfinished arms on one worker, side by side: evaluate, train, evaluate, write the results. One arm is a group too."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from algorithms.arm import Arm, charge, going
from algorithms.audit import Audit
from algorithms.interrupt import deferred_interrupt
from algorithms.lesson import learner_of
from algorithms.meter import Meter, reset_peak_memory
from algorithms.outcome import result_of
from algorithms.panel import AFTER, BEFORE, PanelPlayer
from algorithms.screen import Screen, abbreviated, title_of
from algorithms.setting import Setting
from algorithms.trackers import make_trackers
from algorithms.trainer import Trainer
from algorithms.workers.choice import make_worker
from evaluation.results import write_result


def run_group(setting: Setting, arms: Sequence[Arm]) -> None:
    """Take every arm to its result. One that fails is dropped, unless it is alone: then it raises.

    Args:
        setting: What the arms have in common.
        arms: Unfinished cells, locked and claimed.

    Raises:
        KeyboardInterrupt: Ctrl-C, after a checkpoint of every arm.
    """
    reset_peak_memory("cpu" if setting.config.runner.name == "cluster" else setting.machine.device)
    with ExitStack() as stack:
        _Group(setting, arms, stack).run()


class _Group:
    def __init__(self, setting: Setting, arms: Sequence[Arm], stack: ExitStack) -> None:
        config, meter = setting.config, Meter()
        self._setting, self._arms = setting, list(arms)
        for variant, arm in enumerate(self._arms):
            arm.variant = variant
        self._learners = [arm for arm in self._arms if not arm.selection.trains_nothing]
        with meter.phase("start"):
            selections = [arm.selection for arm in self._arms]
            self._worker = make_worker(config, selections, setting.machine, setting.model)
            stack.callback(self._worker.close)
            learner = learner_of(setting, self._worker)
            self._trainer = Trainer(config, self._learners, self._worker, learner, setting.n_train, meter)
        charge(self._arms, meter.lap())
        self._meter = meter
        self._screen = Screen(title_of(config, [arm.selection.label for arm in self._arms]), config.steps)
        stack.callback(self._screen.close)
        for arm in going(self._arms):
            arm.trackers = make_trackers(config, arm.cell.folder, arm.selection.label, arm.step)
            stack.callback(arm.trackers.close)
        self._panel = PanelPlayer(setting, self._worker, meter, self._screen)

    def run(self) -> None:
        resumed: dict[int, list[str]] = {}
        for arm in going(self._learners):
            resumed.setdefault(arm.step, []).append(arm.selection.label)
        for step in sorted(resumed.keys() - {0}):
            layers = f"layers {abbreviated(resumed[step])} " if len(self._arms) > 1 else ""
            self._screen.say(f"{layers}resuming after step {step}")
        greedy = self._setting.config.evaluation.greedy
        self._panel.evaluate(BEFORE, self._arms, greedy=greedy)
        for arm in going(self._arms):
            if arm.selection.trains_nothing:
                self._finish(arm, Audit(0, [0.0] * self._setting.model.n_blocks, 0.0, []))
        if not going(self._learners):
            return
        with deferred_interrupt() as interrupted:
            self._trainer.train(self._screen, self._after_step, interrupted)
        audits = self._trainer.final_audits()
        charge(going(self._learners), self._meter.lap())
        self._panel.evaluate(AFTER, self._learners, greedy=greedy)
        for arm in going(self._learners):
            self._finish(arm, audits[arm.variant])

    def _after_step(self, step: int, arms: Sequence[Arm]) -> None:
        config = self._setting.config
        if config.evaluation.every and step % config.evaluation.every == 0 and step < config.steps:
            self._panel.evaluate(f"step={step}", arms)

    def _finish(self, arm: Arm, audit: Audit) -> None:
        with arm.at_own_cost():
            arm.cell.write_json("audit.json", audit.to_dict())
            rate = self._worker.learning_rate(arm.variant)
            result = result_of(arm, self._setting, audit, rate, self._worker.peak_memory_bytes())
            write_result(arm.cell.folder, result)
            arm.cell.finished()
            arm.trackers.finished(result)
            if arm in self._learners:
                self._trainer.discard_working_files(arm)
