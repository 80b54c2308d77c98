"""Warm start: variable projection, optax, and the Gauss-Newton covariance at the mode.

The search runs over the physical coordinates only. Contrast and offset of every angle follow
from 2x2 normal equations and the noise scale from the residuals, so the objective is the profile
log-likelihood plus the log prior. It looks at few points; the optima found are polished in all
coordinates, by more points and then, if they are within reach, by all the data, and the one with
the largest share of the posterior kept. The result is a starting point and a metric for sampling,
never a prior.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from homodyne_bayes.inference.density import (
    latent_sites,
    prior_draws,
    space,
    unconstrained,
)
from homodyne_bayes.inference.mode import (
    CANDIDATES_PER_START,
    NUM_STARTS,
    WarmStart,
    descend,
    outcome_of,
)
from homodyne_bayes.likelihood.information import squared_g1
from homodyne_bayes.likelihood.mode import climb, curvature, refine
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.points import ShardGrid

SOLVED = (*PER_ANGLE, "sigma")  # by formulas, given the physical coordinates
NO_MASS = -1e300  # log share of what is not finite
LEAST_CONTRAST = 1e-3
DISTINCT = 0.1  # optima differ by more in some coordinate, in sd of the prior
SEARCHED = 2**11  # points of the search: enough to tell where optima are, not how high
OUT_OF_REACH = 50.0  # log density by some of the points, which all the data only add to


Scaling = tuple[tuple[Any, Any], tuple[Any, Any]]
FLAT: Scaling = ((0.0, jnp.inf), (0.0, jnp.inf))


def warm_start(
    key: jax.Array,
    model: Observed,
    points: ShardGrid,
    parts: ShardGrid,
    num_starts: int = NUM_STARTS,
    start: Mapping[str, float] = MappingProxyType({}),
) -> WarmStart:
    """Find the mode of the posterior and the covariance there.

    Parameters
    ----------
    key : jax.Array
        Random key of the starts, which are draws from the prior: of 32 times as many, half are
        those with the highest objective and half those farthest from any with a higher one.
    model : Observed
        Complete model under independent noise, contrast and offset of every angle sampled.
    points : ShardGrid
        Points (N,) that tell which optima are within reach; the search looks at some of them.
    parts : ShardGrid
        All data in stacked parts, for the polish.
    num_starts : int
        Number of starts.
    start : mapping of str to float
        Values of what is sampled of the fluid, which the user has one of the starts be.
    """
    points = jax.tree.map(np.asarray, points)
    starts, ends, objectives = _search(key, model, _thinned(points), num_starts, start)
    found = [
        (_mass(height, covariance), theta, covariance, norm, iterations)
        for start, metric in _within_reach(model, points, parts, starts[_distinct(ends)])
        for theta, covariance, height, norm, iterations in [refine(model, parts, start, metric)]
    ]
    masses = np.array([mass for mass, *_ in found])
    best = int(masses.argmax())
    _, theta, covariance, norm, iterations = found[best]
    others = [mass for mass, other, *_ in found if not _same(other, theta, covariance)]
    share = 1 / (1 + np.exp(np.array(others) - masses[best]).sum())
    made = outcome_of(theta, covariance, objectives, norm, iterations)
    return made._replace(share=float(share))


def _thinned(points: ShardGrid) -> ShardGrid:
    """Return about `SEARCHED` of points (N,), evenly of all angles, or all of fewer."""
    every = slice(None, None, max(1, points.c2.size // SEARCHED))
    some: Any = {
        name: getattr(points, name)[every] for name in ("c2", "used", "lo", "hi", "phi_index")
    }
    return replace(points, **some)


def _within_reach(
    model: Observed, points: ShardGrid, parts: ShardGrid, starts: jax.Array
) -> list[tuple[jax.Array, jax.Array | None]]:
    """Return where to start on all the data, and a metric there if it is known.

    Where points are some of the data only, starts (k, d) climb by these first, and those that come
    together, or end far below the highest, are left out.
    """
    some, every = (float(np.asarray(grid.used).sum()) for grid in (points, parts))
    if some >= every:
        return [(start, None) for start in starts]
    part = jax.tree.map(lambda leaf: np.asarray(leaf)[None], points)
    kept: list[tuple[float, jax.Array, jax.Array]] = []
    for start in starts:
        metric = curvature(model, part, start)
        theta, height, *_ = climb(model, part, start, metric)
        if not any(_same(other, theta, metric) for _, other, _ in kept):
            kept.append((height, theta, metric))
    highest = max(height for height, *_ in kept)
    return [
        (theta, curvature(model, part, theta, every / some))
        for height, theta, _ in kept
        if not height < highest - OUT_OF_REACH
    ]


def _mass(height: float, covariance: jax.Array) -> float:
    """Return the log share of the posterior around an optimum, but for a constant."""
    mass = height + 0.5 * np.linalg.slogdet(np.asarray(covariance))[1]
    return float(np.nan_to_num(mass, nan=NO_MASS, neginf=NO_MASS))


def _distinct(ends: np.ndarray) -> np.ndarray:
    """Return indices of ends (num_starts, d), in sd of the prior, that differ from all before."""
    distance = np.abs(ends[:, None] - ends).max(axis=-1)
    kept: list[int] = []
    for i, row in enumerate(distance):
        if not kept or row[kept].min() > DISTINCT:
            kept.append(i)
    return np.array(kept)


def _same(other: jax.Array, theta: jax.Array, covariance: jax.Array) -> bool:
    """Return whether two polished optima are one, to half an sd."""
    off = np.abs(np.asarray(other) - np.asarray(theta))
    return not (off > 0.5 * np.sqrt(np.diag(covariance))).any()


def project(
    grid: ShardGrid, shape: jax.Array, priors: Scaling = FLAT, variance: jax.Array | float = 0.0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the best contrast (P,) and offset (P,) and their sum of squares for a given g1².

    Parameters
    ----------
    grid : ShardGrid
        Points and measured values.
    shape : jax.Array
        (N,) g1² of the points.
    priors : tuple
        Mean and sd of contrast and of offset, (P,) each; flat by default.
    variance : float
        Noise variance, with which the priors are weighed against the data.
    """
    (contrast_mean, contrast_sd), (offset_mean, offset_sd) = priors
    weight, num_angles = grid.used.astype(float), grid.phi.shape[0]

    def per_angle(values: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(weight * values, grid.phi_index, num_angles)

    count = per_angle(jnp.ones_like(shape))
    mean_shape, mean_c2 = per_angle(shape) / count, per_angle(grid.c2) / count
    x = shape - mean_shape[grid.phi_index]
    y = grid.c2 - mean_c2[grid.phi_index]
    tiny = jnp.finfo(shape.dtype).eps * count
    pull, offset_pull = variance / contrast_sd**2, variance / offset_sd**2
    joint = count * offset_pull / (count + offset_pull)
    contrast = (
        per_angle(x * y) + joint * mean_shape * (mean_c2 - offset_mean) + pull * contrast_mean
    ) / (per_angle(x * x) + joint * mean_shape**2 + pull + tiny)
    offset = count * (mean_c2 - contrast * mean_shape) + offset_pull * offset_mean
    offset = offset / (count + offset_pull)
    shift = mean_c2 - contrast * mean_shape - offset
    residual = y - contrast[grid.phi_index] * x + shift[grid.phi_index]
    return contrast, offset, (weight * residual**2).sum()


def _search(
    key: jax.Array,
    model: Observed,
    grid: ShardGrid,
    num_starts: int,
    start: Mapping[str, float],
) -> tuple[jax.Array, np.ndarray, np.ndarray]:
    """Return optima in the physical coordinates, (num_starts, ...), the highest first.

    They are theirs in all coordinates and in sd of the prior, and their profile log densities.
    """
    drawn, slopes, filled = _programs(model, CANDIDATES_PER_START * num_starts)
    starts, centre, spread = drawn(key, grid)
    starts = np.asarray(starts)

    def look(u: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return slopes(u, centre, spread, grid)

    losses = np.nan_to_num([float(look(u)[0]) for u in starts], nan=np.inf)
    chosen = starts[_choose(starts, losses, num_starts)]
    if start:
        chosen[-1] = (_flat(model, grid, start) - np.asarray(centre)) / np.asarray(spread)
    found = [descend(look, u, standardised=False) for u in chosen]
    ends, lowest = np.array([end for end, *_ in found]), np.array([loss for _, loss, *_ in found])
    order = np.argsort(lowest)
    return filled(ends[order], centre, spread, grid), ends[order], -lowest[order]


@lru_cache(maxsize=16)
def _programs(model: Observed, num_candidates: int) -> tuple[Callable[..., Any], ...]:
    """Return programs of the search, compiled when first called.

    They draw candidates from the prior in the physical coordinates, in units of its sd, with its
    mean and sd; give loss and slope at one; and fill in the scaling at several.
    """

    def drawn(key: jax.Array, grid: ShardGrid) -> tuple[jax.Array, jax.Array, jax.Array]:
        candidates, whole = prior_draws(key, model, grid, num_candidates), space(model, grid)
        physical_of = _physical(model, grid)[0]
        candidates = jax.vmap(lambda theta: physical_of(whole.unravel(theta)))(candidates)
        centre, spread = candidates.mean(axis=0), candidates.std(axis=0)
        return (candidates - centre) / spread, centre, spread

    def scaled(z: jax.Array, grid: ShardGrid) -> tuple[jax.Array, jax.Array, jax.Array]:
        whole, count = space(model, grid), grid.used.sum()
        sites = {**whole.unravel(jnp.zeros(whole.size)), **_physical(model, grid)[1](z)}
        shape = squared_g1(model, grid, ravel_pytree(sites)[0])
        return project(grid, shape, _scaling(model), project(grid, shape)[2] / count)

    def loss(u: jax.Array, centre: jax.Array, spread: jax.Array, grid: ShardGrid) -> jax.Array:
        *scaling, squares = scaled(centre + spread * u, grid)
        count, priors = grid.used.sum(), _scaling(model)
        pulls = [(v - mean) / sd for v, (mean, sd) in zip(scaling, priors, strict=True)]
        prior = -0.5 * ((u**2).sum() + sum((pull**2).sum() for pull in pulls))
        return 0.5 * count * jnp.log(squares / count) - prior

    def filled(u: jax.Array, centre: jax.Array, spread: jax.Array, grid: ShardGrid) -> jax.Array:
        z = centre + spread * u
        contrast, offset, squares = scaled(z, grid)
        contrast = jnp.maximum(contrast, LEAST_CONTRAST)
        sigma = jnp.sqrt(squares / grid.used.sum())
        scaling = {"contrast": contrast, "offset": offset, "sigma": sigma}
        sampled = latent_sites(model, grid)
        scaling = {name: value for name, value in scaling.items() if name in sampled}
        sites = {**_physical(model, grid)[1](z), **unconstrained(model, grid, scaling)}
        return ravel_pytree(sites)[0]

    several = jax.vmap(filled, in_axes=(0, None, None, None))
    return jax.jit(drawn), jax.jit(jax.value_and_grad(loss)), jax.jit(several)


def _scaling(model: Observed) -> Scaling:
    """Return mean and sd of the priors of contrast and of offset."""
    rows = dict(model.priors)
    return rows["contrast"].around, rows["offset"].around


def _physical(
    model: Observed, grid: ShardGrid
) -> tuple[Callable[[dict[str, jax.Array]], jax.Array], Callable[[jax.Array], Any]]:
    """Return how to ravel the sites that are not scaling, and how to unravel them."""
    example = space(model, grid).unravel(jnp.zeros(space(model, grid).size))
    names = [name for name in example if name not in SOLVED]
    _, unravel = ravel_pytree({name: example[name] for name in names})
    return lambda sites: ravel_pytree({name: sites[name] for name in names})[0], unravel


def _flat(model: Observed, grid: ShardGrid, start: Mapping[str, float]) -> np.ndarray:
    """Return values of what is sampled of the fluid in the physical coordinates, others at 0."""
    whole = space(model, grid)
    values = {name: jnp.asarray(value, float) for name, value in start.items()}
    sites = whole.unravel(jnp.zeros(whole.size)) | unconstrained(model, grid, values)
    return np.asarray(_physical(model, grid)[0](sites))


def _choose(points: np.ndarray, losses: np.ndarray, number: int) -> np.ndarray:
    """Return indices of points (N, d): half of least loss, half farthest from any of less.

    One that is both is there once.
    """
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    alone = np.where(losses < losses[:, None], distance, np.inf).min(axis=1)
    half = number // 2
    chosen = [*np.argsort(losses)[: number - half], *np.argsort(-alone)[:half]]
    return np.array(list(dict.fromkeys(chosen)))
