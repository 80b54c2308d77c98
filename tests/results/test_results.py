"""The result file: round trip, ArviZ, provenance, and the numbers made from it."""

import json

import arviz as az
import h5py
import jax
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from homodyne_bayes import FitConfig, InputError, TwoTimeData, files, fit
from homodyne_bayes.fitting.pipeline import bound_model
from homodyne_bayes.inference import density
from homodyne_bayes.likelihood.misfit import KINDS
from homodyne_bayes.parameters import COORDINATES, PARAMETERS
from homodyne_bayes.physics.points import each_map
from homodyne_bayes.results import diagnostics, store

LAMINAR = ["D0", "alpha", "D_offset", "gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0"]


def test_round_trip_through_netcdf(laminar_result, result_file):
    again = store.read(result_file)
    assert set(again.children) == set(laminar_result.children)
    for name in laminar_result.children:
        xr.testing.assert_identical(again[name].to_dataset(), laminar_result[name].to_dataset())


def test_no_variable_is_text_of_any_length(result_file):
    """With those, reading the file a few times ended in a crash of HDF5."""
    kinds = {}
    with h5py.File(result_file) as file:
        file.visititems(lambda name, item: kinds.update({name: getattr(item, "dtype", None)}))
    assert kinds["certificate/proposal"].kind == "S"
    found = {name: h5py.check_string_dtype(kind) for name, kind in kinds.items() if kind}
    assert not [name for name, kind in found.items() if kind and kind.length is None]


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
    assert attrs["noise"] == "independent"
    settings = json.loads(attrs["settings"])
    assert settings["num_shards"] == 2
    made = FitConfig(noise="independent", num_shards=2, num_warmup=200, num_samples=200)
    assert FitConfig(**settings) == made
    assert json.loads(attrs["priors"])["phi0"] == "Normal(0, 5)"
    assert set(store.LIBRARIES) == set(json.loads(attrs["versions"]))
    assert json.loads(attrs["provenance"])["truth"]["phi0"] == 3.0


def test_shapes_of_the_groups(laminar_result, laplace_result):
    sizes = {name: dict(node.sizes) for name, node in laminar_result.children.items()}
    draws = {"chain": 4, "draw": 200}
    assert sizes["posterior"] == sizes["approximation"] == draws | {"phi": 3}
    assert sizes["sample_stats"] == sizes["log_prior"] == sizes["log_likelihood"] == draws
    assert sizes["sub_posteriors"] == {"shard": 2} | draws | {"phi": 3}
    assert sizes["sub_sample_stats"] == {"shard": 2} | draws
    assert sizes["shard_checks"] == {"shard": 2, "coordinate": 14}
    assert set(sizes["certificate"]) == {"attempt"}
    assert sizes["rates"] == draws | {"time": 20}
    assert sizes["cuts"] == {"phi": 3, "age": 3, "lag": 19, "level": 5}
    assert sizes["observed_data"] == sizes["fitted"] == {"phi": 3, "t1": 20, "t2": 20}
    of_shards = {"sub_posteriors", "sub_sample_stats", "shard_checks"}
    assert set(laminar_result.children) - set(laplace_result.children) == of_shards


def test_log_densities_are_those_of_the_draws(laminar_result, laminar_data):
    """Prior and likelihood, stored, add up to the density recomputed from the draws."""
    names = ("log_prior", "log_likelihood", "sample_stats")
    prior, likelihood, lp = (
        laminar_result[group][name].values
        for group, name in zip(names, ("prior", "c2", "lp"), strict=True)
    )
    np.testing.assert_array_equal(prior + likelihood, lp)
    model = bound_model(FitConfig())
    shards = each_map(laminar_data)
    draws = laminar_result["unconstrained_posterior"].to_dataset()
    for at in ({"chain": 0, "draw": 0}, {"chain": 3, "draw": 120}):
        values = {name: draws[name].isel(at).values for name in draws.data_vars}
        theta, _ = ravel_pytree(values)
        expected = density.log_density(model, shards, theta)
        assert float(lp[at["chain"], at["draw"]]) == pytest.approx(float(expected), rel=1e-10)


