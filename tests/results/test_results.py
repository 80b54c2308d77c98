"""The result file: round trip, ArviZ, provenance, and the numbers made from it."""

import json
import shutil

import arviz as az
import h5py
import jax
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from homodyne_bayes import FitConfig, InputError, TwoTimeData, environment, files
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.inference import density
from homodyne_bayes.physics.points import each_map
from homodyne_bayes.results import diagnostics, influence, sentences, store
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.view import Result
from tests.truth import COORDINATES, PARAMETERS

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
    assert json.loads(attrs["priors"])["phi0"] == "Uniform(-90, 90)"
    assert set(environment.LIBRARIES) == set(json.loads(attrs["versions"]))
    assert json.loads(attrs["provenance"])["truth"]["phi0"] == 3.0


def test_shapes_of_the_groups(laminar_result, laplace_result):
    sizes = {name: dict(node.sizes) for name, node in laminar_result.children.items()}
    draws = {"chain": 4, "draw": 200}
    assert sizes["posterior"] == sizes["approximation"] == draws | {"phi": 3}
    assert sizes["sample_stats"] == sizes["log_prior"] == draws
    assert sizes["log_likelihood"] == draws | {"phi": 3}
    assert sizes["sub_posteriors"] == {"shard": 2} | draws | {"phi": 3}
    assert sizes["sub_sample_stats"] == {"shard": 2} | draws
    assert sizes["shard_checks"] == {"shard": 2, "coordinate": 14}
    assert set(sizes["certificate"]) == {"attempt"}
    assert sizes["rates"] == draws | {"time": 20}
    assert sizes["cuts"] == {"phi": 3, "age": 3, "lag": 19, "level": 5}
    maps, points = {"phi": 3, "t1": 20, "t2": 20}, {"point": 102}
    assert sizes["fitted"] == maps
    assert sizes["observed_data"] == maps | points
    assert sizes["posterior_predictive"] == {"chain": 4, "draw": 25} | points
    assert sizes["prior_predictive"] == {"chain": 1, "draw": 100} | points
    assert sizes["still"] == draws
    of_shards = {"sub_posteriors", "sub_sample_stats", "shard_checks"}
    assert set(laminar_result.children) - set(laplace_result.children) == of_shards


def test_log_densities_are_those_of_the_draws(laminar_result, laminar_data):
    """Prior and likelihood, stored, add up to the density of the maps at the draws."""
    places = ("log_prior/prior", "sample_stats/log_likelihood", "sample_stats/lp")
    prior, likelihood, lp = (laminar_result[place].values for place in places)
    np.testing.assert_array_equal(prior + likelihood, lp)
    by_map = laminar_result["log_likelihood"]["c2"]
    np.testing.assert_allclose(by_map.sum("phi"), likelihood, rtol=1e-9)
    model = plan(laminar_data, FitConfig(noise="independent")).model
    shards = each_map(laminar_data)
    draws = laminar_result["unconstrained_posterior"].to_dataset()
    for at in ({"chain": 0, "draw": 0}, {"chain": 3, "draw": 120}):
        values = {name: draws[name].isel(at).values for name in draws.data_vars}
        theta, _ = ravel_pytree(values)
        expected = density.log_density(model, shards, theta)
        assert float(lp[at["chain"], at["draw"]]) == pytest.approx(float(expected), abs=1e-3)
        _, each = density.log_prior_and_likelihoods(model, shards, theta)
        np.testing.assert_allclose(by_map.isel(at), each, atol=1e-3)


def test_certificate_counts_and_judges(laminar_result, laplace_result):
    for tree in (laminar_result, laplace_result):
        found = tree["certificate"]
        assert found.attrs["certified"] == 1
        assert found.attrs["draws_from"] == "reweighted draws"
        total = 800 * found.sizes["attempt"]
        assert found.attrs["evaluations"] == int(found["num_evaluations"].sum()) == total
        assert float(found["k_hat"][-1]) < 0.7
        assert 400 <= float(found["ess"][-1]) <= total
        assert Result(tree).refused() == Result(tree).advice() == []
        said = sentences.certificate(Numbers(tree))
        assert said.startswith(f"{total} draws of proposals were weighed")
        worth = f"worth {float(found['ess'][-1]):.0f} independent ones"
        assert worth in Result(tree).marks[0].sentence
    assert str(laplace_result["certificate"]["proposal"].values[0]) == "least squares fit"
    assert sentences.method(Numbers(laminar_result)) == "consensus: cavity merge of 2 shards"


