r"""What is stated of an experiment and not exact: q, the gap, dt, and where the azimuth is 0.

With true values :math:`q' = s_q q`, :math:`L' = s_L L`, :math:`dt' = s_t\,dt` in place of those
stated, and true azimuths :math:`\phi' = \phi + \delta`, maps have the same likelihood at

.. math::
    r'(t') = s_q^a\, s_L^b\, s_t^c\; r(t'/s_t), \qquad \phi_0' = \phi_0 + \delta

where the powers are those that a `homodyne_bayes.physics.rates.Rate` states as ``follows``:
:math:`q^{-2} dt^{-1}` of D, :math:`(q L\,dt)^{-1}` of the shear rate. The clock is stretched as a
whole, the age of the first frame with it. In the coordinates of a law that is a shift of the log
level, at the stretched t_ref, so that no law needs a rule of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter
from homodyne_bayes.physics.rates import Rate, RateLaw

Follows = Sequence[tuple[str, float]]
Factors = Mapping[str, jax.Array]


@dataclass(frozen=True)
class Stated:
    """One quantity that is stated of an experiment.

    Attributes
    ----------
    title : str
        What it is.
    unit : str
        Of its standard uncertainty, "" where that is relative.
    most : float
        What its standard uncertainty must be below.
    factor : callable
        ``factor(deviation)`` is what the stated value is multiplied by, or, of an angle, what is
        added to it, at a Normal deviation with that standard uncertainty.
    """

    title: str
    unit: str
    most: float
    factor: Callable[[jax.Array], jax.Array]


STATED: dict[str, Stated] = {
    "q": Stated("wavevector", "", 0.5, jnp.exp),
    "gap": Stated("gap", "", 0.5, jnp.exp),
    "dt": Stated("time between frames", "", 0.5, jnp.exp),
    "phi": Stated("zero of the azimuth", "degree", 45.0, lambda deviation: deviation),
}


def moved(value: jax.Array, follows: Follows, factors: Factors) -> jax.Array:
    """Return a value where what is stated is off by some factors, all of one shape, any.

    Factors of what is relative multiply it by their powers, others are added, times their slope.
    """
    for name, power in follows:
        if name in factors and not STATED[name].unit:
            value = value * factors[name] ** power
        elif name in factors:
            value = value + power * factors[name]
    return value


def moved_history(
    rate: Rate,
    law: RateLaw,
    reported: Sequence[jax.Array],
    factors: Factors,
    time: jax.Array,
) -> jax.Array:
    """Return a rate at times in s on the true clock, (..., G), from reported parameters (...)."""

    def history(stretch: jax.Array, *values: jax.Array) -> jax.Array:
        return law.evaluate(time / stretch, *values)

    ones = jnp.ones(jnp.shape(reported[0]))
    stretch = ones * factors.get("dt", 1.0)
    values = jax.vmap(history)(*(jnp.ravel(value) for value in (stretch, *reported)))
    scale = moved(ones, rate.follows or (), factors)
    return scale[..., None] * values.reshape(*scale.shape, -1)


def moved_parameters(
    rate: Rate,
    law: RateLaw,
    coordinates: Sequence[jax.Array],
    factors: Factors,
    t_ref: jax.Array,
) -> Sequence[jax.Array]:
    """Return the reported parameters of a rate from its coordinates at t_ref, all of one shape."""
    scale = moved(jnp.ones(jnp.shape(coordinates[0])), rate.follows or (), factors)
    level = law.level(rate)
    shifted = [
        value + jnp.log(scale) if row.name == level else value
        for row, value in zip(law.coordinates(rate), coordinates, strict=True)
    ]
    return law.to_reported(shifted, t_ref * factors.get("dt", 1.0))


def followed(rates: Sequence[Rate], parameters: Sequence[Parameter]) -> dict[str, set[str]]:
    """Return what each stated quantity has a part in: names of rates and of other parameters."""
    rows: list[Rate | Parameter] = [*rates, *parameters]
    return {
        name: {row.name for row in rows if any(held == name for held, _ in row.follows or ())}
        for name in STATED
    }
