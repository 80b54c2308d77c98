"""What users pass: refused in a sentence about it, never called damage to the file; used once."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest

from homodyne_bayes import InputError, TwoTimeData
from homodyne_bayes.cli.settings import read_data
from homodyne_bayes.config import DataConfig
from homodyne_bayes.data import reading, two_time, writing
from homodyne_bayes.data.formats import table
from homodyne_bayes.data.formats.limits import FileContents
from homodyne_bayes.files import READ_ERRORS, naming
from homodyne_bayes.files import reading as reading_file
from tests.bad_inputs import (
    DT,
    GAP,
    PHI,
    USER,
    Q,
    archive,
    array,
    good_aps_u,
    good_data,
    group_maps,
    maps,
    plain_netcdf,
)

RAGGED = [[0.1], [0.2, 0.3]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"q": "all"}, "file that tells q, found 3 maps without; pass --q with the wavevector"),
        ({"q": "al"}, "q must be a number or a list of numbers, but is 'al'"),
        ({"q": RAGGED}, "q must be a number or a list"),
        ({"q": [Q, Q]}, "q must be one value or 3"),
        ({"q": 1j}, "q must be a number"),
        ({"q": True}, "q must be a number or a list of numbers, but is True"),
        ({"q": -Q}, "q must be positive"),
        ({"dt": "0.1"}, "dt must be a number or a list of numbers, but is '0.1'; .* in s"),
        ({"dt": [0.1, 0.2]}, "dt must be positive and finite"),
        ({"dt": -0.1}, "dt must be positive and finite"),
        ({"dt": np.nan}, "dt must be positive and finite"),
        ({"gap": object()}, "gap must be a number"),
        ({"gap": 0}, "gap must be positive"),
        ({"phi": "x"}, "phi must be a number or a list of numbers"),
        ({"phi": RAGGED}, "phi must be a number"),
        ({"phi": [0.0, None, 1.0]}, "phi must be a number"),
        ({"phi": [0.0, np.nan, 1.0]}, "phi must be 3 finite angles"),
        ({"angles": "x"}, "angles must be a number or a list of numbers, but is 'x'"),
        ({"angles": [np.nan]}, "but nan was asked for; choose from -30, 10, 75"),
        ({"first_frame": 1.0}, "first_frame must be counted in whole frames from 0, but 1.0 was"),
        ({"stop_frame": True}, "stop_frame must be counted in whole frames from 0, but True was"),
        ({"stop_frame": "9"}, "stop_frame must be .* but '9' was given; change --stop-frame"),
        ({"first_frame": -1}, "but -1 to 12 was asked for"),
        ({"exclude_frames": (2.5,)}, "exclude_frames must be .* whole .* but 2.5 was given"),
        ({"exclude_frames": [3, True]}, "exclude_frames must be .* but True was given"),
        ({"exclude_frames": np.array([2.0])}, "exclude_frames must be .* but 2.0 was given"),
        ({"exclude_frames": "3-4"}, "exclude_frames must be .* but '3-4' was given"),
        ({"exclude_frames": [10**30]}, "frames to exclude must lie in 0 to 11"),
    ],
)
def test_a_wrong_argument_is_named_and_the_file_is_not_blamed(tmp_path, changes, said):
    path = array(maps())(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        reading.read(path, **(USER | changes))
    assert str(caught.value).startswith(f"{path}: ")
    assert "write it again" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_argument_is_an_error_of_python(tmp_path):
    with pytest.raises(TypeError, match="read.* unexpected keyword argument 'angle'; .* angles"):
        reading.read(good_aps_u(tmp_path), angle=[75.0])


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"exclude_frames": (2.5,)}, "whole frames from 0, but 2.5 was given"),
        ({"first_frame": 2.0}, "whole frames from 0, but 2.0 was given"),
        ({"stop_frame": np.True_}, "whole frames from 0, but "),
        ({"angles": ["a"]}, "angles must be a number"),
    ],
)
def test_select_refuses_the_same(selection, said):
    with pytest.raises(InputError, match=said):
        good_data().select(**selection)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"q": "x"}, "q must be a number"),
        ({"dt": "x"}, "dt must be a number"),
        ({"dt": [0.1, 0.2]}, "dt must be positive"),
        ({"phi": ["a", "b", "c"]}, "phi must be a number"),
    ],
)
def test_data_refuse_what_is_no_number(changes, said):
    with pytest.raises(InputError, match=said):
        good_data(**changes)


def test_frames_of_any_whole_type_and_one_alone_are_taken():
    expected = good_data().select(exclude_frames=[3], first_frame=1).sha256()
    for frames in ((3,), np.array([3]), 3, range(3, 4), [np.int32(3)]):
        data = good_data().select(exclude_frames=frames, first_frame=np.int64(1))
        assert data.sha256() == expected
        assert data.provenance["exclude_frames"] == [3]


def test_a_fault_of_our_own_is_not_called_damage(tmp_path, monkeypatch):
    """Only calls that touch the file turn errors of libraries into complaints about it."""
    path = good_aps_u(tmp_path)
    monkeypatch.setattr(reading, "TwoTimeData", lambda *_args, **_more: [].pop())
    with pytest.raises(IndexError):
        reading.read(path)
    for error in READ_ERRORS:
        with pytest.raises(error), naming(path):
            raise error(*([0, "x"] if error is OSError else ["x"]))
        with (
            pytest.raises(InputError, match="expected finished work, found one .* delete it"),
            reading_file(path, "finished work", "delete it"),
        ):
            raise error(*([0, "x"] if error is OSError else ["x"]))


# azimuths: phi names them where the file does not, angles choose


def test_phi_names_and_angles_choose(tmp_path):
    told, untold = good_aps_u(tmp_path), array(maps())(tmp_path)
    both = reading.read(untold, **USER, gap=GAP, angles=[75.0, -30.0])
    np.testing.assert_array_equal(both.phi, [75.0, -30.0])
    np.testing.assert_array_equal(both.c2, maps()[[2, 0]])
    assert both.sha256() == reading.read(untold, **USER, gap=GAP).select([75.0, -30.0]).sha256()
    np.testing.assert_array_equal(reading.read(told, angles=10).c2, maps()[1:2].astype("f4"))
    with pytest.raises(InputError, match="leave out --phi, or choose by --angles"):
        reading.read(told, phi=PHI)


def test_only_the_maps_of_the_angles_are_loaded(tmp_path):
    path = good_aps_u(tmp_path)
    with h5py.File(path, "r+") as file:
        file["xpcs/twotime/correlation_map/c2_00002"][...] = np.inf
    assert reading.read(path, angles=[-30.0, 75.0]).num_angles == 2


def test_passed_wavevectors_and_azimuths_of_every_map_belong_together(tmp_path):
    """Of four maps at two wavevectors, two azimuths repeat at each."""
    path = array(maps(4))(tmp_path)
    data = reading.read(path, q=[0.004, 0.004, 0.005, 0.005], dt=DT, phi=[0.0, 90.0], angles=90)
    np.testing.assert_array_equal(data.c2, maps(4)[[1, 3]])
    np.testing.assert_array_equal(data.q, [0.004, 0.005])


def test_azimuths_told_for_some_maps_only_must_be_passed(tmp_path):
    from tests.data.test_facilities import chx

    path = chx(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["qval_dict"].attrs["1"] = [Q]
    with pytest.raises(InputError, match="does not tell phi; pass --phi"):
        reading.read(path)
    np.testing.assert_array_equal(reading.read(path, phi=PHI).c2, maps())


# work done once


def counted(monkeypatch, module, name):
    """Return a list that grows by one at every call of a function."""
    calls, function = [], getattr(module, name)

    def counting(*args, **more):
        calls.append(name)
        return function(*args, **more)

    monkeypatch.setattr(module, name, counting)
    return calls


def test_the_command_line_checks_every_map_once(tmp_path, monkeypatch):
    writing.write_netcdf(tmp_path / "a.nc", good_data(group_c2=group_maps()))
    calls = counted(monkeypatch, two_time, "complete")
    made = counted(monkeypatch, two_time.TwoTimeData, "__post_init__")
    config = DataConfig(angles=(75.0, -30.0), first_frame=2, stop_frame=11, exclude_frames=(4,))
    data = read_data(str(tmp_path / "a.nc"), config)
    assert len(calls) == 2  # the maps of two angles, with their groups
    assert len(made) == 1
    expected = good_data(group_c2=group_maps()).select([75.0, -30.0], 2, 11, [4])
    assert data.sha256() == expected.sha256()
    assert data.provenance["first_frame"] == 2
    assert data.provenance["exclude_frames"] == [4]


def test_a_selection_is_made_once(monkeypatch):
    data = good_data()
    made = counted(monkeypatch, two_time.TwoTimeData, "__post_init__")
    data.select([75.0, -30.0], 2, 11, [4])
    assert len(made) == 1


def test_reading_copies_maps_once(tmp_path):
    """The most memory of reading: the maps as loaded, their copy, and what one map needs."""
    frames = 400
    big = np.ones((8, frames, frames))
    path = array(big)(tmp_path)
    given = {"q": Q, "dt": DT, "phi": np.arange(8.0)}
    reading.read(path, **given)
    tracemalloc.start()
    reading.read(path, **given, first_frame=10, angles=np.arange(8.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.8 * big.nbytes


def test_what_lies_outside_the_frames_is_not_looked_at(tmp_path):
    c2 = maps()
    c2[0, 0, 5] = c2[0, 5, 0] = np.nan
    path = archive(c2=c2, phi=np.array(PHI), q=Q, dt=DT)(tmp_path)
    with pytest.raises(InputError, match="exclude-frames 0,5"):
        reading.read(path)
    data = reading.read(path, first_frame=1)
    np.testing.assert_array_equal(data.c2, maps()[:, 1:, 1:])
    assert data.usable.all()


@pytest.mark.parametrize("part", ["import", "contents"])
def test_data_need_no_jax(tmp_path, part):
    """Nor does a file other than netCDF need xarray."""
    path = good_aps_u(tmp_path)
    code = "import sys, homodyne_bayes.data.reading as reading, homodyne_bayes.data.writing\n"
    if part == "contents":
        code += f"assert reading.contents({str(path)!r}).num_frames == 12\n"
        code += f"assert reading.read({str(path)!r}).num_frames == 12\n"
    code += "print([name for name in ('jax', 'xarray', 'netCDF4') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


def test_contents_of_netcdf_need_no_jax(tmp_path):
    code = (
        "import sys; from homodyne_bayes.data.reading import contents\n"
        f"assert contents({str(plain_netcdf(tmp_path))!r}).num_frames == 12\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# what a prompt and a notebook show


def test_data_are_shown_in_a_few_words():
    shown = repr(good_data().select(exclude_frames=[3]))
    assert shown.splitlines() == [
        "TwoTimeData(maps: 3 × 12 frames; q: 0.0054 1/Å; phi: -30, 10, 75 degree; dt: 0.1 s; "
        "gap: 2e+06 Å;",
        "            pairs: 165, 0 missing; unusable frames: 3)",
    ]


def test_many_maps_are_shown_in_as_few():
    frames = np.ones((40, 5, 5))
    data = TwoTimeData(frames, np.arange(40.0), DT, np.linspace(0.003, 0.006, 40))
    assert "q: 0.003 to 0.006 1/Å (40 values); phi: 0 to 39 degree (40 values)" in " ".join(
        repr(data).split()
    )
    assert "gap: not given" in repr(data)
    assert len(repr(data)) < 300


def test_tables_of_notebooks_hold_every_fact_and_escape_names(tmp_path):
    table_of_data = good_data()._repr_html_()
    for fact in good_data().facts.values():
        assert f"<td>{fact}</td>" in table_of_data
    path = array(maps())(tmp_path).rename(tmp_path / "<b>&.npy")
    held = reading.contents(path)
    assert isinstance(held, FileContents)
    assert "phi: not given" in repr(held)
    assert f"notes: {len(held.notes)}" in repr(held)
    shown = held._repr_html_()
    assert "&lt;b&gt;&amp;.npy" in shown
    assert "<b>" not in shown
    for note in held.notes:
        assert f"<td>{note}</td>" in shown


def test_contents_name_their_format(tmp_path):
    held = reading.contents(good_aps_u(tmp_path))
    assert "format: aps-u; maps: 3 × 12 frames" in " ".join(repr(held).split())
    assert replace(held, path=held.path) == held
    assert held.format in table.FORMATS
