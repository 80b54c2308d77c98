"""Thirty mistakes that people make, and what each is told: what was meant, and what to type.

Nothing is fitted: a fit that gets past them is stopped.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from homodyne_bayes.data import writing
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.fitting.plan import plan
from tests.bad_inputs import good_data, maps
from tests.cli.test_cli import run  # noqa: F401 - a fixture

MISTAKES = {
    # units
    "gap in mm": ("fit bare.npy {told} --gap 0.2", "is it 0.2 mm? then --gap 2e+06"),
    "gap in m": ("fit bare.npy {told} --gap 2e-3", "is it 0.002 m? then --gap 2e+07"),
    "gap in µm": ("fit bare.npy {told} --gap 200", "is it 200 µm? then --gap 2e+06"),
    "gap in mm, of a file that tells": ("fit a.h5 --gap 0.2", "is it 0.2 mm? then --gap 2e+06"),
    "q in 1/nm": ("fit a.h5 --q 0.054", "is it 0.054 1/nm? then --q 0.0054"),
    "q in 1/nm, told": ("fit bare.npy --q 5.4 --dt 0.1 --phi -30,10,75", "then --q 0.54"),
    "dt in ms": ("fit a.h5 --dt 100", "is it 100 ms? then --dt 0.1"),
    "a level as a share": ("fit a.h5 --level 0.68", "did you mean 68?"),
    "a level above all": (
        "report r.nc --level 100",
        "must be percents from 1 to below",
    ),
    "no number": ("summary r.nc --level ninety", "--level must be numbers separated by commas"),
    # files
    "no such file": ("fit c.h5", "c.h5: expected a file, found nothing of that name"),
    "a folder": ("fit .", "expected a file, found a folder"),
    "a picture": ("inspect plot.png", "plot.png: expected one of the formats"),
    "data for a result": ("report a.h5", "expected a result of `homodyne-bayes fit`"),
    "settings for data": ("fit settings.yaml", "settings.yaml: expected one of the formats"),
    "data for settings": ("fit a.h5 --settings a.h5", "expected a YAML file, could not read it"),
    "q is not told": ("fit bare.npy --dt 0.1 --phi -30,10,75", "pass --q"),
    "azimuths are not told": ("fit bare.npy --q 0.0054 --dt 0.1", "pass --phi"),
    "no gap for flow": ("fit bare.npy {told}", "--gap"),
    # names
    "a command": ("fti a.h5", "No such command 'fti'; did you mean fit?"),
    "a flag": ("fit a.h5 --num-shard 2", "'--num-shards'"),
    "a model": ("fit a.h5 --model laminar", "model must be one of static, laminar_flow"),
    "a parameter": ("fit a.h5 --fix D_ofset=0", "did you mean D_offset?"),
    "a setting": ("fit a.h5 --settings wrong.yaml", "fit.num_shard: unknown; did you mean"),
    "a section": ("fit a.h5 --settings section.yaml", "unknown section 'fits'; did you mean fit?"),
    "settings of homodyne": ("fit a.h5 --settings old.yaml", "homodyne-bayes convert old.yaml"),
    # numbers
    "a frame too far": ("fit a.h5 --exclude-frames 12", "0 to 11, but 12 was given"),
    "an angle that is not there": ("fit a.h5 --angles 0", "choose from -30, 10, 75"),
    "one shard": ("fit a.h5 --num-shards 1", "fit.num_shards: input should be greater than or"),
    "percent for a share": ("fit a.h5 --uncertainty gap=3", "below 0.5"),
    "a prior without width": ("fit a.h5 --prior phi0=5", "fit.priors.phi0: must be LOC,SCALE"),
    # what is there already
    "a result": ("fit a.h5 --out r.nc", "choose another name, or replace it by --overwrite"),
    "no result of ours": ("fit a.h5 --out notes.nc --overwrite", "or move it away"),
    "what is fitted": ("fit a.h5 --out a.h5 --overwrite", "would overwrite what it is made from"),
    "chains": ("fit a.h5 --out b.nc", "go on with --resume, or give them up by --overwrite"),
    "a file for chains": ("fit a.h5 --out d.nc", "expected a folder or nothing, found a file"),
    "data": ("simulate a.h5", "choose another name, or replace it by --overwrite"),
    "measured data": ("simulate bare.nc --overwrite", "expected simulated data of this package"),
    "settings": ("init --out old.yaml", "replace it by --overwrite"),
    "a log": ("--log old.yaml models", "expected a log of this package"),
    "loud and quiet": ("-v -q models", "exclude each other"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a user: data, notes, settings, chains of a fit that was stopped."""
    path = tmp_path_factory.mktemp("mine")
    writing.write_aps_u(path / "a.h5", good_data())
    np.save(path / "bare.npy", maps())
    texts = {
        "notes.nc": "mine",
        "bare.nc": "measured",
        "plot.png": "\x89PNG",
        "settings.yaml": "fit: {seed: 1}\n",
        "wrong.yaml": "fit: {num_shard: 2}\n",
        "section.yaml": "fits: {seed: 2}\n",
        "old.yaml": "analyzer_parameters: {dt: 0.1}\n",
        "r.nc": "an older homodyne_bayes result",
        "b.nc.parts/chains-0.nc": "made_from",
        "d.nc.parts": "mine",
    }
    for name, text in texts.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)
    return path


def test_inspect_says_what_a_fit_lacks(run, folder, monkeypatch):  # noqa: F811
    monkeypatch.chdir(folder)
    _, out, _ = run("inspect", "bare.npy")
    assert "a fit takes: nothing yet:" in out
    assert "pass --q and --dt and --phi" in out


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("line", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told(run, folder, monkeypatch, line, told):  # noqa: F811
    def stop(data, config, *_):
        plan(data, config)
        raise KeyboardInterrupt

    monkeypatch.chdir(folder)
    monkeypatch.setattr(pipeline, "fit", stop)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    code, _, err = run(*line.format(told="--q 0.0054 --dt 0.1 --phi -30,10,75").split())
    assert code != 0
    assert told in re.sub(r"\s+", " ", err), err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