def test_certificate_counts_and_judges(laminar_result, laplace_result):
    for tree in (laminar_result, laplace_result):
        found = tree["certificate"]
        assert found.attrs["certified"] == 1
        assert found.attrs["draws_from"] == "reweighted draws"
        total = 800 * found.sizes["attempt"]
        assert found.attrs["evaluations"] == int(found["num_evaluations"].sum()) == total
        assert float(found["k_hat"][-1]) < 0.7
        assert 400 <= float(found["ess"][-1]) <= total
        assert diagnostics.refused(tree) == diagnostics.advice(tree) == []
        assert diagnostics.certificate(tree).startswith(f"Certified: {total} draws of proposals")
    assert str(laplace_result["certificate"]["proposal"].values[0]) == "least squares fit"
    assert diagnostics.method(laminar_result) == "consensus: cavity merge of 2 shards"


def test_two_methods_give_one_posterior(laminar_result, laplace_result):
    """Certified draws of both methods: means within Monte Carlo error, and evidences."""
    ours, theirs = (diagnostics.summary(tree) for tree in (laminar_result, laplace_result))
    error = np.sqrt(ours["sd"] ** 2 / ours["ess_bulk"] + theirs["sd"] ** 2 / theirs["ess_bulk"])
    assert (np.abs(ours["mean"] - theirs["mean"]) < 4.5 * error).all()
    assert min(ours["ess_bulk"].min(), theirs["ess_bulk"].min()) > 80
    one, two = (tree["certificate"].attrs for tree in (laminar_result, laplace_result))
    error = np.hypot(one["log_evidence_error"], two["log_evidence_error"])
    assert abs(one["log_evidence"] - two["log_evidence"]) < 4.5 * error


def test_corrections_compare_moments(laminar_result):
    table = diagnostics.corrections(laminar_result, ["sigma", "contrast"])
    assert list(table.index) == ["sigma", "contrast[-60.0]", "contrast[0.0]", "contrast[60.0]"]
    final, raw = (laminar_result[g]["sigma"].values for g in ("posterior", "approximation"))
    shift = (raw.mean() - final.mean()) / final.std(ddof=1)
    assert table.loc["sigma", "shift"] == pytest.approx(shift, rel=1e-3)
    assert table.loc["sigma", "sd_ratio"] == pytest.approx(raw.std() / final.std(), rel=1e-3)


def test_prior_sensitivity_as_arviz_has_it(laminar_result):
    table = diagnostics.sensitivity(laminar_result)
    assert list(table.index) == [*COORDINATES, "phi0"]
    for column in ("prior", "likelihood"):
        found = az.psense(laminar_result, var_names=["D_bend", "phi0"], group=column)
        for name in ("D_bend", "phi0"):
            assert table.loc[name, column] == pytest.approx(float(found[name]))
    for _, row in table.iterrows():
        conflict, weak = "prior-data conflict", "strong prior / weak likelihood"
        expected = "" if row["prior"] <= 0.05 else conflict if row["likelihood"] > 0.05 else weak
        assert row["diagnosis"] == expected
    assert table.loc["D_bend", "prior"] > 5 * table.loc["phi0", "prior"]


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


def test_summary_and_its_cost(laminar_result):
    table = diagnostics.summary(laminar_result)
    assert list(table.index[:7]) == LAMINAR
    draws = laminar_result["posterior"]["alpha"].values.ravel()
    assert table.loc["alpha", "mean"] == pytest.approx(draws.mean())
    assert table.loc["alpha", "lower"] == pytest.approx(np.quantile(draws, 0.05), abs=1e-3)
    assert table.loc["alpha", "upper"] == pytest.approx(np.quantile(draws, 0.95), abs=1e-3)
    steps = laminar_result["sub_sample_stats"]["n_steps"]
    found = laminar_result["certificate"].attrs
    assert found["gradients"] > float(steps.sum()) / 2  # warm-up counts, a shard's steps are halves
    total = found["gradients"] + found["evaluations"]
    assert diagnostics.evaluations(laminar_result) == total
    assert table.loc["alpha", "ess_per_1000_evaluations"] == pytest.approx(
        1000 * table.loc["alpha", "ess_bulk"] / total
    )
    widths = [
        np.ptp(np.quantile(laminar_result[group]["alpha"], [0.05, 0.95]))
        for group in ("posterior", "prior")
    ]
    assert table.loc["alpha", "of_prior"] == pytest.approx(widths[0] / widths[1])
    assert table["of_uncorrected"].isna().all()
    assert diagnostics.growth(laminar_result) == ""


