r"""The working covariance of a two-time map of speckle, and what it makes of residuals.

The entries (a, b), a < b, of one angle average the same pixels, so all that share or neighbour a
frame move together. With the covariance S of the intensity, S = β g₁² + e·1, the covariance of
two entries is taken to be

.. math:: \mathrm{cov}(ab, cd) \propto S_{ac} S_{bd} + S_{ad} S_{bc}

Its inverse needs matrices of the size of the map only, and of the number of entries that are not
there: the diagonal, and pairs that were not measured. With P = S⁻¹, residuals in a symmetric R,
V = ½ (P_ac P_bd + P_ad P_bc) of entries ab and cd that are not there, and b those of P R P, they
are integrated out exactly by

.. math:: K^{-1} r = P (R - F) P, \quad r^T K^{-1} r = \tfrac12 \mathrm{tr}(P R P R) -
          \tfrac12 b^T V^{-1} b

where F is symmetric and has V⁻¹b at those entries, half of it on either side of the diagonal;
log|K| = (n + 1) log|S| + log|V| + l log 2 with l pairs that are missing. Of the diagonal alone, V
is P∘P. Nothing here depends on R at these entries. Where few pairs are there, V is that of S at
these pairs instead, and K = 2 V. Frames may be averaged in bins, T R Tᵀ, which keeps the form, S
becoming T S Tᵀ.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from homodyne_bayes.likelihood.entries import (
    Entries,
    average,
    filled,
    in_bins,
    listed,
    num_bins,
    there,
)

_ARRAYS = ["precision", "inverse", "entries", "weight", "log_norm"]
TOGETHER = 7  # maps of which all products are held twice
JITTER = 1e-10  # of the mean variance, so that the Cholesky factor of S exists
LOG_2PI = 1.8378770664093453
LOG_2 = 0.6931471805599453


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=[])
@dataclass(frozen=True)
class WorkingCovariance:
    """The working covariance of the maps of P angles, m bins of frames each.

    Attributes
    ----------
    precision : jax.Array
        (P, m, m) S⁻¹; a bin without usable frames has the row of a unit matrix. A unit matrix
        where the pairs that are there are listed.
    inverse : jax.Array
        (P, k, k) V⁻¹ of the listed entries, the diagonal where there is no list; -V⁻¹ where the
        pairs that are there are listed. 0 where a list is filled up.
    entries : Entries
        What is compared.
    weight : jax.Array
        (P,) factor of rᵀK⁻¹r in -2 log likelihood; 0 for an angle that is padding.
    log_norm : jax.Array
        (P,) what is added to the log likelihood, so that densities integrate to 1.
    """

    precision: jax.Array
    inverse: jax.Array
    entries: Entries
    weight: jax.Array
    log_norm: jax.Array

    def where(self, real: Any) -> "WorkingCovariance":
        """Return the same with weight 0 for maps that are padding, by flags (P,)."""
        return replace(self, weight=self.weight * real, log_norm=self.log_norm * real)


def squares(noise: WorkingCovariance, residual: jax.Array) -> jax.Array:
    """Return rᵀK⁻¹r of residuals (P, G, G), not yet binned, (P,)."""
    return quadratic(noise, average(residual, noise.entries))


def intensity_covariance(
    g1_squared: jax.Array, contrast: Any, nugget: Any, entries: Entries
) -> jax.Array:
    """Return S = contrast·g₁² + nugget·1 of binned frames, (P, m, m), from g₁² (P, G, G).

    Contrast and nugget are those of all maps, or of every map, (P,).
    """
    contrast, nugget = (jnp.asarray(x)[..., None] for x in (contrast, nugget))
    squares = in_bins(entries.frame_weight**2, entries.bin_frames).sum(axis=-1)
    variance = jnp.where(squares > 0, nugget * squares + JITTER * contrast, 1.0)
    smooth = contrast[..., None] * average(g1_squared, entries)
    return smooth + variance[..., None] * jnp.eye(variance.shape[-1])


def factorise(covariance: jax.Array, entries: Entries) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return ``precision`` and ``inverse`` of a working covariance, and log|K|, by S (P, m, m)."""
    n = num_bins(entries)
    if entries.places is None:
        precision, log_det = _inverse(covariance)
        inverse, log_det_square = _inverse(precision**2)
        return precision, inverse, (n + 1) * log_det + log_det_square
    one = _of_measured if entries.measured else _without_missing
    return jax.lax.map(one, (covariance, entries.places, n))


def solve(noise: WorkingCovariance, maps: jax.Array) -> jax.Array:
    """Return K⁻¹r of binned maps (P, m, m), symmetric, 0 where nothing is compared.

    The sum of its product with other maps over all entries is twice that over a < b.
    """
    return (half_solved(noise, maps) @ noise.precision) * there(noise.entries)


