"""Pre-indexed points of two-time maps."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import require_x64
from homodyne_bayes.errors import InputError
from homodyne_bayes.physics.convention import CONVENTIONS

_ARRAYS = ["c2", "used", "lo", "hi", "phi_index", "phi", "time", "q", "gap", "dt", "noise"]
_META = ["convention", "integration"]
SHARED = ("phi", "time", "q", "gap", "dt")
ALIGNMENT = 64  # bytes


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=_META)
@dataclass(frozen=True)
class ShardGrid:
    """Points of a two-time map with everything about them that does not depend on parameters.

    The index arrays broadcast against each other, so one kernel serves paired points, all three
    of shape (N,), and whole maps or blocks of them, where they are (G, 1), (1, G) and (P, 1, 1).
    Shards are stacks of parts: two more leading axes (K, J) on every array.

    Attributes
    ----------
    c2 : jax.Array
        Measured values, (N,); a scalar NaN where there is nothing to compare with.
    used : jax.Array
        (N,) bool; False marks what is not to be compared, such as padding.
    lo, hi : jax.Array
        Frame index of the two times of each point, in either order.
    phi_index : jax.Array
        Index into ``phi`` of each point.
    phi : jax.Array
        (P,) azimuth of each angle, degree.
    time : jax.Array
        (G,) times of the frames on the clock of the rate laws, ``age + k dt``, s.
    q : jax.Array
        Wavevector, 1/Å; () or, where they differ, (P,), of each angle.
    gap, dt : jax.Array
        Gap (Å, NaN where unknown) and frame spacing (s).
    noise : pytree, optional
        What a likelihood has to know of the noise of these points, such as their covariance.
    convention : str
        Meaning of the shear phase, a key of `homodyne_bayes.physics.convention.CONVENTIONS`.
    integration : str
        How rates are integrated, a key of `homodyne_bayes.physics.integration.INTEGRATIONS`.
    """

    c2: jax.Array
    used: jax.Array
    lo: jax.Array
    hi: jax.Array
    phi_index: jax.Array
    phi: jax.Array
    time: jax.Array
    q: jax.Array
    gap: jax.Array
    dt: jax.Array
    noise: Any = None
    convention: str = "upstream"
    integration: str = "exact"


class Physics(NamedTuple):
    """How the formula is read.

    Attributes
    ----------
    convention : str
        Meaning of the shear phase, a key of `homodyne_bayes.physics.convention.CONVENTIONS`.
    integration : str
        How rates are integrated, a key of `homodyne_bayes.physics.integration.INTEGRATIONS`.
    """

    convention: str = "upstream"
    integration: str = "exact"


READ = Physics()


def map_grid(
    phi: np.ndarray,
    num_frames: int,
    dt: float,
    q: float | np.ndarray,
    gap: float | None = None,
    *,
    age: float = 0.0,
    physics: Physics = READ,
) -> ShardGrid:
    """Return the grid of whole (P, G, G) maps, without measured values.

    Parameters
    ----------
    phi : numpy.ndarray
        (P,) azimuths, degree.
    num_frames : int
        G, number of frames.
    dt, gap : float
        Frame spacing (s), gap (Å).
    q : float or numpy.ndarray
        Wavevector (1/Å), of each azimuth, (P,), where they differ.
    age : float
        Time of the first frame on the clock of the rate laws, s.
    physics : Physics
        How the formula is read.
    """
    require_x64()
    if physics.convention not in CONVENTIONS:
        raise InputError(
            f"convention must be one of {', '.join(CONVENTIONS)}, found {physics.convention!r}"
        )
    frames = jnp.arange(num_frames)
    return ShardGrid(
        c2=jnp.asarray(jnp.nan),
        used=jnp.asarray(False),
        lo=frames[:, None],
        hi=frames[None, :],
        phi_index=jnp.arange(len(phi))[:, None, None],
        phi=jnp.asarray(phi, dtype=float),
        time=age + dt * jnp.arange(num_frames, dtype=float),
        q=jnp.asarray(q, dtype=float),
        gap=jnp.asarray(np.nan if gap is None else gap, dtype=float),
        dt=jnp.asarray(dt, dtype=float),
        **physics._asdict(),
    )


def data_grid(data: TwoTimeData, physics: Physics) -> ShardGrid:
    """Return the grid of the whole maps of ``data``, without measured values."""
    return map_grid(
        data.phi, data.num_frames, data.dt, data.q, data.gap, age=data.age, physics=physics
    )


def whole_maps(data: TwoTimeData, physics: Physics = READ, noise: Any = None) -> ShardGrid:
    """Return all maps of ``data`` in one grid, (P, G, G), with 0 where a pair has no value.

    Values are of the type of the data, in the memory of the host: programs look at one map after
    the other.
    """
    pairs = data.pairs
    c2, used = aligned(pairs.shape, data.c2.dtype), aligned(pairs.shape, bool)
    for p, there in enumerate(pairs):
        c2[p] = np.where(there, data.c2[p], 0)
        used[p] = np.triu(there)
    return replace(data_grid(data, physics), c2=c2, used=used, noise=noise)


def aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array that programs on the CPU read where it is, instead of copying it first."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % ALIGNMENT
    return raw[first : first + size].view(dtype).reshape(shape)


def each_map(data: TwoTimeData, physics: Physics = READ, noise: Any = None) -> ShardGrid:
    """Return every map as a part of its own: P stacked grids of (1, G, G)."""
    return split(whole_maps(data, physics, noise))


def split(whole: ShardGrid) -> ShardGrid:
    """Return every map of whole maps, (P, G, G), as a part of its own, their noise included."""
    alone: Any = {name: getattr(whole, name)[:, None] for name in ("c2", "used", "phi_index")}
    same = repeated(whole, whole.phi.shape, ("lo", "hi"))
    noise = jax.tree.map(lambda leaf: leaf[:, None], whole.noise)
    return replace(whole, **alone, **same, noise=noise)


def shard(shards: ShardGrid, index: int) -> ShardGrid:
    """Return one shard of stacked shards, or one part of stacked parts."""
    return jax.tree.map(lambda leaf: leaf[index], shards)


def repeated(whole: ShardGrid, leading: tuple[int, ...], more: tuple[str, ...]) -> Any:
    """Return what all parts have in common, with these leading axes."""
    values = {name: getattr(whole, name) for name in (*SHARED, *more)}
    return {name: jnp.broadcast_to(x, (*leading, *x.shape)) for name, x in values.items()}


def distinct_pairs(data: TwoTimeData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return angle, earlier and later frame of every pair t1 < t2 that has a value, (N,) each."""
    angle, lo, hi = (index.astype(np.int32) for index in np.nonzero(np.triu(data.pairs)))
    return angle, lo, hi
