"""What cells that differ only in their layer have in common: machine, model, task, panel, the agent's words."""

from __future__ import annotations

from functools import partial

from agents.agent import Agent
from agents.models import load_tokenizer, resolve
from agents.world import MakeEnv, make_env_of
from algorithms.estimators import estimator_of
from algorithms.layers import LayerSelection
from algorithms.machine import choose
from algorithms.workers.cluster.engines import engine_of
from conf.schema import Config
from envs.pool import Pool
from envs.remote import RemoteEnv
from evaluation.evaluate import panel_items


class Setting:
    """Making one finds what is wrong with a configuration, before anything is written."""

    def __init__(self, config: Config) -> None:
        """Find the model, make the task.

        Args:
            config: Of any of the cells; its layer is not read.

        Raises:
            ConfigError, ModelError, ValueError: Something in the configuration; the message names the field.
            ClusterError: ``runner.engine`` cannot run here.
        """
        self.config, task = config, config.task
        self.machine = choose(config.runner)
        if config.runner.name == "cluster":
            engine_of(config, self.machine)
        self.model = resolve(config.model, task)
        self.make_env: MakeEnv = make_env_of(task)
        if task.processes:  # the pool ends with the last environment that lives in it
            self.make_env = partial(RemoteEnv, self.make_env, Pool(task.processes, task.timeout_s))
        self.env = self.make_env()
        self.items = panel_items(task, config.evaluation, self.env.size(task.eval_split))
        estimator_of(config.algorithm)
        self.n_train, self._train_source = self.env.size(task.train_split), self.env.source(task.train_split)
        self.identity = {
            "model_source": self.model.source,
            "model_weights": self.model.fingerprint(),
            "train_data": f"{self._train_source}, {self.n_train} items",
            "eval_data": self.env.source(task.eval_split),
            "compute_dtype": str(self.machine.dtype).removeprefix("torch."),
        }
        self.agent = Agent(load_tokenizer(self.model.path), task)

    def require_data_for(self, selection: LayerSelection) -> None:
        """Refuse to train where there is nothing to train on.

        Raises:
            ValueError: The training split is empty, and the selection trains something.
        """
        if self.n_train == 0 and not selection.trains_nothing:
            split = self.config.task.train_split
            raise ValueError(f"nothing to train on in task.train_split={split}: {self._train_source}")
