"""Whether chains converged and shards agree: arrays in, numbers out."""

from typing import NamedTuple

import numpy as np
import scipy.stats
from arviz_stats.base import array_stats

from homodyne_bayes.inference.merges import Sites, product
from homodyne_bayes.thresholds import (
    MAX_DIVERGING,
    MAX_R_HAT,
    MAX_SHARD_R_HAT,
    MIN_AGREEMENT_P,
    MIN_ESS_PER_CHAIN,
    Fault,
)

LEAST_SPREAD = 0.01  # of the mean variance: shards that say nothing of a coordinate deviate by 0


class Convergence(NamedTuple):
    """R-hat (largest of all coordinates), bulk ESS (least), and divergent transitions."""

    r_hat: float
    ess: float
    diverging: int


class Agreement(NamedTuple):
    """Whether the shards agree.

    Attributes
    ----------
    chi2, dof, p_value : float, int, float
        Σ of squared deviations of the shards from their product, in units of their spread.
    scores : numpy.ndarray
        (K, d) deviations of the shards' means, per coordinate, in units of expected spread.
    worst, worst_p : int, float
        Shard that deviates most, and the p-value of that, times the number of shards (Bonferroni).
    """

    chi2: float
    dof: int
    p_value: float
    scores: np.ndarray
    worst: int
    worst_p: float


def convergence(draws: np.ndarray, diverging: np.ndarray) -> Convergence:
    """Return how well chains converged, R-hat infinite where a chain never moved.

    Parameters
    ----------
    draws : numpy.ndarray
        (C, S, d) draws.
    diverging : numpy.ndarray
        (C, S) whether a transition diverged.
    """
    if (np.ptp(draws, axis=1) == 0).any():
        return Convergence(np.inf, 0.0, int(diverging.sum()))
    r_hat = array_stats.rhat(draws, chain_axis=0, draw_axis=1)
    ess = array_stats.ess(draws, chain_axis=0, draw_axis=1)
    return Convergence(float(np.max(r_hat)), float(np.min(ess)), int(diverging.sum()))


def agreement(sites: Sites, scale: np.ndarray) -> Agreement:
    """Test whether shards differ by more than their spread.

    With precisions P_k, means m_k, and the product's precision P and mean m, r_k = P_k (m_k - m)
    have covariances δ_kl P_k - P_k P⁻¹ P_l. Σ r_kᵀ P̄⁻¹ r_k with the mean precision P̄ is compared
    with the χ² of the same mean and variance (Satterthwaite), which is exact, with (K-1) d degrees
    of freedom, where the shards are equally precise; under a strong prior it is smaller. It is
    infinite where the sites do not multiply to a distribution.

    Parameters
    ----------
    sites : Sites
        Of every shard, in coordinates z.
    scale : numpy.ndarray
        (d, d) with theta = centre + scale z; scores are those of theta.
    """
    K, d = sites.precision_mean.shape
    mean_precision = sites.precision.mean(axis=0)
    if np.linalg.eigvalsh(mean_precision).min() <= 0:
        return Agreement(np.inf, (K - 1) * d, 0.0, np.full((K, d), np.nan), 0, 0.0)
    residual = sites.precision_mean - sites.precision @ product(sites).mean
    covariance = np.linalg.inv(mean_precision)
    per_shard = np.einsum("ki,ij,kj->k", residual, covariance, residual)
    shares = sites.precision @ covariance  # P_k P̄⁻¹
    joint = -np.einsum("kij,ljm->klim", shares, shares) / K  # covariances of r_k and r_l, times P̄⁻¹
    joint[range(K), range(K)] += shares
    traces = np.einsum("kkii->k", joint)
    squares = np.einsum("klij,lkji->kl", joint, joint)
    factor, dof = squares.sum() / traces.sum(), traces.sum() ** 2 / squares.sum()
    own_factor, own_dof = np.diag(squares) / traces, traces**2 / np.diag(squares)
    p_values = scipy.stats.chi2.sf(per_shard / own_factor, own_dof)
    deviation = residual @ covariance @ scale.T
    spread = np.einsum("ij,kjm,im->ki", scale, covariance @ joint[range(K), range(K)], scale)
    least = LEAST_SPREAD * np.diag(scale @ covariance @ scale.T)
    return Agreement(
        chi2=float(per_shard.sum() / factor),
        dof=round(dof),
        p_value=float(scipy.stats.chi2.sf(per_shard.sum() / factor, dof)),
        scores=deviation / np.sqrt(np.maximum(spread, least)),
        worst=int(p_values.argmin()),
        worst_p=min(1.0, K * float(p_values.min())),
    )


def faults_of_chains(where: str, judged: Convergence, shape: tuple[int, int]) -> list[Fault]:
    """Return why chains cannot be taken for the posterior; nothing if they can.

    Parameters
    ----------
    where : str
        Which chains.
    judged : Convergence
        How they converged.
    shape : (int, int)
        Chains C, and draws S of each.
    """
    needed, num_draws = MIN_ESS_PER_CHAIN * shape[0], shape[0] * shape[1]
    faults = []
    if not judged.r_hat <= MAX_R_HAT:
        faults.append(Fault("r_hat", where, (judged.r_hat,), MAX_R_HAT))
    if not judged.ess >= needed:
        faults.append(Fault("ess", where, (judged.ess,), needed))
    most = MAX_DIVERGING * num_draws
    if judged.diverging > most:
        faults.append(Fault("diverging", where, (judged.diverging, num_draws), most))
    return faults


def faults_of_shards(where: str, shards: list[Convergence], together: Agreement) -> list[Fault]:
    """Return why sub-posteriors cannot be merged; nothing if they can.

    Parameters
    ----------
    where : str
        Which merge.
    shards : list of Convergence
        How the chains of each shard converged.
    together : Agreement
        Whether shards agree.
    """
    faults = [
        Fault("shard_r_hat", where, (judged.r_hat, k), MAX_SHARD_R_HAT)
        for k, judged in enumerate(shards)
        if not judged.r_hat <= MAX_SHARD_R_HAT
    ]
    p_value = min(together.p_value, together.worst_p)
    if np.isinf(together.chi2):
        faults.append(Fault("no_product", where))
    elif not p_value >= MIN_AGREEMENT_P:
        numbers = (p_value, together.chi2, together.dof, together.worst)
        faults.append(Fault("disagreement", where, numbers, MIN_AGREEMENT_P))
    return faults
