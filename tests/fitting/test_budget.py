"""Uncertainties of q, gap, dt and the azimuth's zero: exact moves, draws, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.fitting import budget
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.fitting.sample import noise_of
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import rates, stated
from homodyne_bayes.physics.experiment import Experiment
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import whole_maps
from homodyne_bayes.physics.rate_laws import RATE_LAWS
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.simulate import independent
from tests.truth import LAMINAR, STATED

OFF = {"q": 1.03, "gap": 0.92, "dt": 1.05, "phi": 4.0}


def moved_points(points):
    """The same maps, measured with another q, gap, clock and azimuths."""
    return replace(
        points,
        q=points.q * OFF["q"],
        gap=points.gap * OFF["gap"],
        dt=points.dt * OFF["dt"],
        time=points.time * OFF["dt"],
        phi=points.phi + OFF["phi"],
    )


def log_likelihood(model, points, values):
    seeded = handlers.seed(handlers.substitute(model, data=values), jax.random.key(0))
    sites = handlers.trace(seeded).get_trace(points).values()
    (observed,) = [s for s in sites if s["type"] == "sample" and s["is_observed"]]
    return float(observed["fn"].log_prob(observed["value"]).sum())


@pytest.mark.parametrize("age", [0.0, 2.5])
@pytest.mark.parametrize(
    ("convention", "integration", "noise"),
    [
        ("upstream", "exact", "independent"),
        ("gap-average", "exact", "independent"),
        ("upstream", "trapezoid", "speckle"),
    ],
)
def test_the_likelihood_of_moved_parameters_is_the_same(convention, integration, noise, age):
    """To 3e-10, where q, gap, dt and azimuths are others and the parameters are moved with them."""
    experiment = Experiment(
        MODELS["laminar_flow"], (-60.0, 0.0, 60.0), 20, LAMINAR, dt=0.4, age=age
    )
    data = independent(jax.random.key(0), experiment, 0.004)
    config = FitConfig(convention=convention, integration=integration, noise=noise)
    planned = plan(data, config)
    found = noise_of(data, planned).noise if noise == "speckle" else None
    points = whole_maps(data, config.physics, found)
    model = planned.per_angle
    other = {"contrast": jnp.full(3, 0.25), "offset": jnp.ones(3), "sigma": jnp.asarray(0.004)}
    truth = LAMINAR | {"phi0": 20.0}
    draws = {name: np.full((1, 1), value) for name, value in truth.items()}
    factors = {name: jnp.full((1, 1), off) for name, off in OFF.items()}
    posterior = budget.Posterior(model.model, draws, {}, points)
    moved = {n: v[0, 0] for n, v in budget.parameters(posterior, factors).items()}
    assert set(moved) == set(truth)
    assert moved["alpha"] == pytest.approx(truth["alpha"], rel=1e-12)
    assert moved["D0"] != pytest.approx(truth["D0"] / (OFF["q"] ** 2 * OFF["dt"]), rel=1e-3)

    there = log_likelihood(model, points, truth | other)
    assert log_likelihood(model, moved_points(points), moved | other) == pytest.approx(
        there, rel=3e-10
    )
    assert abs(log_likelihood(model, moved_points(points), truth | other) / there - 1) > 1e-3


@pytest.mark.parametrize("name", RATE_LAWS)
@pytest.mark.parametrize("rate", [rates.D, rates.GAMMA_DOT], ids=lambda rate: rate.name)
def test_a_law_needs_no_rule_of_its_own(name, rate):
    """Its coordinates, all but the level, are the same where time is stretched."""
    law, t_ref = RATE_LAWS[name], jnp.asarray(3.0)
    rng, rows = np.random.default_rng(0), law.coordinates(rate)
    at = [jnp.asarray(rng.normal(r.prior.loc, 0.3 * r.prior.scale, (2, 5))) for r in rows]
    factors = {n: jnp.asarray(rng.lognormal(0, 0.1, (2, 5))) for n in ("q", "gap", "dt")}
    time = jnp.linspace(0.2, 8.0, 30)
    history = stated.moved_history(rate, law, law.to_reported(at, t_ref), factors, time)
    moved = stated.moved_parameters(rate, law, at, factors, t_ref)
    again = stated.moved_history(rate, law, moved, {}, time)
    np.testing.assert_allclose(history, again, rtol=1e-9, atol=2e-7 * float(again.max()))


def test_a_law_whose_coordinates_are_no_ratios_is_not_told(laminar_data):
    """One whose sampled time is in s: the rate is moved all the same, its parameters are not."""
    law = replace(
        POWER_LAW,
        coordinates=lambda rate: POWER_LAW.coordinates(rate)[:2],
        to_reported=lambda c, t_ref: (jnp.exp(c[0] - 1.0 / c[1]), c[1], 0.0 * c[0]),
        evaluate=lambda time, level, tau, offset: level * jnp.exp(time / tau) + offset,
    )
    model = Model(MODELS["static"].field, rates=((rates.D, law),))
    draws = {name: np.full((1, 2), 2.0) for name in ("D0", "alpha", "log_D_ref", "D_slope")}
    points = whole_maps(laminar_data)
    level = draws["D0"] * 0 + np.exp(2.0 - 0.5)
    posterior = budget.Posterior(model, draws | {"D0": level, "D_offset": 0 * level}, {}, points)
    for factors, told in (
        ({"q": jnp.full((1, 2), 1.1)}, True),
        ({"dt": jnp.full((1, 2), 1.1)}, False),
    ):
        assert ("D0" in budget.parameters(posterior, factors)) == told
        assert set(budget.rates(posterior, factors)) == {"D"}


def test_the_fit_is_the_same_and_the_factors_are_as_stated(uncertain_result, laplace_result):
    for name in ("posterior", "rates"):
        for variable, draws in laplace_result[name].data_vars.items():
            np.testing.assert_array_equal(uncertain_result[name][variable], draws)
    assert not {"combined", "combined_rates", "factors", "systematic"} & set(laplace_result)
    for name, uncertainty in STATED.items():
        factor = uncertain_result["factors"][name]
        assert float(factor.std()) == pytest.approx(uncertainty, rel=0.01)
        assert abs(float(factor.mean()) - (name != "phi")) < 0.03 * uncertainty
        assert factor.attrs["uncertainty"] == uncertainty


def test_what_is_combined(uncertain_result):
    posterior, combined = uncertain_result["posterior"], uncertain_result["combined"]
    added, factors = uncertain_result["systematic"], uncertain_result["factors"]
    assert set(combined.data_vars) == {*LAMINAR, "contrast", "offset", "sigma"}
    for name in ("contrast", "offset", "sigma"):
        np.testing.assert_array_equal(combined[name], posterior[name])
    for name in ("alpha", "beta"):
        np.testing.assert_allclose(combined[name], posterior[name], rtol=1e-9)
    np.testing.assert_allclose(combined["phi0"], posterior["phi0"] + factors["phi"])
    share = added["gamma_dot"] / uncertain_result["rates"]["gamma_dot"].mean(("chain", "draw"))
    at = share.isel(time=5).to_series()
    assert at["gap"] == pytest.approx(0.03, rel=0.1)
    assert at["q"] == pytest.approx(0.01, rel=0.1)
    assert at["phi"] == 0
    share = added["D"] / uncertain_result["rates"]["D"].mean(("chain", "draw"))
    assert share.isel(time=5).sel(source="q") == pytest.approx(0.02, rel=0.1)
    assert share.isel(time=5).sel(source="gap") == 0


REFUSED = [
    ({"gapp": 0.01}, "fit.uncertainty.gapp: unknown; did you mean gap?"),
    ({"gap": -0.03}, "fit.uncertainty.gap: .* relative, such as gap=0.01 for 1 %, .*found -0.03"),
    ({"q": 0.5}, "fit.uncertainty.q: .*above 0 and below 0.5, found 0.5; leave q out"),
    ("gap=3", "below 0.5, found '3'"),
    ("gap=wide", "found 'wide'"),
    ({"dt": float("nan")}, "found nan"),
    ({"phi": 45}, "in degree, such as phi=0.5, above 0 and below 45, found 45"),
    ("gap", "must give names their standard uncertainties, as q=0.01,gap=0.03, found 'gap'"),
    (0.03, "fit.uncertainty: must give names"),
]


@pytest.mark.parametrize(("uncertainty", "message"), REFUSED)
def test_what_is_no_uncertainty_is_refused(uncertainty, message):
    with pytest.raises(InputError, match=message):
        FitConfig(uncertainty=uncertainty)


@pytest.mark.parametrize("name", ["gap", "phi"])
def test_what_nothing_follows_is_refused(name):
    said = f"fit.uncertainty.{name}: .*found static, where nothing does: leave out {name}"
    with pytest.raises(InputError, match=said):
        FitConfig(model="static", uncertainty={name: 0.03})
    with pytest.raises(InputError, match="found none told by mine: state ``follows``"):
        FitConfig(model=function_mine(), uncertainty={name: 0.03})


def function_mine():
    def mine(points, priors):
        raise NotImplementedError

    return mine


def test_typed_text_lists_and_mappings_mean_the_same():
    typed = FitConfig(uncertainty="q=0.01, gap=0.03")
    assert typed == FitConfig(uncertainty={"q": 0.01, "gap": 0.03})
    assert typed == FitConfig(uncertainty=["q=0.01", "gap=0.03"])
    assert FitConfig(**typed.recorded()) == typed
