"""A W&B report of tables and of the runs in a project; its API is a package of its own, `wandb-workspaces`."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from recface.errors import RecfaceError, one_line

CURVES = ("loss/total", "loss/landmark", "loss/pixel", "loss/separation")
MEDIA = ("pictures/validation", "pictures/roc", "pictures/errors", "pictures/maps", "meshes/validation")
"""Keys that runs log, of panels of the report."""
X_AXIS = "trainer/global_step"


def write_report(project: str, tables: Mapping[str, str], title: str = "recface") -> str:
    """Write a new report into a W&B project: each table, then curves, pictures and meshes of its runs by experiment.

    Args:
        project: ENTITY/PROJECT.
        tables: Heading to content in Markdown, such as the pages of results/.
        title: Of the report.

    Returns:
        Its address.

    Raises:
        RecfaceError: The project's name has another form, the package is missing, or W&B refuses.
    """
    entity, slash, name = project.partition("/")
    if not (entity and slash and name) or "/" in name:
        raise RecfaceError(f"the W&B project must be ENTITY/PROJECT, not {project!r}")
    reports = _reports()
    runs = reports.Runset(entity=entity, project=name, groupby=["group"])
    panels = [
        *(reports.LinePlot(title=key, x=X_AXIS, y=[key]) for key in CURVES),
        *(reports.MediaBrowser(title=key, media_keys=[key]) for key in MEDIA),
    ]
    blocks = [reports.TableOfContents()]
    for heading, content in tables.items():
        blocks += [reports.H1(text=heading), reports.MarkdownBlock(text=content)]
    blocks += [reports.H1(text="Runs"), reports.PanelGrid(runsets=[runs], panels=panels)]
    try:
        report = reports.Report(entity=entity, project=name, title=title, blocks=blocks, width="fluid")
        report.save()
        return str(report.url)
    except Exception as error:  # of wandb, requests and pydantic, whichever meets the refusal first
        raise RecfaceError(f"W&B: the report of {project} could not be written: {one_line(error)}") from None


def _reports() -> ModuleType:
    try:
        from wandb_workspaces.reports import v2
    except ImportError:
        raise RecfaceError("a W&B report needs the package wandb-workspaces: pip install wandb-workspaces") from None
    module: ModuleType = v2
    return module
