"""The working covariance against dense matrices, with unusable frames and bins of frames."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from homodyne_bayes.likelihood import covariance
from homodyne_bayes.likelihood.covariance import SpeckleNormal, WorkingCovariance
from tests.speckle_oracle import entries, working

FRAMES = 11


def two_angles(bin_frames, nugget=0.1):
    """Noise of two angles, one with an unusable frame, its S, residuals, and bins in use."""
    rng, t = np.random.default_rng(0), np.arange(FRAMES)
    usable = np.ones((2, FRAMES), bool)
    usable[1, [4, 5]] = False
    g1_squared = np.exp(-np.abs(t[:, None] - t) * np.array([0.3, 0.1])[:, None, None])
    frame_weight = covariance.frame_weights(usable, bin_frames)
    S = covariance.intensity_covariance(g1_squared, 0.25, nugget, frame_weight, bin_frames)
    n = covariance.num_bins(frame_weight, bin_frames)
    precision, inverse_square, log_det = covariance.factorise(S, n)
    weight = jnp.array([900.0, 400.0])
    N = n * (n - 1) / 2
    log_norm = 0.5 * (N * jnp.log(weight) - log_det - N * covariance.LOG_2PI)
    noise = WorkingCovariance(precision, inverse_square, frame_weight, weight, log_norm, bin_frames)
    residual = rng.normal(size=(2, FRAMES, FRAMES))
    residual += np.swapaxes(residual, 1, 2)
    return noise, np.asarray(S), residual, log_det


def in_use(noise, angle):
    flags = np.pad(np.asarray(noise.frame_weight[angle]) > 0, (0, -FRAMES % noise.bin_frames))
    return np.flatnonzero(flags.reshape(-1, noise.bin_frames).any(axis=1))


@pytest.mark.parametrize("bin_frames", [1, 2, 3])
def test_inverse_quadratic_form_and_determinant_are_those_of_dense_matrices(bin_frames):
    noise, S, residual, log_det = two_angles(bin_frames)
    binned = covariance.average(residual, noise.frame_weight, bin_frames)
    solved, quadratic = covariance.solve(noise, binned), covariance.quadratic(noise, binned)
    for angle in range(2):
        kept = in_use(noise, angle)
        K = working(S[angle][np.ix_(kept, kept)])
        pairs = tuple(kept[index] for index in entries(len(kept)))
        r = np.asarray(binned[angle])[pairs]
        expected = np.linalg.solve(K, r)
        error = np.abs(np.asarray(solved[angle])[pairs] - expected).max()
        assert error < 1e-10 * np.abs(expected).max()
        assert float(quadratic[angle]) == pytest.approx(r @ np.linalg.solve(K, r), rel=1e-10)
        assert float(log_det[angle]) == pytest.approx(np.linalg.slogdet(K)[1], abs=1e-9)


@pytest.mark.parametrize("bin_frames", [1, 2])
def test_log_prob_is_that_of_a_normal_distribution(bin_frames):
    noise, S, residual, _ = two_angles(bin_frames)
    expected = 0.0
    for angle in range(2):
        kept = in_use(noise, angle)
        K = working(S[angle][np.ix_(kept, kept)]) / float(noise.weight[angle])
        binned = covariance.average(residual, noise.frame_weight, bin_frames)[angle]
        r = np.asarray(binned)[tuple(kept[index] for index in entries(len(kept)))]
        expected += scipy.stats.multivariate_normal(cov=K).logpdf(0.05 * r)
    found = SpeckleNormal(jnp.zeros((2, FRAMES, FRAMES)), noise).log_prob(0.05 * residual)
    assert float(found) == pytest.approx(expected, rel=1e-10)


def test_the_diagonal_is_not_looked_at():
    noise, _, residual, _ = two_angles(1)
    other = residual + 3.0 * np.eye(FRAMES)
    np.testing.assert_allclose(
        covariance.quadratic(noise, other), covariance.quadratic(noise, residual), rtol=1e-10
    )
    np.testing.assert_allclose(
        covariance.solve(noise, other), covariance.solve(noise, residual), atol=1e-9
    )


def test_bins_average_usable_frames():
    usable = np.array([[True, False, True, True, True]])
    weights = np.asarray(covariance.frame_weights(usable, 2))
    np.testing.assert_allclose(weights, [[1.0, 0.0, 0.5, 0.5, 1.0]])
    maps = np.arange(25.0).reshape(1, 5, 5)
    found = np.asarray(covariance.average(maps, weights, 2))[0]
    assert found[0, 1] == pytest.approx(maps[0, 0, 2:4].mean())
    assert found[1, 2] == pytest.approx(maps[0, 2:4, 4].mean())
