"""Rates of the fluid that change with time, and the laws that they may follow.

A rate is a quantity, such as D(t); a law, such as the power law, says how it changes. A law is
sampled in coordinates in which posteriors are nearly Gaussian, and reported by the parameters that
the field knows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.points import ShardGrid

_FAMILIES = {"normal": dist.Normal, "lognormal": dist.LogNormal}


@dataclass(frozen=True)
class Rate:
    """A quantity that changes with time.

    Attributes
    ----------
    name, symbol, latex, unit, meaning : str
        How it is called in code, on a screen, in a paper; its unit; what it is.
    level : Prior
        Prior of the logarithm of its value at the reference time.
    """

    name: str
    symbol: str
    latex: str
    unit: str
    meaning: str
    level: Prior


D = Rate("D", "D", "D", "Å²/s", "diffusion", Prior("normal", 9.21, 2.0))
GAMMA_DOT = Rate("gamma_dot", "γ̇", r"\dot\gamma", "1/s", "shear rate", Prior("normal", -6.91, 2.0))


@dataclass(frozen=True)
class RateLaw:
    """How a rate changes with time.

    Attributes
    ----------
    title : str
        What it is, in one line.
    reported, coordinates : callable
        Rows of the parameters of a `Rate`: those that are reported, and those that are sampled.
    to_reported, to_coordinates : callable
        From values of the one to values of the other; the second argument is t_ref in s.
    evaluate : callable
        ``evaluate(points, *reported)`` is the rate on the frame grid, (G,).
    latex : callable
        ``latex(*symbols of reported)`` is the right side of the law.
    """

    title: str
    reported: Callable[[Rate], tuple[Parameter, ...]]
    coordinates: Callable[[Rate], tuple[Parameter, ...]]
    to_reported: Callable[[Sequence[jax.Array], jax.Array], Sequence[jax.Array]]
    to_coordinates: Callable[[Sequence[jax.Array], jax.Array], Sequence[jax.Array]]
    evaluate: Callable[..., jax.Array]
    latex: Callable[..., str]

    def parameters(self, rate: Rate) -> tuple[Parameter, ...]:
        """Return the rows of all parameters of a rate that follows this law."""
        return (*self.reported(rate), *self.coordinates(rate))


def distribution(prior: Prior) -> dist.Distribution:
    """Return the NumPyro distribution of a prior."""
    return _FAMILIES[prior.family](prior.loc, prior.scale)


def reference_time(points: ShardGrid) -> jax.Array:
    """Return t_ref = t_max / e in s, where level and slope of a rate are stated."""
    return points.time[-1] / jnp.e


def sample(rate: Rate, law: RateLaw, points: ShardGrid, priors: Mapping[str, Prior]) -> jax.Array:
    """Sample a rate that follows a law, on the frame grid, (G,), in its unit.

    The coordinates are sampled; the reported parameters and the rate itself are kept as
    deterministic sites. Reported values that a handler puts in place are the ones that count, so
    that a truth can be stated by them.
    """
    values = [
        numpyro.sample(row.name, distribution(priors[row.name])) for row in law.coordinates(rate)
    ]
    reported = [
        numpyro.deterministic(row.name, value)
        for row, value in zip(
            law.reported(rate), law.to_reported(values, reference_time(points)), strict=True
        )
    ]
    return numpyro.deterministic(rate.name, law.evaluate(points, *reported))
