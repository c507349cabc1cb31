"""The cells that a command names, each with its state on disk, its seconds and the ranks it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from algorithms.budget.arithmetic import Trained, cell_s
from algorithms.budget.memory import MAX_RANKS, Fit, Server, fit
from algorithms.budget.sizes import Sizes, UnknownSizeError, sizes_of
from algorithms.cell import Cell
from algorithms.layers import expand_layer, guided, parse_layer
from algorithms.selection import label_of
from conf.schema import Config, PlanConfig
from evaluation.pace import Pace
from evaluation.states import CellState, states_of


@dataclass(frozen=True)
class PlannedCell:
    """One cell. Of a finished one the costs are 0; None is unknown."""

    config: Config
    label: str
    name: str
    """Its folder below the study's."""
    trained: Trained
    state: str
    sizes: Sizes | None
    seconds: float | None
    """What all of its ranks work, added up."""
    measured: bool
    """The seconds come from this study's own cells, not from the cost model."""
    fit: Fit | None
    """None also where no number of ranks is enough."""

    @property
    def kind(self) -> str:
        """What its row of the plan is called."""
        if self.trained.everything or not self.trained.blocks:
            return "full" if self.label == "full" else self.label.partition(":")[0]
        return "one block" if len(self.trained.blocks) == 1 else f"{len(self.trained.blocks)} blocks"

    @property
    def ranks(self) -> int:
        """Processes that it runs on: what it needs, and on a cluster at least what it was given."""
        given = self.config.runner.ranks if self.config.runner.name == "cluster" else 1
        return max(given, self.fit.ranks if self.fit else 1)

    @property
    def moves(self) -> bool:
        """Asked for with ``runner=local``, where it does not fit."""
        return self.fit is not None and self.fit.moved

    @property
    def setting(self) -> tuple[str, str, str]:
        """Task, model and algorithm."""
        return self.config.task.name, self.config.model.name, self.config.algorithm.name


def planned_cells(config: Config, known: dict[str, Sizes | UnknownSizeError]) -> list[PlannedCell]:
    """The cells of one job; several for ``layer=all``.

    Args:
        config: The job.
        known: Sizes found so far, by model and task; what is found is added.

    Raises:
        UnknownSizeError: Not even the number of blocks is known, so its cells cannot be counted.
        LayerError: The layer does not parse.
    """
    key = f"{config.model.name}/{config.model.path}/{config.task.name}"
    if key not in known:
        try:
            known[key] = sizes_of(config.model, config.task)
        except UnknownSizeError as error:
            known[key] = error
    found = known[key]
    sizes = found if isinstance(found, Sizes) else None
    n_blocks = sizes.n_blocks if sizes else config.model.n_blocks
    if n_blocks is None:
        assert isinstance(found, UnknownSizeError)
        raise found
    words = expand_layer(config.layer, n_blocks)
    return [_cell(replace(config, layer=word), n_blocks, sizes) for word in words]


def _cell(config: Config, n_blocks: int, sizes: Sizes | None) -> PlannedCell:
    label, trained = label_of(config, n_blocks), trained_by(config, n_blocks)
    study = Path(config.runs_dir) / config.study
    name = str(Cell(config, label).folder.relative_to(study))
    return PlannedCell(config, label, name, trained, "owed", sizes, None, False, fit_of(config, sizes, [trained]))


def trained_by(config: Config, n_blocks: int) -> Trained:
    """What the layer word trains; of ``best:k`` and ``worst:k``, which a study has yet to name, the lowest blocks."""
    word = guided(config.layer, n_blocks)
    if word:
        everything = word.kind == "boost"
        return Trained(tuple(range(n_blocks if everything else word.k)), everything)
    selection = parse_layer(config.layer, n_blocks, seed=config.seed)
    return Trained(selection.blocks, selection.trains_everything)


def computes_in_half(config: Config) -> bool:
    """Whether the cell computes in bfloat16: as the runner says, else as the planned device does."""
    return (config.plan.dtype if config.runner.dtype == "auto" else config.runner.dtype) == "bfloat16"


