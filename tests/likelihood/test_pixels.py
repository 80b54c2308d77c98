"""Single pixels: simulated moments against the closed form, and scores by both routes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.inference.density import labels, unconstrained
from homodyne_bayes.likelihood import covariance, pixels
from homodyne_bayes.likelihood.covariance import WorkingCovariance
from homodyne_bayes.likelihood.entries import average, entries_of
from homodyne_bayes.likelihood.estimate import plug_in
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from homodyne_bayes.physics.points import Physics, each_map, shard
from homodyne_bayes.physics.rate_laws.power_law import PowerLaw, to_coordinates
from tests.speckle_oracle import entries, single_pixel, working
from tests.truth import COORDINATES, DIFFUSION, LAMINAR, SHEAR

FRAMES, CONTRAST, NUGGET = 12, 0.25, 0.2
STEPS = np.linspace(0.5, 0.1, FRAMES - 1)
AGE = np.concatenate([[0.0], np.cumsum(STEPS)])
G1 = np.exp(-0.6 * np.abs(AGE[:, None] - AGE))  # ages: frames are not alike


DRIFT = np.exp(4j * (AGE - AGE[:, None]))  # a phase alone leaves no trace: beside what is at rest
BEATING = 0.55 * G1 * DRIFT + 0.45 * G1**0.2
LAG = np.abs(np.subtract.outer(np.arange(FRAMES), np.arange(FRAMES)))


def noise(bin_frames=1, nugget=NUGGET, measured=LAG > 0, unusable=(), field=G1):
    """Return the noise of one map, and its S."""
    maps = np.ones((1, FRAMES, FRAMES))
    usable = ~np.isin(np.arange(FRAMES), unusable)[None]
    data = TwoTimeData(maps, [0.0], 0.1, 0.005, usable=usable, measured=measured[None])
    at = entries_of(data, bin_frames)
    S = covariance.intensity_covariance(np.abs(field[None]) ** 2, CONTRAST, nugget, at)
    precision, inverse, _ = covariance.factorise(S, at)
    ones = jnp.ones(1)
    return WorkingCovariance(precision, inverse, at, ones, 0 * ones), S[0]


def intensities(key, number, nugget=NUGGET):
    weights = jnp.asarray(simulate.mode_weights(CONTRAST))
    photons = 1 / nugget if nugget else None
    return simulate.intensity(key, jnp.linalg.cholesky(jnp.asarray(G1)), weights, number, photons)


@pytest.mark.parametrize("nugget", [0.0, NUGGET])
def test_closed_form_is_the_covariance_of_simulated_maps(nugget):
    """Variances of 6000 maps of 250 pixels, of single entries and of smooth sums of them."""

    @jax.jit
    def one(key):
        intensity = intensities(key, 250, nugget)
        mean = intensity.mean(axis=0)
        return (intensity.T @ intensity) / 250 / (mean[:, None] * mean)

    maps = np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(0), 6000), batch_size=50))
    a, b = entries(FRAMES)
    found = 250 * np.cov(maps[:, a, b].T)
    exact = single_pixel(G1, CONTRAST, nugget)
    ratio = np.diag(found) / np.diag(exact)
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert ratio.min() > 0.88
    assert ratio.max() < 1.12
    lag = AGE[b] - AGE[a]
    sums = np.stack([np.ones(len(a)), lag, np.exp(-lag), AGE[a] + AGE[b]])
    ratio = np.diag(sums @ found @ sums.T) / np.diag(sums @ exact @ sums.T)
    np.testing.assert_allclose(ratio, 1.0, atol=0.06)
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("kept", "field"),
    [(LAG > 0, G1), (LAG > 1, G1), (np.isin(LAG, [1, 2, 4]), G1), (LAG > 0, BEATING)],
    ids=["whole", "without the first lag", "three lags", "a complex field"],
)
def test_scores_scatter_as_the_closed_form_says(kept, field):
    """Both routes to the covariance of Yᵀψ, and to tr(K⁻¹Σ₁), agree to 3 %."""
    at, S = noise(measured=kept, field=field)
    lag, g1_squared = np.abs(AGE[:, None] - AGE), np.abs(field) ** 2
    X = np.stack([g1_squared, np.ones_like(G1), lag * g1_squared, AGE + AGE[:, None]])
    X = jnp.asarray(X)
    Y = covariance.solve(at, X)
    weights = jnp.asarray(simulate.mode_weights(CONTRAST))
    x = pixels.deviations(jax.random.key(1), jnp.asarray(field), weights, 1.0, NUGGET, 200_000)
    half = covariance.half_solved(at, X)
    found = jax.jit(partial(pixels.single_pixel, half=half, noise=at, s=CONTRAST * g1_squared))
    score, quadratic = found(x)
    a, b = entries(FRAMES)
    there = np.flatnonzero(kept[a, b])
    of = np.ix_(there, there)
    exact, y = single_pixel(field, CONTRAST, NUGGET), np.asarray(Y)[:, a, b]
    J = y @ exact @ y.T
    np.testing.assert_allclose(np.diag(jnp.cov(score.T)), np.diag(J), rtol=0.03)
    correlation = J / np.sqrt(np.outer(np.diag(J), np.diag(J)))
    np.testing.assert_allclose(jnp.corrcoef(score.T), correlation, atol=0.03)
    trace = np.trace(np.linalg.solve(working(np.asarray(S))[of], exact[of]))
    assert float(quadratic.mean()) == pytest.approx(trace, rel=0.03)


@pytest.mark.parametrize(
    ("bin_frames", "kept"),
    [(1, LAG > 0), (3, LAG > 0), (1, LAG > 2), (1, (LAG + AGE.round()) % 4 > 0), (1, LAG % 5 == 1)],
)
def test_pixels_are_looked_at_without_forming_their_maps(bin_frames, kept):
    at, S = noise(bin_frames, measured=kept & kept.T, unusable=[4])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, FRAMES))
    X = rng.normal(size=(3, *S.shape))
    X = jnp.asarray(X + np.swapaxes(X, 1, 2))
    Y, half = covariance.solve(at, X), covariance.half_solved(at, X)
    s = CONTRAST * G1**2
    score, quadratic = pixels.single_pixel(jnp.asarray(x), half, at, jnp.asarray(s))
    for pixel, u, q in zip(x, score, quadratic, strict=True):
        psi = np.outer(pixel, pixel) - s * (1 + pixel[:, None] + pixel)
        binned = average(jnp.asarray(psi)[None], at.entries)
        np.testing.assert_allclose(u, 0.5 * np.einsum("iab,ab->i", Y, binned[0]), rtol=1e-9)
        assert float(q) == pytest.approx(float(covariance.quadratic(at, binned)[0]), rel=1e-9)


SHEARED = simulate.Experiment(MODELS["laminar_flow"], (0.0,), 60, LAMINAR, convention="gap-average")


@pytest.fixture(scope="module")
def sheared():
    """The field of a flow along q over 60 frames, in which it changes its sign."""
    field = np.asarray(simulate.field_correlation(SHEARED))[0]
    assert field.min() < -0.1
    return field


def test_the_signed_field_is_a_covariance_and_its_modulus_is_not(sheared):
    signed, unsigned = np.linalg.eigvalsh(sheared), np.linalg.eigvalsh(np.abs(sheared))
    assert signed[0] > -1e-12 * signed[-1]
    assert unsigned[0] < -1.0
    assert unsigned[-1] == pytest.approx(8.3, abs=0.1)


def test_the_noise_is_estimated_from_the_signed_field(sheared):
    """At the true parameters, what is plugged in is the field of the simulation and its square."""
    model = models_of(FitConfig(convention="gap-average")).least_squares
    maps = each_map(simulate.independent(jax.random.key(0), SHEARED, 0.01), Physics("gap-average"))
    laws = [PowerLaw(*(jnp.asarray(LAMINAR[n]) for n in names)) for names in (DIFFUSION, SHEAR[:3])]
    rates = np.concatenate([to_coordinates(law, 59 * SHEARED.dt / np.e) for law in laws])
    truth = dict(zip(COORDINATES, rates, strict=True)) | {"phi0": LAMINAR["phi0"], "offset[0]": 1.0}
    truth |= unconstrained(model, shard(maps, 0), {"phi0": jnp.asarray(truth["phi0"])})
    theta = jnp.array([truth.get(name, 0.0) for name in labels(model, shard(maps, 0))])
    plugged, _ = plug_in(model, maps, theta)
    np.testing.assert_allclose(plugged.field[0], sheared, atol=1e-9)
    np.testing.assert_allclose(plugged.g1_squared[0], sheared**2, atol=1e-9)


@pytest.mark.parametrize("signed", [True, False])
def test_pixels_of_a_field_that_changes_its_sign_scatter_as_g1_squared(sheared, signed):
    """Covariances of 40000 pixels, in units of their sampling errors; |field| does not give them.

    The simulated contrast is 0.25, and the contrast half of it.
    """
    number, ratio, weights = 40_000, 0.5, jnp.asarray(simulate.mode_weights(CONTRAST))
    field = jnp.asarray(sheared if signed else np.abs(sheared))
    x = np.asarray(pixels.deviations(jax.random.key(2), field, weights, ratio, 0.0, number))
    expected = float(ratio * weights @ weights) * sheared**2
    assert expected[0, 0] == pytest.approx(ratio * CONTRAST)
    error = np.sqrt((x**2).T @ x**2 / number - (x.T @ x / number) ** 2) / np.sqrt(number)
    z = (x.T @ x / number - expected) / error
    if signed:
        assert np.abs(z).max() < 5.0
        assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.5)
    else:
        assert np.abs(z).max() > 20.0
