"""What every command shares: nothing is lost, settings to fill in, a log, how to cite."""

import json
from pathlib import Path

import pytest
import yaml

from homodyne_bayes.cli import init as initial
from homodyne_bayes.cli import screen
from homodyne_bayes.config import descriptions, read_settings
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.settings import SECTIONS, make
from homodyne_bayes.results import places, store
from tests.cli.test_cli import run  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]


def test_settings_that_were_begun_are_the_defaults_and_keep_their_schema(
    run,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("init")
    assert code == 0, err
    assert "homodyne-bayes fit FILE --settings settings.yaml" in out
    assert read_settings("settings.yaml") == {"data": {}, "fit": {}}
    written = Path("settings.yaml").read_text(encoding="utf-8")
    Path("all.yaml").write_text(written.replace("  # ", "  "), encoding="utf-8")
    chosen = read_settings("all.yaml")
    for section, kind in SECTIONS.items():
        assert {*descriptions(kind)} <= {*chosen[section]}
        assert make(kind, chosen[section]) == kind()
    schema = json.loads(Path("settings.schema.json").read_text(encoding="utf-8"))
    check = jsonschema.Draft202012Validator(schema)
    typed = "data: {q: 0.0054, exclude_frames: '3,10-12', angles: [0, '85:95']}\n"
    typed += "fit: {model: static, priors: {phi0: [0, 10]}, fix: {D_offset: 0}, seed: 3}"
    for right in (written, Path("all.yaml").read_text(encoding="utf-8"), typed):
        check.validate(yaml.safe_load(right))
    for wrong in ("fit: {modle: static}", "fit: {method: nuts}", "fits: {}", "fit: {seed: two}"):
        assert not check.is_valid(yaml.safe_load(wrong)), wrong
    assert initial.as_schema() == Path("settings.schema.json").read_text(encoding="utf-8")


def test_what_was_made_before_is_replaced_only_where_it_is_asked_for(
    run,  # noqa: F811
    laminar_result,
    tmp_path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("homodyne_bayes.results.page.FIGURES", {})
    store.write(laminar_result, "r.nc")
    for call in (("report", "r.nc"), ("report", "r.nc", "--out", "folder"), ("init",)):
        assert run(*call)[0] == 0
        before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        code, _, err = run(*call)
        assert (code, "--overwrite" in err) == (2, True)
        assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
        assert run(*call, "--overwrite")[0] == 0
    Path("folder/report.html").write_text("mine")
    code, _, err = run("report", "r.nc", "--out", "folder", "--overwrite")
    assert code == 2
    assert "folder: expected a report of this package" in err
    assert Path("folder/report.html").read_text() == "mine"


def test_chains_are_given_up_and_nothing_else(tmp_path):
    parts = tmp_path / "r.nc.parts"
    unfinished = parts / ".chains-1.nc.x7"
    unfinished.mkdir(parents=True)
    (unfinished / "chains-1.nc").write_text("half")
    for name, text in (("chains-0.nc", "made_from"), ("mine.nc", "mine"), ("thesis.tex", "mine")):
        (parts / name).write_text(text)
    with pytest.raises(InputError, match="--resume, or give them up by --overwrite"):
        places.parts_of(tmp_path / "r.nc", resume=False, replace=False)
    assert places.parts_of(tmp_path / "r.nc", resume=True, replace=False) == parts
    places.give_up(parts)
    assert sorted(path.name for path in parts.iterdir()) == ["mine.nc", "thesis.tex"]
    assert places.parts_of(tmp_path / "r.nc", resume=False, replace=False) == parts
    for left in parts.iterdir():
        left.unlink()
    places.give_up(parts)
    assert not parts.exists()
    places.give_up(parts)


def test_a_log_has_all_that_is_said_and_quiet_says_less(
    run,  # noqa: F811
    laminar_result,
    tmp_path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    store.write(laminar_result, "r.nc")
    _, whole, _ = run("summary", "r.nc")
    _, _, _ = run("--log", "all.txt", "-q", "summary", "r.nc")
    _, brief, _ = run("--log", "all.txt", "-q", "summary", "r.nc", "--level", "68,95")
    assert brief.count("\n") < whole.count("\n")
    assert run("--log", "all.txt", "report", "nowhere.nc")[0] == 2
    log = Path("all.txt").read_text(encoding="utf-8")
    assert log.count("homodyne-bayes --cpu-devices") == 3
    assert "computed right: yes" in log
    assert "error: nowhere.nc" in log


def test_a_silent_stage_shows_life_in_a_log(capsys, monkeypatch):
    import threading

    monkeypatch.setattr(screen, "LOG_EVERY", 0.01)
    said = threading.Event()
    print_line = screen.Console.print

    def heard(console, line, **how):
        print_line(console, line, **how)
        if "at work" in str(line):
            said.set()

    monkeypatch.setattr(screen.Console, "print", heard)
    with screen.progress_bar("fitting") as progress:
        progress("noise", 0, 1)
        assert said.wait(60)
    assert "last heard of noise" in capsys.readouterr().err


def test_how_to_cite_is_what_the_citation_file_says(run):  # noqa: F811
    code, out, _ = run("--cite")
    assert code == 0
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["title"] in out
    assert f"version = {{{cited['version']}}}" in out
    for reference in cited["references"]:
        assert reference["title"] in out
