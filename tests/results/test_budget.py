"""What a result says of its budget of uncertainty, and what it says where none was stated."""

import json

import numpy as np
import pytest
import xarray as xr

from homodyne_bayes.results import budget, page, paper, quantities, tables
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.view import Result
from tests.truth import LAMINAR, STATED


def changed(tree, **groups):
    """Return a copy of a result with some groups replaced, or left out where they are None."""
    held = {name: child.to_dataset() for name, child in tree.children.items()} | groups
    copy = xr.DataTree.from_dict({name: group for name, group in held.items() if group is not None})
    copy.attrs = dict(tree.attrs)
    return copy


def rows(tree):
    return {row["name"]: row for row in tables.TABLES["budget"].rows(Numbers(tree))}


def test_the_table_has_rates_at_the_reference_time_and_parameters(uncertain_result):
    found = rows(uncertain_result)
    assert list(found) == ["D(t_ref)", "gamma_dot(t_ref)", *LAMINAR]
    assert found["gamma_dot(t_ref)"]["dominating"].startswith("gap, ")
    assert found["phi0"]["dominating"].startswith("phi, ")
    for name in ("alpha", "beta"):
        assert found[name]["systematic"] == "none"
        assert found[name]["combined"] == found[name]["statistical"]
        assert found[name]["dominating"] == "statistics only"
    assert not rows(changed(uncertain_result, factors=None))


def test_numbers_are_those_of_the_draws(uncertain_result):
    made = {line.quantity.name: line for line in budget.lines(uncertain_result)}
    posterior, combined = uncertain_result["posterior"], uncertain_result["combined"]
    for name, line in made.items():
        if name in LAMINAR:
            ends = np.quantile(combined[name], [0.05, 0.95])
            np.testing.assert_allclose(line.combined, ends, rtol=1e-7)
            np.testing.assert_allclose(line.statistical, np.quantile(posterior[name], [0.05, 0.95]))
    low, high = made["phi0"].systematic
    assert (high - low) / 2 == pytest.approx(1.645 * STATED["phi"], rel=0.1)
    line = made["gamma_dot"]
    share = {name: sd / line.median for name, sd in line.sds.items()}
    assert share["gap"] == pytest.approx(STATED["gap"], rel=0.1)
    assert share["phi"] == 0
    both = np.std(line.quantity.combined) / line.median
    assert both == pytest.approx(np.hypot.reduce([*share.values()]), rel=0.1)


def test_derived_quantities_are_combined(uncertain_result):
    found = {one.name: one for one in quantities.derived(uncertain_result, (2.0,), 400.0)}
    share = {name: np.std(one.combined / one.draws) for name, one in found.items()}
    assert share["D"] == pytest.approx(0.02, rel=0.1)
    assert share["gamma_dot"] == pytest.approx(np.hypot(0.03, 0.01), rel=0.1)
    assert share["tau"] < 0.002, "that of dt: the maps tell it whatever q is"
    table = Result(uncertain_result).at(2.0)
    width = table["combined_upper"] - table["combined_lower"]
    assert width["gamma_dot"] > 2 * (table["upper"] - table["lower"])["gamma_dot"]


def test_the_frame_and_the_json(uncertain_result):
    table = Result(uncertain_result).budget()
    assert table.loc["gamma_dot", "dominating"] == "gap"
    assert np.isnan(table.loc["alpha", "systematic_lower"])
    assert list(table.loc["contrast", "dominating"]) == ["statistics"] * 3
    said = paper.summary(Numbers(uncertain_result))
    assert json.loads(json.dumps(said["uncertainty"]))["stated"] == STATED
    (phi0,) = [row for row in said["uncertainty"]["budget"] if row["name"] == "phi0"]
    assert phi0["dominating"] == "phi"
    (phi0,) = [row for row in said["parameters"] if row["name"] == "phi0"]
    assert phi0["combined_lower"] < phi0["lower"]


def test_page_and_paper_tell_it(uncertain_result, tmp_path):
    source = page.render(Numbers(uncertain_result))
    assert '<section id="budget">' in source
    assert "The gap dominates γ̇(t_ref): 3 % (" in source
    paper.write(Numbers(uncertain_result), tmp_path / "p", latex=True)
    table = (tmp_path / "p" / "table.tex").read_text(encoding="utf-8")
    assert "& Combined & Unit" in table
    assert table.count("&") % 3 == 0
    assert "type B" in (tmp_path / "p" / "methods.tex").read_text(encoding="utf-8")


def test_without_uncertainties_one_sentence_says_what_is_left_out(laplace_result):
    numbers = Numbers(laplace_result)
    (sentence,) = budget.sentences(numbers)
    assert sentence.startswith("The intervals are statistical only")
    assert "if the gap is known to 3 %, γ̇(t_ref) is known to 3.2 % and not to 1 % (sd)" in sentence
    assert page.render(numbers).count("The intervals are statistical only") == 1
    assert "budget" not in {table.name for table in tables.shown(numbers)}
    assert Result(laplace_result).budget().empty
    assert "combined_lower" not in Result(laplace_result).at(2.0)
    assert paper.summary(numbers)["uncertainty"] == {"stated": {}, "sentences": [sentence]}


def test_a_fluid_at_rest_and_older_results(speckle_result, laplace_result):
    (sentence,) = budget.sentences(Numbers(speckle_result))
    assert sentence.endswith("--uncertainty q=0.01 adds what is known of them.")
    rates = laplace_result["rates"].to_dataset().copy()
    for rate in rates.values():
        rate.attrs = {name: text for name, text in rate.attrs.items() if name != "follows"}
    (again,) = budget.sentences(Numbers(changed(laplace_result, rates=rates)))
    assert again == sentence


def test_where_a_sample_at_rest_is_not_excluded_limits_are_combined(uncertain_result):
    still = uncertain_result["still"].to_dataset().copy()
    still.attrs = {**still.attrs, "log_bayes_factor": 0.0}
    tree = changed(uncertain_result, still=still)
    row = rows(tree)["gamma_dot(t_ref)"]
    assert row["statistical"].startswith("< ")
    assert row["combined"].startswith("< ")
    assert row["systematic"] == row["dominating"] == "–"
    assert rows(tree)["D(t_ref)"]["systematic"] != "–"
    assert not any("γ̇" in sentence for sentence in budget.sentences(Numbers(tree)))


def test_what_is_not_told(uncertain_result):
    """A parameter that does not say how it follows q, gap and dt."""
    left = uncertain_result["combined"].to_dataset().drop_vars("phi0")
    tree = changed(uncertain_result, combined=left)
    row = rows(tree)["phi0"]
    assert row["systematic"] == row["combined"] == row["dominating"] == "not told"
    assert rows(tree)["alpha"]["systematic"] == "none"
