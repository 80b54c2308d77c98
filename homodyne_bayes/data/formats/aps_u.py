"""The HDF5 format of APS-U beamline 8-ID: boost_corr since February 2025; read and written."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from homodyne_bayes.data.axes import parse_provenance
from homodyne_bayes.data.formats.hdf5 import (
    detector,
    find,
    first_number,
    integers,
    num_frames,
    required,
    separate_maps,
    small_dataset,
    values_of,
)
from homodyne_bayes.data.formats.limits import Bin, FileContents, per_map
from homodyne_bayes.data.formats.record import HDF5, Format
from homodyne_bayes.errors import InputError

if TYPE_CHECKING:
    from homodyne_bayes.data.two_time import TwoTimeData

MAPS = "xpcs/twotime/correlation_map"
BINS = "xpcs/twotime/processed_bins"
Q_AXIS = "xpcs/qmap/dynamic_v_list_dim0"
PHI_AXIS = "xpcs/qmap/dynamic_v_list_dim1"
AXIS_LENGTHS = "xpcs/qmap/dynamic_num_pts"
INDEX_MAPPING = "xpcs/qmap/dynamic_index_mapping"
MAP_NAMES = "xpcs/qmap/map_names"
ROI_MAP = "xpcs/qmap/dynamic_roi_map"
MEAN_COUNTS = "xpcs/temporal_mean/scattering_2d"  # of every pixel
INTENSITY = "xpcs/spatial_mean/intensity_vs_time"
FRAME_STEP = (
    "entry/instrument/detector_1/frame_time",
    "xpcs/twotime/config/stride_frame",
    "xpcs/twotime/config/avg_frame",
)
EXTRAS = "homodyne_bayes"  # a group for what the format has no place for


def describe(path: Path) -> FileContents:
    """Return what a file holds; maps are numbered by the rank of their bin."""
    with h5py.File(path, "r") as file:
        names = _map_names(file)
        frames = num_frames(file, names, MAPS)
        bins, notes = _bins(file, len(names))
        dt, gap, age = _frame_step(file), None, 0.0
        provenance, averaged = {}, first_number(file, FRAME_STEP[2:]) or 1.0
        labels = np.sort(integers(file, BINS))
        told = detector(file, labels, ROI_MAP, MEAN_COUNTS, averaged)
        group = find(file, EXTRAS)
        if group is not None:
            attrs = group.attrs
            provenance = parse_provenance(attrs.get("provenance", "{}"))
            gap = float(attrs["gap"]) if "gap" in attrs else None
            age = float(attrs.get("age", 0.0))
            if "photons" in attrs:
                told["photons"] = per_map(np.asarray(attrs["photons"]), len(names), "photons")
        notes += _dark_frames(file)
    return FileContents(path, bins, frames, dt, gap, notes, provenance, age=age, detector=told)


def load(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices, (P, G, G)."""
    with h5py.File(path, "r") as file:
        names = _map_names(file)
        return separate_maps(file, [names[i] for i in indices], MAPS)


def _map_names(file: h5py.File) -> list[str]:
    """Return the paths of the maps in the order of their numbers."""
    group = required(file, MAPS)
    if not isinstance(group, h5py.Group):
        raise InputError(f"expected {MAPS} to be a group, found a dataset; process the file again")
    names = sorted(group, key=lambda name: (len(name), name))
    if not names:
        raise InputError(f"expected maps in {MAPS}, found none; process the file again")
    return [f"{MAPS}/{name}" for name in names]


