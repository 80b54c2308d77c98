"""The working covariance against dense matrices: unusable frames, bins, and pairs missing."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from homodyne_bayes.data.checks import pairs_of
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import SpeckleNormal, WorkingCovariance
from homodyne_bayes.likelihood.entries import Entries, average, entries_of, frame_weights, num_pairs
from homodyne_bayes.likelihood.estimate import unweighted
from homodyne_bayes.likelihood.misfit import whitened

FRAMES = 11
LAG = np.abs(np.subtract.outer(np.arange(FRAMES), np.arange(FRAMES)))
AT_RANDOM = np.random.default_rng(3).random((FRAMES, FRAMES)) < 0.15
MEASURED = {  # which pairs of which are listed those that are missing, or those that are there
    "first lag": LAG > 1,
    "a band": (LAG < 3) | (LAG > 5),
    "at random": ~(AT_RANDOM | AT_RANDOM.T),
    "few lags": np.isin(LAG, [1, 2, 5]),
}


def two_maps(measured):
    """Maps of two angles, one with unusable frames and one pair more."""
    usable = np.ones((2, FRAMES), bool)
    usable[1, [4, 5]] = False
    both = np.stack([measured, measured | (LAG == FRAMES - 1)])
    return TwoTimeData(np.ones(both.shape), [0, 60], 0.1, 0.005, usable=usable, measured=both)


def two_angles(entries, nugget=0.1):
    """Noise of two angles, its S, residuals, and log|K|."""
    rng, t = np.random.default_rng(0), np.arange(FRAMES)
    g1_squared = np.exp(-np.abs(t[:, None] - t) * np.array([0.3, 0.1])[:, None, None])
    S = covariance.intensity_covariance(g1_squared, 0.25, nugget, entries)
    precision, inverse, log_det = covariance.factorise(S, entries)
    weight = jnp.array([900.0, 400.0])
    N = num_pairs(entries)
    log_norm = 0.5 * (N * jnp.log(weight) - log_det - N * covariance.LOG_2PI)
    noise = WorkingCovariance(precision, inverse, entries, weight, log_norm)
    residual = rng.normal(size=(2, FRAMES, FRAMES))
    residual += np.swapaxes(residual, 1, 2)
    return noise, np.asarray(S), residual, log_det


def in_bins(bin_frames):
    """Return the entries of the same maps with all pairs, and those of every angle that count."""
    usable = two_maps(LAG > 0).usable
    entries = Entries(frame_weights(usable, bin_frames), bin_frames=bin_frames)
    flags = np.pad(usable, [(0, 0), (0, -FRAMES % bin_frames)])
    flags = flags.reshape(2, -1, bin_frames).any(axis=-1)
    return entries, [np.nonzero(np.triu(np.outer(one, one), 1)) for one in flags]


def lacking(name):
    """Return the entries of maps that lack pairs, and those of every angle that count."""
    data = two_maps(MEASURED[name])
    return entries_of(data), [np.nonzero(np.triu(pairs)) for pairs in data.pairs]


CASES = [*(in_bins(size) for size in (1, 2, 3)), *map(lacking, MEASURED)]
every_case = pytest.mark.parametrize(
    ("entries", "kept"), CASES, ids=["whole", "bins of 2", "bins of 3", *MEASURED]
)


def dense(S, pairs):
    """Return the working covariance of pairs of one map."""
    a, b = pairs
    return S[np.ix_(a, a)] * S[np.ix_(b, b)] + S[np.ix_(a, b)] * S[np.ix_(b, a)]


def test_the_shorter_list_is_kept():
    assert [lacking(name)[0].measured for name in MEASURED] == [False, False, False, True]
    assert CASES[0][0].places is None
    assert entries_of(two_maps(LAG > 0)).places is None


@every_case
def test_inverse_quadratic_form_and_determinant_are_those_of_dense_matrices(entries, kept):
    noise, S, residual, log_det = two_angles(entries)
    binned = average(residual, entries)
    solved, quadratic = covariance.solve(noise, binned), covariance.quadratic(noise, binned)
    np.testing.assert_array_equal(num_pairs(entries), [len(pairs[0]) for pairs in kept])
    for angle, pairs in enumerate(kept):
        K = dense(S[angle], pairs)
        r = np.asarray(binned[angle])[pairs]
        expected = np.zeros(S[angle].shape)
        expected[pairs] = expected.T[pairs] = np.linalg.solve(K, r)
        error = np.abs(np.asarray(solved[angle]) - expected).max()
        assert error < 1e-10 * np.abs(expected).max()
        assert float(quadratic[angle]) == pytest.approx(r @ np.linalg.solve(K, r), rel=1e-10)
        assert float(log_det[angle]) == pytest.approx(np.linalg.slogdet(K)[1], abs=1e-9)


@every_case
def test_log_prob_is_that_of_a_normal_distribution(entries, kept):
    noise, S, residual, _ = two_angles(entries)
    expected = 0.0
    for angle, pairs in enumerate(kept):
        K = dense(S[angle], pairs) / float(noise.weight[angle])
        r = np.asarray(average(residual, entries)[angle])[pairs]
        expected += scipy.stats.multivariate_normal(cov=K).logpdf(0.05 * r)
    found = SpeckleNormal(jnp.zeros((2, FRAMES, FRAMES)), noise).log_prob(0.05 * residual)
    assert float(found) == pytest.approx(expected, rel=1e-10)


@every_case
def test_products_of_several_maps_are_those_of_dense_matrices(entries, kept):
    noise, S, residual, _ = two_angles(entries)
    maps = average(jnp.stack([residual, residual**2, jnp.ones_like(residual)]), entries)
    found = covariance.gram(noise, maps)
    for angle, pairs in enumerate(kept):
        r = np.stack([np.asarray(one[angle])[pairs] for one in maps])
        expected = r @ np.linalg.solve(dense(S[angle], pairs), r.T)
        np.testing.assert_allclose(found[angle], expected, rtol=1e-9)


@every_case
def test_without_weights_it_is_a_sum_of_squares(entries, kept):
    noise, _, residual, _ = two_angles(entries)
    binned = average(residual, entries)
    expected = [(np.asarray(binned[i])[pairs] ** 2).sum() for i, pairs in enumerate(kept)]
    plain = unweighted(noise)
    np.testing.assert_allclose(covariance.quadratic(plain, binned), expected, rtol=1e-12)
    sizes = np.array([len(pairs[0]) for pairs in kept])
    np.testing.assert_allclose(plain.log_norm, -0.5 * sizes * np.log(2 * np.pi), rtol=1e-12)


@pytest.mark.parametrize("name", ["at random", "few lags"])
def test_whitened_residuals_lack_what_was_not_measured(name):
    """By few lags, they keep their squares too."""
    entries, kept = lacking(name)
    noise, S, residual, _ = two_angles(entries)
    data, maps = two_maps(MEASURED[name]), whitened(noise, residual)
    assert np.isnan(maps[pairs_of(data.usable) & ~data.pairs]).all()
    assert np.isfinite(maps[data.pairs]).all()
    for angle, pairs in enumerate(kept if entries.measured else []):
        r = residual[angle][pairs]
        squares = float(noise.weight[angle]) * r @ np.linalg.solve(dense(S[angle], pairs), r)
        assert (maps[angle][pairs] ** 2).sum() == pytest.approx(squares, rel=1e-9)


@every_case
def test_what_is_not_there_is_not_looked_at(entries, kept):
    noise, _, residual, _ = two_angles(entries)
    binned = average(residual, entries)
    there = np.zeros(binned.shape)
    for one, pairs in zip(there, kept, strict=True):
        one[pairs] = one.T[pairs] = 1.0
    other = jnp.where(there, binned, 3.0)
    if entries.bin_frames == 1:  # entries of unusable frames have no weight
        other = average(other, entries)
        noisy = SpeckleNormal(jnp.zeros_like(other), noise)
        assert float(noisy.log_prob(other)) == pytest.approx(
            float(noisy.log_prob(binned)), rel=1e-9
        )
    else:
        other = binned + 3.0 * jnp.eye(binned.shape[-1])
    np.testing.assert_allclose(
        covariance.quadratic(noise, other), covariance.quadratic(noise, binned), rtol=1e-9
    )
    np.testing.assert_allclose(
        covariance.solve(noise, other), covariance.solve(noise, binned), atol=1e-8
    )


def test_bins_average_usable_frames():
    usable = np.array([[True, False, True, True, True]])
    weights = np.asarray(frame_weights(usable, 2))
    np.testing.assert_allclose(weights, [[1.0, 0.0, 0.5, 0.5, 1.0]])
    maps = np.arange(25.0).reshape(1, 5, 5)
    found = np.asarray(average(maps, Entries(jnp.asarray(weights), bin_frames=2)))[0]
    assert found[0, 1] == pytest.approx(maps[0, 0, 2:4].mean())
    assert found[1, 2] == pytest.approx(maps[0, 2:4, 4].mean())
