"""What is said of a result in words: the verdict, faults and what to do, misfit, warnings."""

import json

import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import files
from homodyne_bayes.likelihood.misfit import KINDS
from homodyne_bayes.results import diagnostics, influence, sentences
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.view import Result
from homodyne_bayes.thresholds import FAULTS, Fault, faults_to_json
from tests.results.test_report import with_noise


def test_the_interval_says_what_it_is(laminar_result, speckle_result):
    corrected = with_noise(speckle_result, "corrected")
    trees = (speckle_result, corrected, laminar_result)
    labels = [sentences.interval_label(Numbers(tree)) for tree in trees]
    assert labels == [
        "90 % interval",
        "90 % interval, corrected least squares",
        "90 % interval, uncorrected",
    ]
    speckle, corrected, independent = (" ".join(Result(tree).warnings()) for tree in trees)
    assert "much too narrow. Fit with --noise speckle" in independent
    assert "valid, but wider than need be" in corrected
    assert "--noise" not in speckle
    assert "uncorrected" not in speckle + corrected


def with_tests(tree, **tests):
    """Return a copy of a result with these (chi2, dof, p) of tests of misfit."""
    tree = tree.copy(deep=True)
    for kind, values in tests.items():
        for name, value in zip(("chi2", "dof", "p"), values, strict=True):
            tree["noise"][name].loc[{"kind": kind}] = value
    return tree


def test_a_model_that_fits_is_said_to_fit(speckle_result, laminar_result):
    (sentence,) = Result(speckle_result).misfit()
    table = diagnostics.misfit_tests(speckle_result)
    assert table.index[0] == "all"
    np.testing.assert_allclose(table["p_adjusted"], np.minimum(len(table) * table["p"], 1))
    assert sentence.startswith("No departure from the model was found")
    assert f"the smallest p is {table['p'].min():.2g}" in sentence
    assert diagnostics.departures(speckle_result) == []
    assert not any("No departure" in one for one in Result(speckle_result).warnings())
    assert Result(laminar_result).misfit() == []
    assert diagnostics.misfit_tests(laminar_result).empty


def test_departures_are_named_the_worst_first(speckle_result):
    tree = with_tests(
        speckle_result,
        all=(90.0, 12, 1e-13),
        contrast=(30.0, 1, 4e-8),
        shape=(40.0, 1, 2.5e-10),
        rate=(14.0, 5, 0.015),
    )
    assert diagnostics.departures(tree) == ["shape", "contrast"]
    first, second, third = Result(tree).misfit()
    assert first == (
        f"The data depart from the model: {KINDS['shape'].meaning} (shape: χ² = 40.0 on 1, "
        f"p < 10⁻⁶); {KINDS['contrast'].meaning} (contrast: χ² = 30.0 on 1, p < 10⁻⁶)."
    )
    assert "effective values of the nearest model" in second
    assert "maps of whitened residuals" in third
    assert set(Result(tree).misfit()) <= set(Result(tree).warnings())


def test_kinds_that_cannot_be_tested_do_not_count(speckle_result):
    tree = with_tests(speckle_result, all=(25.0, 10, 0.0019), angle=(0.0, 0, np.nan))
    table = diagnostics.misfit_tests(tree)
    assert "angle" not in table.index
    assert table.loc["all", "p_adjusted"] == pytest.approx(9 * 0.0019)
    assert diagnostics.departures(tree) == ["all"]
    assert "no kind departs alone" in Result(tree).misfit()[0]


def test_warnings_name_what_the_prior_sets(laminar_result):
    said = " ".join(Result(laminar_result).warnings())
    assert "uncorrected for correlated noise" in said
    assert "gamma_dot_bend" in influence.prior_driven(laminar_result)
    assert "log_D_ref" not in influence.prior_driven(laminar_result)
    assert "diverged" not in said


def test_prior_and_data_pulling_apart(laminar_result):
    assert influence.prior_conflicts(laminar_result) == []
    tree = laminar_result.copy(deep=True)
    tree["posterior"]["D_bend"] -= 1.0
    assert influence.prior_conflicts(tree) == ["D_bend"]
    assert "Prior and data pull apart in D_bend" in " ".join(Result(tree).warnings())


def test_warnings_find_trouble(laminar_result):
    tree = laminar_result.copy(deep=True)
    tree["warm_start"].attrs["outcome"] = "iteration limit"
    tree["posterior"]["D0"] *= 200
    first, *others = Result(tree).warnings()
    assert "uncorrected for correlated noise" in first
    said = " ".join(others)
    assert "draw more" not in said, "chain diagnostics of resampled draws mean nothing"
    for text in (
        "ended with: iteration limit",
        "Å²/s lies outside the range 1 to 1e+06",
    ):
        assert text in said


