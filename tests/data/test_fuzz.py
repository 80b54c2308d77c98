"""Broken and hostile files end in one sentence or in valid data, whatever was done to them."""

import collections
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from homodyne_bayes import InputError, TwoTimeData
from homodyne_bayes.config import read_settings
from homodyne_bayes.data.reading import contents, read
from homodyne_bayes.fitting.settings import SECTIONS, make
from tests.bad_inputs import MAP_1, USER, array, good_aps_u, maps
from tests.mutations import (
    HOSTILE,
    HOSTILE_SETTINGS,
    header,
    mutated,
    mutated_settings,
    options,
    with_member,
)

SLOWEST = 10.0  # s a file may take
MOST_MEMORY = 20  # times the size of the file, above what reading a good one takes
LEAST_MEMORY = 20_000_000
NUM_FILES = 10_000
ROOT = Path(__file__).parents[2]


def outcome_of_file(seed, folder):
    """Return what was done and how reading ended; anything but data or an error sentence raises."""
    path, done = mutated(seed, folder)
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            data = read(path, **options(seed, contents(path)))
        except InputError as error:
            ended, sentence = "refused", str(error)
        else:
            assert isinstance(data, TwoTimeData)
            assert np.isfinite(data.c2[data.pairs]).all()
            assert data.select(first_frame=0, exclude_frames=[]).sha256() == data.sha256()
            ended = "read"
    if ended == "refused":
        assert "\n" not in sentence, (seed, done)
        assert str(path) in sentence, (seed, done)
    assert time.monotonic() - began < SLOWEST, (seed, done)
    path.unlink()
    return done.partition(",")[0], ended


def made_from(path):
    """Return checked settings of a file."""
    return [make(SECTIONS[section], chosen) for section, chosen in read_settings(path).items()]


def outcome_of_settings(seed, folder):
    """Return how reading mutated settings ended."""
    path, done = mutated_settings(seed, folder)
    try:
        made_from(path)
    except InputError as error:
        sentence = str(error)
    else:
        return "yaml", "read"
    assert "\n" not in sentence, (seed, done)
    return "yaml", "refused"


def outcome(seed, folder):
    """Return how reading one mutated file ended, of data or of settings."""
    return (outcome_of_settings if seed % 4 == 3 else outcome_of_file)(seed, folder)


def test_two_hundred_mutated_files_are_read_or_refused(tmp_path):
    found = [outcome(seed, tmp_path) for seed in range(200)]
    assert {ended for _, ended in found} == {"read", "refused"}


def outcomes_elsewhere(seeds, folder):
    """Return the outcomes of seeds in a process of their own, up to one that hangs or kills it."""
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from pathlib import Path; from tests.data.test_fuzz import outcome\n"
        f"for seed in range({seeds.start}, {seeds.stop}):\n"
        f"    print(*outcome(seed, Path({str(folder)!r})), flush=True)"
    )
    call = [sys.executable, "-c", code]
    try:
        done = subprocess.run(
            call, cwd=ROOT, capture_output=True, text=True, check=False, timeout=6 * SLOWEST
        )
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode().splitlines()
    assert done.returncode <= 0, done.stderr  # below 0 it was killed by a signal
    return done.stdout.splitlines()


@pytest.mark.slow
def test_ten_thousand_mutated_files_are_read_or_refused(tmp_path):
    found, lost, seed = collections.Counter(), [], 0
    while seed < NUM_FILES:
        lines = outcomes_elsewhere(range(seed, min(seed + 250, NUM_FILES)), tmp_path)
        found.update(lines)
        seed += len(lines)
        if len(lines) < 250 and seed < NUM_FILES:
            lost.append(seed)
            seed += 1
    for kind, number in sorted(found.items()):
        print(f"| {kind} | {number} |")
    print("hung or crashed in a library:", lost)
    assert not lost


