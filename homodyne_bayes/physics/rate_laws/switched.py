r"""A rate that is switched on, or off, at a time within the record.

It is :math:`a / (1 + e^{-(t - t_0)/w})`, or with + in the exponent; w, in which a drive gets up to
speed, keeps derivatives finite. It is sampled by the log of a, by t0 over t_ref, and by log w over
t_ref. A record whose first frame is at t = 0 ends at t = e t_ref.
"""

from functools import partial

import jax
import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.rates import Rate, RateLaw, log_level

WHEN = Prior("normal", 1.36, 0.8, "at any time of the record, from 0 to 2.7 t_ref")
WIDTH = Prior("normal", -3.5, 0.7, "a drive is up to speed within some hundredths of the record")
WORDS = {1: ("on", "start"), -1: ("off", "stop")}


def reported(sign: int, rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of the rate while it is on, and of when and how fast it is switched."""
    name, symbol, latex, what = rate.name, rate.symbol, rate.latex, WORDS[sign][1]
    return (
        Parameter(
            f"{name}_on",
            f"{symbol} on",
            rf"{latex}^\mathrm{{on}}",
            rate.unit,
            f"{rate.meaning} while it is on",
        ),
        Parameter(
            f"{name}_{what}",
            f"t {what} {symbol}",
            rf"t_{{{latex}}}^\mathrm{{{what}}}",
            "s",
            f"time at which the {rate.meaning} is switched {WORDS[sign][0]}",
        ),
        Parameter(
            f"{name}_width",
            f"w {symbol}",
            f"w_{{{latex}}}",
            "s",
            f"time in which the {rate.meaning} is switched {WORDS[sign][0]}",
        ),
    )


def coordinates(sign: int, rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of log level, time over t_ref and log width over t_ref."""
    on, when, width = reported(sign, rate)
    level = log_level(rate)
    return (
        Parameter(
            level.name,
            f"log {on.symbol}",
            rf"\log {on.latex}",
            level.unit,
            on.meaning,
            prior=level.prior,
            role="coordinate",
        ),
        Parameter(
            f"{when.name}_over_t_ref",
            f"{when.symbol}/t_ref",
            rf"{when.latex}/t_\mathrm{{ref}}",
            "",
            f"{when.meaning}, over t_ref",
            prior=WHEN,
            role="coordinate",
        ),
        Parameter(
            f"{rate.name}_log_width",
            f"log {width.symbol}/t_ref",
            rf"\log {width.latex}/t_\mathrm{{ref}}",
            "",
            f"log of the {width.meaning}, over t_ref",
            prior=WIDTH,
            role="coordinate",
        ),
    )


def evaluate(
    sign: int, time: jax.Array, on: jax.Array, when: jax.Array, width: jax.Array
) -> jax.Array:
    """Return the rate at times in s, of any shape, floored at 1e-10."""
    rate = on * jax.nn.sigmoid(sign * (time - when) / width)
    return jnp.where(rate > kernels.RATE_FLOOR, rate, kernels.RATE_FLOOR)


def integral(
    sign: int, time: jax.Array, on: jax.Array, when: jax.Array, width: jax.Array
) -> jax.Array:
    """Return the integral from the first to every one of ascending times, (G,)."""
    since = sign * on * width * jax.nn.softplus(sign * (time - when) / width)
    return since - since[0]


def _switched(sign: int, title: str, typical: float) -> RateLaw:
    return RateLaw(
        title=title,
        reported=partial(reported, sign),
        coordinates=partial(coordinates, sign),
        to_reported=lambda c, t_ref: (jnp.exp(c[0]), c[1] * t_ref, jnp.exp(c[2]) * t_ref),
        to_coordinates=lambda r, t_ref: (jnp.log(r[0]), r[1] / t_ref, jnp.log(r[2] / t_ref)),
        evaluate=partial(evaluate, sign),
        latex=lambda on, when, width: (
            rf"{on} / (1 + e^{{{'-' if sign > 0 else ''}(t - {when})/{width}}})"
        ),
        integral=partial(integral, sign),
        typical=lambda level: (level, typical, 0.1),
    )


START = _switched(1, "switched on at a time that is found", 3.0)
STOP = _switched(-1, "switched off at a time that is found", 3.0)
