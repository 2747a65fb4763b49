"""Options of `recface tables`, and the methods that `recface pictures` shows."""

import numpy as np

from recface.cli.program import main
from recface.cli.results_commands import page_methods
from recface.results.records import find_records
from recface.tracking import RunFolder, new_record


def finished(runs, experiment, seed, value, overrides=(), manifest="data"):
    folder = RunFolder.open(runs / experiment / f"hash{len(overrides)}" / f"seed={seed}")
    folder.start(new_record(experiment, "hash", seed, {}, data_manifest=manifest, overrides=overrides))
    np.savez(folder.path / "predictions.npz", test_parameters=np.full((3, 2), value, np.float32))
    folder.finish({"benchmark": {"nme": 1.0}})


def test_each_method_is_shown_by_its_plainest_record_of_this_benchmark(tmp_path):
    finished(tmp_path, "eos", 1, 1.0)
    finished(tmp_path, "eos", 0, 2.0)
    finished(tmp_path, "eos", 0, 3.0, overrides=("baselines.noise=0.1",))
    finished(tmp_path, "fit", 0, 4.0, manifest="other")
    found = page_methods(find_records(tmp_path, tmp_path / "none"), ["fit", "eos", "sir"], "data")
    assert list(found) == ["eos"] and found["eos"].dtype == np.float32
    assert (found["eos"] == 2.0).all()


def test_tables_without_figures_are_from_the_runs_on_disk_alone(capsys):
    assert main(["tables", "--no-figures", "--wandb", "someone/project"]) == 1
    assert "--no-figures is for tables from the runs on disk" in capsys.readouterr().err
