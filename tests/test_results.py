"""The result file: round trip, ArviZ, provenance, and the numbers made from it."""

import json

import arviz as az
import jax
import numpy as np
import pytest
import scipy.stats
import xarray as xr

from homodyne_bayes import FitConfig, InputError, TwoTimeData, diagnostics, fit, results
from homodyne_bayes.parameters import PARAMETERS

LAMINAR = ["D0", "alpha", "D_offset", "gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0"]


def test_round_trip_through_netcdf(laminar_result, result_file):
    again = results.read(result_file)
    assert set(again.children) == set(laminar_result.children)
    for name in laminar_result.children:
        xr.testing.assert_identical(again[name].to_dataset(), laminar_result[name].to_dataset())


def test_plain_xarray_and_arviz_read_it(result_file):
    with xr.open_datatree(result_file) as tree:
        assert tree["posterior"]["contrast"].dims == ("chain", "draw", "phi")
        assert tree["posterior"]["D0"].attrs["units"] == "Å²/s"
        table = az.summary(tree, var_names=["alpha", "contrast"])
        assert list(table.index) == ["alpha", "contrast[-60.0]", "contrast[0.0]", "contrast[60.0]"]
        assert az.rhat(tree)["phi0"] < 1.1
    import matplotlib.pyplot as plt

    az.plot_trace_dist(az.from_netcdf(result_file), var_names=["alpha", "phi0"])
    az.plot_pair(az.from_netcdf(result_file), var_names=["alpha", "phi0"])
    plt.close("all")


def test_attributes_say_how_to_make_it_again(laminar_result, laminar_data):
    attrs = laminar_result.attrs
    assert attrs["data_sha256"] == laminar_data.sha256()
    assert attrs["convention"] == "upstream"
    assert "uncorrected" in attrs["noise"]
    settings = json.loads(attrs["settings"])
    assert settings["num_shards"] == 2
    assert FitConfig(**settings) == FitConfig(num_shards=2, num_warmup=200, num_samples=200)
    assert json.loads(attrs["priors"])["phi0"] == "Normal(0, 5)"
    assert set(results.LIBRARIES) == set(json.loads(attrs["versions"]))
    assert json.loads(attrs["provenance"])["truth"]["phi0"] == 3.0


def test_shapes_of_the_groups(laminar_result):
    sizes = {name: dict(node.sizes) for name, node in laminar_result.children.items()}
    assert sizes["posterior"] == {"chain": 4, "draw": 200, "phi": 3}
    assert sizes["sub_posteriors"] == {"shard": 2, "chain": 4, "draw": 200, "phi": 3}
    assert sizes["sub_sample_stats"] == {"shard": 2, "chain": 4, "draw": 200}
    assert sizes["rates"] == {"chain": 4, "draw": 200, "time": 20}
    assert sizes["observed_data"] == sizes["fitted"] == {"phi": 3, "t1": 20, "t2": 20}


def test_deterministics_agree_with_coordinates(laminar_result):
    draws = laminar_result["posterior"]
    t_ref = float(laminar_result["constant_data"]["t_ref"])
    level = draws["D0"] * t_ref ** draws["alpha"] + draws["D_offset"]
    np.testing.assert_allclose(level, np.exp(draws["log_D_ref"]), rtol=1e-9)
    rates = laminar_result["rates"]
    power_law = draws["D0"] * 4.0 ** draws["alpha"] + draws["D_offset"]
    np.testing.assert_allclose(rates["D"].sel(time=4.0), power_law, rtol=1e-9)


def test_fitted_maps_leave_residuals_of_size_sigma(laminar_result):
    residual = laminar_result["observed_data"]["c2"] - laminar_result["fitted"]["c2"]
    off = ~np.eye(20, dtype=bool)
    sigma = float(laminar_result["posterior"]["sigma"].mean())
    assert sigma == pytest.approx(0.004, rel=0.1)
    assert residual.values[:, off].std() == pytest.approx(sigma, rel=0.05)


def test_merged_statistics_sum_over_shards(laminar_result):
    merged, per_shard = laminar_result["sample_stats"], laminar_result["sub_sample_stats"]
    np.testing.assert_array_equal(merged["n_steps"], per_shard["n_steps"].sum("shard"))
    np.testing.assert_array_equal(merged["diverging"], per_shard["diverging"].any("shard"))


