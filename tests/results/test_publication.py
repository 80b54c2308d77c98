"""What goes into a paper: every printed number is that of the draws, and LaTeX compiles."""

import json
import re
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import InputError, files
from homodyne_bayes.results import latex, page, paper, quantities, tables
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.figures import FIGURES
from homodyne_bayes.studies import rerun
from tests.results.test_report import with_attrs

PRINTED = re.compile(r"\\num\{(.+?)\}\^\{\+(.+?)\}_\{-(.+?)\}(?: \\times 10\^\{(-?\d+)\})?")


@pytest.fixture(scope="module")
def folder(laminar_result, tmp_path_factory):
    """A report for a paper."""
    path = tmp_path_factory.mktemp("paper") / "report"
    paper.write(Numbers(laminar_result), path, latex=True, times=(0.6, 5.0), radius=400.0)
    return path


def test_what_a_report_for_a_paper_holds(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "lag_cuts.pdf",
        "maps.pdf",
        "methods.tex",
        "pairs.pdf",
        "paper.tex",
        "prior_posterior.pdf",
        "rates.pdf",
        "references.bib",
        "report.html",
        "scaling.tex",
        "summary.csv",
        "summary.json",
        "table.tex",
        "tables.tex",
    ]


def test_numbers_of_the_table_are_those_of_the_draws(folder, laminar_result):
    found = [
        one
        for name in ("table.tex", "scaling.tex")
        for one in PRINTED.findall((folder / name).read_text(encoding="utf-8"))
    ]
    fitted = quantities.fitted(laminar_result)
    contrast, offset = (
        [one for one in fitted if one.name == name] for name in ("contrast", "offset")
    )
    expected = [
        *(one for one in fitted if "phi" not in one.at),
        *quantities.derived(laminar_result, (0.6, 5.0), 400.0),
        *(one for pair in zip(contrast, offset, strict=True) for one in pair),
    ]
    assert len(found) == len(expected)
    for (centre, above, below, power), quantity in zip(found, expected, strict=True):
        low, median, high = np.quantile(quantity.draws, [0.05, 0.5, 0.95])
        unit = 10.0 ** int(power or 0)
        half = 0.5 * 10.0 ** -len(centre.partition(".")[2]) * (1 + 1e-9)
        assert abs(float(centre) - median / unit) <= half
        assert abs(float(above) - (high - median) / unit) <= half
        assert abs(float(below) - (median - low) / unit) <= half
        assert half <= 0.5 * min(float(above), float(below)) / 9.4, "two digits of the smaller side"


def test_summary_for_machines(folder, laminar_result):
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    posterior = group(laminar_result, "posterior")
    level = next(row for row in found["parameters"] if row["name"] == "D0")
    assert level["median"] == pytest.approx(float(posterior["D0"].median()), rel=1e-12)
    assert [level["lower"], level["upper"]] == pytest.approx(
        posterior["D0"].quantile([0.05, 0.95]).values.tolist(), rel=1e-12
    )
    contrast = [row for row in found["parameters"] if row["name"] == "contrast"]
    assert [row["phi"] for row in contrast] == posterior["phi"].values.tolist()
    assert found["settings"]["seed"] == 0
    assert found["certified"] is True


