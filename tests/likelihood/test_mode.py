"""The climb to a mode whose metric at the start is not that of the way."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from homodyne_bayes.inference.density import log_density
from homodyne_bayes.inference.mode import MAX_ITERATIONS
from homodyne_bayes.likelihood.mode import climb, height

D = 20
SCALES = np.geomspace(1e-3, 1.0, D)
PARTS = {"centre": jnp.linspace(-1.0, 1.0, D)[None]}


def model(part):
    x = numpyro.sample("x", dist.Normal(0.0, 10.0).expand([D]).to_event(1))
    numpyro.sample("y", dist.Normal(jnp.sinh(x), SCALES), obs=jnp.sinh(part["centre"]))


def counted():
    """The covariance at a point, and where it was asked for."""
    asked = []

    def renewed(_model, parts, theta):
        asked.append(theta)
        bend = jax.hessian(lambda at: log_density(model, parts, at))(theta)
        values, vectors = jnp.linalg.eigh(-bend)
        return (vectors / jnp.maximum(values, 1e-2)) @ vectors.T

    return renewed, asked


def test_a_metric_that_leads_nowhere_is_made_again():
    renewed, asked = counted()
    theta, found, norm, steps = climb(model, PARTS, jnp.full(D, 2.0), 1e-4 * jnp.eye(D), renewed)
    np.testing.assert_allclose(theta, PARTS["centre"][0], atol=0.02)
    assert 0 < len(asked) < 10
    assert steps < MAX_ITERATIONS
    assert norm < 1e-3
    np.testing.assert_allclose(found, height(model, PARTS, theta), rtol=1e-12)


def test_a_good_metric_is_kept():
    renewed, asked = counted()
    start = PARTS["centre"][0] + 1e-3
    *_, steps = climb(model, PARTS, start, renewed(model, PARTS, start), renewed)
    assert len(asked) == 1
    assert steps < 10
