"""Declaration of a table: its YAML, checked, with the rows that experiments and imported methods add."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from recface.errors import RecfaceError
from recface.files.yaml_files import read_yaml
from recface.results.records import Entry
from recface.settings.compose import ExperimentRow, experiment_rows
from recface.settings.declared import Name, Settings, Whole, validated


class Block(Settings):
    """A section of a table: runs on one benchmark."""

    name: str
    """Short name, a value of the CSV's block column."""
    metrics: str
    """Key of the record's metrics to read."""
    title: str = ""
    select: dict[str, Any] = Field(default_factory=dict)
    """Dotted config key to the value that a run's config must have; of a list any, null for a key that is absent."""
    command: str = ""
    """Command that fills the block."""
    columns: list[str] | None = None
    """Metrics shown; None for all that any run of the block has."""
    curve: str = ""
    """Name that blocks share whose runs, in order, are points of one curve a row, such as along a weight."""
    point: str = ""
    """What names the block's point on its curve, such as the weight."""
    split: bool = False
    """One block for each configuration; name and title may then hold dotted config keys in braces, and {hash}."""


class Row(Settings):
    """An experiment, or with `of` some of its runs; and the row it is compared with."""

    experiment: str
    title: str = ""
    """By default that of the experiment's config."""
    parent: str | None = None
    """By default the experiment's own parent where it is a row too; null for none."""
    of: str | None = None
    """The experiment whose runs the row takes, where the row has a name of its own."""
    select: dict[str, Any] = Field(default_factory=dict)
    """With `of`: which of its runs, as a block selects them; so runs of one experiment are compared with each other."""


class Equal(Settings):
    """What a row reaches along its curve over blocks, at no worse a value of another metric than a row has here."""

    value: str
    """Metric that is read off the curve, at its best."""
    metric: str
    """Metric whose value counts as equal or better."""
    row: str
    """Experiment whose value in the block must be reached."""


class Column(Settings):
    """A metric: its name in the record, what is better, and how it is shown."""

    metric: str
    title: str = ""
    direction: Literal["", "lower", "higher"] = ""
    digits: Whole = 3
    target: float | None = None
    """The ideal value; the nearest is best."""
    reference: str | None = None
    """Record metric that holds the mean face's value of this column."""
    relative: bool = False
    """Whether differences are in % of the parent's value."""
    equal: Equal | None = None
    """Where the values come from a row's curve, and not from the record; `metric` is then a name for it."""


class Figure(Settings):
    """The pictures beside a table: metric y against x, a line each row where blocks are points of a curve; and more."""

    x: str | None = None
    y: str | None = None
    curves: Literal["conflict", "training"] | None = None
    """Which curves that runs stored along stage 2 are drawn."""
    lines: str | None = None
    """Metric that is recorded as METRIC@N too, for numbers N of modes, to draw against N."""
    hide: list[str] = Field(default_factory=list)
    """Rows left out of the lines."""
    predictions: list[Literal["roc", "errors", "maps", "strips"]] = Field(default_factory=list)
    """Pictures of what networks predict for test people: ROC curves, cumulative errors, maps of people, strips of
    shapes."""


class TableSpec(Settings):
    """One table YAML; its files are named by `name`."""

    name: Name
    title: str
    blocks: list[Block]
    rows: list[Row]
    """Experiments that name the table in `tables:` follow them."""
    columns: list[Column]
    selection: str = ""
    """How runs were chosen, for the page."""
    notes: str = ""
    """Further remarks for the page."""
    agreement: Name | None = None
    """The table whose marks this one's are held against on the page."""
    imported: str | None = None
    """Parent of the rows that methods of external/ with predictions get; None: they get none."""
    experiment: str | None = None
    """The experiment whose records hold each row as a block of metrics; None: rows are experiments."""
    figure: Figure = Figure()

    def titles(self) -> dict[str, str]:
        """Experiment to the title of its row, in order."""
        return {row.experiment: row.title or row.experiment for row in self.rows}


