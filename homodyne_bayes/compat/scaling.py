"""Contrast and offset from quantiles of c2 at short and long lags.

c2 = offset + contrast g1², with g1² near 1 at short lags and near 0 at long ones. The offset is
a low quantile of c2 at the longest lags, contrast + offset a high one at the shortest. These are
estimates to start from: they hold as far as g1² really falls from 1 to 0 within the data.
"""

import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import BOUNDS
from homodyne_bayes.physics.points import distinct_pairs

MIN_POINTS = 100
MIN_REGION = 10
QUANTILES = (0.80, 0.20, 0.10, 0.90)  # long lags, short lags, c2 at long ones, c2 at short ones

Limits = tuple[float, float]


class ScalingWarning(UserWarning):
    """An estimate of contrast or offset lay outside its bounds and was set to the nearer one."""


CONTRAST_BOUNDS, OFFSET_BOUNDS = BOUNDS["contrast"], BOUNDS["offset"]


def estimate_contrast_offset_from_quantiles(
    c2: ArrayLike,
    delta_t: ArrayLike,
    contrast_bounds: Limits = CONTRAST_BOUNDS,
    offset_bounds: Limits = OFFSET_BOUNDS,
    lag_floor_quantile: float = 0.80,
    lag_ceiling_quantile: float = 0.20,
    value_quantile_low: float = 0.10,
    value_quantile_high: float = 0.90,
) -> tuple[float, float]:
    """Estimate contrast and offset of one angle.

    Parameters
    ----------
    c2 : array_like, (N,)
        Measured values; those that are not finite are left out.
    delta_t : array_like, (N,)
        Lag of each value, in any unit.
    contrast_bounds, offset_bounds : (float, float)
        An estimate outside of them is set to the nearer one, with a `ScalingWarning`.
    lag_floor_quantile, lag_ceiling_quantile : float
        Lags at or above the first quantile give the offset, at or below the second the contrast.
    value_quantile_low, value_quantile_high : float
        Quantile of c2 at long lags that is the offset; at short lags, contrast + offset.

    Returns
    -------
    contrast, offset : float

    Raises
    ------
    InputError
        For fewer than 100 finite values, or fewer than 10 at the short or the long lags.
    """
    quantiles = (lag_floor_quantile, lag_ceiling_quantile, value_quantile_low, value_quantile_high)
    return _estimate(
        np.asarray(c2, float),
        np.asarray(delta_t, float),
        (contrast_bounds, offset_bounds),
        quantiles,
    )


def estimate_per_angle_scaling(
    c2: ArrayLike,
    t1: ArrayLike,
    t2: ArrayLike,
    phi_indices: ArrayLike,
    n_phi: int,
    contrast_bounds: Limits = CONTRAST_BOUNDS,
    offset_bounds: Limits = OFFSET_BOUNDS,
) -> dict[str, float]:
    """Estimate contrast and offset of every angle from pooled points.

    Parameters
    ----------
    c2, t1, t2 : array_like, (N,)
        Measured values and their times in s.
    phi_indices : array_like of int, (N,)
        Angle of each value, 0 to ``n_phi - 1``.
    n_phi : int
        Number of angles.
    contrast_bounds, offset_bounds : (float, float)
        As in `estimate_contrast_offset_from_quantiles`.

    Returns
    -------
    dict of str to float
        "contrast_0", "offset_0", "contrast_1" and so on.

    Raises
    ------
    InputError
        If an angle has too few values, or an index is not that of an angle.
    """
    c2, angle = np.asarray(c2, float), np.asarray(phi_indices)
    lags = np.abs(np.asarray(t1, float) - np.asarray(t2, float))
    if angle.shape != c2.shape or not np.isin(angle, np.arange(n_phi)).all():
        raise InputError(
            f"phi_indices must hold one index of 0 to {n_phi - 1} per value of c2; "
            "pass the index of each value's angle"
        )
    groups = _by_angle(c2, lags, angle, n_phi)
    contrast, offset = _per_angle(groups, (contrast_bounds, offset_bounds)).T.tolist()
    return {
        **{f"contrast_{i}": value for i, value in enumerate(contrast)},
        **{f"offset_{i}": value for i, value in enumerate(offset)},
    }


def compute_averaged_scaling(
    c2: ArrayLike,
    t1: ArrayLike,
    t2: ArrayLike,
    phi_indices: ArrayLike,
    n_phi: int,
    contrast_bounds: Limits = CONTRAST_BOUNDS,
    offset_bounds: Limits = OFFSET_BOUNDS,
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Estimate contrast and offset of every angle and average them.

    Parameters and errors are those of `estimate_per_angle_scaling`.

    Returns
    -------
    contrast, offset : float
        Means over angles.
    contrast_per_angle, offset_per_angle : numpy.ndarray
        (n_phi,) estimates.
    """
    found = estimate_per_angle_scaling(
        c2, t1, t2, phi_indices, n_phi, contrast_bounds, offset_bounds
    )
    contrast = np.array([found[f"contrast_{i}"] for i in range(n_phi)])
    offset = np.array([found[f"offset_{i}"] for i in range(n_phi)])
    return float(contrast.mean()), float(offset.mean()), contrast, offset


def averaged_scaling(data: TwoTimeData) -> tuple[float, float]:
    """Return contrast and offset averaged over angles, from the pairs t1 < t2 that have a value.

    Raises
    ------
    InputError
        If an angle has fewer than 100 such pairs, that is 15 usable frames.
    """
    angle, lo, hi = distinct_pairs(data)
    groups = _by_angle(data.c2[angle, lo, hi], data.dt * (hi - lo), angle, data.num_angles)
    contrast, offset = _per_angle(groups, (CONTRAST_BOUNDS, OFFSET_BOUNDS)).mean(axis=0)
    return float(contrast), float(offset)


def _by_angle(
    c2: np.ndarray, lags: np.ndarray, angle: np.ndarray, num_angles: int
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Return values and lags of every angle from those of all, (N,)."""
    return ((c2[angle == i], lags[angle == i]) for i in range(num_angles))


def _per_angle(
    groups: Iterable[tuple[np.ndarray, np.ndarray]], bounds: tuple[Limits, Limits]
) -> np.ndarray:
    """Return contrast and offset, (P, 2), of the values and lags of every angle."""
    return np.array(
        [_estimate(c2, lags, bounds, where=f" of angle {i}") for i, (c2, lags) in enumerate(groups)]
    )


def _estimate(
    c2: np.ndarray,
    lags: np.ndarray,
    bounds: tuple[Limits, Limits],
    quantiles: tuple[float, float, float, float] = QUANTILES,
    where: str = "",
) -> tuple[float, float]:
    """Return contrast and offset of values (N,) at lags (N,)."""
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
