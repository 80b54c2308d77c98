"""Certification against targets whose moments and evidence are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.special
import scipy.stats
from arviz_stats.base import array_stats

from homodyne_bayes.inference.certify import (
    certify,
    effective_size,
    evaluator,
    evidence,
    faults_of_weights,
    pareto_smoothed,
    resample,
)
from homodyne_bayes.inference.density import log_prior_and_likelihood
from homodyne_bayes.inference.each import each_here
from homodyne_bayes.inference.nuts import Gaussian, proper
from homodyne_bayes.thresholds import MAX_K_HAT

D = 6
MIXING = np.eye(D) + 0.5 * np.random.default_rng(0).normal(size=(D, D))
TARGET = Gaussian(np.arange(D, dtype=float), MIXING @ MIXING.T)
LOG_Z = -3.25


def log_densities(theta):
    """A Gaussian target with evidence exp(LOG_Z), split into prior and likelihood."""
    normal = scipy.stats.multivariate_normal(TARGET.mean, TARGET.covariance)
    return np.full(len(theta), LOG_Z), normal.logpdf(theta)


def draws_of(shift, width, seed=0):
    """Draws that are off by ``shift`` sd along one axis and too wide by ``width``."""
    z = np.random.default_rng(seed).normal(size=(4, 500, D)) * width
    z[..., 0] += shift
    return TARGET.mean + z @ np.linalg.cholesky(TARGET.covariance).T


def run(draws, reference=TARGET, seed=1):
    return certify(jax.random.key(seed), log_densities, draws, reference, "these draws")


def test_the_sign_of_the_weights():
    """A proposal wider than the target has bounded weights; a narrower one does not."""
    rng = np.random.default_rng(0)
    wide, narrow = scipy.stats.norm(0, 1.5), scipy.stats.norm(0, 0.2)
    for proposal, trusted in ((wide, True), (narrow, False)):
        x = proposal.rvs(4000, random_state=rng)
        log_weight, k_hat = pareto_smoothed(scipy.stats.norm.logpdf(x) - proposal.logpdf(x))
        assert (k_hat < MAX_K_HAT) is trusted
        assert scipy.special.logsumexp(log_weight) == pytest.approx(0, abs=1e-12)
        if trusted:
            assert effective_size(log_weight) > 3000
            assert (np.exp(log_weight) * x**2).sum() == pytest.approx(1, abs=0.1)


def test_weights_that_say_nothing():
    assert pareto_smoothed(np.full(100, 2.0))[1] == -np.inf
    assert pareto_smoothed(np.r_[np.zeros(5), np.full(995, -np.inf)])[1] == np.inf


@pytest.mark.parametrize(("shift", "width"), [(0.0, 1.0), (0.8, 1.0), (0.0, 0.7), (0.0, 1.6)])
def test_reweighting_corrects_moments_and_gives_the_evidence(shift, width):
    found = run(draws_of(shift, width))
    assert faults_of_weights("these draws", found.attempts[-1], 4) == []
    sd = np.sqrt(np.diag(TARGET.covariance))
    np.testing.assert_allclose((found.moments.mean - TARGET.mean) / sd, 0, atol=0.1)
    np.testing.assert_allclose(np.sqrt(np.diag(found.moments.covariance)) / sd, 1, atol=0.08)
    assert abs(found.log_evidence - LOG_Z) < 4 * found.log_evidence_error < 0.2
    assert [attempt.num_evaluations for attempt in found.attempts] == [2000, 2000]


def test_evidence_is_calibrated():
    """Over 40 runs its deviations in units of the stated error are standard normal."""
    deviations = []
    for seed in range(40):
        found = run(draws_of(0.5, 1.2, seed), seed=seed)
        deviations.append((found.log_evidence - LOG_Z) / found.log_evidence_error)
    assert np.abs(deviations).max() < 4
    assert 0.6 < np.std(deviations) < 1.5


def test_a_proposal_far_off_is_improved_and_the_attempts_say_so():
    """Six sd away: the first attempt fails; moments under tempered weights lead to the target."""
    found = run(draws_of(6.0, 1.0))
    assert faults_of_weights("these draws", found.attempts[0], 4) != []
    assert faults_of_weights("these draws", found.attempts[-1], 4) == []
    sd = np.sqrt(np.diag(TARGET.covariance))
    np.testing.assert_allclose((found.moments.mean - TARGET.mean) / sd, 0, atol=0.15)


def test_draws_without_spread_are_never_sound_by_themselves():
    """Stuck draws give no proposal; what is weighed then are draws of the reference."""
    found = run(np.broadcast_to(TARGET.mean, (4, 500, D)))
    assert found.attempts[0].k_hat == np.inf
    assert found.attempts[0].num_evaluations == 0


@pytest.mark.parametrize("spread", [1e-4, 3e-5, 1e-6, 1e-9])
def test_draws_that_hardly_spread_in_one_direction_are_passed_over_or_weighed(spread):
    z = np.random.default_rng(0).normal(size=(4, 500, D))
    z[..., 0] *= spread
    found = run(TARGET.mean + z @ np.linalg.cholesky(TARGET.covariance).T)
    assert found.log_evidence == pytest.approx(LOG_Z, abs=0.1)


def test_a_target_out_of_reach_is_refused():
    """Neither the draws nor the reference overlap with two modes 60 sd apart: k-hat says so."""

    def two_modes(theta):
        far = scipy.stats.multivariate_normal(TARGET.mean + 60, 1e-4 * np.eye(D)).logpdf(theta)
        return np.zeros(len(theta)), far

    found = certify(jax.random.key(0), two_modes, draws_of(0, 1), TARGET, "draws")
    assert faults_of_weights("these draws", found.attempts[-1], 4) != []


def test_densities_that_are_not_finite_count_as_zero():
    def broken(theta):
        prior, likelihood = log_densities(theta)
        return prior, np.where(theta[:, 0] > TARGET.mean[0] + 8, np.nan, likelihood)

    found = certify(jax.random.key(0), broken, draws_of(0, 1), TARGET, "draws")
    assert np.isfinite(found.log_evidence)
    assert np.isfinite(found.moments.mean).all()


def test_resampling_keeps_weights_and_copies_count_as_one_draw():
    rng = np.random.default_rng(0)
    x = rng.normal(size=8000) * 1.3
    log_ratio = scipy.stats.norm.logpdf(x) - scipy.stats.norm(0, 1.3).logpdf(x) + 1.5 * x
    log_weight = pareto_smoothed(log_ratio)[0]
    chosen = resample(jax.random.key(0), log_weight, 4, 1000)
    assert chosen.shape == (4, 1000)
    assert len(np.intersect1d(chosen[0], chosen[1])) == 0
    expected = (np.exp(log_weight) * x).sum()
    assert x[chosen].mean() == pytest.approx(expected, abs=0.08)
    size = float(array_stats.ess(x[chosen], chain_axis=0, draw_axis=1))
    assert size < 4000
    assert size == pytest.approx(min(effective_size(log_weight), 4000), rel=0.35)
    assert float(array_stats.rhat(x[chosen], chain_axis=0, draw_axis=1)) < 1.01


def test_evidence_of_a_mean_ratio():
    log_mean, error = evidence(np.log(np.array([1.0, 2.0, 3.0, 2.0])) + 1000)
    assert log_mean == pytest.approx(np.log(2) + 1000)
    assert error == pytest.approx(np.std([0.5, 1, 1.5, 1], ddof=1) / 2)


def model(shard):
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(mean, scale), obs=shard)


@pytest.mark.parametrize("num_shards", [1, 3, 8])
@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_evaluations_do_not_depend_on_shards_or_devices(num_shards, num_devices):
    """24 values in any number of shards over any number of devices, blocks with a remainder."""
    y = jnp.asarray(np.random.default_rng(0).normal(size=24))
    theta = np.random.default_rng(1).normal(size=(300, 2))
    seen, shards = [], y.reshape(num_shards, -1)
    each = partial(each_here, devices=jax.devices()[:num_devices])
    prior, likelihood = evaluator(model, shards, lambda *at: seen.append(at), each)(theta)
    expected = jax.vmap(lambda at: jnp.stack(log_prior_and_likelihood(model, y, at)))(theta)
    np.testing.assert_allclose(np.stack([prior, likelihood], axis=1), expected, rtol=1e-12)
    assert seen == [(done, num_shards) for done in range(1, num_shards + 1)]
    np.testing.assert_array_equal(likelihood, evaluator(model, shards)(theta)[1])


def test_a_gaussian_needs_a_width_in_every_direction():
    plane = np.outer([1.0, 1.0], [1.0, 1.0]) - 1e-12 * np.eye(2)
    assert proper(Gaussian(np.zeros(2), np.eye(2)))
    for mean, covariance in (
        (np.zeros(2), plane),
        (np.zeros(2), np.eye(2) * np.nan),
        ([np.nan, 0], np.eye(2)),
    ):
        assert not proper(Gaussian(np.asarray(mean), covariance))
