"""What ``--plan`` prints: cells and hours, memory of a rank, ranks by device, time by number of devices, sources."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from algorithms.budget.arithmetic import Trained, makespan_s
from algorithms.budget.cells import PlannedCell, fit_of, planned_cells, slots_of, with_costs
from algorithms.budget.memory import Fit
from algorithms.budget.sizes import Sizes, UnknownSizeError
from conf.errors import UserError
from conf.schema import Config, PlanConfig
from evaluation.pace import duration

DEVICE_GB = (24, 40, 80, 141, 192)
"""Memory of common accelerators, for the table of ranks."""
PARTS = ("weights", "gathered", "sampling", "casts", "gradients", "optimizer", "reference")
ONE_JOB = (
    "layer=all is one job: its cells run one after the other. To deal them out, launch two sweeps: "
    "layer=base,full and 'layer=range(0,{n})'."
)
LEFT_OUT = (
    "Left out: start-up, environments, attention's own products, and what shortcuts save. "
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
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width of its own: fold nothing
        console = Console(width=2000, color_system=None, highlight=False)
    cells = with_costs(found)
    if cells:
        unknown = [str(error) for error in known.values() if isinstance(error, UnknownSizeError)]
        console.print(as_tables(cells, unknown, all_in_one=any(config.layer == "all" for config in configs)))
    for text in dict.fromkeys(wrong):
        print(f"error: {text}", file=sys.stderr)
    return int(bool(wrong) or not cells)


def as_tables(cells: Sequence[PlannedCell], unknown: Sequence[str], *, all_in_one: bool) -> RenderableType:
    """The whole plan."""
    plan = cells[0].config.plan
    done = sum(cell.state == "done" for cell in cells)
    heading = f"Plan of {len(cells)} cells, {done} of them finished. Nothing is launched or written."
    parts: list[RenderableType] = [Text(heading, style="bold"), _costs(cells, plan)]
    kinds = _by_kind(cells)
    if any(cell.sizes for cell in cells):
        parts += [Text(_usable(plan)), _memory(kinds, plan)]
        parts += [Text("Fewest ranks of a model, by the memory of a device"), _ranks(kinds)]
    parts += _times(cells, plan)
    sources = dict.fromkeys(cell.sizes.source for cell in cells if cell.sizes)
    parts += [Text(f"Sizes: {source}.") for source in sources]
    parts += [Text(f"Not known: {text}") for text in unknown]
    parts.append(Text(_basis(cells, plan)))
    if all_in_one and len(cells) > 1:
        n_blocks = next((cell.sizes.n_blocks for cell in cells if cell.sizes), "n")
        parts.append(Text(ONE_JOB.format(n=n_blocks)))
    return Group(*parts)


def _by_kind(cells: Sequence[PlannedCell]) -> dict[tuple[str, ...], list[PlannedCell]]:
    kinds: dict[tuple[str, ...], list[PlannedCell]] = {}
    for cell in cells:
        kinds.setdefault((*cell.setting, cell.kind), []).append(cell)
    return kinds


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right")
    return table


def _costs(cells: Sequence[PlannedCell], plan: PlanConfig) -> Table:
    numbers = ("cells", "layers", "seeds", "finished", "ranks", "h per cell", f"{plan.unit} h", "from")
    table = _table("", ("task", "model", "algorithm", "trains"), numbers)
    for key, members in _by_kind(cells).items():
        left = [cell for cell in members if cell.state != "done"]
        hours = [cell.seconds / 3600 for cell in left if cell.seconds is not None]
        each = [(cell.seconds or 0) / 3600 / (cell.fit.ranks if cell.fit else 1) for cell in left if cell.seconds]
        layers, seeds = {cell.label for cell in members}, {cell.config.seed for cell in members}
        counts = (len(members), len(layers), len(seeds), len(members) - len(left) or "")
        known = len(hours) == len(left)
        origin = sorted({"measured" if cell.measured else "model" for cell in left if cell.seconds is not None})
        total = _hours(sum(hours)) if known else "?"
        row = (*counts, _span(_needed(cell) for cell in members), _span(map(_hours, each)), total, ", ".join(origin))
        table.add_row(*key, *map(str, row))
    unfinished = [cell for cell in cells if cell.state != "done"]
    if all(cell.seconds is not None for cell in unfinished):
        total = _hours(sum(cell.seconds or 0 for cell in unfinished) / 3600)
        table.add_row("all", "", "", "", str(len(cells)), *[""] * 2, str(len(cells) - len(unfinished) or ""), "", "", total)
    return table


def _memory(kinds: dict[tuple[str, ...], list[PlannedCell]], plan: PlanConfig) -> Table:
    """The largest of each kind, and all blocks in one bank."""
    table = _table("", ("model", "task", "trains"), ("ranks", *PARTS, "GB per rank", "tokens in a pass", "episodes"))
    banks: dict[tuple[str, ...], list[PlannedCell]] = {}
    for key, members in kinds.items():
        if members[0].sizes is None:
            continue
        worst = max(members, key=lambda cell: (cell.fit.ranks if cell.fit else 10**6, -min(cell.trained.blocks or (0,))))
        table.add_row(key[1], key[0], _named(members, worst), *_memory_row(worst.fit, worst))
        banks.setdefault(key[:3], []).extend(c for c in members if c.trained.blocks and not c.trained.everything)
    for key, members in banks.items():
        arms: list[Trained] = list(dict.fromkeys(cell.trained for cell in members))
        if len(arms) > 1:
            fits = fit_of(members[0].config, members[0].sizes, arms)
            name = f"{len(arms)} in one bank (hydra/launcher=fused)"
            table.add_row(key[1], key[0], name, *_memory_row(fits, members[0], _bank_gb(members[0], arms)))
    return table


def _memory_row(fits: Fit | None, cell: PlannedCell, without: str = "") -> list[str]:
    if fits is None:
        return ["none fits", *[""] * len(PARTS), without, "", ""]
    config, fixed = cell.config, fits.memory.fixed
    row = config.task.max_prompt_tokens + config.task.max_response_tokens
    passes, episodes = config.runner.max_tokens_per_pass, config.runner.rollout_batch
    tokens = _capped(fits.pass_tokens, passes) if fits.memory.pass_token else ""
    total = fits.memory.total(min(passes, fits.pass_tokens), min(episodes, fits.episodes) * row)
    parts = [f"{fixed[name] / 1e9:.1f}" if name in fixed else "" for name in PARTS]
    return [str(fits.ranks), *parts, f"{total / 1e9:.1f}", tokens, _capped(fits.episodes, episodes)]


def _bank_gb(cell: PlannedCell, arms: Sequence[Trained]) -> str:
    """What a bank that does not fit would take."""
    fits = fit_of(cell.config, cell.sizes, arms, memory_gb=1e6)
    return f"{sum(fits.memory.fixed.values()) / 1e9:.0f} + pass" if fits else ""


def _ranks(kinds: dict[tuple[str, ...], list[PlannedCell]]) -> Table:
    table = _table("", ("model", "task", "trains"), [f"{size} GB" for size in DEVICE_GB])
    for key, members in kinds.items():
        if members[0].sizes is None:
            continue
        cells = list({cell.trained: cell for cell in members}.values())
        needed = [
            _span(_ranks_text(fit_of(cell.config, cell.sizes, [cell.trained], memory_gb=size)) for cell in cells)
            for size in DEVICE_GB
        ]
        table.add_row(key[1], key[0], key[3], *needed)
    return table


def _times(cells: Sequence[PlannedCell], plan: PlanConfig) -> list[RenderableType]:
    """Wall time by number of devices, up to the one from which more do not help."""
    slots = slots_of(cells, plan)
    if not slots:
        return []
    table = _table("", (), (f"{plan.unit}s", f"nodes of {plan.devices_per_node}", "until all is done"))
    widest, previous = max(ranks for ranks, _ in slots), 0.0
    counts = sorted({plan.devices, *(2**power for power in range(11))})
    for devices in counts:
        seconds = makespan_s(slots, devices)
        if seconds is not None and (seconds != previous or devices == plan.devices):
            mark = " <- plan.devices" if devices == plan.devices else ""
            table.add_row(str(devices), str(-(-devices // plan.devices_per_node)), duration(seconds) + mark)
            previous = seconds
    parts: list[RenderableType] = [Text(f"One cell per {plan.unit} at a time" if plan.cells_per_device == 1 else
                                        f"{plan.cells_per_device} cells per {plan.unit} at a time, as asked"), table]  # fmt: skip
    if plan.devices < widest:
        parts.append(Text(f"plan.devices={plan.devices} is {widest - plan.devices} too few for a cell of {widest} ranks."))
    if widest > 1:
        parts.append(Text("Cells of several ranks need runner=cluster; runner=local has one rank."))
    return parts


def _basis(cells: Sequence[PlannedCell], plan: PlanConfig) -> str:
    config = cells[0].config
    bounds = [
        f"plan.{name}_tokens={getattr(plan, f'{name}_tokens') or getattr(config.task, f'max_{name}_tokens')}"
        f"{'' if getattr(plan, f'{name}_tokens') else ' (the limit)'}"
        for name in ("prompt", "response")
    ]
    turns = f"plan.turns={plan.turns or config.task.max_turns}{'' if plan.turns else ' (the limit)'}"
    texts = []
    if any(cell.measured for cell in cells):
        texts.append("Measured: this study's own cells, on whatever machine ran them.")
    if any(not cell.measured and cell.seconds for cell in cells):
        texts.append(
            f"Model: {plan.name}, {plan.peak_tflops:g} TFLOP/s and {plan.bandwidth_gb_s:g} GB/s ({plan.source}); assumed "
            f"plan.share_of_peak={plan.share_of_peak:g}, plan.share_of_bandwidth={plan.share_of_bandwidth:g}, "
            f"{', '.join(bounds)}, {turns}. {LEFT_OUT}"
        )
    return "\n".join(texts)


def _usable(plan: PlanConfig) -> str:
    usable = plan.memory_gb * plan.share_of_memory / plan.cells_per_device
    return (
        f"GB of a rank, where {usable:.0f} of {plan.memory_gb:g} may be used (plan.memory_gb, plan.share_of_memory, "
        "plan.cells_per_device). Weights, gradients and AdamW's moments are float32. The last columns: the tokens of a "
        "pass and the episodes that generate together for which there is room, of those that the runner is set to"
    )


def _named(members: Sequence[PlannedCell], worst: PlannedCell) -> str:
    one_of_many = len({cell.label for cell in members}) > 1
    return f"{worst.kind}, the costliest: {worst.label}" if one_of_many else worst.kind


def _needed(cell: PlannedCell) -> str:
    return "?" if cell.sizes is None else _ranks_text(cell.fit)


def _ranks_text(fits: Fit | None) -> str:
    return str(fits.ranks) if fits else "none fits"


def _capped(room: int, wanted: int) -> str:
    return f"{wanted}" if room >= wanted else f"{room} of {wanted}"


def _span(texts: Iterable[str]) -> str:
    """``1``, or ``1 to 2``: texts of numbers, the smallest and the largest."""
    found = sorted(set(texts), key=lambda text: float(text) if text.replace(".", "").isdigit() else float("inf"))
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}" if found else ""


def _hours(hours: float) -> str:
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.4f}" if hours < 0.1 else f"{hours:.2f}"
