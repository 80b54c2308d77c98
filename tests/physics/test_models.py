"""Coordinates of the rates, and what the models sample."""

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import FitConfig, InputError, model_files
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.shards import some_pairs
from homodyne_bayes.inference import density
from homodyne_bayes.model_files import MODELS, load_model, models
from homodyne_bayes.parameters import Prior
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.experiment import true_sites
from homodyne_bayes.physics.points import map_grid
from homodyne_bayes.physics.rate_laws.power_law import (
    POWER_LAW,
    Coordinates,
    PowerLaw,
    to_coordinates,
    to_power_law,
)
from homodyne_bayes.physics.rates import reference_time
from tests import truth
from tests.truth import STATIC

LAWS = [(1e4, -0.3, 500.0), (1e-3, 0.1, 1e-4), (2e3, 1.2, -300.0), (5.0, 0.4, 0.0)]


@pytest.mark.parametrize("law", LAWS)
def test_coordinates_round_trip(law):
    t_ref = jnp.asarray(2.3)
    there = to_coordinates(PowerLaw(*map(jnp.asarray, law)), t_ref)
    np.testing.assert_allclose(to_power_law(there, t_ref), law, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_coordinates_are_level_and_log_slope(law):
    t_ref = 2.3

    def log_rate(log_t):
        amplitude, exponent, offset = law
        return jnp.log(amplitude * jnp.exp(exponent * log_t) + offset)

    level, slope, bend = to_coordinates(PowerLaw(*map(jnp.asarray, law)), jnp.asarray(t_ref))
    assert float(level) == pytest.approx(float(log_rate(jnp.log(t_ref))))
    assert float(slope) == pytest.approx(float(jax.grad(log_rate)(jnp.log(t_ref))))
    ratio = 1 / (1 - law[2] * float(jnp.exp(-level)))
    assert float(bend) == pytest.approx(ratio - 0.01 / ratio)
    assert law[1] == pytest.approx(float(slope) * ratio)


def test_rate_at_the_reference_time_is_the_level():
    grid = map_grid(np.zeros(1), 1001, 0.01, 0.0054)
    t_ref = reference_time(grid)
    law = to_power_law(Coordinates(*map(jnp.asarray, (9.0, -0.2, 1.4))), t_ref)
    rate = jnp.interp(t_ref, grid.time, kernels.power_law(kernels.clock(grid), *law))
    assert float(t_ref) == pytest.approx(10.0 / np.e)
    assert float(jnp.log(rate)) == pytest.approx(9.0, abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_models_sample_the_table(name, laminar_data):
    grid = some_pairs(laminar_data, 0)
    config = FitConfig(model=name)
    sites = density.latent_sites(models_of(config).least_squares, grid)
    assert set(sites) == {*config.prior_table(), "sigma"}
    assert ("phi0" in sites) == ("phi" in MODELS[name].needs)
    trace = true_sites(MODELS[name], grid, dict(MODELS[name].example))
    assert {*MODELS[name].reported} <= {*trace}
    assert sites["contrast"]["value"].shape == (3,)


def test_user_priors_reach_the_density(laminar_data):
    grid = some_pairs(laminar_data, 0)
    model = models_of(FitConfig(priors={"phi0": (1.0, 0.1)})).least_squares
    draws = density.prior_draws(jax.random.key(0), model, grid, 4000)
    phi0 = density.constrain(model, grid, draws)["phi0"]
    assert float(phi0.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(phi0.std()) == pytest.approx(0.1, rel=0.05)


def test_a_model_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def mine(grid, priors):\n    return 3\n")
    assert load_model(f"{path}:mine").field(None, None) == 3
    assert load_model(f"{path}:mine") is load_model(f"{path}:mine")
    assert load_model(len).function is len
    assert load_model(MODELS["static"]) is MODELS["static"]


def test_a_model_is_given_all_that_its_record_lists_or_samples_it_itself():
    record = MODELS["stretched"]
    with pytest.raises(InputError, match="is given D must be given all .* none of stretch among"):
        replace(record, function=lambda points, D: 1.0)
    itself = replace(record, function=lambda points, priors: priors["stretch"])
    priors = {"stretch": Prior("lognormal", 0.0, 1.0)}
    assert itself.field(None, priors) is priors["stretch"]
    with pytest.raises(InputError, match="for no rate of this model"):
        itself.following(D=POWER_LAW)


def test_another_package_adds_a_model(monkeypatch):
    def points(group, name=None):
        known = EntryPoints([EntryPoint("theirs", "tests.truth:THEIRS", group)])
        return known if name is None else known.select(name=name)

    monkeypatch.setattr(truth, "THEIRS", MODELS["static"], raising=False)
    monkeypatch.setattr(model_files, "entry_points", points)
    assert load_model("theirs") is MODELS["static"]
    assert [*models()] == [*MODELS, "theirs"]


def test_truths_are_stated_by_the_parameters_that_a_model_reports():
    """D(t) is that of the stated values to the last digit, without a way through coordinates."""
    grid = map_grid(np.zeros(1), 20, 0.1, 0.0054)
    trace = true_sites(MODELS["static"], grid, STATIC)
    expected = kernels.power_law(
        kernels.clock(grid), *(jnp.asarray(value) for value in STATIC.values())
    )
    np.testing.assert_array_equal(trace["D"]["value"], expected)
    for wrong in ({"D0": 1.0}, {**STATIC, "phi0": 3.0}):
        with pytest.raises(InputError, match="parameters must be D0, alpha, D_offset"):
            true_sites(MODELS["static"], grid, wrong)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("laminar", "static, laminar_flow, .* or file.py:function.*'laminar'"),
        ("nowhere.py:f", "existing file"),
        ("{tmp}/mine.py:other", "expected a function 'other'"),
        ("{tmp}/mine.txt:mine", "must be Python"),
        ("{tmp}/broken.py:mine", "could not be loaded.*SyntaxError"),
    ],
)
def test_models_that_cannot_be_loaded(tmp_path, name, message):
    (tmp_path / "mine.py").write_text("def mine(grid, priors): ...\n")
    (tmp_path / "mine.txt").write_text("")
    (tmp_path / "broken.py").write_text("def mine(:\n")
    with pytest.raises(InputError, match=message):
        load_model(name.format(tmp=tmp_path))
