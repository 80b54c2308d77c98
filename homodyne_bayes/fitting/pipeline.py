"""From measured maps to a result: the one composition."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from homodyne_bayes.config import FitConfig
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting import predictive
from homodyne_bayes.fitting.checks import shardable, whole_angles
from homodyne_bayes.fitting.start import WarmStart, warm_start
from homodyne_bayes.inference import density
from homodyne_bayes.inference.density import parts_of
from homodyne_bayes.inference.infer import Inference, Progress, infer, silent, timed
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.inference.places import HERE, Place
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.likelihood.covariance import Noise
from homodyne_bayes.likelihood.noise import Estimate, estimate, laplace_under
from homodyne_bayes.likelihood.rescale import parameter_values, rescaled, without_data
from homodyne_bayes.model_files import load_model, source_hash
from homodyne_bayes.parameters import PER_ANGLE, RATES, Prior
from homodyne_bayes.physics.points import (
    ShardGrid,
    angle_shards,
    block_shards,
    some_pairs,
    whole_maps,
)
from homodyne_bayes.physics.rates import reference_time
from homodyne_bayes.results import store

NUM_PRIOR_DRAWS = 2000
NUM_PREDICTED = 100  # draws at which c2 is computed
MIN_SHARE = 0.99  # of the posterior, around the optimum that is sampled


class Sampled(NamedTuple):
    """What `sample_posterior` made.

    Attributes
    ----------
    model : callable
        NumPyro function of one shard.
    whole : ShardGrid
        All maps in one grid, with the noise under which they were sampled.
    warm : WarmStart
        The least squares fit, under independent noise.
    estimate : Estimate or None
        The noise and the fit under it; None where noise is taken as independent.
    inference : Inference
        The draws and their verdict.
    """

    model: density.Model
    whole: ShardGrid
    warm: WarmStart
    estimate: Estimate | None
    inference: Inference

    @property
    def unweighted(self) -> ShardGrid:
        """All maps as the least squares fit takes them."""
        return replace(self.whole, noise=None, scaling="individual")


def fit(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = silent,
    folder: str | Path | None = None,
    place: Place = HERE,
) -> xr.DataTree:
    """Sample the posterior of a model given measured maps.

    Shards the distinct pairs, finds the mode, samples by the method asked for, and certifies.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    config : FitConfig
        How to fit.
    progress : callable
        Called as ``progress(stage, done, total)``.
    folder : path, optional
        Where finished chains are kept. Those that are there are taken instead of being run, so
        that a fit that was stopped goes on, to the same draws.
    place : Place
        Where shards are sampled and all the data evaluated, see
        `homodyne_bayes.inference.cluster`; on the local devices by default.

    Returns
    -------
    xarray.DataTree
        Groups and attributes as `homodyne_bayes.results.store` lists them.

    Raises
    ------
    InputError
        If data and model do not fit together, no finite density is found, or what is in the
        folder was made from other data or settings.
    MissingPrecisionError
        If JAX is set to float32.
    """
    config = shardable(data, config)
    made_from = {
        "settings": asdict(config),
        "priors": _stated_priors(config),
        "data_sha256": data.sha256(),
        **source_hash(config.model),
        "versions": store.versions(),
    }
    several = {"several_devices": jax.local_device_count() > 1}  # one rounds otherwise
    shelf = None if folder is None else Shelf(Path(folder), made_from | several)
    made = sample_posterior(data, config, progress, shelf=shelf, place=place)
    tree = _tree(data, config, made)
    tree.attrs = store.as_attributes(
        {
            "title": "homodyne_bayes result",
            "model": config.model,
            "convention": config.convention,
            "noise": config.noise,
            "scaling": config.scaling,
            "seed": config.seed,
            **made_from,
            "num_pairs": data.num_pairs,
            "provenance": dict(data.provenance),
            "devices": [str(device) for device in jax.local_devices()],
            "seconds": made.inference.seconds,
        }
    )
    return tree


def sample_posterior(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = silent,
    noise: Noise | None = None,
    shelf: Shelf | None = None,
    place: Place = HERE,
) -> Sampled:
    """Sample and certify the posterior in the sampler's coordinates, without making a result.

    Parameters and errors are those of `fit`; ``noise``, where given, is taken as it is, so that
    models can be compared under the same; chains are kept on the ``shelf``.
    """
    config = shardable(data, config)
    model, infer_key = bound_model(config), _keys(config)[1]
    seconds: dict[str, float] = {}
    with timed(seconds, "warm start"), during(progress, "warm start"):
        warm = least_squares(data, config)
    estimated, laplace = None, Gaussian(warm.theta, warm.covariance)
    if config.noise != "independent":
        with timed(seconds, "noise"), during(progress, "noise"):
            if noise is None:
                estimated = estimate(_keys(config)[2], model, data, warm.theta, config)
                laplace, noise = Gaussian(estimated.theta, estimated.covariance), estimated.noise
            else:
                laplace = laplace_under(model, data, config, noise, warm.theta)
    shards = deal(data, config, noise)
    if config.scaling != "individual":
        with timed(seconds, "scaling"), during(progress, "scaling"):
            laplace = rescaled(model, parts_of(shards), laplace)
    inference = infer(infer_key, model, shards, laplace, config, progress, shelf, place)
    inference = inference._replace(seconds=seconds | inference.seconds)
    inference = _doubted(inference, warm.share)
    whole = replace(whole_maps(data, config.convention, noise), scaling=config.scaling)
    return Sampled(model, whole, warm, estimated, inference)


def estimate_noise(data: TwoTimeData, config: FitConfig) -> Estimate:
    """Return the noise of measured maps, and the fit under it, without sampling."""
    config = shardable(data, config)
    start = least_squares(data, config).theta
    return estimate(_keys(config)[2], bound_model(config), data, start, config)


def least_squares(data: TwoTimeData, config: FitConfig) -> WarmStart:
    """Return the mode given the distinct pairs of data under independent noise."""
    points = some_pairs(data, config.seed, config.convention)
    parts = parts_of(block_shards(data, 1, config.convention))
    warm = warm_start(_keys(config)[0], bound_model(config), points, parts)
    if warm.outcome == "not finite":
        raise InputError(
            f"the warm start found no finite density for model {config.model!r}: check the "
            "priors and, if the model uses the gap, that the gap is given"
        )
    return warm


def _keys(config: FitConfig) -> jax.Array:
    """Return the keys of the warm start, of sampling, and of simulated pixels."""
    return jax.random.split(jax.random.key(config.seed), 3)


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
    content = tuple(source_hash(config.model).items())
    return _bind(config.model, content, tuple(config.prior_table().items()))


def deal(data: TwoTimeData, config: FitConfig, noise: Noise | None) -> ShardGrid:
    """Return all data in shards of parts, one shard where the method samples all at once."""
    K = config.num_shards if config.method == "consensus" else 1
    if whole_angles(config):
        shards = angle_shards(data, K, config.convention, noise)
    else:
        shards = block_shards(data, K, config.convention)
    return replace(shards, scaling=config.scaling)


@lru_cache(maxsize=16)
def _bind(
    name: str, _content: tuple[tuple[str, str], ...], priors: tuple[tuple[str, Prior], ...]
) -> density.Model:
    """Return the model as a function of a shard; the same object for the same content."""
    return partial(load_model(name), priors=dict(priors))


@contextmanager
def during(progress: Progress, stage: str) -> Iterator[None]:
    """Show a stage that is done in one go."""
    progress(stage, 0, 1)
    yield
    progress(stage, 1, 1)


def _stated_priors(config: FitConfig) -> dict[str, str]:
    """Return the priors in words; contrast and offset have those of their scaling."""
    table = {name: str(prior) for name, prior in config.prior_table().items()}
    for name in PER_ANGLE:
        if config.scaling == "constant":
            table[name] = f"fixed at {config.prior_table()[name].loc:.5g}"
        elif config.scaling not in ("individual", "marginal"):
            table[f"{name}_mean"] = table.pop(name)
    return table


def _tree(data: TwoTimeData, config: FitConfig, made: Sampled) -> xr.DataTree:
    model, warm, inference, whole = made.model, made.warm, made.inference, made.whole
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1), 3)
    gauss_key, prior_key, scaling_key = keys
    gaussian = jax.random.multivariate_normal(
        gauss_key, warm.theta, warm.covariance, (1, NUM_PRIOR_DRAWS)
    )
    from_prior = density.prior_draws(prior_key, model, whole, NUM_PRIOR_DRAWS)[None]

    def parameters(
        theta: Any, leading: tuple[str, ...] = ("chain", "draw"), grid: ShardGrid = whole
    ) -> xr.Dataset:
        values = density.constrain(model, grid, jnp.asarray(theta), lambda name: name not in RATES)
        return store.draws_dataset(values, data, leading)

    def complete(key: jax.Array, theta: Any, grid: ShardGrid) -> dict[str, np.ndarray]:
        return parameter_values(key, model, grid, jnp.asarray(theta), lambda n: n not in RATES)

    draws = jnp.asarray(inference.draws)
    posterior = complete(scaling_key, draws, whole)
    prior = complete(scaling_key, from_prior, without_data(whole))
    rates = density.constrain(model, whole, draws, lambda name: name in RATES)
    unravel = jax.vmap(jax.vmap(density.space(model, whole).unravel))
    unconstrained: Mapping[str, Any] = unravel(draws)
    groups = {
        "posterior": store.draws_dataset(posterior, data, ("chain", "draw")),
        "unconstrained_posterior": store.draws_dataset(
            {name: np.asarray(value) for name, value in unconstrained.items()},
            data,
            ("chain", "draw"),
        ),
        "approximation": parameters(inference.approximation.draws),
        "prior": store.draws_dataset(prior, data, ("chain", "draw")),
        "rates": store.rates_dataset(rates, data.time),
        "warm_start": parameters(gaussian, grid=made.unweighted),
        "observed_data": store.map_dataset(data.c2, data),
        **_predicted(data, config, made, (draws, posterior), (from_prior, prior)),
        "constant_data": store.constant_dataset(data, float(reference_time(whole))),
        **store.inference_groups(inference, density.labels(model, whole)),
    }
    if made.estimate is not None:
        groups["noise"] = store.noise_dataset(made.estimate, data)
    if inference.approximation.shards is not None:
        shard_draws = inference.approximation.shards.chains.draws
        groups["sub_posteriors"] = parameters(shard_draws, ("shard", "chain", "draw"))
    groups["warm_start"].attrs = {
        "outcome": warm.outcome,
        "num_agreeing": warm.num_agreeing,
        "num_starts": len(warm.objectives),
        "gradient_norm": warm.gradient_norm,
    }
    return xr.DataTree.from_dict(groups)


def _predicted(
    data: TwoTimeData,
    config: FitConfig,
    made: Sampled,
    posterior: tuple[Any, Mapping[str, np.ndarray]],
    prior: tuple[Any, Mapping[str, np.ndarray]],
) -> dict[str, xr.Dataset]:
    """Return the groups of what draws expect; these are coordinates and values of parameters."""
    cuts = predictive.cuts_of(data.pairs)
    (fitted, curves), (_, prior_curves) = (
        predictive.expected(made.model, made.whole, *_some(config, *draws, data.num_angles), cuts)
        for draws in (posterior, prior)
    )
    if made.estimate is not None:
        whole = replace(made.whole, scaling="individual")
        S = predictive.intensity(made.model, whole, made.estimate)
        scatter = predictive.speckle_scatter(S, made.estimate.scale, cuts)
    else:
        residual = np.where(made.whole.used, data.c2 - fitted, np.nan)
        sigma = posterior[1].get("sigma", np.nanstd(residual, axis=(1, 2)))
        scatter = predictive.independent_scatter(np.sqrt((sigma**2).mean()), cuts)
    bands = predictive.bands(curves, prior_curves, scatter, cuts)
    measured = predictive.measured(data.c2, cuts)
    return {
        "fitted": store.map_dataset(fitted, data),
        "cuts": store.cuts_dataset(measured, scatter, bands, cuts, data),
    }


def _some(
    config: FitConfig, theta: Any, values: Mapping[str, np.ndarray], num_angles: int
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return evenly spaced draws of theta (S, d), and of contrast and offset, (S, P) each."""
    theta = np.asarray(theta).reshape(-1, theta.shape[-1])
    at = np.linspace(0, len(theta) - 1, min(len(theta), NUM_PREDICTED)).round().astype(int)
    held = {name: np.full((len(theta), num_angles), config.prior_table()[name].loc)
            for name in PER_ANGLE}  # fmt: skip
    every = {**held, **values}
    return theta[at], tuple(every[name].reshape(len(theta), -1)[at] for name in PER_ANGLE)
