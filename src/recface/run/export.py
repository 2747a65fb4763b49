"""Export a trained network: as the small file that `open_shipped` reads, or as ONNX for other programs."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from recface.errors import RecfaceError
from recface.files.atomic import replacing
from recface.networks.matmul_convolution import MatmulConv2d
from recface.run.evaluation import Network, validation_threshold
from recface.run.reconstruct import open_network, open_run
from recface.run.shipped import plain_network, write_shipped
from recface.tracking import read_record
from recface.variants import Reconstruction

ONNX_OUTPUTS = ("shape", "expression", "rotation", "scale", "translation", "vertices")


def export_network(run: Path, out: Path, cache: Path | None = None) -> Path:
    """Write the network of a finished run with its face model to one file, which `open_shipped` reads.

    The threshold that comes with it is calibrated on the validation people: `recface.run.shipped.About`.

    Args:
        run: Folder of the run.
        out: The file, replaced if it is there.
        cache: Folder of cached data; by default the run's own.

    Raises:
        RecfaceError: As `open_run`.
    """
    bench, variant = open_run(run, cache)
    network, record = Network(variant), read_record(run)
    about = {
        "experiment": record.experiment,
        "title": record.config["title"],
        "hash": record.hash,
        "seed": record.seed,
        "versions": record.versions,
        "license": network.face_model.licence,
        "threshold_mm": validation_threshold(network, bench, network.face_model),
    }
    return write_shipped(variant, about, out)


class OnnxNetwork(nn.Module):
    """A network as other programs call it: photos (N, 3, S, S) in [0, 1] to the tensors of `ONNX_OUTPUTS`.

    These are whitened shape parameters (N, K), expression coefficients (N, E), the camera of `recface.render.project`
    (N, 3, 3), (N,) and (N, 2), and neutral vertices (N, V, 3) in mm.
    """

    def __init__(self, variant: Reconstruction) -> None:
        super().__init__()
        plain = plain_network(variant)
        self.encoders, self.face_model = copy.deepcopy(plain.encoders), plain.face_model
        for module in self.encoders.modules():
            if isinstance(module, MatmulConv2d):
                module.__class__ = nn.Conv2d  # type: ignore[assignment]  # the same values, by an operator that ONNX has

    def forward(self, photo: Tensor) -> tuple[Tensor, ...]:
        """Predict."""
        found = self.encoders(photo)
        pose = (found.rotation, found.scale, found.translation)
        return found.identity, found.expression, *pose, self.face_model.shape(found.identity)


def export_onnx(run: Path | None, out: Path, cache: Path | None = None) -> Path:
    """Write a network as ONNX, for batches of any size N; `OnnxNetwork` tells its inputs and outputs.

    Args:
        run: Folder of a finished run; None for the network that comes with the package.
        out: The file, replaced if it is there.
        cache: Folder of cached data; by default the run's own.

    Raises:
        RecfaceError: As `open_run`, or the package `onnx` is missing.
    """
    try:
        import onnx  # noqa: F401  # torch needs it to write
    except ImportError:
        raise RecfaceError("export: ONNX needs the package onnx: pip install 'recface[onnx]'") from None
    bench, variant = open_network(run, cache)
    photo = torch.zeros(2, 3, *2 * [bench.config["scale"]["image_size"]])
    axes = {name: {0: "N"} for name in ("photo", *ONNX_OUTPUTS)}
    with replacing(out) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without further packages is an old one, and says so
        torch.onnx.export(
            OnnxNetwork(variant).eval(),
            (photo,),
            file.name,
            input_names=["photo"],
            output_names=list(ONNX_OUTPUTS),
            dynamic_axes=axes,
            dynamo=False,
        )
    return out