def half_solved(noise: WorkingCovariance, maps: jax.Array) -> jax.Array:
    """Return P (R - F) of binned maps (..., P, m, m), of which P makes K⁻¹r; see the module.

    It takes one product of matrices a map, three where pairs are missing.
    """
    W = noise.precision @ maps
    fill = jnp.einsum("...ij,...j->...i", noise.inverse, _at_product(noise, W))
    return (0 if noise.entries.measured else W) - _times_filled(noise, fill)


def quadratic(noise: WorkingCovariance, maps: jax.Array) -> jax.Array:
    """Return rᵀK⁻¹r of binned maps (P, m, m), (P,)."""
    return gram(noise, maps[None])[:, 0, 0]


def gram(
    noise: WorkingCovariance,
    maps: jax.Array,
    binned: Callable[[jax.Array], jax.Array] = lambda maps: maps,
) -> jax.Array:
    """Return rᵀK⁻¹s of every two of k maps (k, P, m, m), (P, k, k).

    It takes one product of matrices a map, two where pairs are missing. Maps that are not yet
    binned are by ``binned``; of many, one after the other, so that the products alone are held.
    """

    def product(maps: jax.Array) -> jax.Array:
        return noise.precision @ binned(maps)

    W = product(maps) if len(maps) <= TOGETHER else jax.lax.map(product, maps)
    b = _at_product(noise, W)
    marginal = jnp.einsum("ipm,pmn,jpn->pij", b, noise.inverse, b)
    if noise.entries.measured:
        return -0.5 * marginal
    return 0.5 * (_traces(W) - marginal)


def completed(noise: WorkingCovariance, residual: jax.Array) -> jax.Array:
    """Return binned residuals of one map, (m, m), most likely where nothing is compared.

    They are 0 there before; where the pairs that are there are listed this has no meaning.
    """
    P, entries = noise.precision, noise.entries
    return residual - filled(entries, noise.inverse @ listed(entries, P @ residual @ P))


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


def _traces(W: jax.Array) -> jax.Array:
    """Return tr(V W) of every two of k matrices of every map, (k, P, m, m), (P, k, k)."""
    if len(W) <= TOGETHER:
        return jnp.einsum("ipmn,jpnm->pij", W, W)
    with_all = partial(jnp.einsum, "ipmn,pnm->pi", W)
    found = jax.lax.map(lambda j: with_all(W[j]), jnp.arange(len(W)), batch_size=TOGETHER)
    return jnp.moveaxis(found, 0, -1)


def _at_product(noise: WorkingCovariance, W: jax.Array) -> jax.Array:
    """Return the listed entries of W P, (..., k)."""
    if noise.entries.places is None:
        return (W * noise.precision).sum(axis=-1)
    return listed(noise.entries, W @ noise.precision)


def _times_filled(noise: WorkingCovariance, values: jax.Array) -> jax.Array:
    """Return P F, (..., m, m), with F filled with values (..., k) at the listed entries."""
    if noise.entries.places is None:
        return noise.precision * values[..., None, :]
    return noise.precision @ filled(noise.entries, values)


def _without_missing(of: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Return what `factorise` does of S, places and n of one map, by entries that are not there."""
    S, places, n = of
    precision, log_det = _inverse(S)
    inverse, log_det_at = _inverse_at(precision, places)
    missing = (places >= 0).sum() - len(S)
    return precision, inverse, (n + 1) * log_det + log_det_at + missing * LOG_2


def _of_measured(of: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Return the same by pairs that are there."""
    S, places, _ = of
    inverse, log_det = _inverse_at(S, places)
    return jnp.eye(len(S)), -inverse, log_det + (places >= 0).sum() * LOG_2


def _inverse_at(matrix: jax.Array, places: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return V⁻¹ and log|V| of ½ (X_ac X_bd + X_ad X_bc) at places (k,) of X (m, m)."""
    real = places >= 0
    a, b = jnp.divmod(jnp.where(real, places, 0), len(matrix))
    V = (
        matrix[a[:, None], a] * matrix[b[:, None], b]
        + matrix[a[:, None], b] * matrix[b[:, None], a]
    )
    both = real[:, None] & real
    inverse, log_det = _inverse(jnp.where(both, 0.5 * V, jnp.eye(len(places))))
    return jnp.where(both, inverse, 0.0), log_det


def _inverse(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the inverse and the log determinant of positive definite matrices."""
    factor = jnp.linalg.cholesky(matrix)
    identity = jnp.broadcast_to(jnp.eye(matrix.shape[-1]), matrix.shape)
    inverse = jax.scipy.linalg.cho_solve((factor, True), identity)
    log_det = 2 * jnp.log(_diagonal(factor)).sum(axis=-1)
    return 0.5 * (inverse + jnp.swapaxes(inverse, -1, -2)), log_det


def _diagonal(matrix: jax.Array) -> jax.Array:
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)
