"""The table sfm_model: what shape models learned from scans represent, and how their latents cluster.

Statistics of the table sfm_model: evaluations of shape models by configuration, row and seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recface.figures import plots as picture
from recface.results.cache import Cache
from recface.results.differences import STUDENT, Difference
from recface.results.markdown import MISSING, grid, heading, number, signed
from recface.results.records import Entry
from recface.results.spec import Column
from recface.results.statistics import mean_and_error, paired_t_interval
from recface.results.table import Cell
from recface.results.writers import csv_text, escape, tabular, tex_heading, tex_number
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


# Differences: metric, title, whether relative to the parent, digits.
DIFFERENCES = (
    (ERROR, "error to unseen scans (%)", True, 2),
    ("silhouette", "silhouette", False, 3),
    ("nmcd", "NMCD", False, 5),
)
SAME_SPAN = ("pca_mm", "pca_whitened", "pca_lda")
"""Rows of PCA's span, whose line in the figure would be PCA's."""
NOTES = """\
All models are learned from the same scans and measured on the same people, who are seen nowhere in training; the seed
decides people and noise. All have the same number of modes in total, identity and expression together. *Error to
unseen scans*: the coefficients of all modes are fitted to the scan by least squares, without prior and label; mean
distance of corresponding vertices over the whole mesh, to the scan as it is and, where known, to the shape without
the scanner's noise. With fewer modes (figure, long CSV) a model keeps those of largest standard deviation in mm,
identity and expression mixed. *Compactness*: share of the training scans' variance in the span. *Specificity*: from a
random shape of the model to the training scan nearest to it. *Clustering* is that of the latents of the unseen scans,
encoded without labels by the posterior mean given the whole scan: all coefficients for the first five rows, identity
alone for the last three, which tell it from expression. How strongly noise is taken to disturb the encoding is chosen
for each row on validation people. LDA and whitening change the metric of PCA's latents alone, so its errors are
theirs."""


def render(entries: Sequence[Entry], with_figures: bool = True, cache: Cache | None = None) -> dict[str, bytes]:
    """The table's files; none where nothing was evaluated.

    Args:
        entries: All records.
        with_figures: Whether to draw.
        cache: Of figures drawn before.

    Returns:
        File name to content.
    """
    groups = group_entries(entries)
    if not groups:
        return {}
    files = {
        f"{NAME}.md": to_markdown(groups).encode(),
        f"{NAME}.csv": to_csv(groups).encode(),
        f"{NAME}.tex": to_tex(groups).encode(),
        f"{NAME}.long.csv": to_long_csv(groups).encode(),
    }
    if with_figures:
        cache = Cache() if cache is None else cache
        files[f"{NAME}.png"] = cache.remember((NAME, repr(groups)), lambda: draw(groups))
    return files


def to_markdown(groups: Sequence[Group]) -> str:
    """The table for people."""
    parts = ["# Shape models learned from scans", NOTES]
    parts.append("Cells: mean ± standard error over seeds; **bold** is best of a column. Arrows tell what is better.")
    for group in groups:
        parts.append(f"## {group.title} ({group.modes} modes, seeds {', '.join(map(str, sorted(group.runs)))})")
        parts.append(_values(group))
        parts.append("Minus PCA, with the 95% Student t interval over paired seeds; **bold** excludes 0:")
        parts.append(_differences(group))
    return "\n\n".join(parts) + "\n"


def _values(group: Group) -> str:
    columns = group.columns()
    best = [best_rows(group, column) for column in columns]
    lines = []
    for row, title in ROWS.items():
        cells = [(group.cell(row, column.metric), column.digits) for column in columns]
        texts = [MISSING if cell is None else number(cell, digits) for cell, digits in cells]
        lines.append([title, *(f"**{t}**" if row in rows else t for t, rows in zip(texts, best, strict=True))])
    return grid(["model", *map(heading, columns)], lines)


def _differences(group: Group) -> str:
    lines = []
    for row, title in ROWS.items():
        if row != PARENT:
            found = [(difference(group, row, metric, relative), d) for metric, _, relative, d in DIFFERENCES]
            texts = [(MISSING if item is None else signed(item, digits), item) for item, digits in found]
            lines.append([title, *(f"**{t}**" if item and item.excludes_zero else t for t, item in texts)])
    return grid(["model", *(title for _, title, _, _ in DIFFERENCES)], lines)


def to_csv(groups: Sequence[Group]) -> str:
    """One line a row and group, means only."""
    lines = [["scans", "model", "modes", "seeds", *(column.metric.rstrip("@") for column in COLUMNS)]]
    for group in groups:
        for row in ROWS:
            cells = [(group.cell(row, column.metric), column.digits) for column in COLUMNS]
            means = [MISSING if cell is None else f"{cell.mean:.{digits}f}" for cell, digits in cells]
            lines.append([group.key, row, str(group.modes), str(len(group.runs)), *means])
    return csv_text(lines)


def to_long_csv(groups: Sequence[Group]) -> str:
    """One line a value: model, metric, modes, seed, value, scans; eight significant digits."""
    lines = [["model", "metric", "modes", "seed", "value", "scans"]]
    for group in groups:
        for row in ROWS:
            for seed, blocks in sorted(group.runs.items()):
                for name, value in blocks.get(row, {}).items():
                    metric, _, modes = name.partition("@")
                    if value is not None:
                        lines.append([row, metric, modes or str(group.modes), str(seed), f"{value:.8g}", group.key])
    return csv_text(lines)


def to_tex(groups: Sequence[Group]) -> str:
    """A booktabs tabular for each group."""
    parts = ["% Shape models learned from scans. Needs \\usepackage{booktabs}."]
    for group in groups:
        columns = group.columns()
        lines = []
        for row, title in ROWS.items():
            cells = [(group.cell(row, column.metric), column.digits) for column in columns]
            texts = [r"$\times$" if cell is None else f"${tex_number(cell, digits)}$" for cell, digits in cells]
            lines.append([escape(title), *texts])
        parts += [f"% {group.title}", *tabular(list(map(tex_heading, columns)), lines)]
    return "\n".join(parts) + "\n"


def draw(groups: Sequence[Group]) -> bytes:
    """Error to unseen scans against the number of modes, a panel for each group, a line for each model; a PNG."""
    figure, panels = picture.subplots(1, len(groups), 5.2, 4.0)
    for axes, group in zip(panels[0], groups, strict=True):
        for row, title in ROWS.items():
            sizes = group.sizes(row)
            values = [list(group.values(row, f"{ERROR}{size}").values()) for size in sizes]
            if values and row not in SAME_SPAN:
                axes.plot(sizes, [mean_and_error(v)[0] for v in values], "o-", markersize=3, label=title)
        axes.set(xlabel="modes, identity and expression", ylabel="error to unseen scans (mm)", title=group.title)
        axes.title.set_fontsize(8)
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return picture.to_png(figure)
