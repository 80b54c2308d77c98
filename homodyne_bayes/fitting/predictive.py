r"""Cuts of two-time maps along the lag: measured, and as prior and posterior expect them.

A point of a cut averages the n entries :math:`(s, s + l)` whose starts s are of about one age. It
scatters about the curve of the right parameters with the variance

.. math:: v \sum_{s s'} \frac{S_{ss'} S_{s+l,s'+l} + S_{s,s'+l} S_{s+l,s'}}{n^2}

under the working covariance K of speckle (`homodyne_bayes.likelihood.covariance`), v its factor,
and :math:`\sigma^2 / n` where entries scatter independently. What would be measured again
scatters by that and by the posterior of the curve.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.entries import Entries
from homodyne_bayes.likelihood.estimate import Estimate
from homodyne_bayes.likelihood.information import mean_c2, squared_g1
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics.points import ShardGrid

AGES = (0.0, 0.3, 0.6)  # where cuts begin, of the record
AGE_WIDTH = 0.05  # of the record
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the quantiles that are kept


Pair = tuple[np.ndarray, np.ndarray]


class Cuts(NamedTuple):
    """Which entries of P maps of G frames the points of A cuts average, at lags 1 to L = G - 1.

    Attributes
    ----------
    starts, ends : numpy.ndarray
        (P, A, n, 1) and (P, A, n, L) frames of the two times.
    weight : numpy.ndarray
        (P, A, n, L) share of an entry in its point; 0 for one that is not measured, or of a lag
        that not all starts have.
    """

    starts: np.ndarray
    ends: np.ndarray
    weight: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """(P, A, L) whether a point averages anything."""
        return self.weight.any(axis=2)


class Bands(NamedTuple):
    """Quantiles of cuts at `LEVELS`, (5, P, A, L), NaN where nothing is measured.

    Attributes
    ----------
    posterior, prior : numpy.ndarray
        Of the curve.
    replicated : numpy.ndarray
        Of what would be measured again.
    """

    posterior: np.ndarray
    prior: np.ndarray
    replicated: np.ndarray


def cuts_of(pairs: np.ndarray) -> Cuts:
    """Return the cuts of maps whose pairs of frames have a value, (P, G, G), or not."""
    angles, G = np.arange(len(pairs))[:, None, None, None], pairs.shape[1]
    usable = pairs.any(axis=2)
    of_map = [[_starts(np.flatnonzero(frames), age) for age in AGES] for frames in usable]
    most = max(len(starts) for ages in of_map for starts in ages)
    real = np.array([[np.arange(most) < len(starts) for starts in ages] for ages in of_map])
    starts = np.array(
        [
            [np.pad(starts, (0, most - len(starts)), mode="edge") for starts in ages]
            for ages in of_map
        ]
    )[..., None]
    lags = np.arange(1, G)
    ends = np.minimum(starts + lags, G - 1)
    known = real[..., None] & (starts[:, :, -1:] + lags < G) & pairs[angles, starts, ends]
    return Cuts(starts, ends, known / np.maximum(known.sum(axis=2, keepdims=True), 1))


def cut(maps: Any, cuts: Cuts) -> jax.Array:
    """Return the cuts of finite maps (P, G, G), (P, A, L), 0 where nothing is measured."""
    angle = np.arange(len(maps))[:, None, None, None]
    return (maps[angle, cuts.starts, cuts.ends] * cuts.weight).sum(axis=2)


def measured(c2: np.ndarray, cuts: Cuts) -> np.ndarray:
    """Return the measured points, (P, A, L), of maps (P, G, G), NaN where there is none."""
    return np.where(cuts.known, cut(np.nan_to_num(c2), cuts), np.nan)


def mean_maps(model: Observed, maps: ShardGrid, theta: Any, scaling: Any) -> np.ndarray:
    """Return the mean of c2 over draws, (P, G, G).

    Parameters
    ----------
    model : Observed
        Complete model.
    maps : ShardGrid
        All P maps, each a part of its own, which are looked at one after the other.
    theta : array
        (S, d) coordinates.
    scaling : tuple of array
        Contrast and offset, (S, P) each.
    """
    found = _mean_maps(model)(replace(maps, noise=None), (jnp.asarray(theta), *scaling))
    return np.asarray(found)[:, 0]


def expected_cuts(
    model: Observed, maps: ShardGrid, theta: Any, scaling: Any, cuts: Cuts
) -> np.ndarray:
    """Return the cuts of c2 at every draw, (S, P, A, L); arguments as of `mean_maps`."""
    draws = jnp.asarray(theta), *scaling
    found = _expected_cuts(model)(replace(maps, noise=None), draws, cuts)
    return np.moveaxis(np.asarray(found), 0, 1)


def intensity(model: Observed, maps: ShardGrid, estimate: Estimate) -> np.ndarray:
    """Return the covariance S of the intensity of a pixel in two frames, (P, G, G).

    ``maps`` are each a part of its own, looked at one after the other.
    """
    points = replace(maps, noise=None)
    made = _intensity(model)(points, estimate.theta, estimate.contrast, estimate.nugget)
    return np.asarray(made)[:, 0]


def speckle_scatter(S: np.ndarray, scale: np.ndarray, cuts: Cuts) -> np.ndarray:
    """Return the sd of measured points about the curve of the right parameters, (P, A, L).

    Parameters
    ----------
    S : numpy.ndarray
        (P, G, G) covariance of the intensity.
    scale : numpy.ndarray
        (P,) factor of the working covariance.
    cuts : Cuts
        Of the same maps.
    """
    variance = np.zeros(cuts.known.shape)
    for p, a in np.ndindex(variance.shape[:2]):
        start, end, weight = cuts.starts[p, a, :, 0], cuts.ends[p, a], cuts.weight[p, a]
        K = _covariance(S[p], (start[:, None, None], end[:, None]), (start[:, None], end))
        variance[p, a] = scale[p] * np.einsum("sl,tl,stl->l", weight, weight, K)
    return np.sqrt(variance)


def covariance_of_points(
    S: np.ndarray, start: np.ndarray, end: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return how N points of one map scatter together, (N, N), for a factor of 1.

    ``start``, ``end`` and ``weight`` are those of the n entries of every point, (N, n).
    """
    rows = []
    for a, b, own in zip(start, end, weight, strict=True):
        K = _covariance(S, (a[:, None, None], b[:, None, None]), (start, end))
        rows.append(np.einsum("s,nt,snt->n", own, weight, K))
    return np.reshape(rows, (len(start),) * 2)


