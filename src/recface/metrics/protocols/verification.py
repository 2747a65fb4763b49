"""Verification on pair lists, of videos, and of templates in the style of IJB, each under four fixed similarities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

if TYPE_CHECKING:
    from torch import Tensor

    from recface.metrics.functional import Pairs


class Similarity(NamedTuple):
    """A cosine or minus a distance, in the space that a field of `Predictions` gives; its name is part of the id."""

    name: str
    space: Literal["parameters", "vertices"]
    cosine: bool
    text: str


_OFFSETS = "cosine of the neutral shapes' offsets from the mean of all shapes predicted (ours)"
SIMILARITIES = (
    Similarity("cos", "parameters", True, "cosine of the shape parameters as the method has them"),
    Similarity("euclid", "parameters", False, "minus the Euclidean distance of the shape parameters"),
    Similarity("geometry-cos", "vertices", True, _OFFSETS),
    Similarity("geometry-euclid", "vertices", False, "minus the mean per-vertex distance of neutral shapes (ours)"),
)


def pair_scores(predictions: Predictions, pairs: Pairs, similarity: Similarity) -> Tensor:
    """(P,) how alike the two predictions of each pair are, larger is more; a basis stands in for absent vertices."""
    import torch

    from recface.metrics.functional.verification import linear_geometry_scores, mesh_scores, vector_scores

    cosine = similarity.cosine
    if similarity.space == "parameters":
        return vector_scores(predictions.tensor("parameters"), pairs, cosine=cosine)
    if predictions.vertices is None:
        parameters, basis = predictions.tensor("parameters"), predictions.tensor("basis")
        return linear_geometry_scores(parameters.float(), basis.float(), pairs, cosine=cosine)
    vertices = predictions.vertices

    def decode(rows: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(vertices[rows.numpy()], np.float32))

    return mesh_scores(decode, len(predictions), pairs, cosine=cosine)


def pairs_of(truth: Truth, templates: tuple[str, ...] | None = None) -> Pairs:
    """The pair list, as rows of the table or of the templates that it names.

    Raises:
        RecfaceError: The truth has no pair list, or a fold lacks genuine or impostor pairs.
    """
    import pandas as pd
    import torch

    from recface.metrics.functional import Pairs

    table = truth.pairs
    if table is None:
        raise RecfaceError(f"{truth.where}: this protocol needs a pair list; give pairs.csv (docs/protocols.md)")
    if templates is not None:
        row_of = pd.Index(templates).get_indexer
        table = table.assign(first=row_of(table["first"]), second=row_of(table["second"]))
    kinds = table.groupby("fold")["same"].agg(["sum", "size"])
    poor = kinds.index[(kinds["sum"] == 0) | (kinds["sum"] == kinds["size"])]
    if len(poor):
        genuine, total = kinds.loc[poor[0]]
        raise RecfaceError(
            f"{truth.where}: fold {poor[0]} has {genuine} genuine pairs of {total}; each fold needs pairs of both kinds"
        )
    columns = (table[name].to_numpy() for name in ("first", "second", "same", "fold"))
    return Pairs(*(torch.from_numpy(np.array(column)) for column in columns))


def pool_predictions(predictions: Predictions, groups: np.ndarray) -> Predictions:
    """One prediction a group: its mean parameters and vertices; `groups` (N,) are names, in ascending order the ids."""
    import torch

    from recface.metrics.functional.verification import pool

    names, code = np.unique(groups.astype(str), return_inverse=True)
    fields: dict[str, Any] = {
        name: pool(predictions.tensor(name), torch.from_numpy(code)).numpy()
        for name in ("parameters", "vertices")
        if getattr(predictions, name) is not None
    }
    return replace(predictions, ids=tuple(names.tolist()), points=None, landmarks=None, **fields)


class _Verification(BenchmarkProtocol):
    direction = "higher"
    similarity: ClassVar[Similarity]

    def pooled(self, predictions: Predictions, truth: Truth) -> Predictions:
        """One prediction a template; of a protocol on media, these are pooled first: a long video counts as a photo."""
        import pandas as pd

        names = truth.table["template"].astype(str)
        if "media" in self.columns:
            of_media = names + "\t" + truth.table["media"].astype(str)
            predictions = pool_predictions(predictions, of_media.to_numpy())
            names = pd.Series(predictions.ids).str.partition("\t")[0]
        return pool_predictions(predictions, names.to_numpy())

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        if self.templates:
            predictions = self.pooled(predictions, truth)
        pairs = pairs_of(truth, predictions.ids if self.templates else None)
        return self.rates(pair_scores(predictions, pairs, self.similarity), pairs)

    def rates(self, scores: Tensor, pairs: Pairs) -> dict[str, float]:
        """The protocol's numbers from the scores (P,) of its pairs."""
        raise NotImplementedError


class _TenFold(_Verification):
    folds = True
    values = {
        "accuracy": "mean accuracy over ten folds, threshold from the other nine",
        "accuracy_error": "its standard error over the folds",
        "val": "genuine pairs accepted at FAR 1e-3, threshold from the other nine",
        "val_far": "false accept rate that came out of that threshold",
        "auc": "area under the ROC curve of all pairs",
    }

    def rates(self, scores: Tensor, pairs: Pairs) -> dict[str, float]:
        from recface.metrics.functional.verification import ten_fold

        if (found := len(pairs.fold.unique())) != 10:
            raise RecfaceError(f"the pairs have {found} folds; the protocol has 10")
        return ten_fold(scores, pairs.same, pairs.fold)


