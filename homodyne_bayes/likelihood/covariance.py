r"""The working covariance of a two-time map of speckle, and what it makes of residuals.

The entries (a, b), a < b, of one angle average the same pixels, so all that share or neighbour a
frame move together. With the covariance S of the intensity, S = β g₁² + e·1, the covariance of
two entries is taken to be

.. math:: \mathrm{cov}(ab, cd) \propto S_{ac} S_{bd} + S_{ad} S_{bc}

Its inverse needs matrices of the size of the map only. With P = S⁻¹, U = P∘P and residuals in a
symmetric R, the unused diagonal integrated out exactly,

.. math:: K^{-1} r = P R P - P\,\mathrm{diag}(U^{-1} \mathrm{diag}(P R P))\,P

off the diagonal, and log|K| = (n + 1) log|S| + log|U|. Nothing here depends on
the diagonal of R. Frames may be averaged in bins, T R Tᵀ, which keeps the form, S becoming T S Tᵀ.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

_ARRAYS = ["precision", "inverse_square", "frame_weight", "weight", "log_norm"]
JITTER = 1e-10  # of the mean variance, so that the Cholesky factor of S exists
LOG_2PI = 1.8378770664093453


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=["bin_frames"])
@dataclass(frozen=True)
class WorkingCovariance:
    """The working covariance of the maps of P angles, m bins of frames each.

    Attributes
    ----------
    precision : jax.Array
        (P, m, m) S⁻¹; a bin without usable frames has the row of a unit matrix.
    inverse_square : jax.Array
        (P, m, m) inverse of S⁻¹∘S⁻¹.
    frame_weight : jax.Array
        (P, G) weight of a frame in its bin; 0 for an unusable one.
    weight : jax.Array
        (P,) factor of rᵀK⁻¹r in -2 log likelihood; 0 for an angle that is padding.
    log_norm : jax.Array
        (P,) what is added to the log likelihood, so that densities integrate to 1.
    bin_frames : int
        Frames averaged in a bin.
    """

    precision: jax.Array
    inverse_square: jax.Array
    frame_weight: jax.Array
    weight: jax.Array
    log_norm: jax.Array
    bin_frames: int = 1

    def where(self, real: Any) -> "WorkingCovariance":
        """Return the same with weight 0 for maps that are padding, by flags (P,)."""
        return replace(self, weight=self.weight * real, log_norm=self.log_norm * real)


def frame_weights(usable: Any, bin_frames: int) -> jax.Array:
    """Return the weight of every frame in its bin, (P, G), of flags (P, G)."""
    flags = _bins(jnp.asarray(usable, dtype=float), bin_frames)
    counts = flags.sum(axis=-1, keepdims=True)
    weights = flags / jnp.where(counts > 0, counts, 1.0)
    return weights.reshape(*flags.shape[:-2], -1)[..., : jnp.shape(usable)[-1]]


def num_bins(frame_weight: jax.Array, bin_frames: int) -> jax.Array:
    """Return the number n of bins that hold usable frames, (P,)."""
    return (_bins(frame_weight, bin_frames).sum(axis=-1) > 0).sum(axis=-1)


def num_pairs(noise: WorkingCovariance) -> jax.Array:
    """Return the number of distinct pairs of bins that hold usable frames, (P,)."""
    n = num_bins(noise.frame_weight, noise.bin_frames)
    return n * (n - 1) / 2


def squares(noise: WorkingCovariance, residual: jax.Array) -> jax.Array:
    """Return rᵀK⁻¹r of residuals (P, G, G), not yet binned, (P,)."""
    return quadratic(noise, average(residual, noise.frame_weight, noise.bin_frames))


def average(maps: jax.Array, frame_weight: jax.Array, bin_frames: int) -> jax.Array:
    """Return maps (..., G, G) averaged over bins of frames, (..., m, m)."""
    weighted = maps * frame_weight[..., :, None] * frame_weight[..., None, :]
    if bin_frames == 1:
        return weighted
    rows = _bins(jnp.swapaxes(weighted, -1, -2), bin_frames).sum(axis=-1)
    return _bins(jnp.swapaxes(rows, -1, -2), bin_frames).sum(axis=-1)


def intensity_covariance(
    g1_squared: jax.Array, contrast: Any, nugget: Any, frame_weight: jax.Array, bin_frames: int
) -> jax.Array:
    """Return S = contrast·g₁² + nugget·1 of binned frames, (P, m, m), from g₁² (P, G, G).

    Contrast and nugget are those of all maps, or of every map, (P,).
    """
    contrast, nugget = (jnp.asarray(x)[..., None] for x in (contrast, nugget))
    squares = _bins(frame_weight**2, bin_frames).sum(axis=-1)
    variance = jnp.where(squares > 0, nugget * squares + JITTER * contrast, 1.0)
    smooth = contrast[..., None] * average(g1_squared, frame_weight, bin_frames)
    return smooth + variance[..., None] * jnp.eye(variance.shape[-1])


def factorise(covariance: jax.Array, num_bins: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return S⁻¹ and (S⁻¹∘S⁻¹)⁻¹, (P, m, m), and log|K|, (P,), of S with n bins in use."""
    precision, log_det = _inverse(covariance)
    inverse_square, log_det_square = _inverse(precision**2)
    return precision, inverse_square, (num_bins + 1) * log_det + log_det_square


