"""The table sfm_model: what shape models learned from scans represent, and how their latents cluster."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recface.results.cells import MISSING
from recface.results.load import Entry
from recface.results.markdown import grid
from recface.results.statistics import mean_and_error, paired_t_interval
from recface.results.writers import escape
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
# Metric, title, direction, digits. "@" stands for all modes.
COLUMNS = (
    ("generalisation_mm@", "error to unseen scans (mm)", "lower", 4),
    ("truth_mm@", "error to their true shape (mm)", "lower", 4),
    ("compactness@", "compactness", "higher", 4),
    ("specificity_mm", "specificity (mm)", "lower", 3),
    ("silhouette", "silhouette", "higher", 3),
    ("calinski_harabasz", "Calinski-Harabasz", "higher", 1),
    ("davies_bouldin", "Davies-Bouldin", "lower", 3),
    ("nmcd", "NMCD", "lower", 5),
)
# Differences: metric, title, whether relative to the parent, digits.
DIFFERENCES = (
    ("generalisation_mm@", "error to unseen scans (%)", True, 2),
    ("silhouette", "silhouette", False, 3),
    ("nmcd", "NMCD", False, 5),
)
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


@dataclass(frozen=True)
class Group:
    """The seeds of one configuration.

    Attributes:
        title: What the scans are.
        key: Short name for the long CSV.
        runs: Row to seed to metrics.
    """

    title: str
    key: str
    runs: dict[int, dict[str, dict[str, float]]]

    @property
    def modes(self) -> int:
        """Number of modes of the whole models."""
        first = next(iter(self.runs.values()))[PARENT]
        return max(int(name.partition("@")[2]) for name in first if name.startswith("generalisation_mm@"))

    def values(self, row: str, metric: str) -> dict[int, float]:
        """Seed to value of a metric, in which a closing "@" stands for all modes."""
        name = f"{metric}{self.modes}" if metric.endswith("@") else metric
        found = {seed: blocks.get(row, {}).get(name) for seed, blocks in sorted(self.runs.items())}
        return {seed: value for seed, value in found.items() if value is not None}


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


def render(entries: Sequence[Entry], with_figures: bool = True) -> dict[str, bytes]:
    """The table's files; none where nothing was evaluated.

    Args:
        entries: All records.
        with_figures: Whether to draw.

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
    return files | ({f"{NAME}.png": draw(groups)} if with_figures else {})


def cell(values: dict[int, float], digits: int) -> str:
    """Mean with standard error over seeds."""
    if not values:
        return MISSING
    mean, error = mean_and_error(list(values.values()))
    return f"{mean:.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def best_rows(group: Group, metric: str, direction: str) -> set[str]:
    """Rows whose mean is the best of a column, ties to four digits included."""
    means = {row: mean_and_error(list(v.values()))[0] for row in ROWS if (v := group.values(row, metric))}
    if not means:
        return set()
    best = min(means.values()) if direction == "lower" else max(means.values())
    return {row for row, mean in means.items() if abs(mean - best) <= 1e-4 * abs(best)}


def difference(group: Group, row: str, metric: str, relative: bool) -> tuple[float, tuple[float, float] | None] | None:
    """Mean of the seeds' differences from PCA (in % of PCA's value where relative), and its Student t interval."""
    own, parent = group.values(row, metric), group.values(PARENT, metric)
    seeds = sorted(set(own) & set(parent))
    if not seeds:
        return None
    deltas = [(own[s] - parent[s]) * (100 / parent[s] if relative else 1) for s in seeds]
    return sum(deltas) / len(deltas), paired_t_interval(deltas)


def _difference_cell(group: Group, row: str, metric: str, relative: bool, digits: int) -> str:
    found = difference(group, row, metric, relative)
    if found is None:
        return MISSING
    mean, interval = found
    if interval is None:
        return f"{mean:+.{digits}f}"
    text = f"{mean:+.{digits}f} [{interval[0]:+.{digits}f}, {interval[1]:+.{digits}f}]"
    return f"**{text}**" if interval[0] > 0 or interval[1] < 0 else text


