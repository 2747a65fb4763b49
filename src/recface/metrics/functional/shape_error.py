"""Reconstruction error where the true correspondence is known."""

from torch import Tensor

from recface.errors import RecfaceError
from recface.metrics.functional._checks import require_finite, require_same_length
from recface.metrics.functional.alignment import rigid_align, similarity_align


def per_vertex_error(
    predicted: Tensor, target: Tensor, mask: Tensor | None = None, *, with_scale: bool = True
) -> Tensor:
    """Mean per-vertex distance after similarity (or rigid) alignment.

    Source: the mean per-vertex error of methods.md, "SFM", metrics [C]; taking it on the face mask only, after a
    similarity alignment of that mask, is ours. With known correspondence no ICP is needed, whose errors correlate
    weakly with the true ones.

    Args:
        predicted: (B, V, 3) mm.
        target: (B, V, 3) mm, or (V, 3) for all.
        mask: (V,) bool, the vertices that are aligned and measured; None takes all.
        with_scale: whether the alignment may change the size.

    Returns:
        (B,) mm.

    Raises:
        RecfaceError: for mismatched sizes, or values that are not finite (the row is named).
    """
    if target.ndim == 3:
        require_same_length(predicted=predicted, target=target)
    if mask is not None:
        if mask.shape != predicted.shape[1:2]:
            raise RecfaceError(f"mask has shape {tuple(mask.shape)}, expected ({predicted.shape[1]},) as the vertices")
        predicted, target = predicted[:, mask], target[..., mask, :]
    require_finite("predicted vertices", predicted)
    require_finite("target vertices", target)
    align = similarity_align if with_scale else rigid_align
    return (align(predicted, target) - target).norm(dim=-1).mean(dim=-1)
