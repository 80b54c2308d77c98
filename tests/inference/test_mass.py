"""The Gaussian about the mass of a posterior, against moments by quadrature and by closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from homodyne_bayes.inference.mass import about_the_mass
from homodyne_bayes.inference.nuts import Gaussian

NU, P = 4, 23


def slopes_of(log_prior):
    return jax.jit(lambda theta: (jax.grad(log_prior)(theta), jax.hessian(log_prior)(theta)))


def at_the_mode(log_prior, mean, information):
    """Mode and Laplace covariance under a Gaussian likelihood, by Newton's steps."""
    slopes, theta = slopes_of(log_prior), np.asarray(mean, float)
    for _ in range(200):
        gradient, bend = map(np.asarray, slopes(theta))
        values, vectors = np.linalg.eigh(-bend)
        falling = (vectors * np.maximum(values, 0)) @ vectors.T
        covariance = np.linalg.inv(information + falling)
        theta = theta + 0.5 * covariance @ (gradient - information @ (theta - mean))
    return Gaussian(theta, covariance)


def t_of_all(theta):
    """Student's t of all values jointly, about 0, of unit scale."""
    return -0.5 * (NU + P) * jnp.log1p((theta**2).sum() / NU)


def test_values_that_are_one_prior_are_as_wide_as_they_are():
    """The t is a Normal of a precision λ with χ² prior, which is integrated by quadrature."""
    y = np.random.default_rng(1).standard_normal(P)
    information = np.eye(P) / 0.5**2
    grid = np.linspace(1e-3, 6, 4000)
    log_weight = scipy.stats.gamma(NU / 2, scale=2 / NU).logpdf(grid)
    log_weight += scipy.stats.norm.logpdf(y[:, None], 0, np.sqrt(0.25 + 1 / grid)).sum(axis=0)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    means, variances = y[:, None] * 4 / (4 + grid), 1 / (4 + grid)
    mean = means @ weight
    sd = np.sqrt(weight @ variances + ((means - mean[:, None]) ** 2) @ weight)
    laplace = at_the_mode(t_of_all, y, information)
    found = about_the_mass(slopes_of(t_of_all), laplace)
    assert np.abs(found.mean - mean).max() < 0.1 * sd.min()
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), sd, rtol=0.06)
    assert np.abs(laplace.mean - mean).max() > 0.2 * sd.min()  # the mode is elsewhere


def test_normal_priors_move_nothing():
    laplace = Gaussian(np.array([0.3, -1.0]), np.array([[0.2, 0.1], [0.1, 0.3]]))
    found = about_the_mass(slopes_of(lambda x: -0.5 * (x @ x)), laplace)
    np.testing.assert_allclose(found.mean, laplace.mean, atol=1e-12)
    np.testing.assert_allclose(found.covariance, laplace.covariance, rtol=1e-12)


def test_where_data_say_nothing_it_is_as_wide_as_the_prior():
    def log_prior(x):
        return -0.5 * (NU + 1) * jnp.log1p(x**2 / NU).sum()

    information = np.diag([1e4, 1e-6])
    laplace = at_the_mode(log_prior, np.array([2.0, 0.0]), information)
    found = about_the_mass(slopes_of(log_prior), laplace)
    sd = np.sqrt(np.diag(found.covariance))
    assert sd[0] == pytest.approx(0.01, rel=1e-3)
    assert 1.0 < sd[1] < np.sqrt(NU / (NU - 2))


def test_a_prior_that_has_no_mass_there_leaves_the_mode():
    laplace = Gaussian(np.zeros(1), np.eye(1))
    assert about_the_mass(slopes_of(lambda x: jnp.exp(x**2).sum()), laplace) == laplace
