"""The groups of what draws expect of the maps: their mean, and lag cuts as they would be again."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting import groups as parts
from homodyne_bayes.fitting import predictive, replicates
from homodyne_bayes.fitting.predictive import Cuts
from homodyne_bayes.fitting.sample import Sampled
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.points import split

NUM_PREDICTED = 100  # draws at which c2 is computed

Draws = tuple[Any, Mapping[str, np.ndarray]]  # theta (C, S, d), and values of parameters


def predicted_groups(
    data: TwoTimeData, made: Sampled, posterior: Draws, prior: Draws
) -> dict[str, xr.Dataset]:
    """Return the groups of what draws of posterior and prior expect, and what was measured."""
    cuts, maps = predictive.cuts_of(data.pairs), split(made.whole)

    def some(draws: Draws, at: np.ndarray) -> Any:
        return _some(made, *draws, at, data.num_angles)

    def curves(draws: Draws, at: np.ndarray) -> np.ndarray:
        theta, scaling = some(draws, at)
        return predictive.expected_cuts(made.model, maps, theta, scaling, cuts)

    evenly, of_prior = (_evenly(*draws[0].shape[:2]) for draws in (posterior, prior))
    fitted = predictive.mean_maps(made.model, maps, *some(posterior, evenly))
    expected, expected_by_prior = curves(posterior, evenly), curves(prior, of_prior)
    S, off = None, np.zeros(1)
    if made.estimate is not None:
        S = predictive.intensity(made.plan.per_angle, maps, made.estimate)
        scatter = predictive.speckle_scatter(S, made.estimate.scale, cuts)
    else:
        off = np.nanstd(np.where(made.whole.used, data.c2 - fitted, np.nan), axis=(1, 2))
        sigma = posterior[1].get("sigma", off)
        scatter = predictive.independent_scatter(np.sqrt((sigma**2).mean()), cuts)
    bands = predictive.bands(expected, expected_by_prior, scatter, cuts)
    measured, points = predictive.measured(data.c2, cuts), replicates.points_of(cuts)
    key = jax.random.fold_in(jax.random.key(made.plan.config.seed), 4)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def again(draws: Draws, at: np.ndarray, curves: np.ndarray) -> xr.Dataset:
        sigma = draws[1].get("sigma", np.full(draws[0].shape[:2], off.mean())).reshape(-1)
        noise = _noise(rng, made, S, sigma[at], cuts, points)
        values = (curves[:, *points] + noise).reshape(draws[0].shape[0], -1, len(points.map))
        made_again = replicates.replicated(values, at[: values.shape[1]], points, cuts, data)
        return made_again if S is None else made_again.assign_attrs(note=replicates.NOTE)

    alike = _alike(*posterior[0].shape[:2])
    return {
        "fitted": parts.map_dataset(fitted, data),
        "cuts": parts.cuts_dataset(measured, scatter, bands, cuts, data),
        "posterior_predictive": again(posterior, alike, curves(posterior, alike)),
        "prior_predictive": again(prior, of_prior, expected_by_prior),
        "observed_data": parts.map_dataset(data.c2, data).merge(
            replicates.observed(measured, points, cuts, data)
        ),
    }


def _noise(
    rng: np.random.Generator,
    made: Sampled,
    S: np.ndarray | None,
    sigma: np.ndarray,
    cuts: Cuts,
    points: replicates.Points,
) -> np.ndarray:
    """Draw the scatter of points, (len(sigma), N), by the noise that was taken."""
    if S is None or made.estimate is None:
        return replicates.independent_noise(rng, sigma, cuts, points)
    scale = made.estimate.scale
    return replicates.speckle_noise(rng, S, scale, cuts, points, len(sigma))


def _evenly(num_chains: int, num_draws: int) -> np.ndarray:
    """Return places of draws that are evenly spaced among those of all chains."""
    total = num_chains * num_draws
    return np.linspace(0, total - 1, min(total, NUM_PREDICTED)).round().astype(int)


def _alike(num_chains: int, num_draws: int) -> np.ndarray:
    """Return places of about as many draws, the same of every chain, chain after chain."""
    each = min(num_draws, max(1, NUM_PREDICTED // num_chains))
    at = np.linspace(0, num_draws - 1, each).round().astype(int)
    return (num_draws * np.arange(num_chains)[:, None] + at).reshape(-1)


def _some(
    made: Sampled, theta: Any, values: Mapping[str, np.ndarray], at: np.ndarray, num_angles: int
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return theta at some draws, (S, d), and contrast and offset there, (S, P) each."""
    theta, priors = np.asarray(theta).reshape(-1, theta.shape[-1]), made.plan.priors
    held = {name: np.full((len(theta), num_angles), priors[name].loc) for name in PER_ANGLE}
    every = {**held, **values}
    return theta[at], tuple(every[name].reshape(len(theta), -1)[at] for name in PER_ANGLE)
