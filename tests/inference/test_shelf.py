"""Finished work: kept whole, refused if made from anything else, taken up to the same draws."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.data import writing
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.inference.shelf import Shelf

CONFIG = FitConfig(
    noise="independent",
    num_shards=4,
    num_chains=2,
    num_warmup=60,
    num_samples=60,
    rescue_pairs=0,
    compress=False,
)
PIECE = {"z": np.arange(6.0).reshape(2, 3), "diverging": np.array([True, False])}


def test_pieces_come_back_as_they_were(tmp_path):
    shelf = Shelf(tmp_path / "parts", {"settings": {"seed": 1}, "data": "abc"})
    assert shelf.load("one") is None
    shelf.save("one", PIECE)
    found = shelf.load("one")
    for name, value in PIECE.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["one.nc"]


def test_what_was_made_from_something_else_is_refused_by_name(tmp_path):
    Shelf(tmp_path, {"settings": {"seed": 1}, "data": "abc"}).save("one", PIECE)
    with pytest.raises(InputError, match="made with settings.seed = 1, and now it is 2"):
        Shelf(tmp_path, {"settings": {"seed": 2}, "data": "abc"}).load("one")
    with pytest.raises(InputError, match="made with priors = None, and now it is x"):
        Shelf(tmp_path, {"settings": {"seed": 1}, "data": "abc", "priors": "x"}).load("one")


def test_what_cannot_be_read_is_refused(tmp_path):
    shelf = Shelf(tmp_path, {})
    shelf.save("one", PIECE)
    whole = (tmp_path / "one.nc").read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"not a netCDF file"):
        (tmp_path / "one.nc").write_bytes(broken)
        with pytest.raises(
            InputError, match="expected finished work, found one that cannot be read"
        ):
            shelf.load("one")


def stop_after(rounds):
    """Return a progress that interrupts once that many chains are at their end."""
    per_round = -(-(CONFIG.num_warmup + CONFIG.num_samples) // 50)

    def progress(stage, done, _total):
        if stage == "sampling" and done > rounds * per_round:
            raise KeyboardInterrupt

    return progress


@pytest.fixture(scope="module")
def undisturbed(laminar_data):
    return fit(laminar_data, CONFIG)


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_stopped_fit_goes_on_to_the_same_draws(laminar_data, undisturbed, rounds, tmp_path):
    folder, seen = tmp_path / "parts", []
    with pytest.raises(KeyboardInterrupt):
        fit(laminar_data, CONFIG, stop_after(rounds), folder)
    devices = jax.local_device_count()
    assert len(list(folder.glob("*.nc"))) == rounds * devices
    again = fit(laminar_data, CONFIG, lambda *at: seen.append(at), folder)
    xr.testing.assert_identical(
        again["posterior"].to_dataset(), undisturbed["posterior"].to_dataset()
    )
    sampled = [total for stage, _, total in seen if stage == "sampling"]
    assert sampled[-1] == 3 * (8 // devices - rounds)


def test_another_setting_is_refused(laminar_data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(laminar_data, CONFIG, stop_after(1), tmp_path)
    with pytest.raises(InputError, match="made with settings.num_warmup = 60, and now it is 70"):
        fit(laminar_data, replace(CONFIG, num_warmup=70), folder=tmp_path)
    other = replace(laminar_data, c2=laminar_data.c2 + 1e-6)
    with pytest.raises(InputError, match="made with data_sha256"):
        fit(other, CONFIG, folder=tmp_path)


def test_another_model_in_the_same_file_is_refused(laminar_data, tmp_path):
    """Nor is a model that was edited taken for the one that was loaded before."""
    path, folder = tmp_path / "own.py", tmp_path / "parts"
    law = "from homodyne_bayes.model_files import MODELS\n\nown = MODELS['{0}']\n"
    path.write_text(law.format("laminar_flow"))
    own = replace(CONFIG, model=f"{path}:own")
    with pytest.raises(KeyboardInterrupt):
        fit(laminar_data, own, stop_after(1), folder)
    path.write_text(law.format("static"))
    with pytest.raises(InputError, match="made with model_sha256 = "):
        fit(laminar_data, own, folder=folder)
    quick = replace(own, method="laplace", num_samples=50)
    assert "phi0" not in fit(laminar_data, quick)["posterior"]


def command(data, out, *more):
    """Return a fit of 8 shards, one chain each, as a user types it."""
    settings = {
        "noise": "independent",
        "num-shards": 8,
        "num-chains": 1,
        "num-warmup": 200,
        "num-samples": 200,
        "rescue-pairs": 0,
        "compress": "no",
    }
    flags = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
    return [
        sys.executable,
        "-m",
        "homodyne_bayes.cli.main",
        "--cpu-devices",
        "2",
        "fit",
        str(data),
        "--out",
        str(out),
        *flags,
        *more,
    ]


def kill(call, wait):
    """Run a command and kill it when ``wait(process)`` returns."""
    with subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait(process)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)


def until_a_shard_is_done(parts, before):
    """Return a wait for one more file in the folder of finished chains."""

    def wait(process):
        while process.poll() is None and len(list(parts.glob("*.nc"))) <= before:
            time.sleep(0.01)

    return wait


def same_posterior(one, other):
    """Return whether two result files hold the same draws, bit for bit."""
    with xr.open_datatree(one) as first, xr.open_datatree(other) as second:
        return first["posterior"].to_dataset().identical(second["posterior"].to_dataset())


def kill_and_resume(data, folder, waits):
    """Return whether a fit killed again and again gives the draws of an undisturbed one."""
    file, plain, out = folder / "data.nc", folder / "plain.nc", folder / "out.nc"
    writing.write_netcdf(file, data)
    subprocess.run(command(file, plain), check=True, capture_output=True)
    parts = Path(f"{out}.parts")
    for number, wait in enumerate(waits):
        kill(command(file, out, *["--resume"] * (number > 0)), wait(parts))
    call = command(file, out, "--resume")
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not parts.exists()
    return same_posterior(plain, out)


def test_a_killed_fit_is_resumed_to_the_same_draws(laminar_data, tmp_path):
    def wait(parts):
        return until_a_shard_is_done(parts, len(list(parts.glob("*.nc"))))

    assert kill_and_resume(laminar_data, tmp_path, [wait])


@pytest.mark.slow
def test_twenty_kills_at_random_times_change_nothing(laminar_data, tmp_path):
    rng = random.Random(0)

    def at_random(_parts):
        return lambda _process: time.sleep(rng.uniform(0, 15))

    assert kill_and_resume(laminar_data, tmp_path, [at_random] * 20)
