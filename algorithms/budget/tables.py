"""The tables of a plan: cells and hours, memory of a rank, ranks by device, time by number of devices.

Names that all rows share stand above the tables, and columns without any entry are left out: a terminal is narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

from algorithms.budget.arithmetic import Trained, makespan_s
from algorithms.budget.cells import PlannedCell, fit_of, slots_of
from algorithms.budget.memory import Fit
from conf.schema import PlanConfig
from evaluation.pace import duration

DEVICE_GB = (24, 40, 80, 141, 192)
"""Memory of common accelerators."""
SETTING = ("task", "model", "algorithm")
PARTS = ("weights", "gathered", "sampling", "casts", "gradients", "optimizer", "reference")
MEMORY = ("ranks", *PARTS, "GB per rank", "tokens in a pass", "episodes at a time")
NONE_FITS = "none fits"

Kinds = dict[tuple[str, str, str, str], list[PlannedCell]]
"""Cells by task, model, algorithm and what is trained."""


def by_kind(cells: Sequence[PlannedCell]) -> Kinds:
    """The rows of the tables."""
    kinds: Kinds = {}
    for cell in cells:
        kinds.setdefault((*cell.setting, cell.kind), []).append(cell)
    return kinds


def common_words(cells: Sequence[PlannedCell]) -> str:
    """``task=math model=tiny``: those of the three that are the same in all cells."""
    settings = [cell.setting for cell in cells]
    return " ".join(f"{SETTING[place]}={settings[0][place]}" for place in _shared(settings, len(SETTING)))


def cost_table(cells: Sequence[PlannedCell], plan: PlanConfig) -> Table:
    """How many cells there are, how many are finished, and what the others take."""
    rows = list[list[str]]()
    for key, members in by_kind(cells).items():
        layers, seeds = {cell.label for cell in members}, {cell.config.seed for cell in members}
        left = [cell for cell in members if cell.state != "done"]
        walls = [_hours(cell.seconds / cell.ranks) for cell in left if cell.seconds is not None]
        origins = sorted({"measured" if cell.measured else "model" for cell in left if cell.seconds is not None})
        row = (len(members), len(layers), len(seeds), len(members) - len(left) or "", _span(map(_needed, members)))
        rows.append([*key, *map(str, row), _span(walls), _total(left), ", ".join(origins)])
    done = sum(cell.state == "done" for cell in cells)
    left_out = _shared(rows, len(SETTING))
    rows.append(["", "", "", "all", str(len(cells)), "", "", str(done or ""), "", "", _total(cells), ""])
    numbers = ("cells", "layers", "seeds", "finished", "ranks", "h per cell", f"{plan.unit} h", "from")
    return _table((*SETTING, "trains"), numbers, rows, left_out)


def memory_tables(cells: Sequence[PlannedCell]) -> list[Table]:
    """A rank's bytes for the costliest cell of each kind, and for all single blocks in one bank: a table per model."""
    columns, tables = dict[tuple[str, str], dict[str, list[str]]](), list[Table]()
    sized = [cell for cell in cells if cell.sizes]
    for (task, model, _, kind), members in by_kind(sized).items():
        worst = max(
            members, key=lambda cell: (cell.fit.ranks if cell.fit else 10**6, -min(cell.trained.blocks or (0,)))
        )
        several = len({cell.label for cell in members}) > 1
        name = f"{kind}, the costliest: {worst.label}" if several else kind
        columns.setdefault((task, model), {})[name] = _memory_column(worst, [worst.trained])
    for (task, model), named in columns.items():
        members = [cell for cell in sized if cell.setting[:2] == (task, model) and _may_share(cell)]
        arms = list(dict.fromkeys(cell.trained for cell in members))
        if len(arms) > 1:
            named[f"{len(arms)} fused in one bank"] = _memory_column(members[0], arms)
        rows = [[name, *values] for name, *values in zip(MEMORY, *named.values(), strict=True) if any(values)]
        tables.append(_table((f"{model}, {task}" if len(columns) > 1 else "",), tuple(named), rows))
    return tables


