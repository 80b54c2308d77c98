"""Every format is read right, written whole, or refused with a reason."""

import json
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from homodyne_bayes.data.reading import contents, read, warn_untypical
from homodyne_bayes.data.writing import write_aps_u, write_netcdf
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from tests.bad_inputs import (
    BAD_INPUTS,
    DT,
    GAP,
    MAP_1,
    PHI,
    QMAP,
    TWOTIME,
    USER,
    Q,
    archive,
    array,
    cache,
    edited_aps_u,
    good_aps_u,
    good_data,
    group_maps,
    maps,
    put,
    several_q,
)


@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.name)
def test_bad_input_is_refused_in_one_sentence(case, tmp_path):
    path = case.build(tmp_path)
    with pytest.raises(InputError, match=case.message) as caught:
        read(path, **case.options).select(**case.selection)
    assert "\n" not in str(caught.value)
    if not case.selection:
        assert str(path) in str(caught.value)


def test_names_of_bad_inputs_are_distinct():
    assert len({case.name for case in BAD_INPUTS}) == len(BAD_INPUTS)


def assert_same(back, data, rtol=0.0):
    np.testing.assert_allclose(back.c2, data.c2, rtol=rtol)
    np.testing.assert_array_equal(back.phi, data.phi)
    np.testing.assert_array_equal(back.usable, data.usable)
    assert (back.q, back.dt, back.gap) == (data.q, data.dt, data.gap)


def test_aps_u_round_trip(tmp_path):
    data = good_data(provenance={"source": "simulated", "convention": "upstream"})
    data = data.select(exclude_frames=[3])
    write_aps_u(tmp_path / "a.hdf", data)
    back = read(tmp_path / "a.hdf")
    assert_same(back, data, rtol=1e-7)
    assert back.c2.dtype == np.float32
    assert back.provenance["convention"] == "upstream"
    assert back.provenance["origin"] == "simulated"
    assert back.provenance["format"] == "aps-u"
    assert contents(tmp_path / "a.hdf").notes == ["1 of 12 detector frames have no counts"]


def test_aps_u_stores_what_the_format_says(tmp_path):
    with h5py.File(good_aps_u(tmp_path)) as file:
        half = file[MAP_1][...]
        assert half.dtype == np.float32
        assert not np.tril(half, -1).any()
        np.testing.assert_allclose(half, np.triu(maps()[0]), rtol=1e-7)
        assert file["entry/instrument/detector_1/frame_time"].shape == (1, 1)
        g2 = file[f"{TWOTIME}/normalized_g2"][...]
        np.testing.assert_allclose(g2[2, 1], np.diagonal(maps()[1], 2).mean(), rtol=1e-6)
        np.testing.assert_allclose(g2[0], [np.diagonal(m).mean() for m in maps()], rtol=1e-6)


def sparse(file):
    """Make a 2 by 3 q-map with one empty cell, of which bins 2, 4 and 5 are processed."""
    for name, value in {
        f"{QMAP}/dynamic_v_list_dim0": [0.004, Q],
        f"{QMAP}/dynamic_v_list_dim1": [0.0, 60.0, 120.0],
        f"{QMAP}/dynamic_num_pts": [2, 3],
        f"{QMAP}/dynamic_index_mapping": [0, 2, 3, 4, 5],
        f"{TWOTIME}/processed_bins": [2, 4, 5],
    }.items():
        del file[name]
        file[name] = np.array(value)


def test_aps_u_empty_cells_and_subset_of_bins(tmp_path):
    path = edited_aps_u(sparse)(tmp_path)
    found = contents(path)
    assert found.bins == [(0.004, 120.0), (Q, 60.0), (Q, 120.0)]
    assert found.notes[0] == "1 of 6 cells of the q-map are empty"
    assert "numbered by rank" in found.notes[1]
    data = read(path, q=Q * 1.004)
    assert data.q == Q
    np.testing.assert_array_equal(data.phi, [60.0, 120.0])
    np.testing.assert_allclose(data.c2, maps()[1:], rtol=1e-7)


