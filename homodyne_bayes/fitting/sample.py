"""From data and settings to draws and their verdict, without making a result."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from homodyne_bayes import environment
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.plan import Plan, plan
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.fitting.shards import angle_shards, block_shards, hands, some_pairs
from homodyne_bayes.fitting.start import warm_start
from homodyne_bayes.fitting.statements import start_of
from homodyne_bayes.inference.cheaper import infer_cheaply
from homodyne_bayes.inference.density import as_one_shard, parts_of
from homodyne_bayes.inference.infer import Inference, Progress, infer, silent, timed
from homodyne_bayes.inference.mass import about_the_mass
from homodyne_bayes.inference.methods import METHODS, Problem
from homodyne_bayes.inference.mode import WarmStart
from homodyne_bayes.inference.nuts import Gaussian, proper
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.likelihood.compression import compress, of_compressed, redealt
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.estimate import Estimate, laplace_under
from homodyne_bayes.likelihood.information import prior_slopes
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.likelihood.rescale import rescaled
from homodyne_bayes.physics.points import ShardGrid, shard, split, whole_maps
from homodyne_bayes.physics.rates import reference_time
from homodyne_bayes.thresholds import MIN_SHARE, Fault


class Sampled(NamedTuple):
    """What `sample` made.

    Attributes
    ----------
    plan : Plan
        What was to be done.
    whole : ShardGrid
        All maps in one grid, with the noise under which they were sampled.
    warm : WarmStart
        The least squares fit, under independent noise.
    estimate : Estimate or None
        The noise and the fit under it; None where there is nothing to find of it.
    inference : Inference
        The draws and their verdict.
    """

    plan: Plan
    whole: ShardGrid
    warm: WarmStart
    estimate: Estimate | None
    inference: Inference

    @property
    def model(self) -> Observed:
        """The complete model that was sampled."""
        return self.plan.model

    @property
    def fitted(self) -> tuple[Observed, Gaussian]:
        """The model with contrast and offset of every angle, and its mode, under the noise."""
        if self.estimate is None:
            return self.plan.least_squares, Gaussian(self.warm.theta, self.warm.covariance)
        return self.plan.per_angle, Gaussian(self.estimate.theta, self.estimate.covariance)

    @property
    def unweighted(self) -> ShardGrid:
        """All maps as the least squares fit takes them."""
        return replace(self.whole, noise=None)


def sample_posterior(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = silent,
    noise: WorkingCovariance | None = None,
) -> Sampled:
    """Sample and certify the posterior in the sampler's coordinates, without making a result.

    Parameters and errors are those of `homodyne_bayes.fitting.pipeline.fit`; ``noise``, where
    given, is taken as it is, so that models can be compared under the same.
    """
    return sample(data, plan(data, config), progress, noise=noise)


def sample(
    data: TwoTimeData,
    planned: Plan,
    progress: Progress = silent,
    noise: WorkingCovariance | None = None,
    shelf: Shelf | None = None,
    place: Workplace = HERE,
) -> Sampled:
    """Do what is planned: as `sample_posterior`, chains kept on the ``shelf``."""
    environment.make_room()
    config, model = planned.config, planned.model
    seconds: dict[str, float] = {}
    with timed(seconds, "warm start"), during(progress, "warm start"):
        warm = least_squares(data, planned)
    fitted, laplace = planned.least_squares, Gaussian(warm.theta, warm.covariance)
    whole, estimated = whole_maps(data, config.physics), None
    if model.noise.estimate is not None:
        fitted = planned.per_angle
        with timed(seconds, "noise"), during(progress, "noise"):
            if noise is None:
                estimated = _estimate(data, planned, whole, warm)
                laplace, noise = Gaussian(estimated.theta, estimated.covariance), estimated.noise
                whole = replace(whole, noise=noise)
            else:
                whole = replace(whole, noise=noise)
                laplace = laplace_under(planned.least_squares, fitted, split(whole), warm.theta)
    if model != fitted:
        with timed(seconds, "scaling"), during(progress, "scaling"):
            laplace = rescaled(fitted, model, all_parts(data, planned, whole), laplace)
    if not proper(laplace):
        raise InputError(
            "expected data that give the posterior a mode with a width, found none for model "
            f"{config.model!r}: look at the maps by `homodyne-bayes inspect`, leave out frames "
            "that stand out, or hold what the data say nothing about by narrower priors"
        )
    inference = draws(_keys(config)[1], data, planned, whole, laplace, progress, shelf, place)
    inference = inference._replace(seconds=seconds | inference.seconds)
    inference = _doubted(inference, warm.share)
    return Sampled(planned, whole, warm, estimated, inference)


def draws(
    key: jax.Array,
    data: TwoTimeData,
    planned: Plan,
    whole: ShardGrid,
    laplace: Gaussian,
    progress: Progress = silent,
    shelf: Shelf | None = None,
    place: Workplace = HERE,
) -> Inference:
    """Draw from the posterior of what is planned, its maps compressed or not, and certify.

    Parameters
    ----------
    key : jax.Array
        Random key.
    data, planned, whole
        As in `deal`.
    laplace : Gaussian
        Mode and covariance of the posterior.
    progress, shelf, place
        As in `homodyne_bayes.inference.infer.infer`.
    """
    model, sampling, K = planned.model, planned.config.sampling, _num_shards(planned.config)
    laplace = about_the_mass(partial(prior_slopes(model), shard(split(whole), 0)), laplace)

    def problem() -> Problem:
        return Problem(model, deal(data, planned, whole), laplace)

    if not planned.config.compress:
        return infer(key, problem(), sampling, progress, shelf, place)

    def cheaper(cloud: np.ndarray) -> Problem:
        maps = as_one_shard(split(whole))
        with during(progress, "compressing"):
            small = compress(model, maps, np.asarray(laplace.mean), cloud, place.each)
        return Problem(of_compressed(model), redealt(small, *hands(data, K)), laplace)

    every = Problem(model, as_one_shard(all_parts(data, planned, whole)), laplace)
    return infer_cheaply(key, every, cheaper, sampling, progress, shelf, place, problem)


def estimate_noise(data: TwoTimeData, config: FitConfig) -> Estimate:
    """Return the noise of measured maps, and the fit under it, without sampling."""
    return noise_of(data, plan(data, config))


def noise_of(data: TwoTimeData, planned: Plan) -> Estimate:
    """Return the same for what is planned."""
    whole = whole_maps(data, planned.config.physics)
    return _estimate(data, planned, whole, least_squares(data, planned))


def _estimate(data: TwoTimeData, planned: Plan, whole: ShardGrid, warm: WarmStart) -> Estimate:
    key, estimate = _keys(planned.config)[2], planned.per_angle.noise.estimate
    models = planned.least_squares, planned.per_angle
    return estimate(key, *models, split(whole), data, warm.theta, planned.config.bin_frames)


def least_squares(data: TwoTimeData, planned: Plan) -> WarmStart:
    """Return the mode given the distinct pairs of data under independent noise."""
    config, model = planned.config, planned.least_squares
    points = some_pairs(data, config.seed, config.physics)
    parts = parts_of(block_shards(data, 1, config.physics))
    first = start_of(config.stated, config.record, planned.priors, reference_time(points))
    warm = warm_start(_keys(config)[0], model, points, parts, start=first)
    if warm.outcome == "not finite":
        raise InputError(
            f"the warm start found no finite density for model {config.model!r}: check the "
            "priors and, if the model uses the gap, that the gap is given"
        )
    return warm


def all_parts(data: TwoTimeData, planned: Plan, whole: ShardGrid) -> ShardGrid:
    """Return all data in parts that one after the other is looked at; arguments as of `deal`.

    Whole maps stay where they are in memory.
    """
    if planned.whole_angles:
        return split(whole)
    return parts_of(block_shards(data, _num_shards(planned.config), planned.config.physics))


def deal(data: TwoTimeData, planned: Plan, whole: ShardGrid) -> ShardGrid:
    """Return all data in shards of parts, one shard where the method samples all at once.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    planned : Plan
        What is to be done.
    whole : ShardGrid
        The same maps in one grid, with their noise.
    """
    K = _num_shards(planned.config)
    if planned.whole_angles:
        return angle_shards(data, K, split(whole))
    return block_shards(data, K, planned.config.physics)


def _num_shards(config: FitConfig) -> int:
    return config.num_shards if METHODS[config.method].sharded else 1


@contextmanager
def during(progress: Progress, stage: str) -> Iterator[None]:
    """Show a stage that is done in one go."""
    progress(stage, 0, 1)
    yield
    progress(stage, 1, 1)


def _keys(config: FitConfig) -> jax.Array:
    """Return the keys of the warm start, of sampling, and of simulated pixels."""
    return jax.random.split(jax.random.key(config.seed), 3)


def _doubted(inference: Inference, share: float) -> Inference:
    """Return the inference, not certified where the warm start found more than one optimum."""
    if share >= MIN_SHARE:
        return inference
    rival = Fault("rival_optimum", "warm start", (1 - share,), 1 - MIN_SHARE)
    certificate = inference.certificate
    faults = (*certificate.faults, rival)
    return inference._replace(certificate=certificate._replace(certified=False, faults=faults))