def ranks_table(cells: Sequence[PlannedCell]) -> Table:
    """The fewest ranks by the memory of a device."""
    rows = []
    for (task, model, _, kind), members in by_kind([cell for cell in cells if cell.sizes]).items():
        arms = {cell.trained: cell for cell in members}.values()
        fits = [
            [fit_of(cell.config, cell.sizes, [cell.trained], memory_gb=size) for cell in arms] for size in DEVICE_GB
        ]
        row = [task, model, kind, *(_span(map(_ranks, column)) for column in fits)]
        if row not in rows:  # algorithms do not differ in what they hold
            rows.append(row)
    names = SETTING[:2]
    left_out = _shared(rows, len(names))
    return _table((*names, "trains"), [f"{size} GB" for size in DEVICE_GB], rows, left_out)


def time_table(cells: Sequence[PlannedCell], plan: PlanConfig) -> Table:
    """Wall time by number of devices, up to the one from which more do not help."""
    rows, slots, previous = list[list[str]](), slots_of(cells, plan), 0.0
    for devices in sorted({plan.devices, *(2**power for power in range(11))}):
        seconds = makespan_s(slots, devices)
        asked = devices == plan.devices
        if seconds is not None and (seconds != previous or asked):
            nodes = -(-devices // plan.devices_per_node)
            rows.append([str(devices), str(nodes), duration(seconds) + (" <- plan.devices" if asked else "")])
            previous = seconds
    return _table((), (f"{plan.unit}s", f"nodes of {plan.devices_per_node}", "until all is done"), rows)


def _may_share(cell: PlannedCell) -> bool:
    """Whether it can be an arm of a bank: not ``full``, nothing on a cluster."""
    return bool(cell.trained.blocks) and not cell.trained.everything and cell.config.runner.name == "local"


def _memory_column(cell: PlannedCell, arms: Sequence[Trained]) -> list[str]:
    found = fit_of(cell.config, cell.sizes, arms)
    if found is None:  # then what it would take
        found = fit_of(cell.config, cell.sizes, arms, memory_gb=1e6)
        assert found is not None, "a device of a petabyte holds it"
        return [NONE_FITS, *_parts(found), f"{_gb(sum(found.memory.fixed.values()))} + pass", "", ""]
    runner, row = cell.config.runner, cell.config.task.max_prompt_tokens + cell.config.task.max_response_tokens
    passes, episodes = min(found.pass_tokens, runner.max_tokens_per_pass), min(found.episodes, runner.rollout_batch)
    total = found.memory.total(passes, episodes * row)
    tokens = _room(passes, runner.max_tokens_per_pass) if found.memory.pass_token else ""
    return [str(found.ranks), *_parts(found), _gb(total), tokens, _room(episodes, runner.rollout_batch)]


def _parts(found: Fit) -> list[str]:
    return [_gb(found.memory.fixed[name]) if name in found.memory.fixed else "" for name in PARTS]


def _shared(rows: Sequence[Sequence[str]], n_columns: int) -> list[int]:
    """Which of the first columns have the same word in all rows."""
    return [place for place in range(n_columns) if len({row[place] for row in rows}) == 1]


def _table(
    left: Sequence[str], right: Sequence[str], rows: Sequence[Sequence[str]], left_out: Sequence[int] = ()
) -> Table:
    """A table of what has an entry; ``left`` are columns of words, ``left_out`` the places of columns nobody needs."""
    names = [*left, *right]
    shown = [place for place in range(len(names)) if place not in left_out and any(row[place] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for place in shown:
        table.add_column(names[place], justify="left" if place < len(left) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    return table


def _needed(cell: PlannedCell) -> str:
    if not cell.sizes:
        return "?"
    return str(cell.ranks) if cell.fit else NONE_FITS


def _ranks(found: Fit | None) -> str:
    return str(found.ranks) if found else NONE_FITS


def _room(there_is: int, wanted: int) -> str:
    return str(wanted) if there_is >= wanted else f"{there_is} of {wanted}"


def _total(cells: Sequence[PlannedCell]) -> str:
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    return _hours(sum(known)) if len(known) == len(cells) else "?"


def _span(texts: Iterable[str]) -> str:
    """``1``, or ``1 to 2``: texts of numbers, the smallest and the largest."""
    found = sorted(set(texts), key=lambda text: float(text) if text[0].isdigit() else float("inf"))
    return " to ".join(dict.fromkeys([found[0], found[-1]])) if found else ""


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f}" if hours >= 100 else f"{hours:.3g}"


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g}"
