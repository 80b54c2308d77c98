r"""The formula: from rates on the frame grid to g1 and g2, once, element-wise.

The transport coefficient J(t) = D(t) and the shear rate are arrays on the frame grid (G,), so
any rate law can drive the same kernel. With Γ = ∫γ̇ dt between the two times of a point,

.. math::
    g_1 = \exp(-\tfrac12 q^2 \textstyle\int D\,dt)\; s(x), \qquad
    g_2 = \mathrm{offset} + \mathrm{contrast}\; g_1^2

============== ===================== =========== ====================
convention     x                     s(x)        c2 carries
============== ===================== =========== ====================
"upstream"     q L/(2π) cos(φ₀-φ) Γ  sinc²(x)    sinc⁴
"gap-average"  q L/2 cos(φ₀-φ) Γ     abs sinc(x) sinc²
============== ===================== =========== ====================

with the unnormalised sinc. "gap-average" is the phase of a linear velocity profile averaged over
the gap; "upstream" is what homodyne 2.x computes. Integrals are cumulative trapezoids on the
frame grid. Values and gradients are finite everywhere inside the bounds of
`homodyne_bayes.parameters`.
"""

import jax
import jax.numpy as jnp

from homodyne_bayes.shards import ShardGrid

RATE_FLOOR = 1e-10
G1_FLOOR = 1e-10
EXPONENT_FLOOR = -700.0
SERIES_BELOW = 1e-4


def power_law(
    grid: ShardGrid, amplitude: jax.Array, exponent: jax.Array, offset: jax.Array
) -> jax.Array:
    """Return ``amplitude * t**exponent + offset`` on the frame grid, (G,), floored at 1e-10.

    Times below ``max(dt/2, 1e-8)`` s are taken as that, so that negative exponents stay finite
    at t = 0.
    """
    earliest = jnp.where(grid.dt / 2 > 1e-8, grid.dt / 2, 1e-8)
    time = jnp.where(grid.time < earliest, earliest, grid.time)
    rate = amplitude * time**exponent + offset
    return jnp.where(rate > RATE_FLOOR, rate, RATE_FLOOR)


def integral(grid: ShardGrid, rate: jax.Array) -> jax.Array:
    """Return the integral of ``rate`` (G,) between the times of every point, by trapezoids."""
    steps = 0.5 * (rate[1:] + rate[:-1])
    cumulative = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    return grid.dt * jnp.abs(cumulative[grid.hi] - cumulative[grid.lo])


def g1_diffusion(grid: ShardGrid, D: jax.Array) -> jax.Array:
    """Return ``exp(-q²/2 ∫D dt)`` of every point; ``D`` (G,) in Å²/s."""
    exponent = -0.5 * grid.q**2 * integral(grid, D)
    return jnp.exp(jnp.clip(exponent, EXPONENT_FLOOR, 0.0))


def shear_phase(grid: ShardGrid, gamma_dot: jax.Array, phi0: jax.Array) -> jax.Array:
    """Return x of every point in radian; ``gamma_dot`` (G,) in 1/s, ``phi0`` in degree."""
    per_shear = {"upstream": grid.q * grid.gap / (2 * jnp.pi), "gap-average": grid.q * grid.gap / 2}
    cosine = jnp.cos(jnp.deg2rad(phi0 - grid.phi))
    return per_shear[grid.convention] * cosine[grid.phi_index] * integral(grid, gamma_dot)


def sinc(x: jax.Array) -> jax.Array:
    """Return sin(x)/x, by its Taylor series below 1e-4."""
    small = jnp.abs(x) < SERIES_BELOW
    divisor = jnp.where(small, 1.0, x)
    return jnp.where(small, 1 - x**2 / 6 + x**4 / 120, jnp.sin(divisor) / divisor)


def field_correlation(
    grid: ShardGrid,
    D: jax.Array,
    gamma_dot: jax.Array | None = None,
    phi0: jax.Array | float = 0.0,
) -> jax.Array:
    """Return the signed field correlation, the covariance of the speckle field; |.| is g1.

    Parameters
    ----------
    grid : ShardGrid
        Points.
    D : jax.Array
        (G,) transport coefficient, Å²/s.
    gamma_dot : jax.Array, optional
        (G,) shear rate, 1/s; without it there is no flow.
    phi0 : float
        Flow direction, degree.
    """
    diffusion = g1_diffusion(grid, D)
    if gamma_dot is None:
        return diffusion
    amplitude = sinc(shear_phase(grid, gamma_dot, jnp.asarray(phi0)))
    return diffusion * (amplitude**2 if grid.convention == "upstream" else amplitude)


def g1(
    grid: ShardGrid,
    D: jax.Array,
    gamma_dot: jax.Array | None = None,
    phi0: jax.Array | float = 0.0,
) -> jax.Array:
    """Return g1 of every point, floored at 1e-10; parameters as in `field_correlation`."""
    value = jnp.abs(field_correlation(grid, D, gamma_dot, phi0))
    return jnp.where(value > G1_FLOOR, value, G1_FLOOR)


def g2(
    grid: ShardGrid, g1_value: jax.Array, contrast: jax.Array, offset: jax.Array
) -> jax.Array:
    """Return ``offset(φ) + contrast(φ) g1²``; contrast and offset are (P,)."""
    return offset[grid.phi_index] + contrast[grid.phi_index] * g1_value**2
