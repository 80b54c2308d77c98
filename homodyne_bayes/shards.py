"""Pre-indexed points of a two-time map, and the ways to split them into shards."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.config import Convention
from homodyne_bayes.covariance import Noise
from homodyne_bayes.data import TwoTimeData
from homodyne_bayes.errors import InputError, MissingPrecisionError

MAX_PART = 2**16  # points looked at together
_ARRAYS = ["c2", "used", "lo", "hi", "phi_index", "phi", "time", "q", "gap", "dt", "noise"]
_CHOICES = ["convention", "scaling"]
_SHARED = ("phi", "time", "q", "gap", "dt")


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=_CHOICES)
@dataclass(frozen=True)
class ShardGrid:
    """Points of a two-time map with everything about them that does not depend on parameters.

    The index arrays broadcast against each other, so one kernel serves paired points, all three
    of shape (N,), and whole maps, where they are (G, 1), (1, G) and (P, 1, 1). Stacked shards
    carry one more leading axis (K,) on every array.

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
    q, gap, dt : jax.Array
        Wavevector (1/Å), gap (Å, NaN where unknown) and frame spacing (s).
    noise : Noise, optional
        Working covariance of whole maps (p, G, G); without it the values scatter independently.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase, see `homodyne_bayes.kernels`.
    scaling : str
        How contrast and offset vary over angles, see `homodyne_bayes.models.scaling`.
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


def require_x64() -> None:
    """Raise `MissingPrecisionError` where JAX would compute in float32."""
    if not jax.config.jax_enable_x64:
        raise MissingPrecisionError(
            "homodyne_bayes computes in float64, found JAX set to float32: call "
            'jax.config.update("jax_enable_x64", True) before anything else'
        )


