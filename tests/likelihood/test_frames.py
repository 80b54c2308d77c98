"""Frames that stand out: score and information of single rows, against dense matrices."""

import numpy as np
import pytest

from homodyne_bayes.likelihood import covariance, frames
from tests.likelihood.test_covariance import FRAMES, in_use, two_angles


def row_of(speckle, frame, kept):
    """The map of a frame that is too bright, and of one with too much contrast, used bins only."""
    used = np.isin(np.arange(len(speckle)), kept).astype(float)
    bright, contrasted = (np.zeros((len(speckle),) * 2) for _ in range(2))
    bright[frame] = bright[:, frame] = used * used[frame]
    contrasted[frame] = contrasted[:, frame] = speckle[frame] * used * used[frame]
    for made in (bright, contrasted):
        np.fill_diagonal(made, 0.0)
    return bright, contrasted


@pytest.mark.parametrize("bin_frames", [1, 2])
def test_scores_and_information_are_those_of_the_maps_of_single_frames(bin_frames):
    noise, _, residual, _ = two_angles(bin_frames)
    t = np.arange(FRAMES)
    speckle = 0.25 * np.exp(-np.abs(t[:, None] - t) * np.array([0.3, 0.1])[:, None, None])
    score, information, decay = map(np.asarray, frames._scores(noise, residual, speckle))
    binned, smooth = (
        np.asarray(covariance.average(x, noise.frame_weight, bin_frames))
        for x in (residual, speckle)
    )
    solved = np.asarray(covariance.solve(noise, binned))
    weight = np.asarray(noise.weight)
    for frame in (0, 2, 4):
        maps = [row_of(smooth[angle], frame, in_use(noise, angle)) for angle in range(2)]
        bright, contrasted = (np.array(kind) for kind in zip(*maps, strict=True))
        spread = [weight @ covariance.quadratic(noise, x) for x in (bright, contrasted)]
        moved = [weight @ (0.5 * x * solved).sum(axis=(1, 2)) for x in (bright, contrasted)]
        assert score[frame] == pytest.approx(moved[0], rel=1e-9)
        assert information[frame, frame] == pytest.approx(float(spread[0]), rel=1e-9)
        assert decay[frame] == pytest.approx(moved[1] / np.sqrt(float(spread[1])), rel=1e-9)


def test_a_bright_frame_is_the_one_that_stands_out():
    noise, _, residual, _ = two_angles(1)
    residual = 1e-3 * residual
    residual[:, 8] += 0.5
    residual[:, :, 8] += 0.5
    found = frames.frames(noise, residual, np.full_like(residual, 0.1))
    assert np.abs(found.shift).argmax() == 8
    tests = found.tests()
    assert (tests["p"] < 1e-6).all()
    assert tests["dof"].tolist() == [1, FRAMES]
