"""Run one cell, or with ``-m`` a sweep of them: python run.py -m task=math 'layer=base,full,0,15,29'."""

import os
import sys

# Threads that wait must sleep, not spin: on a busy machine spinning ones starve those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hydra
from omegaconf import DictConfig, OmegaConf

import conf.schema

conf.schema.register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(config: DictConfig) -> None:
    """One cell, as Hydra calls it."""
    from algorithms.study import run_cell  # after Hydra: --help and a mistyped key need no torch

    run_cell(OmegaConf.to_object(config))


def main() -> None:
    """The command line; Ctrl-C leaves a checkpoint and exit code 130."""
    try:
        job()
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
