"""What ``--plan`` prints: the tables of ``tables``, and in words where their figures come from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleDimensions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from algorithms.budget.cells import PlannedCell, on_cluster, planned_cells, slots_of, with_costs
from algorithms.budget.sizes import Sizes, UnknownSizeError
from algorithms.budget.tables import by_kind, common_words, cost_table, memory_tables, ranks_table, time_table
from conf.errors import UserError
from conf.schema import Config, PlanConfig

PIPE_WIDTH = 120
ONE_JOB = (
    "layer=all is one job: its cells run one after the other. To deal them out, launch two sweeps: "
    "layer=base,full and 'layer=range(0,{n})'."
)
LEFT_OUT = (
    "Left out: start-up, environments, attention's own products, and what most shortcuts save. "
    "Formulas and sources: algorithms/budget/arithmetic.py and memory.py."
)


def show(configs: Sequence[Config], refused: Iterable[str]) -> int:
    """Print the plan of some jobs.

    Args:
        configs: The jobs; a layer may be ``all``.
        refused: Why other jobs of the command name no cell.

    Returns:
        The exit code, 1 where a job names no cell.
    """
    known: dict[str, Sizes | UnknownSizeError] = {}
    found, wrong = list[PlannedCell](), list(refused)
    for config in configs:
        try:
            found += planned_cells(config, known)
        except (UserError, ValueError) as error:  # a layer the model does not have, or a model nobody knows
            wrong.append(f"task={config.task.name} model={config.model.name} layer={config.layer}: {error}")
    if cells := with_costs(found):
        parts = as_tables(cells)
        console = Console(highlight=False)
        roomy = console.options.update(width=10_000)
        widest = max(Measurement.get(console, roomy, part).maximum for part in parts if isinstance(part, Table))
        # A pipe has no width of its own; and a line that the terminal wraps is better than a figure that is cut.
        width = max(console.width if console.is_terminal else PIPE_WIDTH, widest)
        console.size = ConsoleDimensions(width, console.height)  # a dumb terminal heeds no width alone
        console.print(*parts, sep="\n")
        console.print("\n".join(_sources(cells, known.values(), any(config.layer == "all" for config in configs))))
    for text in dict.fromkeys(wrong):
        print(f"error: {text}", file=sys.stderr)
    return int(bool(wrong) or not cells)


def as_tables(cells: Sequence[PlannedCell]) -> list[Table | Text]:
    """The tables with their headings."""
    plan = cells[0].config.plan
    done = sum(cell.state == "done" for cell in cells)
    heading = f"Plan of {len(cells)} cells, {done} of them finished. Nothing is launched or written."
    words = common_words(cells)
    parts: list[Table | Text] = [
        Text(heading, style="bold"),
        *([Text(words)] if words else []),
        cost_table(cells, plan),
    ]
    if any(cell.sizes for cell in cells):
        parts += [Text(_about_memory(plan)), *memory_tables(cells)]
        parts += [Text("The fewest ranks that hold a model, by the memory of a device:"), ranks_table(cells)]
    if slots_of(cells, plan):
        several = f"{plan.cells_per_device} cells" if plan.cells_per_device > 1 else "one cell"
        parts += [Text(f"With at most {several} on a {plan.unit}:"), time_table(cells, plan)]
        parts += [Text(line) for line in _too_few(cells, plan)]
    return parts


def _too_few(cells: Sequence[PlannedCell], plan: PlanConfig) -> list[str]:
    """Where cells need more ranks than they are given, or than there are devices."""
    lines, widest = list[str](), max(cell.ranks for cell in cells)
    for (task, model, _, kind), members in by_kind(cells).items():
        runner, needed = members[0].config.runner, max(cell.ranks for cell in members)
        if moved := [cell for cell in members if cell.moves]:
            some = "" if len(moved) == len(members) else f"{len(moved)} cells of "
            there = on_cluster(moved[0].config).runner
            lines.append(
                f"{some}{kind} of {model} on {task}: too large for runner=local, planned for runner=cluster "
                f"runner.engine={there.engine} runner.ranks={max(cell.ranks for cell in moved)}."
            )
        elif runner.name == "cluster" and needed > runner.ranks:
            lines.append(f"{kind} of {model} on {task} needs runner.ranks={needed}; {runner.ranks} are too few.")
    if widest > plan.devices:
        lines.append(f"plan.devices={plan.devices} is {widest - plan.devices} too few for {widest} ranks.")
    return list(dict.fromkeys(lines))


def _about_memory(plan: PlanConfig) -> str:
    usable = plan.memory_gb * plan.share_of_memory / plan.cells_per_device
    return (
        f"GB of a rank, where {usable:.3g} of {plan.memory_gb:g} may be used (plan.memory_gb, plan.share_of_memory, "
        "plan.cells_per_device). Weights, gradients and AdamW's two moments are float32. Last lines: for how many "
        "tokens in a pass and episodes at a time there is room, of those that runner.max_tokens_per_pass and "
        "runner.rollout_batch ask for:"
    )


def _sources(cells: Sequence[PlannedCell], known: Iterable[Sizes | UnknownSizeError], all_in_one: bool) -> list[str]:
    config = cells[0].config
    plan, lines = config.plan, list[str]()
    for found in known:
        lines.append(f"Not known: {found}" if isinstance(found, UnknownSizeError) else f"Sizes: {found.source}.")
    if any(cell.measured for cell in cells):
        lines.append("Measured: cells of the same study, on whatever machine ran them, one process at a time.")
    if any(cell.seconds and not cell.measured for cell in cells):
        limits = {
            "prompt_tokens": config.task.max_prompt_tokens,
            "response_tokens": config.task.max_response_tokens,
            "turns": config.task.max_turns,
        }
        assumed = [f"{name}={getattr(plan, name):g}" for name in ("share_of_peak", "share_of_bandwidth")]
        for name, limit in limits.items():
            given = getattr(plan, name)
            assumed.append(f"{name}={given or limit}" + ("" if given else " (the task's limit, an upper bound)"))
        lines += [
            f"Model: {plan.name}, {plan.peak_tflops:g} TFLOP/s, {plan.bandwidth_gb_s:g} GB/s ({plan.source}).",
            f"Assumed, each a key plan.<name>: {', '.join(assumed)}.",
            LEFT_OUT,
        ]
    if all_in_one and len(cells) > 1:
        lines.append(ONE_JOB.format(n=next((cell.sizes.n_blocks for cell in cells if cell.sizes), "<blocks>")))
    return list(dict.fromkeys(lines))
