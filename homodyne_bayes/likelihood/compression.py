r"""Maps at some hundred of their pairs: the likelihood of a map, compressed.

Within a posterior the maps g₁² of one angle move in a space of few dimensions, whatever the number
of frames. With K⁻¹ the precision of the noise, B a basis of that space which is orthonormal in it,
BᵀK⁻¹B = 1, and v the map at some nodes, pairs of frames at which B is well known,

.. math:: (y - \mu)^T K^{-1} (y - \mu) \approx |A (Bb - v)|^2 + c, \qquad
          A = B_\mathrm{nodes}^+, \quad b = B^T K^{-1} y, \quad c = y^T K^{-1} y - b^T b

so that the same model is looked at, at the nodes only, where it is compared with Bb (reduced order
quadrature and empirical interpolation: Antil et al., J. Sci. Comput. 57:604, 2013; Canizares et
al., Phys. Rev. Lett. 114:071104, 2015). The basis is made of the maps at some theta of a cloud and
of the map that is 1 everywhere, so that contrast and offset stay in the space. What is left out is
small within the cloud; how small, the posterior of all the data says.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import scipy.linalg

from homodyne_bayes.inference.each import Each, each_here
from homodyne_bayes.likelihood.information import squared_g1
from homodyne_bayes.likelihood.noise import Noise
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.physics.points import SHARED, ShardGrid, shard

RANK = 48  # directions of a map: 1, that at the centre, and differences from it
NUM_NODES = 2 * RANK
NUM_FRAMES = 48  # of which pairs are nodes
ROUNDING = 1e-12  # relative: less is none
TINY = np.finfo(float).tiny
SAME = 1e-9  # of g₁², where a model needs no other frames than the nodes'

OWN = ("c2", "used", "lo", "hi", "phi_index")  # of every map
_ALONE = threading.Lock()
_ARRAYS = ["root", "rest", "count", "log_norm"]


@partial(jax.tree_util.register_dataclass, data_fields=_ARRAYS, meta_fields=[])
@dataclass(frozen=True)
class Compressed:
    """What the likelihood has to know of p compressed maps.

    Attributes
    ----------
    root : jax.Array
        (p, R, m) A, from values at the nodes to coordinates; 0 for a map that is padding.
    rest : jax.Array
        (p,) c, what no map of the model explains.
    count : jax.Array
        (p,) number of values that were compared.
    log_norm : jax.Array
        (p,) log density of values that are their mean, for a scatter of 1.
    """

    root: jax.Array
    rest: jax.Array
    count: jax.Array
    log_norm: jax.Array


class CompressedNormal(dist.Distribution):
    """Normal maps that are known by their values at nodes.

    Parameters
    ----------
    loc : jax.Array
        (p, m) mean.
    noise : Compressed
        Of the same maps.
    scale : jax.Array or float
        Scatter of one value.
    """

    support = dist.constraints.real_matrix

    def __init__(self, loc: jax.Array, noise: Compressed, scale: Any = 1.0) -> None:
        self.loc, self.noise, self.scale = loc, noise, scale
        super().__init__(batch_shape=(), event_shape=jnp.shape(loc))

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the log density of maps (p, m)."""
        moved = _coordinates(self.noise, value - self.loc) / self.scale
        return _log_norm(self.noise, self.scale) - 0.5 * (moved**2).sum()


def _log_norm(noise: Compressed, scale: Any) -> jax.Array:
    scatter = noise.count * jnp.log(scale) + 0.5 * noise.rest / scale**2
    return (noise.log_norm - scatter).sum()


def _coordinates(noise: Compressed, values: jax.Array) -> jax.Array:
    """Return A v of values at nodes (..., p, m), (..., p, R)."""
    return jnp.einsum("prm,...pm->...pr", noise.root, values)


@lru_cache
def of_compressed(model: Observed) -> Observed:
    """Return the same model of compressed maps."""
    noise = model.noise

    def normal(points: ShardGrid, mean: jax.Array, scatter: Any) -> dist.Distribution:
        return CompressedNormal(mean, points.noise, noise.scale(scatter))

    def gram(points: ShardGrid, maps: jax.Array, scatter: Any) -> jax.Array:
        moved = _coordinates(points.noise, maps) / noise.scale(scatter)
        return jnp.einsum("ipr,jpr->pij", moved, moved)

    def log_norm(points: ShardGrid, scatter: Any) -> jax.Array:
        return _log_norm(points.noise, noise.scale(scatter))

    changed: Noise = replace(noise, distribution=normal, gram=gram, log_norm=log_norm)
    return replace(model, noise=changed)


class Frames(NamedTuple):
    """Frames of which pairs may be nodes, as a model sees them.

    Attributes
    ----------
    chosen : numpy.ndarray
        (F,) frames of the map.
    at : numpy.ndarray
        (F,) their places among the times.
    time : jax.Array
        (G',) times that the model is given: theirs, or all where it needs all.
    """

    chosen: np.ndarray
    at: np.ndarray
    time: jax.Array

    def pairs(self, part: ShardGrid, lo: np.ndarray, hi: np.ndarray) -> ShardGrid:
        """Return a part at pairs of these frames, without measured values."""
        return replace(
            part,
            time=self.time,
            lo=jnp.asarray(self.at[lo]),
            hi=jnp.asarray(self.at[hi]),
            c2=jnp.full(lo.shape, jnp.nan),
            used=jnp.zeros(lo.shape, bool),
            noise=None,
        )


