"""Verification protocols: ten-fold on a pair list, videos by their mean, and templates in the style of IJB.

Each is there under four similarities of two predictions, fixed in advance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

if TYPE_CHECKING:
    from torch import Tensor

    from recface.metrics.functional import Pairs


@dataclass(frozen=True)
class Similarity:
    """A similarity that a protocol fixes in advance.

    Attributes:
        name: part of the protocol's id.
        space: "parameters" or "vertices", the field of `Predictions` it reads.
        kind: "cos" or "euclid".
        text: for docstrings.
    """

    name: str
    space: Literal["parameters", "vertices"]
    kind: Literal["cos", "euclid"]
    text: str


SIMILARITIES = (
    Similarity("cos", "parameters", "cos", "cosine of the shape parameters as the method has them"),
    Similarity("euclid", "parameters", "euclid", "minus the Euclidean distance of the shape parameters"),
    Similarity(
        "geometry-cos",
        "vertices",
        "cos",
        "cosine of the neutral shapes' offsets from the mean of all shapes predicted (ours)",
    ),
    Similarity("geometry-euclid", "vertices", "euclid", "minus the mean per-vertex distance of neutral shapes (ours)"),
)


def pair_scores(predictions: Predictions, pairs: Pairs, similarity: Similarity) -> Tensor:
    """How alike the two predictions of each pair are.

    Args:
        predictions: N predictions with parameters, or with vertices (or a basis in their place).
        pairs: P pairs of rows.
        similarity: in which way.

    Returns:
        (P,) larger = more alike.
    """
    import torch

    from recface.metrics.functional.verification import linear_geometry_scores, mesh_scores, vector_scores

    cosine = similarity.kind == "cos"
    if similarity.space == "parameters":
        return vector_scores(tensor(predictions.parameters), pairs, cosine=cosine)
    if predictions.vertices is None:
        parameters, basis = tensor(predictions.parameters), tensor(predictions.basis)
        return linear_geometry_scores(parameters.float(), basis.float(), pairs, cosine=cosine)
    vertices = predictions.vertices

    def decode(rows: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(vertices[rows.numpy()], np.float32))

    return mesh_scores(decode, len(predictions), pairs, cosine=cosine)


def tensor(values: np.ndarray | None) -> Tensor:
    """A field of predictions as a tensor of its own."""
    import torch

    assert values is not None, "the protocol's needs are checked before it is asked"
    return torch.from_numpy(np.array(values))


def pairs_of(truth: Truth) -> Pairs:
    """The pair list, as rows, for the functional metrics.

    Raises:
        RecfaceError: The truth has no pair list, or a fold lacks genuine or impostor pairs.
    """
    import torch

    from recface.metrics.functional import Pairs

    table = truth.pairs
    if table is None:
        raise RecfaceError(f"{truth.where}: this protocol needs a pair list; give pairs.csv (docs/protocols.md)")
    kinds = table.groupby("fold")["same"].agg(["sum", "size"])
    poor = kinds.index[(kinds["sum"] == 0) | (kinds["sum"] == kinds["size"])]
    if len(poor):
        genuine, total = kinds.loc[poor[0]]
        raise RecfaceError(
            f"{truth.where}: fold {poor[0]} has {genuine} genuine pairs of {total}; each fold needs pairs of both kinds"
        )
    columns = (table[name].to_numpy() for name in ("first", "second", "same", "fold"))
    return Pairs(*(torch.from_numpy(np.array(column)) for column in columns))


FOLDS = 10
TEN_FOLD_VALUES = {
    "accuracy": "mean accuracy over ten folds, threshold from the other nine",
    "accuracy_error": "its standard error over the folds",
    "val": "genuine pairs accepted at FAR 1e-3, threshold from the other nine",
    "val_far": "false accept rate that came out of that threshold",
    "auc": "area under the ROC curve of all pairs",
}
LISTS = {
    "lfw": (6000, "Huang et al. 2007, LFW, View 2: pairs.txt"),
    "cfp-fp": (7000, "Sengupta et al. 2016, CFP, frontal-profile pairs"),
    "agedb-30": (6000, "Moschoglou et al. 2017, AgeDB, pairs 30 years apart"),
    "pairs": (0, "ours: any pair list in the form of LFW's"),
}


class TenFold(BenchmarkProtocol):
    """Base of the ten-fold protocols; subclasses name the list and the similarity."""

    unit = ""
    direction = "higher"
    columns: ClassVar[tuple[str, ...]] = ()
    values = TEN_FOLD_VALUES
    similarity: ClassVar[Similarity]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Score the pairs and measure; see the base class."""
        from recface.metrics.functional.verification import ten_fold

        pairs = pairs_of(truth)
        if (found := len(pairs.fold.unique())) != FOLDS:
            raise RecfaceError(f"{truth.where}: the pairs have {found} folds; the protocol has {FOLDS}")
        return ten_fold(pair_scores(predictions, pairs, self.similarity), pairs.same, pairs.fold)


