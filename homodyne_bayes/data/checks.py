"""The maps of one angle: completed, blanked where nothing was measured, checked."""

from collections.abc import Mapping

import numpy as np

from homodyne_bayes.errors import InputError

SYMMETRY_TOLERANCE = 1e-5


def pairs_of(usable: np.ndarray) -> np.ndarray:
    """Return which two different frames are both usable, (..., G, G), from flags (..., G)."""
    both = usable[..., :, None] & usable[..., None, :]
    return both & ~np.eye(usable.shape[-1], dtype=bool)


def complete(
    maps: Mapping[str, np.ndarray], usable: np.ndarray, measured: np.ndarray | None
) -> np.ndarray:
    """Complete, check and blank all maps of one angle in place; return its usable frames, (G,).

    Parameters
    ----------
    maps : mapping of str to ndarray, (G, G)
        Keyed by where they are, for the complaints.
    usable : ndarray of bool, (G,)
        False for a frame that is left out.
    measured : ndarray of bool, (G, G), or None
        Which pairs have a value; None for all.

    Raises
    ------
    InputError
        For maps that are neither symmetric nor half, and non-finite entries between usable frames.
    """
    for where, matrix in maps.items():
        matrix[:] = _full(_blanked(matrix, usable, measured), where)
        usable = usable & ~_dead(matrix)
    for where, matrix in maps.items():
        _check_finite(matrix, usable, measured, where)
        matrix[:] = _blanked(matrix, usable, measured)
    return usable


def _full(matrix: np.ndarray, where: str) -> np.ndarray:
    """Return a full symmetric matrix, completing one with a strict triangle all zero or NaN."""
    filled = (matrix != 0) & ~np.isnan(matrix)
    upper, lower = np.triu(filled, 1).any(), np.tril(filled, -1).any()
    if upper != lower:
        half = np.triu(matrix if upper else matrix.T)
        return half + np.triu(half, 1).T
    unknown = ~(np.isfinite(matrix) & np.isfinite(matrix.T))
    close = unknown | np.isclose(matrix, matrix.T, rtol=SYMMETRY_TOLERANCE, atol=0)
    if not close.all():
        i, j = np.argwhere(~close)[0]
        raise InputError(
            f"c2 must be symmetric, or have one triangle all zero, but at {where} "
            f"entry ({i}, {j}) is {matrix[i, j]:.6g} and ({j}, {i}) is "
            f"{matrix[j, i]:.6g}; store the two-time map itself"
        )
    return matrix


def _blanked(matrix: np.ndarray, usable: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
    """Return the matrix with NaN where a frame is unusable or the pair was not measured."""
    kept = usable[:, None] & usable[None, :]
    if measured is not None:
        kept &= measured | np.eye(len(usable), dtype=bool)
    return np.where(kept, matrix, np.nan)


def _dead(matrix: np.ndarray) -> np.ndarray:
    """Return which frames, (G,), have nothing but zero or NaN off the diagonal."""
    filled = (matrix != 0) & ~np.isnan(matrix)
    np.fill_diagonal(filled, val=False)
    return ~filled.any(axis=1)


def _check_finite(
    matrix: np.ndarray, usable: np.ndarray, measured: np.ndarray | None, where: str
) -> None:
    """Refuse non-finite entries of measured pairs of usable frames."""
    bad = ~(np.isfinite(matrix) & np.isfinite(matrix.T)) & pairs_of(usable)
    if measured is not None:
        bad &= measured
    if bad.any():
        per_frame = bad.sum(axis=1)
        frames = np.argsort(-per_frame, kind="stable")[: min(5, int((per_frame > 0).sum()))]
        listed = ",".join(str(frame) for frame in sorted(frames))
        raise InputError(
            f"c2 must be finite, but at {where} {bad.sum() // 2} pairs of "
            f"frames are not, most of them with frames {listed}; leave such frames "
            f"out by --exclude-frames {listed}"
        )
