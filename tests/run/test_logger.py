"""The logger around an imitation of a W&B run; tests/wandb_server/ has the real wandb and a server."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recface.errors import RecfaceError
from recface.run import logger as module
from recface.run.logger import RunLogger, has_key, open_logger, reachable, wandb_mode
from recface.sweeps.runner import GRACE_SECONDS
from recface.tracking import RunFolder, RunRecord, run_path


class Imitation:
    """Takes what is logged, and how it ends."""

    project, offline = "p", True

    def __init__(self, folder):
        self.dir, self.rows, self.exit_code, self.saved = str(folder), [], None, []
        self.summary: dict[str, float] = {}

    def define_metric(self, *names, **options):
        pass

    def log(self, row):
        self.rows.append(row)

    def save(self, path, **options):
        self.saved.append(path)

    def finish(self, exit_code):
        self.exit_code = exit_code


@pytest.fixture
def run(tmp_path):
    return Imitation(tmp_path / "files")


@pytest.fixture
def folder(tmp_path):
    return RunFolder.open(run_path(tmp_path / "runs", "sir", "0123abcd", 0))


def test_one_x_axis_over_stages_and_killed_processes(run):
    logger = RunLogger(run)
    logger.begin_stage(before=100, first_step=20)
    logger.log_metrics({"loss/total": 1.0}, step=5)  # as the trainer counts, from where this process began
    logger.log_at(25, {"stage": 2})  # as the stage counts
    assert [row["trainer/global_step"] for row in run.rows] == [125, 125]


@pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt()])
def test_the_run_is_finished_whatever_happens(error, run, folder, monkeypatch):
    monkeypatch.setattr(module, "_start", lambda config, folder: run)
    kept = module._run_id(folder)
    assert module._run_id(folder) == kept  # a killed run goes on as the same W&B run
    record = RunRecord("sir", "0123abcd", 0)
    if error is None:
        with open_logger({"logger": {"name": "wandb"}}, folder), folder.running(record):
            pass
    else:
        with (
            pytest.raises(type(error)),
            open_logger({"logger": {"name": "wandb"}}, folder),
            folder.running(record),
        ):
            raise error
        assert [path.endswith("record/run.json") for path in run.saved] == [True]  # with the reason why
    assert run.exit_code == (0 if error is None else 1)
    assert (folder.path / module.ID_FILE).exists() == (error is not None)


def test_an_interrupt_leaves_time_before_a_sweep_kills():
    assert module.INTERRUPTED_SECONDS <= GRACE_SECONDS / 2


def test_an_interrupt_waits_but_shortly_for_the_service(run, folder, monkeypatch):
    monkeypatch.setattr(module, "_start", lambda config, folder: run)
    monkeypatch.setattr(module, "INTERRUPTED_SECONDS", 0.2)
    over = threading.Event()
    run.finish = lambda exit_code: over.wait(30)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), open_logger({"logger": {"name": "wandb"}}, folder):
        raise KeyboardInterrupt
    over.set()
    assert 0.2 <= time.monotonic() - begin < 5


@pytest.mark.parametrize(("mode", "found"), [(None, None), ("", None), ("offline", "offline")])
def test_an_empty_mode_is_none(mode, found, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("WANDB_MODE", mode)
    assert wandb_mode() == found and os.environ.get("WANDB_MODE") == found  # wandb itself refuses an empty word


def test_wandb_starts_with_an_empty_mode(folder, monkeypatch):
    """wandb reads the environment itself, as soon as it is set up."""
    monkeypatch.setenv("WANDB_MODE", "")
    seen = []

    class Reached(Exception):
        pass

    def setup():
        seen.append("WANDB_MODE" in os.environ)
        raise Reached

    monkeypatch.setattr("wandb.setup", setup)
    with pytest.raises(Reached):
        module._start({"logger": {"name": "wandb"}}, folder)
    assert seen == [False]


def test_a_wrong_mode_is_refused_and_a_disabled_one_leaves_no_files(folder, monkeypatch):
    before = sorted(folder.path.rglob("*"))
    monkeypatch.setenv("WANDB_MODE", "of")
    words = "WANDB_MODE must be one of online, offline, disabled, .*, not 'of'"
    with pytest.raises(RecfaceError, match=words), open_logger({"logger": {"name": "wandb"}}, folder):
        pass
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with open_logger({"logger": {"name": "wandb"}}, folder) as logger:
        assert logger is None
    assert sorted(folder.path.rglob("*")) == before


def test_what_cannot_be_sent_costs_one_line_and_no_run(run, folder, capsys):
    folder.start(RunRecord("sir", "0123abcd", 0))
    folder.finish({"benchmark": {"sir": 0.5}})

    def broken(*unused, **options):
        raise OSError("the service is gone")

    run.save = broken
    RunLogger(run).publish(folder)
    assert capsys.readouterr().err == f"W&B: {folder.path} is complete, but could not be sent: the service is gone\n"


def test_whether_a_server_answers():
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *unused):
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert reachable(url)
        thread.join()
    assert not reachable(url)


def test_a_key_is_found_where_wandb_puts_it(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_key("http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1\n  login user\n  password " + "0" * 40 + "\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert has_key("http://127.0.0.1:9") and not has_key("http://127.0.0.2:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert has_key("http://127.0.0.2:9")
