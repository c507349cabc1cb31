"""Run one cell, or with ``-m`` a sweep of them: python run.py -m 'layer=base,full,0'; see --plan and --status."""

import os
import sys
from typing import cast

# Threads that wait must sleep, not spin: on a busy machine spinning ones starve those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from algorithms.flags import hydra_words
from conf.errors import UserError
from conf.schema import Config, register

register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(config: DictConfig) -> None:
    """One job, as Hydra calls it: a failure ends this job, not the sweep, and sets the exit code."""
    try:
        from algorithms.sweep import run_arms  # after Hydra: --help and a mistyped key need no torch

        run_arms(cast(Config, OmegaConf.to_object(config)), HydraConfig.get().overrides.task)
    except (UserError, ValueError, OSError, OmegaConfBaseException) as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN:  # at the end Hydra tells of the first failure only
            print(f"error in {' '.join(HydraConfig.get().overrides.task)}: {error}", file=sys.stderr)
        raise CompactHydraException(f"error: {error}") from error


def main() -> None:
    """The command line; Ctrl-C leaves a checkpoint and exit code 130."""
    sys.argv[1:] = hydra_words(sys.argv[1:])
    try:
        job()
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
