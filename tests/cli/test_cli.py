"""The command line as a newcomer uses it, and every refusal as one sentence with code 2."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import jax
import numpy as np
import pytest

from homodyne_bayes.cli import main, screen
from homodyne_bayes.data import writing
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.results import store
from tests.bad_inputs import BAD_INPUTS

OWN_MODEL = '''
import numpyro
import numpyro.distributions as dist
from homodyne_bayes.physics import kernels

def constant(points, priors):
    """Plain diffusion: one number for D."""
    level = numpyro.sample("log_D", dist.Normal(9.0, 2.0))
    D = numpyro.deterministic("D", kernels.jnp.exp(level) * kernels.jnp.ones_like(points.time))
    return kernels.field_correlation(points, D)
'''
QUICK = ["--num-warmup", "100", "--num-samples", "50", "--num-chains", "2", "--num-shards", "2"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line; return exit code, standard output and standard error."""

    def call(*arguments):
        devices = ["--cpu-devices", str(jax.local_device_count())]
        monkeypatch.setattr(sys, "argv", ["homodyne-bayes", *devices, *map(str, arguments)])
        code = 0
        try:
            main.main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_from_simulation_to_report(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(
        "simulate",
        "data.h5",
        "--frames",
        20,
        "--dt",
        0.4,
        "--phi",
        "-60,0,60",
        "--pixels",
        500,
        "--set",
        "phi0=5",
    )
    assert code == 0
    assert "3 angles × 20 frames, 570 distinct pairs" in out
    code, out, _ = run("inspect", "data.h5")
    assert code == 0
    assert "aps-u" in out
    assert "a fit takes: 3 maps at q = 0.0054 1/Å, frames 0 to 19" in out
    code, printed, _ = run("inspect", "data.h5", "--json")
    found = json.loads(printed)
    assert (found["format"], found["num_frames"], found["gap"]) == ("aps-u", 20, 2e6)
    assert found["bins"] == [[0.0054, -60], [0.0054, 0], [0.0054, 60]]
    code, out, err = run("fit", "data.h5", "--exclude-frames", "3,7-8", *QUICK)
    assert code == 0, err
    assert "sampling" in err
    assert "chains 4/4" in err
    assert "9 unusable frames left out" in err
    assert "wrote data_posterior.nc" in out
    assert "times" in out
    assert "uncorrected for correlated noise" not in out
    code, summary, _ = run("summary", "data_posterior.nc")
    assert code == 0
    assert "gamma_dot_t0" in summary
    computed, fits, decided, flow, method, cost, *_ = summary.splitlines()
    for line, name in ((computed, "computed right"), (fits, "model fits"), (decided, "decided")):
        assert line[2:].startswith(name)
    assert flow.startswith("A sample at rest is ")
    assert method.startswith("method consensus: cavity merge of 2 shards; k-hat (ESS): cavity")
    assert "evaluations of the compressed data; warm start" in cost
    code, printed, _ = run("summary", "data_posterior.nc", "--json")
    assert code == 0
    assert {row["name"] for row in json.loads(printed)["parameters"]} >= {"D0", "phi0", "offset"}
    code, printed, _ = run("rerun", "data_posterior.nc")
    assert code == 0
    assert "the draws are the same, bit for bit" in printed
    code, _, err = run("report", "data_posterior.nc", "--out", "paper", "--latex", "--at", "1,2")
    assert code == 0, err
    assert Path("paper/table.tex").is_file()
    shutil.rmtree("paper")
    code, _, err = run("report", "data_posterior.nc", "--latex")
    assert code == 2
    assert "name a folder by --out" in err
    code, _, err = run("report", "data_posterior.nc")
    assert code == 0, err
    assert "<html" in Path("data_posterior.html").read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "data.h5",
        "data_posterior.html",
        "data_posterior.nc",
    ]


def test_progress_in_a_log_is_lines_with_time_left(capsys, monkeypatch):
    seconds = iter([0.0, 4.0, 12.0, 20.0])
    monkeypatch.setattr(screen.time, "monotonic", lambda: next(seconds))
    with screen.progress_bar("fitting") as progress:
        for done in (0, 1, 3, 5):
            progress("sampling", done, 5)
    assert capsys.readouterr().err.splitlines() == [
        "fitting",
        "sampling 0/5, 0 s elapsed",
        "sampling 3/5, 12 s elapsed, 8 s left",
        "sampling 5/5, 20 s elapsed",
    ]


def test_doctor(run):
    code, out, _ = run("doctor")
    assert code == 0
    assert "double precision  on" in out
    assert "self-test         g1 is its closed form" in out
    code, out, _ = run("doctor", "--json")
    assert json.loads(out)["double precision"] == "on"
    assert "g1 is its closed form" in out


