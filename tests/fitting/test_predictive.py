"""Bands of lag cuts: what they are made of, and that new measurements fall into them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.data.checks import pairs_of
from homodyne_bayes.fitting import predictive, replicates
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import map_grid
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.results.diagnostics import group
from tests.truth import DIFFUSION, STATIC

NUM_AGAIN = 60


def plain_cut(c2, usable, first, last, lag):
    """Return the average of one map over starts first to last at a lag in frames."""
    starts = [s for s in range(first, last + 1) if usable[s] and usable[s + lag]]
    return np.mean([c2[s, s + lag] for s in starts]) if starts else np.nan


def again(tree, key, count=NUM_AGAIN):
    """Return measured cuts, (count, P, A, L), of new speckle like that of `speckle_result`."""
    usable = group(tree, "constant_data")["usable"].values
    cuts = predictive.cuts_of(pairs_of(usable))
    experiment = simulate.Experiment(MODELS["static"], (-60.0, 0.0, 60.0), usable.shape[1], STATIC)
    maps = (
        simulate.speckle(one, experiment, 4000, mean_photons=2.0).c2
        for one in jax.random.split(key, count)
    )
    return np.stack([predictive.measured(c2, cuts) for c2 in maps])


def held(tree, measured):
    """Return the share of measured points in the light band, and whether each is in."""
    bands = group(tree, "cuts")["replicated"].values
    known = np.isfinite(bands[0])
    return ((measured >= bands[0]) & (measured <= bands[-1]))[..., known].mean()


def test_cuts_average_measured_entries_over_starts(speckle_result):
    cuts = group(speckle_result, "cuts")
    c2 = group(speckle_result, "observed_data")["c2"].values
    usable = group(speckle_result, "constant_data")["usable"].values
    time = group(speckle_result, "observed_data")["t1"].values
    for p, a in np.ndindex(cuts["begin"].shape):
        first, last = np.searchsorted(time, [cuts[end].values[p, a] for end in ("begin", "end")])
        for lag in range(1, len(time)):
            inside = last + lag < len(time)
            expected = plain_cut(c2[p], usable[p], first, last, lag) if inside else np.nan
            np.testing.assert_allclose(cuts["measured"].values[p, a, lag - 1], expected)


def test_several_starts_are_averaged_without_those_not_measured():
    c2 = np.random.default_rng(0).normal(size=(2, 62, 62))
    usable = np.ones((2, 62), bool)
    usable[0, :4] = usable[0, 21] = usable[1, 2] = False
    cuts = predictive.cuts_of(pairs_of(usable))
    found = predictive.measured(c2, cuts)
    assert cuts.starts[:, 0, :, 0].tolist() == [[4, 5, 5], [0, 1, 3]]
    for p, first, last in ((0, 4, 5), (1, 0, 3)):
        for lag in range(1, 62):
            inside = last + lag < 62
            expected = plain_cut(c2[p], usable[p], first, last, lag) if inside else np.nan
            np.testing.assert_allclose(found[p, 0, lag - 1], expected)


def test_dark_band_and_median_are_quantiles_of_curves_at_draws(speckle_result):
    fixed, cuts = (group(speckle_result, name) for name in ("constant_data", "cuts"))
    usable = fixed["usable"].values
    grid = map_grid(fixed["phi"].values, usable.shape[1], float(fixed["dt"]), float(fixed["q"]))
    for name, drawn in (("posterior", "posterior"), ("prior", "prior")):
        draws = group(speckle_result, drawn).stack(sample=("chain", "draw"))
        at = np.linspace(0, draws.sizes["sample"] - 1, 100).round().astype(int)
        curves = []
        for i in at:
            one = draws.isel(sample=i)
            law = [jnp.asarray(float(one[name])) for name in DIFFUSION]
            D = kernels.History(grid.time, POWER_LAW.integral(grid.time, *law))
            c2 = kernels.g2(grid, kernels.g1(grid, D), one["contrast"].values, one["offset"].values)
            curves.append(predictive.measured(np.asarray(c2), predictive.cuts_of(pairs_of(usable))))
        expected = np.quantile(curves, predictive.LEVELS, axis=0)
        np.testing.assert_allclose(cuts[name], expected, rtol=1e-9)


def test_scatter_is_the_sum_over_all_pairs_of_averaged_entries():
    rng = np.random.default_rng(1)
    usable = np.ones((1, 64), bool)
    usable[0, 5] = False
    cuts = predictive.cuts_of(pairs_of(usable))
    root = rng.normal(size=(64, 64))
    S = root @ root.T / 64
    found = predictive.speckle_scatter(S[None], np.array([0.3]), cuts)
    for age, first in enumerate(cuts.starts[0, :, 0, 0]):
        starts = cuts.starts[0, age, :, 0]
        lag = 4
        pairs = [(s, s + lag) for s in starts if usable[0, s + lag]]
        K = [S[a, c] * S[b, d] + S[a, d] * S[b, c] for a, b in pairs for c, d in pairs]
        np.testing.assert_allclose(
            found[0, age, lag - 1], np.sqrt(0.3 * np.sum(K)) / len(pairs), err_msg=str(first)
        )
    alone = predictive.independent_scatter(2.0, cuts)
    np.testing.assert_allclose(alone[0, 0, 9], 2 / np.sqrt(3))


def test_new_measurements_scatter_as_said(speckle_result):
    measured = again(speckle_result, jax.random.key(7))
    said = group(speckle_result, "cuts")["scatter"].values
    ratio = (measured.std(axis=0, ddof=1) / said)[np.isfinite(measured[0])]
    assert np.sqrt((ratio**2).mean()) == pytest.approx(1, abs=0.1)


def test_independent_noise_scatters_by_its_sigma(laminar_result):
    cuts = group(laminar_result, "cuts")
    sigma = group(laminar_result, "posterior")["sigma"].values
    known = np.isfinite(cuts["measured"].values)
    np.testing.assert_allclose(cuts["scatter"].values[known], np.sqrt((sigma**2).mean()))
    share = held(laminar_result, cuts["measured"].values)
    assert 0.85 <= share <= 0.96  # of 300 points


def test_light_band_is_posterior_and_scatter_together(speckle_result):
    cuts = group(speckle_result, "cuts")
    low, high = cuts["replicated"].sel(level=0.05), cuts["replicated"].sel(level=0.95)
    dark = cuts["posterior"].sel(level=0.95) - cuts["posterior"].sel(level=0.05)
    width = np.sqrt(dark**2 + (2 * 1.645 * cuts["scatter"]) ** 2)
    np.testing.assert_allclose(high - low, width.where(np.isfinite(low)), rtol=0.1)


@pytest.mark.slow
def test_light_bands_hold_nine_in_ten_of_new_points(speckle_result):
    """Sixteen fits, 60 new measurements each; points of an angle move together."""
    experiment = simulate.Experiment(MODELS["static"], (-60.0, 0.0, 60.0), 24, STATIC)
    shares = []
    for key in jax.random.split(jax.random.key(11), 16):
        own, new = jax.random.split(key)
        data = simulate.speckle(own, experiment, 4000, mean_photons=2.0)
        data = replace(data, usable=np.broadcast_to(np.arange(24) != 7, (3, 24)))
        tree = fit(data, FitConfig(model="static", method="laplace", num_samples=200))
        shares.append(held(tree, again(tree, new)))
    assert np.mean(shares) == pytest.approx(0.9, abs=0.03), shares


def test_replications_are_draws_of_the_bands_and_maps_are_apart(speckle_result):
    drawn = group(speckle_result, "posterior_predictive")["cut"]
    assert (drawn.sizes["chain"], drawn.sizes["draw"]) == (4, 25)
    at = {name: drawn[name].values for name in ("azimuth", "start", "lag")}
    cuts, maps = group(speckle_result, "cuts"), group(speckle_result, "observed_data")
    p = np.searchsorted(cuts["phi"], at["azimuth"])
    begin = [cuts["begin"].values[i].tolist() for i in p]
    a = np.array([own.index(start) for own, start in zip(begin, at["start"], strict=True)])
    lag = np.searchsorted(cuts["lag"], at["lag"] - 1e-9)
    np.testing.assert_array_equal(maps["cut"], cuts["measured"].values[p, a, lag])
    low, high = (cuts["replicated"].sel(level=end).values[p, a, lag] for end in (0.05, 0.95))
    inside = (drawn >= low) & (drawn <= high)
    assert float(inside.mean()) == pytest.approx(0.9, abs=0.03)
    apart = np.corrcoef(drawn.values.reshape(100, -1).T)[np.ix_(p == 0, p == 1)]
    assert abs(apart).mean() < 0.15


def test_points_of_replications_move_together_as_their_entries_do():
    root = np.random.default_rng(0).normal(size=(64, 64))
    S, usable = (root @ root.T / 64)[None], np.ones((1, 64), bool)
    usable[0, 5] = False
    cuts = predictive.cuts_of(pairs_of(usable))
    points, scale = replicates.points_of(cuts), np.array([0.3])
    draws = [
        replicates.speckle_noise(np.random.default_rng(seed), S, scale, cuts, points, 20000)
        for seed in (1, 1)
    ]
    np.testing.assert_array_equal(*draws)
    found = np.cov(draws[0].T)
    sd = predictive.speckle_scatter(S, scale, cuts)[points]
    np.testing.assert_allclose(np.sqrt(np.diag(found)), sd, rtol=0.03)
    for i, j in ((0, 1), (0, 30), (12, 40), (25, 26)):
        one, other = (
            [(s, s + lag + 1) for s in cuts.starts[0, age, :, 0] if usable[0, s + lag + 1]]
            for age, lag in ((points.age[at], points.lag[at]) for at in (i, j))
        )
        K = [S[0, a, c] * S[0, b, d] + S[0, a, d] * S[0, b, c] for a, b in one for c, d in other]
        expected = 0.3 * np.sum(K) / len(one) / len(other)
        assert found[i, j] == pytest.approx(expected, abs=0.03 * sd[i] * sd[j])
