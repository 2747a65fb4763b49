"""How tightly the photos of a person cluster, in parameter space or in geometry."""

import torch
from sklearn import metrics
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.geometry import geometry_coordinates
from recface.metrics.functional.requirements import require_finite, require_identities, require_same_length

__all__ = ["clustering", "geometry_coordinates", "nmcd"]

COINCIDENT = 1e-12  # squared distance of centres over squared norm of points


def _people(points: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's person (N,) as 0..R-1 and the people's centres (R, D), float64."""
    require_same_length(points=points, identities=identities)
    require_identities(identities)
    require_finite("points", points)
    people, person = torch.unique(identities, return_inverse=True)
    if not 2 <= len(people) < len(points):
        raise RecfaceError(
            f"clustering needs two people or more and a second photo of one; got {len(points)} photos of {len(people)}"
            "; add photos"
        )
    points = points.double()
    sums = torch.zeros(len(people), points.shape[1], dtype=points.dtype, device=points.device)
    return person, sums.index_add_(0, person, points) / torch.bincount(person)[:, None]


def nmcd(points: Tensor, identities: Tensor) -> float:
    """Normalised mean centre distance: mean_i ||x_i - c_y||^2 / mean_{j != k} ||c_j - c_k||^2; 0 is perfect.

    Source: methods.md, "SFM", metrics [C].

    Args:
        points: (N, D), such as whitened parameters, or geometry_coordinates.
        identities: (N,) int64, >= 0.

    Returns:
        The ratio; NaN where all centres coincide.

    Raises:
        RecfaceError: for mismatched sizes, points that are not finite, one person only, or a single photo per person.
    """
    person, centres = _people(points, identities)
    within = (points.double() - centres[person]).square().sum(dim=1).mean()
    # The mean over pairs j != k of squared distances is twice the unbiased variance.
    between = 2 * centres.var(dim=0, correction=1).sum()
    # What single precision leaves between equal predictions is no separation.
    resolved = between > COINCIDENT * points.double().square().sum(dim=1).mean()
    return float(within / between) if resolved else float("nan")


def clustering(points: Tensor, identities: Tensor) -> dict[str, float]:
    """The four clustering numbers.

    Source: methods.md, "SFM", metrics [C]; the first three as scikit-learn computes them.

    Args:
        points: (N, D), such as whitened parameters, or geometry_coordinates.
        identities: (N,) int64, >= 0.

    Returns:
        `silhouette` and `calinski_harabasz` (larger = better), `davies_bouldin` and `nmcd` (smaller = better). All NaN
        where the people's centres coincide: scikit-learn would call such a collapse a perfect Davies-Bouldin of 0.

    Raises:
        RecfaceError: as `nmcd`.
    """
    ratio = nmcd(points, identities)
    if ratio != ratio:
        return dict.fromkeys(("silhouette", "calinski_harabasz", "davies_bouldin", "nmcd"), ratio)
    x, labels = points.double().cpu().numpy(), identities.cpu().numpy()
    return {
        "silhouette": float(metrics.silhouette_score(x, labels)),
        "calinski_harabasz": float(metrics.calinski_harabasz_score(x, labels)),
        "davies_bouldin": float(metrics.davies_bouldin_score(x, labels)),
        "nmcd": ratio,
    }
