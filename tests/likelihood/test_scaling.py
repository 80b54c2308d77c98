"""How contrast and offset vary over angles: closed forms, recovery, and what each choice costs."""

from dataclasses import replace

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.sample import estimate_noise, sample_posterior
from homodyne_bayes.fitting.settings import make
from homodyne_bayes.fitting.shards import angle_shards
from homodyne_bayes.inference.density import (
    constrained,
    labels,
    log_density,
    log_prior_and_likelihood,
    observation,
    parts_of,
    prior_draws,
    space,
)
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics import simulate
from homodyne_bayes.physics.points import each_map, shard, whole_maps
from homodyne_bayes.results import diagnostics, page
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.view import Result
from tests.truth import COORDINATES, LAMINAR
from tests.truth import STATIC as AT_REST

PHI = (-90.0, -30.0, 0.0, 45.0, 90.0, 150.0)
STATIC = FitConfig(model="static", method="laplace")
INTEGRATED = ("hierarchical", "marginal")
LINEAR = ("individual", "averaged", "fourier:2")


def speckle(contrasts, key=0, phi=PHI, **settings):
    """Static speckle whose contrast differs from angle to angle."""
    maps = [
        simulate.speckle(
            jax.random.fold_in(jax.random.key(key), i),
            simulate.Experiment(MODELS["static"], (angle,), 32, AT_REST, dt=0.4, contrast=contrast),
            4000,
            mean_photons=4.0,
        )
        for i, (angle, contrast) in enumerate(zip(phi, contrasts, strict=True))
    ]
    return TwoTimeData(np.concatenate([one.c2 for one in maps]), np.array(phi), 0.4, maps[0].q)


@pytest.fixture(scope="module")
def alike():
    return speckle([0.25] * len(PHI))


@pytest.fixture(scope="module", params=["speckle", "independent"])
def maps(request, alike):
    """One shard of all maps, with the noise of speckle and without."""
    if request.param == "independent":
        return whole_maps(alike)
    return whole_maps(alike, noise=estimate_noise(alike, STATIC).noise)


def model_under(grid, scaling):
    """The complete model of these points under a scaling, their noise that of speckle or none."""
    noise = "independent" if grid.noise is None else "speckle"
    return models_of(replace(STATIC, scaling=scaling, noise=noise)).model


def at_prior(grid, model, key=1):
    """Coordinates near the middle of the prior under the scaling of the model."""
    names, theta = labels(model, grid), prior_draws(jax.random.key(key), model, grid, 1)[0]
    where = {"log_D_ref": 9.2, "D_slope": -0.2, "sigma": -4.0}
    return jnp.array([where.get(name, x) for name, x in zip(names, theta, strict=True)])


def gaussian_of_scaling(grid, values):
    """Log prior x likelihood as a function of contrast and offset: value, mode, covariance."""
    normal = model_under(grid, "marginal").priors
    model, P = replace(model_under(grid, "individual"), priors=normal), len(grid.phi)
    names = labels(model, grid)
    scaling = jnp.array([names.index(f"{name}[{i}]") for name in PER_ANGLE for i in range(P)])
    theta = jnp.array([values.get(name.partition("[")[0], 0.0) for name in names])

    def height(x):
        log_prior, log_likelihood = log_prior_and_likelihood(model, grid, theta.at[scaling].set(x))
        return log_prior + log_likelihood

    centre = jnp.concatenate([jnp.full(P, 0.25), jnp.full(P, 1.0)])
    H = -jax.hessian(height)(centre)
    mode = centre + jnp.linalg.solve(H, jax.grad(height)(centre))
    return height(mode), mode, jnp.linalg.inv(H)


def test_marginal_is_the_integral_over_contrast_and_offset(maps):
    model = model_under(maps, "marginal")
    theta = at_prior(maps, model)
    values = dict(zip(labels(model, maps), theta, strict=True))
    height, _, covariance = gaussian_of_scaling(maps, values)
    sign, log_det = jnp.linalg.slogdet(2 * jnp.pi * covariance)
    found = sum(log_prior_and_likelihood(model, maps, theta))
    assert sign == 1
    assert float(found) == pytest.approx(float(height + 0.5 * log_det), abs=1e-6)


def test_draws_of_contrast_and_offset_are_the_conditional(maps):
    model = model_under(maps, "marginal")
    theta = at_prior(maps, model)
    values = dict(zip(labels(model, maps), theta, strict=True))
    _, mode, covariance = gaussian_of_scaling(maps, values)
    conditional, number = observation(model, maps, theta), 4000
    draws = jax.vmap(lambda key: conditional.draw_scaling(key, maps.c2))(
        jax.random.split(jax.random.key(0), number)
    )
    draws = np.asarray(draws).reshape(number, -1)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(0) - mode) < 4.5 * sd / np.sqrt(number)).all()
    np.testing.assert_allclose(
        np.cov(draws.T) / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.1
    )


@pytest.mark.parametrize("scaling", [*LINEAR, *INTEGRATED])
def test_shards_of_whole_angles_multiply_to_the_posterior(alike, scaling):
    shards = [angle_shards(alike, k, each_map(alike)) for k in (1, 3)]
    model = model_under(shards[0], scaling)
    theta = at_prior(shard(parts_of(shards[0]), 0), model)
    whole = log_density(model, shard(shards[0], 0), theta)
    product = sum(log_density(model, shard(shards[1], k), theta, 1 / 3) for k in range(3))
    assert float(product) == pytest.approx(float(whole), rel=1e-12)


