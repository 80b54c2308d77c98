"""From a start to the mode of the posterior of maps, and the covariance there."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.density import log_density
from homodyne_bayes.inference.mode import descend
from homodyne_bayes.inference.nuts import standardise
from homodyne_bayes.likelihood.information import covariance_at
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics.points import ShardGrid


def refine(
    model: Observed, parts: ShardGrid, start: jax.Array, metric: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, float, float, int]:
    """Climb from start (d,) to the mode of the posterior of all stacked parts.

    Parameters
    ----------
    model : Observed
        Complete NumPyro function of one shard.
    parts : ShardGrid
        All data.
    start : jax.Array
        (d,) where to start.
    metric : jax.Array, optional
        (d, d) roughly the covariance there; without it, it is found.

    Returns
    -------
    theta, covariance : jax.Array
        (d,) mode, and (d, d) inverse of the Fisher information plus prior curvature there.
    height, gradient_norm, iterations : float, float, int
        Log density, norm of its gradient in standardised coordinates, and steps that it took.
    """
    if metric is None:
        metric = curvature(model, parts, start)
    theta, height, norm, iterations = climb(model, parts, start, metric)
    return theta, curvature(model, parts, theta), height, norm, iterations


def curvature(
    model: Observed, parts: ShardGrid, theta: jax.Array, repeats: float = 1.0
) -> jax.Array:
    """Return the covariance at theta, (d, d), if there were ``repeats`` times as much data."""
    found: jax.Array = _programs(model)[0](theta, parts, repeats)
    return found


def climb(
    model: Observed, parts: ShardGrid, start: jax.Array, covariance: jax.Array
) -> tuple[jax.Array, float, float, int]:
    """Climb from start (d,) to the mode in steps as large as ``covariance`` (d, d) makes them.

    Returns the mode, the log density there, the norm of its gradient and the number of steps.
    """
    parts = jax.device_put(parts)  # once: every step looks at them
    scale = jnp.linalg.cholesky(covariance)
    slopes = _programs(model)[1]
    z, lowest, norm, iterations = descend(
        lambda z: slopes(z, start, scale, parts), np.zeros(start.shape)
    )
    return standardise(start, scale, jnp.asarray(z)), -lowest, norm, iterations


@lru_cache(maxsize=16)
def _programs(model: Observed) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the covariance at a point, and loss and slope, compiled when first called."""

    def covariance(theta: jax.Array, parts: ShardGrid, repeats: jax.Array) -> jax.Array:
        return covariance_at(model, parts, theta, repeats)

    def loss(z: jax.Array, start: jax.Array, scale: jax.Array, parts: ShardGrid) -> jax.Array:
        return -log_density(model, parts, standardise(start, scale, z))

    return jax.jit(covariance), jax.jit(jax.value_and_grad(loss))