def _covariance(S: np.ndarray, one: Pair, other: Pair) -> np.ndarray:
    """Return the working covariance of entries at pairs of frames that broadcast together."""
    (a, b), (c, d) = one, other
    return S[a, c] * S[b, d] + S[a, d] * S[c, b]


def independent_scatter(sigma: float, cuts: Cuts) -> np.ndarray:
    """Return the same, (P, A, L), where entries scatter independently with this scale."""
    return sigma * np.sqrt((cuts.weight**2).sum(axis=2))


def bands(posterior: np.ndarray, prior: np.ndarray, scatter: np.ndarray, cuts: Cuts) -> Bands:
    """Return the bands of curves (S, P, A, L) whose measured points have this sd (P, A, L).

    What would be measured again is taken as Normal.
    """
    total = np.sqrt(posterior.var(axis=0) + scatter**2)
    z = scipy.stats.norm.ppf(LEVELS)[:, None, None, None]
    drawn = (
        *(np.quantile(values, LEVELS, axis=0) for values in (posterior, prior)),
        posterior.mean(axis=0) + z * total,
    )
    return Bands(*(np.where(cuts.known, values, np.nan) for values in drawn))


def _starts(frames: np.ndarray, age: float) -> np.ndarray:
    """Return the usable frames at which entries of one age start."""
    first = int(age * len(frames))
    return frames[first : first + max(1, int(AGE_WIDTH * len(frames)))]


@lru_cache(maxsize=16)
def _intensity(model: Observed) -> Any:
    """Return S of map after map, compiled when first called."""

    @jax.jit
    def over(maps: ShardGrid, theta: jax.Array, contrast: jax.Array, nugget: jax.Array) -> Any:
        def one(of: tuple[ShardGrid, jax.Array, jax.Array]) -> jax.Array:
            g1_squared = squared_g1(model, of[0], theta)
            every = Entries(jnp.ones(g1_squared.shape[:2]))
            return covariance.intensity_covariance(g1_squared, *of[1:], every)

        return jax.lax.map(one, (maps, contrast, nugget))

    return over


@lru_cache(maxsize=16)
def _mean_maps(model: Observed) -> Any:
    """Return the mean over draws of map after map, compiled when first called."""

    @jax.jit
    def over(maps: ShardGrid, draws: tuple[jax.Array, ...]) -> jax.Array:
        def one(part: ShardGrid) -> jax.Array:
            def add(total: jax.Array, at: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
                return total + mean_c2(model, part, *at), None

            return jax.lax.scan(add, jnp.zeros(part.c2.shape), draws)[0] / len(draws[0])

        return jax.lax.map(one, maps)

    return over


@lru_cache(maxsize=16)
def _expected_cuts(model: Observed) -> Any:
    """Return the cuts at every draw of map after map, compiled when first called."""

    @jax.jit
    def over(maps: ShardGrid, draws: tuple[jax.Array, ...], cuts: Cuts) -> jax.Array:
        def one(of: tuple[ShardGrid, Cuts]) -> jax.Array:
            part, own = of
            ends: Any = {"lo": own.starts, "hi": own.ends, "used": own.ends < 0}
            points = replace(part, c2=jnp.full(own.ends.shape, jnp.nan), **ends)

            def at_draw(at: tuple[jax.Array, ...]) -> jax.Array:
                return (mean_c2(model, points, *at) * own.weight).sum(axis=1)

            return jax.lax.map(at_draw, draws)

        return jax.lax.map(one, (maps, cuts))

    return over
