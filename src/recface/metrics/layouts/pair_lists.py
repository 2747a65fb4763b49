"""Pairs of photos as their authors give them: LFW's lists, and InsightFace's verification files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recface.errors import RecfaceError
from recface.files.verification_bin import read_verification_bin
from recface.metrics.layouts.found import first_found, only_file
from recface.metrics.protocols import BenchmarkProtocol, Truth
from recface.metrics.readers.match import parts_of
from recface.metrics.readers.pairs import FOLDS, consecutive_folds, read_pairs, read_people, read_view1
from recface.metrics.readers.truth import require_length, truth_of_pairs

if TYPE_CHECKING:
    import pandas as pd

LFW_ASK = "LFW's lists are pairs.txt, pairsDevTrain.txt, pairsDevTest.txt and people.txt of its site"


def lfw_truth(path: Path, protocol: BenchmarkProtocol, ids: Sequence[str]) -> Truth:
    """LFW: `pairs.txt`, or for View 1 `pairsDevTrain.txt` and `pairsDevTest.txt`, in its folder.

    The lists of people (people.txt; peopleDevTrain.txt and peopleDevTest.txt), where they are, must know each photo of
    a pair, in the pair's fold.

    Args:
        path: The folder with the lists.
        protocol: View 1 or View 2.
        ids: Unused.

    Raises:
        RecfaceError: A list is missing, damaged or of another length, or the lists of people contradict it.
    """
    view1 = protocol.id.startswith("lfw-view1")
    names = ("pairsDevTrain.txt", "pairsDevTest.txt") if view1 else ("pairs.txt",)
    lists = [first_found(path, (name,), LFW_ASK) for name in names]
    pairs = read_view1(*lists) if view1 else read_pairs(lists[0])
    require_length(pairs, protocol, str(path))
    people = [path / name for name in (("peopleDevTrain.txt", "peopleDevTest.txt") if view1 else ("people.txt",))]
    if all(file.is_file() for file in people):
        known = [read_people(file) for file in people]
        folds = {
            name: (fold if view1 else each[0], each[1]) for fold, of in enumerate(known) for name, each in of.items()
        }
        require_people(pairs, folds, [str(file) for file in lists])
    return truth_of_pairs(pairs, path, ", ".join(map(str, lists)))


def require_people(pairs: pd.DataFrame, people: dict[str, tuple[int, int]], lists: list[str]) -> None:
    """Raise RecfaceError for the first pair that is not of known photos of the pair's fold."""
    for first, second, fold, line in pairs[["first", "second", "fold", "line"]].itertuples(index=False):
        for photo in (first, second):
            name, _, number = photo.rpartition("_")
            of, count = people.get(name, (-1, 0))
            if of != fold or not 1 <= int(number) <= count:
                where = lists[fold] if len(lists) > 1 else lists[0]
                raise RecfaceError(
                    f"{where}: line {line}: {photo} is not a photo of fold {fold} in the list of people beside it; "
                    "get both lists again"
                )


def bin_truth(path: Path, protocol: BenchmarkProtocol, ids: Sequence[str]) -> Truth:
    """A verification file of InsightFace: its pairs, in ten folds in the file's order.

    Args:
        path: The file, such as lfw.bin, or a folder with this one.
        protocol: Any on pairs in ten folds.
        ids: Of the predictions: the number of the photo in the file, from 0, with or without zeros before it; where
            there are several files, in a folder of the file's name.

    Raises:
        RecfaceError: The file cannot be read, names code, or has too few pairs.
    """
    import pandas as pd

    file = path if path.is_file() else only_file(first_found(path, ("",), "give it"), (".bin",), "name the file itself")
    _, same = read_verification_bin(file)
    if len(same) < 2 * FOLDS:
        raise RecfaceError(f"{file}: {len(same)} pairs are too few for ten folds of two pairs or more")
    of_file = [given for given in ids if parts_of(given)[-2:-1] == (file.stem,)]  # predictions of several files at once
    stems = {given: parts_of(given)[-1] for given in of_file or ids}
    numbers = {int(stem): given for given, stem in stems.items() if stem.isdecimal() and stem.isascii()}
    names = [numbers.get(row, f"{row:06d}") for row in range(2 * len(same))]
    pairs = pd.DataFrame({"first": names[::2], "second": names[1::2], "same": same})
    return truth_of_pairs(pairs.assign(fold=consecutive_folds(len(same)), line=0), file.parent, str(file))
