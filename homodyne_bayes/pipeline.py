"""From measured maps to a result: the one composition."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from homodyne_bayes import density, results
from homodyne_bayes.config import FitConfig
from homodyne_bayes.consensus import SubPosteriors, merge, sample_shards
from homodyne_bayes.data import TwoTimeData
from homodyne_bayes.diagnostics import shard_agreement
from homodyne_bayes.errors import InputError
from homodyne_bayes.models import load_model
from homodyne_bayes.models.sampling import reference_time
from homodyne_bayes.nuts import NutsSettings
from homodyne_bayes.parameters import RATES, Prior
from homodyne_bayes.shards import ShardGrid, data_grid, random_shards, require_x64, shard
from homodyne_bayes.warmstart import WarmStart, shard_guess, warm_start

NUM_PRIOR_DRAWS = 2000
NUM_FITTED_DRAWS = 100

Progress = Callable[[str, int, int], None]


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""


def fit(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = _silent,
) -> xr.DataTree:
    """Sample the posterior of a model given measured maps.

    Shards the distinct pairs, finds the mode, runs NUTS on every shard, and merges.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps of one wavevector.
    config : FitConfig
        How to fit.
    progress : callable
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    xarray.DataTree
        Groups and attributes as `homodyne_bayes.results` lists them.

    Raises
    ------
    InputError
        If data and model do not fit together or no finite density is found.
    MissingPrecisionError
        If JAX is set to float32.
    """
    require_x64()
    _check_flow(data, config.model)
    priors = config.prior_table()
    model = _bind(config.model, tuple(priors.items()))
    shards = random_shards(data, config.num_shards, config.seed, config.convention)
    warm_key, sample_key, merge_key, draw_key = jax.random.split(jax.random.key(config.seed), 4)
    seconds = {}

    began = time.perf_counter()
    progress("warm start", 0, 1)
    warm = warm_start(warm_key, model, shards, config.num_starts)
    progress("warm start", 1, 1)
    seconds["warm_start"] = time.perf_counter() - began
    if warm.outcome == "not finite":
        raise InputError(
            f"the warm start found no finite density for model {config.model!r}: check the "
            "priors and, if the model uses the gap, that the gap is given"
        )

    began = time.perf_counter()
    sub_posteriors = sample_shards(
        sample_key,
        model,
        shards,
        shard_guess(warm, shards),
        1.0 / config.num_shards,
        _nuts_settings(config),
        progress=partial(progress, "sampling"),
    )
    seconds["sampling"] = time.perf_counter() - began
    merged = merge(merge_key, sub_posteriors, config.merge)

    tree = _tree(data, config, model, shards, warm, sub_posteriors, merged, draw_key)
    tree.attrs = results.as_attributes(
        {
            "title": "homodyne_bayes result",
            "model": config.model,
            "convention": config.convention,
            "noise": "independent, uncorrected for correlated noise",
            "seed": config.seed,
            "settings": asdict(config),
            "priors": {name: str(prior) for name, prior in priors.items()},
            "data_sha256": data.sha256(),
            "num_pairs": data.num_pairs,
            "provenance": dict(data.provenance),
            "versions": results.versions(),
            "devices": [str(device) for device in jax.local_devices()],
            "seconds": seconds,
        }
    )
    return tree


@lru_cache(maxsize=16)
def _bind(name: str, priors: tuple[tuple[str, Prior], ...]) -> density.Model:
    """Return the model as a function of a shard; the same object for the same settings."""
    return partial(load_model(name), priors=dict(priors))


def _nuts_settings(config: FitConfig) -> NutsSettings:
    return NutsSettings(**{name: getattr(config, name) for name in NutsSettings._fields})


def _check_flow(data: TwoTimeData, model: str) -> None:
    if model != "laminar_flow":
        return
    if data.gap is None:
        raise InputError("model laminar_flow needs the gap in Å, found none: pass --gap")
    if "phi" in data.provenance.get("assumed", ()):
        raise InputError(
            "model laminar_flow needs the azimuth of every map, found none in the file: "
            "pass --phi, or fit --model static"
        )


def _tree(
    data: TwoTimeData,
    config: FitConfig,
    model: density.Model,
    shards: ShardGrid,
    warm: WarmStart,
    sub_posteriors: SubPosteriors,
    merged: np.ndarray,
    key: jax.Array,
) -> xr.DataTree:
    first = shard(shards, 0)
    gauss_key, prior_key = jax.random.split(key)
    gaussian = jax.random.multivariate_normal(
        gauss_key, warm.theta, warm.covariance, (1, NUM_PRIOR_DRAWS)
    )
    prior = density.prior_draws(prior_key, model, first, NUM_PRIOR_DRAWS)[None]

    def parameters(theta: Any, leading: tuple[str, ...] = ("chain", "draw")) -> xr.Dataset:
        values = density.constrain(model, first, jnp.asarray(theta), lambda name: name not in RATES)
        return results.draws_dataset(values, data.phi, leading)

    rates = density.constrain(model, first, jnp.asarray(merged), lambda name: name in RATES)
    unravel = jax.vmap(jax.vmap(density.space(model, first).unravel))
    unconstrained: Mapping[str, Any] = unravel(jnp.asarray(merged))
    per_shard = results.sub_sample_stats(sub_posteriors)
    groups = {
        "posterior": parameters(merged),
        "unconstrained_posterior": results.draws_dataset(
            {name: np.asarray(value) for name, value in unconstrained.items()},
            data.phi,
            ("chain", "draw"),
        ),
        "prior": parameters(prior),
        "rates": results.rates_dataset(rates, data.time),
        "sample_stats": results.sample_stats(per_shard),
        "sub_posteriors": parameters(sub_posteriors.draws, ("shard", "chain", "draw")),
        "sub_sample_stats": per_shard,
        "warm_start": parameters(gaussian),
        "observed_data": results.map_dataset(data.c2, data),
        "fitted": results.map_dataset(_fitted(data, config, model, merged), data),
        "constant_data": results.constant_dataset(data, float(reference_time(first))),
    }
    shape = sub_posteriors.draws.shape
    agreement = shard_agreement(sub_posteriors.draws.reshape(shape[0], -1, shape[-1]))
    groups["sub_posteriors"].attrs = {
        "agreement_chi2": agreement.chi2,
        "agreement_dof": agreement.dof,
        "agreement_p_value": agreement.p_value,
    }
    groups["warm_start"].attrs = {
        "outcome": warm.outcome,
        "num_agreeing": warm.num_agreeing,
        "num_starts": config.num_starts,
        "gradient_norm": warm.gradient_norm,
    }
    return xr.DataTree.from_dict(groups)


def _fitted(
    data: TwoTimeData, config: FitConfig, model: density.Model, merged: np.ndarray
) -> np.ndarray:
    """Return the posterior mean of c2, (P, G, G), over evenly spaced draws."""
    grid = data_grid(data, config.convention)
    flat = merged.reshape(-1, merged.shape[-1])
    chosen = jnp.asarray(flat[:: max(1, len(flat) // NUM_FITTED_DRAWS)])

    @jax.jit
    def mean(draws: jax.Array) -> jax.Array:
        def add(total: jax.Array, theta: jax.Array) -> tuple[jax.Array, None]:
            return total + density.observation(model, grid, theta)[0], None

        return jax.lax.scan(add, jnp.zeros(data.c2.shape), draws)[0] / len(draws)

    return np.asarray(mean(chosen))