class _View1(_Verification):
    folds = True
    values = {"accuracy": "accuracy on pairsDevTest.txt, threshold from pairsDevTrain.txt"}

    def rates(self, scores: Tensor, pairs: Pairs) -> dict[str, float]:
        from recface.metrics.functional.verification import fold_accuracies

        if pairs.fold.unique().tolist() != [0, 1]:
            raise RecfaceError("View 1 has two lists of pairs: give the folder of LFW with --layout lfw")
        return {"accuracy": float(fold_accuracies(scores, pairs.same, pairs.fold)[1])}


FARS = {"tar_at_far_1e4": 1e-4, "tar_at_far_1e3": 1e-3, "tar_at_far_1e2": 1e-2, "tar_at_far_1e1": 1e-1}
RANKS = (1, 5, 10)


class _TemplateVerification(_Verification):
    columns = ("template", "media")
    values = {
        name: f"true accept rate at FAR {far:g}; NaN with too few impostor pairs" for name, far in FARS.items()
    } | {"auc": "area under the ROC curve"}
    pairs = 0
    templates = True

    def rates(self, scores: Tensor, pairs: Pairs) -> dict[str, float]:
        from recface.metrics.functional import auc, tar_at_far

        impostors = int((~pairs.same).sum())
        return {
            name: float(tar_at_far(scores, pairs.same, far)) if impostors * far >= 1 else float("nan")
            for name, far in FARS.items()
        } | {"auc": float(auc(scores, pairs.same))}


class _TemplateIdentification(_Verification):
    columns = ("template", "media", "identity", "role")
    values = {f"rank_{k}": f"own gallery template among the {k} most alike" for k in RANKS}
    templates = True

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        import torch

        from recface.metrics.functional import Pairs
        from recface.metrics.functional.verification import identification

        pooled = self.pooled(predictions, truth)
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


def _register(name: str, base: Any, first: str, source: str, note: str = "", **members: Any) -> None:
    """Register a family of protocols: one for each similarity."""
    for similarity in SIMILARITIES:
        document = f"""{first}

    Source: {source}{note}. Alignment: none; neutral shapes are compared as the method gives them. Crop: all vertices
    given, or the face region of the face model named. Similarity: {similarity.text}. Unit: rates in [0, 1].
    """
        of_this = {
            "__doc__": document,
            "__module__": __name__,
            "id": f"{name}-{similarity.name}/v1",
            "source": source,
            "needs": (similarity.space,),
            "similarity": similarity,
        }
        register(type(f"{name}-{similarity.name}".title().replace("-", ""), (base,), of_this | members))


for _name, _count, _source in (
    ("lfw", 6000, "Huang et al. 2007, LFW, View 2: pairs.txt"),
    ("cfp-fp", 7000, "Sengupta et al. 2016, CFP, frontal-profile pairs"),
    ("agedb-30", 6000, "Moschoglou et al. 2017, AgeDB, pairs 30 years apart"),
    ("pairs", 0, "ours: any pair list in the form of LFW's"),
):
    _register(
        f"{_name}-10fold",
        _TenFold,
        f"Verification of {_name}: {f'{_count:,} pairs' if _count else 'pairs of any number'} in ten folds, in the "
        "file's order.",
        _source,
        "; threshold and VAL at FAR 1e-3 from the other nine folds (methods.md; without interpolation, ours)",
        pairs=_count,
    )
_register(
    "lfw-view1",
    _View1,
    "LFW's View 1, for development: 1,000 test pairs under the threshold that is best on 2,200 training pairs.",
    "Huang et al. 2007, LFW, View 1: pairsDevTrain.txt, pairsDevTest.txt",
    pairs=3200,
)
_register(
    "ytf-10fold",
    _TenFold,
    "Verification of YTF: 5,000 pairs of videos in ten folds; a video is the mean of its frames.",
    "Wolf et al. 2011, YTF; mean vector a video (docs/methods.md)",
    columns=("template",),
    pairs=5000,
    templates=True,
)
_POOLED = "A template is the mean of its media, a medium the mean of its frames."
_register(
    "ijb-verification",
    _TemplateVerification,
    f"Verification of template pairs: TAR at FAR. {_POOLED}",
    "Whitelam et al. 2017, IJB-B; Maze et al. 2018, IJB-C: 1:1 verification",
)
_register(
    "ijb-identification",
    _TemplateIdentification,
    f"Closed-set identification of templates. {_POOLED}",
    "Klare et al. 2015, IJB-A; Maze et al. 2018, IJB-C: closed-set 1:N identification",
)


@register
class InsightFaceFlip(_Verification):
    """Verification as InsightFace prints it ("Accuracy-Flip"): the parameters of a photo and of its mirror image added.

    Source: InsightFace's public code (verification.py). Alignment: none. Crop: none. Similarity: minus the squared
    Euclidean distance of the sums, scaled to unit length; thresholds 0, 0.01, ..., 3.99 from the other nine folds. The
    error is the standard deviation over the folds, where `pairs-10fold-cos` has the standard error, about a third of
    it. Unit: rates in [0, 1].
    """

    id = "insightface-flip-10fold/v1"
    source = "InsightFace's public code: Accuracy-Flip"
    needs = ("parameters", "mirrored")
    folds = True
    pairs = 0
    values = {
        "accuracy": "mean accuracy over ten folds, threshold from the other nine",
        "accuracy_std": "standard deviation over the folds",
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over the folds."""
        import torch

        from recface.metrics.functional.verification import insightface_accuracies

        self.require_needs(predictions)
        sums = predictions.tensor("parameters").double() + predictions.tensor("mirrored").double()
        unit = torch.nn.functional.normalize(sums)
        pairs = pairs_of(truth)
        distance = (unit[pairs.first] - unit[pairs.second]).square().sum(dim=1)
        found = insightface_accuracies(distance, pairs.same, pairs.fold)
        return {"accuracy": float(found.mean()), "accuracy_std": float(found.std(correction=0))}
