"""The logger beside the run folder: none, or Weights & Biases."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import secrets
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from recface.errors import RecfaceError, one_line
from recface.files.arrays import read_arrays
from recface.files.atomic import write_bytes
from recface.files.guard import plain_name
from recface.files.meshes import obj_text
from recface.settings import Config
from recface.tracking import RunFolder, RunRecord, record_stem
from recface.tracking.archive import stage_record
from recface.tracking.folder import is_interrupt

if TYPE_CHECKING:
    from wandb import Run

X_AXIS = "trainer/global_step"
FINISH_SECONDS = "120"
"""How long the end of a run waits for uploads unless WANDB_FINISH_TIMEOUT says; what is left stays on disk."""
INTERRUPTED_SECONDS = 4.0
"""The same where a signal ends the run: whoever sent it expects an end within seconds."""
ID_FILE = "wandb-id"
MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")


class RunLogger(WandbLogger):
    """Lightning's W&B logger with one x axis over both stages, and the run's record, predictions and checkpoint."""

    def __init__(self, run: Run) -> None:
        super().__init__(experiment=run, project=run.project)
        self.before = 0  # steps of earlier stages
        self.first = 0  # steps that the trainer does not count: of earlier stages and killed processes
        run.define_metric(X_AXIS)
        run.define_metric("*", step_metric=X_AXIS, step_sync=True)

    def begin_stage(self, before: int, first_step: int) -> None:
        """Set where a trainer's steps begin: after those of earlier stages, and of this one by a killed process."""
        self.before, self.first = before, before + first_step

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log at a step as the trainer counts it."""
        super().log_metrics(metrics, None if step is None else self.first + step)

    @rank_zero_only
    def log_at(self, step: int, values: Mapping[str, Any]) -> None:
        """Log at a step of the stage."""
        self.experiment.log({**values, X_AXIS: self.before + step})

    def log_picture(self, step: int, name: str, picture: np.ndarray, caption: str) -> None:
        """Log a picture (height, width, 3) uint8 at a step of the stage."""
        import wandb

        self.log_at(step, {f"pictures/{name}": wandb.Image(picture, caption=caption)})

    def log_mesh(self, step: int, name: str, vertices: np.ndarray, triangles: np.ndarray) -> None:
        """Log a mesh, vertices (V, 3) in mm and triangles (F, 3), at a step of the stage."""
        import wandb

        content = io.StringIO(obj_text(vertices, triangles))
        self.log_at(step, {f"meshes/{name}": wandb.Object3D.from_file(content, "obj")})

    def publish(self, folder: RunFolder) -> None:
        """Send a run's record, and, once it is finished, its metrics, figures, reduced predictions and checkpoint.

        The folder is complete without it: an error here is told in one line and fails no run.
        """
        try:
            self._publish(folder)
        except Exception as error:  # a service that does not answer must not cost a finished training
            print(f"W&B: {folder.path} is complete, but could not be sent: {error}", file=sys.stderr)

    def _publish(self, folder: RunFolder) -> None:
        import wandb

        run, record = self.experiment, folder.record
        assert record is not None
        staged = stage_record(folder.path, run.dir)
        for path in staged:
            run.save(str(path), base_path=run.dir, policy="now")
        if record.state != "finished":
            return
        for block, metrics in record.metrics.items():
            run.summary.update({f"{block}/{key}": value for key, value in metrics.items() if value is not None})
        self._log_figures(folder, record)
        if not run.offline and not reachable(run.settings.base_url):
            # Artifacts would ask the server again and again; everything else waits on disk.
            later = f"`wandb sync {Path(run.dir).parent}` sends it later"
            print(f"W&B: the server does not answer; {folder.path} is complete, {later}", file=sys.stderr)
            return
        for kind, paths in (("record", staged), ("model", [folder.path / "checkpoints" / "final.pt"])):
            artifact = wandb.Artifact(f"{kind}-{record_stem(record)}", kind)
            for path in paths:
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            run.log_artifact(artifact)

    def _log_figures(self, folder: RunFolder, record: RunRecord) -> None:
        """Log what figures of results/ show, of this run alone, at its last step."""
        import wandb
        from PIL import Image

        from recface.figures.prediction_panels import run_pictures

        if (path := folder.path / "predictions.npz").is_file():
            found = run_pictures(read_arrays(path), record.metrics.get("benchmark", {}))
            pictures = {f"pictures/{name}": wandb.Image(Image.open(io.BytesIO(png))) for name, png in found.items()}
            steps = sum(record.config["scale"][f"stage{stage}_steps"] for stage in (1, 2))
            self.experiment.log({**pictures, X_AXIS: steps - 1})


def reachable(url: str, seconds: float = 5.0) -> bool:
    """Whether a server answers, even with an error."""
    try:
        urllib.request.urlopen(url, timeout=seconds).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # a certificate that wandb may have been told to accept
    except (OSError, http.client.HTTPException):
        return False
    return True


def has_key(base_url: str) -> bool:
    """Whether there is a key for a W&B server, in the environment or where `wandb login` stores it."""
    from requests.utils import get_netrc_auth

    named = any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"))
    return named or get_netrc_auth(base_url) is not None


def wandb_mode() -> str | None:
    """The environment's WANDB_MODE; None where it is unset or empty, which wandb itself would refuse: it is removed.

    Raises:
        RecfaceError: It is none of W&B's words.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode == "":
        del os.environ["WANDB_MODE"]
    elif mode is not None and mode not in MODES:
        raise RecfaceError(f"WANDB_MODE must be one of {', '.join(MODES)}, not {mode!r}")
    return mode or None