def test_aps_u_dt_has_stride_and_average(tmp_path):
    path = put(f"{TWOTIME}/config/stride_frame", 3)(tmp_path)
    with h5py.File(path, "r+") as file:
        file[f"{TWOTIME}/config/avg_frame"][...] = 2
    assert contents(path).dt == pytest.approx(0.6)
    assert read(path, dt=0.6).dt == 0.6
    with pytest.raises(InputError, match=r"0.6 s, found 0.1 s"):
        read(path, dt=DT)


@pytest.mark.parametrize("half", [np.asarray, np.triu, np.tril])
def test_aps_u_full_or_either_half(half, tmp_path):
    data = read(put(MAP_1, half(maps()[0].astype(np.float32)))(tmp_path))
    np.testing.assert_allclose(data.c2, maps(), rtol=1e-7)


def test_aps_u_frame_without_counts(tmp_path):
    dark = np.triu(maps()[0])
    dark[6, :] = dark[:, 6] = 0.0
    data = read(put(MAP_1, dark.astype(np.float32))(tmp_path))
    np.testing.assert_array_equal(data.excluded, [1, 0, 0])
    assert not data.usable[0, 6]


def test_aps_u_reads_only_the_maps_of_one_q(tmp_path):
    path = edited_aps_u(several_q)(tmp_path)
    with h5py.File(path, "r+") as file:
        file[MAP_1][...] = np.nan
    np.testing.assert_allclose(read(path, q=Q).c2, maps()[1:], rtol=1e-7)
    with pytest.raises(InputError, match="0 of 12"):
        read(path, q=0.004)


