import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recface.errors import RecfaceError
from recface.metrics import PHOTO_PROTOCOLS
from recface.metrics.functional import cross_verification, matched_groups


def faces(noise, people=12, modes=5, vertices=20):
    generator = torch.Generator().manual_seed(0)
    person = torch.randn(people, modes, generator=generator)
    basis = torch.randn(vertices, 3, modes, generator=generator)
    gallery = person + noise * torch.randn(people, modes, generator=generator)
    probes = person + noise * torch.randn(people, modes, generator=generator)
    return gallery, probes, basis, torch.linspace(3, 1, modes)


def verify(gallery, gallery_identity, probes, probe_identity, basis, sigma, groups=None):
    chosen = torch.arange(len(gallery) + len(probes)) < len(gallery)
    parameters, identity = torch.cat([gallery, probes]), torch.cat([gallery_identity, probe_identity])
    return cross_verification(parameters, identity, chosen, basis, sigma, groups=groups)


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
    assert set(values) == {key for key in PHOTO_PROTOCOLS if not key.startswith("matched_")}


def strict_tar(same, scores, far=0.01):
    """The best true accept rate of any threshold that accepts at most a share of the impostors, each score tried."""
    same, scores = np.array(same), np.array(scores)
    rates = [(np.mean(scores[same] > at), np.mean(scores[~same] > at)) for at in scores]
    return max(true for true, false in rates if false <= far)


def test_matched_impostors_against_plain_loops_and_sklearn():
    """Genuine pairs all count, impostors only where both photos are known to be of one sex and ethnicity."""
    people = 24
    gallery, probes, basis, sigma = faces(noise=0.8, people=people)
    gender = ["female", "male", ""] * 8
    ethnicity = ["black", "white", "white", "white"] * 5 + ["", "black", "white", ""]
    labels = {"gender": np.array(gender * 2), "ethnicity": np.array(ethnicity * 2)}
    identity, groups = torch.arange(people), matched_groups(labels, 2 * people)
    values = verify(gallery, identity, probes, identity, basis, sigma, groups)
    same, cosine, distance = [], [], []
    for i in range(people):
        for j in range(people):
            known = gender[i] and ethnicity[i]
            if i == j or (known and (gender[i], ethnicity[i]) == (gender[j], ethnicity[j])):
                same.append(i == j)
                a, b = (probes[i] * sigma).double().numpy(), (gallery[j] * sigma).double().numpy()
                cosine.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
                offset = (basis.double() @ (probes[i] - gallery[j]).double()).numpy()
                distance.append(-np.linalg.norm(offset, axis=1).mean())
    assert people < len(same) < people**2 / 2
    for space, scores in (("param", cosine), ("geometry", distance)):
        assert values[f"matched_{space}_auc"] == pytest.approx(roc_auc_score(same, scores), abs=1e-6)
        assert values[f"matched_{space}_tar"] == pytest.approx(strict_tar(same, scores))
    assert values["matched_geometry_auc"] != values["geometry_auc"]
    plain = verify(gallery, identity, probes, identity, basis, sigma)
    assert plain == {key: value for key, value in values.items() if not key.startswith("matched_")}
    assert set(values) == set(PHOTO_PROTOCOLS)


@pytest.mark.parametrize("labels", [{}, {"gender": np.array(["male"] * 24)}, {"gender": [""] * 24, "ethnicity": "x"}])
def test_without_both_labels_no_impostor_is_matched(labels):
    gallery, probes, basis, sigma = faces(noise=0.8)
    labels = {name: np.broadcast_to(cells, 24) for name, cells in labels.items()}
    groups, identity = matched_groups(labels, 24), torch.arange(12)
    assert groups.tolist() == [-1] * 24
    values = verify(gallery, identity, probes, identity, basis, sigma, groups)
    assert not any(key.startswith("matched_") for key in values)


def test_equal_shapes_are_recognized_perfectly():
    gallery, probes, basis, sigma = faces(noise=0.0)
    identity = torch.arange(12)
    values = verify(gallery, identity, probes, identity, basis, sigma, torch.arange(24) % 2)
    assert values == {key: 1.0 for key in PHOTO_PROTOCOLS}


def test_strangers_alone_cannot_be_verified():
    gallery, probes, basis, sigma = faces(noise=0.1)
    with pytest.raises(RecfaceError, match="genuine"):
        verify(gallery, torch.arange(12), probes, torch.arange(12) + 50, basis, sigma)
