"""``hydra/launcher=fused``: the cells of a multirun that differ only in ``layer`` train side by side in one process.

    python run.py -m layer=base,0,15,29 seed=0,1 hydra/launcher=fused
    python run.py -m layer=all hydra/launcher=fused
    python run.py -m layer=all hydra/launcher=fused hydra.launcher.processes=2

Hydra reads this file whenever it starts, so it imports what computes as late as it can.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

if TYPE_CHECKING:
    from conf.schema import Config

log = logging.getLogger(__name__)


ConfigStore.instance().store(
    group="hydra/launcher",
    name="fused",
    node={"_target_": "hydra_plugins.fused_launcher.FusedLauncher", "processes": 1},
    provider="onelayer",
)


class FusedLauncher(Launcher):
    """Runs each group of jobs that differ only in ``layer`` when its first job's turn comes."""

    def __init__(self, processes: int) -> None:
        """``processes``: the cells of a group are dealt out to so many, each with a base of its own.

        Raises:
            ValueError: It is no whole number of at least 1.
        """
        if not isinstance(processes, int) or processes < 1:
            raise ValueError(f"hydra.launcher.processes={processes} is not valid: a whole number of at least 1")
        self._processes = processes

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's hook. The task function runs one cell, so it is not asked."""
        self._context, self._config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs; the returns are in their order, a failed job's is failed.

        Raises:
            KeyboardInterrupt: Ctrl-C, after a checkpoint of every cell that was training.
        """
        setup_globals()
        self._configure_log()
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        composed = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
            job = self._context.config_loader.load_sweep_config(self._config, list(overrides))
            with open_dict(job):
                job.hydra.job.id = job.hydra.job.num = number
            composed.append(job)
        fused = _Fused(composed, self._processes)
        returns = []
        for place, job in enumerate(composed):
            returns.append(
                run_job(
                    hydra_context=self._context,
                    task_function=fused.task(place),
                    config=job,
                    job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir",
                )
            )
            self._configure_log()
        return returns

    def _configure_log(self) -> None:
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)


class _Fused:
    """The jobs by group, and what became of those whose group has run."""

    def __init__(self, jobs: Sequence[DictConfig], processes: int) -> None:
        from algorithms.planning import config_of
        from algorithms.sweep import group_by_setting

        self._processes = processes
        self._words = [list(job.hydra.overrides.task) for job in jobs]
        self._configs: dict[int, Config] = {}
        self._errors: dict[int, str] = {}
        for place, job in enumerate(jobs):
            try:
                self._configs[place] = config_of(job)
            except (ValueError, OmegaConfBaseException) as error:
                self._errors[place] = str(error)
                print(f"error in {' '.join(self._words[place])}: {error}", file=sys.stderr)
        places = list(self._configs)
        groups = group_by_setting(list(self._configs.values()))
        self._waiting = [[places[position] for position in group] for group in groups]

    def task(self, place: int) -> Callable[[DictConfig], None]:
        """What ``run_job`` shall call for one job."""

        def run(_: DictConfig) -> None:
            for group in [group for group in self._waiting if place in group]:
                self._waiting.remove(group)
                self._run(group)
            if place in self._errors:
                raise CompactHydraException(f"error: {self._errors[place]}")

        return run

    def _run(self, group: Sequence[int]) -> None:
        from algorithms.arm import FAILURES, ArmsFailedError
        from algorithms.sweep import run_fused

        try:
            configs, words = ([given[place] for place in group] for given in (self._configs, self._words))
            run_fused(configs, words, processes=self._processes)
        except ArmsFailedError as error:  # it has told of each when it failed
            self._errors |= {group[position]: text for position, text in error.failures.items()}
        except FAILURES as error:
            self._errors |= dict.fromkeys(group, str(error))
            print(f"error in {' '.join(self._words[group[0]])}: {error}", file=sys.stderr)
