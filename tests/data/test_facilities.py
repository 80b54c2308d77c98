"""Files of other beamlines, made by hand from their descriptions: every map under its q and phi."""

import h5py
import numpy as np
import pytest

from homodyne_bayes import InputError
from homodyne_bayes.data import reading, writing
from tests.bad_inputs import DT, PHI, good_data, maps

TURNED = [(270.0 - phi) % 360.0 for phi in PHI]  # as legacy files count


def legacy(path, *, prefix="g2_", numbers=(1, 2, 3), half=np.triu, drop=()):
    """Write three maps in a q-map of five cells, two of them empty, the first one among these."""
    q = np.array([np.nan, 0.0054, np.nan, 0.0054, 0.0054])
    phi = np.array([np.nan, TURNED[0], np.nan, *TURNED[1:]])
    with h5py.File(path, "w") as file:
        for number, matrix in zip(numbers, maps(), strict=True):
            file[f"exchange/C2T_all/{prefix}{number:05d}"] = half(matrix).astype("f4")
        file["xpcs/dqlist"], file["xpcs/dphilist"] = q[None], phi[None]
        file["xpcs/qphi_bin_to_process"] = np.array([[1], [2], [3]])
        file["xpcs/stride_frames"], file["xpcs/avg_frames"] = [[2]], [[5]]
        file["measurement/instrument/detector/exposure_period"] = [[DT / 10]]
        for name in drop:
            del file[name]
    return path


@pytest.mark.parametrize("prefix", ["g2_", "C2T_"])
@pytest.mark.parametrize("half", [np.triu, np.tril, np.asarray])
def test_legacy_skips_empty_cells_turns_azimuths_and_counts_strides(tmp_path, prefix, half):
    data = reading.read(legacy(tmp_path / "old.hdf", prefix=prefix, half=half), gap=2e6)
    np.testing.assert_allclose(data.phi, PHI, atol=1e-9)
    np.testing.assert_allclose(data.dt, DT, rtol=1e-12)
    np.testing.assert_allclose(data.c2, maps().astype("f4"), rtol=1e-6)
    notes = reading.contents(tmp_path / "old.hdf").notes
    assert any("2 of 5 cells of the q-map are empty" in note for note in notes)
    assert any("270" in note for note in notes)


def test_legacy_tells_the_pixels_of_processed_bins(tmp_path):
    path = legacy(tmp_path / "old.hdf", drop=("exchange/C2T_all/g2_00001",))
    with h5py.File(path, "r+") as file:
        file["xpcs/dqmap"] = [[1, 2, 2, 2, 3, 3, 0]]
    assert reading.read(path, gap=2e6).num_pixels.tolist() == [3, 2]


def test_legacy_names_are_bins_where_ranks_cannot_be(tmp_path):
    """Of three processed bins two were kept, the second and the third."""
    path = legacy(tmp_path / "old.hdf", drop=("exchange/C2T_all/g2_00001",))
    data = reading.read(path, gap=2e6)
    np.testing.assert_allclose(data.phi, PHI[1:], atol=1e-9)
    np.testing.assert_allclose(data.c2, maps()[1:].astype("f4"), rtol=1e-6)


def test_legacy_by_rank_where_names_are_other_numbers(tmp_path):
    data = reading.read(legacy(tmp_path / "old.hdf", numbers=(4, 17, 102)), gap=2e6)
    np.testing.assert_allclose(data.phi, PHI, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.__delitem__("xpcs/dphilist"), "dphilist"),
        (
            lambda file: (
                file["exchange/C2T_all"].move("g2_00003", "g2_00009")
                or file.__delitem__("xpcs/qphi_bin_to_process")
            ),
            "bins from 1 to 3",
        ),
        (
            lambda file: [
                file["exchange/C2T_all"].move(f"g2_0000{n}", "abc"[n - 1]) for n in (1, 2, 3)
            ],
            "numbered maps",
        ),
    ],
)
def test_broken_legacy_files_are_refused(tmp_path, change, said):
    path = legacy(tmp_path / "old.hdf")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=said):
        reading.read(path, gap=2e6)


def chx(path, angles=True, lags=(0.0, DT, 2 * DT), dark=()):
    """Write three maps along the last axis."""
    stacked = np.moveaxis(maps(), 0, -1).copy()
    for frame in dark:
        stacked[frame] = stacked[:, frame] = np.nan
    with h5py.File(path, "w") as file:
        file["g12b"], file["tausb"] = stacked, np.array(lags)
        file["qval_dict"] = np.zeros(1, int)
        for k, phi in enumerate(PHI):
            file["qval_dict"].attrs[str(k)] = [0.0054, -phi] if angles else [0.0054]
        file.create_group("md").attrs["frame_time"] = DT / 2
        file["bad_frame_list"] = list(dark)
    return path


