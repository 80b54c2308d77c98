"""The result as a user sees it, and that it explains itself to whoever reads it."""

import copy
import io
import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.cli.report import print_summary
from homodyne_bayes.environment import SCHEMA_VERSION
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.results import (
    diagnostics,
    figures,
    paper,
    quantities,
    rows,
    store,
    variables,
    view,
)
from homodyne_bayes.results.view import Result, load
from tests.results.test_report import with_attrs

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "homodyne_bayes" / "results"
ROLES = ("physical", "coordinate", "scaling", "noise")


@pytest.fixture(scope="module")
def result(laminar_result):
    return Result(laminar_result)


def test_numbers_are_those_of_the_diagnostics(result, laminar_result):
    assert result.certified
    assert result.faults == []
    assert result.tree is laminar_result
    expected = diagnostics.summary(laminar_result)
    np.testing.assert_allclose(result.summary(), expected)
    assert list(result.summary().index) == list(expected.index)
    names = ["contrast", "log_D_ref"]
    np.testing.assert_allclose(result.summary(names), diagnostics.summary(laminar_result, names))


def test_rates_at_times(result, laminar_result):
    table = result.at([1.2, 2.0])
    J = laminar_result["rates"]["D"].sel(time=1.2, method="nearest").values
    first = table[table["t"] == 1.2]
    assert first.loc["D", "median"] == pytest.approx(np.median(J))
    row = first.loc["D_Brownian"]
    assert row["median"] == pytest.approx(np.median(J) / 2)
    assert [row["lower"], row["upper"]] == pytest.approx(np.quantile(J, [0.05, 0.95]) / 2)
    tau = first.loc["tau"]
    assert tau["q"] == 0.0054
    assert tau["median"] == pytest.approx(np.median(2 / (0.0054**2 * J)))
    assert tau["unit"] == "s"
    assert set(table["t"]) == {1.2, 2.0}
    assert "gamma_dot" in table.index
    np.testing.assert_allclose(result.at(1.2)["mean"], first["mean"])
    t_ref = float(laminar_result["constant_data"]["t_ref"])
    assert set(result.at()["t"]) == {t_ref}
    with pytest.raises(InputError, match="end of the record"):
        result.at(1e6)


def test_figures_by_name(result, speckle_result):
    assert "shard_agreement" in dir(result.plot)
    assert "whitened" not in dir(result.plot)
    assert "whitened" in dir(Result(speckle_result).plot)
    assert len(result.plot.pairs(["alpha", "phi0"]).axes) == 4
    assert copy.deepcopy(result).plot.rates().axes
    with pytest.raises(AttributeError, match="that this result has.* found 'whitened'"):
        _ = result.plot.whitened


def test_files_of_a_result(result, tmp_path, monkeypatch):
    monkeypatch.setattr(view.page, "FIGURES", {})
    result.save(tmp_path / "r.nc")
    result.report(tmp_path / "r.html")
    again = view.load(tmp_path / "r.nc")
    assert again.verdict == result.verdict
    assert again.warnings() == result.warnings()
    assert (tmp_path / "r.html").read_text().rstrip().endswith("</html>")
    written = result.paper(tmp_path / "paper", latex=False)
    assert [path.name for path in written] == ["report.html", "summary.json", "summary.csv"]


def test_repr_is_short_and_says_the_verdict(result, speckle_result):
    lines = repr(result).splitlines()
    assert lines[0] == f"<Result: {result.verdict}"
    assert "✓ computed right: yes" in lines[0]
    assert "laminar_flow" in lines[1]
    assert [line.split()[0] for line in lines[2:8]] == [
        "D0",
        "alpha",
        "D_offset",
        "gamma_dot_t0",
        "beta",
        "gamma_dot_t_offset",
    ]
    assert len(lines) <= 10
    assert "noise speckle" in repr(Result(speckle_result))


