"""Frames that stand out from their neighbours, seen in measured maps before anything is fitted."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.ndimage

from homodyne_bayes.data.two_time import TwoTimeData

NEIGHBOURS = 15  # frames that a frame is compared with
FAR = 6.0  # robust sds, of a frame that stands out
TO_SD = 1.4826  # of a median of absolute deviations, of normal numbers


class FrameLevels(NamedTuple):
    """How high c2 is in every frame.

    Attributes
    ----------
    level : numpy.ndarray
        (G,) mean over maps and other frames of c2 above the median at its lag, less the median of
        the frames around; NaN where a frame is not usable.
    sd : float
        Its scatter, robust against frames that stand out.
    """

    level: np.ndarray
    sd: float

    @property
    def far(self) -> list[int]:
        """The frames that stand out, from 0 in these maps."""
        with np.errstate(invalid="ignore"):
            return np.flatnonzero(np.abs(self.level) > FAR * self.sd).tolist()


def frame_levels(data: TwoTimeData) -> FrameLevels:
    """Return how high c2 is in every frame, beside the frames around it.

    A frame whose intensity is off by a share δ has all its entries off by δ, a stripe in the map.

    Parameters
    ----------
    data : TwoTimeData
        Maps (P, G, G).
    """
    each = np.array([_levels(c2, usable) for c2, usable in zip(*_maps(data), strict=True)])
    seen = np.isfinite(each).any(axis=0)
    level = np.full(data.num_frames, np.nan)
    level[seen] = np.nanmean(each[:, seen], axis=0)
    kept = level[seen]
    level[seen] = kept - scipy.ndimage.median_filter(kept, NEIGHBOURS, mode="mirror")
    return FrameLevels(level, TO_SD * float(np.median(np.abs(level[seen]))))


def _maps(data: TwoTimeData) -> tuple[np.ndarray, np.ndarray]:
    c2 = np.where(data.pairs, data.c2, np.nan)
    return c2, np.isfinite(c2).any(axis=2)


def _levels(c2: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return the mean of a map (G, G) in every frame above the median at its lag, (G,)."""
    lags, sums, counts = len(c2), np.zeros(len(c2)), np.zeros(len(c2))
    for lag in range(1, lags):
        band = np.diagonal(c2, lag)
        known = np.isfinite(band)
        if not known.any():
            continue
        above = np.where(known, band - np.median(band[known]), 0.0)
        for ends in (slice(None, lags - lag), slice(lag, None)):
            sums[ends] += above
            counts[ends] += known
    with np.errstate(invalid="ignore"):
        return np.where(usable, sums / np.where(counts > 0, counts, np.nan), np.nan)


def as_flag(frames: Iterable[int]) -> str:
    """Return frames as ``--exclude-frames`` takes them.

    >>> as_flag([3, 7, 8, 9])
    '3,7-9'
    """
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return ",".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)
