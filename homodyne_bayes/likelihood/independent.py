"""Independent noise: every value scatters by itself, with one scale σ that is sampled."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from homodyne_bayes.likelihood.covariance import LOG_2PI
from homodyne_bayes.likelihood.information import information_of_normal
from homodyne_bayes.likelihood.noise import Noise, NoiseWords
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import draw

SIGMA = Parameter(
    "sigma",
    "σ",
    r"\sigma",
    "",
    "scatter of one entry of c2",
    prior=Prior("lognormal", -3.5, 1.5),
    role="noise",
)


def _sample(priors: Mapping[str, Prior]) -> jax.Array:
    """Sample σ."""
    return draw("sigma", priors)


def _normal(points: ShardGrid, mean: jax.Array, sigma: jax.Array) -> dist.Distribution:
    return dist.Normal(mean, sigma).mask(points.used)


def _gram(points: ShardGrid, maps: jax.Array, sigma: jax.Array) -> jax.Array:
    return jnp.einsum("ipab,jpab->pij", points.used * maps, maps) / sigma**2


def _log_norm(points: ShardGrid, sigma: jax.Array) -> jax.Array:
    return -points.used.sum() * (jnp.log(sigma) + 0.5 * LOG_2PI)


INDEPENDENT = Noise(
    title="nothing: intervals are uncorrected and much too narrow; for comparison with older work",
    distribution=_normal,
    information=information_of_normal,
    parameters=(SIGMA,),
    sample=_sample,
    gram=_gram,
    log_norm=_log_norm,
    scale=lambda sigma: sigma,
    words=NoiseWords(
        interval="uncorrected",
        warning="The intervals are uncorrected for correlated noise: they take the entries of c2 "
        "as independent, which they are not, and are much too narrow. Fit with --noise speckle "
        "for intervals that hold what they say.",
        caveat="The likelihood takes the entries of c2 as independent, which they are not: log "
        "Bayes factors and scores are overstated. Evidence also depends on the priors.",
    ),
)