class Tags(HTMLParser):
    """Tags of a page, and those left open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Add a tag."""
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Close the innermost tag."""
        assert self.open.pop() == tag


def test_html_repr_has_verdict_table_and_warnings_and_escapes(laminar_result):
    attack = "<script>alert(1)</script>"
    words = json.loads(laminar_result.attrs["words"])
    words["noise"] |= {"warning": attack, "interval": attack}
    parameters = json.loads(laminar_result.attrs["parameters"])
    parameters = [row | {"symbol": attack, "unit": attack} for row in parameters]
    result = Result(with_attrs(laminar_result, model=attack, words=words, parameters=parameters))
    text = result._repr_html_()
    assert "<script" not in text
    assert all(str(mark) in text for mark in result.marks)
    page = Tags(text)
    assert page.open == []
    assert {"table", "li", "b"} <= set(page.tags)


def unknown(tree):
    """Return a copy of a result under a noise, scaling, model and convention nobody knows."""
    words = json.loads(tree.attrs["words"])
    words["noise"] = {"explanation": "Moonlight adds to it.", "warning": "Wait for the new moon."}
    words["scaling"] = {}
    words["convention"] = {}
    choices = {"noise": "moonlight", "scaling": "lunar", "model": "tide", "convention": "moon"}
    tree = with_attrs(tree, words=words, **choices)
    tree.attrs["settings"] = json.dumps(json.loads(tree.attrs["settings"]) | choices)
    return tree


@pytest.mark.parametrize("name", ["laminar_result", "speckle_result"])
def test_choices_that_the_reader_does_not_know_are_reported(name, request, tmp_path, capsys):
    tree = unknown(request.getfixturevalue(name))
    Result(tree).save(tmp_path / "moon.nc")
    result = view.load(tmp_path / "moon.nc")
    result.report(tmp_path / "moon.html")
    result.paper(tmp_path / "paper")
    print_summary(result.tree)
    assert "Wait for the new moon." in result.warnings()
    assert "noise moonlight" in repr(result)
    page = (tmp_path / "moon.html").read_text()
    assert "Wait for the new moon." in page
    assert ("Moonlight adds to it." in page) is ("noise" in tree.children)
    assert "moonlight" in (tmp_path / "paper" / "methods.tex").read_text()
    assert "Wait for the new moon." in capsys.readouterr().out


def test_other_variables_of_a_noise_are_told(speckle_result):
    """The table of the noise holds what its group says of itself."""
    group = speckle_result["noise"].to_dataset().drop_vars(["contrast", "nugget", "mean_photons"])
    group["tide"] = ((), 12.5, {"symbol": "T", "meaning": "height of the tide"})
    tree = speckle_result.copy(deep=True)
    tree["noise"] = xr.DataTree(group)
    told = {row["symbol"]: row for row in rows.noise(diagnostics.Numbers(tree))}
    assert told["T"]["value"] == "12.5"
    assert told["T"]["meaning"] == "height of the tide"
    assert "β" not in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": None}, "found one without, of an older version: fit the data again"),
        (
            {"schema_version": SCHEMA_VERSION + 1},
            f"found {SCHEMA_VERSION + 1}: update homodyne-bayes",
        ),
        ({"schema_version": "moon"}, "found moon: fit the data again"),
        ({"schema_version": [1, 2]}, r"found \[1 2\]: fit the data again"),
        ({"words": None}, "attribute words in JSON"),
        ({"words": "[1"}, "attribute words in JSON"),
        ({"words": "[]"}, "words to hold a JSON dict"),
        ({"words": "{}"}, "words to speak of noise"),
        ({"limits": "3"}, "limits to hold a JSON dict"),
        ({"parameters": '[{"name": "D0"}]'}, "rows of name, symbol"),
    ],
)
def test_results_that_do_not_explain_themselves(laminar_result, tmp_path, changes, message):
    tree = laminar_result.copy(deep=True)
    for name, value in changes.items():
        tree.attrs.pop(name)
        tree.attrs |= {} if value is None else {name: value}
    store.write(tree, tmp_path / "r.nc")
    with pytest.raises(InputError, match=message):
        view.load(tmp_path / "r.nc")


def test_a_result_says_what_its_parameters_are(laminar_result):
    known = store.parameters(laminar_result)
    assert set(known) >= set(laminar_result["posterior"].data_vars)
    roles = {role: [n for n, row in known.items() if row.role == role] for role in ROLES}
    assert roles["noise"] == ["sigma"]
    assert roles["scaling"] == ["contrast", "offset"]
    assert roles["coordinate"] == variables.coordinates(laminar_result)
    assert known["D0"].unit == "Å²/s"
    assert known["D0"].bounds == (1.0, 1e6)
    assert known["D_slope"].bounds == (-np.inf, np.inf)
    rates = laminar_result["rates"]
    assert rates["gamma_dot"].attrs["latex"] == r"\dot\gamma(t)"
    assert rates["D"].attrs["units"] == "Å²/s"


@pytest.mark.parametrize("noise", NOISES)
def test_every_noise_has_its_words(noise):
    words = NOISES[noise].words
    assert words.explanation or words.warning
    assert words.compared
    assert words.residuals
    told = noise != "independent"
    assert (bool(words.eta) and bool(words.weight)) is told


def test_a_report_computes_the_summary_once(laminar_result, tmp_path, monkeypatch):
    calls, summary = [], diagnostics.summary
    monkeypatch.setattr(diagnostics, "summary", lambda *args: calls.append(args) or summary(*args))
    monkeypatch.setattr(view.paper, "PRINTED", {})
    Result(laminar_result).paper(tmp_path / "paper")
    assert len(calls) == 1


def rate_of_my_own(points, priors):
    """A model with a rate and a parameter of the user's own names."""
    from homodyne_bayes.physics import kernels

    fast = numpyro.sample("fast", dist.Normal(9.0, 1.0))
    D = numpyro.deterministic("D_1", jnp.exp(fast) * jnp.ones_like(points.time))
    return kernels.field_correlation(points, D)


