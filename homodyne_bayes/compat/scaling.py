"""Contrast and offset of single angles, all angles and their mean, from quantiles of c2.

The estimates are those of `homodyne_bayes.likelihood.quantiles`.
"""

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.compat.bounds import CONTRAST_BOUNDS, OFFSET_BOUNDS
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.quantiles import Limits, estimate, estimate_each_angle


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
    values, lags = np.asarray(c2, float), np.asarray(delta_t, float)
    return estimate(values, lags, (contrast_bounds, offset_bounds), quantiles)


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
        "contrast_0", "contrast_1" and so on, then "offset_0" and so on.

    Raises
    ------
    InputError
        If an angle has too few values, or an index is not that of an angle.
    """
    contrast, offset = _pooled(c2, t1, t2, phi_indices, n_phi, (contrast_bounds, offset_bounds))
    return {
        **{f"contrast_{i}": value for i, value in enumerate(contrast.tolist())},
        **{f"offset_{i}": value for i, value in enumerate(offset.tolist())},
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

    Parameters
    ----------
    c2, t1, t2, phi_indices : array_like, (N,)
        As in `estimate_per_angle_scaling`, as are the others.

    Returns
    -------
    contrast, offset : float
        Means over angles.
    contrast_per_angle, offset_per_angle : numpy.ndarray
        (n_phi,) estimates.

    Raises
    ------
    InputError
        As `estimate_per_angle_scaling`.
    """
    contrast, offset = _pooled(c2, t1, t2, phi_indices, n_phi, (contrast_bounds, offset_bounds))
    return float(contrast.mean()), float(offset.mean()), contrast, offset


def _pooled(
    c2: ArrayLike,
    t1: ArrayLike,
    t2: ArrayLike,
    phi_indices: ArrayLike,
    n_phi: int,
    bounds: tuple[Limits, Limits],
) -> np.ndarray:
    """Return contrast and offset of every angle, (2, P), from points (N,); times in s."""
    values, angle = np.asarray(c2, float), np.asarray(phi_indices)
    lags = np.abs(np.asarray(t1, float) - np.asarray(t2, float))
    if angle.shape != values.shape or not np.isin(angle, np.arange(n_phi)).all():
        raise InputError(
            f"phi_indices must hold one index of 0 to {n_phi - 1} per value of c2; "
            "pass the index of each value's angle"
        )
    return estimate_each_angle(values, lags, angle, n_phi, bounds).T
