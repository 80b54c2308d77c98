"""The noise of simulated speckle is found, and posteriors under it agree with each other."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.fitting.plan import models_of, plan
from homodyne_bayes.fitting.sample import estimate_noise, least_squares, sample_posterior
from homodyne_bayes.inference.density import labels
from homodyne_bayes.likelihood import estimate as estimation
from homodyne_bayes.likelihood.entries import entries_of
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import each_map, map_grid, whole_maps
from homodyne_bayes.physics.rate_laws.power_law import PowerLaw, to_coordinates
from tests.truth import DIFFUSION, LAMINAR
from tests.truth import STATIC as AT_REST

PHI, FRAMES, PIXELS, PHOTONS = (-60.0, 0.0, 60.0), 32, 3000, 2.0
STILL = simulate.Experiment(MODELS["static"], PHI, FRAMES, AT_REST, dt=0.2)
FLOW = simulate.Experiment(
    MODELS["laminar_flow"], (-75.0, -45.0, -15.0, 15.0, 45.0, 75.0), 24, LAMINAR, dt=0.25
)
STATIC = FitConfig(model="static", method="laplace")


@pytest.fixture(scope="module")
def still():
    return simulate.speckle(jax.random.key(0), STILL, PIXELS, PHOTONS, num_groups=20)


@pytest.fixture(scope="module")
def alone(still):
    """The same without its groups of pixels."""
    return replace(still, group_c2=None)


@pytest.fixture(scope="module")
def estimate(alone):
    return estimate_noise(alone, STATIC)


def test_pixels_photons_and_contrast_are_found(estimate):
    np.testing.assert_allclose(estimate.num_pixels, PIXELS, rtol=0.25)
    assert estimate.num_pixels.mean() == pytest.approx(PIXELS, rel=0.15)
    assert 1 / estimate.nugget == pytest.approx(PHOTONS, rel=0.15)
    assert estimate.contrast == pytest.approx(0.25, rel=0.1)
    assert 0.8 < estimate.eta < 1.0


def test_whitened_residuals_have_unit_variance_and_no_correlation(estimate):
    later = np.triu_indices(FRAMES, k=1)
    maps = estimate.whitened
    assert maps[:, *later].std() == pytest.approx(1.0, abs=0.05)
    neighbours = (maps[:, 1:] * maps[:, :-1])[:, *np.triu_indices(FRAMES - 1, k=2)]
    assert abs(neighbours.mean()) < 0.1


def test_groups_of_pixels_give_the_same_eta(still, estimate):
    assert estimate_noise(still, STATIC).eta == pytest.approx(estimate.eta, rel=0.3)


def test_corrected_least_squares_is_wider(alone, estimate):
    corrected = estimate_noise(alone, replace(STATIC, noise="corrected"))
    ratio = np.sqrt(np.diag(estimate.covariance) / np.diag(corrected.covariance))
    model, names = models_of(STATIC).least_squares, ("D_slope", "D_bend", "log_D_ref")
    assert (ratio[[labels(model, whole_maps(alone)).index(name) for name in names]] < 1).all()
    assert corrected.eta < estimate.eta


def test_pairs_that_are_missing_shift_nothing(alone, estimate):
    """Without 20 % of the pairs, at random in every map."""
    flags = np.triu(np.random.default_rng(0).random(alone.c2.shape) < 0.8)
    lacking = estimate_noise(replace(alone, measured=flags | flags.swapaxes(1, 2)), STATIC)
    sd, whole = (np.sqrt(np.diag(one.covariance)) for one in (lacking, estimate))
    assert (np.abs(lacking.theta - estimate.theta) < 1.5 * sd).all()
    assert (sd > 0.95 * whole).all()
    assert (sd < 1.5 * whole).all()
    assert lacking.num_pixels.mean() == pytest.approx(PIXELS, rel=0.15)
    assert 1 / lacking.nugget == pytest.approx(PHOTONS, rel=0.2)


def test_bins_of_frames_lose_little_and_shift_nothing(alone, estimate):
    binned = estimate_noise(alone, replace(STATIC, bin_frames=2))
    sd = np.sqrt(np.diag(binned.covariance))
    assert (np.abs(binned.theta - estimate.theta) < 1.5 * sd).all()
    assert (sd > 0.8 * np.sqrt(np.diag(estimate.covariance))).all()
    assert 1 / binned.nugget == pytest.approx(PHOTONS, rel=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("photons", [None, 1.0])
def test_what_bins_of_frames_cost(photons):
    """Laplace intervals of 60 experiments of 48 frames, in bins of 1, 2 and 4 frames.

    The model is right, so that p-values of misfit are no smaller than uniform ones.
    """
    experiment = simulate.Experiment(MODELS["static"], PHI, 48, AT_REST)
    law = PowerLaw(*(jnp.asarray(AT_REST[name]) for name in DIFFUSION))
    truth = to_coordinates(law, 47 * experiment.dt / np.e)
    found, p_values = {1: [], 2: [], 4: []}, []
    for key in jax.random.split(jax.random.key(5), 60):
        data = simulate.speckle(key, experiment, 4000, photons)
        planned = plan(data, STATIC)
        start = least_squares(data, planned).theta
        for bins, rows in found.items():
            models = planned.least_squares, planned.per_angle
            made = estimation.estimate(key, *models, each_map(data), data, start, bins)
            sd = np.sqrt(np.diag(made.covariance))
            at = [5, 1, 0]  # log_D_ref, D_slope, D_bend
            rows.append([(np.asarray(made.theta)[at] - truth) / sd[at], sd[at]])
            p_values.append(made.lack_of_fit["p"]["all"])
    widths = {}
    for bins, rows in found.items():
        z, sd = np.moveaxis(np.array(rows), 1, 0)
        widths[bins] = np.median(sd, axis=0)
        covered = (np.abs(z) < 1.645).mean()
        print(photons, bins, covered, widths[bins] / widths[1])
        assert covered > 0.8
    assert (widths[4] >= 0.9 * widths[1]).all()
    small = {level: np.mean(np.array(p_values) < level) for level in (0.01, 0.05, 0.5)}
    print(photons, "p-values of misfit below", small)
    assert small[0.01] < 0.05
    assert small[0.05] < 0.12


def test_unusable_frames_are_left_out(alone, estimate):
    usable = alone.usable.copy()
    usable[1, [3, 4, 20]] = False
    less = estimate_noise(replace(alone, usable=usable), STATIC)
    sd = np.sqrt(np.diag(estimate.covariance))
    assert (np.abs(less.theta - estimate.theta) < 1.0 * sd).all()
    assert (np.diag(less.covariance) >= 0.9 * np.diag(estimate.covariance)).all()


def misfit_of(D, seed=1):
    """Kinds of misfit of the static model to a fluid with transport coefficient D(t)."""
    grid = map_grid(np.array(PHI), FRAMES, STILL.dt, STILL.q)
    root = jnp.linalg.cholesky(kernels.g1_diffusion(grid, D(grid.time)) + 1e-9 * jnp.eye(FRAMES))
    maps = []
    for key in jax.random.split(jax.random.key(seed), len(PHI)):
        x = simulate.intensity(key, root, simulate.mode_weights(0.25), PIXELS, PHOTONS)
        mean = x.mean(axis=0)
        maps.append(x.T @ x / PIXELS / (mean[:, None] * mean))
    data = simulate.speckle(jax.random.key(0), STILL, 100)
    return estimate_noise(replace(data, c2=np.stack(maps)), STATIC).lack_of_fit


def test_a_right_model_is_not_blamed(estimate):
    assert (estimate.lack_of_fit["p"].dropna() > 1e-3).all()
    assert estimate.lack_of_fit["dof"]["all"] == 14


def test_a_sample_that_changed_is_seen():
    found = misfit_of(lambda time: jnp.where(time < time[-1] / 2, 5e3, 1.5e4))
    assert found["p"]["rate"] == found["p"].drop("all").min() < 1e-6
    assert found["p"]["all"] < 1e-5


def test_flow_that_is_not_fitted_is_seen():
    parameters = LAMINAR | {"gamma_dot_t0": 2e-4}
    sheared = replace(STILL, model=MODELS["laminar_flow"], parameters=parameters)
    data = simulate.speckle(jax.random.key(0), sheared, PIXELS, PHOTONS)
    assert estimate_noise(data, STATIC).lack_of_fit["p"]["angle"] < 1e-4


def test_a_model_that_observes_by_itself_is_refused(alone, tmp_path):
    """Contrast, offset and noise are the package's, whatever the noise."""
    file = tmp_path / "own.py"
    file.write_text(
        "import numpyro, numpyro.distributions as dist\n"
        "from homodyne_bayes.physics import kernels\n"
        "def own(points, priors):\n"
        "    level = numpyro.sample('level', dist.LogNormal(9.0, 1.0))\n"
        "    g1 = kernels.g1(points, level + 0 * points.time)\n"
        "    with numpyro.plate('phi', points.phi.shape[0]):\n"
        "        contrast = numpyro.sample('contrast', dist.Normal(0.5, 0.2))\n"
        "        offset = numpyro.sample('offset', dist.Normal(1.0, 0.3))\n"
        "    sigma = numpyro.sample('sigma', dist.LogNormal(-3.5, 1.5))\n"
        "    mean = kernels.g2(points, g1, contrast, offset)\n"
        "    numpyro.sample('c2', dist.Normal(mean, sigma).mask(points.used), obs=points.c2)\n"
    )
    config = replace(STATIC, model=f"{file}:own")
    for noise in ("speckle", "independent"):
        with pytest.raises(InputError, match="must return the field correlation .* own returns"):
            sample_posterior(alone, replace(config, noise=noise))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"noise": "independent", "bin_frames": 2}, "noise 'independent'"),
        ({"bin_frames": 12}, "at least 4 bins"),
    ],
)
def test_bins_that_cannot_be_are_refused(alone, settings, words):
    with pytest.raises(InputError, match=words):
        sample_posterior(alone, replace(STATIC, **settings))