def test_a_rate_of_a_users_own_name_is_a_rate(laminar_data, tmp_path, monkeypatch):
    """It is in no table of parameters, a row a frame, but among the rates and their figure."""
    path = tmp_path / "own.py"
    path.write_text("from tests.results.test_view import rate_of_my_own as model\n")
    monkeypatch.syspath_prepend(ROOT)
    config = FitConfig(f"{path}:model", noise="independent", method="laplace", num_samples=100)
    result = Result(fit(laminar_data, replace(config, rescue_pairs=0)))
    assert set(result.tree["rates"].data_vars) == {"D_1"}
    assert "D_1" not in result.tree["posterior"]
    assert len(result.summary()) == 1 + 2 * 3 + 1
    row = store.parameters(result.tree)["fast"]
    assert (row.symbol, row.role, row.latex) == ("fast", "physical", "")
    assert result.plot.rates().axes[0].get_ylabel().startswith("D_1")
    assert result.at(1.0).index.tolist() == ["D_1"]
    assert "true_rates" not in result.tree.children
    result.report(tmp_path / "own.html")


NAMES = sorted(path.stem for path in RESULTS.glob("*.py") if path.stem != "__init__")
WITHOUT_JAX = """
found = importlib.machinery.PathFinder.find_spec
def hidden(name, *rest):
    return None if name.split(".")[0] in ("jax", "jaxlib", "numpyro") else found(name, *rest)
importlib.machinery.PathFinder.find_spec = hidden
"""