def test_summary_and_its_cost(laminar_result):
    table = diagnostics.summary(laminar_result)
    assert list(table.index[:7]) == LAMINAR
    draws = laminar_result["posterior"]["alpha"].values.ravel()
    assert table.loc["alpha", "mean"] == pytest.approx(draws.mean())
    assert table.loc["alpha", "lower"] == pytest.approx(np.quantile(draws, 0.05), abs=1e-3)
    assert table.loc["alpha", "upper"] == pytest.approx(np.quantile(draws, 0.95), abs=1e-3)
    steps = laminar_result["sub_sample_stats"]["n_steps"]
    assert diagnostics.gradients(laminar_result) == float(steps.sum()) / 2
    assert diagnostics.leapfrogs_per_draw(laminar_result) == float(steps.mean())
    assert table.loc["alpha", "ess_per_1000_gradients"] == pytest.approx(
        1000 * table.loc["alpha", "ess_bulk"] / (float(steps.sum()) / 2)
    )


def test_warnings_name_what_the_prior_sets(laminar_result):
    sentences = " ".join(diagnostics.warnings(laminar_result))
    assert "uncorrected for correlated noise" in sentences
    assert "gamma_dot_bend" in diagnostics.prior_driven(laminar_result)
    assert "log_D_ref" not in diagnostics.prior_driven(laminar_result)
    assert "diverged" not in sentences


def test_prior_and_data_pulling_apart(laminar_result):
    assert diagnostics.prior_conflicts(laminar_result) == []
    tree = laminar_result.copy(deep=True)
    tree["posterior"]["D_bend"] -= 1.0
    assert diagnostics.prior_conflicts(tree) == ["D_bend"]
    assert "Prior and data pull apart in D_bend" in " ".join(diagnostics.warnings(tree))


def test_warnings_find_trouble(laminar_result):
    tree = laminar_result.copy(deep=True)
    tree["sub_sample_stats"]["diverging"][:] = False
    tree["sub_sample_stats"]["diverging"][0, 0, :3] = True
    tree["warm_start"].attrs["outcome"] = "iteration limit"
    tree["sub_posteriors"].attrs["agreement_p_value"] = 1e-9
    tree["posterior"]["alpha"][0] += 1.0
    tree["posterior"]["D0"] *= 200
    sentences = " ".join(diagnostics.warnings(tree))
    for text in ("3 transitions diverged", "ended with: iteration limit", "shards disagree",
                 "R-hat exceeds 1.01 for alpha", "Å²/s lies outside the range 1 to 1e+06"):
        assert text in sentences


def test_agreement_is_chi_square_for_gaussian_shards():
    """Means of shards scattered by their own spread: p-values are uniform."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 4))
    p_values = []
    for _ in range(200):
        centres = rng.normal(size=(6, 1, 4))
        draws = (centres + rng.normal(size=(6, 2000, 4))) @ mixing
        p_values.append(diagnostics.shard_agreement(draws).p_value)
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-3
    draws[2] += 8 * draws[2].std(axis=0)
    assert diagnostics.shard_agreement(draws).p_value < 1e-6


def test_same_seed_same_draws(laminar_data, laminar_result):
    again = fit(laminar_data, FitConfig(num_shards=2, num_warmup=200, num_samples=200))
    xr.testing.assert_identical(
        again["posterior"].to_dataset(), laminar_result["posterior"].to_dataset()
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "found no such file"), (b"not netcdf", "could not read"), (b"", "could not read")],
)
def test_files_that_are_no_result(tmp_path, content, message):
    path = tmp_path / "result.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        results.read(path)


def test_data_files_are_no_result(tmp_path, laminar_data):
    from homodyne_bayes import formats

    formats.write_netcdf(tmp_path / "data.nc", laminar_data)
    with pytest.raises(InputError, match="found no group 'posterior'"):
        results.read(tmp_path / "data.nc")


def test_flow_needs_gap_and_azimuth(laminar_data):
    maps, phi = laminar_data.c2[:1], laminar_data.phi[:1]
    with pytest.raises(InputError, match="needs the gap"):
        fit(TwoTimeData(maps, phi, 0.4, 0.0054))
    assumed = TwoTimeData(maps, phi, 0.4, 0.0054, 2e6, provenance={"assumed": ["phi"]})
    with pytest.raises(InputError, match="needs the azimuth"):
        fit(assumed)


def test_every_reported_name_is_in_the_table(laminar_result):
    assert set(laminar_result["posterior"].data_vars) <= set(PARAMETERS)
    assert jax.config.jax_enable_x64