def test_doctor_warm_refuses_before_it_works(run):
    for size, model, told in (("5", "static", "5x400"), ("3x16", "statik", "static")):
        code, out, error = run("doctor", "--warm", size, "--model", model)
        assert code == 2
        assert told in error
        assert "Traceback" not in error + out


def test_settings_file_and_flags(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("simulate", "data.nc", "--model", "static", "--frames", 16, "--phi", "0", "--sigma", 0.01)
    Path("settings.yaml").write_text(
        "fit:\n  model: static\n  num_warmup: 100\n  num_samples: 50\n  num_chains: 2\n"
        "  num_shards: 3\n  priors: {D_slope: [0, 1]}\n"
    )
    arguments = [
        "--settings",
        "settings.yaml",
        "--num-shards",
        2,
        "--prior",
        "D_bend=1,0.2",
        "--method",
        "laplace",
        "--rescue-pairs",
        0,
    ]
    code, _, err = run("fit", "data.nc", "--out", "r.nc", *arguments)
    assert code == 0, err
    attrs = store.read("r.nc").attrs
    assert '"num_shards": 2' in attrs["settings"]
    assert '"D_bend": "Normal(1, 0.2)"' in attrs["priors"]


def test_what_is_known_is_said_alike_in_flags_and_in_a_file(run, data_file, tmp_path, monkeypatch):
    """And in Python: FitConfig has the same words."""
    from homodyne_bayes.fitting.settings import FitConfig

    asked = []

    def stopped(_data, config, *_):
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "fit", stopped)
    Path("known.yaml").write_text(
        "fit:\n  fix: {D_offset: 0}\n  bounds: {alpha: [-2, 0]}\n  start: {D0: 1e4}\n"
        "  priors: {D0: 'lognormal(9, 1)', beta: [0, 0.2]}\n"
    )
    run("fit", data_file, "--settings", "known.yaml")
    flags = ("--fix", "D_offset=0", "--bounds", "alpha=-2:0", "--start", "D0=1e4")
    known = ("--prior", "D0=lognormal(9,1)", "--prior", "beta=0,0.2")
    run("fit", data_file, *flags, *known)
    said = FitConfig(
        fix={"D_offset": 0},
        bounds={"alpha": (-2, 0)},
        start={"D0": 1e4},
        priors={"D0": "lognormal(9, 1)", "beta": (0, 0.2)},
    )
    assert asked == [said, said]
    assert str(said.prior_table()["D0"]) == "Lognormal(9, 1)"


def test_a_model_of_ones_own(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN_MODEL)
    run(
        "simulate",
        "data.nc",
        "--model",
        "static",
        "--set",
        "alpha=0",
        "--set",
        "D_offset=0",
        "--frames",
        16,
        "--phi",
        "0,45",
        "--sigma",
        0.01,
        "--dt",
        0.4,
    )
    code, _, err = run(
        "fit",
        "data.nc",
        "--model",
        "mine.py:constant",
        "--out",
        "r.nc",
        "--method",
        "laplace",
        *QUICK,
    )
    assert code == 0, err
    draws = store.read("r.nc")["posterior"]["log_D"]
    assert abs(float(draws.mean()) - np.log(1e4)) < 4 * float(draws.std())
    assert run("report", "r.nc")[0] == 0


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.name)
def test_bad_files(run, tmp_path, case):
    """Every rejected file: one sentence, exit code 2, nothing written."""
    if case.selection:
        pytest.skip("selections are tested on the data")
    path = case.build(tmp_path)
    before = sorted(tmp_path.iterdir())
    flags = [
        part
        for name, value in case.options.items()
        for part in (
            f"--{name.replace('_', '-')}",
            ",".join(map(str, value)) if isinstance(value, list | tuple | range) else value,
        )
    ]
    code, out, err = run("fit", path, "--out", tmp_path / "r.nc", *flags)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


