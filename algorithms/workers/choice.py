"""Which worker runs: the bank with its shortcuts wherever it can."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from agents.decoder import NotPackableError
from agents.models import ModelFiles
from algorithms.layers import LayerSelection
from algorithms.machine import Machine
from algorithms.workers.local import LocalWorker
from algorithms.workers.plain import PlainWorker
from conf.schema import Config

if TYPE_CHECKING:
    from algorithms.workers.cluster.worker import ClusterWorker

LocalWorkers = LocalWorker | PlainWorker
"""Both have the same face and give the same results but for rounding."""

Worker: TypeAlias = "LocalWorker | PlainWorker | ClusterWorker"
"""All generate, tell their weights and take them back; on a cluster verl's trainer plays and updates by itself."""


def make_worker(config: Config, selections: Sequence[LayerSelection], machine: Machine, model: ModelFiles) -> Worker:
    """The policies of ``selections``: in a bank, or plainly where ``runner.shortcuts=false`` or the model asks for it.

    On a cluster there is one policy.

    Raises:
        LayerError: A selection trains nothing in this model, and is not ``base``.
        ClusterError: A cluster is not there or cannot run it.
    """
    if config.runner.name == "cluster":
        from algorithms.workers.cluster.worker import ClusterWorker  # Ray, and packages of an extra

        (selection,) = selections
        return ClusterWorker(config, selection, machine, model)
    if config.runner.shortcuts:
        try:
            return LocalWorker(config, selections, machine, model)
        except NotPackableError as error:
            print(f"without shortcuts: {error}", flush=True)
        gc.collect()  # what had been built by then is as large as a model
    return PlainWorker(config, selections, machine, model)
