"""How predictions are distributed: as the face model says people are, and clustered by person."""

import torch
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.requirements import require_finite, require_identities, require_same_length
from recface.metrics.functional.verification import pool
from recface.metrics.functional.weights import weighted_mean

MIN_VARIANCE = 1e-12
COLLAPSE_ENERGY = 0.1
COINCIDENT = 1e-12  # squared distance of centers over squared norm of points


def prior_kl(parameters: Tensor, weights: Tensor | None = None) -> Tensor:
    """KL divergence of each dimension's Gaussian (mean, population variance) to N(0, 1), averaged over dimensions.

    mean_k 1/2 (v_k + m_k^2 - 1 - log v_k); 0 is ideal.

    Source: the prior term of methods.md, "SIR" [A][C]; per dimension, and as a metric of a test set, ours [O].

    Args:
        parameters: (N, K) whitened, N >= 2.
        weights: (N,) of the rows.

    Returns:
        Nats. The variance is held above 1e-12, so that collapsed predictions give a large number, not infinity.

    Raises:
        RecfaceError: for fewer than two rows or values that are not finite.
    """
    if len(parameters) < 2:
        raise RecfaceError(f"the prior distance needs two samples or more to take a variance; got {len(parameters)}")
    require_finite("parameters", parameters)
    parameters = parameters.double()
    mean = weighted_mean(parameters, weights)
    variance = weighted_mean((parameters - mean).square(), weights).clamp_min(MIN_VARIANCE)
    return (variance + mean.square() - 1 - variance.log()).mean() / 2


def parameter_energy(parameters: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of ||a||^2 / K: 1 is as far from the mean face as people are, near 0 is collapse to the mean face.

    Source: ours [O] (methods.md, "Metrics": prior distance). Arguments as `prior_kl`.
    """
    require_finite("parameters", parameters)
    return weighted_mean(parameters.double().square().mean(dim=1), weights)


def warn_collapse(energy: float | Tensor, where: str = "the predicted shapes") -> str | None:
    """A one-line warning that names `where` if its `parameter_energy` is below 0.1, else None.

    Source: ours [O]; the collapse is a standing complaint about the field's tools.
    """
    if energy >= COLLAPSE_ENERGY:
        return None
    return (
        f"{where} have collapsed to the mean face (mean ||a||^2 / K is {energy:.3f}, ideal is 1, collapse below "
        f"{COLLAPSE_ENERGY}): lower the prior or Tikhonov weight, or train longer"
    )


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
    return person, pool(points, person)


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
    scores = {
        "silhouette": silhouette_score(x, labels),
        "calinski_harabasz": calinski_harabasz_score(x, labels),
        "davies_bouldin": davies_bouldin_score(x, labels),
    }
    return {key: torch.tensor(float(score), dtype=torch.float64) for key, score in scores.items()} | {"nmcd": ratio}
