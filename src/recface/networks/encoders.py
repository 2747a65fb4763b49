"""The SIR network: one shared extraction module and three encoders (shape, scene, albedo). methods.md, "Network"."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from recface.networks.backbone import Backbone, split_backbone
from recface.networks.matmul_convolution import use_matmul
from recface.render import rotation_6d_to_matrix

HEAD_GAIN = 2.0  # the heads learn faster than the rest by this factor
LIGHT_BANDS = 9  # spherical harmonics up to the second order
SCALE_FACTOR = 2.0  # the predicted scale stays within this factor of the initial one
HEAD_STD = 1e-3  # of the heads' initial weights: predictions start near neutral, yet differ from photo to photo


@dataclass(frozen=True)
class Coefficients:
    """The network's predictions for B photos.

    Attributes:
        identity: Whitened shape parameters (B,K).
        expression: Expression coefficients (B,E), in (0, 1) or signed, as the face model has them.
        rotation: Head to camera (B,3,3).
        scale: Half images per millimeter (B,).
        translation: In normalized image coordinates (B,2).
        light: Spherical-harmonics coefficients per color (B,9,3).
        albedo: Whitened albedo parameters (B,A).
    """

    identity: Tensor
    expression: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    light: Tensor
    albedo: Tensor

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.identity)

    def index(self, selection: Tensor | slice) -> Coefficients:
        """Coefficients of the photos that a mask (B,), indices (M,) or a slice selects."""
        return Coefficients(**{field.name: getattr(self, field.name)[selection] for field in fields(self)})


class Trunk(nn.Module):
    """The shared extraction module: RGB images (B,3,S,S) in [0, 1] to features (B,C,s,s).

    A frozen copy of it, `copy.deepcopy(encoders.trunk).eval().requires_grad_(False)`, serves as the network of the
    perceptual term.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone) -> None:
        """Keep the early stages of a backbone, and the image statistics that its published weights expect."""
        super().__init__()
        self.stages = use_matmul(backbone.trunk)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Features of normalized images."""
        return self.stages((image - self.mean) / self.std)


class Encoder(nn.Module):
    """Late stages of its own, pooling to a small grid, and one linear head in float32 even under autocast.

    Photos are aligned crops, so the place of a feature matters as much as its kind: a grid keeps it; the usual global
    average (a grid of 1) has to encode it in channels (ours).
    """

    def __init__(self, backbone: Backbone, outputs: int, grid: int) -> None:
        """Build a new copy of the late stages and a head of `outputs` values, which start near zero."""
        super().__init__()
        self.stages = use_matmul(backbone.make_late())
        self.grid = grid
        self.head = nn.Linear(backbone.channels * grid**2, outputs)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Shared features (B,C,s,s) to values (B,outputs), float32."""
        maps = self.stages(features)
        with torch.autocast(maps.device.type, enabled=False):
            grid = maps.float()
            if maps.shape[-2:] != (self.grid, self.grid):  # pooling to the same size does nothing, slowly
                grid = functional.adaptive_avg_pool2d(grid, self.grid)
            pooled = grid.flatten(1)
            # Under Adam a step moves each output by rate x sum |inputs|: divided, it does not grow with the grid.
            return self.head(pooled * (HEAD_GAIN / math.sqrt(pooled.shape[1])))


class Encoders(nn.Module):
    """One trunk, three encoders. Source: SIR [A][C]; activations and initial values are ours.

    Initially every photo shows nearly the mean face, frontal, centered, at `initial_scale`, expressionless, under white
    ambient light.
    """

    expression_sigma: Tensor | None

    def __init__(
        self,
        num_identity: int,
        num_expression: int,
        num_albedo: int,
        initial_scale: float,
        backbone: str = "resnet10t",
        shared: str | int = "layer2",
        end: str | int | None = None,
        weights: str | Path | None = None,
        grid: int = 1,
        expression_sigma: Tensor | None = None,
    ) -> None:
        """Build the network; its weights come from torch's generator.

        Args:
            num_identity: Shape parameters K of the face model.
            num_expression: Expression coefficients E.
            num_albedo: Albedo parameters A.
            initial_scale: Half images per millimeter of a typical aligned photo.
            backbone: Any convolutional timm model; this and the next three as in `split_backbone`.
            shared: Its last shared stage, name or index.
            end: Its last stage in use; None is timm's last.
            weights: A local checkpoint of that timm model to start from.
            grid: Side of the grid of pooled features that each head sees.
            expression_sigma: Standard deviations (E,) of signed expression coefficients; None for weights in 0..1.
        """
        super().__init__()
        parts = split_backbone(backbone, shared, weights, end)
        self.trunk = Trunk(parts)
        self.shape = Encoder(parts, num_identity, grid)
        self.scene_sizes = {"rotation": 6, "scale": 1, "translation": 2, "expression": num_expression}
        self.scene_sizes["light"] = 3 * LIGHT_BANDS
        self.scene = Encoder(parts, sum(self.scene_sizes.values()), grid)
        self.albedo = Encoder(parts, num_albedo, grid)
        self.initial_scale = initial_scale
        self.register_buffer("expression_sigma", expression_sigma, persistent=False)

    def forward(self, image: Tensor) -> Coefficients:
        """Predict the coefficients of RGB images (B,3,S,S) in [0, 1]. All results are float32."""
        features = self.trunk(image)
        scene = self.scene(features)
        with torch.autocast(scene.device.type, enabled=False):
            parts = dict(zip(self.scene_sizes, scene.split(list(self.scene_sizes.values()), dim=1), strict=True))
            rotation = rotation_6d_to_matrix(parts["rotation"] + scene.new_tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
            scale = self.initial_scale * bounded_factor(parts["scale"].squeeze(1))
            light = parts["light"].view(-1, LIGHT_BANDS, 3)
            ambient = torch.zeros_like(light)
            ambient[:, 0] = 1.0
            weights, sigma = parts["expression"], self.expression_sigma
            expression = unit_interval(weights) if sigma is None else weights * sigma
        return Coefficients(
            identity=self.shape(features),
            expression=expression,
            rotation=rotation,
            scale=scale,
            translation=parts["translation"],
            light=light + ambient,
            albedo=self.albedo(features),
        )


def bounded_factor(value: Tensor, bound: float = SCALE_FACTOR) -> Tensor:
    """A factor in (1/bound, bound), 1 at 0 and as steep as exp there.

    Ours: aligned photos never need more, and a scale can then neither vanish nor change sign.
    """
    limit = math.log(bound)
    return torch.exp(limit * torch.tanh(value / limit))


def unit_interval(value: Tensor, softness: float = 0.05) -> Tensor:
    """Smoothly clamp to (0, 1): (1 + sqrt(x^2 + e^2) - sqrt((x - 1)^2 + e^2)) / 2. Ours.

    Expression coefficients are blendshape weights in [0, 1], mostly zero. A sigmoid starts far from zero or with a
    vanishing gradient; this map is e/2 at 0 with slope 1/2, nearly the identity inside, and its slope decays only
    quadratically outside, so a coefficient at rest can still grow. `softness` is the half-width e of the bends.
    """
    below = torch.sqrt(value.square() + softness**2)
    above = torch.sqrt((value - 1).square() + softness**2)
    return 0.5 * (1 + below - above)
