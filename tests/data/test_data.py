"""The checks, the completion and the selection of two-time data."""

import json
from dataclasses import replace

import numpy as np
import pytest

from homodyne_bayes.data.axes import check_times, circular_distance
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from tests.bad_inputs import DT, PHI, good_data, group_maps, maps


def test_full_matrix_is_kept_and_not_doubled():
    data = good_data()
    np.testing.assert_array_equal(data.c2, maps())
    assert data.usable.all()
    assert data.num_pairs == 3 * 12 * 11 // 2
    np.testing.assert_array_equal(data.time, DT * np.arange(12))


@pytest.mark.parametrize("half", [np.triu, np.tril])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_either_half_is_completed(half, dtype):
    data = good_data(c2=half(maps()).astype(dtype))
    assert data.c2.dtype == dtype
    np.testing.assert_array_equal(data.c2, good_data(c2=maps().astype(dtype)).c2)


def test_half_filled_with_nan_is_completed():
    lower = np.tril(np.ones((12, 12), bool), -1)
    np.testing.assert_array_equal(good_data(c2=np.where(lower, np.nan, maps())).c2, maps())


@pytest.mark.parametrize("fill", [0.0, np.nan])
@pytest.mark.parametrize("half", [np.asarray, np.triu, np.tril])
def test_dead_frames_are_found_excluded_and_blanked(half, fill):
    c2 = maps()
    c2[1, 4, :] = c2[1, :, 4] = fill
    c2[1, 0, :] = c2[1, :, 0] = fill
    data = good_data(c2=half(c2))
    expected = np.ones((3, 12), bool)
    expected[1, [0, 4]] = False
    np.testing.assert_array_equal(data.usable, expected)
    np.testing.assert_array_equal(data.excluded, [0, 2, 0])
    assert np.isnan(data.c2[1, 4]).all()
    assert np.isnan(data.c2[1, :, 0]).all()
    both = expected[1][:, None] & expected[1][None, :]
    np.testing.assert_array_equal(data.c2[1][both], maps()[1][both])
    assert data.num_pairs == 2 * 66 + 45


def test_dead_frame_with_shot_noise_on_the_diagonal():
    c2 = maps()
    c2[0, 3, :] = c2[0, :, 3] = 0.0
    c2[0, 3, 3] = 1.7
    assert not good_data(c2=c2).usable[0, 3]


def test_diagonal_is_never_judged():
    c2 = maps()
    c2[:, range(12), range(12)] = np.nan
    assert good_data(c2=c2).usable.all()


def test_integers_become_float64_and_the_input_is_untouched():
    c2 = np.ones((1, 5, 5), int)
    given = maps()
    given[0, 2, :] = given[0, :, 2] = 0
    copy = given.copy()
    good_data(c2=given)
    np.testing.assert_array_equal(given, copy)
    assert good_data(c2=c2, phi=[0.0]).c2.dtype == np.float64


def test_usable_given_by_the_user_is_blanked():
    usable = np.ones((3, 12), bool)
    usable[2, 5] = False
    data = good_data(usable=usable)
    assert np.isnan(data.c2[2, 5]).all()
    assert usable.sum() == data.usable.sum()
    assert good_data(usable=None).usable.all()


def test_what_excluded_frames_hold_is_not_looked_at():
    c2 = maps()
    c2[0, 5, 7], c2[0, 5, 8] = np.inf, 99.0
    usable = np.ones((3, 12), bool)
    usable[0, 5] = False
    assert good_data(c2=c2, usable=usable).excluded.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("given", "wrapped"),
    [
        (180.0, 180.0),
        (-180.0, 180.0),
        (270.0, -90.0),
        (-190.0, 170.0),
        (360.0, 0.0),
        (12.3, 12.3),
    ],
)
def test_phi_is_wrapped(given, wrapped):
    assert good_data(c2=maps(1), phi=[given]).phi[0] == wrapped


