"""The true scatter of scores: what single pixels of speckle say about theta.

The working covariance of `homodyne_bayes.likelihood.covariance` has the right second moments of
the intensity; sums over many entries, which parameters are, have third and fourth cumulants too.
They are those of single simulated pixels, or of measured groups of pixels.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.density import observation
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.entries import average, average_matrix, listed, rows_and_columns
from homodyne_bayes.likelihood.information import own_places, slopes
from homodyne_bayes.likelihood.misfit import Joint, directions, fields
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics import simulate
from homodyne_bayes.physics.points import ShardGrid

NUM_PIXELS = 4000  # simulated of every angle, if not more than
ALL_PIXELS = 12_000  # of all angles together, which have one η; but not fewer than
LEAST_PIXELS = 1000  # of an angle
MAX_MODES = 50  # simulated; fainter speckle is scaled down from this


class Plugged(NamedTuple):
    """What the noise of P angles is made of.

    Attributes
    ----------
    contrast, nugget : jax.Array
        (P,) β and e.
    field : jax.Array or None
        (P, G, G) signed or complex correlation of the field; None where it is not needed any more.
    """

    contrast: jax.Array
    nugget: jax.Array
    field: Any

    @property
    def g1_squared(self) -> jax.Array:
        """(P, G, G) g1²."""
        return jnp.abs(self.field) ** 2


class Moments(NamedTuple):
    """What one map says in its k own coordinates and w directions of misfit.

    Attributes
    ----------
    places : jax.Array
        (k,) of the own coordinates in theta.
    information : jax.Array
        (k + w, k + w) Xᵀ K⁻¹ X.
    scatter, jackknife : jax.Array
        (k + w, k + w) covariance of Xᵀ K⁻¹ ψ, with ψ of a single simulated pixel; covariance of
        Xᵀ K⁻¹ r by leaving out one measured group of pixels after the other, 0 without groups.
    speckle : jax.Array
        (k + w, k + w) what of the scatter comes of the speckle and not of counting, for one pixel,
        by second moments alone.
    score : jax.Array
        (k + w,) Xᵀ K⁻¹ r.
    trace, squares : jax.Array
        Expectation of ψᵀ K⁻¹ ψ, and rᵀ K⁻¹ r.
    """

    places: jax.Array
    information: jax.Array
    scatter: jax.Array
    jackknife: jax.Array
    speckle: jax.Array
    score: jax.Array
    trace: jax.Array
    squares: jax.Array


def moments(
    key: jax.Array,
    model: Observed,
    grids: ShardGrid,
    theta: jax.Array,
    plugged: Plugged,
    group_c2: np.ndarray | None = None,
    shares: np.ndarray | None = None,
) -> Moments:
    """Return the moments of every angle of stacked maps, in their order.

    ``shares`` (P,) are flags of maps whose speckle is also that of another; none by default.
    """
    if shares is None:
        shares = np.zeros(len(plugged.field), bool)
    keys = jax.random.split(key, len(plugged.field))
    num_pixels = max(LEAST_PIXELS, min(NUM_PIXELS, ALL_PIXELS // len(keys)))
    simulated = min(max(float(plugged.contrast.max()), 1 / MAX_MODES), 1.0)
    modes = simulate.mode_weights(simulated)
    weights = np.pad(modes, (0, MAX_MODES - len(modes)))  # one program for any contrast
    groups = None if group_c2 is None else jnp.asarray(np.nan_to_num(group_c2), float)
    angles = keys, grids, plugged, groups, plugged.contrast / simulated, jnp.asarray(shares)
    found: Moments = _moments(model, num_pixels)(angles, theta, weights)
    return found


def assemble(
    found: Moments, weight: np.ndarray, num_pixels: np.ndarray, share: np.ndarray, d: int
) -> Joint:
    """Add up the moments of all angles, each with its weight w: w I, w² J / M and w u.

    Maps with a ``share`` (P, P) of the same speckle scatter together.
    """
    places = [np.asarray(own) for own in found.places]
    total = d + found.score.shape[1] - found.places.shape[1]
    joint = Joint(np.zeros((total, total)), np.zeros((total, total)), np.zeros(total))
    for p, w in enumerate(weight):
        here = np.concatenate([places[p], np.arange(d, total)])
        jackknife = np.asarray(found.jackknife[p])
        scatter = jackknife if jackknife.any() else np.asarray(found.scatter[p]) / num_pixels[p]
        joint.information[np.ix_(here, here)] += w * np.asarray(found.information[p])
        joint.scatter[np.ix_(here, here)] += w**2 * scatter
        joint.score[here] += w * np.asarray(found.score[p])
        for other in np.flatnonzero(share[p]):
            there = np.concatenate([places[other], np.arange(d, total)])
            both = w * weight[other] / np.sqrt(num_pixels[p] * num_pixels[other])
            speckle = np.asarray(found.speckle[p] + found.speckle[other]) / 2
            joint.scatter[np.ix_(here, there)] += share[p, other] * both * speckle
    return joint


@lru_cache(maxsize=16)
def _moments(model: Observed, num_pixels: int) -> Any:
    """Return the moments of all single-map shards, compiled when first called."""

    @jax.jit
    def all_maps(angles: Any, theta: jax.Array, weights: jax.Array) -> Moments:
        return jax.lax.map(lambda angle: _of_map(model, num_pixels, theta, weights, angle), angles)

    return all_maps


def _of_map(
    model: Observed, num_pixels: int, theta: jax.Array, weights: jax.Array, angle: Any
) -> Moments:
    """Return the moments of one map, with the weights of the modes of its simulated pixels."""
    key, grid, plugged, groups, ratio, shares = angle
    noise, places = grid.noise, own_places(model, grid)
    mean_slopes = slopes(model, grid, theta, places)
    X = jnp.concatenate([mean_slopes, directions(grid, fields(model, grid, theta))])
    residual = grid.c2 - observation(model, grid, theta).loc
    maps = average(jnp.concatenate([X, residual]), noise.entries)[:, None]
    products = covariance.gram(noise, maps)[0]
    half = covariance.half_solved(noise, maps[:-1])[:, 0]
    s = ratio * weights @ weights * plugged.g1_squared
    x = deviations(key, plugged.field, weights, ratio, plugged.nugget, num_pixels)
    score, quadratic = single_pixel(x, half, noise, s)
    nothing = jnp.zeros((len(X),) * 2)
    return Moments(
        places,
        products[:-1, :-1],
        jnp.cov(score.T, ddof=0),
        nothing if groups is None else _left_out(half, noise, groups),
        jax.lax.cond(shares, lambda: _of_speckle(half, noise, s), lambda: nothing),
        products[:-1, -1],
        quadratic.mean(),
        products[-1, -1],
    )


def _left_out(half: jax.Array, noise: WorkingCovariance, groups: jax.Array) -> jax.Array:
    """Return the covariance of scores by leaving out one group of pixels (H, G, G) after another.

    ``half`` (k, m, m) is what `covariance.half_solved` makes of the directions.
    """
    Y = half @ noise.precision
    of_group = 0.5 * jnp.einsum("iab,hab->hi", Y, average(groups, noise.entries))
    of_group = (of_group - of_group.mean(axis=0)) / (len(groups) - 1)
    return (1 - 1 / len(groups)) * of_group.T @ of_group


def _of_speckle(half: jax.Array, noise: WorkingCovariance, s: jax.Array) -> jax.Array:
    """Return ½ tr(s Y s Y') of every two directions, the scatter by second moments."""
    turned = (noise.precision @ average(s, noise.entries)) @ half
    return 0.5 * jnp.einsum("iab,jba->ij", turned, turned)


def deviations(
    key: jax.Array,
    field: jax.Array,
    weights: jax.Array,
    ratio: Any,
    nugget: Any,
    num_pixels: int,
) -> jax.Array:
    """Return relative deviations of the intensity of independent pixels, (num_pixels, G).

    ``field`` is the correlation of the field, (G, G), signed or complex. The contrast is ``ratio``
    times that of modes with these weights. A pair of entries holds no
    frame more than twice, so that shot noise enters its covariance by its variance alone, e times
    the intensity; Normal noise of that variance does for counts.
    """
    speckle_key, shot_key = jax.random.split(key)
    values, vectors = jnp.linalg.eigh(field)
    root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
    root = root / jnp.sqrt((jnp.abs(root) ** 2).sum(axis=1, keepdims=True))
    y = jnp.sqrt(ratio) * (simulate.intensity(speckle_key, root, weights, num_pixels) - 1)
    counted = jnp.maximum(1 + y, 0.0)  # a contrast above 1, as hot pixels make it, is no speckle's
    return y + jnp.sqrt(nugget * counted) * jax.random.normal(shot_key, y.shape)


def single_pixel(
    x: jax.Array, half: jax.Array, noise: WorkingCovariance, s: jax.Array
) -> tuple[jax.Array, jax.Array]:
    r"""Return XᵀK⁻¹ψ and ψᵀK⁻¹ψ of single pixels, ψ_ab = x_a x_b - s_ab (1 + x_a + x_b) averaged.

    With T the average over bins, z = Tx, σ = T s Tᵀ and M = T diag(x) s Tᵀ, ψ is
    z zᵀ - σ - M - Mᵀ, so that no pixel needs more than products of matrices with x and z.

    Parameters
    ----------
    x : jax.Array
        (B, G) relative deviations of the intensity from its mean.
    half : jax.Array
        (k, m, m) what `covariance.half_solved` makes of X.
    noise : WorkingCovariance
        Of this angle, leading axis 1.
    s : jax.Array
        (G, G) contrast times g1².

    Returns
    -------
    score, quadratic : jax.Array
        (B, k) and (B,).
    """
    P, U = noise.precision[0], noise.inverse[0]
    T = average_matrix(noise.entries, len(P))
    z, sT = x @ T.T, s @ T.T
    sigma = T @ sT
    PT, Pz, sP = P @ T, z @ P, sT @ P
    bins = jnp.arange(x.shape[1]) // noise.entries.bin_frames

    def along(half: jax.Array) -> jax.Array:
        linear = noise.entries.frame_weight[0] * (half[bins] * sP).sum(axis=1)
        constant = 0.5 * (half * (P @ sigma).T).sum()
        return 0.5 * ((z @ half) * Pz).sum(axis=1) - constant - x @ linear

    score = jax.lax.map(along, half).T
    P_sigma_P = P @ sigma @ P
    i, j = rows_and_columns(noise.entries)
    moving = PT[i] * sP.T[j] + PT[j] * sP.T[i]
    b = Pz[:, i] * Pz[:, j] - listed(noise.entries, P_sigma_P[None])[0] - x @ moving.T
    marginal = ((b @ U) * b).sum(axis=1)
    if noise.entries.measured:
        return score, -0.5 * marginal
    H = sP @ T
    trace = (z * Pz).sum(axis=1) ** 2 + (P_sigma_P * sigma).sum()
    trace += 2 * (x * (x @ (H * H.T + (T.T @ PT) * (sP @ sT.T)))).sum(axis=1)
    trace += -2 * (z * (z @ P_sigma_P)).sum(axis=1) + 4 * x @ jnp.diag(sP @ sigma @ PT)
    trace += -4 * ((z @ PT) * x * (z @ sP.T)).sum(axis=1)
    return score, 0.5 * (trace - marginal)
