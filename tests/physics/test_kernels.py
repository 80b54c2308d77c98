"""The formula against closed forms, quadrature and finite differences."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.convention import CONVENTIONS, alike
from homodyne_bayes.physics.points import Physics, map_grid
from tests.truth import DIFFUSION, PARAMETERS, SHEAR

PHI = np.array([-40.0, 0.0, 25.0, 90.0])
Q, GAP, DT, FRAMES = 0.0054, 2e6, 0.1, 30


def grid(convention="upstream", dt=DT):
    return map_grid(PHI, FRAMES, dt, Q, GAP, physics=Physics(convention))


def paired(whole):
    """The same points as (P, G, G) maps, listed one by one."""
    shape = np.broadcast_shapes(whole.lo.shape, whole.hi.shape, whole.phi_index.shape)
    flat = {
        name: jnp.broadcast_to(getattr(whole, name), shape).ravel()
        for name in ("lo", "hi", "phi_index")
    }
    return replace(whole, **flat)


def rates(at, D0=1e4, alpha=-0.3, D_offset=500.0, g0=1e-3, beta=0.1, g_offset=1e-4):
    D = kernels.power_law(
        kernels.clock(at), jnp.asarray(D0), jnp.asarray(alpha), jnp.asarray(D_offset)
    )
    return D, kernels.power_law(
        kernels.clock(at), jnp.asarray(g0), jnp.asarray(beta), jnp.asarray(g_offset)
    )


def test_constant_rates_have_the_closed_form():
    at = grid()
    D, gamma_dot = rates(at, alpha=0.0, beta=0.0)
    lag = jnp.abs(at.time[:, None] - at.time[None, :])
    for convention, prefactor, power in (
        ("upstream", Q * GAP / (2 * np.pi), 2),
        ("gap-average", Q * GAP / 2, 1),
    ):
        here = replace(at, convention=convention)
        g1 = kernels.g1(here, D, gamma_dot, 3.0)
        x = prefactor * np.cos(np.deg2rad(3.0 - PHI))[:, None, None] * 1.1e-3 * lag
        expected = np.exp(-0.5 * Q**2 * 10500 * lag) * np.abs(np.sinc(x / np.pi)) ** power
        np.testing.assert_allclose(g1, np.maximum(expected, 1e-10), rtol=1e-11, atol=1e-15)


def test_prefactors_have_the_documented_numbers():
    at = map_grid(np.zeros(1), 2, 0.1, 0.01, 2e6)
    assert -jnp.log(kernels.g1_diffusion(at, jnp.ones(2)))[0, 1] == pytest.approx(5e-6)
    strain = kernels.integral(at, jnp.ones(2))[0, 1]
    assert kernels.phase_per_strain(at, 0.0)[0] * strain == pytest.approx(318.3, rel=1e-4)


def test_gap_average_is_the_average_over_the_gap():
    """|<exp(i q L cos Γ y)>| over a linear profile, y in [-1/2, 1/2], by quadrature."""
    at = grid("gap-average")
    gamma_dot = rates(at)[1]
    still = jnp.full(FRAMES, 1e-10)
    g1 = kernels.g1(at, still, gamma_dot, 3.0)
    strain = kernels.integral(at, gamma_dot)
    for angle, lo, hi in ((0, 0, 3), (1, 2, 9), (2, 5, 29), (3, 0, 29)):
        k = Q * GAP * np.cos(np.deg2rad(3.0 - PHI[angle])) * float(strain[lo, hi])
        average = scipy.integrate.quad(lambda y, k=k: np.cos(k * y), -0.5, 0.5, epsabs=1e-12)[0]
        assert float(g1[angle, lo, hi]) == pytest.approx(abs(average), abs=1e-8)


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_layouts_agree(convention):
    at = grid(convention)
    contrast, offset = jnp.array([0.2, 0.25, 0.3, 0.1]), jnp.array([1.0, 1.01, 0.99, 1.0])

    def c2(points):
        D, gamma_dot = rates(points)
        return kernels.g2(points, kernels.g1(points, D, gamma_dot, 3.0), contrast, offset)

    whole = c2(at)
    assert whole.shape == (4, FRAMES, FRAMES)
    np.testing.assert_allclose(c2(paired(at)), whole.ravel(), rtol=1e-12)
    np.testing.assert_allclose(whole, jnp.swapaxes(whole, 1, 2), rtol=1e-12)


def test_integral_is_the_cumulative_trapezoid_of_scipy():
    at = grid()
    D = rates(at)[0]
    cumulative = scipy.integrate.cumulative_trapezoid(D, at.time, initial=0)
    np.testing.assert_allclose(
        kernels.integral(at, D), np.abs(cumulative[:, None] - cumulative[None, :]), rtol=1e-10
    )


def test_first_frame_is_floored_at_half_a_frame():
    at = grid()
    assert float(rates(at)[0][0]) == pytest.approx(1e4 * 0.05**-0.3 + 500)
    tiny = grid(dt=1e-9)
    assert float(rates(tiny, alpha=-1.0, D_offset=0.0)[0][0]) == pytest.approx(1e4 / 1e-8)


def corners_and_points(num=200):
    """Corners of the bounds, and random points inside them."""
    names = (*DIFFUSION, *SHEAR)
    low, high = np.array([PARAMETERS[name].bounds for name in names]).T
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * len(names))).reshape(len(names), -1).T
    inside = np.random.default_rng(0).random((num, len(names)))
    return low + (high - low) * np.concatenate([corners, inside])


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_values_and_gradients_are_finite_over_the_bounds(convention):
    at = paired(grid(convention))

    def total(theta):
        D = kernels.power_law(kernels.clock(at), *theta[:3])
        gamma_dot = kernels.power_law(kernels.clock(at), *theta[3:6])
        return (kernels.g1(at, D, gamma_dot, theta[6]) ** 2).sum()

    points = jnp.asarray(corners_and_points())
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(total)))(points)
    assert bool(jnp.isfinite(values).all())
    assert bool(jnp.isfinite(gradients).all())


def test_gradient_agrees_with_central_differences():
    at = paired(grid())

    def total(theta):
        D = kernels.power_law(kernels.clock(at), *theta[:3])
        gamma_dot = kernels.power_law(kernels.clock(at), *theta[3:6])
        return (kernels.g1(at, D, gamma_dot, theta[6]) ** 2).sum()

    theta = jnp.array([1e4, -0.3, 500.0, 1e-3, 0.1, 1e-4, 3.0])
    exact = jax.grad(total)(theta)
    for i, size in enumerate(1e-5 * jnp.maximum(jnp.abs(theta), 1e-4)):
        step = jnp.zeros(7).at[i].set(size)
        slope = (total(theta + step) - total(theta - step)) / (2 * size)
        assert float(exact[i]) == pytest.approx(float(slope), rel=1e-6)


def test_sinc_is_smooth_where_series_and_quotient_meet():
    x = jnp.array([0.0, 1e-4, 0.999999e-2, 1.000001e-2, 2e-2, -2e-2, 1.0, np.pi])

    def sinc(x):
        return kernels.sinc(x, 1 / jnp.where(x == 0, 1.0, x), jnp.sin(x), jnp.cos(x))

    def series(x, order):
        """Derivatives of Σ (-1)^k x^2k / (2k + 1)!, which has converged."""
        terms = [(-1) ** k / math.factorial(2 * k + 1) * np.eye(40)[2 * k] for k in range(18)]
        return np.polynomial.Polynomial(sum(terms)).deriv(order)(x) if order else np.sinc(x / np.pi)

    np.testing.assert_allclose(sinc(x), series(x, 0), rtol=1e-14, atol=1e-16)
    slope, curvature = jax.grad(sinc), jax.grad(jax.grad(sinc))
    np.testing.assert_allclose(jax.vmap(slope)(x), series(np.array(x), 1), rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(jax.vmap(curvature)(x), series(np.array(x), 2), rtol=1e-10)
    np.testing.assert_allclose(jax.vmap(jax.jacfwd(slope))(x), jax.vmap(curvature)(x), rtol=1e-12)


def test_conventions_are_alike_at_small_phases():
    """To second order; the fourth differs, by which data can prefer one."""
    x = 1e-2
    sinc = jnp.sinc(x * jnp.array([1.0, 2.0]) / jnp.pi)
    for name, convention in CONVENTIONS.items():
        for other, gap in alike(name).items():
            turned = CONVENTIONS[other].phase(gap) / convention.phase(1.0)
            own, others = (
                convention.factor(sinc),
                CONVENTIONS[other].factor(jnp.sinc(turned * x * jnp.array([1.0, 2.0]) / jnp.pi)),
            )
            assert float(jnp.abs(own - others).max()) < x**4
            assert float(jnp.abs(own - 1).min()) > 1e-1 * x**2
