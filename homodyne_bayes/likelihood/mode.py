"""From a start to the mode of the posterior of maps, and the covariance there."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from homodyne_bayes.inference.density import log_density
from homodyne_bayes.inference.mode import minimise
from homodyne_bayes.inference.nuts import standardise
from homodyne_bayes.likelihood.information import covariance_at
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics.points import ShardGrid


def refine(
    model: Observed, parts: ShardGrid, start: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
    """Climb from start (d,) to the mode of the posterior of all stacked parts.

    Returns
    -------
    theta, covariance : jax.Array
        (d,) mode, and (d, d) inverse of the Fisher information plus prior curvature there.
    height, gradient_norm, iterations : jax.Array
        Log density, norm of its gradient in standardised coordinates, and steps that it took.
    """
    curvature, _ = _polish(model)
    theta, height, norm, iterations = climb(model, parts, start, curvature(start, parts))
    return theta, curvature(theta, parts), height, norm, iterations


def climb(
    model: Observed, parts: ShardGrid, start: jax.Array, covariance: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Climb from start (d,) to the mode in steps as large as ``covariance`` (d, d) makes them.

    Returns the mode, the log density there, the norm of its gradient and the number of steps.
    """
    return _polish(model)[1](start, covariance, parts)


@lru_cache(maxsize=16)
def _polish(model: Observed) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the covariance at a point, and the way to the mode, compiled when first called."""

    def curvature(theta: jax.Array, parts: ShardGrid) -> jax.Array:
        return covariance_at(model, parts, theta)

    def polish(start: jax.Array, covariance: jax.Array, parts: ShardGrid) -> tuple[jax.Array, ...]:
        scale = jnp.linalg.cholesky(covariance)

        def loss(z: jax.Array) -> jax.Array:
            return -log_density(model, parts, standardise(start, scale, z))

        z, lowest, iterations = minimise(loss, jnp.zeros_like(start))
        norm = jnp.linalg.norm(jax.grad(loss)(z))
        return standardise(start, scale, z), -lowest, norm, iterations

    return jax.jit(curvature), jax.jit(polish)