def test_derived_quantities(laminar_result):
    J = group(laminar_result, "rates")["D"].isel(time=5).values.ravel()
    shear = group(laminar_result, "rates")["gamma_dot"].isel(time=5).values.ravel()
    t = float(group(laminar_result, "rates")["time"][5])
    found = {one.name: one.draws for one in quantities.derived(laminar_result, (t,), 400.0)}
    q = float(group(laminar_result, "constant_data")["q"])
    for name, exact in (
        ("D", J),
        ("D_Brownian", J / 2),
        ("tau", 2 / (q**2 * J)),
        ("gamma_dot", shear),
        ("Pe", 2 * shear * 400.0**2 / J),
    ):
        np.testing.assert_allclose(found[name], exact, rtol=1e-12)
    assert "Pe" not in {one.name for one in quantities.derived(laminar_result, (t,))}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"times": (0.0,)}, "above 0"),
        ({"times": (99.0,)}, "end of the record"),
        ({"radius": -1.0}, "positive length"),
        ({"radius": float("nan")}, "positive length"),
    ],
)
def test_what_cannot_be_derived_is_refused_and_nothing_written(
    laminar_result, tmp_path, arguments, said
):
    with pytest.raises(InputError, match=said):
        paper.write(Numbers(laminar_result), tmp_path / "report", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_taken_for_a_folder(laminar_result, tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(InputError, match="folder"):
        paper.write(Numbers(laminar_result), tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"


def test_structure_of_the_latex(folder, laminar_result):
    for name in paper.LATEX:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.isascii(), name
        plain = re.sub(r"\\[{}\\]", "", text)
        assert plain.count("{") == plain.count("}"), name
        opened, closed = (sorted(re.findall(rf"\\{one}\{{(\w+)", text)) for one in ("begin", "end"))
        assert opened == closed, name
    settings = json.loads(laminar_result.attrs["settings"])
    for name in settings:
        assert latex.escaped(name) in (folder / "methods.tex").read_text()


def test_what_a_result_rests_on_is_cited(laminar_result, laplace_result, tmp_path):
    for name, tree in (("consensus", laminar_result), ("laplace", laplace_result)):
        paper.write(Numbers(tree), tmp_path / name, latex=True)
        methods, references = (
            (tmp_path / name / one).read_text() for one in ("methods.tex", "references.bib")
        )
        cited = set(re.findall(r"\\cite\{(\w+)\}", methods))
        assert cited == set(latex.cited(tree))
        assert cited <= set(re.findall(r"@\w+\{(\w+)", references))
    assert "Hoffman2014" not in cited


def test_draws_that_were_not_weighed_are_not_said_to_be(folder, laminar_result, tmp_path):
    assert "weighed against the posterior" in (folder / "methods.tex").read_text()
    by_nuts = laminar_result.copy(deep=True)
    stats = group(by_nuts, "sample_stats")
    by_nuts["sample_stats"] = xr.DataTree(stats.assign(diverging=xr.zeros_like(stats["lp"], bool)))
    paper.write(Numbers(by_nuts), tmp_path / "report", latex=True)
    methods = (tmp_path / "report" / "methods.tex").read_text()
    assert "weighed against" not in methods
    assert "The draws are those of NUTS on the compressed data" in methods


def test_captions_need_no_letter_that_latex_lacks():
    for row in FIGURES.values():
        assert "U+" not in latex.escaped(row.caption)


def test_tables_for_papers_are_those_of_the_page(folder, laminar_result, speckle_result, tmp_path):
    found = (folder / "tables.tex").read_text()
    titles = [table.title for table in tables.shown(Numbers(laminar_result), "paper")]
    assert titles == ["Sensitivity to the prior", "Priors"]
    assert re.findall(r"\\caption\{(.*?)\.?\}", found) == titles
    for name, prior in json.loads(laminar_result.attrs["priors"]).items():
        if name in laminar_result["unconstrained_posterior"] and name.islower():
            assert latex.escaped(name) in found
            assert latex.escaped(prior) in found
    paper.write(Numbers(speckle_result), tmp_path / "report", latex=True)
    misfit = (tmp_path / "report" / "tables.tex").read_text()
    assert "No departure from the model was found" in misfit
    assert "U+" not in found + misfit


def test_text_of_a_result_commands_nothing(laminar_result, tmp_path):
    hostile = with_attrs(laminar_result, model=r"\input{/etc/passwd}%$&_#^~")
    words = json.loads(hostile.attrs["words"])
    words["model"] |= {"latex": [r"\input{a}", "^^5cinput{b}"], "terms": [r"$\input{c}$ \input{d}"]}
    rows = [row | {"latex": r"\input{e}"} for row in json.loads(hostile.attrs["parameters"])]
    hostile.attrs |= files.as_attributes({"words": words, "parameters": rows})
    paper.write(Numbers(hostile), tmp_path / "report", latex=True)
    methods = (tmp_path / "report" / "methods.tex").read_text()
    table = (tmp_path / "report" / "table.tex").read_text()
    assert r"\input" not in methods + table
    assert "^^" not in methods + table
    assert r"\textbackslash{}input\{/etc/passwd\}\%\$\&\_\#" in methods


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with siunitx")
def test_the_paper_compiles(folder, tmp_path):
    paper = shutil.copytree(folder, tmp_path / "paper")
    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        options = ["-interaction=nonstopmode", "-halt-on-error"] if command == "pdflatex" else []
        call = [command, *options, "paper"]
        run = subprocess.run(call, cwd=paper, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout[-2000:]
    assert "undefined" not in run.stdout
    assert "Overfull" not in run.stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_shows_every_figure_and_complains_of_nothing(laminar_result, tmp_path):
    """The script counts figures that a reader sees; the page itself has none."""
    text = page.render(Numbers(laminar_result))
    count = "document.title = [...document.images].filter(i => i.naturalWidth > 100).length"
    (tmp_path / "report.html").write_text(text + f"<script>{count}</script>", encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        run = subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                f"--user-data-dir={profile}",
                "--virtual-time-budget=5000",
                "--dump-dom",
                (tmp_path / "report.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert "CONSOLE" not in run.stderr
    shown = re.search("<title>(.*?)</title>", run.stdout).group(1)
    assert int(shown) == text.count("<figure")


def test_a_result_is_repeated_from_what_it_recorded(laplace_result):
    found = rerun.rerun(laplace_result)
    assert found.same
    assert found.shift == 0.0
    assert found.changed == []


def test_changed_data_are_not_repeated(laplace_result):
    changed = laplace_result.copy(deep=True)
    changed["observed_data"]["c2"][0, 0, 1] += 1e-9
    with pytest.raises(InputError, match="sha256"):
        rerun.rerun(changed)
