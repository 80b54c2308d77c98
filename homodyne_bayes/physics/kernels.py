r"""The formula: from rates on the frame grid to g1 and g2, once, element-wise.

The transport coefficient J(t) = D(t) and the shear rate are arrays on the frame grid (G,), so
any rate law can drive the same kernel. With Γ = ∫γ̇ dt between the two times of a point,

.. math::
    g_1 = \exp(-\tfrac12 q^2 \textstyle\int D\,dt)\; s(x), \qquad
    g_2 = \mathrm{offset} + \mathrm{contrast}\; g_1^2

where x and s(x) are those of a convention (`homodyne_bayes.physics.convention`). A rate that
follows a law comes with its integral (`History`); one given by values alone, (G,), is integrated by
trapezoids on the frame grid. Values and gradients are finite everywhere inside the bounds of the
parameters.

What is returned "of every point" has the shape to which the index arrays of the points broadcast:
(N,) for a list of pairs, (P, G, G) for whole maps.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.points import ShardGrid

RATE_FLOOR = 1e-10
G1_FLOOR = 1e-10
EXPONENT_FLOOR = -700.0
SERIES_BELOW = 1e-2  # in radian; the series is exact to rounding there


class History(NamedTuple):
    """A rate over the frames.

    Attributes
    ----------
    values : jax.Array
        (G,) at the frame times.
    integral : jax.Array
        (G,) over time, from the first frame to every frame.
    """

    values: jax.Array
    integral: jax.Array

    def times(self, factor: jax.Array | float) -> "History":
        """Return the history of a multiple of the rate."""
        return History(factor * self.values, factor * self.integral)


def clock(points: ShardGrid) -> jax.Array:
    """Return the times in s at which rates are evaluated, (G,): those of the frames.

    Times below ``max(dt/2, 1e-8)`` s are taken as that, so that negative exponents stay finite
    at t = 0.
    """
    earliest = jnp.where(points.dt / 2 > 1e-8, points.dt / 2, 1e-8)
    return jnp.where(points.time < earliest, earliest, points.time)


def power_law(
    time: jax.Array, amplitude: jax.Array, exponent: jax.Array, offset: jax.Array
) -> jax.Array:
    """Return ``amplitude * t**exponent + offset`` at times in s, (G,), floored at 1e-10.

    Amplitude, its value at 1 s, and offset have the unit of the rate; all three are scalars.
    """
    rate = amplitude * time**exponent + offset
    return jnp.where(rate > RATE_FLOOR, rate, RATE_FLOOR)


def integral(points: ShardGrid, rate: jax.Array | History) -> jax.Array:
    """Return the integral of a rate, (G,), between the two times of every point."""
    return jnp.abs(_between(points, cumulative(points, rate)))


def cumulative(points: ShardGrid, rate: jax.Array | History) -> jax.Array:
    """Return the integral of a rate, (G,), from the first frame to every frame, (G,)."""
    return rate.integral if isinstance(rate, History) else trapezoids(points, rate)


def trapezoids(points: ShardGrid, rate: jax.Array) -> jax.Array:
    """Return the integral of values (G,) from the first frame to every frame, (G,)."""
    steps = 0.5 * (rate[1:] + rate[:-1])
    return points.dt * jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])


def g1_diffusion(
    points: ShardGrid, D: jax.Array | History, stretch: jax.Array | float | None = None
) -> jax.Array:
    """Return ``exp(-q²/2 ∫D dt)`` of every point; ``D``, (G,), in Å²/s.

    With ``stretch`` s it is ``exp(-(q²/2 ∫D dt)^s)``.
    """
    exponent = -0.5 * wavevector(points) ** 2 * integral(points, D)
    if stretch is not None:
        decayed = jnp.where(exponent < 0, -exponent, 1.0)  # also where derivatives are infinite
        exponent = jnp.where(exponent < 0, -jnp.exp(stretch * jnp.log(decayed)), 0.0)
    return _computed_once(jnp.exp(jnp.clip(exponent, EXPONENT_FLOOR, 0.0)))


def wavevector(points: ShardGrid) -> jax.Array:
    """Return q of every point in 1/Å, a scalar where all have the same."""
    return points.q[points.phi_index] if points.q.ndim else points.q


def phase_per_strain(points: ShardGrid, phi0: jax.Array | float) -> jax.Array:
    """Return x over Γ of every angle, (P,); ``phi0`` in degree."""
    per_shear = CONVENTIONS[points.convention].phase(points.q * points.gap)
    return per_shear * jnp.cos(jnp.deg2rad(phi0 - points.phi))


def shear_factor(
    points: ShardGrid, gamma_dot: jax.Array | History, phi0: jax.Array | float
) -> jax.Array:
    """Return sinc(x) of every point; ``gamma_dot``, (G,), in 1/s, ``phi0`` in degree.

    x is a difference of the phases of two frames, so that its sine and cosine are products of
    theirs: maps and blocks need no transcendental function for a point, and all angles share 1/Γ.
    """
    scale, Gamma = phase_per_strain(points, phi0), cumulative(points, gamma_dot)
    between = _between(points, Gamma)
    phases = [scale[points.phi_index] * Gamma[frames] for frames in (points.lo, points.hi)]
    (s, c), (S, C) = _computed_once([(jnp.sin(x), jnp.cos(x)) for x in phases])
    sine, cosine = S * c - C * s, C * c + S * s
    per_between = _computed_once(1 / jnp.where(between == 0, 1.0, between))
    per_scale = 1 / jnp.where(scale == 0, 1.0, scale)
    constant = jax.lax.stop_gradient((per_scale[points.phi_index] * per_between, sine, cosine))
    return sinc(scale[points.phi_index] * between, *constant)


def flow_factor(
    points: ShardGrid, gamma_dot: jax.Array | History, phi0: jax.Array | float
) -> jax.Array:
    """Return what flow makes of the field of every point, signed; arguments as `shear_factor`."""
    return CONVENTIONS[points.convention].factor(shear_factor(points, gamma_dot, phi0))


def wall_phase(
    points: ShardGrid, gamma_dot: jax.Array | History, phi0: jax.Array | float
) -> jax.Array:
    """Return the phase in radian by which one wall leads the other between the frames of a point.

    ``gamma_dot``, (G,), in 1/s, ``phi0`` in degree. It is negative where the frames are in the
    other order.
    """
    scale = CONVENTIONS[points.convention].walls * phase_per_strain(points, phi0)
    return scale[points.phi_index] * _between(points, cumulative(points, gamma_dot))


def drift_phase(
    points: ShardGrid, velocity: jax.Array | History | None, phi0: jax.Array | float
) -> jax.Array:
    """Return q·∫v dt in radian between the frames of a point, signed as `wall_phase` is.

    ``velocity``, (G,), in Å/s, along ``phi0`` in degree; without it nothing drifts.
    """
    if velocity is None:
        return jnp.zeros(())
    along = jnp.cos(jnp.deg2rad(phi0 - points.phi))[points.phi_index]
    return wavevector(points) * along * _between(points, cumulative(points, velocity))


def of_both_frames(points: ShardGrid, values: jax.Array) -> jax.Array:
    """Return the product of values (G,) of the two frames of every point."""
    return values[points.lo] * values[points.hi]


def phasor(phase: jax.Array) -> jax.Array:
    """Return exp(i phase) of phases in radian, of any shape."""
    return jnp.exp(1j * phase)


@jax.custom_jvp
def sinc(
    x: jax.Array,
    per_x: jax.Array,
    sine: jax.Array,
    cosine: jax.Array,  # noqa: ARG001
) -> jax.Array:
    """Return sin(x)/x from x, 1/x, sin x and cos x of every point, by its Taylor series near 0.

    x is in radian; all four have one shape, any. Derivatives are with respect to x alone.
    """
    series = 1 - x**2 / 6 * (1 - x**2 / 20 * (1 - x**2 / 42))
    return jnp.where(jnp.abs(x) < SERIES_BELOW, series, sine * per_x)


@sinc.defjvp
def _sinc_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    return sinc(*primals), sinc_slope(*primals) * tangents[0]


@jax.custom_jvp
def sinc_slope(x: jax.Array, per_x: jax.Array, sine: jax.Array, cosine: jax.Array) -> jax.Array:
    """Return d sinc / dx = (cos x - sinc x) / x; arguments as in `sinc`."""
    series = -x / 3 * (1 - x**2 / 10 * (1 - x**2 / 28))
    outside = (cosine - sinc(x, per_x, sine, cosine)) * per_x
    return jnp.where(jnp.abs(x) < SERIES_BELOW, series, outside)


@sinc_slope.defjvp
def _sinc_slope_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x, per_x, *_ = primals
    slope = sinc_slope(*primals)
    series = -1 / 3 * (1 - 3 * x**2 / 10 * (1 - 5 * x**2 / 84))
    curvature = jnp.where(jnp.abs(x) < SERIES_BELOW, series, -sinc(*primals) - 2 * slope * per_x)
    return slope, curvature * tangents[0]


def _between(points: ShardGrid, cumulated: jax.Array) -> jax.Array:
    """Return the difference of values (G,) of the two frames of every point."""
    return cumulated[points.hi] - cumulated[points.lo]


def _computed_once(values: Any) -> Any:
    """Return the values, which XLA must not compute again wherever they are used."""
    return jax.lax.optimization_barrier(values)


def field_correlation(
    points: ShardGrid,
    D: jax.Array | History,
    gamma_dot: jax.Array | History | None = None,
    phi0: jax.Array | float = 0.0,
) -> jax.Array:
    """Return the signed field correlation of every point, whose modulus is g1.

    It is the covariance of the speckle field.

    Parameters
    ----------
    points : ShardGrid
        Points.
    D : jax.Array or History
        (G,) transport coefficient, Å²/s; values alone are integrated by trapezoids.
    gamma_dot : jax.Array or History, optional
        (G,) shear rate, 1/s; without it there is no flow.
    phi0 : float
        Flow direction, degree.
    """
    diffusion = g1_diffusion(points, D)
    if gamma_dot is None:
        return diffusion
    return diffusion * flow_factor(points, gamma_dot, phi0)


def modulus(field: jax.Array) -> jax.Array:
    """Return g1, the modulus of a field correlation of any shape, floored at 1e-10."""
    value = jnp.abs(field)
    return jnp.where(value > G1_FLOOR, value, G1_FLOOR)


def g1(
    points: ShardGrid,
    D: jax.Array | History,
    gamma_dot: jax.Array | History | None = None,
    phi0: jax.Array | float = 0.0,
) -> jax.Array:
    """Return g1 of every point, floored at 1e-10; parameters, (G,), as in `field_correlation`."""
    return modulus(field_correlation(points, D, gamma_dot, phi0))


def g2(points: ShardGrid, g1_value: jax.Array, contrast: jax.Array, offset: jax.Array) -> jax.Array:
    """Return ``offset(φ) + contrast(φ) g1²`` of every point; contrast and offset are (P,)."""
    return offset[points.phi_index] + contrast[points.phi_index] * g1_value**2