def test_aps_u_without_frame_time_or_gap_takes_them_from_the_user(tmp_path):
    path = put("entry/instrument/detector_1/frame_time", None)(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["homodyne_bayes"]
    assert contents(path).notes == [
        "the file does not tell dt: pass --dt",
        "the file does not tell gap: pass --gap",
    ]
    assert read(path, dt=0.25).gap is None
    assert read(path, dt=0.25, gap=GAP).gap == GAP


def test_a_file_with_bad_frames_and_a_dead_angle_is_read_around_them(tmp_path):
    c2 = maps()
    c2[0, 2, 5] = c2[0, 5, 2] = np.nan
    c2[1] = 0.0
    path = archive(c2=c2, phi=np.array(PHI), q=Q, dt=DT)(tmp_path)
    with pytest.raises(InputError, match="exclude-frames 2,5"):
        read(path)
    with pytest.raises(InputError, match="phi = 10 has 0 of 12"):
        read(path, exclude_frames=[5])
    data = read(path, angles=[75.0, -30.0], exclude_frames=[5])
    np.testing.assert_array_equal(data.phi, [75.0, -30.0])
    np.testing.assert_array_equal(data.excluded, [1, 1])
    assert data.provenance["exclude_frames"] == [5]
    alive = np.delete(np.arange(12), 5)
    np.testing.assert_array_equal(
        data.c2[:, alive][:, :, alive], maps()[[2, 0]][:, alive][:, :, alive]
    )


def test_contents_does_not_load_maps(tmp_path):
    frames = 600
    big = good_data(c2=np.full((3, frames, frames), 1.1))
    paths = [tmp_path / name for name in ("a.hdf", "a.nc", "a.npy", "a.npz")]
    write_aps_u(paths[0], big)
    write_netcdf(paths[1], big)
    np.save(paths[2], big.c2)
    np.savez(paths[3], c2=big.c2)
    for path in paths:
        contents(path)
        tracemalloc.start()
        assert contents(path).num_frames == frames
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < frames**2 * 4 / 2


def test_cache(tmp_path):
    data = read(cache()(tmp_path), gap=GAP)
    assert_same(data, good_data(c2=maps().astype(np.float32), dt=data.dt))
    assert data.dt == pytest.approx(DT, rel=1e-12)
    assert json.loads(data.provenance["cache_metadata"])["end_frame"] == 12
    assert data.provenance["assumed"] == []


def test_cache_with_meshgrid_times(tmp_path):
    t1, t2 = np.meshgrid(DT * np.arange(12), DT * np.arange(12), indexing="ij")
    assert read(cache(t1=t1, t2=t2)(tmp_path)).dt == pytest.approx(DT, rel=1e-12)


class Bomb:
    """Fails the test when unpickled."""

    def __reduce__(self):
        """Return what unpickling calls."""
        return pytest.fail, ("a pickled member was loaded",)


def test_cache_with_pickled_metadata_is_read_without_unpickling(tmp_path):
    with pytest.raises(pytest.fail.Exception):
        pickle.loads(pickle.dumps(Bomb()))
    path = cache("cache_metadata_json", cache_metadata=np.array(Bomb(), dtype=object))(tmp_path)
    data = read(path, dt=DT)
    assert data.dt == DT
    assert "pass --dt to check" in data.provenance["assumed"][0]


def test_cache_with_only_maps_takes_the_rest_from_the_user(tmp_path):
    path = archive(c2_exp=maps())(tmp_path)
    assert contents(path).bins == [(None, None)] * 3
    assert_same(read(path, gap=GAP, **USER), good_data())


def test_npy_of_several_maps_and_of_one(tmp_path):
    assert_same(read(array(maps())(tmp_path), gap=GAP, **USER), good_data())
    single = read(array(maps()[0])(tmp_path), q=Q, dt=DT)
    np.testing.assert_array_equal(single.phi, [0.0])
    assert single.provenance["assumed"] == ["phi"]
    assert read(array(maps()[0])(tmp_path), q=Q, dt=DT, phi=7).provenance["assumed"] == []


def test_npz_of_one_array_or_with_entries(tmp_path):
    assert_same(read(archive(anything=maps())(tmp_path), gap=GAP, **USER), good_data())
    path = archive(c2=maps(), phi=np.array(PHI), q=Q, dt=DT, gap=GAP)(tmp_path)
    assert_same(read(path), good_data())


def test_netcdf_round_trip_is_bit_identical(tmp_path):
    for dtype in (np.float32, np.float64):
        data = good_data(c2=maps().astype(dtype), provenance={"source": "beam", "run": 7})
        data = data.select(first_frame=1, exclude_frames=[4])
        write_netcdf(tmp_path / "a.nc", data)
        back = read(tmp_path / "a.nc")
        assert back.sha256() == data.sha256()
        assert back.provenance["run"] == 7
        assert back.provenance["origin"] == "beam"
        assert contents(tmp_path / "a.nc").bins == [(Q, phi) for phi in PHI]


def test_netcdf_holds_pixel_groups(tmp_path):
    """They follow the angles asked for, the excluded frames and a later selection."""
    path = tmp_path / "a.nc"
    write_netcdf(path, good_data(group_c2=group_maps().astype(np.float32)))
    assert contents(path).notes == ["c2 of 2 pixel groups of every angle is there too"]
    data = read(path, angles=[75.0, -30.0], exclude_frames=[4])
    assert data.group_c2.dtype == np.float32
    assert np.isnan(data.group_c2[:, :, 4]).all()
    later = data.select(angles=[-30.0], first_frame=5)
    np.testing.assert_array_equal(later.group_c2, group_maps().astype(np.float32)[:1, :, 5:, 5:])
    write_netcdf(path, later)
    assert read(path).sha256() == later.sha256()


def test_formats_without_a_place_for_pixel_groups(tmp_path):
    write_aps_u(tmp_path / "a.hdf", good_data(group_c2=group_maps()))
    write_netcdf(tmp_path / "a.nc", good_data())
    for name in ("a.hdf", "a.nc"):
        assert read(tmp_path / name).group_c2 is None
        assert contents(tmp_path / name).notes == []


def test_assumed_phi_survives_writing(tmp_path):
    single = read(array(maps()[0])(tmp_path), q=Q, dt=DT)
    for write in (write_netcdf, write_aps_u):
        write(tmp_path / "again", single)
        assert read(tmp_path / "again").provenance["assumed"] == ["phi"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": 5.4}, "q = 5.4 1/Å is outside"),
        ({"dt": 1e4}, "dt = 10000 s is outside"),
        ({"gap": 0.2}, "gap = 0.2 Å is outside"),
        ({"c2": maps() - 1}, "mean of c2 off the diagonal is 0.1"),
    ],
)
def test_untypical_values_warn(changes, message):
    with pytest.warns(UserWarning, match=message):
        warn_untypical(good_data(**changes))