def test_intervals_are_compared_with_those_of_independent_noise(speckle_result):
    names = ["alpha", "contrast"]
    table = diagnostics.summary(speckle_result, names)
    ends = [
        np.quantile(speckle_result[group][name], [0.05, 0.95], axis=(0, 1))
        for name in names
        for group in ("posterior", "warm_start")
    ]
    widths = [high - low for low, high in ends]
    assert table.loc["alpha", "of_uncorrected"] == pytest.approx(float(widths[0] / widths[1]))
    np.testing.assert_allclose(table["of_uncorrected"].iloc[1:], widths[2] / widths[3])
    ratio = diagnostics.summary(speckle_result)["of_uncorrected"]
    assert ratio.median() > 1.2
    assert f"are {ratio.median():.1f} times as wide" in diagnostics.growth(speckle_result)
    assert f"over {3 + 6} parameters" in diagnostics.growth(speckle_result)


def test_the_interval_says_what_it_is(laminar_result, speckle_result):
    corrected = with_noise(speckle_result, "corrected")
    labels = [diagnostics.interval_label(t) for t in (speckle_result, corrected, laminar_result)]
    assert labels == [
        "90 % interval",
        "90 % interval, corrected least squares",
        "90 % interval, uncorrected",
    ]
    speckle, corrected, independent = (
        " ".join(diagnostics.warnings(tree)) for tree in (speckle_result, corrected, laminar_result)
    )
    assert "much too narrow. Fit with --noise speckle" in independent
    assert "valid, but wider than need be" in corrected
    assert "--noise" not in speckle
    assert "uncorrected" not in speckle + corrected


def with_noise(tree, noise, **tests):
    """Return a copy of a result whose noise has this name, and these (chi2, dof, p) of misfit."""
    tree = tree.copy(deep=True)
    tree.attrs["noise"] = noise
    for kind, values in tests.items():
        for name, value in zip(("chi2", "dof", "p"), values, strict=True):
            tree["noise"][name].loc[{"kind": kind}] = value
    return tree


def test_a_model_that_fits_is_said_to_fit(speckle_result, laminar_result):
    (sentence,) = diagnostics.misfit(speckle_result)
    table = diagnostics.misfit_tests(speckle_result)
    assert table.index[0] == "all"
    np.testing.assert_allclose(table["p_adjusted"], np.minimum(len(table) * table["p"], 1))
    assert sentence.startswith("No departure from the model was found")
    assert f"the smallest p is {table['p'].min():.2g}" in sentence
    assert diagnostics.departures(speckle_result) == []
    assert not any("No departure" in one for one in diagnostics.warnings(speckle_result))
    assert diagnostics.misfit(laminar_result) == []
    assert diagnostics.misfit_tests(laminar_result).empty


def test_departures_are_named_the_worst_first(speckle_result):
    tree = with_noise(
        speckle_result,
        "speckle",
        all=(90.0, 12, 1e-13),
        contrast=(30.0, 1, 4e-8),
        shape=(40.0, 1, 2.5e-10),
        rate=(14.0, 5, 0.015),
    )
    assert diagnostics.departures(tree) == ["shape", "contrast"]
    first, second, third = diagnostics.misfit(tree)
    assert first == (
        f"The data depart from the model: {KINDS['shape'].meaning} (shape: χ² = 40.0 on 1, "
        f"p < 10⁻⁶); {KINDS['contrast'].meaning} (contrast: χ² = 30.0 on 1, p < 10⁻⁶)."
    )
    assert "effective values of the nearest model" in second
    assert "maps of whitened residuals" in third
    assert set(diagnostics.misfit(tree)) < set(diagnostics.warnings(tree))


