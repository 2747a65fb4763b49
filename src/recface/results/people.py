"""Metrics person by person: the tasks over which the probability of improvement is taken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recface.results.pairs import impostors_nearer, pair_distances
from recface.results.photo_values import is_whole, photo_values, verification_spaces
from recface.results.replicates import Replicator
from recface.results.statistics import Array


def mean_of_people(values: Array, groups: Array, people: int) -> Array:
    """Mean of each person's photos.

    Args:
        values: (N,) one value a photo; NaN ones are left out.
        groups: (N,) person as 0 .. P-1.
        people: P.

    Returns:
        (P,) means, NaN for a person without a value.
    """
    valid = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        sums = np.bincount(groups[valid], weights=values[valid], minlength=people)
        return sums / np.bincount(groups[valid], minlength=people)


def auc_of_people(genuine: Array, impostor: Array, groups: Array, people: int) -> Array:
    """Each person's part of the area under the ROC curve: the person's genuine pairs against all impostor pairs.

    Weighted by the number of genuine pairs, their mean is the area itself.

    Args:
        genuine: (G,) distances of pairs of one person.
        impostor: (I,) distances of pairs of two people.
        groups: (G,) person of each genuine pair.
        people: P.

    Returns:
        (P,) probability that an impostor pair is farther apart than a genuine pair of this person, ties half; NaN for a
        person without a genuine pair.
    """
    return mean_of_people(1 - impostors_nearer(genuine, impostor) / max(1, len(impostor)), groups, people)


def nmcd_of_people(points: Array, groups: Array, people: int) -> Array:
    """Each person's part of NMCD: the spread of the person's photos over the mean distance of all centres.

    Args:
        points: (N, D).
        groups: (N,) person as 0 .. P-1, none empty.
        people: P.

    Returns:
        (P,) mean ||x - c_y||^2 of person y over mean_{i != j} ||c_i - c_j||^2; the mean over photos is NMCD.
    """
    centres = np.stack([mean_of_people(column, groups, people) for column in points.T], 1)
    spread = mean_of_people(np.square(points - centres[groups]).sum(1), groups, people)
    # The mean squared distance of two different centres is twice their variance with n - 1.
    with np.errstate(divide="ignore", invalid="ignore"):  # all shapes equal, as the mean face's: no such number
        return spread / (2 * centres.var(0, ddof=1).sum())


def values_of_people(replicator: Replicator, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Values person by person, of the metrics that are made of people's: the prior distance, for one, is not.

    Args:
        replicator: Of the block; it knows the photos and the pairs.
        arrays: Reduced predictions of one record.

    Returns:
        Metric to (P,); records of one signature have their people in the same order.
    """
    if not replicator.signature(arrays):
        return {}
    drawn = replicator.drawn(arrays)
    groups, people = drawn.groups, len(drawn.weights)
    values = photo_values(arrays, replicator.prefix)
    parameters = arrays[f"{replicator.prefix}_parameters"].astype(np.float64)
    result = {metric: mean_of_people(photos, groups, people) for metric, photos in values.items()}
    spaces = verification_spaces(arrays, parameters)
    if "geometry" in spaces:
        result["nmcd_geometry"] = nmcd_of_people(spaces["geometry"], groups, people)
    for name, points in spaces.items():
        result[f"{name}_auc"] = auc_of_people(*pair_distances(points, drawn.pairs), drawn.owners, people)
    if is_whole(arrays):
        result["nmcd_param"] = nmcd_of_people(parameters, groups, people)
    else:
        result.pop("param_energy")
    return result
