"""A table for programs and papers: wide CSV, long CSV, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from recface.results.markdown import BETTER, MISSING, OTHER, WORSE, hole, number, reference_texts, verdict
from recface.results.spec import Column, Row
from recface.results.table import BlockTable, Table

LONG_HEADER = ["experiment", "block", "protocol", "metric", "seed", "value", "hash"]
DIFFERENCES_HEADER = [
    *("experiment", "parent", "block", "protocol", "metric", "seeds", "difference", "low", "high", "method"),
    *("p", "p_holm", "family", "improvement", "improvement_people", "p_page"),
]
_TEX_MARKS = {BETTER: "^{+}", WORSE: "^{-}", OTHER: r"^{\neq}", "": ""}
_TEX_ARROWS = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}


def to_csv(table: Table) -> str:
    """One line a row and block, means only, short enough for `column -s, -t`; the seeds' values are in the long CSV."""
    metrics = [column.metric for column in table.spec.columns]
    lines = [["block", "experiment", "seeds", *metrics]]
    for block in table.blocks:
        for row in table.spec.rows:
            line = [block.block.name, row.experiment, str(len(block.runs.finished[row.experiment]))]
            for column in table.spec.columns:
                cell = block.cells.get((row.experiment, column.metric))
                line.append(hole(block, row.experiment) if cell is None else f"{cell.mean:z.{column.digits}f}")
            lines.append(line)
    return csv_text(lines)


def to_long_csv(table: Table) -> str:
    """One line a value, with eight significant digits, and the hash of its run; see `_further_metrics`."""
    lines = [LONG_HEADER]
    for block in table.blocks:
        columns = [column.metric for column in block.columns]
        for row in table.spec.rows:
            found = sorted(block.runs.finished[row.experiment].items())
            for metric in (*columns, *_further_metrics(table, block, row.experiment)):
                for seed, entry in found:
                    value = entry.value(block.block.metrics, metric)
                    if value is not None:
                        protocol = entry.protocol(block.block.metrics, metric)
                        line = [row.experiment, block.block.name, protocol, metric, str(seed), f"{value:.8g}"]
                        lines.append([*line, entry.record.hash])
    return csv_text(lines)


def _further_metrics(table: Table, block: BlockTable, experiment: str) -> list[str]:
    """Metrics that a row recorded besides the columns, such as METRIC@N with N modes; [] where rows are experiments."""
    if table.spec.experiment is None:
        return []
    entries = block.runs.finished[experiment].values()
    recorded = {key for entry in entries for key in entry.record.metrics[block.block.metrics]}
    names = recorded - {column.metric for column in block.columns}
    return sorted(names, key=lambda name: (name.partition("@")[0], int(name.partition("@")[2] or 0)))


def to_differences_csv(table: Table) -> str:
    """One line a difference to the parent row, with everything that is known of it; unknown values stay empty."""
    lines = [DIFFERENCES_HEADER]
    for block in table.blocks:
        for row in table.spec.rows:
            for column in block.columns:
                found = block.differences.get((row.experiment, column.metric))
                if found is None:
                    continue
                numbers = [found.value, found.test.low, found.test.high, found.test.p, found.holm, found.better]
                value, low, high, p, corrected, better = ("" if n is None else f"{n:.6g}" for n in numbers)
                line = [row.experiment, row.parent or "", block.block.name, block.protocols.get(column.metric, "")]
                line += [column.metric, str(len(found.per_seed)), value, low, high, found.test.method, p, corrected]
                line += [str(found.family), better, "" if found.better is None else str(found.people)]
                lines.append([*line, "" if found.page is None else f"{found.page:.6g}"])
    return csv_text(lines)


def to_tex(table: Table) -> str:
    """A booktabs tabular for each block that has any run, to be included in a paper."""
    parts = [f"% {table.spec.title}. Needs \\usepackage{{booktabs}}.", f"% Provenance: {table.provenance}"]
    if any(found.significant for block in table.blocks for found in block.differences.values()):
        parts.append("% ^+ better, ^- worse than the parent row (Holm-corrected p < 0.05)")
    for block in table.blocks:
        if not block.cells:
            continue
        lines = [
            [escape(row.title or row.experiment), *(_tex_cell(block, row, column) for column in block.columns)]
            for row in table.spec.rows
        ]
        parts.append(f"% block {block.block.name}")
        parts += _tabular(list(map(_tex_heading, block.columns)), lines, _tex_reference(block))
    return "\n".join(parts) + "\n"


def _tabular(titles: Sequence[str], lines: Iterable[Sequence[str]], reference: Sequence[str] = ()) -> list[str]:
    """A booktabs tabular of cells in LaTeX; titles are of the columns after the first, the reference is a row below."""

    def text(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    parts = [rf"\begin{{tabular}}{{l{'r' * len(titles)}}}", r"\toprule", text(["", *titles]), r"\midrule"]
    parts += map(text, lines)
    parts += [r"\midrule", text(reference)] if reference else []
    return [*parts, r"\bottomrule", r"\end{tabular}"]


def _tex_heading(column: Column) -> str:
    """Title of a column with what is better."""
    arrow = _TEX_ARROWS.get(column.direction, "") if column.target is None else rf" $\to$ {column.target:g}"
    return escape(column.title or column.metric) + arrow


def escape(text: str) -> str:
    """Escape what LaTeX reads as a command."""
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in text)


def _tex_cell(block: BlockTable, row: Row, column: Column) -> str:
    cell = block.cells.get((row.experiment, column.metric))
    if cell is None:
        return r"$\times$" if hole(block, row.experiment) == MISSING else "--"
    text = number(cell, column.digits).replace("±", r"\pm")
    mark = _TEX_MARKS[verdict(block, row.experiment, row.parent, column)]
    return rf"$\mathbf{{{text}}}{mark}$" if cell.best else f"${text}{mark}$"


def _tex_reference(block: BlockTable) -> list[str]:
    return ["mean face", *reference_texts(block)] if block.reference else []


def csv_text(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
