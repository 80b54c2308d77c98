r"""A relaxation, :math:`b + (a - b)\,e^{-t/\tau}`: ageing that comes to an end.

It is sampled by what the data fix: the log level at t_ref, and the log of the rate at e t_ref over
that at t = 0, which are the ends of the record where its first frame is at t = 0; and by log tau
over t_ref, which bends the rate between them. Between these ends the rate is positive, and its
last level, a long time after, may be below 0: the rate is then 0 from its zero on.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.rates import Rate, RateLaw, log_level

CHANGE = Prior("normal", 0.0, 1.5, "20 times slower or faster at the end is not unusual")
TIME = Prior("normal", 0.0, 1.0, "a relaxation much faster or slower than the record is not seen")

Values = Sequence[jax.Array]


def reported(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of the level at t = 0, the last one, and the relaxation time."""
    name, symbol, latex = rate.name, rate.symbol, rate.latex
    return (
        Parameter(
            f"{name}_first",
            f"{symbol} first",
            rf"{latex}^\mathrm{{first}}",
            rate.unit,
            f"{rate.meaning} at t = 0",
        ),
        Parameter(
            f"{name}_last",
            f"{symbol} last",
            rf"{latex}^\mathrm{{last}}",
            rate.unit,
            f"{rate.meaning} after a long time",
        ),
        Parameter(
            f"{name}_tau",
            f"τ {symbol}",
            rf"\tau_{{{latex}}}",
            "s",
            f"relaxation time of the {rate.meaning}",
        ),
    )


def coordinates(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of log level, log change and log relaxation time over t_ref."""
    change = Parameter(
        f"{rate.name}_change",
        f"log {rate.symbol}(e t_ref)/{rate.symbol}(0)",
        rf"\log {rate.latex}(e\,t_\mathrm{{ref}})/{rate.latex}(0)",
        "",
        f"log of the {rate.meaning} at e t_ref over that at t = 0",
        prior=CHANGE,
        role="coordinate",
    )
    time = Parameter(
        f"{rate.name}_log_tau",
        f"log τ/t_ref {rate.symbol}",
        rf"\log \tau_{{{rate.latex}}}/t_\mathrm{{ref}}",
        "",
        f"log of the relaxation time of the {rate.meaning} over t_ref",
        prior=TIME,
        role="coordinate",
    )
    return log_level(rate), change, time


def to_reported(coordinates: Values, t_ref: jax.Array) -> tuple[jax.Array, ...]:
    """Return first and last level and relaxation time; all of one shape, any."""
    level, change, log_tau = coordinates
    per_tau = jnp.exp(-log_tau)  # of t_ref
    whole = jnp.expm1(change) / jnp.expm1(-jnp.e * per_tau)
    first = jnp.exp(level) / (1 + whole * jnp.expm1(-per_tau))
    return first, first * (1 - whole), t_ref / per_tau


def to_coordinates(reported: Values, t_ref: jax.Array) -> tuple[jax.Array, ...]:
    """Return the coordinates of a rate that is positive from t = 0 to e t_ref."""
    begin, middle, end = (evaluate(t * t_ref, *reported) for t in (0.0, 1.0, jnp.e))
    return jnp.log(middle), jnp.log(end / begin), jnp.log(reported[2] / t_ref)


def evaluate(time: jax.Array, first: jax.Array, last: jax.Array, tau: jax.Array) -> jax.Array:
    """Return the rate at times in s, of any shape, floored at 1e-10."""
    rate = last + (first - last) * jnp.exp(-time / tau)
    return jnp.where(rate > kernels.RATE_FLOOR, rate, kernels.RATE_FLOOR)


def integral(time: jax.Array, first: jax.Array, last: jax.Array, tau: jax.Array) -> jax.Array:
    """Return ∫ max(rate, 0) dt from the first to every one of ascending times, (G,)."""
    ends = last < 0  # and then the rate falls to 0, where its integral no longer depends on when
    ratio = jnp.where(ends, (last - first) / jnp.where(ends, last, 1.0), 1.0)
    zero = jax.lax.stop_gradient(jnp.where(ends, tau * jnp.log(ratio), jnp.inf))
    inside = jnp.minimum(time, zero)
    begin = inside[0]
    decayed = -jnp.exp(-begin / tau) * jnp.expm1(-(inside - begin) / tau)
    return last * (inside - begin) + (first - last) * tau * decayed


EXPONENTIAL = RateLaw(
    title="a relaxation from one level to another: ageing that comes to an end",
    reported=reported,
    coordinates=coordinates,
    to_reported=to_reported,
    to_coordinates=to_coordinates,
    evaluate=evaluate,
    latex=lambda first, last, tau: f"{last} + ({first} - {last}) e^{{-t/{tau}}}",
    integral=integral,
    typical=lambda level: (2 * level, 0.5 * level, 2.0),
)
