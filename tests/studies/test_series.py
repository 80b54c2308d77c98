"""A series: a table of many files, broken ones among them, stopped and gone on with."""

import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import homodyne_bayes as hb
from homodyne_bayes.data import writing
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.results import store
from homodyne_bayes.results.figures_of_series import ORDER, maps, trends
from homodyne_bayes.studies.together import spread_of, together
from tests.cli.test_cli import run  # noqa: F401 - a fixture

QUICK = {"model": "static", "noise": "independent", "method": "laplace", "num_samples": 50}
FLAGS = [part for name, value in QUICK.items() for part in (f"--{name.replace('_', '-')}", value)]
LEVELS = {"cold": 3e4, "mild": 6e4, "warm": 12e4}  # D0, Å²/s
FILES = ("cold.nc", "broken.nc", "mild.nc", "warm.nc")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with three small files, a broken one and their temperatures."""
    folder = tmp_path_factory.mktemp("series")
    for seed, (name, level) in enumerate(LEVELS.items()):
        truth = {"D0": level, "alpha": 0.0, "D_offset": 0.0}
        geometry = {"phi": (0.0, 60.0), "num_frames": 12, "dt": 0.4, "sigma": 0.01}
        data = hb.simulate("static", parameters=truth, seed=seed, **geometry)
        writing.write_netcdf(folder / f"{name}.nc", data)
    (folder / "broken.nc").write_bytes((folder / "mild.nc").read_bytes()[:3000])
    rows = ("warm.nc,310,2", "cold.nc,290,1", "mild.nc,300,3", "broken.nc,305,4")
    (folder / "t.csv").write_text("\n".join(["file,temperature (K),dose", *rows]))
    return folder


@pytest.fixture(scope="module")
def whole(home):
    """The table of a series that nothing stopped, in the folder ``whole``."""
    files = [home / name for name in FILES]
    return hb.series(files, home / "whole", against=home / "t.csv", **QUICK)


def test_the_table_is_what_the_results_say(home, whole):
    assert list(dict.fromkeys(whole["file"])) == list(FILES)
    for name in LEVELS:
        result = hb.load(home / "whole" / f"{name}_posterior.nc")
        rows = whole[whole["file"] == f"{name}.nc"]
        assert set(rows["error"]) == {""}
        own = rows.set_index("name")
        lines = result.summary().loc[["D0", "alpha"]]
        for end in ("median", "lower", "upper"):
            np.testing.assert_allclose(own.loc[["D0", "alpha"], end], lines[end])
            np.testing.assert_allclose(own.loc["D", end], result.at().loc["D", end])
        assert own["computed_right"].iloc[0] == result.marks[0].state
        assert (own["unit"]["D"], own["unit"]["D0"]) == ("Å²/s", "Å²/s")
    again = pd.read_csv(home / "whole" / "series.csv", keep_default_na=False, na_values=[""])
    again["error"] = again["error"].fillna("")
    pd.testing.assert_frame_equal(again, whole, check_dtype=False)


def test_the_trend_is_that_of_the_truth(whole):
    levels = whole[whole["name"] == "D"].set_index("file")
    truth = pd.Series({f"{name}.nc": level for name, level in LEVELS.items()})
    assert ((levels["median"] / truth - 1).abs() < 0.2).all()
    assert levels["temperature (K)"].to_dict() == {"cold.nc": 290, "mild.nc": 300, "warm.nc": 310}


def test_a_broken_file_has_a_row_and_stops_none(whole):
    (row,) = whole[whole["file"] == "broken.nc"].to_dict("records")
    assert "broken.nc: expected" in row["error"]
    assert np.isnan(row["median"])


def test_where_all_fail_the_table_says_why(home, tmp_path):
    np.save(tmp_path / "flat.npy", np.ones((2, 3, 4)))
    files = [home / "broken.nc", tmp_path / "flat.npy", tmp_path / "none.h5"]
    table = hb.series(files, tmp_path / "out", q=0.005, dt=0.1, phi=[0.0, 60.0], **QUICK)
    for error, said in zip(
        table["error"], ("complete file", "flat.npy: ", "nothing of"), strict=True
    ):
        assert said in error
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        "series.csv",
        "together.csv",
    ]


def same_draws(one, two):
    for name in LEVELS:
        here, there = (store.read(folder / f"{name}_posterior.nc") for folder in (one, two))
        xr.testing.assert_identical(here["posterior"].dataset, there["posterior"].dataset)


def test_stopped_in_the_second_fit_and_gone_on_with(home, whole, monkeypatch):
    files, out = [home / name for name in FILES], home / "stopped"
    settings = {**QUICK, "against": home / "t.csv"}
    seen = []

    def stop(stage, *_):
        seen.append(stage.partition(":")[0])
        if stage.startswith("file 3 of 4, mild.nc: "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hb.series(files, out, progress=stop, **settings)
    assert sorted(path.name for path in out.glob("*.nc")) == ["cold_posterior.nc"]
    with pytest.raises(hb.InputError, match="is there already"):
        hb.series(files, out, **settings)
    kept, fitted = (out / "cold_posterior.nc").read_bytes(), []
    fit = pipeline.fit
    monkeypatch.setattr(pipeline, "fit", lambda *given: fitted.append(1) or fit(*given))
    table = hb.series(files, out, resume=True, **settings)
    assert len(fitted) == 2
    pd.testing.assert_frame_equal(table, whole)
    assert (out / "series.csv").read_bytes() == (home / "whole" / "series.csv").read_bytes()
    assert (out / "cold_posterior.nc").read_bytes() == kept
    same_draws(out, home / "whole")
    other = hb.series(files[:1], out, resume=True, **QUICK, seed=1)
    assert "made with settings.seed = 0, and now it is 1" in other["error"].iloc[0]
    assert (out / "cold_posterior.nc").read_bytes() == kept


def test_from_the_command_line(run, home, whole, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.chdir(home)
    shutil.copytree("whole", tmp_path / "out")
    call = ["series", *FILES, "--out", tmp_path / "out", *FLAGS, "--against", "t.csv"]
    code, _, err = run(*call)
    assert (code, err.count("\n")) == (2, 1)
    assert "series.csv: is there already" in err
    code, out, err = run(*call, "--resume")
    assert code == 1
    table = [line for line in out.splitlines() if line.startswith((" ", "─"))]
    assert max(len(line.rstrip()) for line in table) <= 80
    assert [line.split()[0] for line in table if ".nc" in line] == list(FILES)
    assert "failed" in next(line for line in table if "broken.nc" in line)
    assert "error: broken.nc: expected a complete file" in err
    assert "1 of 4 files failed: broken.nc; mend them" in err
    for name in ("series.csv", "together.csv", "trends.png", "maps.png"):
        assert name in out
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_the_figures_show_every_file(home, whole):
    labels = {name: name for name in whole["name"].dropna()}
    for against in (["temperature (K)", "dose"], []):
        figure = trends(whole, labels, against)
        shown = figure.axes[-len(against or [ORDER]) :]
        assert [ax.get_xlabel() for ax in shown] == (against or [ORDER])
        points = np.concatenate([line.get_xdata() for line in figure.axes[0].lines])
        assert set(points) >= ({290, 300, 310} if against else {1, 3, 4})
    measured = store.read(home / "whole" / "cold_posterior.nc")["observed_data"]["c2"][0]
    sheet = maps({"one": measured, "two": measured})
    assert [len(ax.images) for ax in sheet.axes[:2]] == [1, 1]


def test_what_files_say_together(home, whole):
    pooled = pd.read_csv(home / "whole" / "together.csv").set_index("name")
    assert pooled.loc["D", "num_files"] == 3
    assert pooled.loc["D", "p_alike"] < 1e-6
    assert pooled.loc["D", "spread"] == pytest.approx(np.std([*LEVELS.values()], ddof=1), rel=0.3)
    assert pooled.loc["sigma", "p_alike"] > 0.01
    assert not {"contrast", "offset"} & set(pooled.index)


def test_mean_and_spread_are_those_that_files_were_drawn_from():
    """500 series of 8 files: the mean is held by its error, and the spread is not biased."""
    rng, found = np.random.default_rng(0), []
    for _ in range(500):
        sds = rng.uniform(0.5, 1.5, 8)
        means = 5.0 + rng.normal(0.0, np.hypot(2.0, sds))
        rows = {"name": "x", "unit": "1", "t": 1.0, "q": np.nan, "phi": np.nan, "kind": "interval"}
        table = pd.DataFrame({"computed_right": "yes", "mean": means, "sd": sds, **rows})
        found.append(together(table).iloc[0])
    pooled = pd.DataFrame(found)
    z = ((pooled["mean"] - 5.0) / pooled["error"]).astype(float)
    assert z.mean() == pytest.approx(0.0, abs=0.2)
    assert z.std() == pytest.approx(1.1, abs=0.15)  # heavier tails: the spread is estimated
    assert (pooled["spread"] ** 2).mean() == pytest.approx(4.0, rel=0.15)
    alike = np.full(4, 3.0)
    assert spread_of(alike, np.ones(4)) == 0.0


REFUSED = [
    ({}, (), "a data file or more, found none"),
    ({}, ("cold.nc", "other/cold.h5"), "must differ by name .* cold.nc, other/cold.h5"),
    ({"against": "few.csv"}, FILES, "few.csv: expected a row of broken.nc, found rows of cold.nc"),
    ({"against": "words.csv"}, FILES[:1], "expected columns of numbers.*found 'look'"),
    ({"against": "none.csv"}, FILES[:1], "none.csv: expected a table"),
    ({"modle": "static"}, FILES, "fit.modle: unknown; did you mean model"),
    ({"gap": "wide"}, FILES, "data.gap: .*number"),
]


@pytest.mark.parametrize(("settings", "files", "message"), REFUSED, ids=lambda case: str(case)[:20])
def test_refused_before_anything_is_fitted(home, monkeypatch, settings, files, message):
    monkeypatch.chdir(home)
    (home / "few.csv").write_text("file,T\ncold.nc,1\n")
    (home / "words.csv").write_text("file,look\ncold.nc,good\n")
    seen = []
    with pytest.raises(hb.InputError, match=message):
        hb.series(files, "refused", progress=lambda *now: seen.append(now), **QUICK | settings)
    assert not seen
