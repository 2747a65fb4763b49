"""One file a dataset: each builds a `Source`."""

from collections.abc import Callable

from recface.data.source import Source
from recface.data.sources.embedded import embedded_source
from recface.data.sources.manifest import manifest_source

SOURCES: dict[str, Callable[..., Source]] = {"embedded": embedded_source, "manifest": manifest_source}
"""Builders by the `kind` of a source in the configuration."""

__all__ = ["SOURCES", "embedded_source", "manifest_source"]
