import copy

import torch
from torch import nn

from recface.variants.batch_norm import synchronize_batch_norms


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_a_network_keeps_the_form_of_its_state_and_one_process_its_values() -> None:
    plain, photos = network(), torch.randn(5, 3, 8, 8)
    on_cpu, on_cuda = copy.deepcopy(plain), copy.deepcopy(plain)
    synchronize_batch_norms(on_cpu, cuda=False)
    synchronize_batch_norms(on_cuda, cuda=True)
    assert on_cpu.state_dict().keys() == on_cuda.state_dict().keys() == plain.state_dict().keys()
    assert isinstance(on_cuda[1], nn.SyncBatchNorm) and on_cuda[1].weight.shape == (4,)
    assert on_cpu(photos).equal(plain(photos))
    assert on_cpu[1].running_var.equal(plain[1].running_var)
