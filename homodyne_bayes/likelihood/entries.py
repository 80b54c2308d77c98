r"""Which entries of two-time maps are compared, and where the few stand that need a list.

What is not there, the diagonal of a map and pairs that were not measured, is integrated out.
Where it is only the diagonal, no list is needed. Otherwise the shorter list is kept: that of what
is integrated out, or that of the pairs that were measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.data.checks import pairs_of
from homodyne_bayes.data.two_time import TwoTimeData


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["frame_weight", "places"],
    meta_fields=["measured", "bin_frames"],
)
@dataclass(frozen=True)
class Entries:
    """The entries of P maps that are compared, m bins of frames a side.

    Attributes
    ----------
    frame_weight : jax.Array
        (P, G) weight of a frame in its bin; 0 for an unusable one.
    places : jax.Array or None
        (P, k) places a m + b of the listed entries (a, b), a <= b, of every map, -1 where a map
        has fewer; None where all pairs are there and the diagonal is integrated out.
    measured : bool
        Whether the list is that of the pairs that are there; otherwise it is that of all that is
        integrated out, the diagonal included.
    bin_frames : int
        Frames averaged in a bin.
    """

    frame_weight: jax.Array
    places: jax.Array | None = None
    measured: bool = False
    bin_frames: int = 1


def entries_of(data: TwoTimeData, bin_frames: int = 1) -> Entries:
    """Return the entries of measured maps; where pairs are missing, bins are of one frame."""
    frame_weight = frame_weights(data.usable, bin_frames)
    if not data.num_missing:
        return Entries(frame_weight, bin_frames=bin_frames)
    there, lost = _flags(data)
    measured = _longest(there) < _longest(lost)
    return Entries(frame_weight, jnp.asarray(_places(there if measured else lost)), measured)


def length_of_list(data: TwoTimeData) -> int:
    """Return the length of the list that maps need which lack pairs: of its longest map."""
    return min(_longest(flags) for flags in _flags(data))


def frame_weights(usable: np.ndarray, bin_frames: int) -> jax.Array:
    """Return the weight of every frame in its bin, (P, G), of flags (P, G)."""
    flags = in_bins(jnp.asarray(usable, dtype=float), bin_frames)
    counts = flags.sum(axis=-1, keepdims=True)
    weights = flags / jnp.where(counts > 0, counts, 1.0)
    return weights.reshape(*flags.shape[:-2], -1)[..., : jnp.shape(usable)[-1]]


def num_bins(entries: Entries) -> jax.Array:
    """Return the number n of bins that hold usable frames, (P,)."""
    return (in_bins(entries.frame_weight, entries.bin_frames).sum(axis=-1) > 0).sum(axis=-1)


def num_pairs(entries: Entries) -> jax.Array:
    """Return the number of distinct pairs of bins that are compared, (P,)."""
    n = num_bins(entries)
    every = n * (n - 1) / 2
    if entries.places is None:
        return every
    num_listed = (entries.places >= 0).sum(axis=-1)
    if entries.measured:
        return num_listed.astype(float)
    return every - (num_listed - entries.frame_weight.shape[-1])


def average(maps: jax.Array, entries: Entries) -> jax.Array:
    """Return maps (..., G, G) averaged over bins of frames, (..., m, m)."""
    weight, bin_frames = entries.frame_weight, entries.bin_frames
    weighted = maps * weight[..., :, None] * weight[..., None, :]
    if bin_frames == 1:
        return weighted
    rows = in_bins(jnp.swapaxes(weighted, -1, -2), bin_frames).sum(axis=-1)
    return in_bins(jnp.swapaxes(rows, -1, -2), bin_frames).sum(axis=-1)


def average_matrix(entries: Entries, num_bins: int) -> jax.Array:
    """Return T (m, G), which averages the frames of one map, leading axis 1, in bins."""
    frame_weight = entries.frame_weight[0]
    inside = jnp.arange(frame_weight.size) // entries.bin_frames == jnp.arange(num_bins)[:, None]
    return jnp.where(inside, frame_weight, 0.0)


def in_bins(frames: jax.Array, bin_frames: int) -> jax.Array:
    """Return the last axis (G,) as bins (m, bin_frames), padded with zeros."""
    short = -frames.shape[-1] % bin_frames
    padded = jnp.pad(frames, [(0, 0)] * (frames.ndim - 1) + [(0, short)])
    return padded.reshape(*frames.shape[:-1], -1, bin_frames)


def listed(entries: Entries, maps: jax.Array) -> jax.Array:
    """Return the listed entries of maps (..., m, m), (..., k), or their diagonals."""
    if entries.places is None:
        return jnp.diagonal(maps, axis1=-2, axis2=-1)
    return _taken(maps, entries.places)


def filled(entries: Entries, values: jax.Array) -> jax.Array:
    """Return symmetric maps (..., m, m) that have values (..., k) at the listed entries.

    Off the diagonal, (a, b) and (b, a) have one half each: a sum of products with other symmetric
    maps is one over the list.
    """
    m = -(-entries.frame_weight.shape[-1] // entries.bin_frames)
    if entries.places is None:
        return values[..., None] * jnp.eye(m)
    half = _put(m)(values, entries.places)
    return 0.5 * (half + jnp.swapaxes(half, -1, -2))


def there(entries: Entries) -> jax.Array:
    """Return 1 where an entry is compared and 0 where it is not, (P, m, m), whatever the frames."""
    m = -(-entries.frame_weight.shape[-1] // entries.bin_frames)
    if entries.places is None:
        return 1 - jnp.eye(m)
    flags = (filled(entries, jnp.ones(entries.places.shape)) > 0).astype(float)
    return flags if entries.measured else 1 - flags


def rows_and_columns(entries: Entries) -> tuple[jax.Array | slice, jax.Array | slice]:
    """Return row and column of the listed entries of one map, (k,) each."""
    if entries.places is None:
        return slice(None), slice(None)
    return jnp.divmod(jnp.ravel(entries.places), entries.frame_weight.shape[-1])


@partial(jnp.vectorize, signature="(m,n),(k)->(k)")
def _taken(maps: jax.Array, places: jax.Array) -> jax.Array:
    return maps.ravel()[places]


def _put(m: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return the function that puts values (k,) at places (k,) of maps (m, m) of zeros."""

    @partial(jnp.vectorize, signature="(k),(k)->(m,m)")
    def put(values: jax.Array, places: jax.Array) -> jax.Array:
        real = jnp.where(places >= 0, values, 0.0)
        return jnp.zeros(m * m).at[places].add(real).reshape(m, m)

    return put


def _flags(data: TwoTimeData) -> tuple[np.ndarray, np.ndarray]:
    """Return which pairs a < b are there, and which are not or on the diagonal, (P, G, G) each."""
    lost = pairs_of(data.usable) & ~data.pairs
    return np.triu(data.pairs), np.triu(lost) | np.eye(data.num_frames, dtype=bool)


def _longest(flags: np.ndarray) -> int:
    """Return the largest number of flags (P, G, G) in a map."""
    return int(flags.sum(axis=(1, 2)).max())


def _places(flags: np.ndarray) -> np.ndarray:
    """Return the places of flags (P, G, G), (P, k), -1 where a map has fewer."""
    places = np.full((len(flags), _longest(flags)), -1)
    for row, one in zip(places, flags, strict=True):
        listed = np.flatnonzero(one)
        row[: len(listed)] = listed
    return places