def compress(
    model: Observed,
    shards: ShardGrid,
    centre: np.ndarray,
    cloud: np.ndarray,
    each: Each = each_here,
) -> ShardGrid:
    """Return shards of one part each, which holds all maps of the shard, compressed.

    One map after the other is looked at, each on a device or a worker.

    Parameters
    ----------
    model : Observed
        The model of the maps themselves.
    shards : ShardGrid
        K shards of p parts of one map each: c2 is (K, p, 1, G, G).
    centre : numpy.ndarray
        (d,) theta whose map lies in the space exactly.
    cloud : numpy.ndarray
        (N, d) theta whose maps span it.
    each : callable
        Compresses every map, as `homodyne_bayes.inference.each.each_here`.
    """
    K, p = shards.lo.shape[:2]
    maps = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), shards)
    theta = np.concatenate([centre[None], cloud])
    for frames in _frames(shard(maps, 0)):
        made = each(_one, (model, frames, theta), maps)
        if max(off for *_, off in made) < SAME:
            break
    found = [known for *known, _ in made]
    stacked = jax.tree.map(lambda *all_: np.stack(all_).reshape(K, 1, p, *all_[0].shape), *found)
    c2, lo, hi, noise = stacked
    return replace(
        shards,
        c2=c2,
        used=jnp.ones(c2.shape, bool),
        lo=lo,
        hi=hi,
        phi_index=shards.phi_index.reshape(K, 1, p, 1),
        time=jnp.broadcast_to(frames.time, (K, 1, len(frames.time))),
        noise=noise,
        **{name: getattr(shards, name)[:, :1] for name in ("phi", "q", "gap", "dt")},
    )


def redealt(small: ShardGrid, maps: np.ndarray, real: np.ndarray) -> ShardGrid:
    """Return the compressed maps of one shard in K shards.

    Parameters
    ----------
    small : ShardGrid
        One shard of one part.
    maps, real : numpy.ndarray
        (K, p) places of the maps of every shard, and whether they are more than padding.
    """
    dealt: Any = {name: getattr(small, name)[0, 0][maps][:, None] for name in OWN}
    noise = jax.tree.map(lambda leaf: leaf[0, 0][maps][:, None], small.noise)
    noise = jax.tree.map(lambda leaf: np.where(_as(real[:, None], leaf), leaf, 0.0), noise)
    dealt |= {name: np.repeat(getattr(small, name), len(maps), axis=0) for name in SHARED}
    return replace(small, **dealt, noise=noise)


def apart(shards: ShardGrid, maps: np.ndarray, real: np.ndarray) -> ShardGrid:
    """Return the P compressed maps of K shards in their order, each a part of its own.

    Parameters
    ----------
    shards : ShardGrid
        K shards of one part, as `redealt` made them.
    maps, real : numpy.ndarray
        (K, p) places of their maps, and whether they are more than padding.
    """
    at = np.flatnonzero(real)[np.argsort(maps[real])]

    def own(leaf: Any) -> np.ndarray:
        return np.asarray(leaf).reshape(-1, *leaf.shape[3:])[at][:, None]

    made: Any = {name: own(getattr(shards, name)) for name in OWN}
    made |= {name: np.repeat(getattr(shards, name)[0], len(at), axis=0) for name in SHARED}
    return replace(shards, **made, noise=jax.tree.map(own, shards.noise))


