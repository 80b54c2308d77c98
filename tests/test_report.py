"""The report is one page that needs nothing else, says what to doubt first, and escapes text."""

import base64
import json
from html.parser import HTMLParser

import pytest
import xarray as xr

from homodyne_bayes import InputError, diagnostics, plots, report, results

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
    copy.attrs = {**tree.attrs, **results.as_attributes(attrs)}
    return copy


@pytest.fixture(scope="module")
def text(laminar_result):
    return report.render(laminar_result)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_warnings_come_before_any_number(page, laminar_result):
    (box,) = page.find("section", id="warnings")
    assert box < min(page.find("table"))
    assert page.texts("li") == [" ".join(w.split()) for w in diagnostics.warnings(laminar_result)]
    assert not page.open


def test_every_figure_is_embedded_with_its_caption(page):
    assert page.find("figure") != []
    ids = [page.elements[i][1]["id"] for i in page.find("figure")]
    assert ids == list(plots.FIGURES)
    for index, row in zip(page.find("img"), plots.FIGURES.values(), strict=True):
        attributes = page.elements[index][1]
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
        assert attributes["alt"] == row.caption


def test_nothing_is_loaded_from_elsewhere(page, text):
    assert "://" not in text
    assert "@import" not in text
    for tag, attributes, _ in page.elements:
        assert tag not in {"script", "link", "iframe", "object"}
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes
    assert len(text) < 5e6


def test_head_says_what_was_fitted(page, laminar_result):
    facts = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert page.texts("h1") == ["Two-time correlation fitted with model laminar_flow"]
    assert facts["q"] == "0.0054 1/Å"
    assert facts["gap"] == "2000000 Å"
    assert facts["angles × frames"] == "3 × 20"
    assert facts["distinct pairs"] == str(3 * 190)
    assert laminar_result.attrs["data_sha256"].startswith(facts["data sha256"])


def test_rows_hold_the_rounded_summary(laminar_result):
    names = ["D0", "contrast"]
    summary = diagnostics.summary(laminar_result, names)
    rows = report.rows(laminar_result, names)
    assert [row["label"] for row in rows] == [
        "D₀", "contrast [−60°]", "contrast [0°]", "contrast [60°]",
    ]  # fmt: skip
    for row, (_, line) in zip(rows, summary.iterrows(), strict=True):
        assert row["mean"] == report.rounded(line["mean"], line["sd"])
        assert row["r_hat"] == f"{line['r_hat']:.3f}"
        ends = [report.rounded(line[end], line["sd"]) for end in ("lower", "upper")]
        assert row["interval"] == " to ".join(ends)
    warm = laminar_result["warm_start"]["contrast"].values[0, :, 1]
    low = sorted(warm)[int(0.05 * len(warm))]
    assert float(rows[2]["warm_start"].split(" to ")[0]) == pytest.approx(low, abs=1e-3)


def test_interval_says_that_noise_is_uncorrected(page):
    heads = page.texts("th")
    assert "90 % interval, uncorrected for correlated noise" in heads


def test_truth_is_shown_and_judged_for_simulated_data(page, laminar_result):
    assert page.texts("th").count("true value") == 2
    (row,) = report.rows(laminar_result, ["D0"])
    line = diagnostics.summary(laminar_result, ["D0"]).iloc[0]
    assert row["truth"] == "10000"
    assert (row["inside"] == "inside") is bool(line["lower"] <= 1e4 <= line["upper"])
    moved = with_attrs(laminar_result, provenance={"truth": {"D0": 2 * line["upper"]}})
    assert report.rows(moved, ["D0"])[0]["inside"] == "outside"


def test_measured_data_have_no_truth(laminar_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    measured = with_attrs(laminar_result, provenance={"source": "beamline"})
    page = Page(report.render(measured))
    assert "true value" not in page.texts("th")
    assert report.rows(measured, ["D0"])[0]["truth"] == ""


def test_text_of_files_is_escaped(laminar_result, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    attack = "<script>alert(1)</script>"
    provenance = {"source": attack, attack: 1, "assumed": [attack]}
    text = report.render(with_attrs(laminar_result, provenance=provenance, model=attack))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 5
    assert attack in Page(text).texts("td")


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
    assert report.rounded(value, sd) == expected


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
    paragraphs = Page(report.render(with_attrs(laminar_result, convention=convention))).texts("p")
    assert any(phrase in paragraph and convention in paragraph for paragraph in paragraphs)


def test_settings_priors_cost_and_versions_are_told(page, laminar_result):
    cells = page.texts("td")
    for name, value in json.loads(laminar_result.attrs["versions"]).items():
        assert cells[cells.index(name) + 1] == value
    assert cells[cells.index("num_shards") + 1] == "2"
    assert f"{diagnostics.gradients(laminar_result):.0f}" in cells
    assert "Normal(0, 5)" in cells


def test_file_is_whole_or_absent(laminar_result, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "FIGURES", {})
    path = tmp_path / "report.html"
    report.write(laminar_result, path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="no_such_folder"):
        report.write(laminar_result, tmp_path / "no_such_folder" / "report.html")