def fit_of(config: Config, sizes: Sizes | None, arms: Sequence[Trained], *, memory_gb: float = 0.0) -> Fit | None:
    """The ranks that arms of this configuration need.

    ``runner=local`` and a bank of several arms have one rank. One arm that does not fit there is planned on a cluster.

    Args:
        config: Of any of the arms.
        sizes: The model; of None nothing is known.
        arms: What trains.
        memory_gb: Of a device, whatever ranks are asked for; 0: the planned one's, and at least those.
    """
    if sizes is None:
        return None
    local = config.runner.name == "local"
    found = _fit(config, sizes, arms, memory_gb, most=1 if local else MAX_RANKS)
    if found is None and local and len(arms) == 1:
        found = _fit(on_cluster(config), sizes, arms, memory_gb, most=MAX_RANKS)
        return replace(found, moved=True) if found else None
    return found


def on_cluster(config: Config) -> Config:
    """The same cell with ``runner=cluster``, and on GPUs vLLM."""
    engine = "vllm" if config.plan.unit == "GPU" else "hf"
    runner = replace(
        config.runner, name="cluster", device="auto", shortcuts=False, gradient_checkpointing=True, engine=engine
    )
    return replace(config, runner=runner)


def _fit(config: Config, sizes: Sizes, arms: Sequence[Trained], memory_gb: float, most: int) -> Fit | None:
    plan, runner = config.plan, config.runner
    usable = (memory_gb or plan.memory_gb) * 1e9 * plan.share_of_memory / plan.cells_per_device
    cluster = runner.name == "cluster"
    reserved = usable / plan.share_of_memory * runner.gpu_memory_share
    return fit(
        sizes,
        arms,
        config.task.max_prompt_tokens + config.task.max_response_tokens,
        usable,
        half=computes_in_half(config),
        reference=config.algorithm.kl_coef > 0,
        least=runner.ranks if cluster and not memory_gb else 1,
        most=most,
        checkpointing=runner.gradient_checkpointing,
        server=Server(reserved, runner.tensor_parallel) if cluster and runner.engine != "hf" else None,
    )


def with_costs(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """The same, once each, with their states on disk, and seconds: measured in their study where they can be."""
    once = {(cell.config.runs_dir, cell.config.study, cell.name): cell for cell in cells}
    studies: dict[Path, list[PlannedCell]] = {}
    for cell in once.values():
        studies.setdefault(Path(cell.config.runs_dir) / cell.config.study, []).append(cell)
    return [costed for study, members in studies.items() for costed in _with_costs(study, members)]


def _with_costs(study: Path, cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    on_disk = {state.name: state for state in states_of(study)} if study.is_dir() else {}
    states = {cell.name: on_disk.get(cell.name) or CellState(cell.name, "owed") for cell in cells}
    for cell in cells:  # a study's record of what was asked for may be older than the command
        steps = cell.config.steps if cell.trained.blocks else 0
        if states[cell.name].state != "done":
            states[cell.name] = replace(states[cell.name], steps=steps)
    pace = Pace([*(on_disk | states).values()])
    return [_costed(cell, states[cell.name], pace) for cell in cells]


def _costed(cell: PlannedCell, state: CellState, pace: Pace) -> PlannedCell:
    if state.state == "done":
        return replace(cell, state="done", seconds=0.0)
    if pace.knows_kind(state) and (seconds := pace.left_s(state)) is not None:
        return replace(cell, state=state.state, seconds=seconds, measured=True)
    if cell.sizes is None:
        return replace(cell, state=state.state)
    number = 2 if computes_in_half(cell.config) else 4
    config = on_cluster(cell.config) if cell.moves else cell.config
    seconds = cell_s(cell.sizes, cell.trained, config, number, done=state.step)
    return replace(cell, state=state.state, seconds=seconds)


def slots_of(cells: Sequence[PlannedCell], plan: PlanConfig) -> list[tuple[int, float]]:
    """What is left to do, for ``makespan_s``: ranks, and seconds that they take together."""
    slow = plan.cells_per_device
    return [
        (cell.ranks, slow * cell.seconds / cell.ranks)
        for cell in cells
        if cell.state != "done" and cell.seconds is not None
    ]
