import torch

from recface.losses.basis import on_sphere, sphere_loss


def test_on_the_sphere_norms_are_the_radius_and_directions_stay():
    latents = torch.randn(5, 7)
    points = on_sphere(latents, 3.0)
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(torch.cosine_similarity(points, latents), torch.ones(5))
    assert sphere_loss(points, 3.0).item() < 1e-10
