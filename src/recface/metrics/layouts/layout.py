"""What a benchmark's folder is: its name, its protocols, and the function that reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recface.errors import RecfaceError
from recface.metrics.layouts.aflw2000 import aflw2000_truth
from recface.metrics.layouts.pair_lists import bin_truth, lfw_truth
from recface.metrics.layouts.scan_folders import micc_truth, now_truth, realy_truth
from recface.metrics.protocols import BENCHMARKS, BenchmarkProtocol, Truth

Read = Callable[[Path, BenchmarkProtocol, Sequence[str]], Truth]


@dataclass(frozen=True)
class Layout:
    """A benchmark's official folder.

    Attributes:
        title: The benchmark.
        begins: Beginnings of the ids of its protocols, that of the default first.
        read: Reads the truth from the folder; it is given the protocol and the ids of the predictions, which are the
            rows of benchmarks without a list of photos.
    """

    title: str
    begins: tuple[str, ...]
    read: Read

    @property
    def protocols(self) -> list[str]:
        """Ids of its protocols, the default first."""
        return [name for begin in self.begins for name in BENCHMARKS if name.startswith(begin)]


LAYOUTS = {
    "now": Layout("NoW challenge", ("now-scan", "now-metrical"), now_truth),
    "realy": Layout("REALY", ("realy-regions/",), realy_truth),
    "micc": Layout("MICC Florence", ("micc-deng", "micc-genova"), micc_truth),
    "lfw": Layout("LFW", ("lfw-10fold", "lfw-view1"), lfw_truth),
    "bin": Layout("InsightFace's verification .bin", ("insightface", "pairs-10fold"), bin_truth),
    "aflw2000": Layout("AFLW2000-3D as 3DDFA has it", ("aflw2000-nme-68", "aflw2000-nme-21"), aflw2000_truth),
}


def find_layout(name: str, protocol_id: str | None) -> tuple[Layout, BenchmarkProtocol]:
    """The layout of a name, and the protocol asked for, by default its first.

    Raises:
        RecfaceError: No such layout, or the layout has no such protocol.
    """
    if name not in LAYOUTS:
        raise RecfaceError(f"--layout must be one of {', '.join(LAYOUTS)}, not {name}")
    layout = LAYOUTS[name]
    if (chosen := protocol_id or layout.protocols[0]) not in layout.protocols:
        raise RecfaceError(f"--layout {name} has no protocol {chosen}; it has {', '.join(layout.protocols)}")
    return layout, BENCHMARKS[chosen]