def moments(inference):
    draws = inference.draws.reshape(-1, inference.draws.shape[-1])
    return draws.mean(axis=0), draws.std(axis=0)


BENDS = {"D_bend": (1.0, 0.1), "gamma_dot_bend": (1.0, 0.1)}
NO_TAILS = {"contrast": (0.25, 0.1), "offset": (1.0, 0.05)}  # a Gaussian posterior
SIX = FitConfig(method="full", num_samples=1500, scaling="individual", priors=BENDS | NO_TAILS)


@pytest.fixture(scope="module")
def six():
    """Six angles of flow, and NUTS on all of them."""
    data = simulate.speckle(jax.random.key(1), FLOW, PIXELS)
    return data, sample_posterior(data, SIX)


def test_nuts_converges_and_agrees_with_laplace(six):
    full = six[1]
    assert full.inference.certificate.certified
    assert not full.inference.approximation.faults
    assert int(np.sum(full.inference.nuts.info.diverging)) == 0
    ratio = np.sqrt(np.diag(full.estimate.covariance)) / moments(full.inference)[1]
    assert ratio.min() > 0.95
    assert ratio.max() < 1.05


@pytest.mark.parametrize("num_shards", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_shards_of_angles_merge_to_the_posterior_of_all(six, num_shards):
    data, full = six
    mean, sd = moments(full.inference)
    config = replace(SIX, method="consensus", num_shards=num_shards)
    made = sample_posterior(data, config).inference
    assert made.certificate.certified
    merged = made.approximation.draws.reshape(-1, len(mean))
    for centre, spread in (moments(made), (merged.mean(axis=0), merged.std(axis=0))):
        assert (np.abs(centre - mean) / sd).max() < 0.2
        np.testing.assert_allclose(spread / sd, 1.0, atol=0.1)


def test_models_are_equal_for_the_same_content():
    """What is compiled for one then serves the other."""
    speckle = models_of(STATIC)
    assert speckle == models_of(replace(STATIC, seed=3))._replace(config=STATIC)
    assert speckle.least_squares == models_of(replace(STATIC, noise="corrected")).least_squares
    assert speckle.model != models_of(replace(STATIC, noise="corrected")).model
    assert speckle.model != models_of(replace(STATIC, priors={"log_D_ref": (9, 1)})).model


def test_independent_noise_is_recognised(laminar_data):
    """Where entries scatter independently, the speckle likelihood is the independent one."""
    made = sample_posterior(laminar_data, FitConfig(method="laplace", num_samples=100))
    assert made.inference.certificate.certified
    assert made.estimate.eta == pytest.approx(1.0, abs=0.1)
    d = len(made.estimate.covariance)  # sigma comes last
    ratio = np.diag(made.estimate.covariance) / np.diag(made.warm.covariance)[:d]
    np.testing.assert_allclose(np.sqrt(ratio), 1.0, atol=0.1)


def test_noise_that_is_not_found_is_refused(estimate):
    with pytest.raises(InputError, match="hot pixels"):
        estimation._check_found(estimate.noise, estimate.theta * np.nan)


@pytest.mark.parametrize("bin_frames", [1, 2])
def test_windows_of_frames_tell_the_nugget_of_whole_maps(monkeypatch, bin_frames):
    """At the true g1, of four maps of 160 frames, by windows of a third of them."""
    phi = (0.0, 20.0, 40.0, 60.0)
    experiment = simulate.Experiment(MODELS["static"], phi, 160, AT_REST, dt=0.05)
    data = simulate.speckle(jax.random.key(3), experiment, PIXELS, PHOTONS)
    usable = data.usable.copy()
    usable[1, 40:80] = False
    data = replace(data, usable=usable)
    field = simulate.field_correlation(experiment)
    plugged = estimation.Plugged(jnp.full(4, 0.25), jnp.zeros(4), field)
    residual = jnp.asarray(np.where(data.pairs, data.c2 - 1, 0.0)) - 0.25 * field**2
    entries = entries_of(data, bin_frames)
    whole = estimation.fit_nugget(plugged, residual, entries)
    monkeypatch.setattr(estimation, "WINDOW", 48 // bin_frames)
    cut = estimation.windows(plugged, residual, entries, np.arange(4))
    assert cut[1].shape == (4, 48, 48)
    assert (np.asarray(cut[2].frame_weight) > 0).all()  # moved to where frames are usable
    places = [
        np.argwhere(np.isclose(np.diag(residual[p], 1), r[0, 1], rtol=1e-12))[0, 0]
        for p, r in enumerate(cut[1])
    ]
    assert len(set(places)) == 4
    for p, at in enumerate(places):
        np.testing.assert_array_equal(cut[1][p], residual[p, at : at + 48, at : at + 48])
        np.testing.assert_array_equal(cut[0].field[p], field[p, at : at + 48, at : at + 48])
    assert estimation.fit_nugget(*cut) == pytest.approx(whole, rel=0.1)
    assert whole == pytest.approx(1 / PHOTONS, rel=0.1)
