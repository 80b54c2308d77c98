"""The HDF5 format of APS 8-ID until February 2025: xpcs-eigen, boost_corr and the MATLAB tools."""

import math
import re
from pathlib import Path

import h5py
import numpy as np

from homodyne_bayes.data.axes import wrapped
from homodyne_bayes.data.formats.hdf5 import (
    detector,
    find,
    first_number,
    integers,
    num_frames,
    required,
    separate_maps,
    values_of,
)
from homodyne_bayes.data.formats.limits import Bin, FileContents
from homodyne_bayes.data.formats.record import HDF5, Format
from homodyne_bayes.errors import InputError

MAPS = "exchange/C2T_all"
Q, PHI = "xpcs/dqlist", "xpcs/dphilist"
ROI_MAP = "xpcs/dqmap"
LABELS = "xpcs/qphi_bin_to_process"
PERIOD = (
    "measurement/instrument/detector/exposure_period",
    "entry/instrument/detector_1/frame_time",
)
STRIDE = ("xpcs/stride_frames",)
AVERAGE = ("xpcs/avg_frames",)
TURNED = (
    "azimuths count clockwise from 6 o'clock, as in this format until February 2025, and are "
    "turned to those of APS-U, phi = 270 - phi_file"
)


def describe(path: Path) -> FileContents:
    """Return what a file holds.

    A map belongs to the processed bin of its rank, or, where their number differs, to the bin that
    its name ends in. Bin b is the b-th cell of the q-map that is not empty (NaN).
    """
    with h5py.File(path, "r") as file:
        names = _names(file)
        frames = num_frames(file, names, MAPS)
        q, phi = (values_of(file, name).astype(float) for name in (Q, PHI))
        if q.shape != phi.shape:
            raise InputError(
                f"expected {Q} and {PHI} to be of one length, found {q.size} and "
                f"{phi.size}; make the q-map again"
            )
        full = np.flatnonzero(np.isfinite(q) & np.isfinite(phi))
        labels, how = _labels(file, names)
        if labels.min() < 1 or labels.max() > full.size:
            raise InputError(
                f"expected bins from 1 to {full.size}, found {labels.min()} to {labels.max()}; "
                "process the file again with its own q-map"
            )
        cells = full[labels - 1]
        turned = wrapped(270.0 - phi[cells])
        bins: list[Bin] = list(zip(q[cells].tolist(), turned.tolist(), strict=True))
        told = detector(file, labels, ROI_MAP)
        period = first_number(file, PERIOD)
        steps = [first_number(file, name) for name in (STRIDE, AVERAGE)]
        dt = None if period is None else period * math.prod(step or 1.0 for step in steps)
    empty = q.size - full.size
    notes = [f"{empty} of {q.size} cells of the q-map are empty"] if empty else []
    return FileContents(
        path,
        bins,
        frames,
        dt,
        notes=[*notes, how],
        provenance={"assumed": [TURNED]},
        detector=told,
    )


def load(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices, (P, G, G)."""
    with h5py.File(path, "r") as file:
        names = _names(file)
        return separate_maps(file, [names[i] for i in indices], MAPS)


def _names(file: h5py.File) -> list[str]:
    """Return the paths of the maps in the order of the numbers that they end in."""
    group = required(file, MAPS)
    numbered = (
        [name for name in group if re.search(r"\d+$", name)]
        if isinstance(group, h5py.Group)
        else []
    )
    if not numbered:
        raise InputError(f"expected numbered maps in {MAPS}, found none; process the file again")
    return [f"{MAPS}/{name}" for name in sorted(numbered, key=_number)]


def _number(name: str) -> int:
    return int(re.findall(r"\d+$", name[-9:])[0])


def _labels(file: h5py.File, names: list[str]) -> tuple[np.ndarray, str]:
    """Return the bin of every map, and how it was found."""
    if find(file, LABELS) is not None:
        labels = np.sort(integers(file, LABELS))
        if len(labels) == len(names):
            return labels, "maps are paired with processed bins by rank"
    return np.array([_number(name) for name in names]), "maps are paired with bins by their names"


FORMAT = Format(
    name="aps-legacy",
    title="APS 8-ID HDF5 until February 2025",
    magic=HDF5,
    members=(MAPS, Q),
    describe=describe,
    load=load,
    must_pass="`--gap` for flow; `--q` if the file holds several",
)
