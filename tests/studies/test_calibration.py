"""Ranks are uniform for an exact sampler, not for a spoiled one, and hold for this sampler."""

import sys

import jax
import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.cli import main
from homodyne_bayes.studies import calibration

DESIGNS = {
    "static": calibration.Design((0.0,), 20, dt=0.5),
    "laminar_flow": calibration.Design((-60.0, 0.0, 60.0), 20, dt=0.2),
}


def fake_ranks(spread=1.0, shift=0.0, num_simulations=400):
    """Ranks in a Normal model, prior and noise of sd 1, with a posterior spoiled as told."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(num_simulations, 1))
    mean, sd = (truth + rng.normal(size=truth.shape)) / 2, np.sqrt(0.5)
    draws = mean + sd * (shift + spread * rng.normal(size=(num_simulations, 1000)))
    ranks = [calibration.rank(*one) for one in zip(truth, draws[..., None], strict=True)]
    return xr.Dataset(
        {
            "rank": (("simulation", "parameter"), ranks),
            "certified": ("simulation", np.ones(num_simulations, bool)),
        },
        {"parameter": ["mean"]},
        {"parameters": "[]"},
    )


def test_an_exact_sampler_passes():
    assert calibration.uniformity(fake_ranks())["p_adjusted"]["mean"] > 0.01


@pytest.mark.parametrize("spoiled", [{"spread": 0.5}, {"spread": 2.0}, {"shift": 1.0}], ids=str)
def test_a_spoiled_sampler_is_rejected(spoiled):
    assert calibration.uniformity(fake_ranks(**spoiled))["p_adjusted"]["mean"] < 1e-6


def test_what_is_not_certified_is_left_out():
    ranks = fake_ranks(num_simulations=60)
    ranks["certified"][20:] = False
    assert calibration.histograms(ranks).shape == (1, 2)
    assert calibration.histograms(ranks).sum() == 20
    ranks["certified"][:] = False
    with pytest.raises(InputError, match="none of 60 simulations was certified"):
        calibration.uniformity(ranks)


def test_bars_and_band():
    (ax,) = calibration.figure(fake_ranks()).axes
    band = ax.patches[0].get_window_extent().transformed(ax.transData.inverted())
    assert 5 < band.y0 < 20 < band.y1 < 40
    assert ax.get_title() == "mean"


def run(monkeypatch, *arguments):
    devices = ["--cpu-devices", str(jax.local_device_count())]
    monkeypatch.setattr(sys, "argv", ["homodyne-bayes", *devices, "calibrate", *arguments])
    main.main()


def test_from_the_command_line(monkeypatch, tmp_path, capsys):
    out = tmp_path / "ranks.nc"
    run(
        monkeypatch,
        "--model",
        "static",
        "--method",
        "laplace",
        "--simulations",
        "3",
        "--frames",
        "10",
        "--phi",
        "0",
        "--num-samples",
        "500",
        "--num-chains",
        "2",
        "--out",
        str(out),
    )
    printed = capsys.readouterr().out
    assert "log_D_ref" in printed
    assert "contrast[0]" in printed
    assert "of 3 simulations" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranks.nc", "ranks.png"]
    with xr.open_dataset(out) as ranks:
        assert ranks["rank"].shape == (3, 7)
        assert ((ranks["rank"] >= 0) & (ranks["rank"] <= 99)).all()
        assert ranks.attrs["num_left_out"] == int((~ranks["certified"].astype(bool)).sum())


def test_interrupted_leaves_nothing(monkeypatch, tmp_path, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "sample_posterior", interrupt)
    with pytest.raises(SystemExit, match="130"):
        run(monkeypatch, "--model", "static", "--phi", "0", "--out", str(tmp_path / "ranks.nc"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method", "num_simulations"),
    [("static", "laplace", 330), ("static", "full", 300), ("laminar_flow", "laplace", 560)],
)
def test_the_sampler_is_calibrated(model, method, num_simulations):
    """At least two hundred certified posteriors each."""
    config = FitConfig(
        model=model,
        method=method,
        num_chains=2,
        num_warmup=200,
        num_samples=500 if method == "full" else 2000,
        max_tree_depth=7,
        rescue_pairs=0,
    )
    ranks = calibration.ranks(DESIGNS[model], config, num_simulations)
    found = calibration.uniformity(ranks)
    left_out = ranks.attrs["num_left_out"]
    print(f"\n{model}, {method}: {left_out} of {num_simulations} not certified\n{found}")
    assert num_simulations - left_out >= 200
    assert found["p_adjusted"].min() > 0.01


def test_ranks_need_contrast_and_offset_of_every_angle():
    with pytest.raises(InputError, match="needs scaling shared or individual, found 'marginal'"):
        calibration.ranks(DESIGNS["static"], FitConfig(scaling="marginal"), 1)
