"""Three marks: what each rests on, and that only all three are green; upper limits of no flow."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from homodyne_bayes.cli.report import print_summary
from homodyne_bayes.likelihood.information import alone
from homodyne_bayes.results import (
    diagnostics,
    flow,
    front,
    influence,
    marks,
    page,
    paper,
    quantities,
    rows,
    sentences,
)
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.view import Result
from homodyne_bayes.thresholds import Fault, faults_to_json
from tests.results.test_sentences import with_tests

SHEAR = ("gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")


def at_rest(tree, factor=-1.2):
    """Return a copy of a result with flow that has this log Bayes factor against rest."""
    tree = tree.copy(deep=True)
    tree["still"].attrs |= {"log_bayes_factor": factor, "error": 0.04, "k_hat": 0.3}
    return tree


def states(tree):
    return {mark.name: mark.state for mark in Result(tree).marks}


def resting_on_priors(tree, ratio):
    """Return a copy of a result whose level is this many times as wide by the data alone."""
    tree = tree.copy(deep=True)
    spread = tree["unconstrained_posterior"]["log_D_ref"].std()
    tree["data_alone"]["log_D_ref"] = ratio * spread
    return tree


@pytest.fixture
def decided(speckle_result):
    """A result that the data decide."""
    return resting_on_priors(speckle_result, 1.5)


def test_all_three_hold_for_right_speckle_that_the_data_decide(decided):
    found = Result(decided).marks
    assert [mark.state for mark in found] == ["yes", "yes", "yes"]
    assert marks.kind(found) == "good"
    assert page.head(Numbers(decided))["title"] == "All three marks hold"
    assert Result(decided).verdict == (
        "✓ computed right: yes  ✓ model fits: yes  ✓ decided by the data: yes"
    )


def test_each_mark_fails_alone(decided, laminar_result):
    misfit = with_tests(decided, shape=(40.0, 1, 2.5e-10))
    assert list(states(misfit).values()) == ["yes", "no", "yes"]
    refused = decided.copy(deep=True)
    faults = json.dumps(faults_to_json([Fault("k_hat", "x", (0.9,), 0.7)]))
    refused["certificate"].attrs |= {"certified": 0, "draws_from": "x", "faults": faults}
    assert list(states(refused).values()) == ["no", "yes", "yes"]
    assert states(laminar_result)["model fits"] == "cannot tell", "noise independent has no tests"
    for tree in (misfit, refused):
        assert marks.kind(Result(tree).marks) == "bad"


def test_what_rests_on_priors_is_said(speckle_result):
    """Wider by the data alone; contrast and offset are what decides, or the prior of the level."""
    tree = resting_on_priors(speckle_result, 6.0)
    assert Numbers(tree).undecided == {"D": pytest.approx(6.0)}
    mark = Result(tree).marks[2]
    assert mark.state == "in part"
    assert mark.sentence.startswith("By the data alone the interval of D would be 6 times as wide")
    assert marks.kind(Result(tree).marks) == "open"
    tree["prior"]["log_D_ref"] = tree["posterior"]["log_D_ref"]
    mark = Result(tree).marks[2]
    assert (mark.state, mark.sentence) == (
        "no",
        "The prior sets D: the data say little about it.",
    )


def test_the_sd_by_the_data_alone_is_that_of_wide_priors():
    """Against the posterior sd of the same data under priors a thousand times as wide."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4))
    information, prior = X.T @ X, np.diag([1.0, 400.0, 1e4, 0.0])
    made = alone(jnp.linalg.inv(information + prior), jnp.asarray(prior))
    np.testing.assert_allclose(made, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-3)


def test_a_baseline_that_is_not_one_is_no_fit(decided):
    tree = decided.copy(deep=True)
    tree["posterior"]["offset"] = tree["posterior"]["offset"] + 0.09
    mark = Result(tree).marks[1]
    assert mark.state == "no"
    assert "the baseline is 1.09" in mark.sentence
    assert "pixels are hot" in mark.sentence


def test_frames_that_stand_out_are_named(decided):
    tree = with_tests(decided, frame=(60.0, 1, 1e-9))
    tree["noise"]["frame_shift"][{"bin1": 5}] = 8.0
    assert Numbers(tree).frames == [5]
    assert any("--exclude-frames 5." in one for one in Result(tree).warnings())
    tree.attrs["provenance"] = json.dumps({"first_frame": 10})
    assert Numbers(tree).frames == [15]
    assert Numbers(decided).frames == []


def test_maps_of_one_speckle_are_named(decided):
    tree = decided.copy(deep=True)
    tree["noise"]["same_speckle"][{"phi": 0, "other_phi": 2}] = 0.8
    (said,) = (one for one in Result(tree).warnings() if "speckle" in one)
    assert said.startswith("The maps at −60° and 60° have about 80 % of their speckle in common")


def test_what_a_prior_sets_without_consequence_is_named(laminar_result):
    _, _, named = Result(laminar_result).marks[2].sentence.partition("; the prior sets ")
    assert "gamma_dot_bend" in named
    assert states(laminar_result)["decided by the data"] == "yes"


