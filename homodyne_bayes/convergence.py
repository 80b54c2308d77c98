"""Whether chains converged and shards agree: arrays in, numbers out."""

from typing import NamedTuple

import numpy as np
import scipy.stats
from arviz_stats.base import array_stats

from homodyne_bayes.merges import Sites, product

MAX_R_HAT = 1.01
MIN_ESS_PER_CHAIN = 100
MAX_DIVERGING = 1e-3  # of all transitions
MAX_SHARD_R_HAT = 1.05  # a shard only shapes a proposal
MIN_AGREEMENT_P = 1e-3


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
    """Test whether shards dealt at random differ by more than their spread.

    With precisions P_k, means m_k and the product's mean m, r_k = P_k (m_k - m) scatters with
    covariance P_k; Σ r_kᵀ P̄⁻¹ r_k with the mean precision P̄ is χ² with (K-1) d degrees of freedom
    for Gaussian sites under a weak prior; where the prior is strong it is smaller. It is infinite
    where the sites do not multiply to a distribution.

    Parameters
    ----------
    sites : Sites
        Of every shard, in coordinates z.
    scale : numpy.ndarray
        (d, d) with theta = centre + scale z; scores are those of theta.
    """
    K, d = sites.precision_mean.shape
    if np.linalg.eigvalsh(sites.precision.mean(axis=0)).min() <= 0:
        return Agreement(np.inf, (K - 1) * d, 0.0, np.full((K, d), np.nan), 0, 0.0)
    residual = sites.precision_mean - sites.precision @ product(sites).mean
    covariance = np.linalg.inv(sites.precision.mean(axis=0))
    per_shard, dof = np.einsum("ki,ij,kj->k", residual, covariance, residual), (K - 1) * d
    share = 1 - 1 / K
    spread = np.sqrt(share * np.diag(scale @ covariance @ scale.T))
    return Agreement(
        chi2=float(per_shard.sum()),
        dof=dof,
        p_value=float(scipy.stats.chi2.sf(per_shard.sum(), dof)),
        scores=residual @ covariance @ scale.T / spread,
        worst=int(per_shard.argmax()),
        worst_p=min(1.0, K * float(scipy.stats.chi2.sf(per_shard.max() / share, d))),
    )


def faults_of_chains(found: Convergence, num_chains: int, num_samples: int) -> list[str]:
    """Return why chains cannot be taken for the posterior, one clause each; none if they can."""
    needed, num_draws = MIN_ESS_PER_CHAIN * num_chains, num_chains * num_samples
    faults = []
    if not found.r_hat <= MAX_R_HAT:
        faults.append(f"R-hat is {found.r_hat:.3f}, above {MAX_R_HAT}")
    if not found.ess >= needed:
        faults.append(f"the bulk ESS is {found.ess:.0f}, below {needed}")
    if found.diverging > MAX_DIVERGING * num_draws:
        faults.append(f"{found.diverging} of {num_draws} transitions diverged")
    return faults


def faults_of_shards(shards: list[Convergence], together: Agreement) -> list[str]:
    """Return why sub-posteriors cannot be merged, one clause each; none if they can."""
    faults = [
        f"the chains of shard {k} have R-hat {found.r_hat:.3f}, above {MAX_SHARD_R_HAT}"
        for k, found in enumerate(shards)
        if not found.r_hat <= MAX_SHARD_R_HAT
    ]
    if np.isinf(together.chi2):
        faults.append("the shards do not multiply to a distribution: they hold too few points")
    elif not min(together.p_value, together.worst_p) >= MIN_AGREEMENT_P:
        faults.append(
            f"the shards disagree (χ² = {together.chi2:.0f} on {together.dof} degrees of freedom, "
            f"shard {together.worst} most)"
        )
    return faults
