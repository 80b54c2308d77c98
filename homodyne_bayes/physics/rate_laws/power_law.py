r"""A power law with an offset, :math:`a\,t^b + c`.

It is sampled by what the data fix: the log level and the log-slope at t_ref, and the bend
v = b / slope = level / (level - c), kept positive: v = 1 is a pure power law, v > 1 has a positive
offset, v < 1 a negative one, and v -> 0 is a logarithm. The rate over its level is
1 + ((t/t_ref)^(slope v) - 1) / v, whose curvature is linear in v, so that posteriors are nearly
Gaussian in the bend where data fix it and where the prior does.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.rates import Rate, RateLaw, log_level

SMALLEST_POWER = 1e-3  # of t in an integral from t = 0, which is infinite for a power of 0
SERIES_BELOW = 1e-2
SOFTNESS = 0.2  # bend and ratio agree to 1 % where the ratio is 1, and the ratio stays positive
SLOPE = Prior("normal", 0.0, 1.0, "from creep, −2/3, to ballistic motion, 1, all are likely")
BEND = Prior("normal", 1.0, 0.4, "1 is a power law alone, and 0 a logarithm")
UPSTREAM = {
    "D": (
        Parameter("D0", "D₀", "D_0", "Å²/s", "diffusion at t = 1 s", (1.0, 1e6), 100.0),
        Parameter("alpha", "α", r"\alpha", "", "diffusion exponent", (-2.0, 2.0), 0.0),
        Parameter(
            "D_offset",
            "D_offset",
            r"D_\mathrm{offset}",
            "Å²/s",
            "constant diffusion",
            (-1e5, 1e5),
            10.0,
        ),
    ),
    "gamma_dot": (
        Parameter(
            "gamma_dot_t0",
            "γ̇₀",
            r"\dot\gamma_0",
            "1/s",
            "shear rate at t = 1 s",
            (1e-5, 1.0),
            1.0,
        ),
        Parameter("beta", "β", r"\beta", "", "shear exponent", (-2.0, 2.0), 0.0),
        Parameter(
            "gamma_dot_t_offset",
            "γ̇_offset",
            r"\dot\gamma_\mathrm{offset}",
            "1/s",
            "constant shear rate",
            (-1.0, 1.0),
            0.0,
        ),
    ),
}
HETERODYNE = {  # names of the two components of heterodyne 2.x
    "D_reference": ("D0_ref", "alpha_ref", "D_offset_ref"),
    "D_sample": ("D0_sample", "alpha_sample", "D_offset_sample"),
    "velocity": ("v0", "beta", "v_offset"),
}
SHORT = {"gamma_dot": ("γ", r"\dot\gamma")}  # subscripts of slope and bend


class PowerLaw(NamedTuple):
    """Amplitude, exponent and offset of a rate ``amplitude * t**exponent + offset``.

    All are of one shape, (); amplitude, the value at t = 1 s, and offset have the rate's unit.
    """

    amplitude: jax.Array
    exponent: jax.Array
    offset: jax.Array


class Coordinates(NamedTuple):
    """Log level and log-slope at t_ref, and the bend exponent / slope, of one shape, ()."""

    log_level: jax.Array
    slope: jax.Array
    bend: jax.Array


def reported(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of amplitude, exponent and offset: upstream's names where it has them."""
    if rate.name in UPSTREAM:
        return UPSTREAM[rate.name]
    parts = (
        ("amplitude", rate.unit, f"{rate.meaning} at t = 1 s, without its offset"),
        ("exponent", "", f"exponent of the {rate.meaning}"),
        ("offset", rate.unit, f"constant {rate.meaning}"),
    )
    names = HETERODYNE.get(rate.name, [f"{rate.name}_{what}" for what, *_ in parts])
    return tuple(
        Parameter(
            name,
            f"{rate.symbol} {what}",
            rf"{rate.latex}^\mathrm{{{what}}}",
            unit,
            meaning,
        )
        for name, (what, unit, meaning) in zip(names, parts, strict=True)
    )