def map_grid(
    phi: np.ndarray,
    num_frames: int,
    dt: float,
    q: float,
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
    dt, q, gap : float
        Frame spacing (s), wavevector (1/Å), gap (Å).
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


def random_shards(
    data: TwoTimeData, num_shards: int, seed: int, convention: Convention = "upstream"
) -> ShardGrid:
    """Deal the distinct pairs of every angle at random into equally long shards.

    Every pair t1 < t2 of usable frames lands in exactly one shard; the pairs of each angle are
    dealt round-robin, so shards differ by at most one pair an angle, and unused padding
    (``used`` False) fills the difference.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    num_shards : int
        K, number of shards.
    seed : int
        Seed of the deal.
    convention : {"upstream", "gap-average"}
        Meaning of the shear phase.

    Returns
    -------
    ShardGrid
        Stacked shards: every array has a leading axis of length K.

    Raises
    ------
    InputError
        If a shard would hold no pair of some angle.
    """
    whole = data_grid(data, convention)
    rng = np.random.default_rng(seed)
    angle, lo, hi = distinct_pairs(data.usable)
    fewest = int(np.bincount(angle, minlength=data.num_angles).min())
    if not 1 <= num_shards <= fewest:
        raise InputError(
            f"num_shards must lie between 1 and {fewest}, the pairs of the poorest angle, "
            f"found {num_shards}"
        )
    shuffled = rng.permutation(len(angle))
    dealt = shuffled[np.argsort(angle[shuffled], kind="stable")]
    hands = [np.sort(dealt[k::num_shards]) for k in range(num_shards)]
    longest = max(len(hand) for hand in hands)
    padded = np.stack([np.pad(hand, (0, longest - len(hand)), mode="edge") for hand in hands])
    used = np.arange(longest) < np.array([[len(hand)] for hand in hands])
    lo, hi, angle = lo[padded], hi[padded], angle[padded]

    return replace(
        whole,
        c2=jnp.asarray(data.c2[angle, lo, hi], dtype=float),
        used=jnp.asarray(used),
        lo=jnp.asarray(lo),
        hi=jnp.asarray(hi),
        phi_index=jnp.asarray(angle),
        **_shared(whole, num_shards),
    )


def angle_shards(
    data: TwoTimeData,
    num_shards: int,
    convention: Convention = "upstream",
    noise: Noise | None = None,
) -> ShardGrid:
    """Deal whole angles round the circle into shards of whole maps.

    Every shard has its angles spread over the circle, so that a flow direction can be told in each.
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
        Stacked shards of p maps: c2 is (K, p, G, G), with 0 where a frame is not usable.

    Raises
    ------
    InputError
        If there are more shards than angles.
    """
    if not 1 <= num_shards <= data.num_angles:
        raise InputError(
            f"num_shards must lie between 1 and {data.num_angles}, the angles, found {num_shards}"
        )
    whole = data_grid(data, convention)
    round_the_circle = np.argsort(data.phi)
    most = -(-data.num_angles // num_shards)
    hands = [round_the_circle[k::num_shards] for k in range(num_shards)]
    real = np.arange(most) < np.array([[len(hand)] for hand in hands])
    angle = np.stack([np.pad(hand, (0, most - len(hand)), mode="edge") for hand in hands])
    both = data.usable[:, :, None] & data.usable[:, None, :]
    later = np.triu(np.ones((data.num_frames,) * 2, bool), k=1)
    dealt = None if noise is None else jax.tree.map(lambda leaf: leaf[angle], noise)
    if dealt is not None:
        dealt = replace(dealt, weight=dealt.weight * real, log_norm=dealt.log_norm * real)
    return replace(
        whole,
        c2=jnp.asarray(np.where(both, data.c2, 0.0)[angle], dtype=float),
        used=jnp.asarray((both & later)[angle] & real[..., None, None]),
        lo=_stacked(whole.lo, num_shards),
        hi=_stacked(whole.hi, num_shards),
        phi_index=jnp.asarray(angle[..., None, None]),
        noise=dealt,
        **_shared(whole, num_shards),
    )


def data_order(maps: ShardGrid) -> np.ndarray:
    """Return where the map of every angle of the data is in what `angle_shards` dealt."""
    return np.argsort(np.asarray(maps.phi_index).ravel())


def split(shards: ShardGrid, longest: int = MAX_PART) -> ShardGrid:
    """Return the same points in shards of at most ``longest``, padded; it bounds memory."""
    K, length = shards.lo.shape
    parts = -(-length // longest)
    rows = -(-length // parts)
    at = np.arange(parts * rows)
    inside = np.minimum(at, length - 1)

    def divide(points: jax.Array) -> jax.Array:
        return points[:, inside].reshape(K * parts, rows)

    shared: Any = {name: jnp.repeat(getattr(shards, name), parts, axis=0) for name in _SHARED}
    return replace(
        shards,
        c2=divide(shards.c2),
        used=divide(shards.used) & jnp.tile(at < length, K).reshape(K * parts, rows),
        lo=divide(shards.lo),
        hi=divide(shards.hi),
        phi_index=divide(shards.phi_index),
        **shared,
    )


def some(key: jax.Array, grid: ShardGrid, most: int = MAX_PART) -> ShardGrid:
    """Return at most ``most`` points of one shard, drawn at random; all if there are no more."""
    length = grid.lo.shape[0]
    if length <= most:
        return grid
    at = jnp.sort(jax.random.choice(key, length, (most,), replace=False))
    points = {name: getattr(grid, name)[at] for name in ("c2", "used", "lo", "hi", "phi_index")}
    return replace(grid, **points)


def shard(shards: ShardGrid, index: int) -> ShardGrid:
    """Return one shard of stacked shards."""
    return jax.tree.map(lambda leaf: leaf[index], shards)


def num_shards(shards: ShardGrid) -> int:
    """Return K, the length of the leading axis of stacked shards."""
    return int(shards.lo.shape[0])


def _stacked(value: jax.Array, num_shards: int) -> jax.Array:
    return jnp.broadcast_to(value, (num_shards, *value.shape))


def _shared(whole: ShardGrid, num_shards: int) -> dict[str, Any]:
    """Return what all shards have in common, stacked."""
    return {name: _stacked(getattr(whole, name), num_shards) for name in _SHARED}


def distinct_pairs(usable: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return angle, earlier and later frame of every pair t1 < t2 of usable frames, (N,) each."""
    num_frames = usable.shape[1]
    lo, hi = (index.astype(np.int32) for index in np.triu_indices(num_frames, k=1))
    angle, pair = np.nonzero(usable[:, lo] & usable[:, hi])
    return angle.astype(np.int32), lo[pair], hi[pair]
