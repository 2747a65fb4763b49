import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recface.errors import RecfaceError
from recface.metrics import PHOTO_PROTOCOLS
from recface.metrics.functional import cross_verification


def faces(noise, people=12, modes=5, vertices=20):
    generator = torch.Generator().manual_seed(0)
    person = torch.randn(people, modes, generator=generator)
    basis = torch.randn(vertices, 3, modes, generator=generator)
    gallery = person + noise * torch.randn(people, modes, generator=generator)
    probes = person + noise * torch.randn(people, modes, generator=generator)
    return gallery, probes, basis, torch.linspace(3, 1, modes)


def verify(gallery, gallery_identity, probes, probe_identity, basis, sigma):
    chosen = torch.arange(len(gallery) + len(probes)) < len(gallery)
    parameters, identity = torch.cat([gallery, probes]), torch.cat([gallery_identity, probe_identity])
    return cross_verification(parameters, identity, chosen, basis, sigma)


def test_against_plain_loops_and_sklearn():
    gallery, probes, basis, sigma = faces(noise=0.8)
    identity = torch.arange(12)
    values = verify(gallery, identity, probes, identity.flip(0), basis, sigma)
    same, cosine, distance = [], [], []
    nearest = 0
    for i in range(12):
        rms = []
        for j in range(12):
            same.append(11 - i == j)
            a, b = (probes[i] * sigma).double().numpy(), (gallery[j] * sigma).double().numpy()
            cosine.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            offset = (basis.double() @ (probes[i] - gallery[j]).double()).numpy()
            distance.append(-np.linalg.norm(offset, axis=1).mean())
            rms.append(np.sqrt((offset**2).sum(1).mean()))
        nearest += np.argmin(rms) == 11 - i
    assert values["param_auc"] == pytest.approx(roc_auc_score(same, cosine), abs=1e-6)
    assert values["geometry_auc"] == pytest.approx(roc_auc_score(same, distance), abs=1e-6)
    assert values["rank1"] == pytest.approx(nearest / 12)
    assert set(values) == set(PHOTO_PROTOCOLS)


def test_equal_shapes_are_recognized_perfectly():
    gallery, probes, basis, sigma = faces(noise=0.0)
    identity = torch.arange(12)
    values = verify(gallery, identity, probes, identity, basis, sigma)
    assert values == {key: 1.0 for key in PHOTO_PROTOCOLS}


def test_strangers_alone_cannot_be_verified():
    gallery, probes, basis, sigma = faces(noise=0.1)
    with pytest.raises(RecfaceError, match="genuine"):
        verify(gallery, torch.arange(12), probes, torch.arange(12) + 50, basis, sigma)