def test_circular_distance():
    np.testing.assert_allclose(circular_distance([179.0, 0.0], [-179.0, 180.0]), [2.0, 180.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c2": maps()[0]}, r"shape \(12, 12\)"),
        ({"c2": [[[1.0, 2.0]], [[1.0]]]}, "c2 must have shape"),
        ({"usable": [[True], [True, False]]}, "usable must have shape"),
        ({"c2": maps().astype(complex)}, "complex128"),
        ({"phi": [0.0, np.nan, 1.0]}, "finite angles"),
        ({"phi": [180.0, 0.0, -180.0]}, "maps 0 and 2"),
        ({"usable": np.ones(12, bool)}, "one flag per angle"),
        ({"dt": np.nan}, "dt must be positive"),
        ({"num_pixels": [1, 2]}, "num_pixels must be one positive number or 3"),
        ({"photons": 0.0}, "photons must be one positive number"),
        ({"group_c2": group_maps()[0]}, r"shape \(3, groups, 12, 12\).*has shape \(2, 12, 12\)"),
        ({"group_c2": group_maps()[:2]}, r"has shape \(2, 2, 12, 12\)"),
        ({"group_c2": group_maps(1)}, "at least 2 pixel groups"),
        ({"group_c2": group_maps().astype(complex)}, "group_c2 must be real numbers.*complex128"),
        (
            {"group_c2": group_maps() + np.triu(np.ones((12, 12)), 1)},
            r"at phi = -30 in pixel group 0 entry \(0, 1\)",
        ),
    ],
)
def test_bad_fields_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        good_data(**changes)


def test_select_angles_in_the_order_asked():
    data = good_data().select(angles=[75.2, -390.0])
    np.testing.assert_array_equal(data.phi, [75.0, -30.0])
    np.testing.assert_array_equal(data.c2, maps()[[2, 0]])


def test_select_frames_ages_the_data_and_is_recorded():
    data = good_data().select(first_frame=2, stop_frame=11, exclude_frames=[4, 0])
    np.testing.assert_array_equal(np.nonzero(~data.usable[0])[0], [2])
    assert data.num_frames == 9
    assert data.time[0] == data.age == 2 * DT
    alive = np.delete(np.arange(9), 2)
    np.testing.assert_array_equal(
        data.c2[:, alive][:, :, alive], maps()[:, 2 + alive][:, :, 2 + alive]
    )
    again = data.select(first_frame=1, exclude_frames=[5])
    assert again.provenance["first_frame"] == 3
    assert again.age == pytest.approx(3 * DT)
    assert again.provenance["exclude_frames"] == [0, 4, 7]
    json.dumps(dict(again.provenance))


@pytest.mark.parametrize(
    ("angles", "kept"),
    [
        ("-30:10", [-30, 10]),
        ([75, "-31:10"], [75, -30, 10]),
        (["330:371"], [-30, 10]),
        (["-400:0"], [-30, 10, 75]),
        (["70:335"], [-30, 75]),
    ],
)
def test_select_ranges_of_angles_as_they_turn(angles, kept):
    np.testing.assert_array_equal(good_data().select(angles=angles).phi, kept)


@pytest.mark.parametrize(
    ("angles", "message"),
    [
        ([10.0, 10.1], "name it once"),
        (["0:20", 10], "name it once"),
        (["20:70"], "20:70 was asked for; choose from -30, 10, 75"),
        (["70:20"], "LOW:HIGH in degree, the lower first, found '70:20'"),
        (["0:1:2"], "LOW:HIGH"),
        (["nan:2"], "LOW:HIGH"),
        (["ten"], "angles must be a number"),
    ],
)
def test_select_no_angle_or_one_twice_is_refused(angles, message):
    with pytest.raises(InputError, match=message):
        good_data().select(angles=angles)


def test_hash_depends_on_every_value_but_not_on_provenance():
    data = good_data()
    c2 = maps()
    c2[1, 2, 3] = c2[1, 3, 2] = np.nextafter(c2[1, 2, 3], 2)
    usable = np.ones((3, 12), bool)
    usable[0, 0] = False
    others = [
        replace(data, **change)
        for change in (
            {"c2": c2},
            {"phi": np.array([-30.0, 10.0, 75.1])},
            {"dt": 0.11},
            {"q": 0.0055},
            {"gap": None},
            {"num_pixels": 40},
            {"photons": 40},
            {"usable": usable},
            {"c2": maps().astype(np.float32)},
        )
    ]
    assert len({data.sha256(), *(other.sha256() for other in others)}) == 10
    assert replace(data, provenance={"source": "x"}).sha256() == data.sha256()


