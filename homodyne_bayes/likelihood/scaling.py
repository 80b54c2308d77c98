"""How contrast and offset vary from angle to angle: a choice, ``grid.scaling``.

============= =============================================================================
individual    every angle has its own, with the same prior
averaged      all angles have the same
constant      all angles have the same, held at the centres of the priors
fourier:K     mean and K harmonics of the azimuth
hierarchical  every angle has its own; their mean and spread are sampled, they are integrated
marginal      every angle has its own, with the same prior; they are integrated
============= =============================================================================

c2 is linear in contrast and offset and their priors are Normal, so that they can be integrated
exactly: then only the physical parameters are sampled, see `homodyne_bayes.likelihood.marginal`.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpyro

from homodyne_bayes.likelihood.marginal import NormalPrior
from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import distribution


def harmonics(phi: jax.Array, order: int) -> jax.Array:
    """Return cosines and sines of phi, 2 phi, ... of azimuths (P,) in degree, (P, 2 order)."""
    angle = jnp.deg2rad(phi)[:, None] * jnp.arange(1, order + 1)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)


def order(scaling: str) -> int:
    """Return the number of harmonics of a scaling, e.g. 2 of ``fourier:2`` and 0 of others."""
    return int(scaling.partition(":")[2] or 0)


def sample_scaling(grid: ShardGrid, priors: Mapping[str, Prior], name: str) -> jax.Array:
    """Sample ``name``, contrast or offset, of every angle, (P,), as ``grid.scaling`` says."""
    phi, prior = grid.phi, priors[name]
    if grid.scaling == "individual":
        with numpyro.plate("phi", phi.shape[0]):
            return numpyro.sample(name, distribution(prior))
    if grid.scaling == "constant":
        return jnp.full_like(phi, prior.loc)
    value = jnp.broadcast_to(numpyro.sample(f"{name}_mean", distribution(prior)), phi.shape)
    waves = harmonics(phi, order(grid.scaling))
    if waves.shape[1]:
        one = distribution(priors[f"{name}_harmonics"]).expand(waves.shape[1:])
        value += waves @ numpyro.sample(f"{name}_harmonics", one.to_event(1))
    return numpyro.deterministic(name, value)


def sample_prior(grid: ShardGrid, priors: Mapping[str, Prior], name: str) -> NormalPrior:
    """Return the Normal prior of contrast or offset of every angle, sampled if hierarchical."""
    if grid.scaling == "marginal":
        return NormalPrior(jnp.asarray(priors[name].loc), jnp.asarray(priors[name].scale))
    mean = numpyro.sample(f"{name}_mean", distribution(priors[name]))
    spread = distribution(priors[f"{name}_spread"])
    return NormalPrior(mean, numpyro.sample(f"{name}_spread", spread))
