"""The table sfm_model: what shape models learned from scans represent, and how their latents cluster."""

from __future__ import annotations

from collections.abc import Sequence

from recface.results import picture
from recface.results.cache import Cache
from recface.results.cells import MISSING, heading, number, signed
from recface.results.load import Entry
from recface.results.markdown import grid
from recface.results.sfm_groups import COLUMNS, ERROR, NAME, PARENT, ROWS, Group, best_rows, difference, group_entries
from recface.results.statistics import mean_and_error
from recface.results.writers import csv_text, escape, tabular, tex_heading, tex_number

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
