"""What goes wrong while a fit runs ends in a sentence, and nothing that was finished is lost."""

import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import InputError
from homodyne_bayes.cli import main
from homodyne_bayes.data import writing
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.inference import places
from homodyne_bayes.inference.places import HERE
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.results.view import Result
from tests.inference.test_shelf import CONFIG, command


def test_a_full_disk_loses_nothing_that_was_finished(laminar_data, tmp_path, monkeypatch):
    """The third chain cannot be written: two are there, whole, and a later fit takes them up."""
    write, written = Shelf._write, []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full_after_two(shelf, name, arrays):
        written.append(name)
        room = 4096 if len(written) == 3 else limits[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            write(shelf, name, arrays)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    folder = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "_write", full_after_two)
        with pytest.raises(InputError, match="could not be written .*is the disk full"):
            fit(laminar_data, CONFIG, folder=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["chains-0000.nc", "chains-0001.nc"]
    seen = []
    fit(laminar_data, CONFIG, lambda *at: seen.append(at), folder)
    assert len(list(folder.iterdir())) == CONFIG.num_shards * CONFIG.num_chains
    assert seen


def interrupted(call, parts, times):
    """Run a command, press Ctrl-C so often once a chain is done; return code and error output."""
    silent, kept = subprocess.DEVNULL, subprocess.PIPE
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}  # aborted, it shows where it was
    with subprocess.Popen(call, stdout=silent, stderr=kept, text=True, env=environment) as run:
        while run.poll() is None and not list(parts.glob("*.nc")):
            time.sleep(0.01)
        for _ in range(times):
            run.send_signal(signal.SIGINT)
            time.sleep(0.05)
        try:
            errors = run.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGABRT)
            errors = run.communicate()[1]
    return run.returncode, errors


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_what_is_finished_and_says_so(laminar_data, tmp_path, times):
    file, out = tmp_path / "data.nc", tmp_path / "out.nc"
    writing.write_netcdf(file, laminar_data)
    parts = Path(f"{out}.parts")
    code, errors = interrupted(command(file, out), parts, times)
    assert code == 130, errors
    assert "Traceback" not in errors
    last = re.sub(r"\s+", " ", errors).strip()
    assert last.endswith(f"finished chains are in {parts}: the same command with --resume goes on")
    assert list(parts.glob("chains-*.nc"))
    assert not out.exists()


def test_work_that_does_not_end_after_ctrl_c_is_left():
    """A library that swallows the interrupt, as one that waits for its own lock."""
    code = (
        "import os, signal, threading, time\n"
        "from homodyne_bayes.cli import main\n"
        "from homodyne_bayes.data import reading\n"
        "def stuck(_):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    while True:\n"
        "        try:\n"
        "            time.sleep(60)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
        "main.GRACE, reading.contents = 0.5, stuck\n"
        "main.main()\n"
    )
    call = [sys.executable, "-c", code, "inspect", "file"]
    run = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 130, run.stderr
    assert "left what did not end within 0.5 s" in run.stderr


def without_limit(data, folder):
    """The result of a fit that nothing stops."""
    return fit(data, CONFIG, folder=folder)


def ticking(clock):
    """A clock for time limits alone, late once the list ends."""
    return SimpleNamespace(monotonic=lambda: next(clock, 99.0), perf_counter=time.perf_counter)


def spoiled(change):
    """A place where what chains gave is changed before anyone sees it."""

    def run(lanes, todo, progress):
        for number, lane in HERE.run(lanes, todo, progress):
            yield number, change(number, lane)

    return HERE._replace(run=run)


@pytest.mark.skipif(jax.local_device_count() > 7, reason="all chains end together")
def test_a_time_limit_gives_what_can_be_certified_and_keeps_the_rest(laminar_data, tmp_path):
    """The clock passes after the first chains; resumed without it, draws are the undisturbed."""
    clock = iter([0.0] * 5)  # when it starts, when chains start, three chunks of the first round
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "time", ticking(clock))
        limited = places.within(10.0, HERE)
        stopped = fit(laminar_data, CONFIG, folder=tmp_path / "parts", place=limited)
    assert Result(stopped).refused()[0] == "consensus: stopped by the time limit."
    assert "sub_posteriors" not in stopped.children
    assert stopped["certificate"]["proposal"].values[0] == "least squares fit"
    assert 0 < len(list((tmp_path / "parts").iterdir())) < CONFIG.num_shards * CONFIG.num_chains
    resumed = without_limit(laminar_data, tmp_path / "parts")
    xr.testing.assert_identical(
        resumed["sub_posteriors"].to_dataset(),
        without_limit(laminar_data, None)["sub_posteriors"].to_dataset(),
    )


def test_a_time_limit_stops_nuts_on_all_the_data(laminar_data):
    config = replace(CONFIG, method="laplace", rescue_pairs=10**6, num_samples=4)
    clock = iter([0.0] * 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "time", ticking(clock))
        found = fit(laminar_data, config, place=places.within(10.0, HERE))
    assert "NUTS on all the data: stopped by the time limit." in Result(found).refused()
    assert not found["certificate"].attrs["certified"]


def test_nan_from_a_shard_is_never_merged(laminar_data):
    def change(number, lane):
        z = np.full_like(lane.kept.z, np.nan) if number == 3 else lane.kept.z
        return lane._replace(kept=lane.kept._replace(z=z))

    tree = fit(laminar_data, CONFIG, place=spoiled(change))
    assert not tree["certificate"].attrs["certified"]
    assert any("shard" in reason for reason in Result(tree).refused())
    assert np.isfinite(tree["posterior"]["D0"]).all()


def test_a_device_without_memory_ends_in_a_sentence(laminar_data, tmp_path, monkeypatch, capsys):
    def exhausted(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    writing.write_netcdf(tmp_path / "data.nc", laminar_data)
    monkeypatch.setattr(pipeline, "fit", exhausted)
    devices = ["--cpu-devices", str(jax.local_device_count())]
    command = ["fit", str(tmp_path / "data.nc"), "--out", str(tmp_path / "out.nc")]
    monkeypatch.setattr("sys.argv", ["homodyne-bayes", *devices, *command])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert stopped.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "a device ran out of memory: choose more shards" in told
    assert not (tmp_path / "out.nc").exists()


def test_clocks_that_jump_are_not_believed(laminar_data, monkeypatch):
    """The time of day goes back an hour at every look: durations are not taken from it."""
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: -3600.0 * next(hours))
    tree = fit(laminar_data, replace(CONFIG, method="laplace"))
    assert all(seconds >= 0 for seconds in json.loads(tree.attrs["seconds"]).values())


def test_what_a_crash_left_behind_does_not_disturb(laminar_data, tmp_path):
    parts = tmp_path / "parts"
    (parts / ".chains-0001.nc.left").mkdir(parents=True)
    (parts / ".chains-0001.nc.left" / "chains-0001.nc").write_bytes(b"half")
    (parts / "chains-0002.nc.lock").write_bytes(b"")
    found = without_limit(laminar_data, parts)
    xr.testing.assert_identical(
        found["posterior"].to_dataset(), without_limit(laminar_data, None)["posterior"].to_dataset()
    )


def test_a_folder_that_cannot_be_written_is_found_out_before_the_work(laminar_data, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises((InputError, OSError), match="file"):
        fit(laminar_data, CONFIG, folder=tmp_path / "file")
