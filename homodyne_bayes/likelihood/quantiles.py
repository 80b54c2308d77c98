"""Contrast and offset from quantiles of c2 at short and long lags.

c2 = offset + contrast g1², with g1² near 1 at short lags and near 0 at long ones. The offset is
a low quantile of c2 at the longest lags, contrast + offset a high one at the shortest. These are
estimates to start from: they hold as far as g1² really falls from 1 to 0 within the data.
"""

import warnings
from typing import cast

import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.scaling import CONTRAST, OFFSET
from homodyne_bayes.physics.points import distinct_pairs

MIN_POINTS = 100
MIN_REGION = 10
QUANTILES = (0.80, 0.20, 0.10, 0.90)  # long lags, short lags, c2 at long ones, c2 at short ones

Limits = tuple[float, float]
CONTRAST_BOUNDS: Limits = cast(Limits, CONTRAST.bounds)
OFFSET_BOUNDS: Limits = cast(Limits, OFFSET.bounds)
BOTH_BOUNDS = (CONTRAST_BOUNDS, OFFSET_BOUNDS)


class ScalingWarning(UserWarning):
    """An estimate of contrast or offset lay outside its bounds and was set to the nearer one."""


def averaged_scaling(data: TwoTimeData) -> tuple[float, float]:
    """Return contrast and offset averaged over angles, from the pairs t1 < t2 that have a value.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps, (P, G, G).

    Returns
    -------
    contrast, offset : float

    Raises
    ------
    InputError
        If an angle has fewer than 100 such pairs, that is 15 usable frames.
    """
    angle, lo, hi = distinct_pairs(data)
    c2, lags = data.c2[angle, lo, hi], data.dt * (hi - lo)
    contrast, offset = estimate_each_angle(c2, lags, angle, data.num_angles).mean(axis=0)
    return float(contrast), float(offset)


def estimate_each_angle(
    c2: np.ndarray,
    lags: np.ndarray,
    angle: np.ndarray,
    num_angles: int,
    bounds: tuple[Limits, Limits] = BOTH_BOUNDS,
) -> np.ndarray:
    """Return contrast and offset of every angle, (P, 2), from the points of all.

    Parameters
    ----------
    c2 : numpy.ndarray, (N,)
        Measured values.
    lags : numpy.ndarray, (N,)
        Time between the two frames of each value, in any unit.
    angle : numpy.ndarray of int, (N,)
        Angle of each value, 0 to P - 1.
    num_angles : int
        P.
    bounds : pair of (float, float)
        Of contrast and of offset.

    Raises
    ------
    InputError
        If an angle has too few values, see `estimate`.
    """
    return np.array(
        [
            estimate(c2[angle == i], lags[angle == i], bounds, where=f" of angle {i}")
            for i in range(num_angles)
        ]
    )


def estimate(
    c2: np.ndarray,
    lags: np.ndarray,
    bounds: tuple[Limits, Limits] = BOTH_BOUNDS,
    quantiles: tuple[float, float, float, float] = QUANTILES,
    where: str = "",
) -> tuple[float, float]:
    """Return contrast and offset of the values of one angle.

    Parameters
    ----------
    c2 : numpy.ndarray, (N,)
        Measured values; those that are not finite are left out.
    lags : numpy.ndarray, (N,)
        Time between the two frames of each value, in any unit.
    bounds : pair of (float, float)
        Of contrast and of offset; an estimate outside is set to the nearer bound, with a
        `ScalingWarning`.
    quantiles : four of float
        Lags at or above the first quantile give the offset, at or below the second the contrast;
        the third is the quantile of c2 at long lags, the fourth that at short ones.
    where : str
        What messages say after "contrast and offset", such as " of angle 3".

    Raises
    ------
    InputError
        If shapes differ, or for fewer than 100 finite values, or fewer than 10 at the short or at
        the long lags.
    """
    longest, shortest, low, high = quantiles
    if c2.shape != lags.shape or c2.ndim != 1:
        raise InputError(
            f"c2 and its lags must be two lists of the same length, but have shapes "
            f"{c2.shape} and {lags.shape}; ravel both"
        )
    finite = np.isfinite(c2)
    c2, lags = c2[finite], lags[finite]
    if len(c2) < MIN_POINTS:
        raise InputError(
            f"contrast and offset{where} need at least {MIN_POINTS} finite values of "
            f"c2, found {len(c2)}; keep more frames or fit contrast and offset"
        )
    long = c2[lags >= np.quantile(lags, longest)]
    short = c2[lags <= np.quantile(lags, shortest)]
    if min(len(long), len(short)) < MIN_REGION:
        raise InputError(
            f"contrast and offset{where} need at least {MIN_REGION} values at short "
            f"and at long lags, found {len(short)} and {len(long)}; move the "
            "quantiles of the lag towards 0.5"
        )
    contrast_bounds, offset_bounds = bounds
    offset = within_bounds(f"offset{where}", np.quantile(long, low), offset_bounds)
    ceiling = np.quantile(short, high)
    return within_bounds(f"contrast{where}", ceiling - offset, contrast_bounds), offset


def within_bounds(name: str, value: float, limits: Limits) -> float:
    """Return a value set to its bounds, with a `ScalingWarning` where that changes it."""
    inside = float(np.clip(value, *limits))
    if inside != value:
        warnings.warn(
            f"the {name} is estimated as {value:.6g}, outside its bounds "
            f"[{limits[0]:g}, {limits[1]:g}], and was set to {inside:g}; check that c2 is "
            "normalised to a baseline near 1",
            ScalingWarning,
            stacklevel=3,
        )
    return inside
