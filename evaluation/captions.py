"""What stands below a table: where the numbers come from, what they do not say, and the commands that are owed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from conf.schema import Config
from evaluation.comparison import ANCHORS, Arm, Comparison
from evaluation.results import Result


def command(result: Result, folder: Path, layers: Sequence[str], seeds: Iterable[int]) -> str:
    """The shell line that runs ``layers`` beside ``result``, on the same panel, into the study at ``folder``.

    Whatever else was set on the command line that made ``result`` is set again.
    """
    options = {
        "study": folder.resolve().name,
        "task": result.task,
        "model": result.model,
        "algorithm": result.algorithm,
    }
    given = dict(override.partition("=")[::2] for override in result.overrides)
    chosen = options | {name: given[name] for name in options if name in given and name != "study"}
    chosen |= {"layer": ",".join(layers), "seed": ",".join(map(str, seeds))}
    chosen |= {name: value for name, value in given.items() if name not in (*chosen, "runs_dir")}
    words = [f"{name}={value}" for name, value in chosen.items()]
    if str(folder.parent) != Config().runs_dir:
        words.append(f"runs_dir={folder.parent}")
    return "python run.py -m " + " ".join(_quoted(word) for word in words)


def folded(line: str, width: int = 76) -> str:
    """The same command over several lines that a shell joins again, for terminals that would cut it."""
    lines = [""]
    for word in re.split(r" (?=[\w.']+=)", line):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def _quoted(word: str) -> str:
    # The layer is always quoted, as in every text of this suite: brackets and ranges need it.
    return f"'{word}'" if word.startswith("layer=") else shlex.quote(word)


def missing_anchors(comparison: Comparison, folder: Path) -> str | None:
    """The command that runs the anchors this comparison lacks; None where it has both."""
    missing = [layer for layer in ANCHORS if comparison.arm(layer) is None]
    trained = next((arm.result for arm in comparison.arms if arm.layer != "base"), comparison.result)
    seeds = sorted({seed for arm in comparison.arms for seed in arm.seeds}) if "full" in missing else [trained.seed]
    return command(trained, folder, missing, seeds) if missing else None


def provenance(comparison: Comparison) -> list[str]:
    """Data, panel, seeds, steps, rates and weights, each in a sentence."""
    result, panel = comparison.result, comparison.result.panel
    trained = [cell.result for arm in comparison.arms if arm.layer != "base" for cell in arm.cells] or [result]
    n_items = {arm.score.n_items for arm in comparison.arms}
    return [
        f"Data: {result.source}, split {result.split}; {len(panel['items'])} items x {panel['samples']} samples at "
        f"temperature {panel['temperature']:g}, panel seed {panel['seed']}"
        + (f" ({min(n_items)} items scored in every seed)" if min(n_items) < len(panel["items"]) else "")
        + ".",
        f"Weights: {_listed(r.model_source for r in trained)}, {result.n_blocks} blocks.",
        f"Training seeds {_listed(r.seed for r in trained)}; {_listed(r.steps for r in trained)} steps; learning rate "
        f"{_rates(trained)}.",
    ]


def _rates(trained: Sequence[Result]) -> str:
    """``3e-05``, or where full has a rate of its own ``3e-05 (full), 0.0001 (the others)``."""
    full, others = (_rate_set(trained, is_full) for is_full in (True, False))
    if not (full and others) or full == others:
        return _listed(full | others, "{:g}".format)
    return f"{_listed(full, '{:g}'.format)} (full), {_listed(others, '{:g}'.format)} (the others)"


def _rate_set(results: Iterable[Result], is_full: bool) -> set[float]:
    return {result.learning_rate for result in results if (result.layer == "full") == is_full}


def legend(confidence: float) -> str:
    """What the columns mean."""
    return (
        "C = (S_layer - S_base) / (S_full - S_base), S the mean outcome on the panel; base is 0, full 1. "
        f"Gain: after minus before, paired by item. [low, high]: {confidence:.0%} intervals over panel items, and over "
        "training seeds where there are several; each for one arm named beforehand."
    )


def caveats(comparison: Comparison) -> list[str]:
    """What a reader could read into the table and should not."""
    arms = comparison.arms
    trained = [arm for arm in arms if arm.layer != "base"]
    cells = [cell for arm in arms for cell in arm.cells]
    resolved = [arm for arm in trained if arm.contribution and arm.contribution.resolved]
    notes = [*_anchor_notes(comparison), *_seed_notes(trained, comparison.spread is not None)]
    notes += sorted({arm.contribution.reason for arm in trained if arm.contribution and arm.contribution.reason})
    if ties := [arm.layer for arm in trained if arm.contribution and arm.contribution.tie]:
        notes.append(f"Exact tie with full training on this panel: layer {', '.join(ties)}.")
    if apart := [arm.layer for arm in resolved if _fieller_differs(arm)]:
        notes.append(
            f"Fieller's interval of C is another one: layer {', '.join(apart)}. Trust neither to the last digit."
        )
    if len(resolved) >= 5:
        notes.append(f"The best of {len(resolved)} is a maximum of noisy numbers: measured again, expect less.")
    if len({cell.result.steps for arm in trained for cell in arm.cells}) > 1:
        notes.append("The arms took different numbers of steps: their scores are not like for like.")
    results = [cell.result for arm in trained for cell in arm.cells]
    full, others = _rate_set(results, True), _rate_set(results, False)
    if full and others and full != others:
        notes.append("Full training has another learning rate than the other arms: C compares two recipes, not masks.")
    if len({cell.result.model_source for cell in cells}) > 1:
        notes.append("The arms' weights have different sources: the untrained model may not be the same one.")
    if failed := [f"{cell.result.layer} seed {cell.result.seed}" for cell in cells if not cell.result.audit["ok"]]:
        notes.append(f"The mask audit FAILED, other blocks moved than should have: {', '.join(failed)}.")
    if (cut := max(arms, key=_truncated)) and _truncated(cut) > 0:
        notes.append(f"Answers cut at the token limit after training: up to {_truncated(cut):.0%} (layer {cut.layer}).")
    if broken := sum(int(np.isnan([cell.before_IK, cell.after_IK]).sum()) for cell in cells):
        notes.append(f"{broken} evaluation episodes broke in their environment: excluded, not scored 0.")
    return notes


def _anchor_notes(comparison: Comparison) -> list[str]:
    notes = []
    if comparison.base_from == "before identical":
        notes.append("No base cell: the scores before training, identical in all cells, stand for the untrained model.")
    if comparison.base_from == "before differs":
        notes.append(
            "No base cell, and the scores before training differ between cells (rounding on other machines or batches "
            "can flip tokens): those of the cell that finished first stand for the untrained model."
        )
    if comparison.arm("full") is None:
        notes.append("No full cell: contributions need it.")
    return notes


def _fieller_differs(arm: Arm) -> bool:
    """True where an end of the interval is more than a quarter of its width away from Fieller's, or that has no end."""
    found = arm.contribution
    assert found is not None
    apart = max(abs(found.low - found.fieller_low), abs(found.high - found.fieller_high))
    return not apart <= 0.25 * (found.high - found.low) + 0.005


def _seed_notes(trained: list[Arm], pooled: bool) -> list[str]:
    notes = []
    if single := [arm.layer for arm in trained if len(arm.seeds) == 1]:
        which = "" if len(single) == len(trained) else f" for layer {', '.join(single)}"
        notes.append(f"One training seed{which}: the intervals cover the choice of panel items, not luck in training.")
    if few := {len(arm.seeds) for arm in trained} & {2, 3}:
        learnt = (
            "how much luck in training matters is learnt from all trained arms together, as far as they are alike"
            if pooled
            else "they show little of the luck in training, so Student's t makes those intervals wide"
        )
        notes.append(f"{min(few)} training seeds: {learnt}.")
    if len({tuple(arm.seeds) for arm in trained}) > 1:
        notes.append("The arms have different training seeds: compare them with care.")
    return notes


def _truncated(arm: Arm) -> float:
    return sum(cell.truncated for cell in arm.cells) / len(arm.cells)


def _listed(values: Iterable, show: Callable[..., str] = str) -> str:
    return ", ".join(show(value) for value in sorted(set(values)))