def test_hash_depends_on_groups_and_stays_without():
    digests = {
        good_data(group_c2=groups).sha256()
        for groups in (
            None,
            group_maps(),
            group_maps(3),
            group_maps().astype(np.float32),
            group_maps() + 1e-9,
        )
    }
    assert len(digests) == 5
    assert good_data(c2=np.ones((3, 4, 4))).sha256() == (
        "d5426da02ee2bb74d090b62f78c1c64c79986280b14021ff4ea61ae83581c7fb"
    )


@pytest.mark.parametrize("half", [np.triu, np.tril])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maps_of_groups_are_treated_as_the_map(half, dtype):
    """Halves are completed, the type is kept, frames dead in one group are blank in all."""
    given = group_maps(3).astype(dtype)
    given[1, 2, 4, :] = given[1, 2, :, 4] = 0.0
    data = good_data(group_c2=half(given))
    assert data.group_c2.dtype == dtype
    assert data.c2.dtype == np.float64
    np.testing.assert_array_equal(np.argwhere(~data.usable), [[1, 4]])
    blank = np.zeros((3, 12, 12), bool)
    blank[1, 4, :] = blank[1, :, 4] = True
    np.testing.assert_array_equal(np.isnan(data.c2), blank)
    for group in range(3):
        np.testing.assert_array_equal(np.isnan(data.group_c2[:, group]), blank)
        np.testing.assert_array_equal(data.group_c2[:, group][~blank], given[:, group][~blank])


def test_groups_of_frames_dead_in_the_map_are_blank():
    c2 = maps()
    c2[0, 3, :] = c2[0, :, 3] = 0.0
    data = good_data(c2=c2, group_c2=group_maps())
    assert np.isnan(data.group_c2[0, :, 3]).all()
    assert np.isfinite(data.group_c2[1:]).all()


def test_select_takes_the_groups_along():
    data = good_data(group_c2=group_maps()).select([75.0, -30.0], 2, 11, [4])
    assert data.group_c2.shape == (2, 2, 9, 9)
    alive = np.delete(np.arange(9), 2)
    assert np.isnan(data.group_c2[:, :, 2]).all()
    np.testing.assert_array_equal(
        data.group_c2[:, :, alive][..., alive],
        group_maps()[[2, 0]][:, :, 2 + alive][..., 2 + alive],
    )


def test_dataset_round_trip_of_groups():
    data = good_data(group_c2=group_maps()).select(exclude_frames=[3])
    dataset = data.to_dataset()
    assert dataset["group_c2"].dims == ("phi", "group", "t1", "t2")
    back = TwoTimeData.from_dataset(dataset)
    np.testing.assert_array_equal(back.group_c2, data.group_c2)
    assert back.sha256() == data.sha256()
    assert "group_c2" not in good_data().to_dataset()


def test_dataset_round_trip():
    told = {"num_pixels": 40, "photons": [0.1, 0.2, 0.3]}
    data = good_data(provenance={"source": "x", "assumed": ["phi"]}, **told).select(
        exclude_frames=[3]
    )
    back = TwoTimeData.from_dataset(data.to_dataset())
    assert back.sha256() == data.sha256()
    assert back.provenance == data.provenance
    assert data.to_dataset()["phi"].attrs["units"] == "degree"
    assert good_data(gap=None).to_dataset().attrs.keys().isdisjoint({"gap", "gap_units"})


def test_dataset_that_starts_late_is_shifted_and_says_so():
    dataset = good_data().to_dataset()
    late = dataset.assign_coords(t1=dataset["t1"] + 5.0, t2=dataset["t2"] + 5.0)
    back = TwoTimeData.from_dataset(late)
    assert back.sha256() == good_data().sha256()
    assert back.provenance["assumed"] == ["times were shifted by -5 s to start at 0"]


def test_check_times():
    assert check_times(np.linspace(3.0, 5.2, 12)) == pytest.approx(0.2)
    rounded = np.array([0.0, 0.1, 0.2, 0.30000000000000004])
    assert check_times(rounded, 0.1) == 0.1
    for wrong in (rounded[::-1], np.zeros(5), [0, 1, 2, np.nan], [0.0, 0.1, 0.2, 0.3005], [0, 1]):
        with pytest.raises(InputError, match="frame times must"):
            check_times(wrong)


def test_construction_keeps_the_angles_of_the_table():
    assert tuple(good_data().phi) == PHI
