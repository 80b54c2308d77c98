"""The public names: what they compose, and what they refuse in a sentence."""

import os
import subprocess
import sys
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS

import homodyne_bayes as hb
from homodyne_bayes.data import writing
from homodyne_bayes.fitting import pipeline, plan
from homodyne_bayes.physics import kernels

QUICK = {"method": "laplace", "noise": "independent", "num_samples": 100, "rescue_pairs": 0}


def constant(points, priors):
    """Plain diffusion: one number for D."""
    level = numpyro.sample("log_D", dist.Normal(9.0, 2.0))
    D = numpyro.deterministic("D", jnp.exp(level) * jnp.ones_like(points.time))
    return kernels.field_correlation(points, D)


@pytest.fixture(scope="module")
def data():
    return hb.simulate("static", phi=(0.0, 60.0), num_frames=16, sigma=0.01, seed=1)


def test_unlisted_names_are_reachable_and_unknown_ones_are_not():
    assert not {"FitConfig", "DataConfig", "TwoTimeData", "InputError"} & set(dir(hb))
    assert issubclass(hb.InputError, ValueError)
    assert hb.FitConfig().model == "laminar_flow"
    assert hb.__version__.count(".") == 2


def test_dir_holds_after_rooms_were_imported():
    code = (
        "import homodyne_bayes.cli.main, homodyne_bayes.data.reading, homodyne_bayes as hb;"
        "assert dir(hb) == sorted(hb.__all__), dir(hb)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fit_is_that_of_the_pipeline_and_survives_a_file(data, tmp_path, monkeypatch):
    resolved = mock.Mock(wraps=plan.models_of)
    monkeypatch.setattr(plan, "models_of", resolved)
    result = hb.fit(data, hb.FitConfig(**QUICK, seed=9), model="static", seed=3)
    resolved.assert_called_once()
    tree = pipeline.fit(data, hb.FitConfig(**QUICK, model="static", seed=3))
    np.testing.assert_array_equal(result.tree["posterior"]["D0"], tree["posterior"]["D0"])
    result.save(tmp_path / "result.nc")
    again = hb.load(tmp_path / "result.nc")
    assert again.verdict == result.verdict
    assert hb.rerun(again).same


def test_a_function_is_fitted_and_simulated(data):
    result = hb.fit(data, model=constant, **QUICK)
    assert result.tree.attrs["model"] == "constant"
    assert np.isfinite(result.tree["posterior"]["log_D"]).all()
    maps = hb.simulate(constant, parameters={"log_D": 9.0}, num_frames=8, sigma=0.01)
    assert maps.provenance["truth"]["log_D"] == 9.0


def test_reading_takes_lists_and_arrays(data, tmp_path):
    writing.write_netcdf(tmp_path / "data.nc", data)
    read = hb.read(tmp_path / "data.nc", angles=np.array([60.0]), exclude_frames=[3])
    assert read.phi.tolist() == [60.0]
    assert not read.usable[0, 3]
    assert hb.inspect(tmp_path / "data.nc").num_frames == 16


def test_several_wavevectors_have_all_azimuths():
    data = hb.simulate("static", phi=(0.0, 60.0), q=[0.005, 0.01], num_frames=8, sigma=0.01)
    assert data.wavevectors.tolist() == [0.005, 0.005, 0.01, 0.01]
    assert data.phi.tolist() == [0.0, 60.0, 0.0, 60.0]


def test_the_complete_model_goes_into_anybodys_sampler(data):
    model, points = hb.numpyro_model(data, model="static", noise="independent")
    mcmc = MCMC(NUTS(model), num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.run(jax.random.key(0), points)
    assert mcmc.get_samples()["contrast"].shape == (5, 2)


REFUSED = [
    (lambda data: hb.fit(data, modle="static"), "fit.modle: unknown; did you mean model"),
    (lambda data: hb.fit(data, model="statc"), "model must be .*static.*'statc'"),
    (lambda data: hb.fit(data, hb.FitConfig(), noise="loud"), "fit.noise: .*speckle.*'loud'"),
    (lambda data: hb.simulate("static", num_pixel=9), "simulate.num_pixel: .*did you mean num_pix"),
    (lambda data: hb.simulate("static", sigma=0.1, num_pixels=9), "simulate.num_pixels: unknown"),
    (lambda data: hb.simulate("static", parameters={"D": 1.0}), "parameters must be D0.*unknown D"),
    (lambda data: hb.simulate("static", num_frames=0), "at least 4 frames, found 5 and 0"),
    (lambda data: hb.simulate("static", phi=()), "an azimuth and at least 4 frames, found 0 and"),
    (lambda data: hb.compare(data, ("static",)), "two models or more, found static"),
    (lambda data: hb.compare(data, ("static", "static")), "models must differ by name"),
    (lambda data: hb.compare(data, seeds=3), "fit.seeds: unknown; did you mean seed"),
    (lambda data: hb.calibrate(nmerge="mean"), "fit.nmerge: unknown; did you mean merge"),
    (lambda data: hb.calibrate(num_simulations=0), "1 simulation or more, found 0"),
    (lambda data: hb.setup(devices=0), "1 CPU device or more, found devices=0"),
    (lambda data: hb.setup(devices=77), r"77 CPU devices.*call hb.setup\(devices=77\) before"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_is_wrong_is_refused_in_a_sentence(data, call, message):
    jax.devices()
    with pytest.raises(hb.InputError, match=message):
        call(data)


def test_setup_sets_what_it_says():
    code = (
        "import homodyne_bayes as hb, jax; hb.setup(devices=3);"
        "assert jax.config.jax_enable_x64; assert len(jax.devices('cpu')) == 3;"
        "hb.setup(); hb.setup(devices=3); assert jax.config.jax_compilation_cache_dir"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import homodyne_bayes as hb, jax; hb.setup(); assert len(jax.devices('cpu')) == 5"
    environment = {"JAX_NUM_CPU_DEVICES": "5", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | environment)
