"""Flags of the command line that are not Hydra's: ``--status`` and ``--plan``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import evaluation.status

SHOW_PLAN = "hydra.callbacks.plan.show=true"


def hydra_words(arguments: Sequence[str]) -> list[str]:
    """What is left for Hydra; ``--status`` comes first, and the process ends with it.

    Args:
        arguments: The words after the program's name.

    Returns:
        The same words; ``--plan`` has become the word that makes ``PlanCallback`` print and launch nothing.
    """
    if arguments[:1] == ["--status"]:
        sys.exit(evaluation.status.main(arguments[1:]))
    if "--plan" not in arguments:
        return list(arguments)
    words = [word for word in arguments if word != "--plan"]
    # Beside the others: where words stand apart, Hydra's parser takes the first lot only.
    place = next((place for place, word in enumerate(words) if "=" in word and word[0] != "-"), len(words))
    return [*words[:place], SHOW_PLAN, *words[place:]]
