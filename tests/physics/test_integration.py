"""Integrals of the rates: against quadrature, at every age, and where they have no law."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import homodyne_bayes as hb
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.points import Physics, map_grid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW, integral

DT, FRAMES = 0.1, 12
LAWS = [  # amplitude, exponent, offset
    *[(1e4, exponent, 500.0) for exponent in (-0.95, -0.8, -0.3, 0.0, 1e-4, 0.5, 1.0, 2.0)],
    (1e4, -0.5, -1.2e4),  # falls to 0 within the window
    (1e4, 1.0, -5e3),  # rises from 0 within the window
    (-1e4, -0.2, 2e4),  # rises to its offset
]
OLD = [(1e4, -1.0, 500.0), (1e4, -1.5, 500.0), (1e4, -1.0 + 1e-9, -2e3)]  # infinite from t = 0


def times(age):
    return age + DT * np.arange(FRAMES)


@pytest.mark.parametrize(
    ("age", "law"), [(age, law) for age in (0.0, 0.05, 30.0) for law in LAWS + OLD * (age > 0)]
)
def test_the_integral_of_a_power_law_is_that_of_quadrature(age, law):
    amplitude, exponent, offset = law
    expected = [
        quad(
            lambda t: max(amplitude * t**exponent + offset, 0.0),
            begin,
            end,
            limit=200,
            epsrel=1e-11,
        )[0]
        for begin, end in zip(times(age)[:-1], times(age)[1:], strict=True)
    ]
    found = np.diff(integral(jnp.asarray(times(age)), *map(jnp.asarray, law)))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize("law", LAWS + OLD)
@pytest.mark.parametrize("age", [0.0, 30.0])
def test_values_and_gradients_are_finite_and_gradients_are_differences(age, law):
    def total(law):
        return integral(jnp.asarray(times(age)), *law)[-1]

    law = jnp.asarray(law)
    slope = jax.grad(total)(law)
    assert np.isfinite(integral(jnp.asarray(times(age)), *law)).all()
    for i, step in enumerate((1e-1, 1e-7, 1e-1)):
        moved = [total(law.at[i].add(sign * step)) for sign in (1, -1)]
        expected = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(slope[i], expected, rtol=2e-4, atol=1e-6 * abs(moved[0]) + 1e-9)


def test_a_law_that_states_no_integral_is_integrated_between_the_frames():
    plain = replace(POWER_LAW, integral=None)
    grid = map_grid(np.zeros(1), FRAMES, DT, 0.0054, age=0.5)
    law = [jnp.asarray(value) for value in (1e4, -0.8, 500.0)]
    stated, found = (one.integrated(grid, law) for one in (POWER_LAW, plain))
    np.testing.assert_allclose(found, stated, rtol=1e-7)


def test_trapezoids_are_those_of_the_values():
    grid = map_grid(np.zeros(1), FRAMES, DT, 0.0054, physics=Physics(integration="trapezoid"))
    law = [jnp.asarray(value) for value in (1e4, -0.8, 500.0)]
    found = POWER_LAW.integrated(grid, law)
    time = np.maximum(times(0.0), DT / 2)
    rate = 1e4 * time**-0.8 + 500
    np.testing.assert_allclose(found[1:], DT * np.cumsum((rate[1:] + rate[:-1]) / 2), rtol=1e-12)


def test_what_is_simulated_and_fitted_has_the_exact_integral_from_the_age_on():
    truth = {"D0": 1e4, "alpha": -0.8, "D_offset": 0.0}
    data = hb.simulate(
        "static", phi=(0.0,), num_frames=10, parameters=truth, sigma=0.0, age=0.3, contrast=0.5
    )
    assert data.time[0] == 0.3
    strain = truth["D0"] * np.subtract.outer(data.time**0.2, data.time**0.2) / 0.2
    expected = 1 + 0.5 * np.exp(-(data.q**2) * np.abs(strain))
    np.testing.assert_allclose(data.c2[0], expected, rtol=1e-9)
    _, points = hb.numpyro_model(data, model="static", noise="independent")
    assert rates.reference_time(points) == pytest.approx(0.3 + 0.9 / np.e)
    later = data.select(first_frame=2)
    assert later.age == pytest.approx(0.5)
    law = [jnp.asarray(value) for value in truth.values()]
    at = hb.numpyro_model(later, model="static", noise="independent")[1]
    history = kernels.History(None, POWER_LAW.integral(at.time, *law))
    mean = 1 + 0.5 * kernels.field_correlation(at, history) ** 2
    np.testing.assert_allclose(np.squeeze(mean), expected[2:, 2:], rtol=1e-9)
