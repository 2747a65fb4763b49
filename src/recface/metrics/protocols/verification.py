"""Ten-fold verification of a fixed pair list: LFW, CFP-FP, AgeDB-30, or any list of the same form."""

from __future__ import annotations

from typing import ClassVar

from recface.errors import RecfaceError
from recface.metrics.protocols.base import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.similarity import SIMILARITIES, Similarity, pair_scores, pairs_of

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
        from recface.metrics.functional.ten_fold import ten_fold

        pairs = pairs_of(truth)
        if (found := len(pairs.fold.unique())) != FOLDS:
            raise RecfaceError(f"{truth.where}: the pairs have {found} folds; the protocol has {FOLDS}")
        return ten_fold(pair_scores(predictions, pairs, self.similarity), pairs.same, pairs.fold)


def _ten_fold(name: str, count: int, source: str, similarity: Similarity) -> type[TenFold]:
    """The protocol of one list under one similarity."""
    length = f"{count:,} pairs" if count else "pairs of any number"
    document = f"""Verification of {name}: {length} in ten folds, in the file's order.

    Source: {source}; threshold and VAL at FAR 1e-3 from the other nine folds (methods.md; without interpolation, ours).
    Alignment: none; neutral shapes are compared as the method gives them. Crop: all vertices given, or the face region
    of the face model named. Similarity: {similarity.text}. Unit: rates in [0, 1].
    """
    members = {
        "__doc__": document,
        "__module__": __name__,
        "id": f"{name}-10fold-{similarity.name}/v1",
        "source": source,
        "needs": (similarity.space,),
        "pairs": count,
        "similarity": similarity,
    }
    return type(f"{name}-{similarity.name}".title().replace("-", ""), (TenFold,), members)


for _name, (_count, _source) in LISTS.items():
    for _similarity in SIMILARITIES:
        register(_ten_fold(_name, _count, _source, _similarity))
