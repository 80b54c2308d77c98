"""How rates are integrated over time: a table of integrations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid

if TYPE_CHECKING:
    from homodyne_bayes.physics.rates import RateLaw

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)  # on (-1, 1)


@dataclass(frozen=True)
class Integration:
    """One way to integrate a rate.

    Attributes
    ----------
    title : str
        What it is, in one line.
    integrate : callable
        ``integrate(points, law, reported)`` is the integral over time of the rate that these
        parameters give, from the first frame to every frame, (G,).
    """

    title: str
    integrate: Callable[[ShardGrid, "RateLaw", Sequence[jax.Array]], jax.Array]


def exact(points: ShardGrid, law: "RateLaw", reported: Sequence[jax.Array]) -> jax.Array:
    """Return the integral that the law states, or that of 4 Gauss nodes between two frames."""
    if law.integral is not None:
        return law.integral(points.time, *reported)
    middle = 0.5 * (points.time[1:] + points.time[:-1])
    nodes = middle[:, None] + 0.5 * points.dt * jnp.asarray(NODES)
    steps = 0.5 * points.dt * (law.evaluate(nodes, *reported) @ jnp.asarray(WEIGHTS))
    return jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])


def trapezoid(points: ShardGrid, law: "RateLaw", reported: Sequence[jax.Array]) -> jax.Array:
    """Return the integral by trapezoids between the frames."""
    return kernels.trapezoids(points, law.evaluate(kernels.clock(points), *reported))


INTEGRATIONS: dict[str, Integration] = {
    "exact": Integration("the integral itself, from the age of the first frame", exact),
    "trapezoid": Integration(
        "trapezoids between the frames, t = 0 taken as dt/2, as homodyne 2.x integrates", trapezoid
    ),
}
