"""From a start to the mode of the posterior of maps, and the covariance there."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.density import log_density
from homodyne_bayes.inference.mode import MAX_ITERATIONS, ROUNDING, descend
from homodyne_bayes.inference.nuts import standardise
from homodyne_bayes.likelihood.information import covariance_at
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics.points import ShardGrid

PATIENCE = 12  # looks at the density, which cost as much as a covariance, or two


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
    model: Observed,
    parts: ShardGrid,
    start: jax.Array,
    covariance: jax.Array,
    renewed: Callable[[Observed, ShardGrid, jax.Array], jax.Array] = curvature,
) -> tuple[jax.Array, float, float, int]:
    """Climb from start (d,) to the mode in steps as large as ``covariance`` (d, d) makes them.

    Where these do not lead there soon, ``renewed(model, parts, theta)`` gives the covariance at the
    point that was reached, and the climb goes on. Returns the mode, the log density there, the norm
    of its gradient and the number of steps, `MAX_ITERATIONS` where it was not reached.
    """
    parts = jax.device_put(parts)  # once: every step looks at them
    slopes, before, steps = _programs(model)[1], np.inf, 0
    while True:
        scale = jnp.linalg.cholesky(covariance)
        look = partial(slopes, start=start, scale=scale, parts=parts)
        z, lowest, norm, iterations = descend(look, np.zeros(start.shape), patience=PATIENCE)
        start = standardise(start, scale, jnp.asarray(z))
        steps += min(iterations, PATIENCE)
        if iterations < MAX_ITERATIONS:
            return start, -lowest, norm, steps
        if steps >= MAX_ITERATIONS or not lowest < before - ROUNDING * abs(lowest):
            return start, -lowest, norm, MAX_ITERATIONS
        found = renewed(model, parts, start)
        covariance = found if np.isfinite(jnp.linalg.cholesky(found)).all() else covariance
        before = lowest


def height(model: Observed, parts: ShardGrid, theta: Any) -> float:
    """Return the log density at theta (d,), by the program of `climb`."""
    theta = jnp.asarray(theta)
    loss = _programs(model)[1](jnp.zeros_like(theta), theta, jnp.eye(len(theta)), parts)[0]
    return -float(loss)


@lru_cache(maxsize=16)
def _programs(model: Observed) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the covariance at a point, and loss and slope, compiled when first called."""

    def covariance(theta: jax.Array, parts: ShardGrid, repeats: jax.Array) -> jax.Array:
        return covariance_at(model, parts, theta, repeats)

    def loss(z: jax.Array, start: jax.Array, scale: jax.Array, parts: ShardGrid) -> jax.Array:
        return -log_density(model, parts, standardise(start, scale, z))

    return jax.jit(covariance), jax.jit(jax.value_and_grad(loss))
