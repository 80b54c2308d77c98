"""Contrast and offset from quantiles and from least squares; linear solvers; goodness of fit."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import linalg, stats

from homodyne_bayes.compat.scaling import (
    ScalingWarning,
    averaged_scaling,
    compute_averaged_scaling,
    estimate_contrast_offset_from_quantiles,
    estimate_per_angle_scaling,
)
from homodyne_bayes.compat.solvers import (
    FitResult,
    solve_least_squares,
    solve_least_squares_chunked,
    solve_least_squares_general,
)
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError

CONTRAST, OFFSET = np.array([0.2, 0.3, 0.1]), np.array([1.0, 1.05, 0.98])


@pytest.fixture(scope="module")
def decayed():
    """Three angles of 60 frames whose c2 falls from its ceiling to its floor."""
    rng = np.random.default_rng(0)
    lag = np.abs(np.subtract.outer(np.arange(60), np.arange(60)))
    noise = rng.normal(0, 1e-4, (3, 60, 60))
    shape = np.where(lag <= 12, 1.0, np.exp(-2.0 * (lag - 12)))
    c2 = OFFSET[:, None, None] + CONTRAST[:, None, None] * shape + noise + noise.swapaxes(1, 2)
    return TwoTimeData(c2, np.array([-30.0, 0.0, 30.0]), 0.125, 0.0054)


def points(data):
    """Return c2, t1, t2 and angle of the distinct pairs of usable frames, in random order."""
    lo, hi = np.triu_indices(data.num_frames, k=1)
    angle = np.repeat(np.arange(data.num_angles), len(lo))
    both = (data.usable[:, lo] & data.usable[:, hi]).ravel()
    times = np.tile(data.time[lo], data.num_angles), np.tile(data.time[hi], data.num_angles)
    columns = [column[both] for column in (data.c2[:, lo, hi].ravel(), *times, angle)]
    order = np.random.default_rng(1).permutation(len(columns[0]))
    return [column[order] for column in columns]


def test_quantiles_of_a_straight_line():
    lag = np.arange(101) / 100
    # floor: 10 % of 1.00 ... 1.04; ceiling: 90 % of 1.16 ... 1.20
    contrast, offset = estimate_contrast_offset_from_quantiles(1.2 - 0.2 * lag, lag)
    assert offset == pytest.approx(1.004, abs=1e-12)
    assert contrast == pytest.approx(1.196 - 1.004, abs=1e-12)


def test_quantiles_can_be_chosen():
    lag = np.arange(101) / 100
    contrast, offset = estimate_contrast_offset_from_quantiles(
        1.2 - 0.2 * lag,
        lag,
        lag_floor_quantile=0.5,
        lag_ceiling_quantile=0.5,
        value_quantile_low=0.0,
        value_quantile_high=1.0,
    )
    assert (contrast, offset) == pytest.approx((0.2, 1.0), abs=1e-12)


def test_values_that_are_not_finite_are_left_out():
    lag = np.arange(202) / 200
    c2 = np.where(np.arange(202) % 2, np.nan, 1.2 - 0.2 * lag)
    whole = estimate_contrast_offset_from_quantiles(c2, lag)
    assert whole == estimate_contrast_offset_from_quantiles(c2[::2], lag[::2])


def test_every_angle_is_estimated_from_its_own_points(decayed):
    c2, t1, t2, angle = points(decayed)
    found = estimate_per_angle_scaling(c2, t1, t2, angle, 3)
    for i in range(3):
        alone = estimate_contrast_offset_from_quantiles(c2[angle == i], np.abs(t1 - t2)[angle == i])
        assert (found[f"contrast_{i}"], found[f"offset_{i}"]) == alone
        assert alone == pytest.approx((CONTRAST[i], OFFSET[i]), abs=1e-3)
    contrast, offset, contrasts, offsets = compute_averaged_scaling(c2, t1, t2, angle, 3)
    assert contrasts.tolist() == [found[f"contrast_{i}"] for i in range(3)]
    assert (contrast, offset) == (contrasts.mean(), offsets.mean())


def test_maps_are_averaged_over_distinct_pairs_of_usable_frames(decayed):
    usable = np.broadcast_to(~np.isin(np.arange(60), [3, 40]), (3, 60))
    c2 = decayed.c2.copy()
    c2[:, np.arange(60), np.arange(60)] = 50.0
    c2[:, 3] = c2[:, :, 3] = -7.0
    data = replace(decayed, c2=c2, usable=usable)
    found = averaged_scaling(data)
    assert found == pytest.approx(compute_averaged_scaling(*points(data), 3)[:2], abs=1e-12)
    assert found == pytest.approx((CONTRAST.mean(), OFFSET.mean()), abs=1e-3)


def test_too_few_points_are_refused(decayed):
    with pytest.raises(InputError, match="at least 100 finite values of c2, found 60"):
        estimate_contrast_offset_from_quantiles(np.ones(60), np.arange(60))
    with pytest.raises(InputError, match="offset of angle 0 need at least 100 .* found 91"):
        averaged_scaling(decayed.select(stop_frame=14))
    averaged_scaling(decayed.select(stop_frame=15, angles=[0.0]))
    c2, t1, t2, angle = points(decayed)
    with pytest.raises(InputError, match="of angle 3 need at least 100 .* found 0"):
        estimate_per_angle_scaling(c2, t1, t2, angle, 4)
    with pytest.raises(InputError, match="one index of 0 to 1"):
        estimate_per_angle_scaling(c2, t1, t2, angle, 2)
    with pytest.raises(InputError, match="at least 10 values at short"):
        estimate_contrast_offset_from_quantiles(
            np.ones(101), np.arange(101), lag_floor_quantile=0.95
        )
    with pytest.raises(InputError, match="lists of the same length"):
        estimate_contrast_offset_from_quantiles(np.ones((20, 20)), np.ones(400))


def test_an_estimate_outside_its_bounds_is_reported(decayed):
    c2, t1, t2, angle = points(decayed)
    with pytest.warns(ScalingWarning, match=r"contrast of angle 1 is estimated as 0\.30.* 0\.25"):
        found = compute_averaged_scaling(c2, t1, t2, angle, 3, contrast_bounds=(0.0, 0.25))
    assert found[2][1] == 0.25
    lag = np.arange(101) / 100
    with pytest.warns(ScalingWarning, match="offset is estimated as 2"):
        assert estimate_contrast_offset_from_quantiles(2 + 0 * lag, lag) == (0.5, 1.5)


def test_least_squares_of_exact_lines():
    theory = np.random.default_rng(2).uniform(0, 1, (3, 50))
    found = solve_least_squares(theory, OFFSET[:, None] + CONTRAST[:, None] * theory)
    np.testing.assert_allclose(found.contrast, CONTRAST, rtol=1e-13)
    np.testing.assert_allclose(found.offset, OFFSET, rtol=1e-14)
    assert found.outcome.tolist() == ["solved"] * 3
    negative = solve_least_squares(theory[0], 1 - 0.2 * theory[0])
    assert negative.contrast == pytest.approx(-0.2, rel=1e-13)


def test_least_squares_of_noisy_values_is_linear_regression():
    rng = np.random.default_rng(3)
    theory, measured = rng.uniform(0, 1, 400), rng.normal(1, 0.1, 400)
    line = stats.linregress(theory, measured)
    found = solve_least_squares(theory, measured)
    assert (found.contrast, found.offset) == pytest.approx((line.slope, line.intercept), rel=1e-12)


def test_a_theory_that_does_not_vary_is_singular():
    theory = np.stack([np.full(300, 0.1), np.linspace(0, 1, 300), np.zeros(300)])
    found = solve_least_squares(theory, np.random.default_rng(4).normal(1, 0.1, (3, 300)))
    assert found.outcome.tolist() == ["singular", "solved", "singular"]
    assert np.isnan(found.contrast).tolist() == [True, False, True]
    assert np.isnan(found.offset).tolist() == [True, False, True]
    assert solve_least_squares([1.0], [1.0]).outcome == "singular"


def test_chunks_lose_nothing():
    rng = np.random.default_rng(5)
    theory = 1 + 1e-6 * rng.uniform(size=1_000_000)
    measured = 1.0 + 0.25 * theory
    edges = [0, 1, 10, 5_000, 123_456, 700_000, 1_000_000]
    chunks = [(theory[a:b], measured[a:b]) for a, b in pairwise(edges)]
    found = solve_least_squares_chunked(chunks)
    assert found.contrast == pytest.approx(0.25, rel=1e-9)
    assert found.offset == pytest.approx(1.0, rel=1e-9)
    assert found.contrast == pytest.approx(solve_least_squares(theory, measured).contrast, rel=1e-9)


def test_chunks_give_what_all_points_give_at_once():
    rng = np.random.default_rng(6)
    theory, measured = rng.uniform(0, 1, (3, 1000)), rng.normal(1, 0.1, (3, 1000))
    chunks = ((theory[:, a : a + 7], measured[:, a : a + 7]) for a in range(0, 1000, 7))
    found, whole = solve_least_squares_chunked(chunks), solve_least_squares(theory, measured)
    np.testing.assert_allclose(found.contrast, whole.contrast, rtol=1e-11)
    np.testing.assert_allclose(found.offset, whole.offset, rtol=1e-13)
    flat = solve_least_squares_chunked((np.full(9, 0.1), np.arange(9.0)) for _ in range(20))
    assert flat.outcome == "singular"
    assert np.isnan(flat.contrast)


def test_solvers_refuse_what_does_not_fit():
    with pytest.raises(InputError, match=r"\(2, 3\) and \(3, 2\)"):
        solve_least_squares(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(InputError, match="must be finite"):
        solve_least_squares([1.0, 2.0], [1.0, np.nan])
    with pytest.raises(InputError, match="at least one chunk"):
        solve_least_squares_chunked(iter([]))
    with pytest.raises(InputError, match="the same angles"):
        solve_least_squares_chunked([(np.ones((2, 3)),) * 2, (np.ones((3, 3)),) * 2])
    with pytest.raises(InputError, match=r"design \(m, n\)"):
        solve_least_squares_general(np.ones((4, 2)), np.ones(3))
    with pytest.raises(InputError, match="penalty 0 or more"):
        solve_least_squares_general(np.ones((4, 2)), np.ones(4), -1.0)


def test_general_least_squares_well_and_ill_conditioned():
    rng = np.random.default_rng(7)
    design, truth = rng.normal(size=(40, 5)), rng.normal(size=5)
    well = solve_least_squares_general(design, design @ truth + 0.1)
    assert well.outcome == "cholesky"
    expected = np.linalg.lstsq(design, design @ truth + 0.1)[0]
    np.testing.assert_allclose(well.coefficients, expected, rtol=1e-12)
    hilbert = linalg.hilbert(6)  # condition number 1.5e7, of its normal equations 2e14
    ill = solve_least_squares_general(hilbert, hilbert @ np.ones(6))
    assert ill.outcome == "svd"
    np.testing.assert_allclose(ill.coefficients, 1.0, rtol=1e-8)


def test_general_least_squares_that_has_no_unique_solution():
    design = np.outer(np.arange(1.0, 6.0), [1.0, 2.0])
    found = solve_least_squares_general(design, np.arange(5.0))
    assert found.outcome == "singular"
    assert np.isnan(found.coefficients).all()
    assert solve_least_squares_general(np.ones((2, 3)), np.ones(2)).outcome == "singular"
    assert solve_least_squares_general(np.zeros((3, 2)), np.ones(3)).outcome == "singular"


@pytest.mark.parametrize(("penalty", "outcome"), [(1e-2, "cholesky"), (1e-9, "svd")])
def test_ridge_penalty(penalty, outcome):
    design = np.outer(np.arange(1.0, 6.0), [1.0, 2.0])
    target = design @ [1.0, 1.0]
    found = solve_least_squares_general(design, target, penalty)
    stacked = np.vstack([design, np.sqrt(penalty) * np.eye(2)])
    expected = np.linalg.lstsq(stacked, np.r_[target, 0, 0])[0]
    assert found.outcome == outcome
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-7)


def test_goodness_of_fit():
    residuals = np.array([1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0, -1.0])
    covariance = np.diag(np.array([1.0, 2.0, 3.0, 4.0, 5.0]) ** 2)
    result = FitResult(np.ones(3), np.array([0.2]), np.array([1.0]), residuals, covariance)
    assert result.chi_squared == 12
    assert result.degrees_of_freedom == 3
    assert result.reduced_chi_squared == 4
    assert result.p_value == pytest.approx(0.007383160505359769, rel=1e-12)
    assert (result.residual_std, result.max_residual) == (np.sqrt(1.5), 2.0)
    assert result.errors is not None
    assert {name: list(value) for name, value in result.errors.items()} == {
        "params": [1, 2, 3],
        "contrast": [4],
        "offset": [5],
    }
    assert FitResult(np.ones(3), 0.2, 1.0, residuals).errors is None
    with pytest.raises(InputError, match=r"must have shape \(5, 5\)"):
        FitResult(np.ones(3), 0.2, 1.0, residuals, np.eye(4))
    with pytest.raises(InputError, match="more values than that, found 5"):
        FitResult(np.ones(3), 0.2, 1.0, residuals[:5])
