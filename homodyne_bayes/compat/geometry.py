"""Times, azimuths and sizes of an experiment as homodyne's functions take them, in one record.

Integrals are taken over all frames 0, dt, 2 dt, ... between two times, whichever times are asked
for.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.compat.factors import check_positive
from homodyne_bayes.config import MAX_FRAMES
from homodyne_bayes.data.axes import TIME_TOLERANCE
from homodyne_bayes.errors import InputError
from homodyne_bayes.physics.points import Physics, ShardGrid, map_grid


class Geometry(NamedTuple):
    """Where g1 and g2 are computed; nothing of it may be traced by JAX.

    Attributes
    ----------
    t1, t2 : array_like
        Frame times in s, multiples of ``dt``. Axes (n1,) and (n2,), or their meshgrids (n1, n2)
        made with ``indexing="ij"``, give maps (P, n1, n2). Where ``paired``, both are (N,).
    phi : array_like
        (P,) azimuths of the maps in degree; where ``paired``, (N,), or one for all points.
    q : float
        Wavevector, 1/Å.
    L : float or None
        Gap, Å; None where nothing flows.
    dt : float
        Time between frames, s.
    paired : bool
        Whether t1, t2 and phi are those of N points, not axes of maps.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase, see `homodyne_bayes.physics.kernels`.
    """

    t1: Any
    t2: Any
    phi: Any
    q: float
    L: float | None
    dt: float
    paired: bool = False
    convention: str = "upstream"

    def points(self) -> ShardGrid:
        """Return the points, whose indices broadcast to (P, n1, n2), or (N,) where paired.

        Raises
        ------
        InputError
            Unless times are frames to a thousandth of ``dt``, shapes agree, and q, dt and L are
            positive.
        """
        dt = check_positive("dt", self.dt)
        lo, hi = _frames("t1", self.t1, dt), _frames("t2", self.t2, dt)
        phi = _azimuths(self.phi)
        indices = _paired if self.paired else _of_maps
        lo, hi, phi_index = indices(lo, hi, len(phi))
        gap = None if self.L is None else check_positive("L", self.L)
        num_frames = int(max(lo.max(), hi.max())) + 1
        physics = Physics(self.convention, "trapezoid")
        q = check_positive("q", self.q)
        grid = map_grid(phi, num_frames, dt, q, gap, physics=physics)
        return replace(
            grid, lo=jnp.asarray(lo), hi=jnp.asarray(hi), phi_index=jnp.asarray(phi_index)
        )


class Measurement(NamedTuple):
    """What g2 is compared with.

    Attributes
    ----------
    geometry : Geometry
        Where it was measured.
    contrast, offset : array_like
        One value, or (P,), one for every azimuth.
    data : array_like
        Measured g2, (P, n1, n2) or paired (N,).
    sigma : array_like
        Standard deviations of the same shape, or one for all; inf leaves an entry out, whatever
        it holds.
    """

    geometry: Geometry
    contrast: ArrayLike
    offset: ArrayLike
    data: ArrayLike
    sigma: ArrayLike


def _azimuths(phi: Any) -> np.ndarray:
    """Return finite azimuths in degree, (P,)."""
    phi = np.atleast_1d(np.asarray(phi, float))
    if phi.ndim != 1 or not len(phi) or not np.isfinite(phi).all():
        raise InputError(
            f"phi must be finite azimuths in degree, one per map or point, but has "
            f"shape {phi.shape}; correct it"
        )
    return phi


def _frames(name: str, times: Any, dt: float) -> np.ndarray:
    """Return the frame index of every time in s, of the same shape, (n,) or (n1, n2)."""
    times = np.atleast_1d(np.asarray(times, float))
    if times.ndim > 2 or not times.size or not np.isfinite(times).all():
        raise InputError(
            f"{name} must be finite times in s, an axis or a meshgrid, but has shape "
            f"{times.shape}; correct it"
        )
    index = np.rint(times / dt)
    off = np.abs(times - index * dt)
    if index.min() < 0 or index.max() >= MAX_FRAMES or off.max() > TIME_TOLERANCE * dt:
        worst = times.flat[int(off.argmax())]
        raise InputError(
            f"{name} must hold multiples of dt = {dt:g} s, of at most {MAX_FRAMES} "
            f"frames from 0, but runs from {times.min():g} to {times.max():g} s and "
            f"{worst:.9g} s is {off.max():.3g} s off; correct the times or dt"
        )
    return index.astype(np.int32)


def _of_maps(lo: np.ndarray, hi: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return indices (n1, 1), (1, n2) and (P, 1, 1) of P maps, from axes or meshgrids of frames."""
    if lo.ndim == hi.ndim == 2 and lo.shape == hi.shape:
        if (lo != lo[:, :1]).any() or (hi != hi[:1]).any():
            raise InputError(
                "t1 and t2 must be meshgrids of two axes, t1 the same along a row and "
                't2 along a column, but are not; make them with indexing="ij", or '
                "pass the axes"
            )
        lo, hi = lo[:, 0], hi[0]
    if lo.ndim != 1 or hi.ndim != 1:
        raise InputError(
            f"t1 and t2 must both be axes or both be meshgrids, but have shapes "
            f"{lo.shape} and {hi.shape}; pass the axes"
        )
    return lo[:, None], hi[None, :], np.arange(count)[:, None, None]


def _paired(lo: np.ndarray, hi: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return indices of N points, (N,) each, from their frames (N,)."""
    if lo.ndim != 1 or lo.shape != hi.shape or count not in (1, len(lo)):
        raise InputError(
            f"paired t1, t2 and phi must be lists of the same length, but have "
            f"shapes {lo.shape}, {hi.shape} and {count} azimuths; pass one of each "
            "per point, or one azimuth for all"
        )
    return lo, hi, np.arange(count) if count > 1 else np.zeros(len(lo), int)
