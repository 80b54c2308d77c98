"""Pre-indexed points of two-time maps, and the ways to deal them into shards of parts."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.config import Convention
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import require_x64
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.covariance import Noise

MAX_PAIRS = 2**16  # drawn at random, where some are enough
BLOCK_SIZE = {"cpu": 2**16, "gpu": 2**24}  # values looked at together: a core's cache, or a device
_ARRAYS = ["c2", "used", "lo", "hi", "phi_index", "phi", "time", "q", "gap", "dt", "noise"]
_CHOICES = ["convention", "scaling"]
_SHARED = ("phi", "time", "q", "gap", "dt")


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=_CHOICES)
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
        (G,) frame times ``0, dt, 2 dt, ...``, s.
    q : jax.Array
        Wavevector, 1/Å; () or, where they differ, (P,), of each angle.
    gap, dt : jax.Array
        Gap (Å, NaN where unknown) and frame spacing (s).
    noise : Noise, optional
        Working covariance of whole maps (p, G, G); without it the values scatter independently.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase, see `homodyne_bayes.physics.kernels`.
    scaling : str
        How contrast and offset vary over angles, see `homodyne_bayes.likelihood.scaling`.
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
    noise: Noise | None = None
    convention: Convention = "upstream"
    scaling: str = "individual"


def map_grid(
    phi: np.ndarray,
    num_frames: int,
    dt: float,
    q: float | np.ndarray,
    gap: float | None = None,
    convention: Convention = "upstream",
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
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase.
    """
    require_x64()
    if convention not in get_args(Convention):
        raise InputError(f"convention must be one of {get_args(Convention)}, found {convention!r}")
    frames = jnp.arange(num_frames)
    return ShardGrid(
        c2=jnp.asarray(jnp.nan),
        used=jnp.asarray(False),
        lo=frames[:, None],
        hi=frames[None, :],
        phi_index=jnp.arange(len(phi))[:, None, None],
        phi=jnp.asarray(phi, dtype=float),
        time=dt * jnp.arange(num_frames, dtype=float),
        q=jnp.asarray(q, dtype=float),
        gap=jnp.asarray(np.nan if gap is None else gap, dtype=float),
        dt=jnp.asarray(dt, dtype=float),
        convention=convention,
    )


def data_grid(data: TwoTimeData, convention: Convention) -> ShardGrid:
    """Return the grid of the whole maps of ``data``, without measured values."""
    return map_grid(data.phi, data.num_frames, data.dt, data.q, data.gap, convention)


def whole_maps(
    data: TwoTimeData, convention: Convention = "upstream", noise: Noise | None = None
) -> ShardGrid:
    """Return all maps of ``data`` in one grid, (P, G, G), with 0 where a pair has no value."""
    pairs = data.pairs
    return replace(
        data_grid(data, convention),
        c2=jnp.asarray(np.where(pairs, data.c2, 0.0)),
        used=jnp.asarray(np.triu(pairs)),
        noise=noise,
    )


def each_map(
    data: TwoTimeData, convention: Convention = "upstream", noise: Noise | None = None
) -> ShardGrid:
    """Return every map as a part of its own: P stacked grids of (1, G, G)."""
    whole, P = whole_maps(data, convention, noise), data.num_angles
    alone: Any = {name: getattr(whole, name)[:, None] for name in ("c2", "used", "phi_index")}
    same = _repeated(whole, (P,), ("lo", "hi"))
    return replace(whole, **alone, **same, noise=jax.tree.map(lambda leaf: leaf[:, None], noise))


def angle_shards(
    data: TwoTimeData,
    num_shards: int,
    convention: Convention = "upstream",
    noise: Noise | None = None,
) -> ShardGrid:
    """Deal whole angles round the circle into shards, every map a part.

    Every shard has its angles spread over the circle, so that a flow direction can be told in each.
    Angles of different wavevectors are angles like others.
    Shards differ by at most one angle; a map of weight 0 fills the difference.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    num_shards : int
        K, number of shards, at most one an angle.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase.
    noise : Noise, optional
        Of all angles; without it the values scatter independently.

    Returns
    -------
    ShardGrid
        K shards of p maps each: c2 is (K, p, 1, G, G).

    Raises
    ------
    InputError
        If there are more shards than angles.
    """
    if not 1 <= num_shards <= data.num_angles:
        raise InputError(
            f"num_shards must lie between 1 and {data.num_angles}, the angles, found {num_shards}"
        )
    round_the_circle = np.lexsort((data.wavevectors, data.phi))
    hands = [round_the_circle[k::num_shards] for k in range(num_shards)]
    most = len(hands[0])
    real = np.arange(most) < np.array([[len(hand)] for hand in hands])
    angle = np.stack([np.pad(hand, (0, most - len(hand)), mode="edge") for hand in hands])
    maps = jax.tree.map(lambda leaf: leaf[angle], each_map(data, convention, noise))
    maps = replace(maps, used=maps.used & real[..., None, None, None])
    if noise is None:
        return maps
    own = maps.noise
    weight, log_norm = own.weight * real[..., None], own.log_norm * real[..., None]
    return replace(maps, noise=replace(own, weight=weight, log_norm=log_norm))