def test_contrast_and_offset_of_angles_are_judged(speckle_result):
    tree = speckle_result.copy(deep=True)
    tree["posterior"]["contrast"][..., 1] += 1.0
    assert "contrast" in influence.prior_conflicts(tree)
    tree["prior"]["offset"] = 1 + 1e-3 * (tree["prior"]["offset"] - 1)
    assert "offset" in influence.prior_driven(tree)
    assert {"contrast", "offset"} <= {*influence.sensitivity(speckle_result).index}


def test_flow_that_is_there_has_intervals(laminar_result):
    result = Result(laminar_result)
    assert result.flow().startswith("A sample at rest is excluded")
    summary = result.summary(["gamma_dot_t0", "phi0"])
    draws = laminar_result["posterior"]["gamma_dot_t0"]
    assert summary["mean"].iloc[0] == pytest.approx(float(draws.mean()))
    assert "more than a million to one" in sentences.flow(Numbers(at_rest(laminar_result, 20.0)))
    said = sentences.flow(Numbers(at_rest(laminar_result, 3.0)))
    assert "prefer flow by 20 to 1 (log Bayes factor of flow 3.00 ± 0.04)" in said


def test_no_flow_has_no_interval_anywhere(laminar_result, monkeypatch, capsys, tmp_path):
    tree = at_rest(laminar_result)
    result, numbers = Result(tree), Numbers(tree)
    assert states(tree)["decided by the data"] == "in part"
    table = result.summary()
    assert table.loc[[*SHEAR], ["mean", "sd", "lower"]].isna().all(axis=None)
    limit = table.loc["gamma_dot_t0", "upper"]
    assert table.loc[["beta", "gamma_dot_t_offset", "phi0"], "upper"].isna().all()
    assert limit > float(tree["posterior"]["gamma_dot_t0"].quantile(0.9))
    shown = {row["name"]: row["interval"] for row in rows.parameters(numbers, [*SHEAR])}
    assert shown["gamma_dot_t0"] == flow.below(limit)
    assert shown["beta"] == shown["phi0"] == "not decided"
    assert table.loc["D0"].equals(diagnostics.summary(laminar_result).loc["D0"])
    shear, direction = front.main_numbers(numbers)[3:]
    assert shear["interval"] == "95 % upper limit"
    assert f"below {shear['value'].removeprefix('< ')} 1/s" in result.flow()
    assert (direction["value"], direction["unit"]) == ("not decided", "")
    print_summary(tree)
    printed = capsys.readouterr().out
    assert result.flow() in printed
    monkeypatch.setattr(page, "FIGURES", {})
    assert "under a prior flat in it from 0 on" in page.render(numbers)
    at = result.at(radius=400.0)
    assert at.loc[["gamma_dot", "Pe"], "kind"].tolist() == ["upper limit"] * 2
    assert at.loc["gamma_dot", ["median", "lower"]].isna().all()
    assert at.loc["D", "kind"] == "interval"
    found = paper.summary(numbers)
    assert found["flow"]["decided"] is False
    assert {one["name"]: one["kind"] for one in found["parameters"]}["phi0"] == "not decided"
    written = {one.name: paper.latex_value(one) for one in quantities.fitted(tree)}
    assert written["gamma_dot_t0"].startswith(r"\(< \num{")
    labels = [line.get_label() for line in result.plot.rates().axes[1].lines]
    assert "95 % upper limit" in labels
    assert "median" not in labels


def test_the_limit_is_that_of_a_flat_prior(laminar_result):
    """Draws that are even in log γ̇ become even in γ̇."""
    low, high = np.log(1e-5), np.log(1e-3)
    level = np.random.default_rng(0).uniform(low, high, (4, 200))
    tree = at_rest(laminar_result)
    tree["still"]["log_flat"] = tree["still"]["log_flat"].copy(data=level)
    found = flow.flow(tree)
    assert found.limit(np.exp(level)) == pytest.approx(1e-5 + 0.95 * (1e-3 - 1e-5), rel=0.05)
    assert 100 < found.ess < 800


def test_copies_of_a_draw_count_as_one(laminar_result):
    """The Monte Carlo error of resampled draws, which R-hat and bulk ESS do not know."""
    tree = laminar_result.copy(deep=True)
    fresh = np.random.default_rng(1).normal(size=(4, 50))
    for group, name in (("posterior", "alpha"), ("sample_stats", "lp")):
        dims = tree[group][name].dims
        tree[group][name] = xr.DataArray(np.repeat(fresh, 4, axis=1), dims=dims)
    line = diagnostics.summary(tree, ["alpha"]).iloc[0]
    assert line["ess"] == pytest.approx(200, rel=0.02)
    assert line["mcse"] == pytest.approx(fresh.std() / np.sqrt(200), rel=0.02)
    assert np.isnan(line["r_hat"])
    tree["certificate"].attrs["draws_from"] = "least squares fit"
    assert np.isnan(diagnostics.summary(tree, ["alpha"])["ess"].iloc[0])
