"""A table for programs and papers: wide CSV, long CSV, LaTeX."""

from __future__ import annotations

import csv
import io

from recface.results.markdown import MISSING, number
from recface.results.table import Cell, Table

LONG_HEADER = ["experiment", "block", "protocol", "metric", "seed", "value"]


def to_csv(table: Table) -> str:
    """One line a row and block, means only, short enough for `column -s, -t`; the seeds' values are in the long CSV."""
    metrics = [column.metric for column in table.spec.columns]
    lines = [["block", "experiment", "seeds", *metrics]]
    for block in table.blocks:
        for row in table.spec.rows:
            line = [block.block.name, row.experiment, str(len(block.runs.finished[row.experiment]))]
            for column in table.spec.columns:
                cell = block.cells.get((row.experiment, column.metric))
                line.append(MISSING if cell is None else f"{cell.mean:.{column.digits}f}")
            lines.append(line)
    return _csv(lines)


def to_long_csv(table: Table) -> str:
    """One line a value: experiment, block, protocol, metric, seed, value (eight significant digits)."""
    lines = [LONG_HEADER]
    for block in table.blocks:
        for row in table.spec.rows:
            for column in block.columns:
                cell = block.cells.get((row.experiment, column.metric))
                for seed, value in sorted(cell.per_seed.items()) if cell else ():
                    protocol = block.protocols.get(column.metric, "")
                    lines.append([row.experiment, block.block.name, protocol, column.metric, str(seed), f"{value:.8g}"])
    return _csv(lines)


def to_tex(table: Table) -> str:
    """A booktabs tabular for each block that has any run, to be included in a paper."""
    parts = [f"% {table.spec.title}. Needs \\usepackage{{booktabs}}.", f"% Provenance: {table.provenance}"]
    for block in table.blocks:
        if not block.cells:
            continue
        arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}
        titles = [
            escape(c.title or c.metric)
            + (rf" $\to$ {c.target:g}" if c.target is not None else arrows.get(c.direction, ""))
            for c in block.columns
        ]
        parts += [f"% block {block.block.name}", rf"\begin{{tabular}}{{l{'r' * len(titles)}}}", r"\toprule"]
        parts += [" & ".join(["", *titles]) + r" \\", r"\midrule"]
        for row in table.spec.rows:
            cells = [_tex_cell(block.cells.get((row.experiment, c.metric)), c.digits) for c in block.columns]
            parts.append(" & ".join([escape(row.title or row.experiment), *cells]) + r" \\")
        if block.reference:
            cells = [
                f"{block.reference[c.metric]:.{c.digits}f}" if c.metric in block.reference else ""
                for c in block.columns
            ]
            parts += [r"\midrule", " & ".join(["mean face", *cells]) + r" \\"]
        parts += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Escape what LaTeX reads as a command."""
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in text)


def _tex_cell(cell: Cell | None, digits: int) -> str:
    if cell is None:
        return r"$\times$"
    text = number(cell, digits).replace("±", r"\pm")
    return rf"$\mathbf{{{text}}}$" if cell.best else f"${text}$"


def _csv(lines: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
