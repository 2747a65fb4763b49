"""Every protocol there is, as text for a terminal and as the table of docs/protocols.md."""

from __future__ import annotations

from recface.metrics.protocols import BENCHMARKS, PHOTO_PROTOCOLS, PROTOCOLS, BenchmarkProtocol


def listing() -> str:
    """Every protocol and every column of our own benchmark, a block of lines each."""
    lines = []
    for protocol in BENCHMARKS.values():
        lines += [protocol.id, f"    {summary(protocol)}"]
        lines += [f"    source  {protocol.source}", f"    unit    {protocol.unit or 'none'}"]
        lines += [f"    needs   {needs(protocol)}", ""]
    lines.append("Columns of our own benchmark (source: ours, docs/methods.md; from the predictions of a run):")
    for block, columns in (("benchmark", PROTOCOLS), ("photos", PHOTO_PROTOCOLS)):
        for key, column in columns.items():
            lines.append(f"    {column.id:<48} {block + '.' + key:<36} {column.unit or 'none':<5} {column.direction}")
    return "\n".join(lines)


def summary(protocol: BenchmarkProtocol) -> str:
    """The first line of a protocol's docstring."""
    return (type(protocol).__doc__ or "").strip().splitlines()[0]


def needs(protocol: BenchmarkProtocol) -> str:
    """What a protocol needs, in words: fields of predictions, columns of the manifest, pairs."""
    columns = [name for name in protocol.columns if name not in protocol.numbers[1:-1]]
    if len(columns) < len(protocol.columns):
        columns.insert(-1, "...")
    parts = [f"predictions with {', '.join(protocol.needs)}"]
    if columns:
        parts.append(f"manifest with {', '.join(('id', *columns))}")
    if protocol.pairs is not None:
        of = "templates" if protocol.templates else "ids"
        parts.append(f"{f'{protocol.pairs:,} pairs' if protocol.pairs else 'pairs'} of {of}")
    return "; ".join(parts)


def markdown() -> str:
    """The same as one Markdown table: id, what it is, unit, source, needs, numbers."""
    rows = ["| id | what | unit | source | needs | numbers |", "|---|---|---|---|---|---|"]
    for protocol in BENCHMARKS.values():
        numbers = ", ".join(protocol.values)
        cells = (
            f"`{protocol.id}`",
            summary(protocol),
            protocol.unit or "none",
            protocol.source,
            needs(protocol),
            numbers,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    for block, columns in (("benchmark", PROTOCOLS), ("photos", PHOTO_PROTOCOLS)):
        for key, column in columns.items():
            cells = (f"`{column.id}`", f"{block} column", column.unit or "none", "ours; docs/methods.md", "a run", key)
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