FARS = {"tar_at_far_1e1": 1e-1, "tar_at_far_1e2": 1e-2, "tar_at_far_1e3": 1e-3, "tar_at_far_1e4": 1e-4}
RANKS = (1, 5, 10)


def pool_predictions(predictions: Predictions, groups: np.ndarray) -> Predictions:
    """One prediction a group: the mean of its rows, of parameters and of vertices.

    Args:
        predictions: N predictions.
        groups: N names.

    Returns:
        G predictions, whose ids are the names in ascending order.
    """
    import torch

    from recface.metrics.functional.verification import pool

    names, code = np.unique(groups.astype(str), return_inverse=True)
    fields: dict[str, Any] = {
        name: pool(tensor(values), torch.from_numpy(code)).numpy()
        for name in ("parameters", "vertices")
        if (values := getattr(predictions, name)) is not None
    }
    return replace(predictions, ids=tuple(names.tolist()), points=None, landmarks=None, **fields)


def _templates(predictions: Predictions, truth: Truth, by_media: bool) -> Predictions:
    """Pooled to templates; where media are given, to media first, so that a long video counts as one photo."""
    template = truth.table["template"].astype(str).to_numpy()
    if not by_media:
        return pool_predictions(predictions, template)
    media = truth.table["media"].astype(str).to_numpy()
    both = np.array([f"{t}\t{m}" for t, m in zip(template, media, strict=True)])
    pooled = pool_predictions(predictions, both)
    return pool_predictions(pooled, np.array([name.split("\t")[0] for name in pooled.ids]))


def _as_rows(truth: Truth, ids: tuple[str, ...]) -> Truth:
    """Pairs of template names to pairs of rows."""
    if truth.pairs is None:
        return truth
    row = {name: index for index, name in enumerate(ids)}
    table = truth.pairs.assign(
        first=truth.pairs["first"].map(row).astype(np.int64), second=truth.pairs["second"].map(row).astype(np.int64)
    )
    return replace(truth, pairs=table)


class VideoTenFold(TenFold):
    """Base of the YTF protocols."""

    columns = ("template",)
    values = TEN_FOLD_VALUES
    source = "Wolf et al. 2011, YTF; mean vector a video (docs/methods.md)"
    pairs = 5000
    templates = True

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Pool, then as every ten-fold protocol."""
        pooled = _templates(predictions, truth, by_media=False)
        return super().evaluate(pooled, _as_rows(truth, pooled.ids))


class TemplateVerification(BenchmarkProtocol):
    """Base of IJB-style verification: TAR at FAR over a list of template pairs."""

    source = "Whitelam et al. 2017, IJB-B; Maze et al. 2018, IJB-C: 1:1 verification"
    unit = ""
    direction = "higher"
    columns = ("template", "media")
    values: ClassVar[dict[str, str]] = {
        name: f"true accept rate at FAR {far:g}; NaN with too few impostor pairs"
        for name, far in sorted(FARS.items(), reverse=True)
    } | {"auc": "area under the ROC curve"}
    pairs = 0
    templates = True
    similarity: ClassVar[Similarity]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Pool, score, measure; see the base class."""
        from recface.metrics.functional import auc, tar_at_far

        pooled = _templates(predictions, truth, by_media=True)
        pairs = pairs_of(_as_rows(truth, pooled.ids))
        scores = pair_scores(pooled, pairs, self.similarity)
        impostors = int((~pairs.same).sum())
        return {
            name: float(tar_at_far(scores, pairs.same, far)) if impostors * far >= 1 else float("nan")
            for name, far in sorted(FARS.items(), reverse=True)
        } | {"auc": float(auc(scores, pairs.same))}


