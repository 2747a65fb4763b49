"""The library from Python: faces from a 3DMM, a picture of two, distances between shapes, verification of predictions.

    python examples/shapes.py [OUT]

Takes a few seconds on one core, needs no data, and writes two_faces.png and the predictions to OUT (examples/out).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from recface.face_model import FaceModel, get
from recface.metrics.functional import per_vertex_error
from recface.metrics.protocols import BENCHMARKS
from recface.metrics.readers import match, read_predictions, read_truth
from recface.render import Renderer, euler_to_matrix

PEOPLE, PHOTOS = 40, 4


def picture(face_model: FaceModel, shapes: torch.Tensor, size: int = 192) -> Image.Image:
    """Render neutral shapes (B, V, 3) side by side, turned by 20 degrees, in gray under light from above."""
    count = len(shapes)
    centered = shapes - shapes.mean(dim=1, keepdim=True)
    light = torch.zeros(count, 9, 3)
    light[:, 0], light[:, 1], light[:, 2] = 0.7, 0.12, 0.2  # ambient, from above, from the camera
    rendering = Renderer(face_model.triangles, size)(
        vertices=centered,
        rotation=euler_to_matrix(torch.tensor([[0.0, np.radians(20.0), 0.0]] * count, dtype=torch.float32)),
        scale=torch.full((count,), 0.9 / float(centered.abs().max())),  # half images per mm
        translation=torch.zeros(count, 2),
        albedo=torch.full_like(shapes, 0.8),
        light=light,
    )
    pixels = torch.where(rendering.mask, rendering.image.clamp(0, 1), 1.0)
    return Image.fromarray((255 * torch.cat(list(pixels), dim=2).permute(1, 2, 0)).byte().numpy())


def toy_predictions(face_model: FaceModel, out: Path, noise: float = 0.5) -> tuple[Path, Path]:
    """Write predictions of a pretended method, each person's true parameters with noise, and a list of pairs.

    Returns:
        The folder of predictions and the CSV of pairs, in ten folds of different people.
    """
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(PEOPLE, face_model.num_identity, generator=generator)
    noisy = true.repeat_interleave(PHOTOS, 0)
    noisy = noisy + noise * torch.randn(noisy.shape, generator=generator)
    ids = [f"person{person:02d}_{photo}" for person in range(PEOPLE) for photo in range(PHOTOS)]
    folder = out / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "predictions.npz", ids=np.array(ids), vertices=face_model.shape(noisy).numpy())

    lines = ["first,second,same,fold"]
    for person in range(PEOPLE):
        first, other = PHOTOS * person, PHOTOS * (person ^ 1)  # the other one is of the same fold
        lines += [f"{ids[first]},{ids[first + k]},1,{person // 4}" for k in range(1, PHOTOS)]
        lines += [f"{ids[first]},{ids[other + k]},0,{person // 4}" for k in range(1, PHOTOS)]
    pairs = out / "pairs.csv"
    pairs.write_text("\n".join(lines) + "\n")
    return folder, pairs


def main(out: str = "examples/out") -> dict[str, float]:
    """Run the tour; returns its numbers."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)

    face_model = get("makehuman")  # the embedded head; built once, then cached
    print(f"{face_model.name}: {face_model.num_identity} shape parameters, {len(face_model.triangles):,} triangles")

    parameters = 1.5 * torch.randn(2, face_model.num_identity, generator=torch.Generator().manual_seed(3))
    shapes = face_model.shape(parameters)  # (2, V, 3) mm
    picture(face_model, shapes).save(folder / "two_faces.png")
    print(f"two faces: {folder / 'two_faces.png'}")

    region = face_model.face_mask
    distance = float((shapes[0] - shapes[1])[region].norm(dim=-1).mean())
    error = float(per_vertex_error(shapes[:1, region], shapes[1:, region]))
    print(f"they are {distance:.2f} mm apart as they lie, {error:.2f} mm after a similarity alignment")

    protocol = BENCHMARKS["pairs-10fold-geometry-euclid/v1"]
    predictions, pairs = toy_predictions(face_model, folder)
    matched = match(read_predictions(predictions), read_truth(pairs, protocol), protocol)
    numbers = protocol.evaluate(matched.predictions, matched.truth)
    print(f"{protocol.id}: accuracy {numbers['accuracy']:.3f}, AUC {numbers['auc']:.3f}")
    return {"distance_mm": distance, "error_mm": error, **numbers}


if __name__ == "__main__":
    main(*sys.argv[1:])