def _bins(file: h5py.File, count: int) -> tuple[list[Bin], list[str]]:
    """Return q and phi of each map, by its rank among the processed bins, and notes."""
    q, phi = (values_of(file, name).astype(float) for name in (Q_AXIS, PHI_AXIS))
    lengths = tuple(integers(file, AXIS_LENGTHS).tolist())
    if lengths != (len(q), len(phi)):
        raise InputError(
            f"expected {AXIS_LENGTHS} to be ({len(q)}, {len(phi)}), the lengths of "
            f"the q and phi axes, found {lengths}; make the q-map again"
        )
    stored = small_dataset(file, MAP_NAMES)
    names = stored.asstr()[...].tolist() if stored.size == 2 else []
    if names != ["q", "phi"]:
        raise InputError(
            f"expected {MAP_NAMES} to be q and phi, found "
            f"{', '.join(names) or 'other names'}; make a q-phi map"
        )
    cells, labels = integers(file, INDEX_MAPPING), np.sort(integers(file, BINS))
    area = len(q) * len(phi)
    rising = (np.diff(cells, prepend=-1) > 0).all()
    if not rising or cells.max(initial=-1) >= area:
        raise InputError(
            f"expected {INDEX_MAPPING} to rise within 0 to {area - 1}, found up to "
            f"{cells.max(initial=-1)} in {cells.size} bins; make one q-map instead "
            "of joining several"
        )
    if len(labels) != count:
        raise InputError(
            f"expected one map per processed bin, found {count} maps for "
            f"{len(labels)} bins; process the file again"
        )
    if labels[0] < 1 or labels[-1] > len(cells):
        raise InputError(
            f"expected processed bins from 1 to {len(cells)}, found {labels[0]} to "
            f"{labels[-1]}; process the file again with its own q-map"
        )
    chosen = cells[labels - 1]
    bins: list[Bin] = list(
        zip(q[chosen // len(phi)].tolist(), phi[chosen % len(phi)].tolist(), strict=True)
    )
    empty = area - len(cells)
    notes = [f"{empty} of {area} cells of the q-map are empty"] if empty else []
    if labels[-1] != count:
        notes.append(
            f"{count} of {len(cells)} bins are processed; maps are numbered by rank "
            "among these, not by bin"
        )
    return bins, notes


def _frame_step(file: h5py.File) -> float | None:
    """Return frame_time times stride times average in s, or None where one of them is missing."""
    if any(find(file, name) is None for name in FRAME_STEP):
        return None
    return math.prod(float(values_of(file, name).item()) for name in FRAME_STEP)


def _dark_frames(file: h5py.File) -> list[str]:
    """Return a note on detector frames without a count, if there are any."""
    if find(file, INTENSITY) is None:
        return []
    counts = small_dataset(file, INTENSITY)[1]
    dark = int((counts == 0).sum())
    return [f"{dark} of {len(counts)} detector frames have no counts"] if dark else []


def write(path: Path, data: "TwoTimeData") -> None:
    """Write maps as float32 upper triangles, unusable frames as zeros.

    The format has no place
    for the gap and the provenance, which go to attributes of the group ``homodyne_bayes``, nor
    for the maps of pixel groups, which are left out. So do photons, as pixels have no places: a
    map of labels, in one row, is written where their number is known. The mean intensity of a frame
    is written as 1, or 0 for frames unusable in all angles.
    """
    q, phi = (np.array(list(dict.fromkeys(values))) for values in (data.wavevectors, data.phi))
    cells = np.array(
        [
            len(phi) * np.flatnonzero(q == map_q)[0] + np.flatnonzero(phi == map_phi)[0]
            for map_q, map_phi in zip(data.wavevectors, data.phi, strict=True)
        ]
    )
    data, cells = data.take(np.argsort(cells)), np.sort(cells).astype(np.int32)
    count, frames = data.usable.shape
    labels = np.arange(1, count + 1, dtype=np.int32)
    counts = data.usable.any(axis=0).astype(np.float32)
    datasets = {
        BINS: labels,
        "xpcs/twotime/normalized_g2": _lag_means(data.c2).astype(np.float32),
        **dict(zip(FRAME_STEP, (np.array([[data.dt]]), 1, 1), strict=True)),
        "xpcs/twotime/config/begin_frame": 0,
        "xpcs/twotime/config/end_frame": frames,
        Q_AXIS: q,
        PHI_AXIS: phi,
        AXIS_LENGTHS: np.array([len(q), len(phi)]),
        INDEX_MAPPING: cells,
        MAP_NAMES: ["q", "phi"],
        "xpcs/qmap/map_units": ["1/Å", "degree"],
        INTENSITY: np.stack([np.arange(frames, dtype=np.float32), counts]),
    }
    if data.num_pixels is not None:
        datasets[ROI_MAP] = np.repeat(labels, np.rint(data.num_pixels).astype(int))[None]
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
        for label, matrix in zip(labels, data.c2, strict=True):
            half = np.triu(np.where(np.isfinite(matrix), matrix, 0.0)).astype(np.float32)
            file.create_dataset(f"{MAPS}/c2_{label:05d}", data=half, compression="lzf")
        attrs = file.create_group(EXTRAS).attrs
        attrs["provenance"] = json.dumps(dict(data.provenance))
        if data.gap is not None:
            attrs["gap"] = data.gap
        if data.age:
            attrs["age"] = data.age
        if data.photons is not None:
            attrs["photons"] = data.photons


def _lag_means(c2: np.ndarray) -> np.ndarray:
    """Return the mean of each diagonal over the finite entries, (G, P); 0 where there is none."""
    finite = np.isfinite(c2)
    filled = np.where(finite, c2, 0.0)
    lags = range(c2.shape[1])
    totals = np.array([np.trace(filled, lag, axis1=1, axis2=2) for lag in lags])
    return totals / np.maximum([np.trace(finite, lag, axis1=1, axis2=2) for lag in lags], 1)


FORMAT = Format(
    name="aps-u",
    title="APS-U 8-ID HDF5 (since February 2025)",
    magic=HDF5,
    members=("xpcs/qmap",),
    describe=describe,
    load=load,
    must_pass="`--gap` for flow; `--q` if the file holds several",
    write=write,
    endings=(".h5", ".hdf"),
)
