"""Six difference methods at their stated order; Hessians; check_gradient finds what is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.compat.differences import (
    DifferentiationWarning,
    check_gradient,
    numpy_gradient,
    numpy_hessian,
)
from homodyne_bayes.errors import InputError

X = np.array([0.3, 0.7, 1.2])
ACCURACY = {
    "forward": 1e-6,
    "backward": 1e-6,
    "central": 1e-9,
    "complex_step": 1e-15,
    "richardson": 1e-11,
    "adaptive": 1e-11,
}
HESSIAN_ACCURACY = {
    "forward": 1e-3,
    "backward": 1e-3,
    "central": 1e-6,
    "complex_step": 1e-11,
    "richardson": 1e-8,
    "adaptive": 1e-7,
}


def function(x):
    return np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3 * x[0]


def gradient(x):
    e, s, c = np.exp(x[0]), np.sin(x[1]), np.cos(x[1])
    return np.array([e * s + x[2] ** 3, e * c, 3 * x[2] ** 2 * x[0]])


def hessian(x):
    e, s, c, a = np.exp(x[0]), np.sin(x[1]), np.cos(x[1]), 3 * x[2] ** 2
    return np.array([[e * s, e * c, a], [e * c, -e * s, 0], [a, 0, 6 * x[2] * x[0]]])


@pytest.mark.parametrize("method", ACCURACY)
def test_gradient(method):
    found = numpy_gradient(function, method)(X)
    np.testing.assert_allclose(found, gradient(X), rtol=ACCURACY[method])


@pytest.mark.parametrize(
    ("method", "order", "step"),
    [
        ("forward", 1, 1e-3),
        ("backward", 1, 1e-3),
        ("central", 2, 1e-2),
        ("complex_step", 2, 1e-2),
        ("richardson", 8, 1.0),
    ],
)
def test_halving_the_step_shows_the_order(method, order, step):
    def error(h):
        return float(numpy_gradient(lambda x: np.exp(2 * x[0]), method, h)([0.1])[0]) - truth

    truth = 2 * np.exp(0.2)
    assert np.log2(error(step) / error(step / 2)) == pytest.approx(order, abs=0.1)


def test_adaptive_meets_its_tolerance_whatever_the_first_step():
    for step in (1.0, 0.1, 1e-2):
        found = numpy_gradient(lambda x: np.exp(2 * x[0]), "adaptive", step)([0.1])
        assert found[0] == pytest.approx(2 * np.exp(0.2), rel=1e-8)


def test_complex_step_is_exact_to_rounding():
    rng = np.random.default_rng(0)
    differentiate = numpy_gradient(function, "complex_step")
    for x in rng.uniform(-2, 2, (50, 3)):
        np.testing.assert_allclose(differentiate(x), gradient(x), rtol=1e-12, atol=1e-15)


def test_the_default_step_follows_the_size_of_each_coordinate():
    x = np.array([1e6, 1e-6, 0.0])
    for method, accuracy in ACCURACY.items():
        found = numpy_gradient(lambda x: (x[0] * 1e-6) ** 3 + (x[1] * 1e6) ** 3 + x[2], method)(x)
        np.testing.assert_allclose(found, [3e-6, 3e6, 1.0], rtol=accuracy * 100)


@pytest.mark.parametrize("method", HESSIAN_ACCURACY)
def test_hessian(method):
    found = numpy_hessian(function, method)(X)
    np.testing.assert_allclose(found, hessian(X), atol=HESSIAN_ACCURACY[method])
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("method", ACCURACY)
def test_vectors_and_further_arguments(method):
    def values(x, power, *, scale):
        return scale * np.stack([x[:, 0] ** power, x[:, 1] * x[0, 0]])

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    expected = np.zeros((2, 2, 2, 2))
    expected[0, 0, 0, 0], expected[0, 1, 1, 0] = 6.0, 54.0
    expected[1, 0, 0, 0], expected[1, 1, 0, 0] = 4.0, 8.0
    expected[1, 0, 0, 1] = expected[1, 1, 1, 1] = 2.0
    found = numpy_gradient(values, method)(x, 3, scale=2.0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_cannot_be_differentiated_is_refused():
    with pytest.raises(InputError, match="method must be one of forward, .* found 'centre'"):
        numpy_gradient(function, "centre")
    with pytest.raises(InputError, match="step must be positive"):
        numpy_gradient(function, "central", [1e-3, 0.0, 1e-3])(X)
    with pytest.raises(InputError, match="returns complex numbers"):
        numpy_gradient(lambda x: np.abs(x).sum(), "complex_step")(X)
    with pytest.raises(InputError, match=r"not by coordinates \[1\]"):
        numpy_gradient(lambda x: np.where(x < 0.7, np.nan, x).sum(), "central")([0.9, 0.7, 2.0])
    with pytest.raises(InputError, match="scalar function"):
        numpy_hessian(lambda x: x**2, "central")(X)


def test_a_derivative_that_does_not_settle_is_reported():
    noisy = np.random.default_rng(1)
    with pytest.warns(DifferentiationWarning, match=r"coordinates \[0\] of x did not settle"):
        numpy_gradient(lambda x: x[0] + 1e-2 * noisy.normal() * (x[0] != 1) + x[1], "adaptive")(
            [1.0, 1.0]
        )


def test_check_gradient_agrees_with_automatic_differentiation():
    found = jax.grad(lambda x: jnp.exp(x[0]) * jnp.sin(x[1]) + x[2] ** 3 * x[0])(X)
    for method in ("richardson", "complex_step"):
        check = check_gradient(function, found, X, method=method)
        assert check.agrees
        assert check.message == "all derivatives agree"


@pytest.mark.parametrize("wrong", range(3))
def test_check_gradient_names_the_parameter_that_is_off(wrong):
    names = ("D0", "alpha", "beta")

    def faulty(x):
        return gradient(x) * np.where(np.arange(3) == wrong, 1 + 1e-5, 1.0)

    check = check_gradient(function, faulty, X, names)
    assert not check.agrees
    assert check.message.startswith(f"{names[wrong]} is off: found {faulty(X)[wrong]:.9g}, ")
    assert "; " not in check.message
    np.testing.assert_allclose(
        check.found / check.expected - 1, 1e-5 * (np.arange(3) == wrong), atol=1e-10
    )
    assert check_gradient(function, faulty, X, names, rtol=1e-4).agrees


def test_check_gradient_says_where_it_cannot_judge():
    def fast(x):
        return np.sin(1e4 * x[0]) + x[1]

    check = check_gradient(fast, [1e4, 1.0], np.zeros(2))
    assert not check.agrees
    assert check.message.startswith("parameter 0 cannot be judged")
    assert check_gradient(fast, [1e4, 1.0], np.zeros(2), step=1e-5).message.startswith("all")
    assert check_gradient(lambda x: np.cos(x[0]) + x[1], [0.0, 1.0], np.zeros(2)).agrees
    with pytest.raises(InputError, match="one derivative and one name per parameter"):
        check_gradient(fast, [1.0], np.zeros(2))
