"""Official folders of benchmarks, read as they are: what is true of a benchmark, without a manifest of one's own."""

from recface.metrics.layouts.layout import LAYOUTS, Layout, find_layout
from recface.metrics.layouts.template import with_template

__all__ = ["LAYOUTS", "Layout", "find_layout", "with_template"]
