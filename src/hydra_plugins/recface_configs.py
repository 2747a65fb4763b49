"""Hydra finds the folder of configurations that RECFACE_CONFIGS names, beside the project's own."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from recface.settings.compose import config_folders


class OwnConfigurations(SearchPathPlugin):
    """Appends the user's folder to the places where Hydra looks for groups."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever it composes."""
        for folder in config_folders()[1:]:
            search_path.append(provider="RECFACE_CONFIGS", path=f"file://{folder}")