def solve(noise: WorkingCovariance, maps: jax.Array) -> jax.Array:
    """Return K⁻¹r of binned maps (P, m, m), symmetric with zero diagonal; their diagonal is free.

    The sum of its product with other maps over all entries is twice that over a < b.
    """
    P = noise.precision
    B = P @ maps @ P
    fill = jnp.einsum("...ij,...j->...i", noise.inverse_square, _diagonal(B))
    solved = B - (P * fill[..., None, :]) @ P
    return solved * (1 - jnp.eye(P.shape[-1]))


def quadratic(noise: WorkingCovariance, maps: jax.Array) -> jax.Array:
    """Return rᵀK⁻¹r of binned maps (P, m, m), (P,)."""
    return gram(noise, maps[None])[:, 0, 0]


def gram(noise: WorkingCovariance, maps: jax.Array) -> jax.Array:
    """Return rᵀK⁻¹s of every two of k binned maps (k, P, m, m), (P, k, k).

    It takes one product of matrices a map.
    """
    W = noise.precision @ maps
    b = (W * noise.precision).sum(axis=-1)
    marginal = jnp.einsum("ipm,pmn,jpn->pij", b, noise.inverse_square, b)
    return 0.5 * (jnp.einsum("ipmn,jpnm->pij", W, W) - marginal)


def filled(precision: jax.Array, inverse_square: jax.Array, residual: jax.Array) -> jax.Array:
    """Return the binned residuals of one map with the diagonal that is most likely, (m, m)."""
    P, U = precision, inverse_square
    R = residual - jnp.diag(jnp.diag(residual))
    return R - jnp.diag(U @ jnp.diag(P @ R @ P))


class SpeckleNormal(dist.Distribution):
    """Normal maps (P, G, G) with the working covariance of ``noise``, compared where it says.

    Parameters
    ----------
    loc : jax.Array
        (P, G, G) symmetric mean.
    noise : WorkingCovariance
        Of the same angles.
    """

    support = dist.constraints.real_matrix

    def __init__(self, loc: jax.Array, noise: WorkingCovariance) -> None:
        self.loc, self.noise = loc, noise
        super().__init__(batch_shape=(), event_shape=jnp.shape(loc))

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the log density of maps (P, G, G), up to that of the averaging."""
        noise = self.noise
        return (noise.log_norm - 0.5 * noise.weight * squares(noise, value - self.loc)).sum()


def _bins(frames: jax.Array, bin_frames: int) -> jax.Array:
    """Return the last axis (G,) as bins (m, bin_frames), padded with zeros."""
    short = -frames.shape[-1] % bin_frames
    padded = jnp.pad(frames, [(0, 0)] * (frames.ndim - 1) + [(0, short)])
    return padded.reshape(*frames.shape[:-1], -1, bin_frames)


def _inverse(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the inverse and the log determinant of positive definite matrices."""
    factor = jnp.linalg.cholesky(matrix)
    identity = jnp.broadcast_to(jnp.eye(matrix.shape[-1]), matrix.shape)
    inverse = jax.scipy.linalg.cho_solve((factor, True), identity)
    log_det = 2 * jnp.log(_diagonal(factor)).sum(axis=-1)
    return 0.5 * (inverse + jnp.swapaxes(inverse, -1, -2)), log_det


def _diagonal(matrix: jax.Array) -> jax.Array:
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)