class TemplateIdentification(BenchmarkProtocol):
    """Base of IJB-style closed-set identification."""

    source = "Klare et al. 2015, IJB-A; Maze et al. 2018, IJB-C: closed-set 1:N identification"
    unit = ""
    direction = "higher"
    columns = ("template", "media", "identity", "role")
    values: ClassVar[dict[str, str]] = {f"rank_{k}": f"own gallery template among the {k} most alike" for k in RANKS}
    templates = True
    similarity: ClassVar[Similarity]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Pool, score every probe against the gallery, measure; see the base class."""
        import torch

        from recface.metrics.functional import Pairs
        from recface.metrics.functional.verification import identification

        pooled = _templates(predictions, truth, by_media=True)
        facts = truth.table[["template", "identity", "role"]].astype(str).drop_duplicates()
        if (twice := facts["template"].duplicated()).any():
            raise RecfaceError(
                f"{truth.where}: template {facts['template'][twice].iloc[0]} has two identities or two roles"
            )
        facts = facts.set_index("template").loc[list(pooled.ids)]
        if (wrong := ~facts["role"].isin(["gallery", "probe"])).any():
            raise RecfaceError(
                f"{truth.where}: template {facts.index[wrong][0]} has role {facts['role'][wrong].iloc[0]!r}; "
                "roles are gallery and probe"
            )
        identity = torch.from_numpy(np.unique(facts["identity"].to_numpy(str), return_inverse=True)[1])
        is_gallery = torch.from_numpy((facts["role"] == "gallery").to_numpy(bool, copy=True))
        gallery, probe = is_gallery.nonzero().flatten(), (~is_gallery).nonzero().flatten()
        if not len(gallery) or not len(probe):
            raise RecfaceError(f"{truth.where}: {len(gallery)} gallery and {len(probe)} probe templates; needs both")
        first, second = torch.cartesian_prod(probe, gallery).T
        pairs = Pairs(first, second, identity[first] == identity[second], torch.zeros_like(first))
        scores = pair_scores(pooled, pairs, self.similarity).view(len(probe), len(gallery))
        rates = identification(scores, identity[probe], identity[gallery], RANKS)
        return {f"rank_{k}": float(rate) for k, rate in zip(RANKS, rates, strict=True)}


def _register(name: str, base: Any, first: str, source: str, note: str = "", pairs: int | None = None) -> None:
    """Register a family of protocols: one for each similarity."""
    for similarity in SIMILARITIES:
        document = f"""{first}

    Source: {source}{note}. Alignment: none; neutral shapes are compared as the method gives them. Crop: all vertices
    given, or the face region of the face model named. Similarity: {similarity.text}. Unit: rates in [0, 1].
    """
        members = {
            "__doc__": document,
            "__module__": __name__,
            "id": f"{name}-{similarity.name}/v1",
            "source": source,
            "needs": (similarity.space,),
            "similarity": similarity,
        } | ({} if pairs is None else {"pairs": pairs})
        register(type(f"{name}-{similarity.name}".title().replace("-", ""), (base,), members))


for _name, (_count, _source) in LISTS.items():
    _length = f"{_count:,} pairs" if _count else "pairs of any number"
    _register(
        f"{_name}-10fold",
        TenFold,
        f"Verification of {_name}: {_length} in ten folds, in the file's order.",
        _source,
        "; threshold and VAL at FAR 1e-3 from the other nine folds (methods.md; without interpolation, ours)",
        _count,
    )
_POOLED = "A template is the mean of its media, a medium the mean of its frames."
for _name, _base, _first in (
    (
        "ytf-10fold",
        VideoTenFold,
        "Verification of YTF: 5,000 pairs of videos in ten folds; a video is the mean of its frames.",
    ),
    (
        "ijb-verification",
        TemplateVerification,
        f"Verification of template pairs: TAR at FAR. {_POOLED}",
    ),
    (
        "ijb-identification",
        TemplateIdentification,
        f"Closed-set identification of templates. {_POOLED}",
    ),
):
    _register(_name, _base, _first, _base.source)
