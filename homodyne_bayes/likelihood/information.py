"""What data say about theta: slopes of the mean, Fisher information, and Laplace covariances."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.density import (
    constrained,
    labels,
    log_prior_and_likelihood,
    observation,
    space,
)
from homodyne_bayes.inference.mass import falling
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.entries import average
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.points import ShardGrid, shard

NEXT_TO_NOTHING = 1e-6


def covariance_at(
    model: Observed, parts: ShardGrid, theta: jax.Array, repeats: jax.Array | float = 1.0
) -> jax.Array:
    """Return the inverse of Fisher information plus prior curvature at theta, (d, d).

    Parameters
    ----------
    model : Observed
        Complete NumPyro function of one shard.
    parts : ShardGrid
        Stacked parts: blocks or points, or one map each under the noise of speckle.
    theta : jax.Array
        (d,) coordinates.
    repeats : float
        How often data like these are there.
    """
    information = model.noise.information
    total = jax.lax.map(lambda part: information(model, part, theta), parts).sum(axis=0)
    precision = repeats * total + prior_precision(model, shard(parts, 0), theta)
    return jnp.linalg.inv(0.5 * (precision + precision.T))


def prior_precision(model: Observed, points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the negative Hessian of the log prior at theta, (d, d).

    Directions in which a heavy tail bends the other way have none.
    """
    bend = jax.hessian(lambda theta: log_prior_and_likelihood(model, points, theta)[0])(theta)
    return falling(bend, jnp)


@lru_cache(maxsize=16)
def prior_slopes(model: Observed) -> Any:
    """Return gradient and Hessian of the log prior, of points and theta; compiled when called."""

    def slopes(points: ShardGrid, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        def log_prior(theta: jax.Array) -> jax.Array:
            return log_prior_and_likelihood(model, points, theta)[0]

        return jax.grad(log_prior)(theta), jax.hessian(log_prior)(theta)

    return jax.jit(slopes)


def prior_of(model: Observed, points: ShardGrid, theta: Any) -> np.ndarray:
    """Return `prior_precision`, by the program of `prior_slopes`."""
    return falling(np.asarray(prior_slopes(model)(points, theta)[1]))


def alone(covariance: Any, prior: Any) -> jax.Array:
    """Return the sd of coordinates by the data alone, (d,), of which priors say next to nothing.

    Parameters
    ----------
    covariance : jax.Array
        (d, d) inverse of Fisher information plus precision of the prior, at the mode.
    prior : jax.Array
        (d, d) precision of the prior there; it is taken to be 10⁻⁶ of that.
    """
    values, vectors = jnp.linalg.eigh(jnp.linalg.inv(covariance) - prior)
    information = (vectors * jnp.maximum(values, 0.0)) @ vectors.T
    return jnp.sqrt(jnp.diag(jnp.linalg.inv(information + NEXT_TO_NOTHING * prior)))


def squared_g1(model: Observed, points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return g1² of every point, (N,): c2 with contrast 1 and offset 0."""
    ones = jnp.ones_like(points.phi)
    return mean_c2(model, points, theta, ones, jnp.zeros_like(ones))


def mean_c2(
    model: Observed, points: ShardGrid, theta: jax.Array, contrast: jax.Array, offset: jax.Array
) -> jax.Array:
    """Return c2 of every point at theta, but for contrast (P,) and offset (P,)."""
    values = constrained(model, points, space(model, points).unravel(theta))[0]
    return model.c2(points, values, contrast, offset)


def physical(model: Observed, points: ShardGrid) -> np.ndarray:
    """Return the places in theta of what is neither contrast, offset nor of the noise."""
    others = {*PER_ANGLE, *(row.name for row in model.noise.parameters)}
    names = [label.partition("[")[0] for label in labels(model, points)]
    return np.array([at for at, name in enumerate(names) if name not in others])


def own_places(model: Observed, points: ShardGrid) -> jax.Array:
    """Return the places in theta that move one map: the physical, its contrast, its offset."""
    names = [label.partition("[")[0] for label in labels(model, points)]
    angle = points.phi_index.reshape(-1)[0]
    scaling = jnp.array([names.index(name) for name in PER_ANGLE]) + angle
    return jnp.concatenate([jnp.asarray(physical(model, points)), scaling])


def slopes(model: Observed, points: ShardGrid, theta: jax.Array, places: Any) -> jax.Array:
    """Return derivatives of one mean map by the coordinates at ``places``, (len(places), G, G)."""

    def mean(moved: jax.Array) -> jax.Array:
        return observation(model, points, theta.at[places].set(moved)).loc[0]

    return jnp.moveaxis(jax.jacfwd(mean)(theta[places]), -1, 0)


def information_of_speckle(model: Observed, points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the information of one map, w Xᵀ K⁻¹ X."""
    noise: Any = points.noise
    places = own_places(model, points)
    X = average(slopes(model, points, theta, places), noise.entries)
    information = noise.weight * covariance.gram(noise, X[:, None])[0]
    return jnp.zeros((theta.size,) * 2).at[places[:, None], places].add(information)


def information_of_normal(model: Observed, points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the information of Normal values with mean m and scale σ.

    It is Σ ∂m ∂mᵀ/σ² (Gauss-Newton) plus 2 Σ ∂log σ ∂log σᵀ.
    """

    def mean_and_log_scale(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        normal = observation(model, points, theta)
        return normal.loc, jnp.broadcast_to(jnp.log(normal.scale), normal.loc.shape)

    scale = jnp.exp(mean_and_log_scale(theta)[1])
    slopes = jax.jacfwd(mean_and_log_scale)(theta)
    slope, log_slope = (own.reshape(-1, theta.size) for own in slopes)
    weight = points.used.astype(float).reshape(-1, 1)
    slope = slope / scale.reshape(-1, 1)
    return slope.T @ (weight * slope) + 2 * log_slope.T @ (weight * log_slope)
