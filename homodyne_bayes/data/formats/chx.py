"""The HDF5 format of pyCHX, NSLS-II: ``uid=..._Res.h5``."""

import math
from pathlib import Path

import h5py
import numpy as np

from homodyne_bayes.data.axes import wrapped
from homodyne_bayes.data.formats.hdf5 import (
    dataset,
    detector,
    find,
    maps_along,
    required,
    values_of,
)
from homodyne_bayes.data.formats.limits import Bin, FileContents, map_size
from homodyne_bayes.data.formats.record import HDF5, Format
from homodyne_bayes.errors import InputError

MAPS, BINS = "g12b", "qval_dict"
LAGS = "tausb"
METADATA, PERIODS = "md", ("frame_time", "acquire period")
ROI_MASK, MEAN_COUNTS = "roi_mask", "avg_img"
BAD = "bad_frame_list"
TURNED = (
    "the second value of a bin is its azimuth in degree, clockwise on the screen, and "
    "is turned to that of APS-U, phi = -phi_file"
)


def describe(path: Path) -> FileContents:
    """Return what a file holds; maps are stacked along the last axis, key k is map k."""
    with h5py.File(path, "r") as file:
        item = dataset(file, MAPS)
        if item.ndim != 3:
            raise InputError(
                f"expected {MAPS} of shape (frames, frames, bins), found "
                f"{item.shape}; process the file again"
            )
        count, frames = map_size((item.shape[2], *item.shape[:2]), item.dtype)
        values = _bins(file, count)
        period = _frame_time(file)
        dt = _smallest_lag(file) or period
        alone = period is not None and dt is not None and math.isclose(dt, period, rel_tol=1e-3)
        image = MEAN_COUNTS if alone else ""  # how averaged frames are counted is not told
        told = detector(file, np.arange(1, count + 1), ROI_MASK, image)
        bad = np.size(values_of(file, BAD)) if find(file, BAD) is not None else 0
    turned = all(phi is not None for _, phi in values)
    bins: list[Bin] = [
        (q, None if phi is None else float(wrapped(np.array(-phi)))) for q, phi in values
    ]
    notes = [f"{bad} bad frames are listed; leave them out by --exclude-frames"] if bad else []
    return FileContents(
        path,
        bins,
        frames,
        dt,
        notes=notes,
        provenance={"assumed": [TURNED] if turned else []},
        detector=told,
    )


def load(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices, (P, G, G)."""
    with h5py.File(path, "r") as file:
        return maps_along(dataset(file, MAPS), indices, last=True)


def _bins(file: h5py.File, count: int) -> list[tuple[float, float | None]]:
    """Return q and, where there is one, azimuth of every map as the file has them."""
    stored = required(file, BINS).attrs
    missing = [str(k) for k in range(count) if str(k) not in stored]
    if missing:
        raise InputError(
            f"expected {BINS} to have an attribute for each of {count} maps, found "
            f"none named {missing[0]}; process the file again"
        )
    bins = []
    for k in range(count):
        values = np.ravel(np.asarray(stored[str(k)], float))
        if values.size not in {1, 2} or not np.isfinite(values).all():
            raise InputError(
                f"expected attribute {k} of {BINS} to be q, or q and angle, found "
                f"{values.size} values; process the file again"
            )
        bins.append((float(values[0]), float(values[1]) if values.size == 2 else None))
    return bins


def _smallest_lag(file: h5py.File) -> float | None:
    """Return the smallest lag in s, which knows of averaged frames."""
    lags = values_of(file, LAGS) if find(file, LAGS) is not None else np.zeros(1)
    return float(lags[lags > 0].min()) if (lags > 0).any() else None


def _frame_time(file: h5py.File) -> float | None:
    """Return the time between frames of the detector in s."""
    metadata = find(file, METADATA)
    stored = {} if metadata is None else metadata.attrs
    for name in PERIODS:
        if name in stored:
            return float(np.asarray(stored[name], float).item())
    return None


FORMAT = Format(
    name="chx",
    title="NSLS-II CHX (pyCHX, `uid=…_Res.h5`)",
    magic=HDF5,
    members=(MAPS, BINS),
    describe=describe,
    load=load,
    must_pass="`--gap` for flow; `--q` if the file holds several; `--phi` where bins have no angle",
)
