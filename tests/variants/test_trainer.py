"""Lightning trains in silence, and what ends it is passed on."""

import lightning
import pytest
import torch

from recface.variants.trainer import chosen_precision, fit_quietly, quiet_trainer


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


@pytest.mark.parametrize(
    ("has", "chosen"), [({}, "32-true"), ({"avx512_bf16": True}, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed")]
)
def test_precision_is_chosen_by_what_the_processor_multiplies(monkeypatch, has, chosen) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert chosen_precision({"precision": "auto", "accelerator": "cpu"}) == chosen
    assert chosen_precision({"precision": "64-true", "accelerator": "cpu"}) == "64-true"
