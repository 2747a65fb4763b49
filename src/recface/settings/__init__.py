"""Settings: how a configuration is composed, and what values its keys can take. Imports nothing heavy."""

from typing import Any

Config = dict[str, Any]
"""A resolved configuration, plain."""
