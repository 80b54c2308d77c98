"""How much of an evidence is due to how wide priors are.

Of draws θ of the posterior the mean of p'(θ) / p(θ) is the ratio of the evidences under the priors
p' and p, so that no fit is made again.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from homodyne_bayes.fitting.sample import Sampled
from homodyne_bayes.inference.certify import evidence, pareto_smoothed
from homodyne_bayes.inference.density import constrain
from homodyne_bayes.parameters import Prior, priors_of
from homodyne_bayes.physics.points import shard, split
from homodyne_bayes.physics.rates import distribution
from homodyne_bayes.thresholds import MAX_K_HAT

WIDTHS = (1 / 1.5, 1.5)  # of priors, in their own: twice as wide is too far, k-hat being 3/4
BOUNDED = {"fixed", "uniform", "circular"}  # whose ends are meant


def log_evidence_ratios(made: Sampled) -> np.ndarray:
    """Return log of evidence with priors of `WIDTHS` over that with the priors as they are.

    Scales of all priors of the fluid that are no intervals are multiplied; those of contrast,
    offset and noise stay. NaN where the draws do not reach what other priors prefer.
    """
    model = made.model
    own = priors_of((*model.scaling.parameters, *model.noise.parameters))
    priors = {
        name: prior
        for name, prior in model.priors
        if name not in own and prior.family not in BOUNDED
    }
    if not priors:
        return np.zeros(len(WIDTHS))
    draws = made.inference.draws.reshape(-1, made.inference.draws.shape[-1])
    values = constrain(model, shard(split(made.whole), 0), jnp.asarray(draws), priors.__contains__)
    return np.array([_log_ratio(priors, values, width) for width in WIDTHS])


def _log_ratio(priors: dict[str, Prior], values: dict[str, np.ndarray], width: float) -> float:
    """Return the log of the mean ratio of priors at values (N,) of each."""
    ratios = [
        distribution(replace(prior, scale=width * prior.scale)).log_prob(values[name])
        - distribution(prior).log_prob(values[name])
        for name, prior in priors.items()
    ]
    ratio = np.sum(ratios, axis=0)
    return evidence(ratio)[0] if pareto_smoothed(ratio)[1] < MAX_K_HAT else np.nan