def coordinates(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of log level, slope and bend."""
    name, symbol = rate.name, rate.symbol
    short, latex = SHORT.get(name, (symbol, rate.latex))
    exponent = reported(rate)[1].name
    shapes = (
        ("slope", "s", f"d log {symbol} / d log t at t_ref", SLOPE),
        ("bend", "v", f"{exponent} / s_{short}, 1 for a power law", BEND),
    )
    return log_level(rate), *(
        Parameter(
            f"{name}_{what}",
            f"{letter}_{short}",
            f"{letter}_{{{latex}}}",
            "",
            meaning,
            prior=prior,
            role="coordinate",
        )
        for what, letter, meaning, prior in shapes
    )


def to_power_law(coordinates: Sequence[jax.Array], t_ref: jax.Array) -> PowerLaw:
    """Return amplitude, exponent and offset of a rate given by its coordinates at t_ref.

    The three coordinates are of one shape, any, and so are the results; ``t_ref`` is in s.
    """
    return complete((None, None, None, *coordinates), t_ref)


def instead(rate: Rate, known: Collection[str]) -> tuple[Parameter, ...]:
    """Return the rows of what is sampled where something is known of reported parameters.

    The amplitude takes the place of the level, the exponent that of the slope, the offset that of
    the bend; slope and exponent are one without a bend, so that beside an offset it is the
    exponent, with the prior of the slope.
    """
    amplitude, exponent, offset = reported(rate)
    level, slope, bend = coordinates(rate)
    level_prior = replace(rate.level, family="lognormal")
    first = replace(amplitude, prior=level_prior) if amplitude.name in known else level
    power = replace(exponent, prior=SLOPE)
    if offset.name in known:
        return first, power, replace(offset, prior=Prior("normal", 0.0, 1.0))
    return first, power if exponent.name in known else slope, bend


def complete(values: Sequence[Any], t_ref: jax.Array) -> PowerLaw:
    """Return amplitude, exponent and offset by what was sampled.

    Parameters
    ----------
    values : sequence
        Amplitude, exponent, offset, log level, slope and bend, of one shape, any; None for those
        that were not sampled, as `instead` says.
    t_ref : jax.Array
        Reference time, s.
    """
    amplitude, exponent, offset, log_level, slope, bend = values
    ratio = jnp.nan if bend is None else 0.5 * (bend + jnp.sqrt(bend**2 + SOFTNESS**2))
    exponent = slope * ratio if exponent is None else exponent
    if amplitude is None and offset is None:
        amplitude = jnp.exp(log_level - exponent * jnp.log(t_ref)) / ratio
        return PowerLaw(amplitude, exponent, jnp.exp(log_level) * (1 - 1 / ratio))
    grown = t_ref**exponent
    if amplitude is None:
        return PowerLaw((jnp.exp(log_level) - offset) / grown, exponent, offset)
    return PowerLaw(
        amplitude, exponent, amplitude * grown * (ratio - 1) if offset is None else offset
    )


def to_coordinates(law: Sequence[jax.Array], t_ref: jax.Array) -> Coordinates:
    """Return the coordinates at t_ref of a rate that is positive there.

    Amplitude, exponent and offset are of one shape, any, and so are the results; ``t_ref`` is in s.
    """
    amplitude, exponent, offset = law
    curved = amplitude * t_ref**exponent
    level = curved + offset
    ratio = level / curved
    bend = ratio - SOFTNESS**2 / (4 * ratio)
    return Coordinates(jnp.log(level), exponent / ratio, bend)


def integral(
    time: jax.Array, amplitude: jax.Array, exponent: jax.Array, offset: jax.Array
) -> jax.Array:
    r"""Return ∫ max(a t^b + c, 0) dt from the first to every one of ascending times, (G,).

    :math:`\int t^b\,\mathrm{d}t = t^{b+1}/(b+1)`, a logarithm for b = -1. From t = 0 it is infinite
    for b <= -1, where it is taken as that of b = -0.999. Where the law would fall below 0 it is 0:
    times are kept on the side of its zero where it is positive.
    """
    zero = _zero(amplitude, exponent, offset)
    falls = amplitude * exponent < 0
    inside = jnp.where(falls, jnp.minimum(time, zero), jnp.maximum(time, zero))
    inside = jnp.where(jnp.isnan(zero), time, inside)
    unit, power = time[1], exponent + 1.0
    started = inside > 0
    grown = _grown(power, jnp.log(jnp.where(started, inside, unit) / unit))
    from_zero = -1.0 / jnp.where(power > SMALLEST_POWER, power, SMALLEST_POWER)
    curved = unit**power * jnp.where(started, grown, from_zero)
    whole = amplitude * curved + offset * inside
    never = jnp.isnan(zero) & (amplitude + offset < 0)
    return jnp.where(never, 0.0, whole - whole[0])


def _zero(amplitude: jax.Array, exponent: jax.Array, offset: jax.Array) -> jax.Array:
    """Return the time where the law is 0, NaN where it has no zero; without derivatives.

    The integral does not depend on it in first order, as the law is 0 there.
    """
    a, b, c = (jax.lax.stop_gradient(jnp.asarray(x)) for x in (amplitude, exponent, offset))
    crosses = (a * c < 0) & (b != 0)
    ratio = jnp.where(crosses, -c / jnp.where(a == 0, 1.0, a), 1.0)
    return jnp.where(crosses, jnp.exp(jnp.log(ratio) / jnp.where(b == 0, 1.0, b)), jnp.nan)


def _grown(power: jax.Array, x: jax.Array) -> jax.Array:
    """Return (exp(power x) - 1) / power, by its Taylor series near 0."""
    y = power * x
    series = x * (1 + y / 2 * (1 + y / 3 * (1 + y / 4 * (1 + y / 5 * (1 + y / 6)))))
    near = jnp.abs(y) < SERIES_BELOW
    return jnp.where(near, series, jnp.expm1(y) / jnp.where(near, 1.0, power))


POWER_LAW = RateLaw(
    title="a power of time with an offset",
    reported=reported,
    coordinates=coordinates,
    to_reported=to_power_law,
    to_coordinates=to_coordinates,
    evaluate=kernels.power_law,
    latex=lambda amplitude, exponent, offset: f"{amplitude} t^{{{exponent}}} + {offset}",
    integral=integral,
    diverges=lambda amplitude, exponent, offset: exponent <= SMALLEST_POWER - 1.0,  # noqa: ARG005
    instead=instead,
    complete=complete,
    typical=lambda level: (level, -0.3, 0.05 * level),
)
