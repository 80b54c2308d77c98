"""How points are dealt into shards of parts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.physics.points import (
    READ,
    Physics,
    ShardGrid,
    aligned,
    data_grid,
    repeated,
)

MAX_PAIRS = 2**16  # drawn at random, where some are enough
BLOCK_SIZE = {"cpu": 2**16, "gpu": 2**24}  # values looked at together: a core's cache, or a device


def angle_shards(data: TwoTimeData, num_shards: int, maps: ShardGrid) -> ShardGrid:
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
    maps : ShardGrid
        The same maps, each a part of its own, with their noise where it is that of whole maps.

    Returns
    -------
    ShardGrid
        K shards of p maps each: c2 is (K, p, 1, G, G).

    Raises
    ------
    InputError
        If there are more shards than angles.
    """
    angle, real = hands(data, num_shards)
    dealt = jax.tree.map(lambda leaf: leaf[angle], maps)
    noise = None if dealt.noise is None else dealt.noise.where(real[..., None])
    return replace(dealt, used=dealt.used & real[..., None, None, None], noise=noise)


def hands(data: TwoTimeData, num_shards: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which maps the shards of `angle_shards` hold, and which are more than padding, (K, p).

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
    dealt = [round_the_circle[k::num_shards] for k in range(num_shards)]
    most = len(dealt[0])
    real = np.arange(most) < np.array([[len(hand)] for hand in dealt])
    return np.stack([np.pad(hand, (0, most - len(hand)), mode="edge") for hand in dealt]), real


def block_shards(data: TwoTimeData, num_shards: int, physics: Physics = READ) -> ShardGrid:
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
    physics : Physics
        How the formula is read.

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
    whole, (P, G) = data_grid(data, physics), data.usable.shape
    block = BLOCK_SIZE["cpu" if jax.default_backend() == "cpu" else "gpu"]
    lo, hi = _blocks(G, num_shards, int(np.sqrt(block / P)))
    lo, hi, angle = lo[..., None, :, None], hi[..., None, None, :], np.arange(P)[:, None, None]
    shape = np.broadcast_shapes(angle.shape, lo.shape, hi.shape)
    c2, used = aligned(shape, float), aligned(shape, bool)
    used[:] = (lo < hi) & data.pairs[angle, lo, hi]
    c2[:] = np.where(used, data.c2[angle, lo, hi], 0)
    return replace(
        whole,
        c2=c2,
        used=used,
        lo=jnp.asarray(lo[:, :, 0]),
        hi=jnp.asarray(hi[:, :, 0]),
        **repeated(whole, lo.shape[:2], ("phi_index",)),
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
    data: TwoTimeData, seed: int, physics: Physics = READ, most: int = MAX_PAIRS
) -> ShardGrid:
    """Return at most ``most`` distinct pairs as points (N,), drawn at random; all if no more."""
    ends = np.cumsum([0, *(int(np.triu(there).sum()) for there in data.pairs)])
    at = np.arange(ends[-1])
    if len(at) > most:
        at = np.sort(np.random.default_rng(seed).choice(len(at), most, replace=False))
    angle = np.searchsorted(ends, at, side="right") - 1
    of_map = (
        np.flatnonzero(np.triu(there))[at[angle == p] - ends[p]]
        for p, there in enumerate(data.pairs)
    )
    lo, hi = np.divmod(np.concatenate(list(of_map)), data.num_frames)
    return replace(
        data_grid(data, physics),
        c2=jnp.asarray(data.c2[angle, lo, hi], dtype=float),
        used=jnp.ones(len(at), bool),
        lo=jnp.asarray(lo),
        hi=jnp.asarray(hi),
        phi_index=jnp.asarray(angle),
    )


def num_shards(shards: ShardGrid) -> int:
    """Return K, the length of the leading axis of stacked shards."""
    return int(shards.lo.shape[0])
