"""All datasets that can be prepared, by name."""

from __future__ import annotations

from recface.errors import RecfaceError
from recface.prepare import identities, labels, scans, verification
from recface.prepare.dataset import Dataset

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset for room in (identities, labels, verification, scans) for dataset in room.DATASETS
}


def dataset_named(name: str) -> Dataset:
    """A dataset; RecfaceError, which lists the known ones, for another name."""
    if name not in DATASETS:
        raise RecfaceError(f"no dataset '{name}': known are {', '.join(DATASETS)}")
    return DATASETS[name]
