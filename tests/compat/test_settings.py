"""Configurations of homodyne as settings."""

import pytest
import yaml

from homodyne_bayes.cli.convert import convert
from homodyne_bayes.compat.settings import converted
from homodyne_bayes.config import DataConfig, read_settings
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.settings import FitConfig, make

CONFIG = """
metadata: {config_version: "2.23.2"}
analysis_mode: "LAMINAR_FLOW"
analyzer_parameters:
  dt: 0.1
  start_frame: 3
  end_frame: 60
  scattering: {wavevector_q: 0.0054}
  geometry: {stator_rotor_gap: 2000000}
experimental_data: {data_folder_path: ./data/, data_file_name: flow.hdf}
phi_filtering:
  enabled: true
  target_ranges:
    - {min_angle: -10.0, max_angle: 10.0}
    - {min_angle: 170.0, max_angle: -170.0}
  fallback_to_all_angles: true
initial_parameters:
  parameter_names: [D0, alpha, D_offset, gamma_dot_t0, beta, gamma_dot_t_offset, phi0]
  values: [1.0e4, -0.3, 500.0, 1.0e-3, 0.1, 0.0, 3.0]
  active_parameters: [D0, alpha, D_offset, gamma_dot_t0, beta, phi0]
  fixed_parameters: {D_offset: 0.0}
parameter_space:
  bounds:
    - {name: contrast, min: 0.0, max: 1.0, type: TruncatedNormal}
    - {name: D0, min: 100.0, max: 100000.0, prior_mu: 1000.0, prior_sigma: 1000.0}
    - {name: alpha, min: -1.5, max: 0.5, prior_mu: -0.4, prior_sigma: 0.2}
    - {name: phi0, min: -20.0, max: 20.0}
  priors:
    contrast: {dist_type: TruncatedNormal, mu: 0.27, sigma: 0.15}
optimization:
  method: cmc
  cmc:
    sharding: {num_shards: 6}
    per_shard_mcmc: {num_warmup: 300, num_samples: 700, num_chains: 4, max_tree_depth: 9}
performance: {strategy_override: null}
"""


def config(**changes):
    return yaml.safe_load(CONFIG) | changes


def test_every_word_that_has_a_counterpart_is_taken():
    made = converted(config())
    assert made.file == "data/flow.hdf"
    data = make(DataConfig, made.data)
    assert (data.q, data.dt, data.gap) == ((0.0054,), 0.1, 2e6)
    assert (data.first_frame, data.stop_frame) == (2, 60)  # frames 3 to 60 of 1, 2, ...
    assert data.angles == ("-10:10", "170:190")
    fit = make(FitConfig, made.fit)
    assert (fit.model, fit.num_shards, fit.num_warmup, fit.num_samples) == (
        *("laminar_flow", 6, 300, 700),
    )
    assert fit.stated["D_offset"].numbers == fit.stated["gamma_dot_t_offset"].numbers == (0.0,)
    assert (fit.stated["alpha"].family, fit.stated["alpha"].numbers) == ("normal", (-0.4, 0.2))
    assert (fit.stated["alpha"].low, fit.stated["alpha"].high) == (-1.5, 0.5)
    assert fit.stated["alpha"].start == -0.3
    assert not fit.stated["D0"].of_prior
    assert fit.stated["D0"].start == 1e4
    assert fit.prior_table()["phi0"].family == "uniform"


def test_what_has_none_is_named():
    notes = " ".join(converted(config()).notes)
    for said in ("performance", "D0 are those of homodyne's templates", "contrast", "trapezoid"):
        assert said in notes
    assert "fallback_to_all_angles" in notes


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({"analysis_mode": "static_isotropic"}, "static"),
        ({"analysis_mode": None, "analysis_settings": {"static_mode": True}}, "static"),
        ({"analysis_mode": None, "analysis_settings": {"static_mode": False}}, "laminar_flow"),
        ({"analysis_settings": {"model_description": {"parameters": 7}}}, "laminar_flow"),
    ],
)
def test_modes(changes, model):
    few = dict.fromkeys(("initial_parameters", "parameter_space", "phi_filtering"))
    made = converted(config(**few, **changes))
    assert make(FitConfig, made.fit).model == model
    assert "angles" not in made.data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"analysis_mode": "flow"}, "flow"),
        ({"analyzer_parameters": {"start_frame": 0}}, "start_frame: must be a frame counted from"),
        ({"phi_filtering": {"enabled": True, "target_ranges": [{"min": 1}]}}, "min_angle and max"),
        ({"initial_parameters": [1]}, "initial_parameters: must be a section of its own, found"),
        ({"parameter_space": {"bounds": {"D0": 1}}}, "parameter_space.bounds: must be a section"),
        ({"initial_parameters": {"values": ["x"]}}, "initial value of D0: must be a number"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        converted(config(**changes))


def test_the_command_writes_settings_that_a_fit_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(InputError, match=r"homodyne-bayes convert config.yaml` makes settings"):
        read_settings("config.yaml")
    convert.main(["config.yaml"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "homodyne-bayes fit data/flow.hdf --settings settings.yaml" in said
    sections = read_settings("settings.yaml")
    assert make(DataConfig, sections["data"]) == make(DataConfig, converted(config()).data)
    assert make(FitConfig, sections["fit"]) == make(FitConfig, converted(config()).fit)
