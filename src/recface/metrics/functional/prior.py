"""Are the predicted parameters distributed as the face model says people are?"""

from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional.requirements import require_finite
from recface.metrics.functional.weights import weighted_mean

MIN_VARIANCE = 1e-12
COLLAPSE_ENERGY = 0.1


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

    Source: ours [O] (methods.md, "Metrics": prior distance).

    Args:
        parameters: (N, K) whitened.
        weights: (N,) of the rows.
    """
    require_finite("parameters", parameters)
    return weighted_mean(parameters.double().square().mean(dim=1), weights)


def warn_collapse(energy: float | Tensor, where: str = "the predicted shapes") -> str | None:
    """A one-line warning where the parameter energy is below 0.1, else None.

    Source: ours [O]; the collapse is a standing complaint about the field's tools (PEERS.md).

    Args:
        energy: a `parameter_energy`.
        where: what to name in the message.
    """
    if energy >= COLLAPSE_ENERGY:
        return None
    return (
        f"{where} have collapsed to the mean face (mean ||a||^2 / K is {energy:.3f}, ideal is 1, collapse below "
        f"{COLLAPSE_ENERGY}): lower the prior or Tikhonov weight, or train longer"
    )
