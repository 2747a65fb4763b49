"""Statistics of the table sfm_model: evaluations of shape models by configuration, row and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recface.results.differences import STUDENT, Difference
from recface.results.load import Entry
from recface.results.spec import Column
from recface.results.statistics import mean_and_error, paired_t_interval
from recface.results.table import Cell
from recface.versions import SCAN_VERSION, SHAPE_MODEL_VERSION

NAME = "sfm_model"
PARENT = "pca"
ROWS = {
    "pca": "PCA",
    "pca_mm": "PCA, latents in mm",
    "factor_analysis": "factor analysis",
    "pca_whitened": "PCA + within-class whitening",
    "pca_lda": "PCA + LDA",
    "two_part_pca": "two-part PCA",
    "sfm_no_sphere": "SFM w/o sphere (Gaussian)",
    "sfm": "SFM",
}
ERROR = "generalisation_mm@"
# A closing "@" of a metric stands for all modes.
COLUMNS = (
    Column(ERROR, "error to unseen scans (mm)", "lower", 4),
    Column("truth_mm@", "error to their true shape (mm)", "lower", 4),
    Column("compactness@", "compactness", "higher", 4),
    Column("specificity_mm", "specificity (mm)", "lower", 3),
    Column("silhouette", "silhouette", "higher", 3),
    Column("calinski_harabasz", "Calinski-Harabasz", "higher", 1),
    Column("davies_bouldin", "Davies-Bouldin", "lower", 3),
    Column("nmcd", "NMCD", "lower", 5),
)


@dataclass(frozen=True)
class Group:
    """The seeds of one configuration.

    Attributes:
        title: What the scans are.
        key: Short name for the long CSV.
        runs: Seed to row to metrics.
    """

    title: str
    key: str
    runs: dict[int, dict[str, dict[str, float]]]

    def sizes(self, row: str) -> list[int]:
        """Numbers of modes at which a row was measured, ascending."""
        measured = next(iter(self.runs.values())).get(row, {})
        return sorted(int(name.removeprefix(ERROR)) for name in measured if name.startswith(ERROR))

    @property
    def modes(self) -> int:
        """Number of modes of the whole models."""
        return self.sizes(PARENT)[-1]

    def values(self, row: str, metric: str) -> dict[int, float]:
        """Seed to value of a metric, in which a closing "@" stands for all modes."""
        name = f"{metric}{self.modes}" if metric.endswith("@") else metric
        found = {seed: blocks.get(row, {}).get(name) for seed, blocks in sorted(self.runs.items())}
        return {seed: value for seed, value in found.items() if value is not None}

    def cell(self, row: str, metric: str) -> Cell | None:
        """Mean over seeds, None where there is no value; that of no row is marked best."""
        values = self.values(row, metric)
        return Cell(*mean_and_error(list(values.values())), values) if values else None

    def columns(self) -> list[Column]:
        """Those that any row has a value in."""
        return [column for column in COLUMNS if any(self.values(row, column.metric) for row in ROWS)]


def model_entries(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The finished evaluations of shape models that are of this code's versions."""
    current = {"scan": SCAN_VERSION, "shape_model": SHAPE_MODEL_VERSION}
    for entry in entries:
        record = entry.record
        if record.experiment == NAME and record.state == "finished" and record.versions == current:
            yield entry


def group_entries(entries: Sequence[Entry]) -> list[Group]:
    """Evaluations by configuration, the embedded head first."""
    found: dict[str, list[Entry]] = {}
    for entry in model_entries(entries):
        found.setdefault(entry.record.hash, []).append(entry)
    groups = [_group(members) for members in found.values()]
    return sorted(groups, key=lambda group: (not group.key.startswith("makehuman"), group.key))


def _group(members: list[Entry]) -> Group:
    config = members[0].record.config
    model, scan = config["face_model"]["name"], config["sfm"]["scan"]
    kind = "expressions learned" if scan["expression"] == "learned" else "the face model's expressions known"
    people = {
        "model": f"{scan['people']} x {scan['scans_each']} scans drawn from face model {model}",
        "benchmark": f"the embedded benchmark's scans, face model {model}",
        "folder": f"a folder of scans in the topology of {model}",
    }[scan["source"]]
    runs = {entry.record.seed: entry.record.metrics for entry in members}
    return Group(f"{people}; {kind}", f"{model}-{scan['expression']}-{members[0].record.hash}", runs)


def best_rows(group: Group, column: Column) -> set[str]:
    """Rows whose mean is the best of a column, ties to four digits included."""
    means = {row: cell.mean for row in ROWS if (cell := group.cell(row, column.metric))}
    if not means:
        return set()
    best = min(means.values()) if column.direction == "lower" else max(means.values())
    return {row for row, mean in means.items() if abs(mean - best) <= 1e-4 * abs(best)}


def difference(group: Group, row: str, metric: str, relative: bool) -> Difference | None:
    """A row minus PCA over the seeds that both have, with its Student t interval.

    Args:
        group: The seeds.
        row: A key of `ROWS`.
        metric: A closing "@" stands for all modes.
        relative: Whether in % of PCA's value.

    Returns:
        The difference without p value; None where there is no common seed.
    """
    own, parent = group.values(row, metric), group.values(PARENT, metric)
    deltas = {s: (own[s] - parent[s]) * (100 / parent[s] if relative else 1) for s in sorted(set(own) & set(parent))}
    if not deltas:
        return None
    low, high = paired_t_interval(list(deltas.values())) or (None, None)
    return Difference(sum(deltas.values()) / len(deltas), low, high, STUDENT if len(deltas) > 1 else "", deltas)
