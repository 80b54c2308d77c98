"""NUTS on many targets, over the devices.

The model is an argument; nothing here knows what it describes. A target is what one set of chains
samples: a shard, a shard within the rest of the data as a Gaussian, or all the data. A lane is
one chain of one target ("parallel") or all chains of one target in lockstep ("vectorized"); every
lane has its own key and every device runs one lane at a time by the same program, so the draws do
not depend on the number of devices, but for the rounding of the one-device program that XLA
compiles.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.density import Model, Shard, log_density, parts_of
from homodyne_bayes.inference.nuts import (
    Gaussian,
    NutsInfo,
    NutsSettings,
    Transitions,
    nuts,
    standardise,
)
from homodyne_bayes.inference.shelf import Shelf

CHUNK = 50  # transitions between two looks at progress and Ctrl-C
COPIES = 10  # of a part that a chain works with at once; XLA was seen to need 3 to 9


class Targets(NamedTuple):
    """What T sets of chains sample, every leaf with a leading axis T.

    The log density of target t is that of its data, ``shards`` (T, J, ...) with the prior to the
    power ``prior_power``, minus ``cavity`` |z|²/2, in coordinates z with theta = centre + scale z.
    """

    shards: Shard
    prior_power: jax.Array
    cavity: jax.Array
    centre: jax.Array
    scale: jax.Array


def each_shard(shards: Shard, guess: Gaussian, prior_power: float) -> Targets:
    """Return one target a shard, its sub-posterior.

    Parameters
    ----------
    shards : pytree
        K shards of J parts each, leading axes (K, J) on every leaf.
    guess : Gaussian
        Roughly what is sampled; (d,) and (d, d), or one for every shard, (K, d) and (K, d, d).
    prior_power : float
        Power of the prior in each shard, 1/K where the shards are parts of one data set.
    """
    return _targets(shards, guess, prior_power, 0.0)


def each_in_cavity(shards: Shard, posterior: Gaussian) -> Targets:
    """Return one target a shard: the shard itself, all other data as a Gaussian.

    With ``posterior`` approximating the posterior of all the data, the others of K shards are
    its power 1 - 1/K, and the target is as narrow as the posterior, however small the shard.
    """
    K = jax.tree.leaves(shards)[0].shape[0]
    return _targets(shards, posterior, 1 / K, 1 - 1 / K)


def all_data(shards: Shard, guess: Gaussian) -> Targets:
    """Return one target, the posterior of all shards."""
    return _targets(jax.tree.map(lambda leaf: leaf[None], parts_of(shards)), guess, 1.0, 0.0)


def _targets(shards: Shard, guess: Gaussian, prior_power: float, cavity: float) -> Targets:
    T, d = jax.tree.leaves(shards)[0].shape[0], guess.mean.shape[-1]
    return Targets(
        shards,
        jnp.full(T, prior_power),
        jnp.full(T, cavity),
        jnp.broadcast_to(guess.mean, (T, d)),
        jnp.broadcast_to(jnp.linalg.cholesky(guess.covariance), (T, d, d)),
    )


class Chains(NamedTuple):
    """What chains of K targets gave.

    ``draws`` (K, C, S, d) of theta after warm-up, ``score`` the gradient of the log density there,
    and diagnostics ``info`` (K, C, S); ``num_gradients`` (K, C) counts leapfrog steps, warm-up
    included, and ``device`` (K, C) names where each chain ran.
    """

    draws: np.ndarray
    score: np.ndarray
    info: NutsInfo
    num_gradients: np.ndarray
    device: np.ndarray


StageProgress = Callable[[int, int], None]


class Lanes(NamedTuple):
    """Chains to be run: lane i are those with ``keys[i]`` on target ``target_of[i]``.

    ``keys`` is (lane, chain of the lane).
    """

    model: Model
    targets: Targets
    target_of: np.ndarray
    keys: jax.Array
    settings: NutsSettings


class Lane(NamedTuple):
    """What one lane gave: transitions (chain, draw, ...), leapfrog steps (chain,), and where."""

    kept: Transitions
    num_gradients: np.ndarray
    device: str


Run = Callable[[Lanes, np.ndarray, StageProgress], Iterable[tuple[int, Lane]]]


def run_here(
    lanes: Lanes,
    todo: np.ndarray,
    progress: StageProgress,
    devices: Sequence[jax.Device] | None = None,
) -> Iterator[tuple[int, Lane]]:
    """Run the lanes ``todo`` in rounds over the local devices, one lane a device.

    Where there are two devices, two are used even for one lane: its program then rounds as that
    of all others.
    """
    model, targets, target_of, keys, settings = lanes
    dealt = jax.tree.map(np.asarray, targets)  # NumPy takes rows at once, JAX dispatches for each
    parts = jax.tree.map(lambda leaf: leaf[0], dealt.shards)
    devices = devices or with_room(jax.local_devices(), parts, keys.shape[1])
    devices = devices[: max(2, len(target_of))]
    width = len(devices)
    start, advance = _programs(model, settings, tuple(devices))
    num_chunks = -(-(settings.num_warmup + settings.num_samples) // CHUNK)
    num_rounds = -(-len(todo) // width)
    for number in range(num_rounds):
        batch = todo[number * width : (number + 1) * width]
        present = np.pad(
            batch, (0, width - len(batch)), mode="edge"
        )  # idle devices repeat the last
        target = on_devices(
            jax.tree.map(lambda leaf, at=target_of[present]: leaf[at], dealt), devices
        )
        state = start(keys[present], target)
        chunks = []
        for chunk in range(num_chunks):
            state, output = advance(state, target)
            chunks.append(jax.tree.map(np.asarray, output))
            progress(number * num_chunks + chunk + 1, num_rounds * num_chunks)
        joined = _after_warmup(chunks, settings)
        for at, lane in enumerate(batch):
            kept, num_gradients = jax.tree.map(lambda leaf, at=at: leaf[at], joined)
            yield int(lane), Lane(kept, num_gradients, str(devices[at]))


def _silent(_done: int, _total: int) -> None:
    """Report nothing."""


class Runner(NamedTuple):
    """How chains are run.

    Attributes
    ----------
    run : callable
        Runs some of the lanes and gives each as it ends, as `run_here`.
    progress : callable
        Called with work done and in total.
    shelf : Shelf, optional
        Where finished chains are kept, and taken from instead of being run.
    """

    run: Run = run_here
    progress: StageProgress = _silent
    shelf: Shelf | None = None


LOCALLY = Runner()


def sample(
    key: jax.Array,
    model: Model,
    targets: Targets,
    settings: NutsSettings,
    runner: Runner = LOCALLY,
) -> Chains:
    """Run NUTS on every target.

    Parameters
    ----------
    key : jax.Array
        Random key; the chains of target k use ``split(fold_in(key, k), num_chains)``.
    model : callable
        NumPyro function of one shard.
    targets : Targets
        K targets.
    settings : NutsSettings
        Chains, draws and adaptation.
    runner : Runner
        What runs the chains.

    Returns
    -------
    Chains
        Draws after warm-up, their diagnostics and cost.
    """
    num_targets = targets.centre.shape[0]
    groups = settings.num_chains if settings.chain_method == "parallel" else 1
    target_of = np.repeat(np.arange(num_targets), groups)
    keys = jax.vmap(lambda k: jax.random.split(jax.random.fold_in(key, k), settings.num_chains))(
        jnp.arange(num_targets)
    ).reshape(num_targets * groups, settings.num_chains // groups)
    lanes = Lanes(model, targets, target_of, keys, settings)
    run, progress, shelf = runner
    finished = {} if shelf is None else _shelved(shelf, len(target_of))
    todo = np.array([lane for lane in range(len(target_of)) if lane not in finished], int)
    for number, lane in run(lanes, todo, progress):
        finished[number] = lane
        if shelf is not None:
            shelf.save(_piece(number), _arrays(lane))
    ordered = [finished[number] for number in range(len(target_of))]
    kept, num_gradients = jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(
            num_targets, settings.num_chains, *leaves[0].shape[1:]
        ),
        *((lane.kept, lane.num_gradients) for lane in ordered),
    )
    device = np.array([lane.device for lane in ordered]).reshape(num_targets, groups)
    centre, scale = np.asarray(targets.centre), np.asarray(targets.scale)
    return Chains(
        np.stack([standardise(*each) for each in zip(centre, scale, kept.z, strict=True)]),
        kept.score @ np.linalg.inv(scale)[:, None],
        kept.info,
        num_gradients,
        np.repeat(device, settings.num_chains // groups, axis=1),
    )


def counted(run: Run, progress: StageProgress) -> Run:
    """Return what runs lanes as ``run`` does and tells how many of all chains are finished."""

    def told(lanes: Lanes, todo: np.ndarray, look: StageProgress) -> Iterator[tuple[int, Lane]]:
        total, each = lanes.keys.size, lanes.keys.shape[1]
        for number, lane in enumerate(run(lanes, todo, look), 1 + len(lanes.keys) - len(todo)):
            progress(number * each, total)
            yield lane

    return told


def _piece(lane: int) -> str:
    return f"chains-{lane:04d}"


def _arrays(lane: Lane) -> dict[str, Any]:
    """Return a lane as named arrays."""
    (z, score, info), num_gradients, device = lane
    return {
        "z": z,
        "score": score,
        **info._asdict(),
        "num_gradients": num_gradients,
        "device": np.array(device),
    }


def _shelved(shelf: Shelf, num_lanes: int) -> dict[int, Lane]:
    """Return the lanes that are on the shelf."""
    lanes = {}
    for lane in range(num_lanes):
        piece: Any = shelf.load(_piece(lane))
        if piece is not None:
            info = NutsInfo(*(piece[name] for name in NutsInfo._fields))
            kept = Transitions(piece["z"], piece["score"], info)
            lanes[lane] = Lane(kept, piece["num_gradients"], str(piece["device"]))
    return lanes


def with_room(devices: Sequence[jax.Device], parts: Shard, num_chains: int = 1) -> list[jax.Device]:
    """Return the devices with memory for chains on these parts (J, ...); all where none has it.

    All devices take equal shares, so that one with little, as that of the screen may be, would
    end the work. Devices that do not tell their memory are kept.
    """
    leaves = jax.tree.leaves(parts)
    total = sum(leaf.nbytes for leaf in leaves)
    needed = total + COPIES * num_chains * total // leaves[0].shape[0]
    limits = [(device.memory_stats() or {}).get("bytes_limit", math.inf) for device in devices]
    kept = [device for device, limit in zip(devices, limits, strict=True) if limit >= needed]
    return kept or list(devices)


def on_devices(stacked: Any, devices: Sequence[jax.Device]) -> Any:
    """Return a pytree with its leading axis spread over devices, so that it is sent once."""
    return _same(tuple(devices))(stacked)


@lru_cache(maxsize=16)
def _same(devices: tuple[jax.Device, ...]) -> Callable[[Any], Any]:
    """Return the identity over devices, compiled once a shape."""
    return jax.pmap(lambda leaf: leaf, devices=list(devices))


@lru_cache(maxsize=16)
def _programs(
    model: Model, settings: NutsSettings, devices: tuple[jax.Device, ...]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return start and advance of one lane a device, compiled when first called."""

    def standardised(target: Targets, z: jax.Array) -> jax.Array:
        theta = standardise(target.centre, target.scale, z)
        density = log_density(model, target.shards, theta, target.prior_power)
        return density - 0.5 * target.cavity * z @ z

    chain = nuts(standardised, lambda target: target.centre.shape[-1], settings)

    over_chains = _single if settings.chain_method == "parallel" else jax.vmap

    def start(keys: jax.Array, target: Targets) -> Any:
        return over_chains(lambda key: chain.start(key, target))(keys)

    def advance(states: Any, target: Targets) -> Any:
        return over_chains(lambda state: chain.advance(state, target, CHUNK))(states)

    return (
        jax.pmap(start, devices=list(devices)),
        jax.pmap(advance, devices=list(devices)),
    )


def _single(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Apply ``function`` to the only member of a leading axis of length one."""

    def apply(batch: Any) -> Any:
        output = function(jax.tree.map(lambda leaf: leaf[0], batch))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], output)

    return apply


def _after_warmup(
    chunks: list[Transitions], settings: NutsSettings
) -> tuple[Transitions, np.ndarray]:
    """Join chunks (lane, chain, CHUNK, ...), keep draws after warm-up, and count all steps."""
    joined = jax.tree.map(lambda *parts: np.concatenate(parts, axis=2), *chunks)
    kept = slice(settings.num_warmup, settings.num_warmup + settings.num_samples)
    return jax.tree.map(lambda leaf: leaf[:, :, kept], joined), joined.info.n_steps.sum(axis=2)
