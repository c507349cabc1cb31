"""Which games there are: official or generated, by split and index; each is parsed once for everyone who plays it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from envs.alfworld import official
from envs.alfworld.game import GAME_FILE, TASK_TYPES, Game, load, parse, read_json
from envs.alfworld.generator import FAMILIES, generate
from envs.alfworld.generator import task_types as task_types_of
from envs.alfworld.rules import known_rules

SPLITS = ("train", "valid_seen", "valid_unseen")
CHOICES = ("auto", "generated", "official")
_KEPT = 512  # about 0.1 MB each


@dataclass(frozen=True, eq=False)
class Item:
    """A game, and the contents of its file."""

    game_id: str
    game: Game
    data: Mapping[str, Any]

    @cached_property
    def known_rules(self) -> bool:
        """Whether the native engine plays by the rules of this game."""
        return known_rules(self.data)


class Collection:
    """The games that a task plays: official ones when ``folder`` is there, else generated ones."""

    def __init__(self, family: str, folder: Path | None, task_types: Sequence[str] | None) -> None:
        self.family, self.folder = family, folder
        self.task_types = tuple(TASK_TYPES if task_types is None else task_types)
        self._indices: dict[str, list[int]] = {}

    def source(self, split: str) -> str:
        """Return ``official``, ``generated``, ``generated/<family>``, or ``generated/files`` for files made here."""
        if self.folder is not None:
            sources = {entry.source for entry in official.games(self.folder, split)}
            return sources.pop() if len(sources) == 1 else "official and generated/files"
        return "generated" if self.family == "full" else f"generated/{self.family}"

    def size(self, split: str) -> int:
        """Return the number of games of the chosen types in ``split``."""
        return len(self._chosen(split))

    def item(self, split: str, index: int) -> Item:
        """Return game ``index`` of the chosen types."""
        index = self._chosen(split)[index]
        if self.folder is None:
            return _generated(split, index, self.family)
        entry = official.games(self.folder, split)[index]
        return _read(str(entry.path), entry.game_id)

    def _chosen(self, split: str) -> list[int]:
        if split not in self._indices:
            if self.folder is None:
                types: Sequence[str] = task_types_of(self.family, split)
            else:
                types = [entry.task_type for entry in official.games(self.folder, split)]
            self._indices[split] = [index for index, name in enumerate(types) if name in self.task_types]
        return self._indices[split]


def choose(family: str, data: str, data_dir: str | None, task_types: Sequence[str] | None) -> Collection:
    """Decide where the games come from.

    Args:
        family: a key of ``FAMILIES``; of the official games there is only ``full``.
        data: ``official``, ``generated``, or ``auto``: official where they are, else generated.
        data_dir: the folder that holds ``json_2.1.1``; None: ``$ALFWORLD_DATA``.
        task_types: the types to keep; None: all.

    Raises:
        ValueError: an unknown choice, or a ``data_dir`` that nothing would be read from.
        FileNotFoundError: official games are asked for and are not there.
    """
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} is unknown; valid: {', '.join(FAMILIES)}")
    if data not in CHOICES:
        raise ValueError(f"data={data!r} is unknown; valid: {', '.join(CHOICES)}")
    unknown = sorted(set(task_types or ()) - set(TASK_TYPES))
    if unknown or (task_types is not None and not task_types):
        raise ValueError(f"task_types={list(task_types or ())} must name some of: {', '.join(TASK_TYPES)}")
    if data == "official" and family != "full":
        raise ValueError(f"family={family!r} exists only as generated games; data='official' needs family='full'")
    offered = FAMILIES[family].sizes["train"]
    if task_types is not None and not any(offered.get(name) for name in task_types):
        raise ValueError(
            f"task_types={list(task_types)}: family={family!r} has none of them, only {', '.join(offered)}"
        )
    if data_dir is not None and (data == "generated" or family != "full"):
        raise ValueError(f"data_dir={data_dir!r} would not be read: family={family!r}, data={data!r}")
    folder = None if data == "generated" or family != "full" else official.find(data_dir)
    if data == "official" and folder is None:
        raise FileNotFoundError(
            f"data='official': no folder {official.FOLDER}; name the folder that holds it as data_dir or in "
            "$ALFWORLD_DATA (alfworld-download makes it)"
        )
    if folder is None:
        return _generated_games(family, None if task_types is None else tuple(task_types))
    return Collection(family, folder, task_types)  # files may come and go


def from_file(path: str) -> Item:
    """Return the game in a file (or in the folder of one); raises ``GameError`` naming it."""
    file = Path(path).expanduser()
    file = file / GAME_FILE if file.is_dir() else file
    return Item(str(path), load(file), read_json(file))


@lru_cache(maxsize=8)
def _generated_games(family: str, task_types: tuple[str, ...] | None) -> Collection:
    return Collection(family, None, task_types)


@lru_cache(maxsize=_KEPT)
def _generated(split: str, index: int, family: str) -> Item:
    made = generate(split, index, family)
    return Item(made.game_id, parse(made.data, made.game_id, made.task_type, made.params), made.data)


@lru_cache(maxsize=_KEPT)
def _read(path: str, game_id: str) -> Item:
    return Item(game_id, load(path), read_json(Path(path)))
