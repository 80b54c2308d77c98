"""Compressed maps against the maps themselves."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.fitting.shards import angle_shards
from homodyne_bayes.inference.certify import evaluator
from homodyne_bayes.inference.cheaper import cloud_about
from homodyne_bayes.inference.density import log_density, parts_of, prior_draws
from homodyne_bayes.likelihood.compression import compress, of_compressed
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import each_map, shard, split
from tests.truth import LAMINAR, STATIC

PHI = (-60.0, -20.0, 10.0, 50.0, 80.0)
FEW = {"method": "laplace", "num_samples": 50}


def half_decayed(points, priors):
    """A diffusion that stops: rates by values alone, so that every frame is needed."""
    level = numpyro.sample("level", dist.LogNormal(9.0, 1.0))
    end = numpyro.sample("end", dist.LogNormal(1.0, 0.5))
    return kernels.field_correlation(points, level * jnp.exp(-points.time / end))


def measured(model, truth, missing):
    experiment = simulate.Experiment(MODELS[model], PHI, 32, truth)
    data = simulate.speckle(jax.random.key(3), experiment, 4000, mean_photons=2.0)
    if not missing:
        return data
    there = np.random.default_rng(0).random((32, 32)) > 0.05
    there = np.broadcast_to(there & there.T, data.c2.shape)
    return replace(data, c2=np.where(there, data.c2, np.nan), measured=there)


CASES = {
    "flow": ("laminar_flow", LAMINAR, {}, False),
    "rest, independent, integrated": (
        "static",
        STATIC,
        {"scaling": "hierarchical", "noise": "independent"},
        False,
    ),
    "flow by trapezoids": ("laminar_flow", LAMINAR, {"integration": "trapezoid"}, False),
    "pairs missing": ("static", STATIC, {}, True),
    "own model": ("static", STATIC, {"model": half_decayed}, False),
}


@pytest.fixture(scope="module")
def fits():
    """The data and the fit of a case, made when first asked for."""

    @cache
    def fit(case):
        model, truth, settings, missing = CASES[case]
        data = measured(model, truth, missing)
        return data, sample_posterior(data, FitConfig(**{"model": model, **FEW, **settings}))

    return fit


@pytest.mark.parametrize("case", CASES)
def test_the_density_is_that_of_the_maps(case, fits):
    """At draws of a t-distribution wider than the posterior, in 4 shards of 5 maps and 3 fillings.

    The constant is right too, as evidence needs it.
    """
    data, made = fits(case)
    assert made.inference.judgement.deviation < 0.01
    mean, covariance = (np.asarray(x) for x in made.fitted[1])
    if made.model != made.fitted[0]:
        draws = made.inference.draws.reshape(-1, made.inference.draws.shape[-1])
        mean, covariance = draws.mean(axis=0), np.cov(draws.T)
    laplace = made.fitted[1]._replace(mean=mean, covariance=covariance)
    maps = split(made.whole)
    cloud = cloud_about(jax.random.key(1), laplace)
    small = compress(made.model, angle_shards(data, 4, maps), mean, cloud)
    theta = cloud_about(jax.random.key(2), laplace)[:100]
    exact = evaluator(made.model, maps)(theta)
    close = evaluator(of_compressed(made.model), parts_of(small))(theta)
    np.testing.assert_allclose(close[0], exact[0], rtol=1e-9, atol=1e-6)
    assert np.abs(close[1] - exact[1]).max() < 0.05
    assert np.abs(close[1] - exact[1]).mean() < 0.005


def test_slopes_are_those_of_the_maps(fits):
    data, made = fits("flow")
    model, laplace, maps = made.model, made.fitted[1], split(made.whole)
    cloud = cloud_about(jax.random.key(1), laplace)
    small = compress(model, angle_shards(data, 1, maps), np.asarray(laplace.mean), cloud)
    scale = np.linalg.cholesky(laplace.covariance)
    exact = jax.jit(jax.grad(lambda at: log_density(model, maps, at)))
    close = jax.jit(jax.grad(lambda at: log_density(of_compressed(model), shard(small, 0), at)))
    for theta in cloud[:5]:
        np.testing.assert_allclose(scale.T @ close(theta), scale.T @ exact(theta), atol=0.02)


def at_rest(frames):
    """A model of maps at rest, the maps as one shard, and 64 theta from the prior."""
    experiment = simulate.Experiment(MODELS["static"], PHI[:2], frames, STATIC)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    model = plan(data, FitConfig(model="static", noise="independent")).model
    maps = angle_shards(data, 1, each_map(data))
    cloud = np.asarray(prior_draws(jax.random.key(1), model, shard(shard(maps, 0), 0), 64))
    return model, maps, cloud


def test_a_gradient_is_one_program_whatever_the_number_of_frames():
    shapes = set()
    for frames in (5, 40, 47, 200):
        model, maps, cloud = at_rest(frames)
        small = compress(model, maps, cloud[0], cloud)
        shapes.add(str(jax.tree.map(jnp.shape, small)))
        assert small.time.size == 48
    assert len(shapes) == 1


def test_a_cloud_may_be_a_point_and_may_have_holes():
    """Maps that are all the same span one direction; theta without a map are left out."""
    model, maps, cloud = at_rest(40)
    for others in (cloud[:1].repeat(8, axis=0), np.full_like(cloud, np.nan)):
        small = compress(model, maps, cloud[0], np.concatenate([cloud[:1], others]))
        close = evaluator(of_compressed(model), parts_of(small))(cloud[:1])
        exact = evaluator(model, parts_of(maps))(cloud[:1])
        np.testing.assert_allclose(close[1], exact[1], rtol=1e-9)


def test_shards_of_compressed_maps_are_whole_maps_whatever_the_noise():
    data = measured("static", STATIC, missing=False)
    planned = plan(data, FitConfig(model="static", noise="independent", num_shards=7))
    assert planned.config.num_shards == len(PHI)
