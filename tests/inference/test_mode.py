"""Descent to the lowest point of a function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.inference.mode import GRADIENT_TOLERANCE, MAX_ITERATIONS, descend


def counted(loss):
    """Loss and slope, and how often they were asked for."""
    calls, both = [], jax.jit(jax.value_and_grad(loss))

    def look(point):
        calls.append(point)
        return both(point)

    return look, calls


def test_where_the_curvature_is_known_one_step_is_enough():
    look, calls = counted(lambda x: 1e7 + 0.5 * ((x - 3.0) ** 2).sum())
    end, lowest, norm, iterations = descend(look, np.zeros(4))
    np.testing.assert_allclose(end, 3.0, rtol=1e-12)
    assert (lowest, norm, iterations, len(calls)) == (1e7, 0.0, 1, 2)


@pytest.mark.parametrize("standardised", [True, False])
def test_a_narrow_curved_valley_is_followed_to_its_end(standardised):
    look, _ = counted(lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())
    end, lowest, norm, iterations = descend(look, np.array([-1.2, 1.0]), standardised)
    np.testing.assert_allclose(end, 1.0, atol=1e-4)
    assert lowest < 1e-8
    assert norm <= GRADIENT_TOLERANCE
    assert iterations < 100


def test_a_step_to_where_nothing_is_finite_is_shortened():
    end, *_ = descend(counted(lambda x: (x - 5 * jnp.log(x)).sum())[0], np.full(2, 1e-2))
    np.testing.assert_allclose(end, 5.0, atol=1e-2)


def test_a_steep_start_does_not_leap_over_the_optimum():
    """From a thousand sds, beside a deep hole where the first step of Newton would end."""

    def loss(x):
        return (16 * (x - 30.0) ** 2 - 1e9 * jax.nn.sigmoid(x - 600.0)).sum()

    end, *_ = descend(counted(loss)[0], np.zeros(1))
    np.testing.assert_allclose(end, 30.0, atol=1e-4)


def test_what_has_no_lowest_point_is_told_by_the_iterations():
    *_, iterations = descend(counted(lambda x: x.sum())[0], np.zeros(2))
    assert iterations == MAX_ITERATIONS


def test_a_start_that_is_not_finite_ends_there():
    end, lowest, *_ = descend(counted(lambda x: jnp.log(x).sum())[0], -np.ones(2))
    assert np.isnan(end).all()
    assert lowest == np.inf
