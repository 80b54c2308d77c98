"""What would be measured again: draws of lag cuts, scatter included, as ArviZ's predictive groups.

Points of one map move together, as their entries do under the working covariance of speckle, so
that statistics of many points are right, too; points of different maps do not.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting.predictive import Cuts, covariance_of_points

MOST_LAGS = 24  # of every cut
NOTE = (
    "points of a map average the same pixels and move together: bands of a plot that takes points "
    "as independent are too narrow"
)


class Points(NamedTuple):
    """Points of cuts in a row, those that are measured.

    Attributes
    ----------
    map, age, lag : numpy.ndarray
        (N,) places among maps, ages and lags.
    """

    map: np.ndarray
    age: np.ndarray
    lag: np.ndarray


def points_of(cuts: Cuts) -> Points:
    """Return the measured points at some lags, dense where these are short."""
    L = cuts.known.shape[-1]
    lags = np.unique(np.geomspace(1, L, MOST_LAGS).round().astype(int)) - 1
    there = np.zeros(L, bool)
    there[lags] = True
    return Points(*np.nonzero(cuts.known & there))


def speckle_noise(
    rng: np.random.Generator,
    S: np.ndarray,
    scale: np.ndarray,
    cuts: Cuts,
    points: Points,
    num_draws: int,
) -> np.ndarray:
    """Draw the scatter of points about their curve under speckle, (num_draws, N).

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    S, scale : numpy.ndarray
        As of `homodyne_bayes.fitting.predictive.speckle_scatter`.
    cuts : Cuts
        Of all maps.
    points : Points
        Those that are drawn.
    num_draws : int
        How often.
    """
    drawn = np.empty((num_draws, len(points.map)))
    for p in range(len(S)):
        own = points.map == p
        age, lag = points.age[own], points.lag[own]
        ends, weight = (every[p][age, :, lag] for every in (cuts.ends, cuts.weight))
        covariance = covariance_of_points(S[p], cuts.starts[p, age, :, 0], ends, weight)
        values, vectors = np.linalg.eigh(scale[p] * covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn[:, own] = rng.standard_normal((num_draws, own.sum())) @ root.T
    return drawn


def independent_noise(
    rng: np.random.Generator, sigma: np.ndarray, cuts: Cuts, points: Points
) -> np.ndarray:
    """Draw the same, (S, N), where entries scatter independently with scales (S,)."""
    sd = np.sqrt((cuts.weight**2).sum(axis=2))[points]
    return sigma[:, None] * sd * rng.standard_normal((len(sigma), len(sd)))


def observed(measured: np.ndarray, points: Points, cuts: Cuts, data: TwoTimeData) -> xr.Dataset:
    """Return the measured points, of cuts (P, A, L)."""
    return _dataset(measured[points], (), {}, points, cuts, data)


def replicated(
    values: np.ndarray, draw: np.ndarray, points: Points, cuts: Cuts, data: TwoTimeData
) -> xr.Dataset:
    """Return draws of points (C, S, N), labelled by the draws (S,) that they are of."""
    coordinates = {"chain": np.arange(len(values)), "draw": draw}
    return _dataset(values, ("chain", "draw"), coordinates, points, cuts, data)


def _dataset(
    values: np.ndarray,
    leading: tuple[str, ...],
    coordinates: dict[str, np.ndarray],
    points: Points,
    cuts: Cuts,
    data: TwoTimeData,
) -> xr.Dataset:
    start = data.time[cuts.starts[points.map, points.age, 0, 0]]
    where = {
        "azimuth": (data.phi[points.map], "degree"),
        "wavevector": (data.wavevectors[points.map], "1/Å"),
        "start": (start, "s"),
        "lag": (data.dt * (points.lag + 1), "s"),
    }
    along = {name: ("point", at, {"units": unit}) for name, (at, unit) in where.items()}
    meaning = {"long_name": "c2 against the lag, averaged over starts of about one age"}
    return xr.Dataset(
        {"cut": ((*leading, "point"), values, meaning)},
        {**coordinates, "point": np.arange(len(points.map)), **along},
    )