class Payload:
    """What a pickle runs when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        """Return what to call, and with what."""
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickles_are_never_opened(tmp_path, suffix):
    mark, path = tmp_path / "opened", tmp_path / f"maps.{suffix}"
    hostile = np.array([Payload(mark)], dtype=object)
    np.save(path, hostile) if suffix == "npy" else np.savez(path, c2=hostile)
    with pytest.raises(InputError):
        read(path)
    path.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(InputError):
        read(path)
    assert not mark.exists()


def memory_of_reading(path):
    """Return the most memory that a refused file takes."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read(path, q=0.0054, dt=0.1, phi=[0.0])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(10**9, 10**9), (1, 10**9, 10**9), (10**18,), (10**9, 10, 10)])
def test_headers_that_claim_too_much_take_no_memory(tmp_path, shape):
    """An array of a few bytes says that it has a billion frames, or a million maps."""
    path = tmp_path / "maps.npy"
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    most = LEAST_MEMORY + MOST_MEMORY * path.stat().st_size
    assert memory_of_reading(path) < most
    archive = tmp_path / "maps.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "c2.npy")
    assert memory_of_reading(archive) < most


def test_hdf5_maps_that_claim_a_billion_frames_take_no_memory(tmp_path):
    path = good_aps_u(tmp_path)
    with h5py.File(path, "r+") as file:
        group = file[MAP_1].parent
        for name in list(group):
            del group[name]
            group.create_dataset(name, (10**9, 10**9), "f4", chunks=(1024, 1024))
    assert memory_of_reading(path) < LEAST_MEMORY


def test_aliases_and_tags_of_yaml_do_nothing(tmp_path):
    path = tmp_path / "settings.yaml"
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    path.write_text("\n".join(["a0: &a0 [x, x]", *levels]))
    with pytest.raises(InputError, match="unknown section"):
        read_settings(path)
    path.write_text(f"data: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']")
    with pytest.raises(InputError):
        read_settings(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_little_cost(tmp_path, name):
    build, message = HOSTILE[name]
    path = build(tmp_path)
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message) as caught:
            read(path, **(USER if path.suffix == ".npz" else {"q": USER["q"], "dt": USER["dt"]}))
        assert tracemalloc.get_traced_memory()[1] < LEAST_MEMORY
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < SLOWEST
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("name", HOSTILE_SETTINGS)
def test_hostile_settings_are_refused_in_one_line(tmp_path, name):
    path = tmp_path / "settings.yaml"
    path.write_text(HOSTILE_SETTINGS[name])
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        made_from(path)
    assert time.monotonic() - began < SLOWEST
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_damage_to_lzma_and_links_in_a_file_are_told_apart(tmp_path):
    """A damaged stream is refused; a soft link to something inside is followed."""
    path = tmp_path / "maps.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("c2.npy", header((3, 12, 12)) + maps().tobytes())
    whole = bytearray(path.read_bytes())
    whole[60:900:7] = bytes(byte ^ 0x5A for byte in whole[60:900:7])
    path.write_bytes(whole)
    with pytest.raises(InputError, match="cannot be read"):
        read(path, **USER)
    path = good_aps_u(tmp_path)
    with h5py.File(path, "r+") as file:
        file.move(MAP_1, "here")
        file[MAP_1] = h5py.SoftLink("/here")
    assert read(path).num_angles == 3


def test_a_member_that_hides_behind_the_name_of_an_array_is_not_read(tmp_path):
    path = with_member("c2", header((1, 20_000, 20_000)), c2=maps())(tmp_path)
    np.testing.assert_array_equal(read(path, **USER).c2, maps())


def test_the_extension_does_not_matter(tmp_path):
    path = array(maps())(tmp_path).rename(tmp_path / "maps.hdf")
    np.testing.assert_array_equal(read(path, **USER).c2, maps())


def test_a_damaged_attribute_of_netcdf_is_refused(tmp_path):
    """NetCDF's own library falls over it: tried in a process of its own."""
    assert outcomes_elsewhere(range(5005, 5006), tmp_path) == ["netcdf refused"]
