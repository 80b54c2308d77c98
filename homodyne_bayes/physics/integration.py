"""How rates are integrated over time: a table of integrations."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)  # on (-1, 1)

OfTime = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Integration:
    """One way to integrate a rate.

    Attributes
    ----------
    title : str
        What it is, in one line.
    integrate : callable
        ``integrate(points, rate, integral)`` is the integral over time of a rate from the first
        frame to every frame, (G,), in the rate's unit times s. ``rate(time)`` is the rate at times
        in s, of any shape; ``integral(time)``, None where no closed form is known, its integral
        from the first to every one of ascending times.
    """

    title: str
    integrate: Callable[[ShardGrid, OfTime, OfTime | None], jax.Array]


def exact(points: ShardGrid, rate: OfTime, integral: OfTime | None) -> jax.Array:
    """Return the integral, (G,), in closed form, or else by 4 Gauss nodes between two frames."""
    if integral is not None:
        return integral(points.time)
    middle = 0.5 * (points.time[1:] + points.time[:-1])
    nodes = middle[:, None] + 0.5 * points.dt * jnp.asarray(NODES)
    steps = 0.5 * points.dt * (rate(nodes) @ jnp.asarray(WEIGHTS))
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])


def trapezoid(points: ShardGrid, rate: OfTime, _integral: OfTime | None) -> jax.Array:
    """Return the integral, (G,), by trapezoids between the frames."""
    return kernels.trapezoids(points, rate(kernels.clock(points)))


INTEGRATIONS: dict[str, Integration] = {
    "exact": Integration("the integral itself, from the age of the first frame", exact),
    "trapezoid": Integration(
        "trapezoids between the frames, t = 0 taken as dt/2, as homodyne 2.x integrates", trapezoid
    ),
}
