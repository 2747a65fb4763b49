"""Linear shape models learned from scans in one form, in which SFM and its baselines are fitted and measured alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import FactorAnalysis
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from recface.face_model import FaceModel
from recface.face_model.linear import fit_coefficients
from recface.scan_stage.principal import Principal, person_means, two_part_start
from recface.scan_stage.scans import ScanSet

FACTOR_ITERATIONS = 5
Array = np.ndarray


def _same(latents: Array) -> Array:
    return latents


@dataclass(frozen=True)
class ShapeModel:
    """Shapes mean + basis z with a Gaussian prior on z, and the map from z to a scan's latent."""

    mean: Array  # (D,) mm, the shape at z = 0
    basis: Array  # (D, M) mm per unit of z; identity modes first
    center: Array  # (M,) prior mean of z
    spread: Array  # (M,) prior standard deviation of z
    identity: int  # number of identity modes K; M for models without an expression part
    to_latent: Callable[[Array], Array] = _same  # from the identity part of z (N, K) to latents (N, d)
    radius: float | None = None  # of the sphere on which latents lie
    noise: float = 0.0  # residual variance of a coordinate of the training scans, mm^2

    def fit(self, shapes: Array, strength: float = 1.0) -> Array:
        """Posterior mean of z (N, M) of shapes (N, D) in mm, identity and expression jointly, without any label.

        `strength` multiplies the noise variance, since correlated residuals affect z more than their variance tells; 0
        is least squares.
        """
        offsets = shapes - (self.mean + self.basis @ self.center)
        precision = strength * self.noise / self.spread**2
        return self.center + fit_coefficients(offsets, self.basis, precision)

    def encode(self, shapes: Array, strength: float = 1.0) -> Array:
        """Latents (N, d) of shapes (N, D) from the posterior mean, on the sphere of a hyperspherical model."""
        latents = self.to_latent(self.fit(shapes, strength)[:, : self.identity])
        if self.radius is not None:
            latents = latents * (self.radius / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-9))
        return latents

    def ordered_basis(self) -> Array:
        """Columns by their standard deviation in mm, largest first, identity and expression mixed: (D, M)."""
        size = np.linalg.norm(self.basis, axis=0) * self.spread
        return self.basis[:, np.argsort(-size, kind="stable")]

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Random shapes (count, D): z from its prior; identity uniformly on the sphere of a hyperspherical model."""
        z = generator.normal(size=(count, len(self.spread)))
        if self.radius is not None:
            part = z[:, : self.identity]
            part *= self.radius / np.linalg.norm(part, axis=1, keepdims=True)
            z[:, self.identity :] *= self.spread[self.identity :]
        else:
            z *= self.spread
        return self.mean + (self.center + z) @ self.basis.T


def deviations(principal: Principal, modes: int) -> Array:
    """Standard deviations (M,) in mm of the scans along the leading principal axes."""
    return principal.scores[:, :modes].std(axis=0, ddof=1)


def pca(principal: Principal, modes: int, to_latent: Callable[[Array], Array] = _same) -> ShapeModel:
    """PCA of all scans; by default, latents are the whitened coefficients."""
    basis = principal.axes[:, :modes] * deviations(principal, modes)
    return ShapeModel(principal.mean, basis, np.zeros(modes), np.ones(modes), modes, to_latent)


def pca_mm(principal: Principal, modes: int) -> ShapeModel:
    """PCA of all scans with coefficients in mm as latents, whose distances are distances between shapes."""
    spread = deviations(principal, modes)
    return pca(principal, modes, lambda latents: latents * spread)


def pca_lda(principal: Principal, modes: int, identity: Array, kept: int) -> ShapeModel:
    """PCA followed by linear discriminant analysis of its coefficients, in `kept` directions."""
    lda = LinearDiscriminantAnalysis(solver="eigen", n_components=min(kept, modes))
    lda.fit(principal.scores[:, :modes] / deviations(principal, modes), identity)
    return pca(principal, modes, lda.transform)


def pca_whitened(principal: Principal, modes: int, identity: Array) -> ShapeModel:
    """PCA followed by whitening of the scatter within people: W^T z with W W^T = S_w^-1.

    Source: Hatch, Kajarekar and Stolcke, "Within-class covariance normalization", Interspeech 2006.
    """
    scores = principal.scores[:, :modes] / deviations(principal, modes)
    within = scores - person_means(scores, identity)[identity]
    values, vectors = np.linalg.eigh(within.T @ within / max(len(scores) - int(identity.max()) - 1, 1))
    whitening = vectors / np.sqrt(np.maximum(values, 1e-9 * values.max()))
    return pca(principal, modes, lambda latents: latents @ whitening)


def factor_analysis(scans: ScanSet, modes: int, seed: int) -> ShapeModel:
    """Factor analysis: as PCA, but with a noise variance of its own for every coordinate. Holds all scans in memory."""
    shapes = scans[:].reshape(len(scans), -1)
    factors = FactorAnalysis(modes, max_iter=FACTOR_ITERATIONS, iterated_power=2, random_state=seed, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations suffice: a scanner's noise is nearly even
        factors.fit(shapes)
    return ShapeModel(factors.mean_, factors.components_.T, np.zeros(modes), np.ones(modes), modes)


def whitened_identity(modes: int, expression: Array) -> tuple[Array, Array]:
    """Prior mean and deviation (K + E,) of K whitened identity parameters and of expressions as these (N, E) are."""
    mean, spread = expression.mean(axis=0), np.maximum(expression.std(axis=0), 1e-6)
    return np.concatenate([np.zeros(modes), mean]), np.concatenate([np.ones(modes), spread])


def two_part_pca(
    principal: Principal, identity: Array, modes: int, expression_modes: int, blend: Array | None
) -> ShapeModel:
    """PCA of the people's means, and of the residuals within people (or the known expression basis)."""
    start = two_part_start(principal, identity, modes, expression_modes, blend)
    basis = principal.axes.astype(np.float64) @ np.hstack([start.identity_basis, start.expression_basis])
    return ShapeModel(start.mean, basis, *whitened_identity(modes, start.expression), modes)


def learned_model(model: FaceModel, expression: Array) -> ShapeModel:
    """A scan model of the suite (SFM or its Gaussian variant) with the training scans' spread of expressions."""
    arrays, modes = model.arrays(), model.num_identity
    mean = arrays["mean"].ravel().astype(np.float64)
    basis = np.hstack([arrays["identity_basis"] * arrays["identity_sigma"], arrays["expression_basis"]])
    prior = whitened_identity(modes, expression)
    return ShapeModel(mean, basis.astype(np.float64), *prior, modes, radius=model.latent_radius)