def test_two_methods_give_one_posterior(laminar_result, laplace_result):
    """Certified draws of both methods: means within Monte Carlo error, and evidences."""
    ours, theirs = (diagnostics.summary(tree) for tree in (laminar_result, laplace_result))
    error = np.sqrt(ours["sd"] ** 2 / ours["ess"] + theirs["sd"] ** 2 / theirs["ess"])
    assert (np.abs(ours["mean"] - theirs["mean"]) < 4.5 * error).all()
    assert min(ours["ess"].min(), theirs["ess"].min()) > 80
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
    table = influence.sensitivity(laminar_result)
    of_angles, rates = ["contrast", "offset"], ["D", "gamma_dot"]
    assert list(table.index) == [*COORDINATES, "phi0", *of_angles, *rates]
    for column in ("prior", "likelihood"):
        found = az.psense(laminar_result, var_names=["D_bend", "phi0"], group=column)
        for name in ("D_bend", "phi0"):
            assert table.loc[name, column] == pytest.approx(float(found[name]))
    for _, row in table.iterrows():
        conflict, weak = "prior-data conflict", "strong prior / weak likelihood"
        expected = "" if row["prior"] <= 0.05 else conflict if row["likelihood"] > 0.05 else weak
        assert row["diagnosis"] == expected
    assert table.loc["D_bend", "prior"] > 3 * table.loc["phi0", "prior"]


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
        1000 * table.loc["alpha", "ess"] / total
    )
    widths = [
        np.ptp(np.quantile(laminar_result[group]["alpha"], [0.05, 0.95]))
        for group in ("posterior", "prior")
    ]
    assert table.loc["alpha", "of_prior"] == pytest.approx(widths[0] / widths[1])
    assert table["of_uncorrected"].isna().all()
    assert sentences.growth(Numbers(laminar_result)) == ""


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
    assert f"are {ratio.median():.1f} times as wide" in sentences.growth(Numbers(speckle_result))
    assert f"over {3 + 6} parameters" in sentences.growth(Numbers(speckle_result))


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


@pytest.fixture(scope="module")
def result_store(laminar_result, tmp_path_factory):
    """The same result as a zarr store."""
    path = tmp_path_factory.mktemp("result") / "result.zarr"
    store.write(laminar_result, path)
    return path


def test_round_trip_through_zarr(laminar_result, tmp_path):
    """Also over an older store, and as other programs read it."""
    path = tmp_path / "result.zarr"
    path.mkdir()
    (path / files.STORED).write_text("{}")
    Result(laminar_result).save(path)
    assert [found.name for found in tmp_path.iterdir()] == ["result.zarr"]
    again = store.read(path)
    assert again.attrs == laminar_result.attrs
    for name in laminar_result.children:
        xr.testing.assert_identical(again[name].to_dataset(), laminar_result[name].to_dataset())
    assert az.from_zarr(path)["posterior"].sizes == laminar_result["posterior"].sizes


def test_a_store_is_whole_or_not_there(laminar_result, result_store, tmp_path, monkeypatch):
    path = tmp_path / "result.zarr"
    shutil.copytree(result_store, path)

    def fails(tree, folder, **settings):
        folder.mkdir()
        (folder / "some").write_bytes(b"of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.DataTree, "to_zarr", fails)
    with pytest.raises(InputError, match=r"could not be written .*is the disk full"):
        store.write(laminar_result, path)
    assert [found.name for found in tmp_path.iterdir()] == ["result.zarr"]
    assert store.read(path).attrs == laminar_result.attrs


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "posterior/alpha/0.0").unlink(), "chunks of posterior/alpha, found"),
        (lambda path: (path / "posterior/alpha/0.0").write_bytes(b"?"), "cannot be read"),
        (lambda path: (path / ".zmetadata").unlink(), "expected a zarr store"),
        (lambda path: (path / ".zmetadata").write_bytes(b"{"), "cannot be read"),
        (lambda path: (path / "more").symlink_to(path.parent), "found a link"),
    ],
)
def test_damaged_stores_end_in_a_sentence(result_store, tmp_path, damage, message):
    path = tmp_path / "result.zarr"
    shutil.copytree(result_store, path)
    damage(path)
    with pytest.raises(InputError, match=message):
        store.read(path)


def test_a_store_does_not_replace_what_is_none(laminar_result, tmp_path):
    (tmp_path / "result.zarr").mkdir()
    with pytest.raises(InputError, match="found something else there"):
        store.write(laminar_result, tmp_path / "result.zarr")
    with pytest.raises(InputError, match="found a folder"):
        store.write(laminar_result, tmp_path)
