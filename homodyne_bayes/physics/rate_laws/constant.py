"""A rate that does not change."""

import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter
from homodyne_bayes.physics.rates import Rate, RateLaw, log_level


def reported(rate: Rate) -> tuple[Parameter, ...]:
    """Return the row of the rate."""
    name, meaning = f"{rate.name}_constant", f"{rate.meaning}, at all times"
    latex = rf"{rate.latex}^\mathrm{{const}}"
    return (Parameter(name, f"{rate.symbol} const", latex, rate.unit, meaning),)


CONSTANT = RateLaw(
    title="the same at all times",
    reported=reported,
    coordinates=lambda rate: (log_level(rate),),
    to_reported=lambda coordinates, t_ref: (jnp.exp(coordinates[0]),),  # noqa: ARG005
    to_coordinates=lambda reported, t_ref: (jnp.log(reported[0]),),  # noqa: ARG005
    evaluate=jnp.full_like,
    latex=lambda constant: constant,
    integral=lambda time, constant: constant * (time - time[0]),
    typical=lambda level: (level,),
)