def uncertified(tree, draws_from, faults, nuts=False, **settings):
    """Return a copy of a result, its maps not compressed, whose certificate refuses it."""
    tree = tree.copy(deep=True)
    kept = {k: v for k, v in tree["certificate"].attrs.items() if not k.startswith("judged")}
    tree["certificate"].attrs = kept
    changes = {"certified": 0, "draws_from": draws_from, "faults": faults_to_json(faults)}
    tree["certificate"].attrs |= files.as_attributes(changes)
    tree.attrs["settings"] = json.dumps(json.loads(tree.attrs["settings"]) | settings)
    if nuts:
        lp = tree["sample_stats"]["lp"]
        tree["sample_stats"]["diverging"] = xr.zeros_like(lp, dtype=bool)
    return tree


def test_an_uncertified_merge_says_what_to_do(laminar_result):
    name = "consensus merge of 4 shards"
    settings = {"merge": "consensus", "num_shards": 4, "rescue_pairs": 100}
    tree = uncertified(laminar_result, name, [Fault("k_hat", name, (0.93,), 0.7)], **settings)
    computed = Result(tree).marks[0]
    assert computed.state == "no"
    assert computed.sentence == (
        f"The draws are those of the {name}, which could not be weighed by the posterior of all "
        "the data."
    )
    assert Result(tree).refused() == [f"{name}: k-hat is 0.93, not below 0.7."]
    assert Result(tree).advice() == [
        "Merge by --merge cavity, which is exactest.",
        "Deal fewer shards: lower --num-shards.",
        "Let NUTS on all the data take over: raise --rescue-pairs, now 100, well above the 570 "
        "pairs of the data, or choose --method full.",
    ]
    assert not any("k-hat" in sentence for sentence in Result(tree).warnings())


def test_uncertified_nuts_says_what_to_do(laplace_result):
    name = "NUTS on all the data"
    faults = [Fault("r_hat", name, (1.02,), 1.01), Fault("diverging", name, (3, 800), 0.8)]
    tree = uncertified(laplace_result, name, faults, nuts=True)
    said = "The draws are those of NUTS on all the data, which did not converge."
    assert Result(tree).marks[0] == ("computed right", "no", said)
    assert Result(tree).advice() == [
        "Draw more: raise --num-warmup and --num-samples.",
        "Raise --target-accept-prob towards 1, so that transitions diverge less.",
    ]
    tree["posterior"]["alpha"][0] += 1.0
    assert not any("R-hat" in sentence for sentence in Result(tree).warnings())
    tree["certificate"].attrs["certified"] = 1
    said = "The draws are those of NUTS on all the data, which converged."
    assert Result(tree).marks[0] == ("computed right", "yes", said)
    assert Result(tree).advice() == []
    assert any("R-hat exceeds 1.01" in sentence for sentence in Result(tree).warnings())


def test_a_rival_optimum_is_not_answered_by_more_draws(laminar_result):
    """Chains do not cross from one optimum to another: NUTS on all the data would not help."""
    fault = Fault("rival_optimum", "warm start", (0.3,), 0.01)
    tree = uncertified(laminar_result, "cavity merge of 2 shards", [fault], rescue_pairs=100)
    result = Result(tree)
    assert result.refused() == ["warm start: other optima hold about 30% of the posterior."]
    said = result.advice()
    assert not any("rescue-pairs" in one or "num-samples" in one for one in said)
    for words in ("another --seed", "tighter prior", "Split the data"):
        assert any(words in one for one in said)
    both = uncertified(
        laminar_result, "x", [fault, Fault("k_hat", "x", (0.9,), 0.7)], rescue_pairs=9
    )
    assert not any("rescue-pairs" in one for one in Result(both).advice())


def test_a_fit_that_ran_out_of_time_asks_for_more(laminar_result):
    tree = uncertified(laminar_result, "least squares fit", [Fault("stopped", "consensus")])
    assert Result(tree).refused() == ["consensus: stopped by the time limit."]
    assert "--resume" in Result(tree).advice()[0]


def test_a_fault_of_a_kind_that_is_not_known_is_still_told(laminar_result):
    tree = uncertified(laminar_result, "x", [Fault("moonlight", "warm start", (2.5,), 1.0)])
    assert Result(tree).refused() == ["warm start: moonlight (2.5)."]
    assert Result(tree).advice()


@pytest.mark.parametrize("kind", FAULTS)
def test_advice_hangs_on_kinds_and_not_on_words(laminar_result, monkeypatch, kind):
    fault = Fault(kind, "draws", (0.5, 2.0, 3.0, 4.0), 1.0)
    tree = uncertified(laminar_result, "draws", [fault], rescue_pairs=100)
    before = Result(tree).advice()
    monkeypatch.setitem(FAULTS, kind, "k-hat R-hat ESS disagree diverged")
    assert before == Result(tree).advice() != []
