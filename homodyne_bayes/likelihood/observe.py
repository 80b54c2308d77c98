"""How a model meets the measurement: contrast and offset, and the noise."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from homodyne_bayes.config import INTEGRATED
from homodyne_bayes.likelihood.covariance import SpeckleNormal
from homodyne_bayes.likelihood.marginal import MarginalNormal
from homodyne_bayes.likelihood.scaling import sample_prior, sample_scaling
from homodyne_bayes.parameters import PER_ANGLE, Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import distribution


def observe_c2(grid: ShardGrid, priors: Mapping[str, Prior], g1: jax.Array) -> None:
    """Compare with the measurement as scaling and noise demand.

    Contrast and offset are as ``grid.scaling`` says. Where ``grid.noise`` is the working
    covariance of speckle, nothing more is drawn; where it is None, values scatter independently
    with scale ``sigma``, drawn too.

    Parameters
    ----------
    grid : ShardGrid
        Points of one shard.
    priors : Mapping of str to Prior
        Priors of ``contrast``, ``offset`` and ``sigma``.
    g1 : jax.Array
        (N,) modulus of the field correlation.
    """
    integrated = grid.scaling in INTEGRATED
    sampler = sample_prior if integrated else sample_scaling
    contrast, offset = (sampler(grid, priors, name) for name in PER_ANGLE)
    sigma = 1.0
    if grid.noise is None:
        sigma = numpyro.sample("sigma", distribution(priors["sigma"]))
    if integrated:
        g1 = jnp.broadcast_to(g1, grid.c2.shape)
        c2: dist.Distribution = MarginalNormal(grid, g1, contrast, offset, sigma)
    elif grid.noise is not None:
        c2 = SpeckleNormal(kernels.g2(grid, g1, contrast, offset), grid.noise)
    else:
        c2 = dist.Normal(kernels.g2(grid, g1, contrast, offset), sigma).mask(grid.used)
    numpyro.sample("c2", c2, obs=grid.c2)
