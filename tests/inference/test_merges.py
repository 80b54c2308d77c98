"""Merge rules against the exact product of Gaussians, and what each does to a curved posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.inference.chains import Chains
from homodyne_bayes.inference.merges import RULES, gaussian_sites, merge, product
from homodyne_bayes.inference.nuts import Gaussian

K, D, DRAWS = 50, 10, 4000


def with_moments(rng, mean, covariance):
    """Draws whose sample mean and covariance are exactly these."""
    z = rng.normal(size=(DRAWS, D))
    z = np.linalg.solve(np.linalg.cholesky(np.cov(z.T)), (z - z.mean(axis=0)).T).T
    return mean + z @ np.linalg.cholesky(covariance).T


@pytest.fixture(scope="module")
def toy():
    """Fifty Gaussian likelihoods, their product, and draws of every rule's targets."""
    rng = np.random.default_rng(0)
    mixing = np.eye(D) + 0.3 * rng.normal(size=(D, D))
    roots = np.stack([rng.normal(size=(D, 3 * D)) for _ in range(K)])
    precisions = np.einsum("ij,kjl,kml,nm->kin", mixing, roots, roots, mixing)
    means = rng.normal(size=(K, D)) @ np.linalg.inv(mixing) / np.sqrt(3)
    total = precisions.sum(axis=0)
    whole = Gaussian(
        np.linalg.solve(total, np.einsum("kij,kj->i", precisions, means)), np.linalg.inv(total)
    )
    return precisions, means, whole


def chains_of(rule, toy):
    """Exact draws of the rule's targets, with their scores."""
    precisions, means, whole = toy
    rng, draws, scores = np.random.default_rng(1), [], []
    share = RULES[rule].common(K)
    for precision, mean in zip(precisions, means, strict=True):
        target = precision + share * np.linalg.inv(whole.covariance)
        pull = precision @ mean + share * np.linalg.solve(whole.covariance, whole.mean)
        centre = np.linalg.solve(target, pull)
        draws.append(with_moments(rng, centre, np.linalg.inv(target)))
        scores.append((centre - draws[-1]) @ target)
    shape = (K, 4, DRAWS // 4, D)
    return Chains(np.stack(draws).reshape(shape), np.stack(scores).reshape(shape), None, None, None)


@pytest.mark.parametrize("rule", RULES)
def test_merges_are_exact_for_gaussians(toy, rule):
    """Mean, sd and correlations of the product of fifty, to Monte Carlo error of the draws."""
    whole = toy[2]
    merged, _ = merge(jax.random.key(0), chains_of(rule, toy), rule, whole)
    draws, sd = merged.reshape(-1, D), np.sqrt(np.diag(whole.covariance))
    error = 1 / np.sqrt(DRAWS)
    np.testing.assert_allclose((draws.mean(axis=0) - whole.mean) / sd, 0, atol=4.5 * error)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=4.5 * error / np.sqrt(2))
    correlation = whole.covariance / np.outer(sd, sd)
    np.testing.assert_allclose(np.corrcoef(draws.T), correlation, atol=4.5 * error)


def test_moments_of_the_parametric_merge_are_exact(toy):
    """Of the sub-posteriors' exact sample moments, by NumPyro's product and by the sites."""
    from numpyro.infer import hmc_util

    whole, chains = toy[2], chains_of("parametric", toy)
    scale = np.sqrt(np.diag(whole.covariance))
    z = chains.draws.reshape(K, -1, D)
    mean, covariance = hmc_util.parametric(list(jnp.asarray(z)))
    by_sites = product(gaussian_sites(z, chains.score.reshape(K, -1, D), 0.0))
    for found in (Gaussian(mean, covariance), by_sites):
        np.testing.assert_allclose((found.mean - whole.mean) / scale, 0, atol=1e-10)
        relative = (found.covariance - whole.covariance) / np.outer(scale, scale)
        np.testing.assert_allclose(relative, 0, atol=1e-10)


def test_sites_of_cavity_targets_multiply_to_the_posterior(toy):
    """Whatever the draws: regression of the score has no Monte Carlo error for Gaussians."""
    whole = toy[2]
    chains = chains_of("cavity", toy)
    few = Chains(chains.draws[:, :, ::50], chains.score[:, :, ::50], None, None, None)
    sites = merge(jax.random.key(0), few, "cavity", whole)[1]
    found = product(sites)  # standardised by the posterior
    np.testing.assert_allclose(found.mean, 0, atol=1e-8)
    np.testing.assert_allclose(found.covariance, np.eye(D), atol=1e-8)


@pytest.mark.parametrize("num_shards", [16, 64])
def test_cavity_does_better_than_consensus_on_a_curved_posterior(num_shards):
    """Gamma posteriors of a log rate: counts of every shard are few, their sum is exact.

    The sub-posterior of x events in a log rate is Gamma-distributed in the rate; mean and sd of
    the posterior of all shards are digamma and trigamma functions.
    """
    import scipy.special
    import scipy.stats

    rng = np.random.default_rng(num_shards)
    events = rng.poisson(3.0, num_shards) + 0.5 / num_shards
    total = events.sum()
    exact = scipy.special.digamma(total) - np.log(num_shards), scipy.special.polygamma(1, total)
    mode = np.log(total / num_shards)
    whole = Gaussian(np.full(2, mode), np.eye(2) / total)

    def errors(rule):
        draws, scores = [], []
        share = RULES[rule].common(num_shards)
        for x in events:
            theta = np.linspace(mode - 12, mode + 6, 200_000)
            log_density = x * theta - np.exp(theta) - 0.5 * share * total * (theta - mode) ** 2
            weight = np.exp(log_density - log_density.max())
            grid = np.cumsum(weight) / weight.sum()
            sampled = np.interp((np.arange(8000) + 0.5) / 8000, grid, theta)
            pair = np.column_stack([rng.permutation(sampled) for _ in range(2)])
            draws.append(pair)
            scores.append(x - np.exp(pair) - share * total * (pair - mode))
        shape = (num_shards, 4, 2000, 2)
        draws, scores = (np.stack(values).reshape(shape) for values in (draws, scores))
        chains = Chains(draws, scores, None, None, None)
        merged = merge(jax.random.key(0), chains, rule, whole)[0].reshape(-1, 2)
        sd = np.sqrt(exact[1])
        return np.abs(merged.mean() - exact[0]) / sd, np.abs(merged.std() / sd - 1)

    shift, ratio = errors("cavity")
    worse, _ = errors("consensus")
    assert shift < 0.05
    assert ratio < 0.05
    assert worse > 3 * shift