def read_specs(configs: str | Path, entries: Iterable[Entry] = ()) -> list[TableSpec]:
    """Read all tables of a folder, by their files in order, with rows of imported methods among the records.

    Raises:
        RecfaceError: There is no table YAML, one is wrong (see `read_spec`), or two tables have one name.
    """
    paths = sorted(Path(configs).glob("*.yaml"))
    if not paths:
        raise RecfaceError(f"{configs}: no table YAML here")
    experiments = experiment_rows()
    entries = list(entries)
    specs: dict[str, TableSpec] = {}
    for path in paths:
        spec = with_imported(read_spec(path, experiments), entries)
        if spec.name in specs:
            raise RecfaceError(f"{path}: another table is named {spec.name}, too; names of tables are names of files")
        specs[spec.name] = spec
    for spec in specs.values():
        if spec.agreement is not None and spec.agreement not in specs:
            known = ", ".join(specs)
            raise RecfaceError(
                f"{configs}: table {spec.name}: agreement must be a table, not {spec.agreement!r}: {known}"
            )
    return list(specs.values())


def read_spec(path: str | Path, experiments: Sequence[ExperimentRow] | None = None) -> TableSpec:
    """Read and check a table YAML; rows get their titles and parents, and experiments that name the table a row.

    Args:
        path: Such as configs/table/ablation.yaml.
        experiments: All experiments; by default those of configs/experiment.

    Raises:
        RecfaceError: The file is no YAML; a key is unknown, missing or wrong; a parent or a block's column is no row or
            column of the table. The line names file, line and key.
    """
    content, lines = read_yaml(path)
    spec = validated(TableSpec, content, str(path), lines)
    spec = _with_experiments(spec, experiment_rows() if experiments is None else experiments)

    def refuse(what: str, known: Collection[str], *place: Any) -> None:
        key = ".".join(map(str, place))
        ending = f"; known are {', '.join(known)}" if known else ""
        raise RecfaceError(f"{path}: line {lines.of(*place)}: {key} {what}{ending}")

    names = [row.experiment for row in spec.rows]
    for index, row in enumerate(spec.rows):
        if row.parent is not None and row.parent not in names:
            refuse(f"must be a row, not {row.parent!r}", names, "rows", index, "parent")
        if row.select and row.of is None:
            refuse("needs `of`, the experiment whose runs it selects", (), "rows", index, "select")
        if row.of is not None and spec.experiment is not None:
            refuse("needs rows that are experiments; this table's are blocks of one", (), "rows", index, "of")
    if spec.imported is not None and spec.imported not in names:
        refuse(f"must be a row, not {spec.imported!r}", names, "imported")
    metrics = [column.metric for column in spec.columns]
    for index, block in enumerate(spec.blocks):
        for metric in block.columns or ():
            if metric not in metrics:
                refuse(f"must be columns of the table, not {metric!r}", metrics, "blocks", index, "columns")
    curved = [column.metric for column in spec.columns if column.direction and column.equal is None]
    for index, column in enumerate(spec.columns):
        for key, name in column.equal or ():
            known, kind = (names, "row") if key == "row" else (curved, "column with a direction")
            if name not in known:
                refuse(f"must be a {kind}, not {name!r}", known, "columns", index, "equal", key)
    for axis in ("x", "y"):
        metric = getattr(spec.figure, axis)
        if metric is not None and metric not in metrics:
            refuse(f"must be a column, not {metric!r}", metrics, "figure", axis)
    return spec


def _with_experiments(spec: TableSpec, experiments: Sequence[ExperimentRow]) -> TableSpec:
    if spec.experiment is not None:
        return spec
    known = {experiment.name: experiment for experiment in experiments}
    listed = {row.experiment: row for row in spec.rows}
    for experiment in experiments:
        if spec.name in experiment.tables:
            listed.setdefault(experiment.name, Row(experiment=experiment.name))
    rows = []
    for name, row in listed.items():
        own = known.get(name) if row.of is None else None
        given = row.model_fields_set
        parent = row.parent if "parent" in given or own is None or own.parent not in listed else own.parent
        title = row.title if "title" in given or own is None else own.title
        rows.append(row.model_copy(update={"title": title, "parent": parent}))
    return spec.model_copy(update={"rows": rows})


def with_imported(spec: TableSpec, entries: Iterable[Entry]) -> TableSpec:
    """Add a row, by name, for each finished record of a method of external/NAME, where the table wants them."""
    if spec.imported is None:
        return spec
    titles = {
        entry.record.experiment: str(entry.record.config.get("title", entry.record.experiment))
        for entry in entries
        if entry.record.state == "finished" and entry.record.config.get("baselines", {}).get("method") == "imported"
    }
    taken = {row.experiment for row in spec.rows}
    new = [Row(experiment=n, title=t, parent=spec.imported) for n, t in sorted(titles.items()) if n not in taken]
    return spec.model_copy(update={"rows": [*spec.rows, *new]})