def to_markdown(groups: Sequence[Group]) -> str:
    """The table for people."""
    parts = ["# Shape models learned from scans", NOTES]
    parts.append("Cells: mean ± standard error over seeds; **bold** is best of a column. Arrows tell what is better.")
    arrows = {"lower": " ↓", "higher": " ↑"}
    for group in groups:
        parts.append(f"## {group.title} ({group.modes} modes, seeds {', '.join(map(str, sorted(group.runs)))})")
        columns = [c for c in COLUMNS if any(group.values(row, c[0]) for row in ROWS)]
        best = {c[0]: best_rows(group, c[0], c[2]) for c in columns}
        lines = []
        for row, title in ROWS.items():
            cells = [cell(group.values(row, m), digits) for m, _, _, digits in columns]
            bold = [row in best[c[0]] for c in columns]
            lines.append([title, *(f"**{t}**" if b else t for t, b in zip(cells, bold, strict=True))])
        parts.append(grid(["model", *(c[1] + arrows[c[2]] for c in columns)], lines))
        parts.append("Minus PCA, with the 95% Student t interval over paired seeds; **bold** excludes 0:")
        lines = [
            [title, *(_difference_cell(group, row, m, relative, digits) for m, _, relative, digits in DIFFERENCES)]
            for row, title in ROWS.items()
            if row != PARENT
        ]
        parts.append(grid(["model", *(d[1] for d in DIFFERENCES)], lines))
    return "\n\n".join(parts) + "\n"


def to_csv(groups: Sequence[Group]) -> str:
    """One line a row and group, means only."""
    lines = [["scans", "model", "modes", "seeds", *(c[0].rstrip("@") for c in COLUMNS)]]
    for group in groups:
        for row in ROWS:
            cells = []
            for metric, _, _, digits in COLUMNS:
                values = list(group.values(row, metric).values())
                cells.append(f"{mean_and_error(values)[0]:.{digits}f}" if values else MISSING)
            lines.append([group.key, row, str(group.modes), str(len(group.runs)), *cells])
    return _csv(lines)


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
    return _csv(lines)


def _csv(lines: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def to_tex(groups: Sequence[Group]) -> str:
    """A booktabs tabular for each group."""
    parts = ["% Shape models learned from scans. Needs \\usepackage{booktabs}."]
    for group in groups:
        columns = [c for c in COLUMNS if any(group.values(row, c[0]) for row in ROWS)]
        arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}
        parts += [f"% {group.title}", rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"]
        parts += [" & ".join(["", *(escape(c[1]) + arrows[c[2]] for c in columns)]) + r" \\", r"\midrule"]
        for row, title in ROWS.items():
            cells = [cell(group.values(row, c[0]), c[3]) for c in columns]
            parts.append(" & ".join([escape(title), *("$" + t.replace("±", r"\pm") + "$" for t in cells)]) + r" \\")
        parts += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(parts).replace(f"${MISSING}$", r"$\times$") + "\n"


def draw(groups: Sequence[Group]) -> bytes:
    """Error to unseen scans against the number of modes, a panel for each group, a line for each model; a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would look for a screen
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(groups), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
        for row, title in ROWS.items():
            if row in ("pca_mm", "pca_whitened", "pca_lda"):
                continue  # the same span as PCA's, the same line
            first = next(iter(group.runs.values())).get(row, {})
            sizes = sorted(int(n.partition("@")[2]) for n in first if n.startswith("generalisation_mm@"))
            values = [list(group.values(row, f"generalisation_mm@{size}").values()) for size in sizes]
            if values:
                axes.plot(sizes, [mean_and_error(v)[0] for v in values], "o-", markersize=3, label=title)
        axes.set(xlabel="modes, identity and expression", ylabel="error to unseen scans (mm)", title=group.title)
        axes.title.set_fontsize(8)
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})
    return buffer.getvalue()
