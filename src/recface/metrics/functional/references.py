"""What a predicted shape is compared with: the true shape of each person, or a photo that stands in for it."""

import torch
from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional._checks import require_finite, require_identities, require_same_length


def reference_photos(identities: Tensor, yaw_abs: Tensor, expression_norm: Tensor) -> Tensor:
    """The most frontal, most neutral photo of each person, to stand in for an unknown true shape.

    Source: ours; "most" is by max(0, cos yaw) exp(-||expression|| / 3), the weight with which SIR's centres count a
    photo (methods.md, "SIR": weighted centre [C]). Leave these rows out of the probes.

    Args:
        identities: (N,) int64, >= 0.
        yaw_abs: (N,) radians.
        expression_norm: (N,) norm of the expression coefficients.

    Returns:
        (R,) int64 rows, one per person, in ascending order of identity; the first row among equals.

    Raises:
        RecfaceError: for mismatched sizes, an unknown identity, or when no person has a second photo.
    """
    size = require_same_length(identities=identities, yaw_abs=yaw_abs, expression_norm=expression_norm)
    require_identities(identities)
    people, person = torch.unique(identities, return_inverse=True)
    if len(people) == size:
        raise RecfaceError("every person has a single photo, so none is left to compare with its reference; add photos")
    weight = yaw_abs.double().cos().clamp_min(0) * torch.exp(-expression_norm.double() / 3)
    require_finite("yaw and expression of the photos", weight)
    order = weight.argsort(descending=True, stable=True)
    order = order[person[order].argsort(stable=True)]  # by person, best photo first
    counts = torch.bincount(person, minlength=len(people))
    return order[counts.cumsum(0) - counts]


def true_references(identities: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """One true shape per person, taken from a true shape per photo.

    Source: ours (methods.md, "Metrics").

    Args:
        identities: (N,) int64, >= 0.
        true: (N, K) parameters, equal for all photos of a person.

    Returns:
        (R,) ascending identities and their (R, K) parameters.

    Raises:
        RecfaceError: where two photos of a person disagree.
    """
    require_same_length(identities=identities, true=true)
    require_identities(identities)
    people, person = torch.unique(identities, return_inverse=True)
    order = person.argsort(stable=True)
    counts = torch.bincount(person, minlength=len(people))
    parameters = true[order[counts.cumsum(0) - counts]]
    wrong = (~torch.isclose(true, parameters[person], rtol=1e-3, atol=1e-4).all(dim=1)).nonzero().flatten()
    if len(wrong):
        raise RecfaceError(
            f"true parameters: row {int(wrong[0])} differs from another photo of person {int(identities[wrong[0]])}; "
            "a person has one neutral shape"
        )
    return people, parameters
