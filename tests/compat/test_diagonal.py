"""The diagonal is filled from beside it, nothing else changes, and the data remember it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from homodyne_bayes.compat.diagonal import (
    apply_diagonal_correction,
    correct_diagonal,
    get_diagonal_correction_methods,
)
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.quantiles import averaged_scaling

MAP = np.array(
    [
        [9.0, 1.0, 2.0, 7.0],
        [3.0, 9.0, 4.0, 5.0],
        [0.0, 6.0, 9.0, 8.0],
        [2.0, 1.0, 2.0, 9.0],
    ]
)


def maps(*shape, frames=12):
    return np.random.default_rng(0).normal(size=(*shape, frames, frames))


@pytest.mark.parametrize(
    ("settings", "diagonal"),
    [
        ({"method": "basic"}, [2.0, 3.5, 5.0, 5.0]),
        ({"method": "interpolation"}, [1.0, 3.5, 3.0, 8.0]),
        ({"method": "statistical", "window_size": 1, "estimator": "mean"}, [2.0, 3.5, 5.0, 5.0]),
        ({"method": "statistical", "window_size": 1}, [2.0, 3.5, 5.0, 5.0]),
        # frame 0: 1 3 2 0 7 2, frame 1: 1 3 4 6 5 1, frame 2: 4 6 8 2 2 0, frame 3: 8 2 5 1 7 2
        ({"method": "statistical"}, [2.0, 3.5, 3.0, 3.5]),
        ({"method": "statistical", "estimator": "mean"}, [2.5, 20 / 6, 22 / 6, 25 / 6]),
        ({"method": "statistical", "estimator": "trimmed_mean"}, [2.0, 3.25, 3.5, 4.0]),
    ],
)
def test_the_diagonal_by_hand(settings, diagonal):
    found = apply_diagonal_correction(MAP, **settings)
    np.testing.assert_allclose(np.diag(found), diagonal, rtol=1e-15)
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_array_equal(found[off], MAP[off])
    assert MAP[0, 0] == 9


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.4])
def test_trimmed_mean_is_that_of_scipy(fraction):
    c2 = maps()
    found = apply_diagonal_correction(
        c2, "statistical", window_size=4, estimator="trimmed_mean", trim_fraction=fraction
    )
    for i in range(12):
        near = [j for j in range(12) if 1 <= abs(i - j) <= 4]
        expected = stats.trim_mean(np.r_[c2[near, i], c2[i, near]], fraction)
        assert found[i, i] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("method", get_diagonal_correction_methods())
def test_a_batch_is_its_maps(method):
    c2 = maps(2, 3)
    found = apply_diagonal_correction(c2, method)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[index], apply_diagonal_correction(c2[index], method))


@pytest.mark.parametrize("method", get_diagonal_correction_methods())
def test_neighbours_that_are_not_finite_are_left_out(method):
    c2 = np.ones((8, 8))
    c2[3], c2[:, 3], c2[5, 6] = np.nan, np.nan, np.inf
    found = np.diag(apply_diagonal_correction(c2, method))
    np.testing.assert_array_equal(found, np.where(np.arange(8) == 3, np.nan, 1.0))


@pytest.mark.parametrize("method", get_diagonal_correction_methods())
def test_a_constant_map_stays_so_in_either_precision(method):
    for dtype in (np.float32, np.float64):
        c2 = np.full((2, 5, 5), 1.25, dtype)
        found = apply_diagonal_correction(c2 + np.eye(5, dtype=dtype), method)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, c2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 4)),), "shape \\(..., n, n\\)"),
        ((np.ones((1, 1)),), "n of at least 2"),
        ((MAP, "cubic"), "method must be one of basic, statistical, interpolation, found 'cubic'"),
    ],
)
def test_what_cannot_be_corrected_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        apply_diagonal_correction(*arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimator": "mode"}, "estimator must be one of median"),
        ({"window_size": 0}, "at least 1"),
        ({"trim_fraction": 0.5}, "0 to below 0.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        apply_diagonal_correction(MAP, "statistical", **settings)


def test_the_data_remember_and_pairs_are_untouched():
    c2 = maps(2, frames=20) * 0.01 + 1.2
    c2 = (c2 + c2.swapaxes(1, 2)) / 2
    usable = np.broadcast_to(np.arange(20) != 7, (2, 20))
    groups = np.stack([c2, c2 + 0.01], axis=1)
    data = TwoTimeData(c2, np.array([0.0, 90.0]), 0.1, 0.0054, usable=usable, group_c2=groups)
    found = correct_diagonal(data, "statistical")
    assert found.provenance["diagonal_correction"] == "statistical"
    assert "diagonal_correction" not in data.provenance
    off = ~np.eye(20, dtype=bool)
    np.testing.assert_array_equal(found.c2[:, off], data.c2[:, off])
    np.testing.assert_array_equal(np.isnan(found.c2[:, ~off]), ~usable)
    assert np.abs(np.diagonal(found.c2, axis1=1, axis2=2)[usable] - 1.2).max() < 0.02
    assert found.group_c2 is not None
    np.testing.assert_allclose(found.group_c2[:, 1, 0, 0], found.c2[:, 0, 0] + 0.01, rtol=1e-12)
    assert averaged_scaling(found) == averaged_scaling(data)
    again = TwoTimeData.from_dataset(found.to_dataset())
    assert again.provenance["diagonal_correction"] == "statistical"
    assert correct_diagonal(replace(data, group_c2=None)).group_c2 is None
