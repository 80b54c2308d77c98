"""NUTS, shards and merges against targets whose posterior is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from homodyne_bayes import InputError
from homodyne_bayes.consensus import SubPosteriors, merge, sample_shards
from homodyne_bayes.nuts import Gaussian, NutsSettings

SETTINGS = NutsSettings(num_warmup=200, num_samples=1000, num_chains=4)
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


WHOLE = exact(np.asarray(DESIGN.reshape(-1, D)), np.asarray(TARGET.ravel()))


@pytest.fixture(scope="module")
def sub_posteriors():
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    return sample_shards(jax.random.key(1), regression, (DESIGN, TARGET), guess, 0.25, SETTINGS)


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


@pytest.mark.parametrize("rule", ["consensus", "parametric"])
def test_merges_are_exact_for_gaussians(sub_posteriors, rule):
    """Mean, sd and every correlation of the product, to Monte Carlo error."""
    merged = merge(jax.random.key(2), sub_posteriors, rule)
    assert merged.shape == (4, 1000, D)
    draws, (mean, covariance) = merged.reshape(-1, D), WHOLE
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((draws.mean(axis=0) - mean) / sd, 0, atol=0.15)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.1)
    np.testing.assert_allclose(
        np.corrcoef(draws.T), covariance / np.outer(sd, sd), atol=0.1
    )


def test_one_shard_is_left_alone():
    draws = RNG.normal(size=(1, 2, 10, D))
    merged = merge(jax.random.key(0), SubPosteriors(draws, None), "consensus")
    np.testing.assert_array_equal(merged, draws[0])


def test_unknown_merge_is_refused(sub_posteriors):
    with pytest.raises(InputError, match="consensus.*parametric.*'average'"):
        merge(jax.random.key(0), sub_posteriors, "average")


@pytest.mark.parametrize("chain_method", ["parallel", "vectorized"])
def test_draws_do_not_depend_on_the_number_of_devices(chain_method):
    """Three shards on 1, 2 and 4 devices: rounds with a remainder, and idle devices."""
    settings = NutsSettings(
        num_warmup=60, num_samples=60, num_chains=1, chain_method=chain_method
    )
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    shards = (DESIGN[:3], TARGET[:3])
    runs = [
        sample_shards(
            jax.random.key(5), regression, shards, guess, 1 / 3, settings, jax.devices()[:count]
        )
        for count in (1, 2, 4)
    ]
    assert runs[0].draws.shape == (3, 1, 60, D)
    for run in runs[1:]:
        np.testing.assert_allclose(run.draws, runs[0].draws, rtol=1e-9)
        np.testing.assert_array_equal(run.info.n_steps, runs[0].info.n_steps)


def test_the_seed_decides():
    settings = NutsSettings(num_warmup=60, num_samples=60, num_chains=1)
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    one, same, other = (
        sample_shards(jax.random.key(s), regression, (DESIGN, TARGET), guess, 0.25, settings).draws
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_progress_counts_to_the_end():
    seen = []
    settings = NutsSettings(num_warmup=60, num_samples=60, num_chains=1)
    guess = Gaussian(jnp.asarray(WHOLE[0]), 4 * jnp.asarray(WHOLE[1]))
    sample_shards(
        jax.random.key(1),
        regression,
        (DESIGN, TARGET),
        guess,
        0.25,
        settings,
        jax.devices()[:2],
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(i, 6) for i in range(1, 7)]


def test_flow_draws_on_several_devices_are_bit_identical(laminar_data):
    """One device compiles to another program; its rounding grows along the chain, from 1e-13."""
    from functools import partial

    from homodyne_bayes.models import laminar_flow
    from homodyne_bayes.parameters import PRIORS
    from homodyne_bayes.shards import random_shards
    from homodyne_bayes.warmstart import shard_guess, warm_start

    model = partial(laminar_flow, priors=PRIORS)
    shards = random_shards(laminar_data, 3, 0)
    guess = shard_guess(warm_start(jax.random.key(0), model, shards, 2), shards)
    settings = NutsSettings(num_warmup=5, num_samples=5, num_chains=1)
    one, two, four = (
        sample_shards(
            jax.random.key(5), model, shards, guess, 1 / 3, settings, jax.devices()[:count]
        ).draws
        for count in (1, 2, 4)
    )
    np.testing.assert_array_equal(two, four)
    np.testing.assert_allclose(one, two, rtol=1e-4)
