"""Every public plot and statistic of ArviZ takes a result, or there is a reason why not."""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from homodyne_bayes.results.view import Result

TWO = {"var_names": ["phi0", "contrast"]}
CUT = {"var_names": ["cut"]}
PLOTS = {
    **dict.fromkeys(
        (
            "plot_autocorr",
            "plot_convergence_dist",
            "plot_dgof",
            "plot_dgof_dist",
            "plot_dist",
            "plot_ess",
            "plot_ess_evolution",
            "plot_forest",
            "plot_mcse",
            "plot_pair",
            "plot_parallel",
            "plot_prior_posterior",
            "plot_rank",
            "plot_rank_dist",
            "plot_ridge",
            "plot_trace",
            "plot_trace_dist",
        ),
        TWO,
    ),
    **dict.fromkeys(
        ("plot_ppc_dist", "plot_ppc_dist_pit", "plot_ppc_interval", "plot_ppc_pit"), CUT
    ),
    "plot_ppc_tstat": CUT | {"t_stat": "max"},
    "plot_pair_focus": {"focus_var": "alpha", "var_names": ["D0", "phi0"]},
    "plot_bf": {"var_names": ["alpha"], "ref_val": -0.3},
}
OF_VIEW = {name: {"var_names": ["α"]} for name in ("plot_psense_dist", "plot_psense_quantities")}
OF_OTHERS = {
    "plot_khat": lambda tree: az.loo(tree, pointwise=True),
    "plot_compare": lambda tree: az.compare({"one": tree, "the same": tree}),
    "plot_energy": lambda tree: of_shard(tree, 0),
}
TOGETHER = (
    "needs the density of every predicted point, while points of a map move together: a map is "
    "left out at a time"
)
BINARY = "is of data that are yes or no"
NO_PLOT = {
    "plot_ecdf_pit": "is of simulation-based calibration, which keeps a file of its own",
    "plot_lm": "is of one covariate, while cuts have azimuth, start and lag",
    "plot_loo_interval": TOGETHER,
    "plot_loo_pava": BINARY,
    "plot_loo_pit": TOGETHER,
    "plot_ppc_censored": "is of times to an event",
    "plot_ppc_pava": BINARY,
    "plot_ppc_pava_residuals": BINARY,
    "plot_ppc_rootogram": "is of counts",
}
STATISTICS = {
    **dict.fromkeys(
        (
            *("diagnose", "ess", "eti", "hdi", "histogram", "iqr", "kde", "mad", "mcse", "mean"),
            *("median", "mode", "psense", "psense_summary", "qds", "rhat", "std", "summary"),
            *("thin", "var"),
        ),
        TWO,
    ),
    "bayes_factor": {"var_names": ["alpha"], "ref_vals": -0.3},
    "ci_in_rope": {"var_names": ["alpha"], "rope": (-1, 0)},
    "get_log_likelihood": {},
    "loo": {},
    "loo_subsample": {"observations": 2},
    "metrics": {"var_name": "cut"},
    "rhat_nested": TWO | {"superchain_ids": [0, 0, 1, 1]},
}
SPECIAL = {
    "bfmi": lambda tree: az.bfmi(of_shard(tree, 1)),
    "compare": lambda tree: az.compare({"one": tree, "the same": tree}),
    "ecdf": lambda tree: az.ecdf(tree["posterior"].dataset[["phi0"]]),
    "hexbin": lambda tree: az.hexbin(*two(tree)),
    "histogram2d": lambda tree: az.histogram2d(*two(tree)),
    "kde2d": lambda tree: az.kde2d(*two(tree)),
    "kl_divergence": lambda tree: az.kl_divergence(tree, tree, var_names=["phi0"]),
    "loo_approximate_posterior": lambda tree: az.loo_approximate_posterior(
        tree, *2 * [tree["sample_stats"]["lp"]]
    ),
    "loo_i": lambda tree: az.loo_i(0, tree),
    "wasserstein": lambda tree: az.wasserstein(tree, tree, var_names=["phi0"], joint=False),
    "weight_predictions": lambda tree: az.weight_predictions([tree, tree], weights=[0.5, 0.5]),
}
FITS_AGAIN = "fits again: leave maps out by `--angles` and fit"
R2 = "is of a regression, with one predicted mean and one scale a point"
NO_STATISTIC = {
    **dict.fromkeys(("bayesian_r2", "residual_r2", "loo_r2"), R2),
    **dict.fromkeys(
        ("loo_expectations", "loo_influence", "loo_metrics", "loo_pit", "loo_score"), TOGETHER
    ),
    **dict.fromkeys(("loo_kfold", "reloo", "loo_moment_match", "update_subsample"), FITS_AGAIN),
    **dict.fromkeys(("generate_survival_curves", "kaplan_meier"), "is of times to an event"),
    "get_function": "is a look-up by name",
    "lfo_cv": "is of a series in time, of which maps are not",
}


