"""Figures show the numbers of the result, and only those that were fitted."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from homodyne_bayes.results import figures, figures_of_maps, influence, variables
from tests.truth import DIFFUSION, LAMINAR


def edited(tree, **groups):
    """Return a copy of a result with some groups replaced."""
    copy = xr.DataTree.from_dict(
        {name: groups.get(name, child.to_dataset()) for name, child in tree.children.items()}
    )
    copy.attrs = dict(tree.attrs)
    return copy


def by_nuts(tree):
    """Return a copy of a result that calls its draws chains of NUTS on all the data."""
    tree = tree.copy(deep=True)
    tree["sample_stats"]["diverging"] = xr.zeros_like(tree["sample_stats"]["lp"], dtype=bool)
    return tree


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_draws_without_pyplot(name, laminar_result, speckle_result):
    row = figures.FIGURES[name]
    others = {"whitened": speckle_result, "traces": by_nuts(laminar_result)}
    tree = others.get(name, laminar_result)
    assert row.applies(tree)
    figure = row.draw(tree)
    figure.draw_without_rendering()
    assert isinstance(figure, Figure)
    assert figure.axes
    assert row.caption.endswith(".")
    assert plt.get_fignums() == []


def test_maps_show_measured_fitted_and_residual_of_every_angle(laminar_result):
    figure = figures.maps(laminar_result)
    images = [ax.images[0] for ax in figure.axes if ax.images and ax.get_title()]
    residuals = [image for image in images if "residual" in image.axes.get_title()]
    assert len(images) == 9
    assert len(figure.axes) == 9 + 2  # colour bars
    expected_values = figures_of_maps.residuals(laminar_result).values
    for image, expected in zip(residuals, expected_values, strict=True):
        shown = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(shown, expected.T)
        assert image.origin == "lower"
        assert image.get_clim()[0] == -image.get_clim()[1]


def test_residuals_are_in_units_of_sigma_without_the_diagonal(laminar_result):
    groups = {name: figures.group(laminar_result, name) for name in ("observed_data", "fitted")}
    sigma = laminar_result["posterior"]["sigma"].values.mean()
    expected = (groups["observed_data"]["c2"].values - groups["fitted"]["c2"].values) / sigma
    residuals = figures_of_maps.residuals(laminar_result).values
    away = ~np.eye(residuals.shape[-1], dtype=bool)
    np.testing.assert_allclose(residuals[:, away], expected[:, away])
    assert np.isnan(residuals[:, ~away]).all()


def test_residuals_without_sigma_are_in_units_of_their_own_scatter(speckle_result):
    assert "sigma" not in speckle_result["posterior"]
    residuals = figures_of_maps.residuals(speckle_result)
    np.testing.assert_allclose(residuals.std(("t1", "t2")), 1)
    labels = [ax.get_ylabel() for ax in figures.maps(speckle_result).axes]
    labels += [ax.get_xlabel() for ax in figures.maps(speckle_result).axes]
    assert "residual / its sd" in labels


def test_white_entries_leave_out_the_diagonal_and_unusable_frames(speckle_result):
    entries = figures_of_maps.white_entries(speckle_result).values
    known = np.isfinite(entries)
    expected = ~np.eye(24, dtype=bool)
    expected[7] = expected[:, 7] = False
    assert (known == expected).all()
    white = speckle_result["noise"]["whitened"].values
    np.testing.assert_array_equal(entries[known], white[known])
    assert entries[known].std() == pytest.approx(1, abs=0.05)


def test_entries_of_bins_are_white_where_any_frame_is_usable(speckle_result):
    noise = figures.group(speckle_result, "noise").isel(bin1=slice(0, 8), bin2=slice(0, 8))
    noise.attrs["bin_frames"] = 3
    usable = figures.group(speckle_result, "constant_data").copy(deep=True)
    usable["usable"][:, 6:9] = False
    tree = edited(speckle_result, noise=noise, constant_data=usable)
    known = np.isfinite(figures_of_maps.white_entries(tree).values)
    assert not known[:, 2].any()
    assert known[:, 0, 1:2].all()
    assert known[0].sum() == 7 * 6


@pytest.mark.parametrize("bins", [5, 24, 60, 100])
def test_sums_over_blocks_have_unit_variance_again(bins):
    rng = np.random.default_rng(0)
    white = np.triu(rng.normal(size=(40, bins, bins)), k=1)
    white += white.swapaxes(1, 2) + np.where(np.eye(bins), np.nan, 0)
    centres = 0.1 * np.arange(bins)
    coords = {"phi": np.arange(40.0), "bin1": centres, "bin2": centres}
    blocks = figures_of_maps.white_blocks(xr.DataArray(white, coords, ("phi", "bin1", "bin2")))
    values, size = blocks.values, -(-bins // blocks.sizes["bin1"])
    assert blocks.sizes["bin1"] <= 24
    np.testing.assert_array_equal(values, values.swapaxes(1, 2))
    pairs = np.triu_indices(blocks.sizes["bin1"], k=1)
    assert np.nanvar(values[:, *pairs]) == pytest.approx(1, rel=0.1)
    if size > 1:
        diagonal = np.diagonal(values, axis1=1, axis2=2)[:, :-1]
        assert np.nanvar(diagonal) == pytest.approx(1, rel=0.2)
        entries = white[:, :size, size : 2 * size]
        np.testing.assert_allclose(values[:, 0, 1], entries.sum((1, 2)) / size)
    assert float(blocks["bin1"][0]) == pytest.approx(centres[:size].mean())


def test_whitened_residuals_show_every_angle_and_their_distribution(speckle_result):
    figure = figures.whitened(speckle_result)
    *maps, last = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in maps] == ["φ = −60°", "φ = 0°", "φ = 60°"]
    assert {ax.images[0].get_clim() for ax in maps} == {(-3.0, 3.0)}
    once = figures_of_maps.white_entries(speckle_result).values[:, *np.triu_indices(24)]
    texts = [text.get_text() for text in last.get_legend().get_texts()]
    assert texts[0] == f"entries, sd {np.nanstd(once):.2f}"
    counts, edges = last.patches[0].get_data()[:2]
    assert (counts * np.diff(edges)).sum() == pytest.approx(1)


def test_whitened_residuals_need_correlated_noise(speckle_result, laminar_result):
    """They are drawn where a result has them, whatever its noise is called."""
    other = speckle_result.copy(deep=True)
    other.attrs["noise"] = "moonlight"
    applies = figures.FIGURES["whitened"].applies
    assert [applies(t) for t in (speckle_result, other, laminar_result)] == [True, True, False]


def test_every_figure_of_a_result_without_sigma(speckle_result):
    drawn = {
        n: row.draw(speckle_result)
        for n, row in figures.FIGURES.items()
        if row.applies(speckle_result)
    }
    assert set(drawn) == set(figures.FIGURES) - {"shard_agreement", "traces"}
    for figure in drawn.values():
        figure.draw_without_rendering()
        assert any(ax.has_data() for ax in figure.axes)


def test_the_diagonal_does_not_set_the_colours(laminar_result):
    observed = figures.group(laminar_result, "observed_data").copy(deep=True)
    frames = np.arange(observed.sizes["t1"])
    observed["c2"].values[:, frames, frames] = 50.0
    before = figures.maps(laminar_result).axes[0].images[0].get_clim()
    changed = edited(laminar_result, observed_data=observed)
    after = figures.maps(changed).axes[0].images[0].get_clim()
    assert after == pytest.approx(before)


def test_rates_show_the_quantiles_of_the_draws(laminar_result):
    ax = figures.rates(laminar_result).axes[0]
    draws = laminar_result["rates"]["D"].values[..., 1:]
    factor = 10.0 ** -np.floor(np.log10(np.quantile(draws, 0.95, axis=(0, 1)).max()))
    for band, levels in zip(ax.collections, [(0.05, 0.95), (0.25, 0.75)], strict=True):
        (path,) = band.get_paths()
        low, high = factor * np.quantile(draws, levels, axis=(0, 1))
        np.testing.assert_allclose(path.vertices[:, 1].min(), low.min())
        np.testing.assert_allclose(path.vertices[:, 1].max(), high.max())
        assert set(low.round(9)) <= set(path.vertices[:, 1].round(9))
    median = next(line for line in ax.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_ydata(), factor * np.median(draws, axis=(0, 1)))
    assert "Å²/s" in ax.get_ylabel()


def test_truth_is_drawn_for_simulated_data_only(laminar_result):
    time = laminar_result["rates"]["time"].values[1:]
    D0, alpha, D_offset = (LAMINAR[name] for name in DIFFUSION)
    true = figures.true_rates(laminar_result)
    np.testing.assert_allclose(true["D"][1:], D0 * time**alpha + D_offset)
    measured = laminar_result.filter(lambda node: node.name != "true_rates")
    assert not figures.true_rates(measured)
    for tree, expected in ((laminar_result, True), (measured, False)):
        labels = [line.get_label() for line in figures.rates(tree).axes[1].lines]
        assert ("truth" in labels) is expected


def test_pairs_mark_divergent_draws(laminar_result):
    stats = figures.group(laminar_result, "sample_stats")
    diverging = xr.zeros_like(stats["lp"], dtype=bool)
    diverging[0, :3] = True
    stats = stats.assign(diverging=diverging)
    tree = edited(laminar_result, sample_stats=stats)
    names = variables.scalars(tree, variables.reported(tree))
    axes = np.reshape(figures.pairs(tree).axes, (7, 7))
    assert names == list(LAMINAR)
    marks = [line for line in axes[1, 0].lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in marks] == [3]
    D0, alpha = (tree["posterior"][name].values[0, :3] for name in ("D0", "alpha"))
    np.testing.assert_allclose(marks[0].get_ydata(), alpha)
    np.testing.assert_allclose(np.diff(np.log(marks[0].get_xdata())), np.diff(np.log(D0)))


def test_pairs_mark_divergences_of_shards_where_their_draws_were_merged(laminar_result):
    stats = figures.group(laminar_result, "sub_sample_stats").copy(deep=True)
    stats["diverging"][:] = False
    stats["diverging"][1, 0, :2] = True
    marked = figures.divergences(edited(laminar_result, sub_sample_stats=stats))
    expected = laminar_result["sub_posteriors"]["alpha"].values[1, 0, :2]
    np.testing.assert_array_equal(marked["alpha"], expected)


def test_draws_without_nuts_have_no_divergences(laplace_result):
    assert all(values.size == 0 for values in figures.divergences(laplace_result).values())


def test_shards_are_shown_beside_the_interval_of_the_result(laminar_result):
    ax = figures.shard_agreement(laminar_result).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    means = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    assert len(labels) == len(means) == 7 + 1 + 2 * 3
    posterior = laminar_result["posterior"]["log_D_ref"].values
    shards = laminar_result["sub_posteriors"]["log_D_ref"].values
    expected = (shards.mean(axis=(1, 2)) - posterior.mean()) / posterior.std()
    np.testing.assert_allclose(means[0], expected)
    assert f"χ² = {laminar_result['shard_checks'].attrs['chi2']:.1f}" in ax.get_title()


def test_figures_of_a_result_without_shards_and_nuts(laplace_result):
    drawn = [name for name, row in figures.FIGURES.items() if row.applies(laplace_result)]
    absent = ("shard_agreement", "whitened", "traces")
    assert drawn == [name for name in figures.FIGURES if name not in absent]
    for name in drawn:
        figures.FIGURES[name].draw(laplace_result).draw_without_rendering()


def test_prior_driven_coordinates_are_flagged(laminar_result):
    figure = figures.prior_posterior(laminar_result)
    flagged = [ax for ax in figure.axes if "prior-driven" in ax.get_title()]
    assert len(flagged) == len(influence.prior_driven(laminar_result)) > 0
    assert len(figure.axes) == 7
    assert all(ax.title.get_color() == figures.VERMILION for ax in flagged)


def test_traces_have_a_row_a_parameter_and_a_line_a_chain(laminar_result):
    figure = figures.traces(laminar_result)
    assert len(figure.axes) == 2 * len(variables.reported(laminar_result))
    assert len(figure.axes[0].lines) == laminar_result["posterior"].sizes["chain"]
    counts = figure.axes[1].patches[0].get_data().values
    assert counts.sum() == laminar_result["posterior"].sizes["draw"]


def test_lag_cuts_show_points_over_their_bands(speckle_result):
    figure = figures.lag_cuts(speckle_result)
    cuts = figures.group(speckle_result, "cuts")
    assert len(figure.axes) == cuts.sizes["phi"]
    for ax, measured in zip(figure.axes, cuts["measured"], strict=True):
        points = [line.get_ydata() for line in ax.lines if line.get_marker() == "."]
        assert len(points) == 3
        for age, shown in enumerate(points):
            np.testing.assert_array_equal(shown, measured[age].dropna("lag"))
        assert len(ax.collections) == 2 * 3
    assert len(figure.legends) == 1


def test_prior_predictive_shows_the_first_age(laminar_result):
    figure = figures.FIGURES["prior_predictive"].draw(laminar_result)
    prior = figures.group(laminar_result, "cuts")["prior"]
    for p, ax in enumerate(figure.axes):
        median, points = ax.lines
        known = prior.sel(level=0.5)[p, 0].dropna("lag")
        np.testing.assert_array_equal(median.get_ydata(), known)
        assert len(points.get_ydata()) == len(known)


def test_lag_cuts_need_the_group(laminar_result):
    older = xr.DataTree.from_dict(
        {name: one.to_dataset() for name, one in laminar_result.children.items() if name != "cuts"}
    )
    for name in ("lag_cuts", "prior_predictive"):
        assert not figures.FIGURES[name].applies(older)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (23, [0, 4, 9, 13, 18, 22])]
)
def test_representative_angles_span_the_azimuths(count, expected):
    phi = np.linspace(-90.0, 90.0, count)
    shown = figures.representative(xr.DataArray(phi, dims="phi"))
    assert shown.tolist() == expected
    shuffled = np.random.default_rng(1).permutation(count)
    again = figures.representative(xr.DataArray(phi[shuffled], dims="phi"))
    np.testing.assert_array_equal(phi[shuffled][again], phi[shown])


def test_many_angles_are_said_to_be_a_subset(laminar_result):
    pick = np.arange(8) % 3
    phi = np.linspace(-80.0, 80.0, 8)
    groups = {
        name: child.to_dataset().isel(phi=pick).assign_coords(phi=phi)
        for name, child in laminar_result.children.items()
        if "phi" in child.dims
    }
    tree = edited(laminar_result, **groups)
    for name in ("maps", "lag_cuts"):
        figure = figures.FIGURES[name].draw(tree)
        assert figure.get_suptitle() == "6 of 8 angles"
    axes = figures.maps(tree).axes
    assert len([ax for ax in axes if ax.images]) == 3 * 6
    assert [ax.get_title() for ax in axes[:6]] == [
        "−80°",
        "−57.14°",
        "−11.43°",
        "11.43°",
        "57.14°",
        "80°",
    ]
    assert [ax.get_ylabel().partition("\n")[0] for ax in axes[:18:6]] == [
        "measured",
        "fitted",
        "residual",
    ]
