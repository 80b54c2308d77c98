"""Frames that stand out are found in the maps alone, and right ones are not."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from homodyne_bayes.data import writing
from homodyne_bayes.data.outliers import frame_levels
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.cli.test_cli import run  # noqa: F401 - a fixture
from tests.truth import LAMINAR


def speckle(seed):
    experiment = simulate.Experiment(
        MODELS["laminar_flow"], phi=(-60.0, 0.0, 60.0), num_frames=40, parameters=LAMINAR
    )
    return simulate.speckle(jax.random.key(seed), experiment, 1000, mean_photons=2.0)


def striped(data, frames, factor=1.05):
    """Return data in which the intensity of frames is off by a factor."""
    weight = np.where(np.isin(np.arange(data.num_frames), frames), factor, 1.0)
    return replace(data, c2=data.c2 * weight[:, None] * weight, group_c2=None)


@pytest.fixture(scope="module")
def data():
    return speckle(0)


def test_stripes_are_found_and_right_speckle_has_none(data):
    assert [frame_levels(speckle(seed)).far for seed in range(1, 6)] == [[]] * 5
    assert frame_levels(data).far == []
    assert frame_levels(striped(data, (12, 13, 30))).far == [12, 13, 30]
    assert frame_levels(striped(data, (0, 39), 0.95)).far == [0, 39]


def test_frames_left_out_are_not_judged(data):
    usable = np.broadcast_to(np.arange(40) != 12, (3, 40))
    levels = frame_levels(replace(striped(data, (12, 30)), usable=usable))
    assert np.isnan(levels.level[12])
    assert levels.far == [30]


def test_the_flag_that_leaves_them_out_is_told(data, run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    writing.write_aps_u("bad.h5", striped(data, (12, 13, 30)))
    code, out, err = run("plot", "bad.h5", "--first-frame", "10")
    assert code == 0, err
    assert "--exclude-frames 12-13,30" in out
    code, out, err = run("plot", "bad.h5", "--exclude-frames", "12-13", "--out", "rest.png")
    assert code == 0, err
    assert "1 frame stands out" in out
    assert "--exclude-frames 12-13,30" in out
    assert (tmp_path / "rest.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = run("plot", "bad.h5")
    assert (code, "--overwrite" in err) == (2, True)
    assert run("plot", "bad.h5", "--overwrite")[0] == 0
    code, _, err = run("plot", "bad.h5", "--out", "x.pdf")
    assert (code, "must be .png" in err) == (2, True)
