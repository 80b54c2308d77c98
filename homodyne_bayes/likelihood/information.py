"""What data say about theta: slopes of the mean, Fisher information, and Laplace covariances."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.density import (
    Model,
    Shard,
    constrained,
    labels,
    log_prior_and_likelihood,
    observation,
    space,
    substituted_observation,
)
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.points import ShardGrid, shard

SCALING = (*PER_ANGLE, "sigma")


def covariance_at(model: Model, parts: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the inverse of Fisher information plus prior curvature at theta, (d, d).

    Parameters
    ----------
    model : callable
        NumPyro function of one shard.
    parts : ShardGrid
        Stacked parts: blocks or points, or one map each under the noise of speckle.
    theta : jax.Array
        (d,) coordinates.
    """
    informed = _independent if parts.noise is None else _speckle
    total = jax.lax.map(lambda grid: informed(model, grid, theta), parts).sum(axis=0)
    precision = total + prior_precision(model, shard(parts, 0), theta)
    return jnp.linalg.inv(0.5 * (precision + precision.T))


def prior_precision(model: Model, grid: Shard, theta: jax.Array) -> jax.Array:
    """Return the negative Hessian of the log prior at theta, (d, d)."""
    return -jax.hessian(lambda theta: log_prior_and_likelihood(model, grid, theta)[0])(theta)


def squared_g1(model: Model, grid: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return g1² of every point of a shard, c2 with contrast 1 and offset 0."""
    return mean_c2(model, grid, theta, jnp.ones_like(grid.phi), jnp.zeros_like(grid.phi))


def mean_c2(
    model: Model, grid: ShardGrid, theta: jax.Array, contrast: jax.Array, offset: jax.Array
) -> jax.Array:
    """Return c2 of every point of a shard at theta, but for contrast (P,) and offset (P,)."""
    values = constrained(model, grid, space(model, grid).unravel(theta))[0]
    scaling = {"contrast": contrast, "offset": offset, "sigma": jnp.ones(())}
    grid = replace(grid, scaling="individual")
    return substituted_observation(model, grid, {**values, **scaling}).loc


def physical(model: Model, grid: Shard) -> np.ndarray:
    """Return the places in theta of what is not contrast, offset or sigma."""
    names = [label.partition("[")[0] for label in labels(model, grid)]
    return np.array([at for at, name in enumerate(names) if name not in SCALING])


def own_places(model: Model, grid: ShardGrid) -> jax.Array:
    """Return the places in theta that move one map: the physical, its contrast, its offset."""
    names = [label.partition("[")[0] for label in labels(model, grid)]
    angle = grid.phi_index.reshape(-1)[0]
    scaling = jnp.array([names.index(name) for name in PER_ANGLE]) + angle
    return jnp.concatenate([jnp.asarray(physical(model, grid)), scaling])


def slopes(model: Model, grid: ShardGrid, theta: jax.Array, places: Any) -> jax.Array:
    """Return derivatives of one mean map by the coordinates at ``places``, (len(places), G, G)."""

    def mean(moved: jax.Array) -> jax.Array:
        return observation(model, grid, theta.at[places].set(moved)).loc[0]

    return jnp.moveaxis(jax.jacfwd(mean)(theta[places]), -1, 0)


def _speckle(model: Model, grid: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the information of one map, w Xᵀ K⁻¹ X."""
    noise: Any = grid.noise
    places = own_places(model, grid)
    X = covariance.average(slopes(model, grid, theta, places), noise.frame_weight, noise.bin_frames)
    own = 0.5 * noise.weight * jnp.einsum("iab,jab->ij", X, covariance.solve(noise, X))
    return jnp.zeros((theta.size,) * 2).at[places[:, None], places].add(own)


def _independent(model: Model, grid: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the information of Normal values with mean m and scale σ.

    It is Σ ∂m ∂mᵀ/σ² (Gauss-Newton) plus 2 Σ ∂log σ ∂log σᵀ.
    """

    def mean_and_log_scale(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        normal = observation(model, grid, theta)
        return normal.loc, jnp.broadcast_to(jnp.log(normal.scale), normal.loc.shape)

    scale = jnp.exp(mean_and_log_scale(theta)[1])
    slopes = jax.jacfwd(mean_and_log_scale)(theta)
    slope, log_slope = (own.reshape(-1, theta.size) for own in slopes)
    weight = grid.used.astype(float).reshape(-1, 1)
    slope = slope / scale.reshape(-1, 1)
    return slope.T @ (weight * slope) + 2 * log_slope.T @ (weight * log_slope)
