"""States of networks and optimizers on disk: plain dicts, read without running anything in them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from recface.errors import RecfaceError
from recface.files.atomic import replacing
from recface.files.guard import guarded, require_file, require_modest

State = dict[str, torch.Tensor]
REMEDY = "remove it and run the same command again"


def save_state(state: dict[str, Any], path: str | Path) -> None:
    """Write a plain dict, loadable with weights_only=True, atomically."""
    with replacing(path) as file:
        torch.save(state, file.name)  # writing into a Python file, an interrupt would surface as a RuntimeError


def load_state(path: str | Path, remedy: str = REMEDY) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        RecfaceError: The file is missing, damaged, no dict of numbers, or holds NaN or infinity.
    """
    with guarded(path, "checkpoint", remedy):
        with zipfile.ZipFile(path) as archive:  # torch.load also reads older forms, which nobody here wrote
            require_modest(archive, size := require_file(path))
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise ValueError(f"it must hold a dict, not a {type(content).__name__}")
        for name, tensor in tensors(content):
            if tensor.numel() * tensor.element_size() > max(size, tensor.untyped_storage().nbytes()):
                raise ValueError(f"{name} is larger than its storage")
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} holds NaN or infinity")
    return content


def tensors(content: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Dotted names and tensors of nested dicts and lists."""
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, (Mapping, list, tuple)):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            yield from tensors(value, f"{name}.{key}" if name else str(key))


def require_keys(content: Mapping[str, Any], keys: Iterable[str], path: str | Path) -> None:
    """Raise RecfaceError unless a checkpoint has all of these keys."""
    if missing := [key for key in keys if key not in content]:
        raise RecfaceError(f"{path}: lacks {', '.join(missing)}; {REMEDY}")


def require_same(state: Any, wanted: Mapping[str, Any], path: str | Path, remedy: str = "run it again") -> None:
    """Require that a file's tensors are exactly the wanted ones, by name and shape.

    Raises:
        RecfaceError: The first that is missing, of another shape, or of no use.
    """
    found = state if isinstance(state, Mapping) else {}
    for name in [*wanted, *found]:
        there, needed = _shape(found, name), _shape(wanted, name)
        if there is None or there != needed:
            what = f"lacks {name} {needed}" if there is None else f"{name} is {there}, the network's is {needed}"
            raise RecfaceError(f"{path}: {what}: the weights are those of another network; {remedy}")


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if isinstance(state.get(name), torch.Tensor) else None
