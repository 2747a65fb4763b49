"""`recface run`: a command line, a person's or an agent's, to Hydra, and Hydra's configuration to a run."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recface.cli.declaration import argument, command, flag
from recface.errors import RecfaceError

if TYPE_CHECKING:
    from omegaconf import DictConfig


class TaskError(BaseException):
    """Carries a task's exception past Hydra, which would print lines of its own for an ordinary one."""


@contextmanager
def past_hydra() -> Iterator[None]:
    """Around the body of a task: its exceptions reach the program unannounced.

    In a multirun they end the run but not the others: as a RecfaceError of one line, which can be sent between
    processes, unlike the exceptions of some libraries and any exception's cause.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from recface.cli.program import explain

    try:
        yield
    except Exception as error:
        if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise TaskError from error
        if os.environ.get("RECFACE_DEBUG"):
            traceback.print_exception(error)
        raise RecfaceError(explain(error)) from None


def train(config: DictConfig) -> float | None:
    """Hydra's task: run one configuration and print where its record is. Launchers pickle it by its name."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from recface.settings.overrides import own_overrides

    with past_hydra():
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
        from recface.run.experiment import run_experiment  # torch is imported only when there is something to train

        folder = run_experiment(plain, overrides=own_overrides(HydraConfig.get().overrides.task))
        print(folder.record_path)
        assert folder.record is not None  # a finished run has one
        return folder.record.metrics["validation"]["geometry_auc"]


def hydra_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Rewrite a person's or an agent's command line for Hydra.

    Raises:
        RecfaceError: As `check_overrides`.
    """
    from recface.settings.compose import CONFIGS, check_overrides, compose_config
    from recface.settings.overrides import is_resent, normalize_arguments, without_repeats

    result = normalize_arguments(arguments, environment)
    check_overrides(result)
    if is_resent(arguments):
        groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
        choices = [text for text in result if text.partition("=")[0].lstrip("+") in groups]
        result = without_repeats(result, compose_config(*choices))
    return result


def run_with_hydra(task: Callable[[DictConfig], Any], arguments: Sequence[str]) -> None:
    """Run a task on the configuration, or the configurations, that a command line makes.

    Args:
        task: A function of a module, undecorated, so that launchers can pickle it; its body is in `past_hydra`.
        arguments: Overrides and Hydra's own options.

    Raises:
        RecfaceError: A mistake in the command line.
        TaskError: The task's exception is its cause.
    """
    from recface.launchers.multirun import check_launcher
    from recface.settings.compose import CONFIGS

    arguments = hydra_arguments(arguments, os.environ)
    check_launcher(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions come to the program instead of being printed
    import hydra

    before, sys.argv = sys.argv, ["recface run", *arguments]  # Hydra reads them there
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="run")(task)()
    finally:
        sys.argv = before


@command(
    "run",
    argument("overrides", nargs="*", metavar="key=value", help="+experiment=NAME, group=option or group.key=value"),
    argument("-m", "--multirun", action="store_true", help="run every combination of values separated by commas"),
    argument("--cfg", choices=("job", "hydra", "all"), help="print the configuration and stop"),
    flag("--resolve", "with --cfg: resolve interpolations"),
    argument("--package", metavar="KEY", help="with --cfg: print this group alone"),
    argument("--info", metavar="WHAT", help="print what Hydra knows: defaults, defaults-tree, config, plugins, ..."),
    flag("--hydra-help", "print Hydra's own help and its further options"),
    hydra=True,
)
def run(options: argparse.Namespace) -> None:
    """Train and evaluate one experiment, or several with -m.

    recface run +experiment=sir seed=1 loss.pixel=2
    recface run -m '+experiment=sir,no_kl' seed=0,1,2
    recface run -m hydra/launcher=slurm hydra.launcher.partition=NAME '+experiment=sir,no_kl' seed=0,1,2

    The record goes to runs/<experiment>/<hash>/seed=<n>/. A run that was interrupted resumes; a finished one returns
    at once.
    """
    run_with_hydra(train, options.arguments)
