"""Pieces that models are made of: rates in coordinates that sample well."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid

SOFTNESS = 0.2  # bend and ratio agree to 1 % where the ratio is 1, and the ratio stays positive
_FAMILIES = {"normal": dist.Normal, "lognormal": dist.LogNormal}


class PowerLaw(NamedTuple):
    """Amplitude, exponent and offset of a rate ``amplitude * t**exponent + offset``."""

    amplitude: jax.Array
    exponent: jax.Array
    offset: jax.Array


class Coordinates(NamedTuple):
    """The same rate by what the data fix: log level and log-slope at t_ref, and the bend.

    ``slope`` is d log rate / d log t at t_ref. ``bend`` is the ratio v = exponent / slope =
    level / (level - offset), kept positive: v = 1 is a pure power law, v > 1 has a positive
    offset, v < 1 a negative one, and v -> 0 is a logarithm. The rate over its level is
    1 + ((t/t_ref)^(slope v) - 1) / v, whose curvature is linear in v, so that posteriors are
    nearly Gaussian in ``bend`` where data fix it and where the prior does.
    """

    log_level: jax.Array
    slope: jax.Array
    bend: jax.Array


def distribution(prior: Prior) -> dist.Distribution:
    """Return the NumPyro distribution of a prior."""
    return _FAMILIES[prior.family](prior.loc, prior.scale)


def reference_time(grid: ShardGrid) -> jax.Array:
    """Return t_ref = t_max / e in s, where level and slope of a rate are stated."""
    return grid.time[-1] / jnp.e


def to_power_law(coordinates: Coordinates, t_ref: jax.Array) -> PowerLaw:
    """Return upstream's parameters of a rate given by its coordinates at ``t_ref`` (s)."""
    log_level, slope, bend = coordinates
    ratio = 0.5 * (bend + jnp.sqrt(bend**2 + SOFTNESS**2))
    exponent = slope * ratio
    amplitude = jnp.exp(log_level - exponent * jnp.log(t_ref)) / ratio
    return PowerLaw(amplitude, exponent, jnp.exp(log_level) * (1 - 1 / ratio))


def to_coordinates(law: PowerLaw, t_ref: jax.Array) -> Coordinates:
    """Return the coordinates at ``t_ref`` (s) of a rate that is positive there."""
    curved = law.amplitude * t_ref**law.exponent
    level = curved + law.offset
    ratio = level / curved
    bend = ratio - SOFTNESS**2 / (4 * ratio)
    return Coordinates(jnp.log(level), law.exponent / ratio, bend)


def sample_diffusion(grid: ShardGrid, priors: Mapping[str, Prior]) -> jax.Array:
    """Sample D(t), (G,) in Å²/s; reports D0, alpha and D_offset."""
    return _sample_rate(
        "D", grid, priors, ("log_D_ref", "D_slope", "D_bend"), ("D0", "alpha", "D_offset")
    )


def sample_shear_rate(grid: ShardGrid, priors: Mapping[str, Prior]) -> jax.Array:
    """Sample γ̇(t), (G,) in 1/s; reports gamma_dot_t0, beta and gamma_dot_t_offset."""
    return _sample_rate(
        "gamma_dot",
        grid,
        priors,
        ("log_gamma_dot_ref", "gamma_dot_slope", "gamma_dot_bend"),
        ("gamma_dot_t0", "beta", "gamma_dot_t_offset"),
    )


def _sample_rate(
    rate: str,
    grid: ShardGrid,
    priors: Mapping[str, Prior],
    sampled: tuple[str, str, str],
    reported: tuple[str, str, str],
) -> jax.Array:
    values = [numpyro.sample(name, distribution(priors[name])) for name in sampled]
    law = to_power_law(Coordinates(*values), reference_time(grid))
    for name, value in zip(reported, law, strict=True):
        numpyro.deterministic(name, value)
    return numpyro.deterministic(rate, kernels.power_law(grid, *law))
