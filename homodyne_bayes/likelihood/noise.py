"""What a noise is: how values scatter about their mean, with all that depends on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpyro.distributions as dist

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.points import ShardGrid


@dataclass(frozen=True)
class NoiseWords:
    """What reports say of a noise.

    Attributes
    ----------
    explanation : str
        How entries scatter, and what of it the likelihood knows; empty where there is nothing.
    warning : str
        What a reader must know before using the intervals; empty where there is nothing.
    interval : str
        What to add to the name of intervals, such as "uncorrected".
    compared : str
        The heading of what the posterior is compared with.
    residuals : str
        The maps in which misfit shows.
    eta, weight : str
        Meaning of the part η of the information that is real, and of the weight of an angle.
    caveat : str
        What to bear in mind when models are compared under it.
    """

    explanation: str = ""
    warning: str = ""
    interval: str = ""
    compared: str = "least squares at the mode, 90 % interval"
    residuals: str = "residuals"
    eta: str = ""
    weight: str = ""
    caveat: str = ""


@dataclass(frozen=True)
class Noise:
    """One noise; ``scatter`` below is what `sample` returned.

    Attributes
    ----------
    title : str
        What the likelihood knows of the noise, in one line.
    distribution : callable
        ``distribution(points, mean, scatter)`` is that of the values of a shard.
    information : callable
        ``information(model, points, theta)`` is the Fisher information of a part, (d, d).
    parameters : tuple of Parameter
        Rows of its own parameters, which are sampled.
    sample : callable
        ``sample(priors)`` samples its own parameters.
    gram : callable or None
        ``gram(points, maps, scatter)`` is xᵀWy of every two of k maps (k, p, G, G), (p, k, k),
        with W the precision of the values; None where it is not Normal.
    log_norm : callable or None
        ``log_norm(points, scatter)`` is the log density where the values are their mean.
    scale : callable
        ``scale(scatter)`` is the sd of a value, where ``gram`` and ``log_norm`` depend on one.
    estimate : callable or None
        Finds what the likelihood has to know of the noise of measured maps, see
        `homodyne_bayes.likelihood.estimate.estimate`; None where there is nothing to find.
    whole_maps : bool
        Whether values are compared by whole maps, whose frames can be averaged in bins.
    words : NoiseWords
        What reports say.
    """

    title: str
    distribution: Callable[[ShardGrid, jax.Array, Any], dist.Distribution]
    information: Callable[[Any, ShardGrid, jax.Array], jax.Array]
    parameters: tuple[Parameter, ...] = ()
    sample: Callable[[Mapping[str, Prior]], Any] = lambda _: None
    gram: Any = None
    log_norm: Any = None
    scale: Callable[[Any], Any] = lambda _: 1.0
    estimate: Any = None
    whole_maps: bool = False
    words: NoiseWords = NoiseWords()