def test_typical_values_do_not_warn():
    warn_untypical(good_data())


def test_untypical_file_warns(tmp_path):
    with pytest.warns(UserWarning, match="q = 5.4"):
        read(array(maps())(tmp_path), **(USER | {"q": 5.4}))


def interrupted_write(path, error):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_write_keeps_the_old_file_and_leaves_nothing(error, tmp_path):
    path = tmp_path / "result.nc"
    path.write_text("old")
    with pytest.raises(error):
        interrupted_write(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_aps_u, write_netcdf])
def test_failing_writer_leaves_nothing(write, tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path / "a", good_data(provenance={"not json": object()}))
    assert list(tmp_path.iterdir()) == []


def test_writing_into_a_missing_folder_or_onto_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="found No such file or directory"):
        write_netcdf(tmp_path / "no" / "a.nc", good_data())
    with pytest.raises(InputError, match="found a folder"):
        write_netcdf(tmp_path, good_data())


COUNTED = {"num_pixels": [40.0, 30.0, 50.0], "photons": [0.5, 0.25, 2.0]}


def assert_told(told, expected):
    assert told.detector.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(told.detector[name], values, rtol=1e-6)


@pytest.mark.parametrize("write", [write_aps_u, write_netcdf])
def test_pixels_and_photons_are_kept(write, tmp_path):
    data = good_data(**COUNTED)
    write(tmp_path / "a.file", data.take([2, 0, 1]))
    assert_told(read(tmp_path / "a.file", angles=PHI), COUNTED)
    some = read(tmp_path / "a.file", angles=[PHI[2], PHI[0]])
    assert_told(some, {name: [v[2], v[0]] for name, v in COUNTED.items()})
    assert "photons: 0.5, 0.25, 2 photons of a pixel" in str(data)
    write(tmp_path / "none.file", good_data())
    assert_told(read(tmp_path / "none.file"), {})


def test_pixels_and_photons_of_an_archive_or_of_the_user(tmp_path):
    path = archive(c2=maps(), **USER, **COUNTED)(tmp_path)
    assert_told(contents(path), COUNTED)
    given = read(path, num_pixels=7, photons=[1.0, 2.0, 3.0])
    assert_told(given, {"num_pixels": [7.0] * 3, "photons": [1.0, 2.0, 3.0]})
    with pytest.raises(InputError, match=r"one positive number or 3, .*--num-pixels"):
        read(path, num_pixels=[7, 8])
    with pytest.raises(InputError, match=r"photons must be .*-1.*--photons"):
        read(path, photons=-1)


def detected(file, roi=None):
    """Add the detector of `sparse`: labels of pixels, and counts that are ten times these."""
    sparse(file)
    file[f"{TWOTIME}/config/avg_frame"][...] = 3
    roi = np.array([[0, 1, 2, 2], [4, 4, 4, 5]], "u1") if roi is None else roi
    file[f"{QMAP}/dynamic_roi_map"] = roi
    file["xpcs/temporal_mean/scattering_2d"] = 0.1 * np.arange(8.0).reshape(1, 2, 4)


def test_aps_u_tells_pixels_and_photons_of_processed_bins(tmp_path):
    path = edited_aps_u(detected)(tmp_path)
    means = [3 * 0.25, 3 * 0.5, 3 * 0.7]  # of three detector frames
    assert_told(contents(path), {"num_pixels": [2, 3, 1], "photons": means})
    assert_told(read(path, q=Q), {"num_pixels": [3, 1], "photons": means[1:]})


@pytest.mark.parametrize(
    ("roi", "told"),
    [
        (np.array([[0, 1, 1, 1], [4, 4, 4, 5]]), {}),  # bin 2 has no pixel
        (np.array([2, 4, 4, 5, -1, 2**62]), {"num_pixels": [1, 2, 1]}),  # of another detector
        (np.linspace(0, 5, 8), {}),
    ],
)
def test_a_detector_that_cannot_be_is_not_told(roi, told, tmp_path):
    assert_told(contents(edited_aps_u(lambda file: detected(file, roi))(tmp_path)), told)
