"""How tightly the photos of a person cluster, in parameter space or in geometry."""

import torch
from sklearn import metrics
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.requirements import require_finite, require_identities, require_same_length
from recface.metrics.functional.weights import weighted_mean

COINCIDENT = 1e-12  # squared distance of centers over squared norm of points


def _people(points: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's person (N,) as 0..P-1 and the people's centers (P, D), float64."""
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


def nmcd(points: Tensor, identities: Tensor, weights: Tensor | None = None) -> Tensor:
    """Normalized mean center distance: mean_i ||x_i - c_y||^2 / mean_{j != k} ||c_j - c_k||^2; 0 is perfect.

    Source: methods.md, "SFM", metrics [C].

    Args:
        points: (N, D), such as whitened parameters, or geometry_coordinates.
        identities: (N,) int64, >= 0.
        weights: (P,) of the people. Copies of one person are no pair.

    Returns:
        The ratio; NaN where all centers coincide.

    Raises:
        RecfaceError: for mismatched sizes, points that are not finite, one person only, or a single photo per person.
    """
    person, centers = _people(points, identities)
    weights = centers.new_ones(len(centers)) if weights is None else weights
    within = weighted_mean((points.double() - centers[person]).square().sum(dim=1), weights[person])
    # The mean over pairs j != k of squared distances, by way of the variance.
    total = weights.sum()
    spread = weighted_mean((centers - weighted_mean(centers, weights)).square().sum(dim=1), weights)
    between = 2 * total.square() * spread / (total.square() - weights.square().sum())
    # What single precision leaves between equal predictions is no separation.
    resolved = between > COINCIDENT * points.double().square().sum(dim=1).mean()
    return within / between if resolved else torch.full_like(within, torch.nan)


def clustering(points: Tensor, identities: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """The four clustering numbers.

    Source: methods.md, "SFM", metrics [C]; the first three as scikit-learn computes them.

    Args:
        points: (N, D), such as whitened parameters, or geometry_coordinates.
        identities: (N,) int64, >= 0.
        weights: (P,) of the people, for NMCD alone: scikit-learn takes none.

    Returns:
        `silhouette` and `calinski_harabasz` (larger = better), `davies_bouldin` and `nmcd` (smaller = better). All NaN
        where the people's centers coincide: scikit-learn would call such a collapse a perfect Davies-Bouldin of 0.

    Raises:
        RecfaceError: as `nmcd`.
    """
    ratio = nmcd(points, identities, weights)
    if ratio.isnan():
        return dict.fromkeys(("silhouette", "calinski_harabasz", "davies_bouldin", "nmcd"), ratio)
    x, labels = points.double().cpu().numpy(), identities.cpu().numpy()
    scores = (metrics.silhouette_score, metrics.calinski_harabasz_score, metrics.davies_bouldin_score)
    found = {
        score.__name__.removesuffix("_score"): torch.tensor(float(score(x, labels)), dtype=torch.float64)
        for score in scores
    }
    return found | {"nmcd": ratio}
