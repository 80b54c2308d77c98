"""Consensus Monte Carlo: NUTS on every shard, over the devices, and the merge.

The model is an argument; nothing here knows what it describes. A lane is one chain of
one shard ("parallel") or all chains of one shard in lockstep ("vectorized"); every lane has its
own key and every device runs one lane at a time by the same program, so the draws do not depend
on the number of devices, but for the rounding of the one-device program that XLA compiles.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import hmc_util

from homodyne_bayes.config import MergeRule
from homodyne_bayes.density import Model, Shard, log_density, space
from homodyne_bayes.errors import InputError
from homodyne_bayes.nuts import Gaussian, NutsInfo, NutsSettings, nuts, standardise

CHUNK = 50  # transitions between two looks at progress and Ctrl-C


class Target(NamedTuple):
    """What one shard's chains sample: its data and its standardised coordinates."""

    shard: Shard
    prior_power: jax.Array
    centre: jax.Array
    scale: jax.Array


class SubPosteriors(NamedTuple):
    """Draws of every shard in theta, (K, C, S, d), and their diagnostics, (K, C, S)."""

    draws: np.ndarray
    info: NutsInfo


Progress = Callable[[int, int], None]


def sample_shards(
    key: jax.Array,
    model: Model,
    shards: Shard,
    guess: Gaussian,
    prior_power: float,
    settings: NutsSettings,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> SubPosteriors:
    """Run NUTS on every shard.

    Parameters
    ----------
    key : jax.Array
        Random key; the chains of shard k use ``split(fold_in(key, k), num_chains)``.
    model : callable
        NumPyro function of one shard.
    shards : pytree
        Stacked shards, leading axis K on every leaf.
    guess : Gaussian
        Roughly what is sampled; (d,) and (d, d), or one for every shard, (K, d) and (K, d, d).
    prior_power : float
        Power of the prior in each shard, 1/K where the shards are parts of one data set.
    settings : NutsSettings
        Chains, draws and adaptation.
    devices : sequence of jax.Device, optional
        Devices to use, all local ones by default.
    progress : callable
        Called with work done and in total, after every 50 transitions.

    Returns
    -------
    SubPosteriors
        Draws after warm-up, and their diagnostics.
    """
    devices = list(devices or jax.local_devices())
    num_shards = jax.tree.leaves(shards)[0].shape[0]
    d = guess.mean.shape[-1]
    targets = Target(
        shards,
        jnp.full(num_shards, prior_power),
        jnp.broadcast_to(guess.mean, (num_shards, d)),
        jnp.broadcast_to(jnp.linalg.cholesky(guess.covariance), (num_shards, d, d)),
    )
    groups = settings.num_chains if settings.chain_method == "parallel" else 1
    shard_of = np.repeat(np.arange(num_shards), groups)
    keys = jax.vmap(
        lambda k: jax.random.split(jax.random.fold_in(key, k), settings.num_chains)
    )(jnp.arange(num_shards)).reshape(num_shards * groups, settings.num_chains // groups)
    outputs = _run_lanes(model, targets, shard_of, keys, settings, devices, progress)
    z, info = jax.tree.map(
        lambda leaf: leaf.reshape(num_shards, settings.num_chains, *leaf.shape[2:]), outputs
    )
    draws = jax.vmap(standardise)(targets.centre, targets.scale, jnp.asarray(z))
    return SubPosteriors(np.asarray(draws), info)


def _run_lanes(
    model: Model,
    targets: Target,
    shard_of: np.ndarray,
    keys: jax.Array,
    settings: NutsSettings,
    devices: list[jax.Device],
    progress: Progress | None,
) -> tuple[np.ndarray, NutsInfo]:
    """Run lane i, the chains with ``keys[i]`` on shard ``shard_of[i]``, in rounds over devices.

    Returns draws and info with leading axes (lane, chain of the lane, draw).
    """
    num_lanes = len(shard_of)
    width = min(len(devices), num_lanes)
    start, advance = _programs(model, settings, tuple(devices[:width]))
    num_chunks = -(-(settings.num_warmup + settings.num_samples) // CHUNK)
    num_rounds = -(-num_lanes // width)
    rounds = []
    for number in range(num_rounds):
        lanes = np.arange(number * width, (number + 1) * width)
        present = np.minimum(lanes, num_lanes - 1)  # an idle device repeats the last lane
        target = jax.tree.map(lambda leaf, at=shard_of[present]: leaf[at], targets)
        state = start(keys[present], target)
        chunks = []
        for chunk in range(num_chunks):
            state, output = advance(state, target)
            chunks.append(jax.tree.map(np.asarray, output))
            if progress is not None:
                progress(number * num_chunks + chunk + 1, num_rounds * num_chunks)
        kept = _after_warmup(chunks, settings)
        rounds.append(jax.tree.map(lambda leaf, idle=lanes >= num_lanes: leaf[~idle], kept))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *rounds)


def merge(key: jax.Array, sub_posteriors: SubPosteriors, rule: MergeRule) -> np.ndarray:
    """Merge the draws of all shards into draws of the whole posterior, (C, S, d).

    Both rules are NumPyro's, applied to theta with full covariances, so correlations survive.
    "consensus" averages the i-th draws of all shards with weights (sum of precisions)^-1
    precision; "parametric" draws from the product of the shards' Gaussians. Both are exact for
    Gaussian sub-posteriors and approximate otherwise.

    Parameters
    ----------
    key : jax.Array
        Random key of the parametric draws.
    sub_posteriors : SubPosteriors
        Draws (K, C, S, d).
    rule : {"consensus", "parametric"}
        How to merge.
    """
    draws = sub_posteriors.draws
    num_shards, chains, samples, d = draws.shape
    if num_shards == 1:
        return draws[0]
    flat = [jnp.asarray(shard.reshape(-1, d)) for shard in draws]
    centre, scale = _pooled(flat)
    whitened = [jnp.linalg.solve(scale, (one - centre).T).T for one in flat]
    if rule == "consensus":
        merged = hmc_util.consensus(whitened)
    elif rule == "parametric":
        merged = hmc_util.parametric_draws(whitened, chains * samples, rng_key=key)
    else:
        raise InputError(f"merge must be one of {get_args(MergeRule)}, found {rule!r}")
    return np.asarray(standardise(centre, scale, merged)).reshape(chains, samples, d)


def _pooled(draws: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    pooled = jnp.concatenate(draws)
    return pooled.mean(axis=0), jnp.linalg.cholesky(jnp.cov(pooled.T).reshape(pooled.shape[1], -1))


@lru_cache(maxsize=16)
def _programs(
    model: Model, settings: NutsSettings, devices: tuple[jax.Device, ...]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return start and advance of one lane a device, compiled when first called."""

    def standardised(target: Target, z: jax.Array) -> jax.Array:
        theta = standardise(target.centre, target.scale, z)
        return log_density(model, target.shard, theta, target.prior_power)

    chain = nuts(standardised, lambda target: space(model, target.shard).size, settings)

    over_chains = _single if settings.chain_method == "parallel" else jax.vmap

    def start(keys: jax.Array, target: Target) -> Any:
        return over_chains(lambda key: chain.start(key, target))(keys)

    def advance(states: Any, target: Target) -> Any:
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


def _after_warmup(chunks: list[Any], settings: NutsSettings) -> Any:
    """Join chunks (lane, chain, CHUNK, ...) along the draws and keep those after warm-up."""
    first, last = settings.num_warmup, settings.num_warmup + settings.num_samples
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=2)[:, :, first:last], *chunks)
