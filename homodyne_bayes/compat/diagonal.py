"""Diagonal of two-time maps, filled from the entries beside it.

The diagonal of a measured map holds shot noise. A filled one is for looking at and for programs
that want a value there; nothing in this library fits the diagonal, whatever stands on it.
"""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError

Method = Literal["basic", "statistical", "interpolation"]
Estimator = Literal["median", "mean", "trimmed_mean"]


def get_diagonal_correction_methods() -> list[str]:
    """Return the names of the methods."""
    return list(get_args(Method))


def apply_diagonal_correction(
    c2: ArrayLike,
    method: Method = "basic",
    *,
    window_size: int = 3,
    estimator: Estimator = "median",
    trim_fraction: float = 0.2,
) -> np.ndarray:
    """Return maps with the diagonal replaced by values from beside it.

    Neighbours that are not finite are left out; where there is no other, it becomes NaN.

    Parameters
    ----------
    c2 : array_like, (..., n, n)
        One map or any batch of them, n >= 2.
    method : {"basic", "statistical", "interpolation"}
        "basic" is the mean of the entries of frame i with frames i-1 and i+1 on both sides of
        the diagonal, "interpolation" that of column i alone, "statistical" the estimator over
        all entries within the window.
    window_size : int
        Of "statistical": frames to each side, at least 1.
    estimator : {"median", "mean", "trimmed_mean"}
        Of "statistical".
    trim_fraction : float
        Of "trimmed_mean": share cut off at each end, 0 to below 0.5.

    Returns
    -------
    numpy.ndarray
        (..., n, n) copy; off the diagonal it is what was given.

    Raises
    ------
    InputError
        If the maps are not square, or a setting does not exist or is out of range.
    """
    maps = np.array(c2, dtype=np.result_type(np.asarray(c2), np.float32))
    if maps.ndim < 2 or maps.shape[-1] != maps.shape[-2] or maps.shape[-1] < 2:
        raise InputError(
            f"maps must have shape (..., n, n) with n of at least 2, but have shape "
            f"{maps.shape}; rearrange the axes"
        )
    _check_settings(method, window_size, estimator, trim_fraction)
    if method == "basic":
        diagonal = _trimmed_mean(_beside(maps, 1), "mean")
    elif method == "interpolation":
        diagonal = _trimmed_mean(_beside(maps, 1)[..., :2], "mean")
        diagonal[..., 0] = maps[..., 0, 1]
    else:
        last = min(window_size, maps.shape[-1] - 1)
        window = np.concatenate([_beside(maps, k) for k in range(1, last + 1)], axis=-1)
        diagonal = _trimmed_mean(window, estimator, trim_fraction)
    frame = np.arange(maps.shape[-1])
    maps[..., frame, frame] = diagonal
    return maps


def correct_diagonal(data: TwoTimeData, method: Method = "basic") -> TwoTimeData:
    """Return the data with every diagonal filled; the method is recorded in the provenance.

    A fit of either gives the same result: pairs t1 < t2 alone are compared with the model.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps, (P, G, G); those of pixel groups are filled too.
    method : {"basic", "statistical", "interpolation"}
        As in `apply_diagonal_correction`, with its default settings.
    """
    groups = data.group_c2
    return replace(
        data,
        c2=apply_diagonal_correction(data.c2, method),
        group_c2=None if groups is None else apply_diagonal_correction(groups, method),
        provenance={**data.provenance, "diagonal_correction": method},
    )


def _check_settings(method: str, window_size: int, estimator: str, trim_fraction: float) -> None:
    """Raise `InputError` for a setting that does not exist or is out of range."""
    for name, value, choices in (
        ("method", method, get_args(Method)),
        ("estimator", estimator, get_args(Estimator)),
    ):
        if value not in choices:
            raise InputError(
                f"{name} must be one of {', '.join(choices)}, found {value!r}; choose one of them"
            )
    if window_size < 1 or not 0 <= trim_fraction < 0.5:
        raise InputError(
            f"window_size must be at least 1 and trim_fraction 0 to below 0.5, found "
            f"{window_size} and {trim_fraction:g}; correct them"
        )


def _beside(maps: np.ndarray, lag: int) -> np.ndarray:
    """Return the entries of every frame i with frames i ± lag, (..., n, 4), of maps (..., n, n).

    Entries outside the map are NaN. Order: (i-lag, i), (i+lag, i), (i, i-lag), (i, i+lag).
    """
    upper, lower = (np.diagonal(maps, sign * lag, -2, -1) for sign in (1, -1))
    nothing = np.full((*maps.shape[:-2], lag), np.nan)

    def earlier(band: np.ndarray) -> np.ndarray:
        """Return entries (..., n - lag) at the later of their two frames, (..., n)."""
        return np.concatenate([nothing, band], axis=-1)

    def later(band: np.ndarray) -> np.ndarray:
        """Return entries (..., n - lag) at the earlier of their two frames, (..., n)."""
        return np.concatenate([band, nothing], axis=-1)

    return np.stack([earlier(upper), later(lower), earlier(lower), later(upper)], axis=-1)


def _trimmed_mean(values: np.ndarray, estimator: Estimator, fraction: float = 0.0) -> np.ndarray:
    """Return the estimate (...) over the finite ones of values (..., m): a mean, trimmed or not."""
    ranked = np.sort(np.where(np.isfinite(values), values, np.nan), axis=-1)  # NaN last
    count = np.isfinite(ranked).sum(axis=-1, keepdims=True)
    cut = {
        "mean": np.zeros_like(count),
        "median": (count - 1) // 2,
        "trimmed_mean": (fraction * count).astype(int),
    }[estimator]
    rank = np.arange(ranked.shape[-1])
    kept = (rank >= cut) & (rank < count - cut)
    total = np.where(kept, ranked, 0.0).sum(axis=-1)
    number = kept.sum(axis=-1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
