"""The loop of arms that train in lockstep: collect, advantage, update, audit, checkpoint. One arm is an ordinary run.

Nothing in a step depends on how the process got there, or on the arms beside: its items follow from (seed, step), its
samples from (seed, step, group, member, turn), the same in every arm. So a resumed run equals an uninterrupted one, and
an arm among others a run of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from agents.episode import Start
from agents.seeding import seed_of
from algorithms import checkpoint
from algorithms.arm import Arm, going
from algorithms.audit import Audit, Baseline, Fingerprints, require
from algorithms.lesson import Learner
from algorithms.meter import Meter
from algorithms.screen import Screen
from algorithms.step_metrics import step_metrics
from algorithms.workers.choice import Worker
from conf.errors import UserError
from conf.schema import Config


class NoSignalError(UserError, RuntimeError):
    """Training ended without a single group that had a signal: nothing was trained, and nothing can be concluded."""


class Trainer:
    """Trains arms of one worker for ``config.steps`` steps each."""

    def __init__(
        self,
        config: Config,
        arms: Sequence[Arm],
        worker: Worker,
        learner: Learner,
        n_items: int,
        meter: Meter,
    ) -> None:
        """Remember where the weights of every arm started, and how far its newest checkpoint is.

        Args:
            config: What the arms have in common.
            arms: What trains.
            worker: Holds the weights.
            learner: Plays the episodes of a step and updates on them.
            n_items: Of the training split.
            meter: Of this process.
        """
        self._config, self._arms, self._worker = config, list(arms), worker
        self._learner, self._n_items, self._meter = learner, n_items, meter
        self._shuffled: tuple[int, list[int]] = (-1, [])
        self._baselines: dict[int, Baseline] = {}
        self._moved: set[int] = set()
        fingerprints = Fingerprints()
        for arm in self._arms:
            with arm.at_own_cost():
                file, variant = arm.checkpoints / "start.safetensors", arm.variant
                parameters, trained = worker.parameters(variant), worker.trained(variant)
                self._baselines[variant] = Baseline(parameters, trained, file, fingerprints)
                arm.step = checkpoint.steps_done(arm.checkpoints)

    def train(self, screen: Screen, after_step: Callable[[int, list[Arm]], None], stopping: Callable[[], bool]) -> None:
        """Put the newest checkpoints back and run the remaining steps, those of the arms that are behind first.

        ``after_step`` is called with a number of steps and the arms that have done as many. An arm that fails is
        dropped; one that is alone raises:

        Raises:
            AuditError: The mask did not hold, seen after the first update that moved anything.
            EnvironmentsBrokenError: Too many episodes were lost.
            CheckpointError: A checkpoint could not be read or written.
            KeyboardInterrupt: ``stopping`` said so; a checkpoint of every arm was written first.
        """
        config = self._config
        self._resume()
        for step in sorted({arm.step for arm in going(self._arms)} - {0}):
            # The checkpoint may be all that was left of the last step.
            after_step(step, [arm for arm in going(self._arms) if arm.step == step])
        while behind := [arm for arm in going(self._arms) if arm.step < config.steps]:
            step = min(arm.step for arm in behind)
            arms = [arm for arm in behind if arm.step == step]
            self._take(step, arms, screen)
            interrupted, step = stopping(), step + 1
            if interrupted or step % config.checkpoint_every == 0 or step == config.steps:
                with self._meter.phase("checkpoint"):
                    self._save(going(arms))
            if interrupted:  # an arm that waits for the others is as its checkpoint says
                raise KeyboardInterrupt
            if done := going(arms):
                after_step(step, done)

    def final_audits(self) -> dict[int, Audit]:
        """The audits of the arms that finished, by variant. An arm that fails is dropped; one that is alone raises:

        Raises:
            NoSignalError: No step had a gradient, so the block that should move could not.
            AuditError: The mask did not hold.
        """
        audits, fingerprints = dict[int, Audit](), Fingerprints()
        for arm in going(self._arms):
            with arm.at_own_cost():
                audit = self._audit(arm, fingerprints)
                if not any([*audit.relative_change_L, audit.other]):
                    raise NoSignalError(
                        f"no group of {self._config.steps} steps had answers of different reward, so nothing was "
                        "trained; use an easier task, a larger algorithm.group_size or more steps, in another "
                        "study=<name>"
                    )
                audits[arm.variant] = require(audit)
        return audits

    def discard_working_files(self, arm: Arm) -> None:
        """Keep the trained weights, drop what only a running cell needs."""
        self._baselines[arm.variant].discard()
        checkpoint.keep_weights_only(arm.checkpoints)

    def _resume(self) -> None:
        for arm in going(self._arms):
            with arm.at_own_cost():
                if newest := checkpoint.latest(arm.checkpoints):
                    saved = checkpoint.load(newest, self._worker.trained(arm.variant))
                    self._worker.load(arm.variant, saved.parameters, saved.optimizer_state)

    def _save(self, arms: Sequence[Arm]) -> None:
        for arm in arms:
            with arm.at_own_cost():
                trained = self._worker.trained(arm.variant)
                checkpoint.save(arm.checkpoints, arm.step, trained, self._worker.optimizer_state(arm.variant))

    def _audit(self, arm: Arm, fingerprints: Fingerprints) -> Audit:
        parameters, block_of = self._worker.parameters(arm.variant), self._worker.block_of
        return self._baselines[arm.variant].audit(parameters, block_of, arm.selection, arm.step, fingerprints)

    def _take(self, step: int, arms: list[Arm], screen: Screen) -> None:
        """One step of arms that have done as many: one rollout, one update."""
        algorithm = self._config.algorithm
        lessons = self._learner.learn(step, arms, self._starts(step), self._meter)
        share_s = {phase: seconds / len(arms) for phase, seconds in self._meter.lap().items()}
        logged, fingerprints = [], Fingerprints()
        for arm in going(arms):
            with arm.at_own_cost():
                lesson, variant = lessons[arm.variant], arm.variant
                metrics = step_metrics(
                    lesson.episodes, lesson.batch, lesson.update, share_s, algorithm.anchor_similarity
                )
                arm.step += 1
                if variant not in self._moved and metrics["grad_norm"] > 0:
                    require(self._audit(arm, fingerprints))
                    self._moved.add(variant)
                metrics |= {
                    "learning_rate": self._worker.learning_rate(variant),
                    "arms": len(arms),
                    "step": arm.step,
                    "peak_memory_bytes": self._worker.peak_memory_bytes(),
                    **lesson.more,
                }
                arm.trackers.log(metrics)  # before the checkpoint: a run that resumes from it does not repeat the step
                logged.append(metrics)
        if logged:
            screen.log(logged)

    def _starts(self, step: int) -> list[Start]:
        """The episodes of a step: ``groups_per_step`` items in an order reshuffled every pass through the split."""
        algorithm, seed, split = self._config.algorithm, self._config.seed, self._config.task.train_split
        starts = []
        for group in range(algorithm.groups_per_step):
            epoch, place = divmod(step * algorithm.groups_per_step + group, self._n_items)
            index = self._order(epoch)[place]
            starts += [
                Start(split, index, group, member, seed_of("rollout", seed, step, group, member))
                for member in range(algorithm.group_size)
            ]
        return starts

    def _order(self, epoch: int) -> list[int]:
        """The items of one pass through the split; kept until the next pass, for splits of a million items."""
        if self._shuffled[0] != epoch:
            order = list(range(self._n_items))
            random.Random(seed_of("order", self._config.seed, self._config.task.train_split, epoch)).shuffle(order)
            self._shuffled = epoch, order
        return self._shuffled[1]
