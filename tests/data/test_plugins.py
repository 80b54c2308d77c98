"""File formats of other packages, joined by an entry point, or by a row of the table."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from homodyne_bayes import InputError
from homodyne_bayes.data import reading, writing
from homodyne_bayes.data.formats import table
from tests.bad_inputs import DT, PHI, Q, array, good_aps_u, good_data, maps

LAB = '''
"""One HDF5 dataset of maps beside q, phi and the frame time; written too."""

import h5py
from homodyne_bayes.data.formats.hdf5 import dataset, maps_along, values_of
from homodyne_bayes.data.formats.limits import FileContents, map_size
from homodyne_bayes.data.formats.record import HDF5, Format


def describe(path):
    with h5py.File(path) as file:
        maps = dataset(file, "lab/c2")
        _, frames = map_size(maps.shape, maps.dtype)
        phi, (q,), (dt,) = (values_of(file, f"lab/{name}") for name in ("phi", "q", "dt"))
    return FileContents(path, [(float(q), float(azimuth)) for azimuth in phi], frames, float(dt))


def load(path, indices):
    with h5py.File(path) as file:
        return maps_along(dataset(file, "lab/c2"), indices, last=False)


def write(path, data):
    with h5py.File(path, "w") as file:
        file["lab/c2"], file["lab/phi"], file["lab/q"], file["lab/dt"] = (
            data.c2, data.phi, data.q, data.dt
        )


LAB = Format("lab", "maps of our laboratory", HDF5, ("lab/c2",), describe, load, write=write)
'''


def install(folder, monkeypatch, module, value="lab_formats:LAB"):
    """Put a package that brings one format where Python finds it."""
    (folder / "lab_formats.py").write_text(module)
    info = folder / "lab_formats-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-formats\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[homodyne_bayes.formats]\nlab = {value}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "lab_formats", raising=False)


def lab_file(folder):
    with h5py.File(folder / "lab.h5", "w") as file:
        file["lab/c2"], file["lab/phi"], file["lab/q"], file["lab/dt"] = maps(), PHI, Q, DT
    return folder / "lab.h5"


def test_a_format_of_another_package_is_read_inspected_written_and_listed(tmp_path, monkeypatch):
    path = lab_file(tmp_path)
    with pytest.raises(InputError, match="expected one of the formats netcdf, .* entries lab"):
        reading.read(path)
    install(tmp_path, monkeypatch, LAB)
    assert reading.contents(path).format == "lab"
    data = reading.read(path, angles=[75.0, -30.0], stop_frame=9)
    np.testing.assert_array_equal(data.c2, maps()[[2, 0], :9, :9])
    assert data.provenance["format"] == "lab"
    assert table.formats()["lab"].title == "maps of our laboratory"
    writing.write(tmp_path / "again.h5", good_data(), "lab")
    np.testing.assert_array_equal(reading.read(tmp_path / "again.h5").c2, maps())
    assert sys.modules["lab_formats"].__file__ == str(tmp_path / "lab_formats.py")
    sys.modules.pop("lab_formats")


def test_it_is_loaded_only_for_a_file_that_is_of_no_other_format(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "raise RuntimeError('touched')")
    assert reading.read(good_aps_u(tmp_path)).num_angles == 3
    with pytest.raises(InputError, match="touched"):
        reading.contents(array(maps())(tmp_path))


@pytest.mark.parametrize(
    ("module", "value", "said"),
    [
        ("raise ValueError('no\\nluck')", "lab_formats:LAB", r"could not load it \(no luck\)"),
        ("import nowhere_to_be_found", "lab_formats:LAB", "No module named 'nowhere_to_be_found'"),
        ("LAB = nothing", "lab_formats:LAB", "name 'nothing' is not defined"),
        ("LAB = (", "lab_formats:LAB", "could not load it"),
        ("", "lab_formats:LAB", "has no attribute 'LAB'"),
        ("LAB = 5", "lab_formats:LAB", "found int"),
        ("", "other_formats:LAB", "No module named 'other_formats'"),
    ],
)
def test_a_broken_one_is_named(tmp_path, monkeypatch, module, value, said):
    path = lab_file(tmp_path)
    install(tmp_path, monkeypatch, module, value)
    with pytest.raises(InputError, match=said) as caught:
        reading.read(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: expected a file format")
    assert f"plug-in lab ({value})" in sentence
    assert "uninstall" in sentence
    assert "\n" not in sentence


def test_a_row_of_the_table_is_enough(tmp_path, monkeypatch):
    lab: dict[str, object] = {}
    exec(LAB, lab)
    monkeypatch.setitem(table.FORMATS, "lab", lab["LAB"])
    assert reading.read(lab_file(tmp_path)).num_angles == 3


def test_every_row_says_what_it_is_and_writes_what_its_endings_promise(tmp_path):
    for name, row in table.FORMATS.items():
        assert row.name == name
        assert row.title
        assert row.must_pass
        assert bool(row.endings) == (row.write is not None)
    assert set(writing.WRITERS) == {".h5", ".hdf", ".nc", ".nxs"}
    for ending, name in writing.WRITERS.items():
        path = Path(tmp_path / f"data{ending}")
        writing.write(path, good_data())
        assert reading.contents(path).format == name


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        (None, "a.txt", r"ending must be one of \.nc, \.h5, \.hdf, \.nxs"),
        ("npz", "a.h5", "netcdf, aps-u, nxxpcs, found 'npz'"),
        ("nonsense", "a.h5", "that can be written, .* found 'nonsense'"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, file, said):
    with pytest.raises(InputError, match=said):
        writing.write(tmp_path / file, good_data(), name)
    assert list(tmp_path.iterdir()) == []
