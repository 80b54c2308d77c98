"""Frames that stand out: score and information of single rows, against those of whole maps."""

import numpy as np
import pytest

from homodyne_bayes.likelihood import covariance, frames
from homodyne_bayes.likelihood.entries import average
from tests.likelihood.test_covariance import FRAMES, in_bins, lacking, two_angles

CASES = {
    "all": in_bins(1),
    "bins": in_bins(2),
    **{name: lacking(name) for name in ("a band", "few lags")},
}


def rows_of(speckle, frame, pairs):
    """The map of a frame that is too bright, and of one with too much contrast, at these pairs."""
    made = np.zeros((2, *speckle.shape))
    for a, b in zip(*pairs, strict=True):
        if frame in (a, b):
            made[:, a, b] = made[:, b, a] = 1.0, speckle[a, b]
    return made


@pytest.mark.parametrize("case", CASES)
def test_scores_and_information_are_those_of_the_maps_of_single_frames(case):
    entries, pairs = CASES[case]
    noise, _, residual, _ = two_angles(entries)
    t = np.arange(FRAMES)
    speckle = 0.25 * np.exp(-np.abs(t[:, None] - t) * np.array([0.3, 0.1])[:, None, None])
    score, information, decay = map(np.asarray, frames._scores(noise, residual, speckle))
    binned, smooth = (np.asarray(average(x, entries)) for x in (residual, speckle))
    solved, weight = np.asarray(covariance.solve(noise, binned)), np.asarray(noise.weight)
    for frame in (0, 2, 4):
        maps = np.array([rows_of(smooth[angle], frame, pairs[angle]) for angle in range(2)])
        bright, contrasted = np.swapaxes(maps, 0, 1)
        spread = [float(weight @ covariance.quadratic(noise, x)) for x in (bright, contrasted)]
        moved = [weight @ (0.5 * x * solved).sum(axis=(1, 2)) for x in (bright, contrasted)]
        assert score[frame] == pytest.approx(moved[0], rel=1e-8)
        assert information[frame, frame] == pytest.approx(spread[0], rel=1e-8)
        assert decay[frame] == pytest.approx(moved[1] / np.sqrt(spread[1]), rel=1e-8)


def test_a_bright_frame_is_the_one_that_stands_out():
    noise, _, residual, _ = two_angles(in_bins(1)[0])
    residual = 1e-3 * residual
    residual[:, 8] += 0.5
    residual[:, :, 8] += 0.5
    found = frames.frames(noise, residual, np.full_like(residual, 0.1))
    assert np.abs(found.shift).argmax() == 8
    tests = found.tests()
    assert (tests["p"] < 1e-6).all()
    assert tests["dof"].tolist() == [1, FRAMES]


def test_what_is_not_finite_is_not_tested():
    noise, _, residual, _ = two_angles(in_bins(1)[0])
    found = frames.frames(noise, np.full_like(residual, np.nan), np.full_like(residual, 0.1))
    assert found.tests()["dof"].tolist() == [0, 0]
