r"""A rate that grows or fades exponentially beside a constant part, :math:`a\,e^{bt} + c`.

It is sampled by the log level at t_ref, by b t_ref, and by the log odds of the constant part at
t_ref. Where b is 0, or all is constant, the rate does not change, and data cannot tell a from c.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.rates import Rate, RateLaw, log_level

BY_FACTORS = Prior("normal", 0.0, 1.0, "in t_ref, by a factor e at most, up or down")
ODDS = Prior("normal", 0.0, 1.2, "any part from a tenth to nine tenths")
UPSTREAM = {"share": ("f0", "f1", "f3")}


def reported(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of amplitude at t = 0, rate of growth, and constant part."""
    parts = ("amplitude", "growth", "offset")
    names = UPSTREAM.get(rate.name, [f"{rate.name}_{part}" for part in parts])
    units = (rate.unit, "1/s", rate.unit)
    meanings = (
        f"{rate.meaning} at t = 0, the part that changes",
        f"rate at which the {rate.meaning} grows",
        f"{rate.meaning}, the part that does not change",
    )
    return tuple(
        Parameter(name, f"{rate.symbol} {part}", rf"{rate.latex}^\mathrm{{{part}}}", unit, meaning)
        for name, part, unit, meaning in zip(names, parts, units, meanings, strict=True)
    )


def coordinates(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of log level, log growth, and log odds of the constant part."""
    rows = (
        ("log_growth", "log growth", "log growth of the {} in t_ref", BY_FACTORS),
        ("log_odds", "log odds", "log odds of the constant part of the {} at t_ref", ODDS),
    )
    return log_level(rate), *(
        Parameter(
            f"{rate.name}_{name}",
            f"{symbol} {rate.symbol}",
            rf"\mathrm{{{symbol}}}\ {rate.latex}",
            "",
            meaning.format(rate.meaning),
            prior=prior,
            role="coordinate",
        )
        for name, symbol, meaning, prior in rows
    )


def to_reported(values: Sequence[jax.Array], t_ref: jax.Array) -> tuple[jax.Array, ...]:
    """Return a, b and c from coordinates of one shape, any."""
    log_level, growth, odds = values
    level, constant = jnp.exp(log_level), jax.nn.sigmoid(odds)
    return level * (1 - constant) * jnp.exp(-growth), growth / t_ref, level * constant


def to_coordinates(values: Sequence[jax.Array], t_ref: jax.Array) -> tuple[jax.Array, ...]:
    """Return the coordinates from a, b and c of one shape, any."""
    amplitude, growth, offset = values
    changing = amplitude * jnp.exp(growth * t_ref)
    return jnp.log(changing + offset), growth * t_ref, jnp.log(offset / changing)


def integral(
    time: jax.Array, amplitude: jax.Array, growth: jax.Array, offset: jax.Array
) -> jax.Array:
    """Return the integral from the first to every one of ascending times, (G,)."""
    passed, small = time - time[0], jnp.abs(growth) < 1e-9
    whole = jnp.where(small, passed, jnp.expm1(growth * passed) / jnp.where(small, 1.0, growth))
    return amplitude * jnp.exp(growth * time[0]) * whole + offset * passed


GROWTH = RateLaw(
    title="grows or fades exponentially, beside a constant part",
    reported=reported,
    coordinates=coordinates,
    to_reported=to_reported,
    to_coordinates=to_coordinates,
    evaluate=lambda time, amplitude, growth, offset: amplitude * jnp.exp(growth * time) + offset,
    latex=lambda amplitude, growth, offset: f"{amplitude} e^{{{growth} t}} + {offset}",
    integral=integral,
    typical=lambda level: (0.5 * level, 0.1, 0.5 * level),
)