BAD_CALLS = [
    (["fit", "{data}", "--num-shards", "many"], "fit.num_shards: .*integer.*'many'"),
    (["fit", "{data}", "--num-shards", "1"], "fit.num_shards: .*greater than or equal to 2"),
    (
        [
            *["fit", "{data}", "--noise", "independent", "--compress", "no"],
            *["--num-shards", "1000000"],
        ],
        "num_shards must lie between 1 and",
    ),
    (["fit", "{data}", "--bin-frames", "9"], "bin_frames must leave at least 4 bins, found 9"),
    (["fit", "{data}", "--method", "nuts"], "nuts.*not one of.*laplace"),
    (["fit", "{data}", "--modle", "static"], "No such option.*--modle"),
    (["fit", "{data}", "--model", "flow"], "model must be one of static, laminar_flow"),
    (["fit", "{data}", "--law", "constant"], "--law must be RATE=LAW, .*found 'constant'"),
    (["fit", "{data}", "--law", "D=constnt"], "the law of D: unknown.*did you mean constant"),
    (["simulate", "new.h5", "--law", "E=constant"], "can be chosen for D, gamma_dot, found 'E'"),
    (
        ["fit", "{data}", "--model", "frozen", "--prior", "frozen_share=0,0.1"],
        "fit.priors.frozen_share: must lie between 0 and 1, found 0",
    ),
    (["fit", "{data}", "--merge", "mean"], "mean.*not one of.*consensus"),
    (["fit", "{data}", "--prior", "phi=0,5"], "fit.priors.phi: unknown; did you mean phi0"),
    (["fit", "{data}", "--prior", "phi0=0"], "fit.priors.phi0: must be LOC,SCALE or one of"),
    (["fit", "{data}", "--prior", "D0=gauss(1,2)"], "fit.priors.D0: must be LOC,SCALE or one of"),
    (["fit", "{data}", "--fix", "bta=0"], "fit.priors.bta: unknown; did you mean beta"),
    (["fit", "{data}", "--fix", "beta"], "fit.fix.beta: must be a number, found ''"),
    (["fit", "{data}", "--fix", "gamma_dot_t0=0"], "without any shear rate it is model static"),
    (["fit", "{data}", "--bounds", "alpha=0"], "fit.bounds.alpha: must be two numbers, LOW:HIGH"),
    (["fit", "{data}", "--start", "D0=big"], "fit.start.D0: must be a number, found 'big'"),
    (["fit", "{data}", "--uncertainty", "gap=3"], "fit.uncertainty.gap: .*below 0.5, found '3'"),
    (["fit", "{data}", "--q", "0.1"], "within 0.5 %.*0.0054"),
    (["fit", "{data}", "--dt", "1"], "--dt to agree with the file"),
    (["fit", "{data}", "--num-pixels", "1,2"], "num_pixels must be one positive number or 3"),
    (["fit", "{data}", "--photons", "few"], "--photons must be numbers"),
    (["fit", "{data}", "--angles", "45"], "45.*choose from -60, 0, 60"),
    (["fit", "{data}", "--stop-frame", "2"], "frames"),
    (["fit", "{data}", "--exclude-frames", "99"], "99"),
    (["fit", "{data}", "--settings", "nowhere.yaml"], "nowhere.yaml: .*could not read"),
    (["fit", "{data}", "--settings", "{data}"], "could not read"),
    (["fit", "{data}", "--out", "nowhere/r.nc"], "folder nowhere does not exist"),
    (["fit", "{data}", "--out", "{data}"], "would overwrite"),
    (["fit", "{folder}"], "expected a file, found a folder"),
    (["fit", "nowhere.h5"], "nowhere.h5: expected a file, found nothing"),
    (["fit"], "Missing argument"),
    (["inspect", "nowhere.h5"], "found nothing of that name"),
    (["summary", "{data}"], "expected a result"),
    (["report", "nowhere.nc"], "no such file"),
    (["calibrate", "--noise", "speckle"], "is of independent noise: leave out --noise"),
    (["calibrate", "--bin-frames", "2"], "leave out --bin-frames"),
    (["calibrate", "--coverage", "nowhere.nc"], "no such file"),
    (["calibrate", "--coverage", "{data}"], "expected a result"),
    (["calibrate", "--coverage", "r.nc", "--phi", "0"], "those of the result: leave out --phi"),
    (["simulate", "data.txt"], "ending must be one of .h5, .hdf, .nc"),
    (["simulate", "x.h5", "--contrast", "1.5"], "above 0 and at most 1"),
    (["simulate", "x.h5", "--set", "D=3"], "--set knows D0.*found 'D'"),
    (["simulate", "x.h5", "--set", "D0=big"], "--set D0 needs a number, found 'big'"),
    (["simulate", "x.h5", "--phi", "a,b"], "--phi must be numbers"),
    (["simulate", "x.h5", "--sigma", "0.1", "--photons", "2"], "no pixels: leave out --photons"),
    (["simulate", "x.h5", "--frames", "many"], "--frames.*not a valid integer"),
    (["simulat"], "No such command.*simulat"),
]


