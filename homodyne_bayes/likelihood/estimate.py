"""The noise of measured maps: the working covariance, how far it is right, and what remains.

From the least squares fit come the contrast β and g1; shot noise adds a nugget e, found by maximum
likelihood, in large maps that of windows of frames. Both are those of a wavevector, where the
speckle has one intensity. The fit is made again with the working covariance, and once more with
what that gives. Single entries are as scattered as the working covariance says, but sums over many
entries, which parameters are, have third and fourth cumulants too. Simulated pixels of the same β,
g1 and e give the true covariance of the score, and one number η widens the likelihood to it.
Different angles and wavevectors are different pixels, and independent.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.optimize
from jax.flatten_util import ravel_pytree

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.inference.density import constrained, observation, space
from homodyne_bayes.inference.each import on_host
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import LOG_2PI, WorkingCovariance
from homodyne_bayes.likelihood.entries import Entries, entries_of, num_pairs
from homodyne_bayes.likelihood.frames import Frames, frames
from homodyne_bayes.likelihood.information import physical, prior_of
from homodyne_bayes.likelihood.misfit import Joint, lack_of_fit, whitened
from homodyne_bayes.likelihood.mode import climb, curvature, refine
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.likelihood.pixels import Plugged, assemble, moments
from homodyne_bayes.likelihood.same_speckle import same_speckle
from homodyne_bayes.physics.kernels import wavevector
from homodyne_bayes.physics.points import ShardGrid, shard

NUM_REFITS = 2
NUGGETS = np.geomspace(1e-7, 1e7, 15)  # of the contrast
HOPELESS = 1e100  # loss of a nugget for which there is none
WINDOW, NUM_WINDOWS = 256, 8  # bins of frames, and maps, that tell the nugget to a percent


class Estimate(NamedTuple):
    """The noise of measured maps and the fit under it.

    Attributes
    ----------
    noise : WorkingCovariance
        Of all angles; ``weight`` includes η.
    theta, covariance : jax.Array
        (d,) mode and (d, d) Laplace covariance of the posterior under it.
    contrast, nugget : numpy.ndarray
        (P,) β, and the shot noise e, one over the photons of a pixel in a frame; the same for all
        angles of a wavevector.
    eta : float
        η, the part of the working information that is real.
    num_pixels : numpy.ndarray
        (P,) independent pixels of every angle.
    scale : numpy.ndarray
        (P,) factor of the working covariance K that makes it that of the measured entries.
    log_likelihood : float
        Of the maps at the mode under the working covariance, without η.
    whitened : numpy.ndarray
        (P, m, m) residuals without their correlations.
    lack_of_fit : pandas.DataFrame
        chi2, dof and p of every kind of misfit.
    frames : Frames
        What stands out of single frames.
    same : numpy.ndarray
        (P, P) how much of the speckle of every two maps is the same.
    """

    noise: WorkingCovariance
    theta: jax.Array
    covariance: jax.Array
    contrast: np.ndarray
    nugget: np.ndarray
    eta: float
    num_pixels: np.ndarray
    scale: np.ndarray
    log_likelihood: float
    whitened: np.ndarray
    lack_of_fit: pd.DataFrame
    frames: Frames
    same: np.ndarray


def estimate(
    key: jax.Array,
    least_squares: Observed,
    model: Observed,
    maps: ShardGrid,
    data: TwoTimeData,
    start: jax.Array,
    bin_frames: int = 1,
    reweighted: Callable[[WorkingCovariance], WorkingCovariance] | None = None,
) -> Estimate:
    """Find the noise of the maps, and the mode of the posterior under it.

    Parameters
    ----------
    key : jax.Array
        Random key of the simulated pixels.
    least_squares, model : Observed
        The same model under independent noise and under this one, contrast and offset of every
        angle sampled.
    maps : ShardGrid
        Every map a part of its own, without noise.
    data : TwoTimeData
        The measured maps.
    start : jax.Array
        Least squares fit, in the coordinates of ``least_squares``.
    bin_frames : int
        Frames averaged together in residuals.
    reweighted : callable, optional
        Makes of the working covariance that of the likelihood, where it is another.

    Raises
    ------
    InputError
        If no noise is found, or no mode under it.
    """
    entries = entries_of(data, bin_frames)
    theta = carried(least_squares, model, shard(maps, 0), start)
    noise: Any
    noisy: Any
    for _ in range(NUM_REFITS):
        noise = noisy = None  # those of all maps take twice their memory
        at = theta
        plugged, residual = plug_in(model, maps, at)
        plugged = with_nugget(plugged, residual, entries, data.wavevectors)
        noise = scaled(working(plugged, entries), residual, theta.size)
        plugged = plugged._replace(field=None)
        del residual
        noisy = with_noise(maps, noise)
        theta = climb(model, noisy, theta, curvature(model, noisy, theta))[0]
    plugged = plugged._replace(field=plug_in(model, maps, at)[0].field)
    look = partial(moments, key, model, plugged=plugged, group_c2=data.group_c2)
    residual, speckle, before = plug_in(model, maps, theta)[1], noise, None
    if reweighted is not None:
        before = look(noisy, theta)
        noise = scaled(reweighted(noise), residual, theta.size)
        noisy = with_noise(maps, noise)
        theta = climb(model, noisy, theta, curvature(model, noisy, theta))[0]
        residual = plug_in(model, maps, theta)[1]
    same = same_speckle(speckle, residual, plugged.nugget, data)
    measured = look(noisy, theta, shares=same.any(axis=1))
    of_pixels = measured if before is None else before
    num_pixels = np.asarray(of_pixels.trace / of_pixels.squares)
    joint = assemble(measured, np.asarray(noise.weight), num_pixels, same, theta.size)
    first = shard(noisy, 0)
    prior = prior_of(model, first, theta)
    eta = real_part(joint, prior, physical(model, first))
    height = (noise.log_norm - 0.5 * noise.weight * measured.squares).sum()
    noise = with_weight(noise, eta * noise.weight)
    noisy = with_noise(maps, noise)
    theta, posterior = refine(model, noisy, theta)[:2]
    _check_found(noise, theta)
    residual = plug_in(model, maps, theta)[1]
    smooth, plugged = _smooth(plugged), plugged._replace(field=None)
    single = frames(with_weight(speckle, eta * speckle.weight), residual, smooth)
    return Estimate(
        noise=on_host(noise),
        theta=theta,
        covariance=posterior,
        contrast=np.asarray(plugged.contrast),
        nugget=np.asarray(plugged.nugget),
        eta=eta,
        num_pixels=num_pixels,
        scale=1 / np.asarray(speckle.weight),
        log_likelihood=float(height),
        whitened=whitened(speckle, residual).astype(np.float32),
        lack_of_fit=pd.concat([lack_of_fit(joint, prior), single.tests()]),
        frames=single,
        same=same,
    )


def _check_found(noise: WorkingCovariance, theta: jax.Array) -> None:
    """Raise `InputError` if no noise was found, or no mode under it."""
    if not np.isfinite(np.concatenate([np.asarray(noise.weight), np.asarray(theta)])).all():
        raise InputError(
            "expected maps whose noise can be told from their residuals, found that no model fits "
            "them well: a baseline far from 1 is made by hot pixels and by maps that are not "
            "normalised, see `homodyne-bayes inspect`; mask such pixels, widen --prior "
            "offset=1,0.5, or choose --noise independent, whose intervals are too narrow"
        )


def with_noise(maps: ShardGrid, noise: WorkingCovariance) -> ShardGrid:
    """Return stacked single maps with the noise of each, both in the memory of the host."""
    return replace(maps, noise=jax.tree.map(lambda leaf: leaf[:, None], on_host(noise)))


def laplace_under(
    least_squares: Observed, model: Observed, maps: ShardGrid, start: jax.Array
) -> Gaussian:
    """Return mode and covariance of the posterior of maps under the noise that they hold.

    Parameters
    ----------
    least_squares, model, start
        As in `estimate`.
    maps : ShardGrid
        Every map a part of its own, with noise.
    """
    theta = carried(least_squares, model, shard(maps, 0), start)
    return Gaussian(*refine(model, maps, theta)[:2])


def carried(
    least_squares: Observed, model: Observed, points: ShardGrid, theta: jax.Array
) -> jax.Array:
    """Return theta of the least squares fit without what the noise of the model has not."""
    others = {row.name for row in least_squares.noise.parameters}
    kept = others & {row.name for row in model.noise.parameters}
    sites = space(least_squares, points).unravel(theta)
    return ravel_pytree({n: v for n, v in sites.items() if n not in others - kept})[0]


def plug_in(model: Observed, maps: ShardGrid, theta: jax.Array) -> tuple[Plugged, jax.Array]:
    """Return β and field of a fit, without a nugget, and its residuals, (P, G, G)."""
    contrast, field, residual = on_host(_fitted(model)(replace(maps, noise=None), theta))
    return Plugged(contrast, np.zeros_like(contrast), field), residual


@jax.jit
def working(plugged: Plugged, entries: Entries) -> WorkingCovariance:
    """Return the working covariance, not yet scaled, made of one map after the other."""

    def one(angle: tuple[Plugged, Entries]) -> Any:
        plugged, entries = jax.tree.map(lambda leaf: leaf[None], angle)
        S = covariance.intensity_covariance(
            plugged.g1_squared, plugged.contrast, plugged.nugget, entries
        )
        return jax.tree.map(lambda leaf: leaf[0], covariance.factorise(S, entries))

    precision, inverse, log_det = jax.lax.map(one, (plugged, entries))
    log_norm = -0.5 * log_det - 0.5 * num_pairs(entries) * LOG_2PI
    return WorkingCovariance(precision, inverse, entries, jnp.ones_like(log_det), log_norm)


def unweighted(noise: WorkingCovariance) -> WorkingCovariance:
    """Return the working covariance that makes the fit least squares: a unit matrix."""
    unit = jnp.broadcast_to(jnp.eye(noise.precision.shape[-1]), noise.precision.shape)
    precision, inverse, _ = covariance.factorise(unit, noise.entries)
    log_norm = -0.5 * num_pairs(noise.entries) * LOG_2PI
    return WorkingCovariance(precision, inverse, noise.entries, jnp.ones_like(log_norm), log_norm)


def scaled(noise: WorkingCovariance, residual: jax.Array, num_parameters: int) -> WorkingCovariance:
    """Return the noise with weights N/q, one of every angle, less what was fitted."""
    N, q = num_pairs(noise.entries), _squares(noise, residual)
    return with_weight(noise, N / q * (1 - num_parameters / N.sum()))


def with_weight(noise: WorkingCovariance, weight: jax.Array) -> WorkingCovariance:
    """Return the noise with other weights, its densities still integrating to 1."""
    more = 0.5 * num_pairs(noise.entries) * jnp.log(weight / noise.weight)
    return replace(noise, weight=weight, log_norm=noise.log_norm + more)


def with_nugget(
    plugged: Plugged, residual: jax.Array, entries: Entries, wavevectors: np.ndarray
) -> Plugged:
    """Return what is plugged in with the nugget of every wavevector, that of maps with one q."""
    nugget = np.zeros(len(wavevectors))
    for q in np.unique(wavevectors):
        at = np.flatnonzero(wavevectors == q)
        nugget[at] = fit_nugget(*windows(plugged, residual, entries, at))
    return plugged._replace(nugget=jnp.asarray(nugget))


def windows(
    plugged: Plugged, residual: jax.Array, entries: Entries, at: np.ndarray
) -> tuple[Plugged, jax.Array, Entries]:
    """Return the same of the maps ``at``, (k,): of large maps, of a window of frames of some.

    A window is as good as a map of its own. It moves through the frames from map to map, to where
    most of them are usable nearby. Maps that lack pairs are taken whole.
    """
    G, bins = residual.shape[-1], entries.bin_frames
    size = min(WINDOW * bins, G)
    if entries.places is not None or (size == G and len(at) <= NUM_WINDOWS):
        own: Any = jax.tree.map(lambda leaf: leaf[at], (plugged, residual, entries))
        return own
    at = at[np.linspace(0, len(at) - 1, min(len(at), NUM_WINDOWS)).round().astype(int)]
    used = np.pad(np.cumsum(np.asarray(entries.frame_weight)[at] > 0, axis=1), [(0, 0), (1, 0)])
    first = np.arange(0, G - size + 1, bins)
    wanted = (np.arange(len(at)) + 0.5) / len(at) * (G - size)
    value = used[:, first + size] - used[:, first] - abs(first - wanted[:, None]) / G
    found = _cut(plugged, residual, entries.frame_weight, at, first[value.argmax(axis=1)], size)
    return found[0], found[1], replace(entries, frame_weight=found[2])


@partial(jax.jit, static_argnames="size")
def _cut(
    plugged: Plugged, residual: jax.Array, weight: jax.Array, at: Any, first: Any, size: int
) -> tuple[Plugged, jax.Array, jax.Array]:
    """Return what belongs to ``size`` frames from ``first`` (k,) on, of the maps ``at`` (k,)."""

    def one(p: jax.Array, f: jax.Array) -> tuple[Plugged, jax.Array, jax.Array]:
        field, deviation = (
            jax.lax.dynamic_slice(x, (p, f, f), (1, size, size))[0]
            for x in (plugged.field, residual)
        )
        own = Plugged(plugged.contrast[p], plugged.nugget[p], field)
        return own, deviation, jax.lax.dynamic_slice(weight, (p, f), (1, size))[0]

    return jax.vmap(one)(jnp.asarray(at), jnp.asarray(first))


def fit_nugget(plugged: Plugged, residual: jax.Array, entries: Entries) -> float:
    """Return the nugget of highest profile likelihood, the scale of every map maximised out.

    The maps, of one wavevector, have one contrast.
    """
    contrast = float(plugged.contrast[0])

    def loss(log_ratio: float) -> float:
        nugget = jnp.full_like(plugged.contrast, contrast * np.exp(log_ratio))
        found = float(_profile(plugged._replace(nugget=nugget), residual, entries))
        return float(np.nan_to_num(found, nan=HOPELESS, posinf=HOPELESS))

    grid = np.log(NUGGETS)
    best = int(np.argmin([loss(at) for at in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = scipy.optimize.minimize_scalar(
        loss, bounds=ends, method="bounded", options={"xatol": 0.01}
    )
    return float(contrast * np.exp(found.x))


def real_part(joint: Joint, prior: np.ndarray, physical: np.ndarray) -> float:
    """Return η, the mean ratio of naive to true variances of the physical coordinates, inverted."""
    d = len(prior)
    information, scatter = joint.information[:d, :d], joint.scatter[:d, :d]
    H = np.linalg.inv(information + prior)
    ratio = np.diag(H @ scatter @ H) / np.diag(H @ information @ H)
    return float(1 / ratio[physical].mean())


@lru_cache(maxsize=16)
def _fitted(model: Observed) -> Any:
    """Return contrast, field and residual of every single map, compiled when first called."""

    @jax.jit
    def fitted(maps: ShardGrid, theta: jax.Array) -> Any:
        def one(grid: ShardGrid) -> Any:
            values = constrained(model, grid, space(model, grid).unravel(theta))[0]
            same = jnp.ravel(wavevector(grid)) == grid.q
            contrast = (values["contrast"] / values["offset"] ** 2).mean(where=same)
            residual = grid.c2 - observation(model, grid, theta).loc
            field = jnp.broadcast_to(model.signed_g1(grid, values), residual.shape)
            return contrast, field[0], residual[0]

        return jax.lax.map(one, maps)

    return fitted


@jax.jit
def _smooth(plugged: Plugged) -> jax.Array:
    """Return the covariance of the intensity that comes of speckle, (P, G, G)."""
    return plugged.contrast[:, None, None] * plugged.g1_squared


@jax.jit
def _squares(noise: WorkingCovariance, residual: jax.Array) -> jax.Array:
    """Return rᵀK⁻¹r of residuals (P, G, G), (P,), one map after the other."""

    def one(angle: tuple[WorkingCovariance, jax.Array]) -> jax.Array:
        return covariance.squares(*jax.tree.map(lambda leaf: leaf[None], angle))[0]

    return jax.lax.map(one, (noise, residual))


@jax.jit
def _profile(plugged: Plugged, residual: jax.Array, entries: Entries) -> jax.Array:
    def one(angle: tuple[Plugged, jax.Array, Entries]) -> jax.Array:
        plugged, residual, entries = jax.tree.map(lambda leaf: leaf[None], angle)
        noise = working(plugged, entries)
        q = covariance.squares(noise, residual)
        return (-noise.log_norm + 0.5 * num_pairs(entries) * jnp.log(q)).sum()

    loss = jax.lax.map(one, (plugged, residual, entries)).sum()
    return jnp.where(jnp.isfinite(loss), loss, jnp.inf)
