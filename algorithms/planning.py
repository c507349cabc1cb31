"""Hydra's callback that writes down what a command asks for, so that a study knows what it is still owed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from conf.errors import UserError
from conf.schema import Config
from evaluation.progress import Asked, add_to_plan, now

OWN_WORDS = ("layer=", "seed=")
"""Words of a job that are read here; jobs that differ in nothing else are composed once."""

Jobs = Sequence[tuple[Sequence[str], DictConfig]]
"""Words and composed configuration of each job."""


class PlanCallback(Callback):
    """Adds the cells of a run, or of all jobs of a multirun whatever its launcher, to the study's ``plan.jsonl``.

    With ``show`` it prints what they would cost instead, and ends the process before anything is launched or written.
    """

    def __init__(self, show: bool = False) -> None:
        self._show = show

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra's hook."""
        self._take([(list(config.hydra.overrides.task), config)])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra's hook, before the sweeper splits the command into jobs."""
        try:
            jobs = _composed(config)
        except HydraException as error:  # a callback's exception would only be a warning of Hydra's
            if self._show:
                sys.exit(f"error: {error}")
            raise
        self._take(jobs)

    def _take(self, jobs: Jobs) -> None:
        if not self._show:
            _record(jobs)
            return
        from algorithms.budget.show import show

        configs, refused = list[Config](), list[str]()
        for words, composed in jobs:
            try:
                configs.append(config_of(composed, words))
            except (UserError, ValueError, OmegaConfBaseException) as error:
                refused.append(f"{' '.join(words)}: {error}")
        sys.exit(show(configs, refused))


def _composed(config: DictConfig) -> Jobs:
    """The jobs of a multirun, each with a configuration that is composed once for those that differ in OWN_WORDS."""
    composed = dict[tuple[str, ...], DictConfig]()
    loader = GlobalHydra.instance().config_loader()
    jobs = []
    for words in jobs_of(config):
        shared = tuple(word for word in words if not word.startswith(OWN_WORDS))
        if shared not in composed:
            composed[shared] = loader.load_sweep_config(config, list(words))
        jobs.append((words, composed[shared]))
    return jobs


def jobs_of(config: DictConfig) -> list[list[str]]:
    """The words of every job of a multirun, as Hydra's basic sweeper deals them out."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # no public way to split a command

    params = config.hydra.sweeper.get("params") or {}
    words = [f"{key}={value}" for key, value in params.items()] + list(config.hydra.overrides.task)
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return [job for batch in BasicSweeper.split_arguments(parser.parse_overrides(words), None) for job in batch]


def _record(jobs: Jobs) -> None:
    """Write the plan of every study that the jobs name; a plan that cannot be written stops nobody."""
    at, sweep = now(), " ".join(["python run.py", *(quote(word) for word in sys.argv[1:])])
    studies: dict[Path, list[Asked]] = {}
    for words, composed in jobs:
        command = " ".join(words)
        try:
            config = config_of(composed, words)
        except (UserError, ValueError, OmegaConfBaseException) as error:
            folder = Path(str(composed.runs_dir)) / str(composed.study)
            studies.setdefault(folder, []).append(Asked("", 0, command, sweep, str(error), at))
            continue
        studies.setdefault(Path(config.runs_dir) / config.study, []).extend(_asked(config, command, sweep, at))
    for folder, asked in studies.items():
        try:
            add_to_plan(folder, asked)
        except OSError as error:
            print(f"the study's plan was not written: {error}", file=sys.stderr)


def _asked(config: Config, command: str, sweep: str, at: str) -> list[Asked]:
    from algorithms.layers import expand_layer  # after Hydra: a sweep's main process may need no torch at all
    from algorithms.selection import cell_of, n_blocks_of

    study, lines = Path(config.runs_dir) / config.study, []
    try:
        words = expand_layer(config.layer, n_blocks_of(config)) if config.layer == "all" else [config.layer]
        for word in words:
            name = cell_of(replace(config, layer=word)).folder.relative_to(study)
            lines.append(Asked(str(name), 0 if word == "base" else config.steps, command, sweep, at=at))
    except (UserError, ValueError, OSError) as error:
        return [Asked("", config.steps, command, sweep, str(error), at)]
    return lines


def config_of(composed: DictConfig, words: Sequence[str] = ()) -> Config:
    """A job's configuration, from one that may differ from it in the layer and seed that ``words`` give."""
    config = deepcopy(composed)
    with read_write(config), open_dict(config):
        del config["hydra"]
        for own in OverridesParser.create().parse_overrides([word for word in words if word.startswith(OWN_WORDS)]):
            config[own.key_or_group] = own.value()  # Hydra's way to read a word: it escapes the colon of mid:5
    return OmegaConf.to_object(config)  # type: ignore[return-value]
