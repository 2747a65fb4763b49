"""What a run was made with: the commit and the packages."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "lightning",
    "timm",
    "kornia",
    "torchmetrics",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "hydra-core",
    "omegaconf",
    "anny",
    "easypytorch3d",
    "wandb",
)


def git_state(folder: str | Path | None = None) -> dict[str, Any]:
    """Commit of the code, and whether it was changed since.

    `results/` does not count as a change: a run writes there itself.

    Args:
        folder: Any folder of the repository; by default the one that holds this file.

    Returns:
        `{"commit": 40 hex digits or None, "dirty": bool}`; None outside a repository.
    """
    folder = Path(folder) if folder is not None else Path(__file__).resolve().parents[3]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    changes = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
    return {"commit": commit, "dirty": bool(changes)}


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of the installed ones among these packages, read without importing any."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
