"""The evidence of no flow: the same fluid at rest, under the noise that the fit with flow found."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting.sample import Sampled, all_parts, draws
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.inference.nuts import Gaussian, proper
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.likelihood.mode import height
from homodyne_bayes.likelihood.observe import Observed, observe
from homodyne_bayes.likelihood.rescale import rescaled
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.rates import distribution

NUM_DRAWS = 400  # of a proposal: they give one number
BEYOND_DOUBT = 100.0  # log Bayes factor by Laplace's method, which is off by a few


class Still(NamedTuple):
    """Flow against no flow.

    Attributes
    ----------
    log_bayes_factor, error : float
        Logarithm of the evidence of the model over that of the same fluid at rest, and its
        standard error; NaN where the fluid at rest has no mode, the error also where Laplace's
        method is enough, as flow is beyond doubt.
    k_hat : float
        The larger one of the weights of both.
    rate, meaning : str
        The rate that the fluid at rest lacks: its name, and what it is.
    level : str
        The coordinate that is the logarithm of its level; empty where something is known of the
        rate, so that this is not sampled.
    lacks : list of str
        All parameters that the fluid at rest lacks.
    """

    log_bayes_factor: float
    error: float
    k_hat: float
    rate: str
    meaning: str
    level: str
    lacks: list[str]


def compare_with_rest(
    data: TwoTimeData,
    made: Sampled,
    still: Model,
    progress: Progress = silent,
    place: Workplace = HERE,
) -> Still:
    """Return the evidence of a fitted model over that of the same fluid at rest.

    The fluid at rest has the priors and the noise of the fit, and starts at its mode.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    made : Sampled
        The fit with flow.
    still : Model
        The fluid at rest.
    progress : callable
        Called as ``progress(stage, done, total)``.
    place : Workplace
        Where all the data are evaluated.
    """
    model = observe(still, made.model.scaling, made.model.noise, dict(made.model.priors))
    fitted, mode = made.fitted
    planned = made.plan._replace(config=_at_the_mode(made.plan.config), model=model)
    parts = all_parts(data, planned, made.whole)
    laplace = rescaled(fitted, model, parts, mode)
    flow, evidence = made.inference.certificate, (math.nan, math.nan, math.inf)
    if proper(laplace):
        roughly = height(model, parts, laplace.mean) + _log_volume(laplace)
        evidence = roughly, math.nan, -math.inf
        if not flow.log_evidence - roughly > BEYOND_DOUBT:
            key = jax.random.fold_in(jax.random.key(planned.config.seed), 2)
            said = partial(_as_no_flow, progress)
            rest = draws(key, data, planned, made.whole, laplace, said, place=place).certificate
            evidence = rest.log_evidence, rest.log_evidence_error, rest.evidence_k_hat
    rate, law = next(pair for pair in made.model.model.rates if pair not in still.rates)
    level = law.level(rate)
    return Still(
        flow.log_evidence - evidence[0],
        float(np.hypot(flow.log_evidence_error, evidence[1])),
        max(flow.evidence_k_hat, evidence[2]),
        rate.name,
        rate.meaning,
        level if level in _sampled(made.model) else "",
        [row.name for row in made.model.model.table if row not in still.table],
    )


def log_flat(made: Sampled, still: Still, posterior: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return log weights, (chain, draw), that make draws those under a prior flat in a rate >= 0.

    Where the user says something of the rate, this stands, and the weights are even.

    Parameters
    ----------
    made : Sampled
        The fit.
    still : Still
        Which rate it is.
    posterior : mapping of str to numpy.ndarray
        Draws of all that was sampled, (chain, draw, ...).
    """
    if not still.level:
        return np.zeros_like(made.inference.log_prior)
    level, prior = posterior[still.level], dict(made.model.priors)[still.level]
    return level - np.asarray(distribution(prior).log_prob(level))


def _sampled(model: Observed) -> set[str]:
    return {name for name, prior in model.priors if not prior.fixed}


def _log_volume(laplace: Gaussian) -> float:
    """Return the logarithm of the integral of a Gaussian that is 1 at its mean."""
    _, log_det = np.linalg.slogdet(2 * math.pi * np.asarray(laplace.covariance))
    return float(0.5 * log_det)


def _at_the_mode(config: FitConfig) -> FitConfig:
    """Return settings that draw as few as one number needs, from the Gaussian at the mode."""
    draws = NUM_DRAWS // config.num_chains
    return replace(config, method="laplace", num_samples=draws, rescue_pairs=0)


def _as_no_flow(progress: Progress, _stage: str, done: int, total: int) -> None:
    progress("no flow", done, total)