def of_shard(tree, shard):
    """Return the chains of a shard as a tree; final draws that were weighed have no energy."""
    names = {"posterior": "sub_posteriors", "sample_stats": "sub_sample_stats"}
    return xr.DataTree.from_dict(
        {name: tree[group].to_dataset().isel(shard=shard) for name, group in names.items()}
    )


def two(tree):
    return tree["posterior"]["alpha"], tree["posterior"]["phi0"]


def public(wanted):
    functions = ((name, getattr(az, name)) for name in dir(az))
    return {name for name, f in functions if callable(f) and not isinstance(f, type) and wanted(f)}


def test_the_tables_name_all_there_is():
    plots = public(lambda f: getattr(f, "__name__", "").startswith("plot_"))
    assert {*PLOTS, *OF_VIEW, *OF_OTHERS, *NO_PLOT} == plots
    statistics = public(lambda f: f.__module__.startswith("arviz_stats"))
    assert {*STATISTICS, *SPECIAL, *NO_STATISTIC} == statistics


@pytest.mark.filterwarnings("ignore:Estimated shape parameter", "ignore:Reference value")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_plot_draws(laminar_result):
    view = Result(laminar_result).for_arviz
    trees = [(PLOTS, laminar_result), (OF_VIEW, view)]
    calls = [(name, tree, settings) for table, tree in trees for name, settings in table.items()]
    calls += [(name, made(laminar_result), {}) for name, made in OF_OTHERS.items()]
    for name, tree, settings in calls:
        assert getattr(az, name)(tree, **settings) is not None, name
        plt.close("all")


def test_plots_of_the_view_need_no_names(laminar_result):
    view = Result(laminar_result).for_arviz
    az.plot_ppc_dist(view)
    az.plot_ppc_dist(view, group="prior_predictive")
    plt.close("all")
    assert view.attrs == laminar_result.attrs
    alpha = laminar_result["posterior"]["alpha"]
    np.testing.assert_array_equal(view["posterior"]["α"], alpha)
    assert "alpha" not in view["posterior"]
    assert "alpha" in laminar_result["posterior"]
    with pytest.raises(ValueError, match="alpha already exists"):  # the day this fails, rename none
        az.plot_psense_dist(laminar_result, var_names=["phi0"])


@pytest.mark.filterwarnings("ignore:Estimated shape parameter", "ignore:Reference value")
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:In a future version of xarray")
def test_every_statistic_is_found(laminar_result, capsys):
    for name, settings in STATISTICS.items():
        assert getattr(az, name)(laminar_result, **settings) is not None, name
    for name, found in SPECIAL.items():
        assert found(laminar_result) is not None, name
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_one_map_is_left_out_at_a_time(laminar_result):
    loo = az.loo(laminar_result, pointwise=True)
    assert loo.n_data_points == 3
    assert loo.elpd_i.dims == ("phi",)
    assert loo.elpd < float(laminar_result["log_likelihood"]["c2"].sum("phi").max())


def test_the_schema_is_kept(laminar_result):
    attrs = laminar_result.attrs
    for name in ("created_at", "creation_library_version", "inference_library_version"):
        assert attrs[name]
    assert attrs["creation_library"] == "homodyne-bayes"
    assert attrs["sampling_time"] > 0
    for group in ("posterior", "sample_stats"):
        found = laminar_result[group].attrs
        assert found["inference_library"] == "numpyro"
        assert found["tuning_steps"] == 200
        assert "created_at" not in found
    assert "sub_sample_stats" in laminar_result["sample_stats"].attrs["diagnostics"]
    shards = laminar_result["sub_sample_stats"]
    depth = shards["tree_depth"].values
    assert (2 ** (depth - 1) <= shards["n_steps"]).all()
    assert (shards["n_steps"] < 2**depth).all()
