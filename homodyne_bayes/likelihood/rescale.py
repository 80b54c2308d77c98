"""From the fit with contrast and offset of every angle to any other scaling, and back.

Noise and metric are found with contrast and offset of every angle free. Other scalings start at
the same physical parameters, climb to their own mode, and take their metric from the curvature
there, or from the information where contrast and offset of every angle stay free. Where contrast
and offset were integrated out, they are drawn given the rest.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from homodyne_bayes.inference.density import (
    constrain,
    constrained,
    log_density,
    observation,
    space,
    unconstrained,
)
from homodyne_bayes.inference.nuts import Gaussian, standardise
from homodyne_bayes.likelihood.mode import climb, refine
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.likelihood.scaling import harmonics
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.points import ShardGrid, shard

CARRIED = ("_mean", "_harmonics", "_spread")  # made of contrast and offset
LEAST_SPREAD = 1e-3
SPREAD_METRIC = 0.3  # sd of the log of a spread, where the climb starts
LEAST_CURVATURE = 0.05  # of that of the metric the climb starts with


def rescaled(fitted: Observed, model: Observed, parts: ShardGrid, laplace: Gaussian) -> Gaussian:
    """Return mode and covariance of a model from those of another of the same physics.

    Parameters
    ----------
    fitted, model : Observed
        The model that was fitted, contrast and offset of every angle free, and the one that is
        asked for, of another scaling or noise.
    parts : ShardGrid
        Stacked parts that hold all the data.
    laplace : Gaussian
        Mode and covariance under ``fitted``.
    """
    theta, metric = _carried(fitted, model)(shard(parts, 0), *map(jnp.asarray, laplace))
    if model.scaling.per_angle:
        return Gaussian(*refine(model, parts, theta, metric)[:2])

    def bent(model: Observed, parts: ShardGrid, theta: jax.Array) -> jax.Array:
        found: jax.Array = _curvature(model)(parts, theta, metric)
        return found

    theta = climb(model, parts, theta, metric, bent)[0]
    return Gaussian(theta, bent(model, parts, theta))


def parameter_values(
    key: jax.Array,
    model: Observed,
    whole: ShardGrid,
    theta: jax.Array,
    wanted: Callable[[str], bool] = lambda _: True,
) -> dict[str, np.ndarray]:
    """Return the wanted sites at draws theta (..., d) of the posterior of whole maps.

    Where contrast and offset were integrated out, they are drawn given theta and the maps.
    """
    values = constrain(model, whole, theta, wanted)
    if not model.scaling.integrated:
        return values
    flat = theta.reshape(-1, theta.shape[-1])
    drawn = _scaling_draws(model)(jax.random.split(key, len(flat)), whole, flat)
    drawn = np.asarray(drawn).reshape((*theta.shape[:-1], 2, -1))
    return {**values, **{name: drawn[..., i, :] for i, name in enumerate(PER_ANGLE)}}


def without_data(whole: ShardGrid) -> ShardGrid:
    """Return the same maps with no weight, so that what is drawn given them is the prior."""
    if whole.noise is None:
        return replace(whole, used=jnp.zeros_like(whole.used))
    return replace(whole, noise=replace(whole.noise, weight=jnp.zeros_like(whole.noise.weight)))


@lru_cache(maxsize=16)
def _carried(fitted: Observed, model: Observed) -> Callable[..., Any]:
    """Return how mode and covariance become start and metric in the coordinates of the model.

    New coordinates start at their priors. It is compiled, so that no map is computed for it.
    """

    @jax.jit
    def carried(points: ShardGrid, mean: jax.Array, covariance: jax.Array) -> Any:
        move = partial(_moved, fitted, model, points)
        slope, spread = jax.jacfwd(move)(mean), jnp.diag(_spread(fitted, model, points))
        return move(mean), slope @ covariance @ slope.T + spread

    return carried


def _moved(fitted: Observed, model: Observed, points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return theta (d,) of the fitted model in the coordinates of the model."""
    unravel, size = space(model, points)
    names, priors = unravel(jnp.zeros(size)), dict(model.priors)
    waves = harmonics(points.phi, model.scaling.order)
    project = jnp.linalg.pinv(jnp.column_stack([jnp.ones_like(points.phi), waves]))
    sites = space(fitted, points).unravel(theta)
    values = constrained(fitted, points, sites)[0]
    made = {}
    for name in PER_ANGLE:
        coefficients = project @ values[name]
        spread = jax.lax.stop_gradient(values[name]).std()
        made[f"{name}_mean"], made[f"{name}_harmonics"] = coefficients[0], coefficients[1:]
        made[f"{name}_spread"] = jnp.maximum(spread, LEAST_SPREAD)
    made = {name: value for name, value in made.items() if name in names}
    sites |= unconstrained(model, points, made)
    new = {name: priors[name].loc for name in names if name not in sites}
    return ravel_pytree({name: jnp.asarray({**new, **sites}[name]) for name in names})[0]


def _spread(fitted: Observed, model: Observed, points: ShardGrid) -> jax.Array:
    """Return variances of the coordinates of the model that the fitted one does not tell, (d,)."""
    unravel, size = space(model, points)
    priors, per_angle = dict(model.priors), space(fitted, points)
    known = {*per_angle.unravel(jnp.zeros(per_angle.size))}
    known |= {f"{name}{end}" for name in PER_ANGLE for end in CARRIED}

    def variance(name: str) -> float:
        if name.endswith("_spread"):
            return SPREAD_METRIC**2
        return 0 if name in known else priors[name].scale ** 2

    sites = unravel(jnp.zeros(size))
    return ravel_pytree({name: variance(name) + 0 * x for name, x in sites.items()})[0]


@lru_cache(maxsize=16)
def _curvature(model: Observed) -> Any:
    """Return the inverse curvature at a mode, nowhere much wider than a metric; compiled."""

    @jax.jit
    def curvature(parts: ShardGrid, theta: jax.Array, metric: jax.Array) -> jax.Array:
        scale = jnp.linalg.cholesky(metric)

        def loss(z: jax.Array) -> jax.Array:
            return -log_density(model, parts, standardise(theta, scale, z))

        precision = jax.hessian(loss)(jnp.zeros_like(theta))
        values, vectors = jnp.linalg.eigh(0.5 * (precision + precision.T))
        root = scale @ vectors / jnp.sqrt(jnp.maximum(values, LEAST_CURVATURE))
        return root @ root.T

    return curvature


@lru_cache(maxsize=16)
def _scaling_draws(model: Observed) -> Any:
    """Return draws of contrast and offset, (N, 2, P), of the maps given draws of theta (N, d)."""

    @jax.jit
    def drawn(keys: jax.Array, whole: ShardGrid, theta: jax.Array) -> jax.Array:
        def one(at: tuple[jax.Array, jax.Array]) -> jax.Array:
            return observation(model, whole, at[1]).draw_scaling(at[0], whole.c2)

        return jax.lax.map(one, (keys, theta))

    return drawn
