"""What uncertainties of q, the gap, dt and the azimuth's zero make of a posterior.

They are propagated after the fit, in which the stated values are taken as exact and priors are of
the parameters as they are inferred with them. Every draw gets a value of each quantity, common to
all angles and wavevectors, and is moved to where the maps have the same likelihood
(`homodyne_bayes.physics.stated`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from homodyne_bayes.fitting import groups
from homodyne_bayes.fitting.groups import DRAWS
from homodyne_bayes.parameters import Parameter
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import Rate, RateLaw, reference_time
from homodyne_bayes.physics.stated import STATED, Factors, moved, moved_history, moved_parameters

SAME = 1e-6  # of a rate at the first and last frame, that its parameters make again
UNAFFECTED = ("scaling", "noise")  # roles of parameters that what is stated has no part in

Values = dict[str, np.ndarray]


class Posterior(NamedTuple):
    """A posterior of a model on the frames of its maps.

    Attributes
    ----------
    model : Model
        The fluid.
    draws : mapping of str to numpy.ndarray
        Of all parameters, (C, S, ...).
    roles : mapping of str to str
        Roles of the parameters that have a row.
    whole : ShardGrid
        The frames.
    """

    model: Model
    draws: Mapping[str, np.ndarray]
    roles: Mapping[str, str]
    whole: ShardGrid


def budget(
    key: jax.Array,
    uncertainty: Mapping[str, float],
    posterior: Posterior,
    dataset: Callable[..., xr.Dataset],
) -> dict[str, xr.Dataset]:
    """Return the groups of combined draws, of the factors behind them, and of what each adds.

    What is not told to follow what is stated, such as a parameter without a row, is left out.

    Parameters
    ----------
    key : jax.Array
        Random key.
    uncertainty : mapping of str to float
        Standard uncertainties: relative, of the azimuth's zero in degree.
    posterior : Posterior
        The statistical part.
    dataset : callable
        ``dataset(values, leading=...)`` labels draws of parameters.
    """
    model, time = posterior.model, np.asarray(posterior.whole.time)
    shape = next(iter(posterior.draws.values())).shape[: len(DRAWS)]
    factors = draw_factors(key, uncertainty, shape)
    alone = [{name: value} for name, value in factors.items()]
    of_parameters, of_rates = (
        _added([part(posterior, one) for one in alone], part(posterior, {}))
        for part in (parameters, rates)
    )
    systematic = dataset(of_parameters, leading=("source",)).merge(
        groups.rates_dataset(of_rates, time, model, ("source",))
    )
    return {
        "factors": _of_factors(factors, uncertainty),
        "systematic": systematic.assign_coords(source=list(factors)),
        "combined": dataset(parameters(posterior, factors), leading=DRAWS),
        "combined_rates": groups.rates_dataset(rates(posterior, factors), time, model),
    }


def _added(alone: list[Values], nothing: Values) -> Values:
    """Return the sd that each source alone adds to what is as stated, (source, ...)."""
    return {
        name: np.stack([(moved[name] - draws).std((0, 1)) for moved in alone])
        for name, draws in nothing.items()
        if all(name in moved for moved in alone)
    }


def _of_factors(factors: Factors, uncertainty: Mapping[str, float]) -> xr.Dataset:
    """Return the factors with what they are and their standard uncertainty."""
    return xr.Dataset(
        {
            name: (
                DRAWS,
                np.asarray(value),
                {
                    "long_name": STATED[name].title,
                    "units": STATED[name].unit,
                    "uncertainty": uncertainty[name],
                },
            )
            for name, value in factors.items()
        }
    )


def draw_factors(
    key: jax.Array, uncertainty: Mapping[str, float], shape: tuple[int, ...]
) -> dict[str, jax.Array]:
    """Return draws of true over stated values, and of what azimuths are off by in degree.

    Deviations are the quantiles of a Normal distribution in random order, so that a few hundred
    have its sd.
    """
    size = math.prod(shape)
    deviations = jax.scipy.stats.norm.ppf((jnp.arange(size) + 0.5) / size)
    keys = dict(zip(STATED, jax.random.split(key, len(STATED)), strict=True))

    def shuffled(name: str) -> jax.Array:
        return jax.random.permutation(keys[name], deviations).reshape(shape)

    return {
        name: STATED[name].factor(uncertainty[name] * shuffled(name))
        for name in STATED
        if name in uncertainty
    }


def parameters(posterior: Posterior, factors: Factors) -> Values:
    """Return draws of the reported parameters where what is stated is off by factors (C, S).

    Those of a law whose coordinates are no ratios are left out.
    """
    draws, t_ref = posterior.draws, reference_time(posterior.whole)
    values = {
        n: draws[n] for n, role in posterior.roles.items() if role in UNAFFECTED and n in draws
    }
    for row in posterior.model.parameters:
        if row.follows is not None and row.name in draws:
            values[row.name] = np.asarray(moved(jnp.asarray(draws[row.name]), row.follows, factors))
    for rate, law in posterior.model.rates:
        if rate.follows is not None and law.level(rate):
            at = _coordinates(draws, rate, law, t_ref)
            shifted = moved_parameters(rate, law, at, factors, t_ref)
            if _same(posterior, rate, law, shifted, factors):
                names = [row.name for row in law.reported(rate)]
                values |= {n: np.asarray(value) for n, value in zip(names, shifted, strict=True)}
    return values


def rates(posterior: Posterior, factors: Factors) -> Values:
    """Return draws of the rates where what is stated is off, (C, S, G), at true times.

    These are the numbers that the stated times of the frames are.
    """
    whole = posterior.whole
    return {
        rate.name: np.asarray(
            moved_history(
                *(rate, law, _draws(posterior.draws, law.reported(rate))),
                *(factors, law.clock(whole)),
            )
        )
        for rate, law in posterior.model.rates
        if rate.follows is not None
    }


def _same(
    posterior: Posterior,
    rate: Rate,
    law: RateLaw,
    shifted: Sequence[jax.Array],
    factors: Factors,
) -> bool:
    """Return whether parameters make the moved rate: not where a coordinate is a time in s."""
    reported = _draws(posterior.draws, law.reported(rate))
    time = kernels.clock(posterior.whole)[jnp.array([0, -1])]
    expected = np.asarray(moved_history(rate, law, reported, factors, time))
    made = np.asarray(moved_history(rate, law, shifted, {}, time))
    return np.allclose(made, expected, SAME, SAME * np.nanmax(np.abs(expected)), equal_nan=True)


def _coordinates(
    draws: Mapping[str, np.ndarray], rate: Rate, law: RateLaw, t_ref: jax.Array
) -> Sequence[jax.Array]:
    """Return draws of the coordinates of a rate at t_ref, sampled or not."""
    rows = law.coordinates(rate)
    if all(row.name in draws for row in rows):
        return _draws(draws, rows)
    return law.to_coordinates(_draws(draws, law.reported(rate)), t_ref)


def _draws(draws: Mapping[str, np.ndarray], rows: Sequence[Parameter]) -> list[jax.Array]:
    return [jnp.asarray(draws[row.name]) for row in rows]
