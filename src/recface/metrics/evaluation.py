"""All numbers of a test set from its predicted shape parameters."""

import torch
from torch import Tensor

from recface.metrics.functional.clustering import clustering
from recface.metrics.functional.faithfulness import truth_cosine, truth_rank1
from recface.metrics.functional.geometry import JointSpace, check_basis, geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.prior import parameter_energy, prior_kl
from recface.metrics.functional.recognition import decoded_recognition, recognition, true_references
from recface.metrics.functional.requirements import require_identities, require_modes, require_same_length
from recface.metrics.functional.shape_error import per_vertex_error
from recface.metrics.functional.verification import cosine_scores, verification, verification_pairs


def masked_basis(identity_basis: Tensor, identity_sigma: Tensor, mask: Tensor) -> Tensor:
    """The basis all geometry metrics take: rows of the masked vertices, from whitened parameters to mm.

    Source: ours.

    Args:
        identity_basis: (3V, K) orthonormal columns.
        identity_sigma: (K,) mm.
        mask: (V,) bool.

    Returns:
        (M, 3, K) mm for M masked vertices.
    """
    return (identity_basis * identity_sigma).reshape(len(mask), 3, -1)[mask]


def shape_errors(predicted: Tensor | None, true: Tensor, basis: Tensor, mean: Tensor, chunk: int = 128) -> Tensor:
    """Mean per-vertex error of each neutral shape, decoded a chunk at a time.

    Source: `functional.per_vertex_error`; chunks keep memory flat and the work inside the cache.

    Args:
        predicted: (N, K) whitened, or None for the mean face.
        true: (N, K) whitened.
        basis: (V, 3, K) mm, sigma-weighted rows of the masked vertices.
        mean: (V, 3) mm, masked.
        chunk: shapes held at a time.

    Returns:
        (N,) mm.
    """
    flat = basis.reshape(-1, basis.shape[2]).T.contiguous()
    origin = torch.zeros_like(true) if predicted is None else predicted
    errors = [
        per_vertex_error((a @ flat).view(len(a), -1, 3) + mean, (b @ flat).view(len(b), -1, 3) + mean)
        for a, b in zip(origin.split(chunk), true.split(chunk), strict=True)
    ]
    return torch.cat(errors)


def evaluate_shapes(
    predicted: Tensor,
    identity: Tensor,
    basis: Tensor,
    mean: Tensor,
    sigma: Tensor,
    true: Tensor | None = None,
    *,
    joint: JointSpace | None = None,
    yaw_abs: Tensor | None = None,
    expression_norm: Tensor | None = None,
    folds: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Every shape metric of a test set; `protocols.PROTOCOLS` says what each key means.

    Source: ours [O] (methods.md, "Metrics"); each number's own source is with its function.

    Args:
        predicted: (N, K) whitened.
        identity: (N,) int64, >= 0.
        basis: (V, 3, K) mm: `masked_basis`.
        mean: (V, 3) mm, masked.
        sigma: (K,) mm.
        true: (N, K) whitened, equal for all photos of a person. Without it `shape_error_mm`, `mean_face_error_mm`,
            `sir`, `rank1`, `truth_cosine` and `truth_rank1` are left out.
        joint: Given where `true` (N, L) are parameters of another face model, whose mean is then `mean`.
        yaw_abs: (N,) radians. With it and `expression_norm`, `sir_decoded` and `rank1_decoded` are added.
        expression_norm: (N,) norm of the expression coefficients.
        folds: of verification; takes at least two people each.
        seed: of the folds and impostor pairs.

    Returns:
        Metric key -> value. Clustering `_param` is on whitened parameters, `_geometry` on RMS vertex distance in mm;
        `param_` verification is by cosine on sigma-weighted parameters.

    Raises:
        RecfaceError: for mismatched sizes, values that are not finite, or too few people or photos.
    """
    require_same_length(predicted=predicted, identity=identity)
    require_identities(identity)
    predicted, basis, mean, sigma = (x.detach().float() for x in (predicted, basis, mean, sigma))
    check_basis(predicted, basis, "predicted parameters")
    require_modes("sigma (as one row)", sigma[None], predicted.shape[1])
    weighted = predicted * sigma

    metrics: dict[str, float] = {}
    if true is not None:
        require_same_length(predicted=predicted, true=true)
        true = true.detach().float()
        if joint is None:
            check_basis(true, basis, "true parameters")
            metrics |= _against_truth(predicted, identity, basis, mean, true)
            metrics["truth_cosine"] = truth_cosine(weighted, true * sigma)
        else:
            placed, truth = joint.predicted(predicted), joint.true(true)
            metrics |= _against_truth(placed, identity, joint.basis, mean, truth)
            metrics["truth_cosine"] = truth_cosine(placed.double() @ joint.root, truth.double() @ joint.root)
    pairs = verification_pairs(identity, folds, seed)
    distances = geometry_distance_pairs(predicted, pairs.first, pairs.second, basis)
    for space, scores in (("param", cosine_scores(weighted, pairs)), ("geometry", -distances)):
        values = verification(scores, pairs.same, pairs.fold)
        metrics |= {
            f"{space}_auc": values["auc"],
            f"{space}_acc": values["accuracy"],
            f"{space}_tar": values["tar_at_far_1"],
        }
    if yaw_abs is not None and expression_norm is not None:
        decoded = decoded_recognition(predicted, identity, yaw_abs, expression_norm, basis)
        metrics |= {f"{key}_decoded": value for key, value in decoded.items()}
    for space, points in (("param", predicted), ("geometry", geometry_coordinates(predicted, basis))):
        metrics |= {f"{key}_{space}": value for key, value in clustering(points, identity).items()}
    return metrics | {"prior_kl": prior_kl(predicted), "param_energy": parameter_energy(predicted)}


def _against_truth(predicted: Tensor, identity: Tensor, basis: Tensor, mean: Tensor, true: Tensor) -> dict[str, float]:
    """The metrics that need the true shapes."""
    people, references = true_references(identity, true)
    recognised = recognition(predicted, identity, references, people, basis)
    return {
        "shape_error_mm": float(shape_errors(predicted, true, basis, mean).double().mean()),
        "mean_face_error_mm": float(shape_errors(None, true, basis, mean).double().mean()),
        **recognised,
        "truth_rank1": truth_rank1(predicted, true, identity, basis),
    }
