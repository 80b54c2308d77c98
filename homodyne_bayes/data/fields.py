"""The fields of two-time data: each checked, and returned in its canonical form."""

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.arguments import as_array, numbers
from homodyne_bayes.data.axes import MIN_FRAMES
from homodyne_bayes.data.words import UNITS
from homodyne_bayes.errors import InputError

MIN_USABLE_FRAMES = 3


def check_groups(shape: tuple[int, ...], maps: tuple[int, ...]) -> int:
    """Return the number H of pixel groups.

    Parameters
    ----------
    shape, maps : tuple of int
        Shapes of group_c2 and of c2, (P, G, G).

    Raises
    ------
    InputError
        Unless ``shape`` is (P, H, G, G) with H >= 2.
    """
    if len(shape) != 4 or (shape[0], *shape[2:]) != maps or shape[1] < 2:
        P, *frames = maps
        expected = ", ".join(str(length) for length in (P, "groups", *frames))
        raise InputError(
            f"group_c2 must have shape ({expected}) with at least 2 pixel groups, to "
            f"agree with c2, but has shape {shape}; rearrange the axes or leave it "
            "out"
        )
    return shape[1]


def as_groups(group_c2: ArrayLike, maps: tuple[int, ...]) -> np.ndarray:
    """Return a copy of the maps of pixel groups, (P, H, G, G), as float32 (if they are) or float64.

    ``maps`` is the shape of c2, (P, G, G).
    """
    group_c2 = as_array(group_c2)
    check_groups(group_c2.shape, maps)
    return _as_floats(group_c2, "group_c2")


def as_maps(c2: ArrayLike) -> np.ndarray:
    """Return a copy of the maps, (P, G, G), as float32 (if they are) or float64."""
    c2 = as_array(c2)
    if c2.ndim != 3 or c2.shape[1] != c2.shape[2] or c2.shape[1] < MIN_FRAMES or len(c2) == 0:
        raise InputError(
            f"c2 must have shape (angles, frames, frames) with at least {MIN_FRAMES} "
            f"frames, but has shape {c2.shape}; rearrange the axes"
        )
    return _as_floats(c2, "c2")


def _as_floats(values: np.ndarray, name: str) -> np.ndarray:
    """Return a copy of real numbers as float32 (if they are) or float64."""
    if values.dtype.kind not in "fiu":
        raise InputError(f"{name} must be real numbers, but its type is {values.dtype}; convert it")
    return values.astype(np.float32 if values.dtype == np.float32 else np.float64)


def as_wavevectors(q: ArrayLike, count: int) -> float | np.ndarray:
    """Return one q of all maps, () or (1,), as a float, or that of every map, (count,)."""
    q = numbers(q, "q")
    if q.shape not in {(), (1,), (count,)}:
        raise InputError(
            f"q must be one value or {count}, one per map, but has shape {q.shape}; "
            "pass one per map"
        )
    if not ((q > 0) & np.isfinite(q)).all():
        raise InputError(
            f"q must be positive and finite (in {UNITS['q']}), but is "
            f"{np.array2string(q, threshold=8)}; pass the right --q"
        )
    return q if len(np.unique(q)) > 1 else float(q.flat[0])


def as_counts(values: ArrayLike, count: int, name: str) -> np.ndarray:
    """Return a positive number of every map, (count,), of these or of one for all."""
    array = np.ravel(numbers(values, name))
    if array.size not in {1, count} or not ((array > 0) & np.isfinite(array)).all():
        raise InputError(
            f"{name} must be one positive number or {count}, one per map ({UNITS[name]}), but is "
            f"{np.array2string(array, threshold=8)}; pass the right --{name.replace('_', '-')}"
        )
    return np.broadcast_to(array, count).copy()


def as_flags(usable: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return a flag per angle and frame, (P, G); None or a single True stands for all."""
    flags = as_array(True if usable is None else usable).astype(bool)
    if flags.shape not in {(), shape}:
        raise InputError(
            f"usable must have shape {shape}, one flag per angle and frame, but has "
            f"shape {flags.shape}; pass one row per angle"
        )
    return np.broadcast_to(flags, shape).copy()


def as_pairs(measured: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return a flag per pair of frames of every angle, (P, G, G), which must be symmetric."""
    flags = as_array(measured).astype(bool)
    if flags.shape != shape or not np.array_equal(flags, flags.swapaxes(1, 2)):
        raise InputError(
            f"measured must have the shape of c2, {shape}, and be symmetric, but has "
            f"shape {flags.shape} or differs between (i, j) and (j, i); mark both"
        )
    return flags


def check_enough(usable: np.ndarray, phi: np.ndarray) -> None:
    """Refuse an angle of ``phi``, (P,) in degree, with too few usable frames, flags (P, G)."""
    counts = usable.sum(axis=1)
    if counts.min() < MIN_USABLE_FRAMES:
        raise InputError(
            f"each angle needs at least {MIN_USABLE_FRAMES} usable frames, but phi = "
            f"{phi[counts.argmin()]:.6g} has {counts.min()} of {usable.shape[1]}; "
            "leave that angle out or keep more frames"
        )
