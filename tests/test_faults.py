"""What goes wrong while a fit runs ends in a sentence, and nothing that was finished is lost."""

import errno
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import xarray as xr

from homodyne_bayes import fit, formats
from tests.test_shelf import CONFIG, command


def test_a_full_disk_loses_nothing_that_was_finished(laminar_data, tmp_path, monkeypatch):
    """The third chain cannot be written: two are there, whole, and a later fit takes them up."""
    write, written = xr.Dataset.to_netcdf, []

    def full_after_two(dataset, path, **options):
        if len(written) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return write(dataset, path, **options)

    folder = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_netcdf", full_after_two)
        with pytest.raises(OSError, match="No space left"):
            fit(laminar_data, CONFIG, folder=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["chains-0000.nc", "chains-0001.nc"]
    seen = []
    fit(laminar_data, CONFIG, lambda *at: seen.append(at), folder)
    assert len(list(folder.iterdir())) == CONFIG.num_shards * CONFIG.num_chains
    assert seen


def interrupted(call, parts, times):
    """Run a command, press Ctrl-C so often once a chain is done; return code and error output."""
    silent, kept = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(call, stdout=silent, stderr=kept, text=True) as run:
        while run.poll() is None and not list(parts.glob("*.nc")):
            time.sleep(0.01)
        for _ in range(times):
            run.send_signal(signal.SIGINT)
            time.sleep(0.05)
        errors = run.communicate(timeout=60)[1]
    return run.returncode, errors


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_what_is_finished_and_says_so(laminar_data, tmp_path, times):
    file, out = tmp_path / "data.nc", tmp_path / "out.nc"
    formats.write_netcdf(file, laminar_data)
    parts = Path(f"{out}.parts")
    code, errors = interrupted(command(file, out), parts, times)
    assert code == 130
    assert "Traceback" not in errors
    last = re.sub(r"\s+", " ", errors).strip()
    assert last.endswith(f"finished chains are in {parts}: the same command with --resume goes on")
    assert list(parts.glob("chains-*.nc"))
    assert not out.exists()