def test_kinds_that_cannot_be_tested_do_not_count(speckle_result):
    tree = with_noise(speckle_result, "speckle", all=(25.0, 10, 0.0019), angle=(0.0, 0, np.nan))
    table = diagnostics.misfit_tests(tree)
    assert "angle" not in table.index
    assert table.loc["all", "p_adjusted"] == pytest.approx(5 * 0.0019)
    assert diagnostics.departures(tree) == ["all"]
    assert "no kind departs alone" in diagnostics.misfit(tree)[0]


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
    tree["warm_start"].attrs["outcome"] = "iteration limit"
    tree["posterior"]["alpha"][0] += 1.0
    tree["posterior"]["D0"] *= 200
    first, *others = diagnostics.warnings(tree)
    assert "uncorrected for correlated noise" in first
    sentences = " ".join(others)
    for text in (
        "ended with: iteration limit",
        "R-hat exceeds 1.01 for ",
        "alpha",
        "Å²/s lies outside the range 1 to 1e+06",
    ):
        assert text in sentences


def uncertified(tree, draws_from, refused, nuts=False, **settings):
    """Return a copy of a result whose certificate refuses it."""
    tree = tree.copy(deep=True)
    changes = {"certified": 0, "draws_from": draws_from, "refused": refused}
    tree["certificate"].attrs |= files.as_attributes(changes)
    tree.attrs["settings"] = json.dumps(json.loads(tree.attrs["settings"]) | settings)
    if nuts:
        lp = tree["sample_stats"]["lp"]
        tree["sample_stats"]["diverging"] = xr.zeros_like(lp, dtype=bool)
    return tree


def test_an_uncertified_merge_says_what_to_do(laminar_result):
    name = "consensus merge of 4 shards"
    settings = {"merge": "consensus", "num_shards": 4, "rescue_pairs": 100}
    tree = uncertified(laminar_result, name, [f"{name}: k-hat is 0.93, not below 0.7"], **settings)
    assert diagnostics.certificate(tree) == (
        f"NOT CERTIFIED: the draws are those of the {name}, unweighted."
    )
    assert diagnostics.refused(tree) == [f"{name}: k-hat is 0.93, not below 0.7."]
    assert diagnostics.advice(tree) == [
        "Merge by the rule cavity, which is exactest.",
        "Deal fewer shards: lower num_shards.",
        "Let NUTS on all the data take over: raise rescue_pairs, now 100, well above the 570 pairs "
        "of the data, or choose method full.",
    ]
    assert not any("k-hat" in sentence for sentence in diagnostics.warnings(tree))


def test_uncertified_nuts_says_what_to_do(laplace_result):
    name = "NUTS on all the data"
    refused = [f"{name}: R-hat is 1.020, above 1.01", f"{name}: 3 of 800 transitions diverged"]
    tree = uncertified(laplace_result, name, refused, nuts=True)
    assert diagnostics.certificate(tree) == (
        "NOT CERTIFIED: the draws are those of NUTS on all the data, which did not converge."
    )
    assert diagnostics.advice(tree) == [
        "Draw more: raise num_warmup and num_samples.",
        "Raise target_accept_prob towards 1, so that transitions diverge less.",
    ]
    tree["posterior"]["alpha"][0] += 1.0
    assert not any("R-hat" in sentence for sentence in diagnostics.warnings(tree))
    tree["certificate"].attrs["certified"] = 1
    assert diagnostics.certificate(tree) == (
        "Certified: the draws are those of NUTS on all the data, which converged."
    )
    assert diagnostics.advice(tree) == []
    assert any("R-hat exceeds 1.01" in sentence for sentence in diagnostics.warnings(tree))


def test_same_seed_same_draws(laminar_data, laminar_result):
    config = FitConfig(noise="independent", num_shards=2, num_warmup=200, num_samples=200)
    again = fit(laminar_data, config)
    xr.testing.assert_identical(
        again["posterior"].to_dataset(), laminar_result["posterior"].to_dataset()
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "found no such file"), (b"not netcdf", "cannot be read"), (b"", "cannot be read")],
)
def test_files_that_are_no_result(tmp_path, content, message):
    path = tmp_path / "result.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        store.read(path)


def test_data_files_are_no_result(tmp_path, laminar_data):
    from homodyne_bayes.data import writing

    writing.write_netcdf(tmp_path / "data.nc", laminar_data)
    with pytest.raises(InputError, match="found no group 'posterior'"):
        store.read(tmp_path / "data.nc")


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