def test_fourier_is_a_series_in_the_azimuth(maps):
    model = model_under(maps, "fourier:2")
    theta = at_prior(maps, model)
    values = constrained(model, maps, space(model, maps).unravel(theta))[0]
    c = values["contrast_harmonics"]
    phi = np.deg2rad(np.array(PHI))
    expected = values["contrast_mean"] + sum(
        c[k - 1] * np.cos(k * phi) + c[k + 1] * np.sin(k * phi) for k in (1, 2)
    )
    c2 = observation(model, maps, theta).loc
    order = np.argsort(np.asarray(maps.phi_index).ravel())
    fall = (c2[:, 0, 0] - c2[:, 0, -1])[order]
    np.testing.assert_allclose(fall / fall[0], expected / expected[0], rtol=1e-12)


def posterior(data, scaling, **settings):
    return fit(data, replace(STATIC, scaling=scaling, num_samples=1000, **settings))


def spread(tree):
    """Posterior sd of the physical coordinates."""
    return diagnostics.summary(tree, ["log_D_ref", "D_slope", "D_bend"])["sd"]


@pytest.fixture(scope="module")
def averaged(alike):
    return posterior(alike, "averaged")


@pytest.mark.parametrize("scaling", ["fourier:2", "hierarchical"])
def test_angles_that_are_alike_cost_nothing(alike, averaged, scaling):
    found = posterior(alike, scaling)
    assert averaged["certificate"].attrs["certified"]
    assert found["certificate"].attrs["certified"]
    assert (spread(found) < 1.1 * spread(averaged)).all()
    assert (spread(found) > 0.9 * spread(averaged)).all()


@pytest.mark.parametrize("scaling", ["fourier:2", "hierarchical"])
def test_angular_variation_is_recovered(scaling):
    phi = np.deg2rad(np.array(PHI))
    truth = 0.3 + 0.06 * np.cos(phi) + 0.03 * np.sin(2 * phi)
    tree = posterior(speckle(truth, key=3), scaling)
    assert tree["certificate"].attrs["certified"]
    draws, dims = tree["posterior"], ("chain", "draw")
    assert page.render(Numbers(tree)).count("contrast [") >= len(PHI)
    z = (draws["contrast"].mean(dims) - truth) / draws["contrast"].std(dims)
    assert (np.abs(z) < 3).all()
    if scaling == "hierarchical":
        low, high = draws["contrast_spread"].quantile([0.01, 0.99])
        assert low < truth.std(ddof=1) < high
        assert low > 0.01
    else:
        harmonics = draws["contrast_harmonics"]
        sd = harmonics.std(("chain", "draw")).values
        expected = np.array([0.06, 0.0, 0.0, 0.03])
        assert (np.abs(harmonics.mean(("chain", "draw")).values - expected) < 3.5 * sd).all()
        assert (sd < 0.02).all()


@pytest.mark.slow
def test_marginal_gives_the_same_posterior_for_fewer_gradients():
    """Long runs of NUTS on all the data, the same noise and priors."""
    experiment = simulate.Experiment(MODELS["laminar_flow"], PHI, 32, LAMINAR, dt=0.2)
    data = simulate.speckle(jax.random.key(0), experiment, 4000, mean_photons=4.0)
    base = FitConfig(method="full", num_samples=5000)
    noise = estimate_noise(data, base).noise
    cost, moments = {}, {}
    for scaling in ("individual", "marginal"):
        made = sample_posterior(data, replace(base, scaling=scaling), noise=noise)
        assert made.inference.certificate.certified
        names = labels(made.model, made.whole)
        at = [i for i, name in enumerate(names) if name in (*COORDINATES, "phi0")]
        draws = made.inference.draws[..., at]
        ess = [float(az.ess(draws[..., i])) for i in range(len(at))]
        cost[scaling] = made.inference.gradients / min(ess)
        moments[scaling] = draws.mean((0, 1)), draws.std((0, 1))
    print("gradients per effective draw", cost)
    (mean, sd), (other_mean, other_sd) = moments.values()
    assert (np.abs(mean - other_mean) < 0.05 * sd).all()
    np.testing.assert_allclose(other_sd, sd, rtol=0.03)
    assert cost["marginal"] < 0.9 * cost["individual"]


def test_constant_is_held_where_the_user_says(alike, averaged):
    tree = posterior(alike, "constant", priors={"contrast": (0.25, 0.1), "offset": (1.0, 0.1)})
    assert "contrast" not in tree["posterior"]
    assert "fixed at 0.25" in tree.attrs["priors"]
    assert any("held fixed" in sentence for sentence in Result(tree).warnings())
    assert spread(tree)["log_D_ref"] < 0.7 * spread(averaged)["log_D_ref"]
    fall = tree["fitted"]["c2"].isel(t1=0, t2=1)
    assert ((fall > 1.19) & (fall < 1.25)).all()
    assert "Contrast and offset of every angle" not in page.render(Numbers(tree))


def test_too_many_harmonics_say_so(alike):
    with pytest.raises(InputError, match="needs at least 7 angles, found 6"):
        fit(alike, replace(STATIC, scaling="fourier:3"))


@pytest.mark.parametrize("typed", ["fourrier", "averaged:2", "fourier:x", ""])
def test_unknown_scaling_says_what_is_known(typed):
    with pytest.raises(InputError, match="individual, averaged, constant, fourier"):
        make(FitConfig, {"scaling": typed})
    assert make(FitConfig, {"scaling": "fourier"}).scaling == "fourier:2"
