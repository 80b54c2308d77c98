"""Approximate draws against the posterior of all the data: importance sampling with a verdict.

Draws from a proposal of known density, a t-distribution with the moments of the approximate
draws, are weighted by the posterior of all the data. The tail of the weights, Pareto's k-hat,
says whether the weights can be trusted (Vehtari et al., Pareto smoothed importance sampling,
JMLR 25:72, 2024). The proposal is then improved by matching moments, and all draws are kept, each
weighted against the mixture of all proposals (Cornuet et al., Adaptive multiple importance
sampling, Scand. J. Stat. 39:798, 2012).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from arviz_stats.base import array_stats

from homodyne_bayes.inference.chains import StageProgress
from homodyne_bayes.inference.density import Model, Shard, log_prior_and_likelihood, num_points
from homodyne_bayes.inference.each import Each, each_here, on_host, quiet
from homodyne_bayes.inference.nuts import Gaussian, proper, whiten
from homodyne_bayes.thresholds import (
    MAX_DRIFT,
    MAX_GROWTH,
    MAX_K_HAT,
    MIN_ESS_PER_CHAIN,
    Fault,
)

AT_THE_MODE = "least squares fit"  # what draws of the reference are called
DEGREES_OF_FREEDOM = 10  # of the proposals' t-distributions
ESS_PER_DIMENSION = 10  # weights are tempered to this before moments are matched
FLATTEST = 1e-9  # least variance of a proposal over its largest: flatter ones have no density
LEAST_POWER = 1e-9  # of weights; proposals that need less are of no use
BLOCK = 200  # evaluations of a part by one call of its program
POINTS_AT_ONCE = 2**15  # evaluated together, which bounds memory

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Weighted(NamedTuple):
    """Draws (N, d) of all proposals, log densities (N,) there, and normalised log weights (N,)."""

    theta: np.ndarray
    log_prior: np.ndarray
    log_likelihood: np.ndarray
    log_weight: np.ndarray


class Attempt(NamedTuple):
    """What the draws of all proposals so far are worth together.

    Attributes
    ----------
    proposal : str
        The proposal added last.
    k_hat, ess : float
        Shape of the weights' tail, and effective sample size.
    num_evaluations : int
        Evaluations of the posterior of all the data that it took.
    drift, growth : float
        Mahalanobis distance of the weighted mean from that of the proposal, and largest ratio of a
        weighted sd to that of the proposal: a posterior that reaches far beyond the proposals
        shows in moments that still move, before k-hat sees it.
    """

    proposal: str
    k_hat: float
    ess: float
    num_evaluations: int
    drift: float = np.inf
    growth: float = np.inf


class Certification(NamedTuple):
    """Weighted draws and what they are worth.

    Attributes
    ----------
    weighted : Weighted
        Draws of all attempts.
    attempts : list of Attempt
        The last is about all of ``weighted``.
    moments : Gaussian
        Mean and covariance of the weighted draws.
    log_evidence, log_evidence_error : float
        Logarithm of ∫ prior × likelihood, and its standard error.
    """

    weighted: Weighted
    attempts: list[Attempt]
    moments: Gaussian
    log_evidence: float
    log_evidence_error: float


def faults_of_weights(where: str, attempt: Attempt, num_chains: int) -> list[Fault]:
    """Return why weighted draws cannot be taken for the posterior; nothing if they can.

    Parameters
    ----------
    where : str
        Which draws were weighed.
    attempt : Attempt
        What their weights are worth.
    num_chains : int
        Chains that are to be drawn from them.
    """
    needed, faults = MIN_ESS_PER_CHAIN * num_chains, []
    if not attempt.k_hat < MAX_K_HAT:
        faults.append(Fault("k_hat", where, (attempt.k_hat,), MAX_K_HAT))
    if not attempt.ess >= needed:
        faults.append(Fault("weights_ess", where, (attempt.ess,), needed))
    if not (attempt.drift < MAX_DRIFT and attempt.growth < MAX_GROWTH):
        faults.append(Fault("unsettled", where, (attempt.drift, attempt.growth), MAX_DRIFT))
    return faults


def certify(
    key: jax.Array, evaluate: Evaluate, draws: np.ndarray, reference: Gaussian, name: str
) -> Certification:
    """Weigh draws of proposals made from approximate draws by the posterior of all the data.

    The first proposal has the moments of ``draws``, the second those of the weighted draws. If
    these cannot be trusted, two more follow: the reference, and weighted moments again.

    Parameters
    ----------
    key : jax.Array
        Random key.
    evaluate : callable
        ``evaluate(theta (N, d))`` gives log prior and log likelihood of all the data, (N,) each.
    draws : numpy.ndarray
        (C, S, d) approximate draws; every attempt makes C S evaluations.
    reference : Gaussian
        The Laplace approximation; moments are matched in its standardised coordinates.
    name : str
        What the draws are, for the record.
    """
    chains, samples, d = draws.shape
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    scale = np.linalg.cholesky(reference.covariance)
    log_volume = np.log(np.diag(scale)).sum()
    first = _moments(whiten(reference, draws).reshape(-1, d))
    laplace = Gaussian(np.zeros(d), np.eye(d))
    proposals: list[Any] = []
    z, log_densities, log_ratio = np.empty((0, d)), np.empty((2, 0)), np.empty(0)
    attempts: list[Attempt] = []
    for label, proposed in (
        (name, first),
        ("moments matched", None),
        (AT_THE_MODE, laplace),
        ("moments matched again", None),
    ):
        gaussian = _tempered_moments(z, log_ratio) if proposed is None else proposed
        if gaussian is None or not _usable(gaussian):
            attempts.append(Attempt(label, np.inf, 0.0, 0))
            continue
        proposals.append(_student(gaussian))
        fresh = proposals[-1].rvs(chains * samples, random_state=rng).reshape(-1, d)
        z = np.concatenate([z, fresh])
        added = np.stack(evaluate(np.asarray(reference.mean) + fresh @ scale.T))
        log_densities = np.concatenate([log_densities, added], axis=1)
        log_ratio = log_densities.sum(axis=0) + log_volume - _log_mixture(proposals, z)
        log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
        log_weight, k_hat = pareto_smoothed(log_ratio)
        moved = _moved(gaussian, _moments(z, np.exp(log_weight)))
        attempts.append(Attempt(label, k_hat, effective_size(log_weight), len(fresh), *moved))
        if len(proposals) > 1 and not faults_of_weights(name, attempts[-1], chains):
            break
    theta = np.asarray(reference.mean) + z @ scale.T
    log_prior, log_likelihood = log_densities
    weighted = Weighted(theta, log_prior, log_likelihood, log_weight)
    moments = _moments(theta, np.exp(log_weight))
    return Certification(weighted, attempts, moments, *evidence(log_ratio))


def pareto_smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Return normalised log weights (N,) with a smoothed tail, and Pareto's k-hat, of log ratios.

    k-hat is infinite where too few ratios are finite to say, and -infinite where all are equal.
    """
    finite = np.isfinite(log_ratio)
    if finite.sum() < max(25, len(log_ratio) // 5):
        return np.where(finite, log_ratio, -np.inf) - _log_sum(log_ratio), np.inf
    if np.ptp(log_ratio[finite]) < 1e-9:
        return log_ratio - _log_sum(log_ratio), -np.inf
    with np.errstate(all="ignore"):  # where weights span the range of floats, k-hat is NaN
        log_weight, k_hat = array_stats.psislw(-log_ratio)  # as in LOO: minus the log ratios
    return log_weight, float(np.nan_to_num(k_hat, nan=np.inf))


def effective_size(log_weight: np.ndarray) -> float:
    """Return 1/Σw² of normalised weights, given their logarithms (N,)."""
    return float(np.exp(-scipy.special.logsumexp(2 * log_weight)))


def evidence(log_ratio: np.ndarray) -> tuple[float, float]:
    """Return the logarithm of the mean ratio and its standard error, of log ratios (N,)."""
    log_mean = scipy.special.logsumexp(log_ratio) - np.log(len(log_ratio))
    relative = np.exp(log_ratio - log_mean)
    return float(log_mean), float(relative.std(ddof=1) / np.sqrt(len(log_ratio)))


def resample(key: jax.Array, log_weight: np.ndarray, num_chains: int, num_draws: int) -> np.ndarray:
    """Return indices (C, S) of draws in proportion to weights (N,), by systematic resampling.

    Every chain has its own part of the draws, and copies of a draw stay side by side, so that
    R-hat sees whether the parts agree and the effective sample size counts copies as one.
    """
    offsets = np.asarray(jax.random.uniform(key, (num_chains,)))
    indices = np.empty((num_chains, num_draws), dtype=int)
    for chain, offset in enumerate(offsets):
        part = np.arange(chain, len(log_weight), num_chains)
        weight = np.exp(log_weight[part] - log_weight[part].max())
        steps = (offset + np.arange(num_draws)) / num_draws
        indices[chain] = part[np.searchsorted(np.cumsum(weight) / weight.sum(), steps)]
    return indices


def evaluator(
    model: Model,
    parts: Shard,
    progress: StageProgress = quiet,
    each: Each = each_here,
) -> Evaluate:
    """Return a function that gives log prior and log likelihood of all the data at many theta.

    Parameters
    ----------
    model : callable
        NumPyro function of one part.
    parts : pytree
        Stacked parts that hold all the data, leading axis J on every leaf.
    progress : callable
        Called with parts done and in total.
    each : callable
        Evaluates every part, as `each.each_here`. The sum over parts is made in their order, so
        that it does not depend on where they are evaluated.
    """

    def evaluate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prior, likelihoods = densities_of_parts(model, parts, theta, progress, each)
        return prior, likelihoods.sum(axis=1)

    return evaluate


def densities_of_parts(
    model: Model,
    parts: Shard,
    theta: np.ndarray,
    progress: StageProgress = quiet,
    each: Each = each_here,
) -> tuple[np.ndarray, np.ndarray]:
    """Return log prior (N,) and log likelihood of every part (N, J) at theta (N, d).

    Other arguments are those of `evaluator`.
    """
    J = jax.tree.leaves(parts)[0].shape[0]
    most = max(1, min(BLOCK, POINTS_AT_ONCE * J // num_points(model, parts)))
    together = next(number for number in range(most, 0, -1) if BLOCK % number == 0)
    held = model, together, np.asarray(theta)
    priors, likelihoods = zip(*each(log_densities, held, parts, progress), strict=True)
    return priors[0], np.stack(likelihoods, axis=1)


def log_densities(
    model: Model, together: int, theta: np.ndarray, part: Shard
) -> tuple[np.ndarray, np.ndarray]:
    """Return log prior and log likelihood of one part at theta (N, d), (N,) each.

    So many theta are evaluated together.
    """
    program, found = _evaluation(model, together), []
    for first in range(0, len(theta), BLOCK):
        block = theta[np.minimum(np.arange(first, first + BLOCK), len(theta) - 1)]
        found.append(on_host(program(part, block)))
    priors, likelihoods = zip(*found, strict=True)
    return np.concatenate(priors)[: len(theta)], np.concatenate(likelihoods)[: len(theta)]


@lru_cache(maxsize=16)
def _evaluation(model: Model, together: int) -> Callable[..., Any]:
    """Return the log densities of a part at a block of theta, compiled when called."""

    def many(part: Shard, block: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.lax.map(
            lambda theta: log_prior_and_likelihood(model, part, theta), block, batch_size=together
        )

    return jax.jit(many)


def _student(gaussian: Gaussian) -> Any:
    return scipy.stats.multivariate_t(*gaussian, df=DEGREES_OF_FREEDOM)


def _log_mixture(proposals: list[Any], z: np.ndarray) -> np.ndarray:
    terms = np.stack([proposal.logpdf(z).reshape(len(z)) for proposal in proposals])
    return _log_sum(terms) - np.log(len(proposals))


def _log_sum(terms: np.ndarray) -> np.ndarray:
    return scipy.special.logsumexp(terms, axis=0)


def _moments(draws: np.ndarray, weights: np.ndarray | None = None) -> Gaussian:
    """Return mean and covariance; NaN where draws or weights are."""
    mean = np.average(draws, axis=0, weights=weights)
    covariance = np.cov(draws.T, aweights=weights, ddof=0)
    return Gaussian(mean, np.atleast_2d(covariance))


def _moved(proposal: Gaussian, weighted: Gaussian) -> tuple[float, float]:
    """Return drift and growth from the moments of a proposal to the weighted ones."""
    off = weighted.mean - proposal.mean
    squared = off @ np.linalg.solve(proposal.covariance, off)
    growth = np.diag(weighted.covariance) / np.diag(proposal.covariance)
    return float(np.sqrt(squared)), float(np.sqrt(growth.max()))


def _tempered_moments(z: np.ndarray, log_ratio: np.ndarray) -> Gaussian | None:
    """Return moments under the weights, to a power that leaves them effective enough."""
    needed = ESS_PER_DIMENSION * z.shape[1]
    if np.isfinite(log_ratio).sum() <= needed:
        return None

    def excess(power: float) -> float:
        scaled = power * (log_ratio - log_ratio.max())
        return effective_size(scaled - _log_sum(scaled)) - needed

    if excess(LEAST_POWER) < 0:
        return None
    enough = excess(1.0) >= 0
    power = 1.0 if enough else scipy.optimize.brentq(excess, LEAST_POWER, 1.0)
    log_weight = pareto_smoothed(power * log_ratio)[0]
    return _moments(z, np.exp(log_weight))


def _usable(gaussian: Gaussian) -> bool:
    """Return whether a Gaussian is one, and not flat in any direction."""
    if not proper(gaussian):
        return False
    variances = np.linalg.eigvalsh(gaussian.covariance)
    return bool(variances.min() > FLATTEST * variances.max())