def in_wandb_sweep() -> bool:
    """Whether `wandb agent` started this process, and its server waits for a result."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


@contextmanager
def open_logger(config: Config, folder: RunFolder) -> Iterator[RunLogger | None]:
    """Open the configured logger, and close it whatever happens; an exception marks the W&B run as failed.

    Without a key, or where no server answers, the W&B run is kept offline; one line says so. Tables never depend on it.

    Raises:
        RecfaceError: W&B refuses the run, for example for a wrong key.
    """
    if config["logger"]["name"] == "none" or wandb_mode() == "disabled":
        yield None
        return

    os.environ.setdefault("WANDB_FINISH_TIMEOUT", FINISH_SECONDS)  # read by wandb.init
    run, exit_code, seconds = _start(config, folder), 1, None
    logger = RunLogger(run)
    try:
        yield logger
        exit_code = 0
        (folder.path / ID_FILE).unlink(missing_ok=True)  # a rerun is another W&B run
    except BaseException as error:
        seconds = INTERRUPTED_SECONDS if is_interrupt(error) else None
        if folder.record is not None and folder.record.state in ("failed", "interrupted"):
            logger.publish(folder)
        raise
    finally:
        _finish(run, exit_code, seconds)


def _finish(run: Run, exit_code: int, seconds: float | None) -> None:
    """End the W&B run; with `seconds`, wait no longer than that."""

    def finish() -> None:
        with contextlib.suppress(Exception):  # the run is over, and its folder complete
            run.finish(exit_code=exit_code)

    if seconds is None:
        finish()
    else:
        thread = threading.Thread(target=finish, daemon=True)
        thread.start()
        thread.join(seconds)


def _start(config: Config, folder: RunFolder) -> Run:
    """Start the W&B run, or resume that of a killed process."""
    import wandb

    mode: Any = wandb_mode()  # before wandb reads the environment itself
    settings, base_url = config["logger"], wandb.setup().settings.base_url
    if mode is None and not has_key(base_url):
        print("W&B: no WANDB_API_KEY, so this run is kept offline", file=sys.stderr)
        mode = "offline"
    elif mode is None and not reachable(base_url):
        print(f"W&B: {base_url} does not answer, so this run is kept offline", file=sys.stderr)
        mode = "offline"
    options: dict[str, Any] = {
        "name": f"{config['name']}-seed{config['seed']}",
        "dir": str(folder.path),
        "group": config["name"],
        "job_type": "stage2",  # the stage that makes the result
        "config": config,
        "tags": [config["variant"], config["scale"]["name"], config["face_model"]["name"]],
    }
    if not in_wandb_sweep():  # an agent sets all three
        options |= {"id": _run_id(folder), "project": settings["project"], "entity": settings["entity"]}
    try:
        return wandb.init(mode=mode, resume=None if mode in ("offline", "dryrun") else "allow", **options)
    except wandb.errors.CommError as error:
        reason = one_line(error)
        if isinstance(error, wandb.errors.AuthenticationError):
            raise RecfaceError(f"W&B: {reason}; logger=none runs without") from None
        print(f"W&B: {reason}; this run is kept offline", file=sys.stderr)
        return wandb.init(mode="offline", **options)
    except wandb.errors.Error as error:
        raise RecfaceError(f"W&B: {one_line(error)}; logger=none runs without") from None


def _run_id(folder: RunFolder) -> str:
    """Id of the folder's W&B run, kept while the run is not finished."""
    path = folder.path / ID_FILE
    if not path.is_file():
        write_bytes(path, secrets.token_hex(4).encode())
    return plain_name(path.read_text(), f"{path}: the id of the W&B run")