def _as(flags: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """Return flags with as many axes as a leaf."""
    return flags.reshape(*flags.shape, *(1,) * (leaf.ndim - flags.ndim))


def _one(model: Observed, frames: Frames, theta: np.ndarray, part: ShardGrid) -> tuple[Any, ...]:
    """Return values at the nodes, their frames, and what the likelihood has to know of a map.

    The last is how far the model is off from the map where it knows no other frames.
    """
    if not bool(part.used.any()):
        return _padding(frames)
    lo, hi = np.triu_indices(len(frames.at), 1)
    near = np.asarray(_shapes(model)(frames.pairs(part, lo[None, None], hi[None, None]), theta))
    finite = np.isfinite(near).all(axis=1)
    near, theta = near[finite], theta[finite]
    with _one_thread():
        chosen = np.array([0, *(1 + _most_different(near[1:] - near[0], RANK - 2))])
    pairs = jnp.asarray(frames.chosen[lo]), jnp.asarray(frames.chosen[hi])
    gram, log_norm, count, there = _measured(model)(part, theta[chosen], *pairs)
    gram, near = np.asarray(gram), near[chosen]
    with _one_thread():
        basis = _orthonormal(gram[:-1, :-1])
        columns = np.column_stack([np.ones_like(near[0]), near[0], *(near[1:] - near[0])]) @ basis
        Q, sizes, turned = np.linalg.svd(columns, full_matrices=False)
        seen = sizes > ROUNDING * sizes[0]
        nodes = _nodes(Q[:, seen])
        root = np.zeros((RANK, NUM_NODES))
        root[: len(turned)] = turned[seen].T / sizes[seen] @ np.linalg.pinv(Q[nodes][:, seen])
    b = basis.T @ gram[:-1, -1]
    rest = gram[-1, -1] - b @ b
    known = Compressed(*map(jnp.asarray, (root, rest, count, log_norm)))
    ends = (jnp.asarray(frames.at[end[nodes]]) for end in (lo, hi))
    off = float(np.abs(near - np.asarray(there)).max())
    return jnp.asarray(columns[nodes] @ b), *ends, known, off


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let linear algebra of matrices that are too small to share use one thread."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - it sets a variable when imported

    with _ALONE, threadpool_limits(limits=1, user_api="blas"):  # a limit is one of the process
        yield


def _padding(frames: Frames) -> tuple[Any, ...]:
    """Return the same of a map that fills a shard up."""
    nothing = [jnp.zeros(shape) for shape in ((RANK, NUM_NODES), (), (), ())]
    ends = (jnp.full(NUM_NODES, frames.at[end]) for end in (0, -1))
    return jnp.zeros(NUM_NODES), *ends, Compressed(*nothing), 0.0


def _frames(part: ShardGrid) -> tuple[Frames, Frames]:
    """Return frames that are dense early and spread over all: alone, and among all times.

    Where there are fewer, the last but one is there again, so that programs do not depend on their
    number.
    """
    G, half = part.time.shape[0], NUM_FRAMES // 2
    early = np.geomspace(1, G - 1, half).round()
    even = np.linspace(0, G - 1, NUM_FRAMES - half).round()
    chosen = np.unique(np.concatenate([early, even])).astype(int)
    more = np.setdiff1d(np.arange(G), chosen)[: NUM_FRAMES - len(chosen)]
    again = np.full(NUM_FRAMES - len(chosen) - len(more), max(0, G - 2))
    chosen = np.sort(np.concatenate([chosen, more, again]))
    alone = Frames(chosen, np.arange(len(chosen)), part.time[chosen])
    return alone, Frames(chosen, chosen, part.time)


def _most_different(moved: np.ndarray, most: int) -> np.ndarray:
    """Return places of maps (N, M) that span all, (most,), the first again where fewer do."""
    places = scipy.linalg.qr(moved.T, mode="r", pivoting=True)[1][: min(most, *moved.shape)]
    return np.pad(places, (0, most - len(places)), constant_values=places[0])


def _orthonormal(gram: np.ndarray) -> np.ndarray:
    """Return combinations (R, r) of maps that are orthonormal by their products (R, R).

    A map that is nothing but the rounding of a difference is left out.
    """
    sizes = np.sqrt(np.maximum(np.diag(gram), 0.0))
    scale = np.where(sizes > ROUNDING * sizes.max(), 1 / np.maximum(sizes, TINY), 0.0)
    values, vectors = np.linalg.eigh(scale[:, None] * gram * scale)
    kept = values > ROUNDING * values.max()
    return scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])


def _nodes(Q: np.ndarray) -> np.ndarray:
    """Return rows (m,) of orthonormal columns (M, r) by which all others are well known."""
    left, nodes = np.arange(len(Q)), np.empty(0, int)
    while len(nodes) < NUM_NODES:
        if not len(left):
            left = np.arange(len(Q))
        pivots = scipy.linalg.qr(Q[left].T, mode="r", pivoting=True)[1][: Q.shape[1]]
        nodes, left = np.concatenate([nodes, left[pivots]]), np.delete(left, pivots)
    return nodes[:NUM_NODES]


@lru_cache(maxsize=16)
def _shapes(model: Observed) -> Any:
    """Return g₁² of the pairs of one map at many theta, (N, M), compiled when first called."""

    def shapes(points: ShardGrid, theta: jax.Array) -> jax.Array:
        return jax.vmap(lambda one: squared_g1(model, points, one).reshape(-1))(theta)

    return jax.jit(shapes)


@lru_cache(maxsize=16)
def _measured(model: Observed) -> Any:
    """Return what is measured of one map, compiled when first called.

    That is products of maps in the precision of the noise, the last the measured one, the constant
    of the log density, the number of values, and g₁² at some pairs of frames.
    """

    def products(
        part: ShardGrid, theta: jax.Array, lo: jax.Array, hi: jax.Array
    ) -> tuple[jax.Array, ...]:
        last = len(theta)
        centre = squared_g1(model, part, theta[0])

        def direction(i: jax.Array) -> tuple[jax.Array, jax.Array]:
            shape = squared_g1(model, part, theta[i])
            away = shape - jnp.where(i > 0, centre, 0.0)
            made = jnp.where(i < 0, 1.0, jnp.where(i < last, away, part.c2))
            return made, shape[0, lo, hi]

        maps, there = jax.lax.map(direction, jnp.arange(-1, last + 1))
        gram = model.noise.gram(part, maps, jnp.ones(()))[0]
        return gram, model.noise.log_norm(part, jnp.ones(())), part.used.sum(), there[1:-1]

    return jax.jit(products)
