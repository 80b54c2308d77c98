"""What chains and shards are judged by, against draws whose state is known."""

import numpy as np
import pytest
import scipy.stats

from homodyne_bayes.inference.convergence import (
    agreement,
    convergence,
    faults_of_chains,
    faults_of_shards,
)
from homodyne_bayes.inference.merges import Sites

CALM = np.zeros((4, 500), dtype=bool)


def independent_draws(seed=0):
    return np.random.default_rng(seed).normal(size=(4, 500, 3))


def gaussian_shards(rng, K=6, d=4):
    """Sites whose means scatter as their precision says."""
    mixing = rng.normal(size=(d, d))
    precision = np.stack([mixing @ mixing.T] * K)
    means = rng.normal(size=(K, d)) @ np.linalg.inv(mixing)
    return means, precision, np.linalg.cholesky(np.linalg.inv(precision[0]))


def sites(means, precision):
    return Sites(np.einsum("kij,kj->ki", precision, means), precision)


def test_chains_that_agree_are_sound():
    found = convergence(independent_draws(), CALM)
    assert found.r_hat < 1.01
    assert found.ess > 1500
    assert faults_of_chains("chains", found, (4, 500)) == []


def test_a_stuck_chain_a_shifted_one_and_divergences_are_faults():
    stuck = independent_draws()
    stuck[2] = stuck[2, 7]
    assert convergence(stuck, CALM).r_hat == np.inf
    shifted = independent_draws()
    shifted[1] += 1.0
    diverging = CALM.copy()
    diverging[0, :3] = True
    faults = faults_of_chains("chains", convergence(shifted, diverging), (4, 500))
    assert [fault.kind for fault in faults] == ["r_hat", "ess", "diverging"]
    assert faults[-1].sentence() == "chains: 3 of 2000 transitions diverged."
    (fault,) = faults_of_shards("merge", [convergence(stuck, CALM)], AGREED)
    assert fault.sentence().startswith("merge: the chains of shard 0 have R-hat inf")


AGREED = agreement(sites(*gaussian_shards(np.random.default_rng(1))[:2]), np.eye(4))


def test_agreement_is_chi_square_for_gaussian_shards():
    """p-values of all shards together are uniform, and those of the worst shard conservative."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        means, precision, scale = gaussian_shards(rng)
        found.append(agreement(sites(means, precision), scale))
    assert scipy.stats.kstest([each.p_value for each in found], "uniform").pvalue > 1e-3
    assert np.mean([each.worst_p < 0.1 for each in found]) < 0.14
    scores = np.concatenate([each.scores.ravel() for each in found])
    assert scores.std() == pytest.approx(1, abs=0.03)


def test_agreement_of_unequal_shards():
    """Every shard knows a coordinate of its own, and a common one to a different precision."""
    rng, K = np.random.default_rng(0), 5
    precision = np.zeros((K, K + 2, K + 2))
    for k in range(K):
        mixing = rng.normal(size=(3, 3))
        own = np.array([0, 1, 2 + k])
        precision[k][np.ix_(own, own)] = 4.0**k * mixing @ mixing.T
    found = []
    for _ in range(400):
        pulls = np.stack([rng.multivariate_normal(np.zeros(K + 2), P) for P in precision])
        found.append(agreement(Sites(pulls, precision), np.eye(K + 2)))
    for level in (0.01, 0.1, 0.5):
        small = np.mean([each.p_value < level for each in found])
        assert small == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / 400) + 0.01)
    assert np.mean([each.worst_p < 0.1 for each in found]) < 0.14


def test_a_shard_that_deviates_is_named():
    means, precision, scale = gaussian_shards(np.random.default_rng(3))
    means[4] += 5 * np.sqrt(np.diag(np.linalg.inv(precision[4])))
    found = agreement(sites(means, precision), scale)
    (fault,) = faults_of_shards("merge", [], found)
    assert fault.kind == "disagreement"
    assert "shard 4 most" in fault.sentence()


def test_sites_that_are_no_distribution_are_a_fault():
    found = agreement(sites(np.zeros((3, 2)), np.stack([np.diag([1.0, -1.0])] * 3)), np.eye(2))
    (fault,) = faults_of_shards("merge", [], found)
    assert fault.kind == "no_product"
    assert "too few points" in fault.sentence()


def test_scores_are_deviations_in_units_of_their_spread():
    """Two scalar shards at -1 and 1 with unit variance: each is 1/sqrt(1/2) from the middle."""
    found = agreement(sites(np.array([[-1.0], [1.0]]), np.ones((2, 1, 1))), np.ones((1, 1)))
    np.testing.assert_allclose(found.scores, [[-np.sqrt(2)], [np.sqrt(2)]])
    assert found.chi2 == pytest.approx(2)
    assert found.dof == 1
