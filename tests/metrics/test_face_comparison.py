import numpy as np
import torch

from recface.metrics.face_comparison import compare_faces


def test_the_distance_is_the_mean_of_a_loop_over_the_face(face_model):
    first, second = torch.randn(2, face_model.num_identity, generator=torch.Generator().manual_seed(0))
    found = compare_faces(first, second, face_model, threshold_mm=1e9)
    a, b = (face_model.shape(each[None])[0].double().numpy() for each in (first, second))
    apart = np.array([np.sqrt(((p - q) ** 2).sum()) for p, q in zip(a, b, strict=True)])
    np.testing.assert_allclose(found.error_map, apart, atol=1e-4)
    np.testing.assert_allclose(found.distance_mm, apart[face_model.face_mask.numpy()].mean(), atol=1e-4)
    assert found.same and not compare_faces(first, second, face_model, found.distance_mm - 1e-3).same
    assert compare_faces(first, first, face_model, 0.0).distance_mm < 1e-6
