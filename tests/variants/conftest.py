import pytest

from recface.data.datamodule import MixedDataModule
from recface.data.sources import embedded_source


@pytest.fixture(scope="module")
def batch(benchmark, face_model):
    """A mixed batch, on the device and augmented."""
    sources = [embedded_source(benchmark, "identity"), embedded_source(benchmark, "landmark")]
    module = MixedDataModule(sources, [0.5, 0.5], face_model.num_identity, 8, steps=2, seed=0)
    return module.on_after_batch_transfer(next(iter(module.train_dataloader())), 0)