def test_chx_maps_lie_along_the_last_axis_and_azimuths_turn(tmp_path):
    data = reading.read(chx(tmp_path / "uid=1_Res.h5"), gap=2e6)
    np.testing.assert_array_equal(data.c2, maps())
    np.testing.assert_allclose(data.phi, PHI)
    assert data.dt == DT  # the frame time knows nothing of averaged frames
    assert data.detector == {}
    some = reading.read(tmp_path / "uid=1_Res.h5", gap=2e6, angles=(PHI[2],))
    np.testing.assert_array_equal(some.c2, maps()[2:])


def test_chx_tells_pixels_and_of_single_frames_photons(tmp_path):
    path = chx(tmp_path / "r.h5")
    with h5py.File(path, "r+") as file:
        file["roi_mask"], file["avg_img"] = [[0, 1, 1, 2, 3]], [[9.0, 0.2, 0.4, 0.5, 0.6]]
    averaged = reading.read(path, gap=2e6)
    assert averaged.num_pixels.tolist() == [2, 1, 1]
    assert averaged.photons is None
    with h5py.File(path, "r+") as file:
        file["md"].attrs["frame_time"] = DT
    np.testing.assert_allclose(reading.read(path, gap=2e6).photons, [0.3, 0.5, 0.6])


def test_chx_frames_that_are_not_numbers_are_left_out(tmp_path):
    data = reading.read(chx(tmp_path / "r.h5", dark=(3, 7)), gap=2e6)
    assert np.flatnonzero(~data.usable.all(axis=0)).tolist() == [3, 7]
    assert any("2 bad frames" in note for note in reading.contents(tmp_path / "r.h5").notes)


def test_chx_without_angles_or_lags(tmp_path):
    path = chx(tmp_path / "r.h5", angles=False, lags=(0.0,))
    with pytest.raises(InputError, match="phi"):
        reading.read(path, gap=2e6)
    data = reading.read(path, gap=2e6, phi=PHI)
    assert data.dt == DT / 2
    with h5py.File(path, "r+") as file:
        del file["qval_dict"].attrs["1"]
    with pytest.raises(InputError, match="attribute for each of 3 maps"):
        reading.read(path, gap=2e6, phi=PHI)


def test_nxxpcs_round_trip(tmp_path):
    writing.write_nxxpcs(tmp_path / "a.nxs", good_data(num_pixels=[3, 4, 5]))
    assert reading.contents(tmp_path / "a.nxs").format == "nxxpcs"
    back = reading.read(tmp_path / "a.nxs", gap=2e6)
    np.testing.assert_array_equal(back.c2, good_data().c2)
    np.testing.assert_array_equal(back.phi, good_data().phi)
    assert (back.dt, back.q) == (DT, 0.0054)
    assert back.num_pixels.tolist() == [3, 4, 5]
    assert back.provenance["assumed"] == []


@pytest.mark.parametrize("part", ["all", "upper_half", "lower_half"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("flipped", [False, True])
def test_nxxpcs_is_read_as_its_attributes_say(tmp_path, part, last, flipped):
    """Baseline 0, in each order, half and origin that the definition knows."""
    writing.write_nxxpcs(tmp_path / "a.nxs", good_data())
    half = {"all": np.asarray, "upper_half": np.triu, "lower_half": np.tril}[part]
    stored = half(maps() - 1.0)
    stored = stored[:, ::-1] if flipped else stored
    with h5py.File(tmp_path / "a.nxs", "r+") as file:
        name = "entry/twotime/two_time_corr_func"
        del file[name]
        item = file.create_dataset(name, data=np.moveaxis(stored, 0, -1) if last else stored)
        item.attrs["storage_mode"] = f"one_array_q_{'last' if last else 'first'}"
        item.attrs["baseline_reference"] = 0
        item.attrs["time_origin_location"] = "lower_left" if flipped else "upper_left"
        item.attrs["populated_elements"] = part
    np.testing.assert_allclose(reading.read(tmp_path / "a.nxs", gap=2e6).c2, maps(), rtol=1e-12)


def test_nxxpcs_says_what_it_assumes_and_refuses_what_it_does_not_know(tmp_path):
    path = tmp_path / "a.nxs"
    writing.write_nxxpcs(path, good_data())
    with h5py.File(path, "r+") as file:
        item = file["entry/twotime/two_time_corr_func"]
        del item.attrs["baseline_reference"]
    assert reading.read(path, gap=2e6).provenance["assumed"] == [
        "baseline_reference of the maps is 1"
    ]
    with h5py.File(path, "r+") as file:
        file["entry/twotime/two_time_corr_func"].attrs["storage_mode"] = "data_exchange_keys"
    with pytest.raises(InputError, match="storage_mode .* one_array_q_first"):
        reading.read(path, gap=2e6)
