"""The mode of any NumPyro model's posterior, and the covariance there."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from homodyne_bayes.inference.density import Model, Shard, log_density, prior_draws

NUM_STARTS = 8
CANDIDATES_PER_START = 32
MAX_ITERATIONS = 300
GRADIENT_TOLERANCE = 1e-3  # of the log density, per unit of a standardised coordinate
SAME_OPTIMUM = 0.5  # log density
MEMORY = 30  # steps by which L-BFGS knows the curvature
ENOUGH = 1e-4  # of the descent that the slope promises
HALVINGS = 40  # of a step that does not lead down
REACH = 10.0  # of a first step; one that led down may be followed by one twice as long
ROUNDING = 1e-13  # of a loss, by which it may rise


class WarmStart(NamedTuple):
    """Mode, metric and how the search ended.

    Attributes
    ----------
    theta : jax.Array
        (d,) mode of the posterior density in unconstrained coordinates.
    covariance : jax.Array
        (d, d) inverse of the curvature of the posterior there, or of what stands for it.
    outcome : str
        "converged", "iteration limit" or "not finite".
    objectives : numpy.ndarray
        (num_starts,) log density that each start reached, best first; constants may be missing.
    num_agreeing : int
        Starts that reached the best optimum, to within `SAME_OPTIMUM`.
    gradient_norm : float
        Norm of the gradient at ``theta`` in standardised coordinates.
    share : float
        Part of the posterior that is around ``theta``, of that around all optima that were reached,
        by Laplace's method.
    """

    theta: jax.Array
    covariance: jax.Array
    outcome: str
    objectives: np.ndarray
    num_agreeing: int
    gradient_norm: float
    share: float = 1.0


def laplace(key: jax.Array, model: Model, parts: Shard, num_starts: int = NUM_STARTS) -> WarmStart:
    """Find the mode of any NumPyro model's posterior and the covariance there.

    Parameters
    ----------
    key : jax.Array
        Random key of the starts, which are draws from the prior: of `CANDIDATES_PER_START` times
        as many, those with the highest density.
    model : callable
        NumPyro function of one shard.
    parts : pytree
        All data in stacked parts, leading axis J on every leaf.
    num_starts : int
        Number of starts.

    Returns
    -------
    WarmStart
        The covariance is the inverse of the negative Hessian; ``share`` is not looked into.
    """
    drawn, slopes, curvature = _laplace_programs(model, CANDIDATES_PER_START * num_starts)
    candidates = np.asarray(drawn(key, parts))
    centre, spread = candidates.mean(axis=0), candidates.std(axis=0)

    def look(u: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return slopes(u, centre, spread, parts)

    starts = (candidates - centre) / spread
    losses = np.nan_to_num([float(look(u)[0]) for u in starts], nan=np.inf)
    chosen = starts[np.argsort(losses)[:num_starts]]
    found = [descend(look, u, standardised=False) for u in chosen]
    end, _, norm, iterations = min(found, key=lambda one: one[1])
    theta = jnp.asarray(centre + spread * end)
    heights = -np.array([lowest for _, lowest, *_ in found])
    return outcome_of(theta, curvature(theta, parts), heights, norm, iterations)


def outcome_of(
    theta: jax.Array,
    covariance: jax.Array,
    objectives: np.ndarray,
    norm: float,
    iterations: int,
) -> WarmStart:
    """Return the mode with what is to be said of the search.

    Parameters
    ----------
    theta, covariance : jax.Array
        (d,) and (d, d) of the best optimum.
    objectives : numpy.ndarray
        (num_starts,) log density that each start reached, in any order.
    norm, iterations : float, int
        Norm of the gradient at ``theta``, and iterations that it took.
    """
    best_first = np.sort(objectives)[::-1]
    if not (np.isfinite(covariance).all() and np.isfinite(theta).all()):
        outcome = "not finite"
    elif iterations >= MAX_ITERATIONS:
        outcome = "iteration limit"
    else:
        outcome = "converged"
    agreeing = int((best_first > best_first[0] - SAME_OPTIMUM).sum())
    return WarmStart(theta, covariance, outcome, best_first, agreeing, norm)


def descend(
    value_and_slope: Callable[[np.ndarray], tuple[Any, Any]],
    start: np.ndarray,
    standardised: bool = True,
    patience: float = np.inf,
) -> tuple[np.ndarray, float, float, int]:
    """Minimise by L-BFGS, driven from outside of JAX, until the gradient is small.

    A step is one call where the curvature is known well enough. Steps grow by a factor of 2 at
    most, so that a descent from afar does not leap over the optimum.

    Parameters
    ----------
    value_and_slope : callable
        Loss at a point (n,), and its gradient, (n,).
    start : numpy.ndarray
        (n,) where to start.
    standardised : bool
        Whether the curvature is nearly that of a unit matrix, so that the first step is Newton's;
        otherwise it is no longer than one.
    patience : float
        Looks at the loss after which no other step is begun.

    Returns
    -------
    end : numpy.ndarray
        (n,) the last point; NaN where the loss is not finite at the start.
    lowest, norm, iterations : float, float, int
        The loss there, the norm of its gradient, and steps; `MAX_ITERATIONS` where they did not
        lead to a small gradient.
    """

    def look(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = value_and_slope(point)
        return float(value), np.asarray(slope)

    begin, direction = _directions(standardised)
    point = np.asarray(start, float)
    (value, slope), state, reach, looks = look(point), begin(point), REACH, 1
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        return np.full_like(point, np.nan), np.inf, np.nan, 0
    for iteration in range(MAX_ITERATIONS):
        norm = float(np.linalg.norm(slope))
        if norm <= GRADIENT_TOLERANCE:
            return point, value, norm, iteration
        if looks >= patience:
            break
        step, state = direction(slope, state, point)
        step = np.asarray(step)
        if not slope @ step < 0:
            step, state = -slope / max(1.0, norm), begin(point)
        step = step * min(1.0, reach / float(np.linalg.norm(step)))
        for _ in range(HALVINGS):
            lower, other = look(point + step)
            looks += 1
            allowed = value + ENOUGH * slope @ step + ROUNDING * abs(value)
            if lower <= allowed and np.isfinite(other).all():
                break
            step = 0.5 * step
        else:
            break
        point, value, slope = point + step, lower, other
        reach = max(REACH, 2 * float(np.linalg.norm(step)))
    return point, value, float(np.linalg.norm(slope)), MAX_ITERATIONS


@lru_cache
def _directions(standardised: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the first state of L-BFGS at a point, and the next step and state; compiled."""
    solver = optax.scale_by_lbfgs(MEMORY, scale_init_precond=not standardised)

    def direction(slope: jax.Array, state: Any, point: jax.Array) -> tuple[jax.Array, Any]:
        upwards, state = solver.update(slope, state, point)
        return -jnp.asarray(upwards), state

    return jax.jit(solver.init), jax.jit(direction)


@lru_cache(maxsize=16)
def _laplace_programs(model: Model, num_candidates: int) -> tuple[Callable[..., Any], ...]:
    """Return draws of the prior, loss and slope, and covariance; compiled when first called."""

    def drawn(key: jax.Array, parts: Shard) -> jax.Array:
        first = jax.tree.map(lambda leaf: leaf[0], parts)
        return prior_draws(key, model, first, num_candidates)

    def loss(u: jax.Array, centre: jax.Array, spread: jax.Array, parts: Shard) -> jax.Array:
        return -log_density(model, parts, centre + spread * u)

    def curvature(theta: jax.Array, parts: Shard) -> jax.Array:
        precision = -jax.hessian(lambda at: log_density(model, parts, at))(theta)
        return jnp.linalg.inv(0.5 * (precision + precision.T))

    return jax.jit(drawn), jax.jit(jax.value_and_grad(loss)), jax.jit(curvature)
