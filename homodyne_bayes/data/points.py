"""Lists of values at two times each, which become maps that may lack pairs of frames."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.config import MAX_FRAMES
from homodyne_bayes.data.axes import TIME_TOLERANCE, shifted
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import most_bytes

ROUNDING = 1e-12  # of a time: a smaller lag is none
PARTS = (1, 2, 4)  # of the smallest lag that a frame may be: ages and means of lags halve steps


class FrameTimes(NamedTuple):
    """Frame times ``start + dt * k`` in s, k from 0 to ``num_frames - 1``."""

    start: float
    dt: float
    num_frames: int

    def frames(self, times: np.ndarray) -> np.ndarray:
        """Return the frame of every time in s, of any shape."""
        return np.rint((times - self.start) / self.dt).astype(int)

    def pairs(self, t1: np.ndarray, t2: np.ndarray) -> np.ndarray:
        """Return the number of the pair of frames of every two times in s, (N,), either order."""
        ends = np.sort([self.frames(t1), self.frames(t2)], axis=0)
        return ends[0] * self.num_frames + ends[1]


def from_points(
    phi: ArrayLike,
    t1: ArrayLike,
    t2: ArrayLike,
    c2: ArrayLike,
    *,
    q: ArrayLike,
    gap: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> TwoTimeData:
    """Return the maps of a list of points, which need not hold every pair of frames.

    Values are put where they were measured and nowhere else. The frame is the smallest lag, or a
    half or a quarter of it, whichever is the largest on which all times lie to a thousandth.
    Values that are NaN, points with t1 = t2 and frames with nothing but zeros are left out.

    Parameters
    ----------
    phi, q : array_like, (N,)
        Azimuth in degree and wavevector in 1/Å of each point; one value stands for all. Maps are
        in the order of q, then of phi.
    t1, t2 : array_like, (N,)
        Times in s, in either order.
    c2 : array_like, (N,)
        Measured correlation with baseline near 1.
    gap : float, optional
        Stator-rotor gap in Å.
    provenance : mapping, optional
        Origin of the points.

    Returns
    -------
    TwoTimeData
        Maps that start at time 0; "assumed" says by how much times were shifted.

    Raises
    ------
    InputError
        If times are off all such frames, a pair occurs twice, the maps would take more than
        128 MiB and 100 times what the list takes, or as `TwoTimeData`.
    """
    phi, q, t1, t2, c2 = _columns(phi=phi, q=q, t1=t1, t2=t2, c2=c2)
    given = ~np.isnan(c2)
    phi, q, t1, t2, c2 = (column[given] for column in (phi, q, t1, t2, c2))
    times, kept = common_frames(t1, t2, c2 != 0)
    bins, which = np.unique(np.stack([q[kept], phi[kept]]), axis=1, return_inverse=True)
    check_size(times, bins.shape[1], 5 * 8 * given.size)
    maps = maps_of_points(times, bins.shape[1], which.ravel(), t1[kept], t2[kept], c2[kept])
    provenance = dict(provenance or {})
    provenance["assumed"] = [*provenance.get("assumed", []), *shifted(times.start, times.dt)]
    return TwoTimeData(
        maps, bins[1], times.dt, bins[0], gap, provenance=provenance, measured=~np.isnan(maps)
    )


def common_frames(
    t1: np.ndarray, t2: np.ndarray, filled: np.ndarray
) -> tuple[FrameTimes, np.ndarray]:
    """Return the coarsest frames on which all times lie, and which points are of the record, (N,).

    Parameters
    ----------
    t1, t2 : ndarray, (N,)
        Times in s.
    filled : ndarray of bool, (N,)
        Whether the value is other than 0: frames with nothing but zeros, such as those before or
        after the record in a rectangle of ages and lags, are left out.

    Raises
    ------
    InputError
        If no frames are left, or too many, or a time is off all such frames.
    """
    for name, column in (("t1", t1), ("t2", t2)):
        if not np.isfinite(column).all():
            raise InputError(
                f"{name} must be finite, but has {np.sum(~np.isfinite(column))} other "
                "values; leave such points out"
            )
    with np.errstate(over="ignore"):
        kept = np.abs(t2 - t1) > ROUNDING * np.maximum(np.abs(t1), np.abs(t2))
    if not kept.any():
        raise InputError(
            "expected points with a value at two different times, found none; check "
            "the columns of the list"
        )
    times = _coarsest(t1[kept], t2[kept])
    ends = [times.frames(column[kept]) for column in (t1, t2)]
    alive = np.zeros(times.num_frames, bool)
    for frames in ends:
        alive[frames[filled[kept]]] = True
    kept[kept] = alive[ends[0]] & alive[ends[1]]
    return (_coarsest(t1[kept], t2[kept]) if kept.any() else times), kept


def maps_of_points(
    times: FrameTimes, count: int, which: np.ndarray, t1: np.ndarray, t2: np.ndarray, c2: np.ndarray
) -> np.ndarray:
    """Return maps (count, G, G), symmetric, NaN where there is no point.

    Parameters
    ----------
    times : FrameTimes
        Frames on which all points lie.
    count : int
        Number of maps.
    which : ndarray of int, (N,)
        Map of each point.
    t1, t2, c2 : ndarray, (N,)
        Times in s and value of each point.

    Raises
    ------
    InputError
        If a pair of frames occurs twice in a map.
    """
    G, pairs = times.num_frames, times.pairs(t1, t2)
    _, first = np.unique(which * G**2 + pairs, return_index=True)
    if len(first) < len(which):
        repeated = np.ones(len(which), bool)
        repeated[first] = False
        i = np.flatnonzero(repeated)[0]
        raise InputError(
            f"each pair of times must occur once per map, in one order, but "
            f"{t1[i]:.6g} s with {t2[i]:.6g} s occurs twice in map {which[i]}; keep "
            "one of the two"
        )
    maps = np.full((count, G, G), np.nan, np.float32 if c2.dtype == np.float32 else np.float64)
    lo, hi = np.divmod(pairs, G)
    maps[which, lo, hi] = maps[which, hi, lo] = c2
    return maps


def check_size(times: FrameTimes, count: int, stored: int) -> None:
    """Refuse maps that would take far more than the ``stored`` bytes that they are made of."""
    size, most = 8 * count * times.num_frames**2, most_bytes(stored)
    if size > most:
        raise InputError(
            f"expected points whose maps take at most {most} bytes, found "
            f"{times.num_frames} frames of {times.dt:.6g} s, {size} bytes for {count} "
            f"maps, of which few pairs were measured; keep fewer ages, or average "
            "frames before correlating"
        )


def _coarsest(t1: np.ndarray, t2: np.ndarray) -> FrameTimes:
    """Return the coarsest frames on which all times of points with a lag lie."""
    times = np.concatenate([t1, t2])
    start, end = float(times.min()), float(times.max())
    smallest = float(np.abs(t2 - t1).min())
    for part in PARTS:
        steps = (end - start) / smallest * part
        if not steps < MAX_FRAMES - 0.5:
            raise InputError(
                f"expected at most {MAX_FRAMES} frames, found times over "
                f"{end - start:.6g} s in steps of {smallest / part:.6g} s; use times "
                "within these limits"
            )
        dt = (end - start) / round(steps)
        frames = (times - start) / dt
        off = np.abs(frames - np.rint(frames))
        if off.max() <= TIME_TOLERANCE:
            return FrameTimes(start, dt, round(steps) + 1)
    raise InputError(
        f"times must lie on frames of the smallest lag, {smallest:.6g} s, or a half "
        f"or a quarter of it, but {times[off.argmax()]:.9g} s is {off.max():.2g} of "
        "a frame off; pass the times of the frames themselves"
    )


def _columns(**columns: ArrayLike) -> list[np.ndarray]:
    """Return columns (N,) of real numbers, c2 as float32 if it is, refusing different lengths."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    shape = arrays["c2"].shape
    for name, array in arrays.items():
        single = name in {"phi", "q"} and array.ndim == 0
        if array.dtype.kind not in "fiu" or array.ndim > 1 or not (single or array.shape == shape):
            raise InputError(
                f"{name} must be a list of real numbers as long as c2, {shape}, but "
                f"has shape {array.shape} and type {array.dtype}; pass one value per "
                "point"
            )
    types = {"c2": np.float32} if arrays["c2"].dtype == np.float32 else {}
    return [
        np.broadcast_to(array, shape).astype(types.get(name, np.float64))
        for name, array in arrays.items()
    ]
