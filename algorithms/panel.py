"""Evaluations of arms that share a worker: the panel played in one rollout, its rows written to every cell."""

from __future__ import annotations

from collections.abc import Sequence

from agents.episode import Episode
from algorithms.arm import Arm, charge, going
from algorithms.cell import CellError
from algorithms.meter import Meter
from algorithms.screen import Screen
from algorithms.setting import Setting
from algorithms.workers.choice import Worker
from evaluation.evaluate import GREEDY, panel_rows, play_panel
from evaluation.results import EPISODES_FILE, PanelRow
from evaluation.task_types import mean_outcome

BEFORE, AFTER = "before", "after"


class PanelPlayer:
    """Plays what is not on disk yet.

    Before training, the cells of a task, model and algorithm are one model whatever their layer and seed, and the panel
    has sampling seeds of its own: its rows are played once in a study.
    """

    def __init__(self, setting: Setting, worker: Worker, meter: Meter, screen: Screen) -> None:
        self._setting, self._worker, self._meter, self._screen = setting, worker, meter, screen

    def evaluate(self, phase: str, arms: Sequence[Arm], *, greedy: bool = False) -> None:
        """Give every arm its rows of ``phase``, and of its greedy sister when asked for.

        Raises:
            CellError: The rows from before training are gone, and no model at hand is still untrained.
            EnvironmentsBrokenError: Too many episodes of the untrained model were lost.
        """
        if greedy:
            self.evaluate(GREEDY + phase, arms)
        lacking = []
        for arm in going(arms):
            with arm.at_own_cost():
                if not arm.cell.rows(phase):
                    lacking.append(arm)
        if not lacking:
            return
        one_model = phase in (BEFORE, GREEDY + BEFORE)
        rows_of = self._of_one_model(phase, lacking) if one_model else self._of_each(phase, lacking)
        for arm in going(lacking):
            with arm.at_own_cost():
                arm.cell.add_rows(rows_of[arm.variant])
        if shown := list(rows_of.values())[: 1 if one_model else None]:
            n_items = len(self._setting.items)
            self._screen.evaluated(phase, [mean_outcome(rows) for rows in shown], n_items, len(shown[0]) // n_items)

    def _of_one_model(self, phase: str, lacking: Sequence[Arm]) -> dict[int, list[PanelRow]]:
        rows = lacking[0].cell.rows_of_another(phase, len(self._setting.items))
        if not rows:
            variant = self._untrained(phase, lacking).variant
            rows = panel_rows(phase, self._played(phase, [variant], lacking)[variant], self._setting.config.task)
            for arm in lacking:
                arm.tokens += sum(row.tokens for row in rows) / len(lacking)
        return {arm.variant: rows for arm in lacking}

    def _untrained(self, phase: str, lacking: Sequence[Arm]) -> Arm:
        for arm in lacking:
            if arm.step == 0:
                return arm
        raise CellError(
            f"{lacking[0].cell.folder / EPISODES_FILE} has lost the rows of phase {phase}, and its model has taken "
            f"{lacking[0].step} steps since; run layer=base in the same study, which plays them, then this again"
        )

    def _of_each(self, phase: str, lacking: Sequence[Arm]) -> dict[int, list[PanelRow]]:
        played, rows_of = self._played(phase, [arm.variant for arm in lacking], lacking), dict[int, list[PanelRow]]()
        for arm in lacking:
            with arm.at_own_cost():
                rows_of[arm.variant] = panel_rows(phase, played[arm.variant], self._setting.config.task)
                arm.tokens += sum(row.tokens for row in rows_of[arm.variant])
        return rows_of

    def _played(self, phase: str, variants: Sequence[int], payers: Sequence[Arm]) -> dict[int, list[Episode]]:
        setting, config = self._setting, self._setting.config
        with self._meter.phase("evaluate"):
            played = play_panel(
                self._worker,
                setting.agent,
                setting.make_env,
                config.task,
                config.evaluation,
                setting.items,
                phase,
                variants,
            )
        charge(payers, self._meter.lap())  # not part of a training step
        return played
