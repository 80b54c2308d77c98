"""Shards add up to the whole posterior, exactly, for any prior."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.integrate
import scipy.stats

from homodyne_bayes.inference import density


def bounded(shard):
    """A model with a bounded, a positive and a vector site."""
    fraction = numpyro.sample("fraction", dist.Beta(2.0, 3.0))
    scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    shift = numpyro.sample("shift", dist.Normal(jnp.zeros(2), 3.0).to_event(1))
    numpyro.sample("y", dist.Normal(fraction + shift.sum(), scale), obs=shard)


DATA = jnp.asarray(np.random.default_rng(0).normal(1.0, 0.5, (4, 6)))


def test_tempered_shards_add_up_to_the_posterior():
    thetas = jax.random.normal(jax.random.key(0), (20, 4))
    whole = jax.vmap(lambda theta: density.log_density(bounded, DATA.reshape(1, -1), theta))(thetas)
    summed = jax.vmap(lambda theta: density.log_density(bounded, DATA, theta))(thetas)
    np.testing.assert_allclose(summed, whole, rtol=1e-12)


def test_log_density_is_that_of_scipy_with_jacobians():
    theta = jnp.array([0.3, -0.2, 0.4, -1.0])
    values = density.constrain(bounded, DATA.ravel(), theta)
    fraction, scale, shift = values["fraction"], values["scale"], values["shift"]
    expected = (
        scipy.stats.beta.logpdf(fraction, 2, 3)
        + np.log(fraction * (1 - fraction))
        + scipy.stats.halfnorm.logpdf(scale, scale=2)
        + np.log(scale)
        + scipy.stats.norm.logpdf(shift, scale=3).sum()
        + scipy.stats.norm.logpdf(DATA, fraction + shift.sum(), scale).sum()
    )
    whole = density.log_density(bounded, DATA.reshape(1, -1), theta)
    assert float(whole) == pytest.approx(expected)
    prior = density.log_prior_and_likelihood(bounded, DATA.ravel(), theta)[0]
    assert float(prior) == pytest.approx(
        expected - scipy.stats.norm.logpdf(DATA, fraction + shift.sum(), scale).sum()
    )


def test_prior_draws_compute_no_mean_of_large_maps():
    """A map of 2,000 frames at 2,000 draws would take 60 GiB."""

    def wide(shard):
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(slope * jnp.arange(shard.size), 1.0), obs=shard.ravel())

    keys, shape = (
        jax.random.split(jax.random.key(0), 2000),
        jax.ShapeDtypeStruct((2000,) * 2, float),
    )
    program = density._prior_draws(wide).lower(keys, shape).compile()
    assert program.memory_analysis().temp_size_in_bytes < 2**20


def test_prior_draws_follow_the_unconstrained_prior():
    draws = density.prior_draws(jax.random.key(1), bounded, DATA[0], 4000)
    values = density.constrain(bounded, DATA[0], draws)
    assert scipy.stats.kstest(values["fraction"], scipy.stats.beta(2, 3).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(values["scale"], scipy.stats.halfnorm(scale=2).cdf).pvalue > 1e-3


def test_tempered_prior_is_the_power_of_the_prior():
    """With no data to speak of, the tempered density integrates like prior^(1/K) with Jacobian."""

    def scalar(shard):
        numpyro.sample("fraction", dist.Beta(2.0, 3.0))
        numpyro.sample("y", dist.Normal(0.0, 1.0), obs=shard)

    empty = jnp.zeros((1, 0))
    power = 0.25

    def tempered(theta):
        return float(jnp.exp(density.log_density(scalar, empty, jnp.array([theta]), power)))

    def expected(theta):
        x = 1 / (1 + np.exp(-theta))
        return (scipy.stats.beta.pdf(x, 2, 3) * x * (1 - x)) ** power

    for theta in (-3.0, 0.1, 2.0):
        assert tempered(theta) == pytest.approx(expected(theta), rel=1e-10)
    assert np.isfinite(scipy.integrate.quad(expected, -60, 60)[0])


def test_observation_is_the_mean_and_scale_of_the_data():
    theta = jnp.array([0.3, -0.2, 0.4, -1.0])
    values = density.constrain(bounded, DATA[0], theta)
    normal = density.observation(bounded, DATA[0], theta)
    mean, scale = normal.loc, normal.scale
    assert float(mean) == pytest.approx(float(values["fraction"] + values["shift"].sum()))
    assert float(scale) == pytest.approx(float(values["scale"]))
