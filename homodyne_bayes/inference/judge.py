"""Draws of a cheaper form of a posterior, judged by the posterior."""

from typing import NamedTuple

import numpy as np
import scipy.special

from homodyne_bayes.inference.certify import Evaluate, effective_size, pareto_smoothed
from homodyne_bayes.thresholds import MAX_DEVIATION, MAX_K_HAT

NUM_JUDGED = 200


class Judgement(NamedTuple):
    """What draws of the cheaper form are worth for the posterior.

    Attributes
    ----------
    rounds : int
        Forms that were made, each with what the one before had taught.
    num_draws : int
        Draws at which both were evaluated.
    deviation : float
        sd of the difference of their log densities there.
    k_hat, ess : float
        Of weights by that difference.
    shift : float
        Logarithm of the mean of these weights, by which the evidence differs.
    """

    rounds: int
    num_draws: int
    deviation: float
    k_hat: float
    ess: float
    shift: float

    @property
    def sound(self) -> bool:
        """Whether the draws can be taken for those of the posterior."""
        return self.deviation < MAX_DEVIATION and self.k_hat < MAX_K_HAT


def judge(
    theta: np.ndarray, log_density: np.ndarray, evaluate: Evaluate, rounds: int
) -> tuple[Judgement, np.ndarray]:
    """Return what draws are worth, and those judged (N, d), farthest from the posterior first.

    Parameters
    ----------
    theta : numpy.ndarray
        (C, S, d) draws of the cheaper form.
    log_density : numpy.ndarray
        (C, S) of the cheaper form there.
    evaluate : callable
        Log prior and log likelihood of all the data, as `certify.evaluator` makes it.
    rounds : int
        Forms that were made.
    """
    flat, of_form = theta.reshape(-1, theta.shape[-1]), log_density.reshape(-1)
    at = np.unique(np.linspace(0, len(flat) - 1, NUM_JUDGED).round().astype(int))
    difference = np.sum(evaluate(flat[at]), axis=0) - of_form[at]
    log_weight, k_hat = pareto_smoothed(difference)
    shift = scipy.special.logsumexp(difference) - np.log(len(at))
    ess = effective_size(log_weight)
    deviation = float(np.nan_to_num(difference.std(), nan=np.inf))
    farthest = np.argsort(-np.abs(difference - np.median(difference)))
    found = Judgement(rounds, len(at), deviation, k_hat, ess, float(shift))
    return found, flat[at][farthest]
