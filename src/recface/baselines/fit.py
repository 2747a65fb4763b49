"""Analysis by synthesis: each photo's parameters by gradient descent through the renderer, many photos at a time.

The classic alternative to a network (Blanz and Vetter, SIGGRAPH 1999; in its differentiable form such as Thies et al.,
"Face2Face", CVPR 2016): landmarks, pixels and priors, no training. Its terms are those of the networks here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from recface.baselines.configuration import FitSettings
from recface.baselines.given_landmarks import given_landmarks, landmark_pose
from recface.data import Source
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.losses import landmark_loss, pixel_loss, tikhonov_loss
from recface.render import Renderer, project, rotation_6d_to_matrix
from recface.run.evaluation import Predictor

AMBIENT = 0.85
"""Strength of the first step's even light: that of a typical photo."""
RATES = {
    "identity": 1.0,
    "expression": 0.3,
    "rotation": 0.2,
    "scale": 0.1,
    "translation": 0.1,
    "light": 0.2,
    "albedo": 1.0,
}
"""Step of each kind of parameter as a multiple of `rate`; Adam scales steps without regard to units."""


def start(face_model: FaceModel, albedo_model: AlbedoModel, marks: Tensor) -> dict[str, Tensor]:
    """Parameters of the first step: the mean face on landmarks (B, 68, 2) normalized, under even light.

    Returns:
        Leaf tensors that require gradients; `rotation` (B, 6) holds the first two columns of the matrix, `scale` (B,)
        the logarithm of the camera scale.
    """
    count = len(marks)
    points = face_model.landmarks(torch.zeros(1, face_model.num_identity))
    rotation, scale, translation = landmark_pose(points, marks)
    light = torch.zeros(count, 9, 3)
    light[:, 0] = AMBIENT
    values = {
        "identity": torch.zeros(count, face_model.num_identity),
        "expression": torch.full((count, face_model.num_expressions), 0.05),
        "rotation": rotation[..., :2].mT.flatten(1),
        "scale": scale.log(),
        "translation": translation,
        "light": light,
        "albedo": torch.zeros(count, albedo_model.num_modes),
    }
    return {name: value.clone().requires_grad_(True) for name, value in values.items()}


def place(face_model: FaceModel, values: Mapping[str, Tensor]) -> Tensor:
    """Projected landmarks (B, 68, 2) of parameters from `start`."""
    marks, rotation = face_model.landmarks(values["identity"], values["expression"]), values["rotation"]
    return project(marks, rotation_6d_to_matrix(rotation), values["scale"].exp(), values["translation"])[..., :2]


def fit_photos(
    face_model: FaceModel,
    albedo_model: AlbedoModel,
    renderer: Renderer,
    images: Tensor,
    marks: Tensor,
    settings: FitSettings,
    watch: Callable[[int, float], None] | None = None,
) -> dict[str, Tensor]:
    """Fit a batch: landmarks and priors first, then pixels as well. A photo's result does not depend on the others.

    Args:
        face_model: The 3DMM.
        albedo_model: Linear albedos.
        renderer: At the photos' size.
        images: (B, 3, S, S) in [0, 1].
        marks: (B, 68, 2) normalized.
        settings: Steps, rate and weights.
        watch: Called with the step and the loss per photo.

    Returns:
        The parameters, as `start`, without gradients.
    """
    values = start(face_model, albedo_model, marks)
    groups = [
        {"params": [value], "lr": settings.rate * RATES[name], "rate": RATES[name]} for name, value in values.items()
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    steps = settings.landmark_steps + settings.pixel_steps
    for step in range(steps):
        with_pixels = step >= settings.landmark_steps
        first, last = (settings.landmark_steps, steps) if with_pixels else (0, settings.landmark_steps)
        decay = 0.5 * (1 + np.cos(np.pi * (step - first) / max(1, last - first)))  # each part comes to rest
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * group["rate"] * (0.05 + 0.95 * decay)
        optimizer.zero_grad(set_to_none=True)
        loss = objective(face_model, albedo_model, renderer if with_pixels else None, images, marks, values, settings)
        (loss * len(images)).backward()  # the sum over photos, so that a photo's gradient is its own
        optimizer.step()
        with torch.no_grad():
            if face_model.expression_sigma is None:
                values["expression"].clamp_(0, 1)
        if watch is not None:
            watch(step, float(loss.detach()))
    return {name: value.detach() for name, value in values.items()}


def objective(
    face_model: FaceModel,
    albedo_model: AlbedoModel,
    renderer: Renderer | None,
    images: Tensor,
    marks: Tensor,
    values: Mapping[str, Tensor],
    settings: FitSettings,
) -> Tensor:
    """The weighted terms, averaged over photos; without a renderer those of landmarks and shape alone."""
    loss = settings.landmark * landmark_loss(place(face_model, values), marks)
    loss = loss + settings.tikhonov_identity * tikhonov_loss(values["identity"])
    loss = loss + settings.tikhonov_expression * tikhonov_loss(face_model.whitened_expression(values["expression"]))
    if renderer is None:
        return loss
    rendering = renderer(
        face_model.shape(values["identity"], values["expression"]),
        rotation_6d_to_matrix(values["rotation"]),
        values["scale"].exp(),
        values["translation"],
        albedo_model(values["albedo"]),
        values["light"],
    )
    loss = loss + settings.pixel * pixel_loss(rendering.image, images, rendering.mask)
    return loss + settings.tikhonov_albedo * tikhonov_loss(values["albedo"])


def build(face_model: FaceModel, albedo_model: AlbedoModel, settings: FitSettings, seed: int) -> Predictor:
    """The fit as a predictor; only the noise of its landmarks is random, by the seed."""

    def predict(source: Source) -> dict[str, Tensor]:
        given = given_landmarks(source, settings.noise, seed, "fit")
        renderer = Renderer(face_model.triangles, source.images.shape[-1])
        parts = []
        for first in range(0, len(source), settings.batch):
            rows = slice(first, first + settings.batch)
            images = torch.from_numpy(np.array(source.images[rows])).float() / 255
            marks = torch.from_numpy(given[rows]).float()
            values = fit_photos(face_model, albedo_model, renderer, images, marks, settings)
            parts.append(values | {"landmarks": place(face_model, values)})
        return {key: torch.cat([part[key] for part in parts]) for key in ("identity", "expression", "landmarks")}

    return predict
