"""States on disk are old or new, never half; Lightning trains in silence."""

from pathlib import Path

import lightning
import pytest
import torch

from recface.variants.trainer import fit_quietly, load_state, quiet_trainer, save_state


def test_a_state_comes_back(tmp_path) -> None:
    path = tmp_path / "checkpoints" / "stage2-last.ckpt"
    state = {"step": 3, "state": {"weight": torch.arange(6.0).reshape(2, 3)}, "rows": [1, 2]}
    save_state(state, path)
    read = load_state(path)
    assert read["step"] == 3 and read["rows"] == [1, 2]
    torch.testing.assert_close(read["state"]["weight"], state["state"]["weight"], rtol=0, atol=0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


class Stop(BaseException):
    """Whatever ends a process."""


@pytest.mark.parametrize("when", ["while writing", "before replacing"])
def test_a_state_is_kept_until_the_next_is_whole(tmp_path, monkeypatch, when) -> None:
    path = tmp_path / "final.pt"
    save_state({"step": 1}, path)

    def write_half(state, target) -> None:
        Path(target).write_bytes(b"half")
        raise Stop

    def stop(*paths) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        if when == "while writing":
            patch.setattr(torch, "save", write_half)
        else:
            patch.setattr("os.replace", stop)
        with pytest.raises(Stop):
            save_state({"step": 2}, path)
    assert load_state(path) == {"step": 1}
    save_state({"step": 3}, path)  # what was left half written is in nobody's way
    assert load_state(path) == {"step": 3} and [file.name for file in tmp_path.iterdir()] == ["final.pt"]


def test_states_load_without_running_code(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return eval, ("1 + 1",)

    save_state({"step": Evil()}, tmp_path / "final.pt")
    with pytest.raises(Exception, match="[Ww]eights"):
        load_state(tmp_path / "final.pt")


class Line(lightning.LightningModule):
    """One weight that learns to be 1; `stop` is raised in its second step."""

    def __init__(self, stop: BaseException | None = None) -> None:
        super().__init__()
        self.weight, self.stop = torch.nn.Parameter(torch.zeros(1)), stop

    def training_step(self, batch, index):
        if index == 1 and self.stop is not None:
            raise self.stop
        return (self.weight - 1).square().sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.25)


def trained(folder, stop: BaseException | None = None) -> Line:
    trainer = quiet_trainer(folder, accelerator="cpu", max_steps=4, logger=False)
    module = Line(stop)
    fit_quietly(trainer, module, torch.utils.data.DataLoader(torch.zeros(8, 1)))
    return module


def test_training_prints_and_writes_nothing(tmp_path, capfd, recwarn, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained(tmp_path / "run").weight.item() == pytest.approx(1 - 0.5**4)
    printed = capfd.readouterr()
    bars = [line for line in printed.err.splitlines() if not line.startswith(("GPU", "TPU", "HPU", "💡"))]
    assert printed.out == "" and bars == [] and not recwarn.list
    assert not list(tmp_path.iterdir())


def test_settings_reach_the_trainer(tmp_path) -> None:
    trainer = quiet_trainer(tmp_path, accelerator="cpu", max_steps=7, logger=False, log_every_n_steps=3)
    assert (trainer.max_steps, trainer.log_every_n_steps, trainer.default_root_dir) == (7, 3, str(tmp_path))


def test_an_interrupt_stays_one(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, KeyboardInterrupt())


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("bad batch")])
def test_what_else_ends_training_is_left_as_it_is(tmp_path, error) -> None:
    with pytest.raises(type(error)) as caught:
        trained(tmp_path, error)
    assert caught.value is error
