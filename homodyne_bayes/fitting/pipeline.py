"""From measured maps to a result: the one composition."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path

import jax
import xarray as xr

from homodyne_bayes.config import FitConfig
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import versions
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import as_attributes
from homodyne_bayes.fitting.checks import shardable, whole_angles
from homodyne_bayes.fitting.start import warm_start
from homodyne_bayes.fitting.tree import Sampled, make_tree
from homodyne_bayes.inference import density
from homodyne_bayes.inference.density import parts_of
from homodyne_bayes.inference.infer import Inference, Progress, infer, silent, timed
from homodyne_bayes.inference.mode import WarmStart
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.inference.places import HERE, Place
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.likelihood.covariance import Noise
from homodyne_bayes.likelihood.noise import Estimate, estimate, laplace_under
from homodyne_bayes.likelihood.rescale import rescaled
from homodyne_bayes.model_files import load_model, source_hash
from homodyne_bayes.parameters import PER_ANGLE, Prior
from homodyne_bayes.physics.points import (
    ShardGrid,
    angle_shards,
    block_shards,
    some_pairs,
    whole_maps,
)
from homodyne_bayes.thresholds import MIN_SHARE, Fault


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
        "versions": versions(),
    }
    several = {"several_devices": jax.local_device_count() > 1}  # one rounds otherwise
    shelf = None if folder is None else Shelf(Path(folder), made_from | several)
    made = sample_posterior(data, config, progress, shelf=shelf, place=place)
    tree = make_tree(data, config, made)
    tree.attrs |= as_attributes(
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
    rival = Fault("rival_optimum", "warm start", (1 - share,), 1 - MIN_SHARE)
    found = inference.certificate
    faults = (*found.faults, rival)
    return inference._replace(certificate=found._replace(certified=False, faults=faults))


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
