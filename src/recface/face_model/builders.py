"""Sources of face models: a registry of builders, and a cache of the models they built."""

from importlib import import_module
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.face_model.model import FaceModel
from recface.face_model.npz import load, save
from recface.files.cache import cached, default_cache_dir

BUILDERS = {
    "makehuman": "recface.face_model.makehuman",
    "ict": "recface.face_model.ict",
    "bfm2009": "recface.face_model.bfm:BFM2009",
    "bfm2017": "recface.face_model.bfm:BFM2017",
    "bfm2019": "recface.face_model.bfm:BFM2019",
    "deep3d": "recface.face_model.bfm:DEEP3D",
    "flame2020": "recface.face_model.flame:FLAME2020",
    "flame2023": "recface.face_model.flame:FLAME2023",
    "surrey": "recface.face_model.surrey:SURREY",
    "npz": "recface.face_model.npz",
}
"""Modules, or objects in them, with `build(path) -> FaceModel`, imported when first used. Where they also have
`VERSION` and `sources(path) -> str`, a checksum of the inputs, the built model is cached."""


def builder_of(name: str) -> Any:
    """The builder under a key of `BUILDERS`."""
    module, _, attribute = BUILDERS[name].partition(":")
    builder = import_module(module)
    return getattr(builder, attribute) if attribute else builder


def get(name: str, path: str | Path | None = None, cache_dir: str | Path | None = None) -> FaceModel:
    """Load a face model by name, building it the first time.

    A built model is kept as `<cache_dir>/face_model/<name>-v<builder version>-<source checksum>.npz`: a change of the
    code (its version) or of the source data builds anew. Of several processes one builds, and the others wait.

    Args:
        name: A key of `BUILDERS`.
        path: Source of the data, where the builder needs one.
        cache_dir: Cache folder; by default `default_cache_dir`.

    Returns:
        The face model, on the CPU.

    Raises:
        RecfaceError: Unknown name, missing path, or unusable source data.
    """
    if name not in BUILDERS:
        raise RecfaceError(f"no face model '{name}': set face_model.name to one of {', '.join(BUILDERS)}")
    builder = builder_of(name)
    if not hasattr(builder, "sources"):
        built: FaceModel = builder.build(path)
        return built
    folder = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    target = folder / "face_model" / f"{name}-v{builder.VERSION}-{builder.sources(path)}.npz"
    return cached(target, lambda: _kept(target, name), lambda: save(builder.build(path), target))


def _kept(target: Path, name: str) -> FaceModel | None:
    """A model from the cache; None where it is missing, damaged, or another one."""
    try:
        model = load(target)
    except RecfaceError:
        return None
    return model if model.name == name else None
