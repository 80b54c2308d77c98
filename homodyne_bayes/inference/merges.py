"""Merge rules: draws of K sub-posteriors into draws of the posterior of all the data.

Every rule is exact where the sub-posteriors are Gaussian and approximate otherwise. A rule is one
row of `RULES`. Draws are standardised here by a Gaussian near the posterior of all the data.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import hmc_util

from homodyne_bayes.inference.chains import Chains, Targets, each_in_cavity, each_shard
from homodyne_bayes.inference.density import Shard
from homodyne_bayes.inference.nuts import Gaussian, standardise, whiten


class Sites(NamedTuple):
    """What every shard says by itself, as a Gaussian: precision (K, d, d) times mean, (K, d)."""

    precision_mean: np.ndarray
    precision: np.ndarray


class Rule(NamedTuple):
    """What the chains of the shards sample, what of it is not the shard's own, and the merge.

    ``targets(shards, posterior)``; the part ``common(K)`` of |z|²/2 in every target belongs to no
    shard; ``merge(key, z, sites)`` makes draws (N, d) of draws z (K, N, d) and their sites;
    ``title`` says in a line what it does; ``dense_metric``, whether the targets are not as the
    posterior is, so that chains have to adapt to their covariances.
    """

    targets: Callable[[Shard, Gaussian], Targets]
    common: Callable[[int], float]
    merge: Callable[[jax.Array, jax.Array, Sites], jax.Array]
    title: str
    dense_metric: bool = False


def merge(
    key: jax.Array, chains: Chains, rule: str, posterior: Gaussian
) -> tuple[np.ndarray, Sites]:
    """Merge draws of every shard into draws of the posterior of all the data, (C, S, d).

    Parameters
    ----------
    key : jax.Array
        Random key.
    chains : Chains
        Draws (K, C, S, d) of the rule's targets, and scores there.
    rule : str
        Name in `RULES`.
    posterior : Gaussian
        The approximate posterior of all the data that made the targets.

    Returns
    -------
    draws : numpy.ndarray
        Not finite where the rule fails.
    sites : Sites
        Of every shard, in coordinates standardised by ``posterior``.
    """
    K, C, S, d = chains.draws.shape
    scale = np.linalg.cholesky(posterior.covariance)
    z = whiten(posterior, chains.draws).reshape(K, C * S, d)
    sites = gaussian_sites(z, chains.score.reshape(K, C * S, d) @ scale, RULES[rule].common(K))
    merged = RULES[rule].merge(key, jnp.asarray(z), sites)
    draws = standardise(np.asarray(posterior.mean), scale, np.asarray(merged))
    return draws.reshape(C, S, d), sites


def gaussian_sites(z: np.ndarray, score: np.ndarray, common: float) -> Sites:
    """Return the Gaussian sites of targets by linear regression of the score on z.

    For a density with mean m and covariance V the score u has mean 0 and E[u zᵀ] = -1, so its
    regression on z is u = V⁻¹ m - V⁻¹ z. That the regression has no error where the density is
    Gaussian is what makes sums over many shards precise: it is a control variate for the moments
    (Mira et al., Stat. Comput. 23:653, 2013).

    Parameters
    ----------
    z, score : numpy.ndarray
        (K, N, d) draws and gradients of the log density there.
    common : float
        Part of |z|²/2 in every target that is not the shard's own.
    """
    d = z.shape[-1]
    slope, intercept = [], []
    for draws, gradients in zip(z, score, strict=True):
        design = np.column_stack([np.ones(len(draws)), draws])
        solved = np.linalg.lstsq(design, gradients, rcond=None)[0]
        intercept.append(solved[0])
        slope.append(0.5 * (solved[1:] + solved[1:].T))
    return Sites(np.stack(intercept), -np.stack(slope) - common * np.eye(d))


def product(sites: Sites) -> Gaussian:
    """Return the product of Gaussian sites."""
    precision = sites.precision.sum(axis=0)
    covariance = np.linalg.inv(precision)
    return Gaussian(covariance @ sites.precision_mean.sum(axis=0), covariance)


def sub_posteriors(shards: Shard, posterior: Gaussian) -> Targets:
    """Return the sub-posteriors of the shards, each with the prior to the power 1/K."""
    K = jax.tree.leaves(shards)[0].shape[0]
    return each_shard(shards, Gaussian(posterior.mean, K * posterior.covariance), 1 / K)


def consensus(_key: jax.Array, z: jax.Array, _sites: Sites) -> jax.Array:
    """Average the i-th draws of all shards with weights (Σ precisions)⁻¹ precision."""
    return hmc_util.consensus(list(z))


def parametric(key: jax.Array, z: jax.Array, _sites: Sites) -> jax.Array:
    """Draw from the product of Gaussians with the moments of the sub-posteriors."""
    return hmc_util.parametric_draws(list(z), z.shape[1], rng_key=key)


def cavity(key: jax.Array, z: jax.Array, sites: Sites) -> jax.Array:
    """Draw from the product of the sites: one sweep of expectation propagation.

    The targets are as narrow as the posterior, however many shards, so what is not Gaussian in
    them is small, and their deviations from it add up to the posterior's to first order.
    """
    merged = product(sites)
    normal = jax.random.normal(key, z.shape[1:])
    return standardise(merged.mean, jnp.linalg.cholesky(merged.covariance), normal)


RULES: dict[str, Rule] = {
    "consensus": Rule(
        sub_posteriors,
        lambda _: 0.0,
        consensus,
        "draws averaged by the precisions of the shards",
        dense_metric=True,
    ),
    "parametric": Rule(
        sub_posteriors,
        lambda _: 0.0,
        parametric,
        "draws of the product of Gaussians",
        dense_metric=True,
    ),
    "cavity": Rule(
        each_in_cavity, lambda K: 1 - 1 / K, cavity, "each shard within the rest as a Gaussian"
    ),
}