def python(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def test_reading_and_reporting_needs_no_jax(result_file, tmp_path):
    """ArviZ leaves a placeholder for JAX where it is installed; here it is not."""
    code = f"""
import importlib, importlib.machinery, sys
{WITHOUT_JAX}
for name in {NAMES}:
    importlib.import_module("homodyne_bayes.results." + name)
from homodyne_bayes.results import view
result = view.load({str(result_file)!r})
result.report({str(tmp_path / "r.html")!r})
result.paper({str(tmp_path / "paper")!r})
print(result)
assert not [name for name in sys.modules if name.split(".")[0] in ("jax", "jaxlib", "numpyro")]
"""
    run = python(code)
    assert run.returncode == 0, run.stderr
    assert "computed right: yes" in run.stdout
    assert "<figure" in (tmp_path / "r.html").read_text()


def test_importing_results_loads_no_jax():
    """With JAX installed nothing of it runs; ArviZ's placeholder loads it on first use."""
    code = f"""
import importlib, sys
for name in {NAMES}:
    importlib.import_module("homodyne_bayes.results." + name)
assert "jaxlib" not in sys.modules and "jax.numpy" not in sys.modules
"""
    run = python(code)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("latex", [r"\tfrac{1}{2}", r"\input{x}", "$x", r"\left( x", ""])
def test_symbols_that_matplotlib_cannot_set_are_told_by_name(laminar_result, latex):
    parameters = json.loads(laminar_result.attrs["parameters"])
    parameters = [row | {"latex": latex if row["name"] == "alpha" else "x"} for row in parameters]
    tree = with_attrs(laminar_result, parameters=parameters)
    figure = figures.pairs(tree, ["alpha", "phi0"])
    figure.draw_without_rendering()
    assert figure.axes[2].get_xlabel() == "alpha"


def test_derived_quantities_of_own_rates(laminar_result):
    tree = laminar_result.copy(deep=True)
    tree["rates"]["drift"] = tree["rates"]["D"] * 0 + 3.0
    tree["rates"]["drift"].attrs = {"units": "Å/s", "symbol": "v", "latex": "v"}
    found = {one.name: one for one in quantities.derived(tree, (1.0,))}
    assert found["drift"].unit == "Å/s"
    np.testing.assert_allclose(found["drift"].draws, 3.0)
    assert len(figures.rates(tree).axes) == 3


def test_levels_are_chosen_and_their_kind_is_told(uncertain_result, tmp_path):
    """Every number at the level that was chosen is a quantile of the draws."""
    result = Result(uncertain_result).with_levels(95, 68)
    draws = uncertain_result["posterior"]["alpha"].values
    line = result.summary(["alpha"]).iloc[0]
    names = ["lower", "lower_68", "median", "upper_68", "upper"]
    np.testing.assert_allclose(line[names], np.quantile(draws, [0.025, 0.16, 0.5, 0.84, 0.975]))
    at = result.at(2.0).loc["gamma_dot"]
    assert at["lower"] < at["lower_68"] < at["median"] < at["upper_68"] < at["upper"]
    rates = uncertain_result["combined_rates"]["gamma_dot"].interp(time=2.0)
    assert at["combined_upper"] == pytest.approx(float(rates.quantile(0.975)))
    assert result.summary().columns.tolist()[:7] == [
        *("mean", "sd", "median", "lower", "upper", "lower_68", "upper_68")
    ]
    (row,) = rows.parameters(result._numbers, ["alpha"])
    assert row["interval_68"] != row["interval"]
    labels = [band.get_label() for band in result.plot.rates().axes[0].collections]
    assert labels[:2] == ["95 %", "68 %"]
    result.save(tmp_path / "chosen.nc")
    again = load(tmp_path / "chosen.nc")
    assert again.summary(["alpha"]).iloc[0]["lower"] == line["lower"]
    found = paper.summary(again._numbers)
    assert (found["intervals"], found["interval_kind"]) == ([0.68, 0.95], "equal-tailed")
    table = pd.read_csv(io.StringIO(paper.as_csv(found)))
    stored = table[table["name"] == "alpha"].iloc[0]
    assert stored["lower_68"] == pytest.approx(line["lower_68"])
    assert stored["mcse"] == pytest.approx(line["mcse"])
    assert {"D", "tau", "gamma_dot", "contrast"} <= {*table["name"]}


@pytest.mark.parametrize("percents", [(0.68,), (100,), (-5,), (), (float("nan"),)])
def test_what_is_no_level_is_refused(laplace_result, percents):
    with pytest.raises(InputError, match="--level must be percents"):
        Result(laplace_result).with_levels(*percents)
