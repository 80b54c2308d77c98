"""NUTS, shards and merges against targets whose posterior is known exactly."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from homodyne_bayes.inference.chains import (
    Lanes,
    Runner,
    all_data,
    counted,
    each_in_cavity,
    each_shard,
    run_here,
    sample,
    with_room,
)
from homodyne_bayes.inference.density import parts_of
from homodyne_bayes.inference.nuts import Gaussian, NutsSettings
from tests.truth import LAMINAR_MODEL


def nuts_settings(num_warmup, num_samples, num_chains, chain_method="parallel"):
    return NutsSettings(num_warmup, num_samples, num_chains, 0.8, 10, chain_method)


SETTINGS = nuts_settings(num_warmup=200, num_samples=1000, num_chains=4)
D = 5
RNG = np.random.default_rng(0)
DESIGN = jnp.asarray(RNG.normal(size=(4, 30, D)) @ RNG.normal(size=(D, D)))
TRUTH = jnp.asarray(RNG.normal(size=D))
TARGET = DESIGN @ TRUTH + jnp.asarray(RNG.normal(size=(4, 30)))


def regression(shard):
    """Linear regression with unit noise and a standard normal prior: a Gaussian posterior."""
    x, y = shard
    w = numpyro.sample("w", dist.Normal(jnp.zeros(D), 1.0).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def exact(x, y, prior_power=1.0):
    precision = x.T @ x + prior_power * np.eye(D)
    covariance = np.linalg.inv(precision)
    return covariance @ (x.T @ y), covariance


SHARDS = (DESIGN[:, None], TARGET[:, None])
WHOLE = exact(np.asarray(DESIGN.reshape(-1, D)), np.asarray(TARGET.ravel()))


@pytest.fixture(scope="module")
def sub_posteriors():
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    return sample(jax.random.key(1), regression, each_shard(SHARDS, guess, 0.25), SETTINGS)


def test_shapes_and_diagnostics(sub_posteriors):
    assert sub_posteriors.draws.shape == (4, 4, 1000, D)
    assert sub_posteriors.info.n_steps.shape == (4, 4, 1000)
    assert not sub_posteriors.info.diverging.any()
    assert (sub_posteriors.info.n_steps >= 1).all()
    assert sub_posteriors.info.acceptance_rate.mean() > 0.7


def test_every_shard_samples_its_tempered_posterior(sub_posteriors):
    for k in range(4):
        mean, covariance = exact(np.asarray(DESIGN[k]), np.asarray(TARGET[k]), 0.25)
        draws = sub_posteriors.draws[k].reshape(-1, D)
        sd = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose((draws.mean(axis=0) - mean) / sd, 0, atol=0.15)
        np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.1)


def test_all_data_and_a_shard_within_the_rest_as_a_gaussian_sample_the_posterior():
    """The rest of a Gaussian posterior is that Gaussian to a power, so both are exact."""
    posterior = Gaussian(jnp.asarray(WHOLE[0]), jnp.asarray(WHOLE[1]))
    together = sample(jax.random.key(3), regression, all_data(SHARDS, posterior), SETTINGS)
    cavities = each_in_cavity(SHARDS, posterior)
    alone = sample(jax.random.key(4), regression, cavities, SETTINGS)
    sd = np.sqrt(np.diag(WHOLE[1]))
    draws = together.draws.reshape(-1, D)
    np.testing.assert_allclose((draws.mean(axis=0) - WHOLE[0]) / sd, 0, atol=0.1)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.1)
    for k in range(4):
        own = np.asarray(DESIGN[k]).T @ np.asarray(DESIGN[k]) + 0.25 * np.eye(D)
        precision = own + 0.75 * np.linalg.inv(WHOLE[1])
        pull = np.asarray(DESIGN[k]).T @ np.asarray(TARGET[k])
        covariance = np.linalg.inv(precision)
        mean = covariance @ (pull + 0.75 * np.linalg.solve(WHOLE[1], WHOLE[0]))
        draws, sd = alone.draws[k].reshape(-1, D), np.sqrt(np.diag(covariance))
        np.testing.assert_allclose((draws.mean(axis=0) - mean) / sd, 0, atol=0.1)
        np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.1)


def test_score_is_the_gradient_of_the_log_density(sub_posteriors):
    """Of a Gaussian target: precision times distance from its mean."""
    for k in range(4):
        mean, covariance = exact(np.asarray(DESIGN[k]), np.asarray(TARGET[k]), 0.25)
        expected = np.linalg.solve(covariance, (mean - sub_posteriors.draws[k]).reshape(-1, D).T).T
        np.testing.assert_allclose(sub_posteriors.score[k].reshape(-1, D), expected, atol=1e-8)


def test_gradients_are_counted_with_warm_up(sub_posteriors):
    kept = np.asarray(sub_posteriors.info.n_steps).sum(axis=2)
    assert (sub_posteriors.num_gradients > kept).all()


def on_first(count):
    """Run lanes on the first devices only."""
    return Runner(partial(run_here, devices=jax.devices()[:count]))


@pytest.mark.parametrize("chain_method", ["parallel", "vectorized"])
def test_draws_do_not_depend_on_the_number_of_devices(chain_method):
    """Three shards on 1, 2 and 4 devices: rounds with a remainder, and idle devices."""
    settings = nuts_settings(num_warmup=60, num_samples=60, num_chains=1, chain_method=chain_method)
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    targets = each_shard((DESIGN[:3, None], TARGET[:3, None]), guess, 1 / 3)
    runs = [
        sample(jax.random.key(5), regression, targets, settings, on_first(count))
        for count in (1, 2, 4)
    ]
    assert runs[0].draws.shape == (3, 1, 60, D)
    for run in runs[1:]:
        np.testing.assert_allclose(run.draws, runs[0].draws, rtol=1e-9)
        np.testing.assert_array_equal(run.info.n_steps, runs[0].info.n_steps)


def test_shards_share_one_compiled_program():
    """Two shards or six, on one device or two: the model is traced for the first target only."""
    traced = []

    def counted(shard):
        traced.append(None)
        regression(shard)

    settings = nuts_settings(num_warmup=60, num_samples=60, num_chains=2)
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    repeated = tuple(jnp.concatenate([leaf, leaf])[:6] for leaf in SHARDS)
    counts = []
    for shards in (tuple(leaf[:2] for leaf in SHARDS), repeated, SHARDS):
        targets = each_shard(shards, guess, 0.25)
        sample(jax.random.key(0), counted, targets, settings, on_first(2))
        counts.append(len(traced))
    assert 0 < counts[0] == counts[1] == counts[2]


def test_the_seed_decides():
    settings = nuts_settings(num_warmup=60, num_samples=60, num_chains=1)
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    one, same, other = (
        sample(jax.random.key(s), regression, each_shard(SHARDS, guess, 0.25), settings).draws
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_progress_counts_to_the_end():
    seen = []
    settings = nuts_settings(num_warmup=60, num_samples=60, num_chains=1)
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    sample(
        jax.random.key(1),
        regression,
        each_shard(SHARDS, guess, 0.25),
        settings,
        on_first(2)._replace(progress=lambda done, total: seen.append((done, total))),
    )
    total = 3 * 4 // min(2, jax.local_device_count())  # chunks of four chains
    assert seen == [(i, total) for i in range(1, total + 1)]


def test_devices_with_too_little_memory_are_left_out():
    """Four parts of 1,000 bytes: they and 10 copies of one take 14,000 bytes, 44,000 with four."""
    parts = np.zeros((4, 125))

    def device(limit):
        return SimpleNamespace(memory_stats=lambda: limit and {"bytes_limit": limit})

    large, small, silent = device(50_000), device(20_000), device(None)
    assert with_room([large, small, silent], parts) == [large, small, silent]
    assert with_room([large, small, silent], parts, 4) == [large, silent]
    assert with_room([small, small], parts, 4) == [small, small]


def test_finished_chains_are_counted_also_those_of_an_earlier_run():
    lanes = Lanes(None, None, np.arange(6), np.zeros((6, 2)), None)
    seen = []
    run = counted(
        lambda _lanes, todo, _look: ((n, None) for n in todo),
        lambda done, total: seen.append((done, total)),
    )
    assert [number for number, _ in run(lanes, np.array([3, 5]), None)] == [3, 5]
    assert seen == [(10, 12), (12, 12)]


def test_flow_draws_on_several_devices_are_bit_identical(laminar_data):
    """One device compiles to another program; its rounding grows along the chain, from 1e-13."""
    from homodyne_bayes.fitting.shards import block_shards, some_pairs
    from homodyne_bayes.fitting.start import warm_start

    model = LAMINAR_MODEL
    shards, points = block_shards(laminar_data, 3), some_pairs(laminar_data, 0)
    warm = warm_start(jax.random.key(0), model, points, parts_of(shards), 2)
    targets = each_shard(shards, Gaussian(warm.theta, 3 * warm.covariance), 1 / 3)
    settings = nuts_settings(num_warmup=5, num_samples=5, num_chains=1)
    one, two, four = (
        sample(jax.random.key(5), model, targets, settings, on_first(count)).draws
        for count in (1, 2, 4)
    )
    np.testing.assert_array_equal(two, four)
    np.testing.assert_allclose(one, two, rtol=1e-4)
