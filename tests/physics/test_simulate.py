"""Simulated speckle has the correlation it should, and its noise is correlated."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import InputError
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.truth import LAMINAR, STATIC

EXPERIMENT = simulate.Experiment(MODELS["laminar_flow"], (-30.0, 0.0, 60.0), 24, LAMINAR, dt=0.3)
OFF = ~np.eye(24, dtype=bool)


def expected(experiment):
    """Return the mean of c2 off the diagonal, (P, G, G)."""
    g1 = np.asarray(simulate.field_correlation(experiment))
    return 1 + experiment.contrast * g1**2


def still(num_angles, num_frames, decay, contrast):
    """Return an experiment of many like angles whose field decays by exp(-decay) a frame."""
    rate = {"D0": 2 * decay / (0.0054**2 * 0.1), "alpha": 0.0, "D_offset": 0.0}
    phi = tuple(np.linspace(-170.0, 170.0, num_angles))
    return simulate.Experiment(MODELS["static"], phi, num_frames, rate, contrast=contrast)


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_field_correlation_is_a_covariance(convention):
    covariance = simulate.field_correlation(replace(EXPERIMENT, convention=convention))
    assert covariance.shape == (3, 24, 24)
    np.testing.assert_allclose(jnp.diagonal(covariance, axis1=1, axis2=2), 1.0)
    assert float(jnp.linalg.eigvalsh(covariance).min()) > -1e-10


@pytest.mark.parametrize(
    ("convention", "photons"), [("upstream", None), ("gap-average", None), ("upstream", 0.5)]
)
def test_mean_of_many_speckle_maps_is_the_model(photons, convention):
    experiment = replace(EXPERIMENT, convention=convention)
    maps = np.mean(
        [simulate.speckle(jax.random.key(s), experiment, 3000, photons).c2 for s in range(12)],
        axis=0,
    )
    scatter = (maps - expected(experiment))[:, OFF]
    assert abs(scatter.mean()) < 2e-3
    assert np.abs(scatter).max() < (0.05 if photons else 0.02)


def test_diagonal_holds_the_shot_noise():
    """c2 at zero lag is 1 + contrast + 1/n̄ for Poisson counts of mean n̄."""
    maps = [simulate.speckle(jax.random.key(s), EXPERIMENT, 3000, 0.5).c2 for s in range(7)]
    diagonal = np.diagonal(maps, axis1=2, axis2=3).mean()
    assert diagonal == pytest.approx(1 + 0.25 + 1 / 0.5, rel=0.01)


def test_speckle_noise_is_correlated_and_independent_noise_is_not():
    """Residuals of entries that share a frame: what makes the usual error bars too narrow."""
    truth = expected(EXPERIMENT)
    upper = np.triu(np.ones((24, 24), bool), 2)

    def neighbours(data):
        residual = data.c2 - truth
        return np.corrcoef(
            residual[:, :, :-1][:, upper[:, 1:]].ravel(),
            residual[:, :, 1:][:, upper[:, 1:]].ravel(),
        )[0, 1]

    assert neighbours(simulate.speckle(jax.random.key(1), EXPERIMENT, 3000)) > 0.5
    assert abs(neighbours(simulate.independent(jax.random.key(1), EXPERIMENT, 0.01))) < 0.1


def test_independent_noise_has_the_scatter_asked_for():
    data = simulate.independent(jax.random.key(2), EXPERIMENT, 0.02)
    residual = data.c2 - expected(EXPERIMENT)
    assert residual[:, np.triu(OFF)].std() == pytest.approx(0.02, rel=0.05)
    np.testing.assert_array_equal(data.c2, np.swapaxes(data.c2, 1, 2))


def test_static_has_the_same_truth_at_every_angle():
    at_rest = replace(EXPERIMENT, model=MODELS["static"], parameters=STATIC)
    covariance = simulate.field_correlation(at_rest)
    np.testing.assert_array_equal(covariance[0], covariance[2])


def test_the_truth_is_recorded():
    options = {"mean_photons": 5.0, "flicker": 0.1, "speckle_size": 2, "num_groups": 4}
    data = simulate.speckle(jax.random.key(0), EXPERIMENT, 100, **options)
    assert data.provenance["truth"] == {**LAMINAR, "contrast": 0.25, "offset": 1.0}
    assert data.provenance["convention"] == "upstream"
    stored = json.loads(json.dumps(dict(data.provenance)))
    assert {**options, "num_pixels": 100}.items() <= stored.items()


def test_keys_decide_the_draws():
    one, same, other = (
        simulate.speckle(
            jax.random.key(s), EXPERIMENT, 100, 5.0, flicker=0.1, speckle_size=2, num_groups=4
        ).sha256()
        for s in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrast": 0.0}, "above 0 and at most 1, but is 0;"),
        ({"contrast": 1.5}, "above 0 and at most 1, but is 1.5;"),
        ({"contrast": np.nan}, "above 0 and at most 1, but is nan;"),
        ({"parameters": {"D0": 1.0}}, "found missing alpha"),
        ({"parameters": {**STATIC, "beta": 0.1}}, "found missing gamma_dot_t0"),
    ],
)
def test_impossible_experiments_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        simulate.speckle(jax.random.key(0), replace(EXPERIMENT, **changes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_pixels": 100, "num_groups": 3}, "100 pixels in 3 groups"),
        ({"num_pixels": 100, "num_groups": 0}, "100 pixels in 0 groups"),
        ({"mean_photons": 0.0}, "mean_photons must be positive and finite, but is 0;"),
        ({"flicker": -0.1}, "not negative, but is -0.1;"),
        ({"speckle_size": 0}, "at least 1, but is 0;"),
        ({"num_pixels": 100, "mean_photons": 1e-6}, "needs at least 3 usable frames"),
    ],
)
def test_impossible_detectors_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulate.speckle(jax.random.key(0), EXPERIMENT, **options)


@pytest.mark.parametrize("contrast", [1.0, 0.9, 0.5, 1 / 3, 0.3, 0.25, 0.07])
def test_mode_weights_have_the_contrast(contrast):
    weights = simulate.mode_weights(contrast)
    assert len(weights) == np.ceil(1 / contrast)
    assert weights.sum() == pytest.approx(1.0, rel=1e-14)
    assert (weights**2).sum() == pytest.approx(contrast, rel=1e-14)
    assert (weights[:-1] == weights[0]).all()
    assert 0 <= weights[-1] <= weights[0]


@pytest.mark.parametrize("contrast", [0.25, 0.3])
def test_contrast_of_simulated_maps(contrast):
    """The least-squares contrast of many maps, whose scatter gives the Monte Carlo error."""
    experiment = still(100, 12, 0.15, contrast)
    data = simulate.speckle(jax.random.key(5), experiment, 1000)
    shape = (expected(experiment)[0] - 1)[np.triu_indices(12, 1)] / contrast
    estimates = (data.c2[:, *np.triu_indices(12, 1)] - 1) @ shape / (shape @ shape)
    error = estimates.std(ddof=1) / 10
    assert error < 0.003
    assert abs(estimates.mean() - contrast) < 4 * error


@pytest.mark.parametrize("contrast", [0.25, 0.3])
@pytest.mark.parametrize("photons", [None, 0.5])
def test_moments_of_the_intensity(contrast, photons):
    weights = jnp.asarray(simulate.mode_weights(contrast))
    value = simulate.intensity(jax.random.key(3), jnp.eye(4), weights, 40_000, photons)
    assert value.shape == (40_000, 4)
    assert value.mean() == pytest.approx(1.0, abs=0.01)
    assert value.var() == pytest.approx(contrast + (1 / photons if photons else 0), rel=0.03)


def test_intensity_takes_any_root_and_traced_photons():
    """A (G, R) root of a covariance below rank G; pixels correlate over the speckle."""
    root = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    weights = jnp.asarray(simulate.mode_weights(0.3))
    value = simulate.intensity(jax.random.key(1), root, weights, 200_000, speckle_size=4)
    assert np.cov(value.T) == pytest.approx(0.3 * np.asarray(root @ root.T) ** 2, abs=0.012)
    for lag in range(1, 6):
        product = ((value[lag:] - 1) * (value[:-lag] - 1)).mean()
        assert product == pytest.approx(0.3 * max(0.0, 1 - lag / 4) ** 2, abs=0.012)
    counted = jax.jit(
        lambda photons: simulate.intensity(jax.random.key(1), root, weights, 100, photons)
    )(2.0)
    np.testing.assert_array_equal(2 * counted, np.round(2 * counted))


def test_flicker_leaves_the_maps_unchanged():
    """A factor common to all pixels cancels from c2, but for its photon noise."""
    plain = simulate.speckle(jax.random.key(4), EXPERIMENT, 400)
    flickering = simulate.speckle(jax.random.key(4), EXPERIMENT, 400, flicker=0.3)
    np.testing.assert_allclose(flickering.c2, plain.c2, rtol=1e-12)


def test_flicker_has_the_spread_asked_for():
    """The shot noise 1/(n f) on the diagonal tells the factor f of a frame."""
    experiment = still(20, 24, 0.15, 0.25)
    data = simulate.speckle(jax.random.key(7), experiment, 2000, 0.2, flicker=0.3)
    inverse = 0.2 * (np.diagonal(data.c2, axis1=1, axis2=2) - 1.25)
    assert inverse.mean() == pytest.approx(1 + 0.3**2, rel=0.05)
    assert np.log(inverse).std() == pytest.approx(np.sqrt(np.log(1 + 0.3**2)), rel=0.1)
    scatter = (data.c2 - expected(experiment))[:, OFF].mean(axis=1)
    assert abs(scatter.mean()) < 4 * scatter.std(ddof=1) / np.sqrt(20)


def variance(g1, num_modes, num_pixels, speckle_size):
    """Return the variance of c2 off the diagonal to first order in 1/pixels.

    Of K equal modes, by the Wick products of the fields: n K³ var(c2) is 2 g²(1 - g²)² of second
    order in the field's correlation between pixels, ρ², and 2 g² + K (1 + g⁴) of fourth, ρ⁴.
    """
    lags = np.arange(1 - speckle_size, speckle_size)
    second, fourth = (((1 - np.abs(lags) / speckle_size) ** power).sum() for power in (2, 4))
    terms = 2 * g1**2 * (1 - g1**2) ** 2 * second + (2 * g1**2 + num_modes * (1 + g1**4)) * fourth
    return terms / num_modes**3 / num_pixels


def test_speckles_larger_than_a_pixel_scatter_more():
    """Fewer independent pixels: with four to a speckle the variance is 1.8 times as large."""
    experiment = still(300, 8, 0.3, 0.5)
    g1 = np.asarray(simulate.field_correlation(experiment))[0]
    upper = np.triu_indices(8, 1)
    found = {}
    for size in (1, 4):
        data = simulate.speckle(jax.random.key(11), experiment, 600, speckle_size=size)
        measured = data.c2[:, *upper].var(axis=0, ddof=1)
        predicted = variance(g1, 2, 600, size)[upper]
        np.testing.assert_allclose(measured, predicted, rtol=0.35)
        found[size] = measured.mean()
        assert measured.mean() == pytest.approx(predicted.mean(), rel=0.08)
    assert 1.6 < found[4] / found[1] < 2.2


def test_groups_of_pixels_average_to_the_map():
    """Each group divides by its own means, a difference of order one over its pixels."""
    difference = {}
    for pixels in (50, 800):
        data = simulate.speckle(jax.random.key(2), EXPERIMENT, 8 * pixels, num_groups=8)
        assert data.group_c2.shape == (3, 8, 24, 24)
        difference[pixels] = np.abs(data.group_c2.mean(axis=1) - data.c2).mean()
        assert difference[pixels] < 1 / pixels
        scatter = data.group_c2.var(axis=1, ddof=1).mean()
        g1 = np.asarray(simulate.field_correlation(EXPERIMENT))
        assert scatter == pytest.approx(variance(g1, 4, pixels, 1).mean(), rel=0.25)
    assert 8 < difference[50] / difference[800] < 32


def test_groups_change_nothing_else():
    whole, grouped = (
        simulate.speckle(jax.random.key(2), EXPERIMENT, 400, num_groups=H) for H in (1, 8)
    )
    assert whole.group_c2 is None
    np.testing.assert_allclose(grouped.c2, whole.c2, rtol=1e-12)


def test_frames_without_photons_are_unusable():
    data = simulate.speckle(jax.random.key(6), EXPERIMENT, 100, 0.2, speckle_size=2, num_groups=4)
    dead = ~data.usable
    assert 0 < dead.sum() < dead.size / 2
    assert np.isnan(np.diagonal(data.c2, axis1=1, axis2=2)[dead]).all()
    assert np.isfinite(np.diagonal(data.group_c2, axis1=2, axis2=3)[:, 0][data.usable]).all()