def block_shards(
    data: TwoTimeData, num_shards: int, convention: Convention = "upstream"
) -> ShardGrid:
    """Deal the distinct pairs of all angles into shards of rectangular blocks.

    Earlier frames are dealt in turn, forwards and backwards, each with all its later frames, so
    that every shard has pairs of every age, lag and angle. Each shard is cut into blocks whose
    values stay in the cache; blocks without a pair are left out.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    num_shards : int
        K, number of shards.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase.

    Returns
    -------
    ShardGrid
        K shards of J blocks each: c2 is (K, J, P, rows, columns), 0 where there is no pair.

    Raises
    ------
    InputError
        If a shard could hold no pair of some angle.
    """
    check_num_shards(data, num_shards)
    whole, (P, G) = data_grid(data, convention), data.usable.shape
    block = BLOCK_SIZE["cpu" if jax.default_backend() == "cpu" else "gpu"]
    lo, hi = _blocks(G, num_shards, int(np.sqrt(block / P)))
    lo, hi, angle = lo[..., None, :, None], hi[..., None, None, :], np.arange(P)[:, None, None]
    used = (lo < hi) & data.pairs[angle, lo, hi]
    return replace(
        whole,
        c2=jnp.asarray(np.where(used, data.c2[angle, lo, hi], 0.0), dtype=float),
        used=jnp.asarray(used),
        lo=jnp.asarray(lo[:, :, 0]),
        hi=jnp.asarray(hi[:, :, 0]),
        **_repeated(whole, lo.shape[:2], ("phi_index",)),
    )


def check_num_shards(data: TwoTimeData, num_shards: int) -> None:
    """Raise `InputError` if shards of `block_shards` could hold no pair of some angle."""
    earlier = np.triu(data.pairs).any(axis=2).sum(axis=1)
    most = (int(earlier.min()) + 1) // 2
    if not 1 <= num_shards <= most:
        raise InputError(
            f"num_shards must lie between 1 and {most}, half the frames of the poorest angle "
            f"that have a later one, found {num_shards}"
        )


def _blocks(num_frames: int, num_shards: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return earlier frames (K, J, rows) and later frames (K, J, columns) of the blocks of shards.

    The last frame, which has none later, pads rows; the first, which has none earlier, columns.
    """
    G, K = num_frames, num_shards
    turns = _cut(np.arange(G - 1), K, G - 1)
    turns[1::2] = turns[1::2, ::-1]
    rows = np.stack([_cut(hand, _even(len(hand), side), G - 1) for hand in turns.T])
    columns = _cut(np.arange(1, G), _even(G - 1, side), 0)
    kept = [np.argwhere(columns.max(axis=1) > hand.min(axis=1)[:, None]) for hand in rows]
    J = max(map(len, kept))
    lo = np.full((K, J, rows.shape[-1]), G - 1)
    hi = np.zeros((K, J, columns.shape[-1]), int)
    for k, blocks in enumerate(kept):
        lo[k, : len(blocks)] = rows[k, blocks[:, 0]]
        hi[k, : len(blocks)] = columns[blocks[:, 1]]
    return lo, hi


def _cut(values: np.ndarray, length: int, fill: int) -> np.ndarray:
    """Return values (N,) in rows of a length, the last row filled up."""
    return np.pad(values, (0, -len(values) % length), constant_values=fill).reshape(-1, length)


def _even(total: int, most: int) -> int:
    """Return the length of pieces of at most ``most`` that are about equally long."""
    return -(-total // -(-total // max(1, most)))


def some_pairs(
    data: TwoTimeData, seed: int, convention: Convention = "upstream", most: int = MAX_PAIRS
) -> ShardGrid:
    """Return at most ``most`` distinct pairs as points (N,), drawn at random; all if no more."""
    angle, lo, hi = distinct_pairs(data)
    if len(angle) > most:
        at = np.sort(np.random.default_rng(seed).choice(len(angle), most, replace=False))
        angle, lo, hi = angle[at], lo[at], hi[at]
    return replace(
        data_grid(data, convention),
        c2=jnp.asarray(data.c2[angle, lo, hi], dtype=float),
        used=jnp.ones(len(angle), bool),
        lo=jnp.asarray(lo),
        hi=jnp.asarray(hi),
        phi_index=jnp.asarray(angle),
    )


def shard(shards: ShardGrid, index: int) -> ShardGrid:
    """Return one shard of stacked shards, or one part of stacked parts."""
    return jax.tree.map(lambda leaf: leaf[index], shards)


def num_shards(shards: ShardGrid) -> int:
    """Return K, the length of the leading axis of stacked shards."""
    return int(shards.lo.shape[0])


def _repeated(whole: ShardGrid, leading: tuple[int, ...], more: tuple[str, ...]) -> Any:
    """Return what all parts have in common, with these leading axes."""
    values = {name: getattr(whole, name) for name in (*_SHARED, *more)}
    return {name: jnp.broadcast_to(x, (*leading, *x.shape)) for name, x in values.items()}


def distinct_pairs(data: TwoTimeData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return angle, earlier and later frame of every pair t1 < t2 that has a value, (N,) each."""
    angle, lo, hi = (index.astype(np.int32) for index in np.nonzero(np.triu(data.pairs)))
    return angle, lo, hi
