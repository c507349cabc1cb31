"""Configuration of installed packages: every entry point of group ``onelayer.conf`` is a folder Hydra searches."""

from __future__ import annotations

from importlib.metadata import entry_points

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

ENTRY_POINT_GROUP = "onelayer.conf"


class OnelayerSearchPath(SearchPathPlugin):
    """Append ``pkg://<package>`` for every entry point ``<name> = "<package>"``; our own ``conf`` comes first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra's hook."""
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            search_path.append(provider=f"{ENTRY_POINT_GROUP}: {entry.name}", path=f"pkg://{entry.value}")
