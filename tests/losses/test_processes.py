import pytest
import torch

from recface.losses.processes import by_itself, exchanged_sum, gathered, mean, summed, world_size


def test_one_process_computes_nothing_of_it() -> None:
    values = torch.randn(3, 2)
    with by_itself():
        assert world_size() == 1
    assert summed(values) is values and exchanged_sum(values) is values and gathered(values) is values
    assert mean(values).item() == pytest.approx(values.numpy().mean(), abs=1e-7)
