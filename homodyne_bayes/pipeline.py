"""From measured maps to a result: the one composition."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from homodyne_bayes import density, results
from homodyne_bayes.config import FitConfig
from homodyne_bayes.data import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.inference import Inference, Progress, infer, silent
from homodyne_bayes.models import load_model
from homodyne_bayes.models.sampling import reference_time
from homodyne_bayes.nuts import Gaussian
from homodyne_bayes.parameters import RATES, Prior
from homodyne_bayes.shards import ShardGrid, data_grid, random_shards, require_x64, shard, split
from homodyne_bayes.warmstart import WarmStart, warm_start

NUM_PRIOR_DRAWS = 2000
NUM_FITTED_DRAWS = 100
MIN_SHARE = 0.99  # of the posterior, around the optimum that is sampled


class Sampled(NamedTuple):
    """What `sample_posterior` made: the bound model, its shards, the fit at the mode, the draws."""

    model: density.Model
    shards: ShardGrid
    warm: WarmStart
    inference: Inference


def fit(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = silent,
) -> xr.DataTree:
    """Sample the posterior of a model given measured maps.

    Shards the distinct pairs, finds the mode, samples by the method asked for, and certifies.

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
    made = sample_posterior(data, config, progress)
    tree = _tree(data, config, made)
    tree.attrs = results.as_attributes(
        {
            "title": "homodyne_bayes result",
            "model": config.model,
            "convention": config.convention,
            "noise": "independent, uncorrected for correlated noise",
            "seed": config.seed,
            "settings": asdict(config),
            "priors": {name: str(prior) for name, prior in config.prior_table().items()},
            "data_sha256": data.sha256(),
            "num_pairs": data.num_pairs,
            "provenance": dict(data.provenance),
            "versions": results.versions(),
            "devices": [str(device) for device in jax.local_devices()],
            "seconds": made.inference.seconds,
        }
    )
    return tree


def sample_posterior(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = silent,
) -> Sampled:
    """Sample and certify the posterior in the sampler's coordinates, without making a result.

    Parameters and errors are those of `fit`.
    """
    require_x64()
    check_flow(data, config.model)
    model = bound_model(config)
    dealt = config.num_shards if config.method == "consensus" else 1
    shards = random_shards(data, dealt, config.seed, config.convention)
    warm_key, infer_key = jax.random.split(jax.random.key(config.seed))
    began = time.perf_counter()
    progress("warm start", 0, 1)
    warm = warm_start(warm_key, model, shards, config.num_starts)
    progress("warm start", 1, 1)
    seconds = {"warm start": time.perf_counter() - began}
    if warm.outcome == "not finite":
        raise InputError(
            f"the warm start found no finite density for model {config.model!r}: check the "
            "priors and, if the model uses the gap, that the gap is given"
        )
    laplace = Gaussian(warm.theta, warm.covariance)
    inference = infer(infer_key, model, shards, laplace, config, split(shards), progress)
    inference = inference._replace(seconds=seconds | inference.seconds)
    return Sampled(model, shards, warm, _doubted(inference, warm.share))


def _doubted(inference: Inference, share: float) -> Inference:
    """Return the inference, not certified where the warm start found more than one optimum."""
    if share >= MIN_SHARE:
        return inference
    reason = f"warm start: other optima hold about {1 - share:.0%} of the posterior"
    found = inference.certificate
    refused = [*found.refused, reason]
    return inference._replace(certificate=found._replace(certified=False, refused=refused))


def bound_model(config: FitConfig) -> density.Model:
    """Return the model of a configuration as a function of one shard."""
    return _bind(config.model, tuple(config.prior_table().items()))


@lru_cache(maxsize=16)
def _bind(name: str, priors: tuple[tuple[str, Prior], ...]) -> density.Model:
    """Return the model as a function of a shard; the same object for the same settings."""
    return partial(load_model(name), priors=dict(priors))


def check_flow(data: TwoTimeData, model: str) -> None:
    """Raise `InputError` if a model needs a gap or azimuths that the data do not have."""
    if model != "laminar_flow":
        return
    if data.gap is None:
        raise InputError("model laminar_flow needs the gap in Å, found none: pass --gap")
    if "phi" in data.provenance.get("assumed", ()):
        raise InputError(
            "model laminar_flow needs the azimuth of every map, found none in the file: "
            "pass --phi, or fit --model static"
        )


def _tree(data: TwoTimeData, config: FitConfig, made: Sampled) -> xr.DataTree:
    model, warm, inference = made.model, made.warm, made.inference
    first = shard(made.shards, 0)
    gauss_key, prior_key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1))
    gaussian = jax.random.multivariate_normal(
        gauss_key, warm.theta, warm.covariance, (1, NUM_PRIOR_DRAWS)
    )
    prior = density.prior_draws(prior_key, model, first, NUM_PRIOR_DRAWS)[None]

    def parameters(theta: Any, leading: tuple[str, ...] = ("chain", "draw")) -> xr.Dataset:
        values = density.constrain(model, first, jnp.asarray(theta), lambda name: name not in RATES)
        return results.draws_dataset(values, data.phi, leading)

    draws = jnp.asarray(inference.draws)
    rates = density.constrain(model, first, draws, lambda name: name in RATES)
    unravel = jax.vmap(jax.vmap(density.space(model, first).unravel))
    unconstrained: Mapping[str, Any] = unravel(draws)
    groups = {
        "posterior": parameters(draws),
        "unconstrained_posterior": results.draws_dataset(
            {name: np.asarray(value) for name, value in unconstrained.items()},
            data.phi,
            ("chain", "draw"),
        ),
        "approximation": parameters(inference.approximation.draws),
        "prior": parameters(prior),
        "rates": results.rates_dataset(rates, data.time),
        "warm_start": parameters(gaussian),
        "observed_data": results.map_dataset(data.c2, data),
        "fitted": results.map_dataset(_fitted(data, config, model, inference.draws), data),
        "constant_data": results.constant_dataset(data, float(reference_time(first))),
        **results.inference_groups(inference, density.labels(model, first)),
    }
    if inference.approximation.shards is not None:
        shard_draws = inference.approximation.shards.chains.draws
        groups["sub_posteriors"] = parameters(shard_draws, ("shard", "chain", "draw"))
    groups["warm_start"].attrs = {
        "outcome": warm.outcome,
        "num_agreeing": warm.num_agreeing,
        "num_starts": config.num_starts,
        "gradient_norm": warm.gradient_norm,
    }
    return xr.DataTree.from_dict(groups)


def _fitted(
    data: TwoTimeData, config: FitConfig, model: density.Model, draws: np.ndarray
) -> np.ndarray:
    """Return the posterior mean of c2, (P, G, G), over evenly spaced draws."""
    grid = data_grid(data, config.convention)
    flat = draws.reshape(-1, draws.shape[-1])
    chosen = jnp.asarray(flat[:: max(1, len(flat) // NUM_FITTED_DRAWS)])

    @jax.jit
    def mean(draws: jax.Array) -> jax.Array:
        def add(total: jax.Array, theta: jax.Array) -> tuple[jax.Array, None]:
            return total + density.observation(model, grid, theta)[0], None

        return jax.lax.scan(add, jnp.zeros(data.c2.shape), draws)[0] / len(draws)

    return np.asarray(mean(chosen))