@pytest.fixture(scope="module")
def data_file(laminar_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    writing.write_aps_u(path, laminar_data)
    return path


@pytest.mark.parametrize(("arguments", "message"), BAD_CALLS, ids=lambda v: str(v)[:60])
def test_bad_calls(run, data_file, tmp_path, monkeypatch, arguments, message):
    import re

    monkeypatch.chdir(tmp_path)
    known = {"data": data_file, "folder": tmp_path}
    code, _, err = run(*(text.format(**known) for text in arguments))
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert list(tmp_path.iterdir()) == []


def test_uncertainties_are_told_wherever_a_result_is(run, data_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ["--method", "laplace", "--noise", "independent", "--num-samples", 200]
    code, out, err = run("fit", data_file, "--out", "r.nc", *quick, "--uncertainty", "gap=0.03")
    assert code == 0, err
    assert "Budget of uncertainty" in out
    assert "what was stated of gap 3 % (type B, standard uncertainties)" in out
    code, printed, _ = run("summary", "r.nc", "--json")
    assert json.loads(printed)["uncertainty"]["stated"] == {"gap": 0.03}
    code, _, err = run("report", "r.nc", "--out", "paper", "--latex")
    assert code == 0, err
    for name in ("report.html", "tables.tex"):
        assert "Budget of uncertainty" in Path("paper", name).read_text(encoding="utf-8")
    assert "The gap dominates" in Path("paper/methods.tex").read_text(encoding="utf-8")


def test_pixels_and_photons_are_passed_to_data_and_shown(run, data_file, tmp_path, monkeypatch):
    passed = []

    def stopped(data, *_):
        passed.append(data)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "fit", stopped)
    run("fit", data_file, "--num-pixels", "4000", "--photons", "0.1,0.2,0.3")
    (data,) = passed
    assert data.num_pixels.tolist() == [4000] * 3
    assert data.photons.tolist() == [0.1, 0.2, 0.3]
    writing.write_netcdf("told.nc", data)
    _, out, _ = run("inspect", "told.nc")
    assert "pixels  4000 pixels of a bin" in out
    assert "photons 0.1, 0.2, 0.3 photons of a pixel in a frame" in out


def test_interrupted(run, data_file, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "fit", interrupt)
    code, _, err = run("fit", data_file)
    assert code == 130
    assert "interrupted; nothing was written" in err
    assert list(tmp_path.iterdir()) == []


def test_compiled_programs_are_kept_for_the_user(tmp_path):
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    inherited = {name: text for name, text in os.environ.items() if "CACHE" not in name}
    script = Path(sys.executable).with_name("homodyne-bayes")
    subprocess.run(
        [script, "simulate", tmp_path / "flow.nc", "--frames", "8"],
        check=True,
        capture_output=True,
        env=inherited | own,
    )
    assert len(list((tmp_path / "cache" / "homodyne-bayes").iterdir())) > 10


def test_help_says_what_every_command_says_of_itself():
    """The table, from which help is written without importing commands, holds their words."""
    for name, row in main.COMMANDS.items():
        command = main.commands.get_command(click.Context(main.commands), name)
        assert command.name == name
        assert command.help.partition("\n\n")[0].replace("\n", " ") == row.sentence


HEAVY = "{'jax', 'jaxlib', 'numpyro', 'arviz', 'matplotlib'}"


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], f"{HEAVY} | {{'h5py', 'pandas', 'xarray', 'pydantic'}}"),
        (["--version"], HEAVY),
        (["inspect", "{data}"], HEAVY),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_commands_load_what_they_need(data_file, arguments, absent):
    code = (
        "import sys; from homodyne_bayes.cli import main\n"
        "try:\n    main.main()\n"
        "finally:\n"
        f"    loaded = ({absent}) & set(sys.modules)\n"
        "    assert not loaded, loaded"
    )
    filled = [text.format(data=data_file) for text in arguments]
    call = [sys.executable, "-c", code, *filled]
    run = subprocess.run(call, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_a_file_is_checked_once(run, data_file, tmp_path, monkeypatch):
    """Frames, angles and scalars of the settings are chosen in one go."""
    made, check = [], TwoTimeData.__post_init__

    def counting(data):
        made.append(data)
        check(data)

    def stop(data, *_):
        raise InputError(f"{data.num_frames} frames, {data.phi.tolist()}")

    monkeypatch.setattr(TwoTimeData, "__post_init__", counting)
    monkeypatch.setattr(pipeline, "fit", stop)
    selection = ["--angles", "60", "--first-frame", 2, "--exclude-frames", "5", "--gap", 2e6]
    code, _, err = run("fit", data_file, "--out", tmp_path / "r.nc", *selection)
    assert (code, err) == (2, "error: 18 frames, [60.0]\n")
    assert len(made) == 1


def test_models_lists_every_table(run):
    code, out, _ = run("models")
    assert code == 0
    for name in ("laminar_flow", "power_law", "speckle", "fourier", "gap-average", "aps-u"):
        assert name in out
    found = json.loads(run("models", "--json")[1])
    del found["methods"]  # functions, which the help of fit explains
    assert all(title for rows in found.values() for title in rows.values())
