"""The report is one page that needs nothing else, opens with its verdict, and escapes text."""

import base64
import json
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import InputError, files, text
from homodyne_bayes.cli.report import print_summary
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.results import (
    diagnostics,
    figures,
    front,
    influence,
    marks,
    rows,
    sentences,
    tables,
)
from homodyne_bayes.results import page as report
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.parts import PARTS
from homodyne_bayes.results.view import Result
from homodyne_bayes.thresholds import Fault, faults_to_json

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Elements of a page in order, (tag, attributes, text), and the tags left open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Add an element."""
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        """Close the innermost element, which must have this tag."""
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        """Add text to all open elements."""
        for element in self.open:
            element[2] += data

    def find(self, tag, **attrs):
        """Return indices of elements with a tag and attributes."""
        return [
            i
            for i, (found, having, _) in enumerate(self.elements)
            if found == tag and all(having.get(k) == v for k, v in attrs.items())
        ]

    def texts(self, tag, **attrs):
        """Return the texts of elements, white space collapsed."""
        return [" ".join(self.elements[i][2].split()) for i in self.find(tag, **attrs)]


def with_attrs(tree, **attrs):
    """Return a copy of a result with some root attributes replaced; mappings become JSON."""
    copy = xr.DataTree.from_dict({name: c.to_dataset() for name, c in tree.children.items()})
    copy.attrs = {**tree.attrs, **files.as_attributes(attrs)}
    return copy


def with_noise(tree, name):
    """Return a copy of a result that calls its noise so and has the words of it."""
    words = json.loads(tree.attrs["words"]) | {"noise": asdict(NOISES[name].words)}
    return with_attrs(tree, noise=name, words=words)


def told(tree, name):
    """Return the table of this name, as it is shown."""
    (table,) = [one for one in tables.shown(Numbers(tree)) if one.name == name]
    return table


@pytest.fixture(scope="module")
def source(laminar_result):
    return report.render(Numbers(laminar_result))


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_marks_come_first_and_warnings_before_any_parameter(page, laminar_result):
    (head,), (box,) = page.find("section", id="marks"), page.find("section", id="warnings")
    assert page.find("section")[:2] == [head, box]
    assert head < box < min(page.find("table", **{"class": "posterior"}))
    found = marks.marks(Numbers(laminar_result))
    assert page.texts("h2")[0] == marks.HEADS["open"]
    assert page.texts("dd")[:3] == [" ".join(mark.sentence.split()) for mark in found]
    for said, mark in zip(page.texts("dt")[:3], found, strict=True):
        assert said.startswith(mark.sign)
        assert said.lower().endswith(f"{mark.name}: {mark.state}")
    assert page.texts("p", **{"class": "flow"}) == [sentences.flow(Numbers(laminar_result))]
    assert page.texts("li") == [
        " ".join(w.split()) for w in sentences.warnings(Numbers(laminar_result))
    ]
    assert not page.open


def test_certificate_tells_attempts_method_and_cost(page, laminar_result):
    found, said = laminar_result["certificate"], page.texts("section", id="certificate")[0]
    columns = (found[name].values for name in ("proposal", "k_hat", "ess", "num_evaluations"))
    expected = [
        [str(name), f"{k_hat:.2f}", f"{ess:.0f}", str(number)]
        for name, k_hat, ess, number in zip(*columns, strict=True)
    ]
    cells, table = [cell for row in expected for cell in row], page.texts("td")
    first = table.index(cells[0])
    assert table[first : first + len(cells)] == cells
    assert "Method consensus: cavity merge of 2 shards." in said
    counts = "{gradients:.0f} gradients and {evaluations} evaluations".format(**found.attrs)
    assert f"Cost {counts} of the compressed data; warm start" in said
    assert f"Log evidence {found.attrs['log_evidence']:.2f} ± " in said


def test_an_uncertified_result_says_so_and_what_to_do(laminar_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    tree = laminar_result.copy(deep=True)
    name = "cavity merge of 2 shards <b>"
    faults = faults_to_json([Fault("k_hat", name, (0.93,), 0.7)])
    changes = {"certified": 0, "draws_from": name, "faults": faults}
    tree["certificate"].attrs |= files.as_attributes(changes)
    source = report.render(Numbers(tree))
    page = Page(source)
    assert page.elements[page.find("section")[0]][1]["class"] == "box bad"
    assert page.texts("h2")[0] == marks.HEADS["bad"]
    assert page.texts("dd")[0].startswith(f"The draws are those of the {name}, which could not")
    said = page.texts("li")
    assert said[0].startswith("Let NUTS on all the data take over: raise --rescue-pairs")
    assert f"{name}: k-hat is 0.93, not below 0.7." in said
    assert source.count("2 shards &lt;b&gt;: k-hat is 0.93") == 1
    assert page.find("section", id="corrections") == []


def test_shards_are_told_one_by_one(laminar_result):
    found, checks = rows.shards(Numbers(laminar_result)), laminar_result["shard_checks"]
    assert len(found) == 2
    (said,) = told(laminar_result, "shards").before
    assert 4 <= checks.attrs["dof"] <= 14
    said_by_checks = "χ² = {chi2:.1f} on {dof} degrees of freedom".format(**checks.attrs)
    assert said_by_checks in said
    largest = np.abs(checks["score"]).max("coordinate").values
    assert [row["shard"] for row in found] == [str(k) for k in np.argsort(-largest)]
    for row in found:
        score = checks["score"].isel(shard=int(row["shard"])).sel(coordinate=row["coordinate"])
        assert abs(float(score)) == largest[int(row["shard"])]
        assert row["score"] == text.number(float(score), 1)
        assert row["r_hat"] == f"{float(checks['r_hat'][int(row['shard'])]):.3f}"


def test_of_many_shards_the_worst_are_shown(laminar_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    tree = laminar_result.copy(deep=True)
    checks = tree["shard_checks"].to_dataset().isel(shard=np.zeros(40, int)).copy(deep=True)
    checks["score"][:] = 0.1
    checks["score"][30, 3], checks["score"][7, 0] = -9.0, 5.0
    tree["shard_checks"] = xr.DataTree(checks)
    found = rows.shards(Numbers(tree))
    assert len(found) == 16
    assert [row["shard"] for row in found[:2]] == ["30", "7"]
    assert found[0]["score"] == "−9.0"
    assert found[0]["coordinate"] == str(checks["coordinate"].values[3])
    assert (
        "The 16 of 40 shards that deviate most are shown."
        in Page(report.render(Numbers(tree))).texts("section", id="shards")[0]
    )


def test_bias_of_the_approximation_is_told(page, laminar_result):
    table = diagnostics.corrections(laminar_result)
    found = rows.corrections(Numbers(laminar_result))
    assert [row["shift"] for row in found] == [text.number(value) for value in table["shift"]]
    said = page.texts("section", id="corrections")[0]
    shift, ratio = (text.number(table.loc["sigma", name]) for name in ("shift", "sd_ratio"))
    assert f"σ was off by {shift} sd in the mean, and {ratio} times as wide" in said


def test_prior_sensitivity_is_flagged(page, laminar_result):
    table = influence.sensitivity(laminar_result).loc[influence.judged(laminar_result)]
    shown = told(laminar_result, "sensitivity")
    assert [row[-1].text for row in shown.cells] == list(table["diagnosis"])
    found = [one for one in table["diagnosis"] if one]
    assert page.texts("span", **{"class": "flag"})[-len(found) :] == found
    assert found


def test_a_result_without_shards(laplace_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    page = Page(report.render(Numbers(laplace_result)))
    assert page.find("section", id="shards") == []
    assert "Method laplace: least squares fit." in page.texts("section", id="certificate")[0]
    assert (
        "The least squares fit before it was corrected"
        in page.texts("section", id="corrections")[0]
    )


def test_every_figure_is_embedded_with_its_caption(page):
    assert page.find("figure") != []
    ids = [page.elements[i][1]["id"] for i in page.find("figure")]
    order = ["front", *PARTS]
    there = [name for name in figures.FIGURES if name not in ("whitened", "traces")]
    assert ids == sorted(there, key=lambda name: order.index(figures.FIGURES[name].part))
    for index, name in zip(page.find("img"), ids, strict=True):
        row = figures.FIGURES[name]
        attributes = page.elements[index][1]
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
        assert attributes["alt"] == row.caption


def test_nothing_is_loaded_from_elsewhere(page, source):
    assert "://" not in source
    assert "@import" not in source
    for tag, attributes, _ in page.elements:
        assert tag not in {"script", "link", "iframe", "object"}
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes
    assert len(source) < 5e6


def test_the_first_screen_is_what_was_measured_and_found(page, laminar_result):
    """Marks, numbers, one map and the rates, before any warning and table."""
    assert page.texts("p", **{"class": "measured"}) == [
        "A fluid that diffuses and shears between two walls. 3 two-time maps of 20 frames, 0.4 s "
        "apart, at q = 0.0054 1/Å, φ = −60°, 0° and 60°, in a gap of 2000000 Å, simulated."
    ]
    (found,) = page.find("dl", **{"class": "numbers"})
    shown = [page.elements[i][1]["id"] for i in page.find("figure")[:2]]
    assert shown == ["worst_map", "rates"]
    assert page.find("section", id="marks")[0] < found < page.find("figure")[0]
    assert page.find("figure")[1] < page.find("section", id="warnings")[0]
    numbers = front.main_numbers(Numbers(laminar_result))
    labels = ["transport coefficient", "diffusion coefficient, if Brownian"]
    labels += ["relaxation time without flow", "shear rate", "flow direction"]
    assert [number["label"] for number in numbers] == labels
    line = Result(laminar_result).at().loc["gamma_dot"]
    assert float(numbers[3]["value"]) == pytest.approx(line["median"], rel=1e-2)
    low, high = map(float, numbers[3]["interval"].split(" to "))
    assert (low, high) == pytest.approx((line["lower"], line["upper"]), rel=1e-2)
    assert page.texts("dl", **{"class": "numbers"})[0].count(numbers[3]["interval"]) == 1


def test_numbers_with_stated_uncertainties_and_without_flow(uncertain_result, speckle_result):
    numbers = front.main_numbers(Numbers(uncertain_result))
    stated = Result(uncertain_result).at().loc["gamma_dot"]
    low, high = map(float, numbers[3]["combined"].split(" to "))
    assert (low, high) == pytest.approx((stated["combined_lower"], stated["combined_upper"]), 1e-2)
    labels = [number["label"] for number in front.main_numbers(Numbers(speckle_result))]
    assert labels[2:] == ["relaxation time without flow", "diffusion exponent"]


def test_what_few_readers_need_is_folded_and_explained(page, laminar_result):
    folded = [page.elements[i][1]["id"] for i in page.find("details")]
    assert folded == [name for name, part in PARTS.items() if part.folded and name != "noise"]
    inside = dict(zip(folded, page.texts("details"), strict=True))
    assert "k-hat says how uneven the weights are" in inside["computing"]
    assert "dealt to 2 shards, parts that are sampled at the same time" in inside["computing"]
    assert "sha256 of the data" in inside["records"]
    assert not any("open" in page.elements[i][1] for i in page.find("details"))
    for name in (*figures.FIGURES.values(), *tables.TABLES.values()):
        assert name.part in {*PARTS, "front"}


def test_head_says_what_was_fitted(page, laminar_result):
    facts = dict(zip(page.texts("dt")[3:], page.texts("dd")[3:], strict=True))
    assert page.texts("h1") == ["Two-time correlation fitted with model laminar_flow"]
    assert facts["q"] == "0.0054 1/Å"
    assert facts["gap"] == "2000000 Å"
    assert facts["angles × frames"] == "3 × 20"
    assert facts["distinct pairs"] == str(3 * 190)
    assert laminar_result.attrs["data_sha256"].startswith(facts["data sha256"])


def test_rows_hold_the_rounded_summary(laminar_result):
    names = ["D0", "contrast"]
    summary = diagnostics.summary(laminar_result, names)
    found = rows.parameters(Numbers(laminar_result), names)
    assert [row["label"] for row in found] == [
        "D₀",
        "contrast [−60°]",
        "contrast [0°]",
        "contrast [60°]",
    ]
    for row, (_, line) in zip(found, summary.iterrows(), strict=True):
        assert row["mean"] == text.rounded(line["mean"], line["sd"])
        assert row["r_hat"] == "–"
        assert row["ess"] == f"{line['ess']:.0f}"
        ends = [text.rounded(line[end], line["sd"]) for end in ("lower", "upper")]
        assert row["interval"] == " to ".join(ends)
    warm = laminar_result["warm_start"]["contrast"].values[0, :, 1]
    low = sorted(warm)[int(0.05 * len(warm))]
    assert float(found[2]["warm_start"].split(" to ")[0]) == pytest.approx(low, abs=1e-3)


def test_interval_says_that_noise_is_uncorrected(page):
    heads = page.texts("th")
    assert "90 % interval, uncorrected" in heads
    assert "least squares at the mode, 90 % interval" in heads
    assert not any("times" in head for head in heads)
    assert page.find("section", id="noise") == page.find("section", id="misfit") == []


@pytest.fixture(scope="module")
def speckle_page(speckle_result):
    return Page(report.render(Numbers(speckle_result)))


def test_intervals_under_speckle_are_compared_with_uncorrected_ones(speckle_page, speckle_result):
    heads = speckle_page.texts("th")
    for head in ("90 % interval", "times uncorrected", "independent likelihood, uncorrected"):
        assert heads.count(head) == 3
    (row,) = rows.parameters(Numbers(speckle_result), ["alpha"])
    line = diagnostics.summary(speckle_result, ["alpha"]).iloc[0]
    assert row["of_uncorrected"] == f"{line['of_uncorrected']:.1f}"
    cells = speckle_page.texts("td")
    assert cells[cells.index(row["warm_start"]) - 1] == row["of_uncorrected"]


def test_noise_is_told_with_everything_plugged_in(speckle_page, speckle_result):
    (said,) = speckle_page.texts("section", id="noise")
    assert "S(a,c) S(b,d) + S(a,d) S(b,c)" in said
    assert sentences.growth(Numbers(speckle_result)) in said
    found = speckle_result["noise"]
    told = {row["symbol"]: row["value"] for row in rows.noise(Numbers(speckle_result))}
    assert told["β"] == f"{float(found['contrast'][0]):.3g}"
    assert float(told["e"]) * float(told["1/e"]) == pytest.approx(1, rel=0.01)
    assert told["η"] == f"{float(found['eta']):.3g}"
    first = f"{float(found['num_pixels'][0]):.0f} (−60°), "
    assert told["M"].startswith(first)
    assert "bin_frames" not in told
    assert all(value in said for value in told.values())


def test_noise_of_many_angles_in_bins_is_told_as_a_range(speckle_result):
    tree = speckle_result.copy(deep=True)
    noise = tree["noise"].to_dataset().isel(phi=np.arange(9) % 3)
    noise["num_pixels"][:] = np.linspace(4000.2, 5000.2, 9)
    noise.attrs["bin_frames"] = 4
    tree["noise"] = xr.DataTree(noise)
    told = {row["symbol"]: row["value"] for row in rows.noise(Numbers(tree))}
    assert told["M"] == "4000 to 5000, 9 angles"
    assert told["bin_frames"] == "4"


def test_misfit_is_judged_in_words_and_numbers(speckle_page, speckle_result, monkeypatch):
    (said,) = speckle_page.texts("section", id="misfit")
    numbers = Numbers(speckle_result)
    assert sentences.misfit(numbers)[0] in said
    kinds = [row["kind"] for row in rows.misfit(numbers)]
    assert kinds == list(diagnostics.misfit_tests(speckle_result).index)
    assert not any(row["departs"] for row in rows.misfit(numbers))
    monkeypatch.setattr(report, "FIGURES", {})
    tree = speckle_result.copy(deep=True)
    tree["noise"]["p"].loc[{"kind": "shape"}] = 1e-9
    page = Page(report.render(Numbers(tree)))
    assert "< 10⁻⁶" in page.texts("span", **{"class": "flag"})
    departed = sentences.misfit(Numbers(tree))
    assert page.texts("li")[:3] == [" ".join(one.split()) for one in departed]
    assert all(one in page.texts("section", id="misfit")[0] for one in departed)


def test_sigma_is_spoken_of_where_it_was_sampled(speckle_page, speckle_result):
    assert len(told(speckle_result, "corrections").before) == 1
    assert "σ" not in speckle_page.texts("section", id="corrections")[0]


def test_corrected_least_squares_say_so(speckle_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    tree = with_noise(speckle_result, "corrected")
    page = Page(report.render(Numbers(tree)))
    assert page.texts("th").count("90 % interval, corrected least squares") == 3
    assert "sandwich covariance" in page.texts("section", id="noise")[0]
    assert "wider than need be" in page.texts("li")[0]


def test_the_terminal_tells_the_same(speckle_result, laminar_result, capsys):
    print_summary(speckle_result)
    speckle = capsys.readouterr().out
    print_summary(laminar_result)
    independent = capsys.readouterr().out
    (row,) = rows.parameters(Numbers(speckle_result), ["alpha"])
    line = next(line for line in speckle.splitlines() if line.split()[:1] == ["alpha"])
    assert line.split()[-3:] == [row["of_uncorrected"], row["ess"], row["mcse"]]
    assert "times" in speckle
    assert "uncorrected" in independent
    assert "times" not in independent
    assert "…" not in speckle + independent


@pytest.mark.parametrize("name", ["laminar_result", "speckle_result"])
def test_every_table_of_the_terminal_is_on_the_page(name, request, capsys):
    """A table is a row of `TABLES`: the page and the terminal loop over them."""
    numbers = Numbers(request.getfixturevalue(name))
    here, there = (tables.shown(numbers, medium) for medium in ("terminal", "page"))
    print_summary(numbers.tree)
    out = capsys.readouterr().out
    assert [table.title for table in here] == ["Parameters", "Contrast and offset of every angle"]
    assert {table.name for table in here} < {table.name for table in there} <= set(tables.TABLES)
    for table in here:
        assert table.title in out
        for row in table.cells:
            assert row[1].text in out


def test_a_table_is_one_record(laminar_result, monkeypatch, capsys):
    heads = [
        tables.Column("angle", tables.under("phi"), "text"),
        tables.Column("n", tables.under("n")),
    ]
    count = tables.Table(
        "Pairs of every angle",
        lambda numbers: [
            {"phi": f"{phi:g}", "n": str(int(c2.count()))}
            for phi, c2 in zip(
                numbers.tree["observed_data"]["phi"].values,
                numbers.tree["observed_data"]["c2"],
                strict=True,
            )
        ],
        lambda _numbers, _rows: heads,
        media=("page", "terminal"),
    )
    monkeypatch.setitem(tables.TABLES, "pairs", count)
    monkeypatch.setattr(report, "FIGURES", {})
    page = Page(report.render(Numbers(laminar_result)))
    assert "Pairs of every angle angle n -60" in page.texts("section", id="pairs")[0]
    print_summary(laminar_result)
    assert "Pairs of every angle" in " ".join(capsys.readouterr().out.split())


def test_truth_is_shown_and_judged_for_simulated_data(page, laminar_result):
    assert page.texts("th").count("true value") == 2
    (row,) = rows.parameters(Numbers(laminar_result), ["D0"])
    line = diagnostics.summary(laminar_result, ["D0"]).iloc[0]
    assert row["truth"] == "10000"
    assert (row["inside"] == "inside") is bool(line["lower"] <= 1e4 <= line["upper"])
    moved = with_attrs(laminar_result, provenance={"truth": {"D0": 2 * line["upper"]}})
    assert rows.parameters(Numbers(moved), ["D0"])[0]["inside"] == "outside"


def test_measured_data_have_no_truth(laminar_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    measured = with_attrs(laminar_result, provenance={"source": "beamline"})
    page = Page(report.render(Numbers(measured)))
    assert "true value" not in page.texts("th")
    assert rows.parameters(Numbers(measured), ["D0"])[0]["truth"] == ""


def test_text_of_files_is_escaped(laminar_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    attack = "<script>alert(1)</script>"
    provenance = {"source": attack, attack: 1, "assumed": [attack]}
    words = json.loads(laminar_result.attrs["words"])
    words["noise"] |= {"explanation": attack, "warning": attack, "compared": attack}
    attributes = {"provenance": provenance, "model": attack, "words": words}
    source = report.render(Numbers(with_attrs(laminar_result, **attributes)))
    assert "<script" not in source
    assert source.count("&lt;script&gt;") >= 5
    assert attack in Page(source).texts("td")


@pytest.mark.parametrize(
    ("value", "sd", "expected"),
    [
        (9835.6, 2169.3, "9800"),
        (154.2, 2079.1, "200"),
        (-0.22939, 0.04995, "−0.229"),
        (0.000751, 0.000243, "0.00075"),
        (3.2465, 0.0996, "3.25"),
        (12.0, 1.0, "12.0"),
        (-0.001, 5.0, "0.0"),
        (3.1e-8, 2.4e-9, "3.10e−08"),
        (0.0, 2.4e-9, "0e+00"),
        (1.5, 0.0, "1.5"),
        (float("nan"), 1.0, "–"),
        (1.0, float("inf"), "–"),
    ],
)
def test_numbers_are_rounded_to_two_digits_of_their_uncertainty(value, sd, expected):
    assert text.rounded(value, sd) == expected


def test_brownian_diffusion_is_half_of_the_transport_coefficient(laminar_result):
    found = report.transport(laminar_result)
    fixed = laminar_result["constant_data"]
    assert abs(float(found["time"]) - float(fixed["t_ref"])) <= float(fixed["dt"]) / 2
    J, brownian = (float(found[name].split()[0]) for name in ("J", "brownian"))
    assert brownian == pytest.approx(J / 2, rel=0.02)


@pytest.mark.parametrize(
    ("convention", "phrase"), [("upstream", "sinc⁴"), ("gap-average", "sinc²(x), the phase")]
)
def test_convention_is_explained(laminar_result, monkeypatch, convention, phrase):
    monkeypatch.setattr(report, "FIGURES", {})
    words = json.loads(laminar_result.attrs["words"])
    formula = MODELS["laminar_flow"].formula(CONVENTIONS[convention])
    words["convention"] = {"explanation": formula.text}
    tree = with_attrs(laminar_result, convention=convention, words=words)
    paragraphs = Page(report.render(Numbers(tree))).texts("p")
    assert any(phrase in paragraph and convention in paragraph for paragraph in paragraphs)


def test_settings_priors_and_versions_are_told(page, laminar_result):
    cells = page.texts("td")
    for name, value in json.loads(laminar_result.attrs["versions"]).items():
        assert cells[cells.index(name) + 1] == value
    assert cells[cells.index("num_shards") + 1] == "2"
    assert "Uniform(-90, 90)" in cells
    assert "any; flow and its opposite are the same" in cells


def test_file_is_whole_or_absent(laminar_result, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    path = tmp_path / "report.html"
    report.write(Numbers(laminar_result), path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="no_such_folder"):
        report.write(Numbers(laminar_result), tmp_path / "no_such_folder" / "report.html")
