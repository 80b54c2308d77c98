"""A result holds what a comparison of models says."""

import json
import sys

import pytest

from homodyne_bayes import InputError
from homodyne_bayes.cli import main
from homodyne_bayes.results import tables
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.view import Result

ERRORS = ("log_evidence_error", "log_bayes_factor_error", "loao_difference_error")


def row(model, **more):
    numbers = {"log_evidence": 12.0, "log_bayes_factor": 0.0, "loao_difference": 0.0}
    return {"model": model, "odds": 1.0, "probability": 0.9, **numbers} | {
        **dict.fromkeys(ERRORS, 0.1),
        **more,
    }


@pytest.fixture
def record(laminar_result):
    rows = [
        row("laminar_flow"),
        row("static", log_evidence=None, log_bayes_factor=-3.0, probability=float("nan"), odds=2.0),
    ]
    said = ["The data prefer laminar_flow over static."]
    sha256 = laminar_result.attrs["data_sha256"]
    return {"noise": "speckle", "data_sha256": sha256, "models": rows, "sentences": said}


def test_the_table_says_what_is_known(laminar_result, record):
    held = Result(laminar_result).with_comparison(record)
    (table,) = [t for t in tables.shown(Numbers(held.tree)) if t.name == "comparison"]
    assert [[cell.text for cell in cells] for cells in table.cells] == [
        ["laminar_flow", "12.00 ± 0.10", "0", "0.9", "0"],
        ["static", "–", "-3.00 ± 0.10", "–", "0.00 ± 0.10"],
    ]
    assert "at prior odds laminar_flow 1, static 2." in table.before[0]
    assert table.after == record["sentences"]
    assert not any(t.name == "comparison" for t in tables.shown(Numbers(laminar_result)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_sha256": "0123456789abcdef"}, "of the data of the result.*found 0123456789ab…"),
        ({"models": [row("static"), row("frozen")]}, "laminar_flow, found static, frozen"),
    ],
)
def test_a_comparison_of_something_else_is_refused(laminar_result, record, change, message):
    with pytest.raises(InputError, match=message):
        Result(laminar_result).with_comparison(record | change)


def test_from_the_shell(result_file, record, tmp_path, monkeypatch, capsys):
    saved, page = tmp_path / "comparison.json", tmp_path / "page.html"
    called = ["report", str(result_file), "--out", str(page), "--comparison", str(saved)]
    monkeypatch.setattr(sys, "argv", ["homodyne-bayes", *called])
    incomplete = json.dumps(record | {"models": [{"model": "static"}]})
    for content in (None, "not json", "[]", incomplete):
        if content is not None:
            saved.write_text(content)
        with pytest.raises(SystemExit):
            main.main()
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert "compare DATA --json >" in told
        assert not page.exists()
    saved.write_text(json.dumps(record))
    main.main()
    assert "Models compared" in page.read_text()
