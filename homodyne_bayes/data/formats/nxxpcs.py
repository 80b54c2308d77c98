"""The NeXus application definition NXxpcs, as its attributes say; read and written."""

from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from homodyne_bayes.data.formats.hdf5 import dataset, detector, first_number, maps_along, values_of
from homodyne_bayes.data.formats.limits import FileContents, map_size, per_map
from homodyne_bayes.data.formats.record import HDF5, Format
from homodyne_bayes.errors import InputError

if TYPE_CHECKING:
    from homodyne_bayes.data.two_time import TwoTimeData

MAPS = "entry/twotime/two_time_corr_func"
Q, PHI = (f"entry/instrument/masks/dynamic_{name}_list" for name in ("q", "phi"))
ROI_MAP = "entry/instrument/masks/dynamic_roi_map"
PERIOD = ("entry/instrument/detector/frame_time", "entry/instrument/detector_1/frame_time")
CHOICES = {  # the first is the default
    "storage_mode": ("one_array_q_first", "one_array_q_last"),
    "baseline_reference": ("1", "0"),
    "time_origin_location": ("upper_left", "lower_left"),
    "populated_elements": ("all", "upper_half", "lower_half"),
}


def describe(path: Path) -> FileContents:
    """Return what a file holds; map k has the k-th q and azimuth."""
    with h5py.File(path, "r") as file:
        item = dataset(file, MAPS)
        chosen, absent = _attributes(item)
        if item.ndim != 3:
            raise InputError(
                f"expected {MAPS} to have three axes, found {item.ndim}; write it again"
            )
        last = chosen["storage_mode"] == "one_array_q_last"
        shape = (item.shape[2], *item.shape[:2]) if last else item.shape
        count, frames = map_size(shape, item.dtype)
        q, phi = (per_map(values_of(file, name), count, name) for name in (Q, PHI))
        dt = first_number(file, PERIOD)
        told = detector(file, np.arange(1, count + 1), ROI_MAP)
    assumed = [f"{name} of the maps is {CHOICES[name][0]}" for name in absent]
    bins = list(zip(q, phi, strict=True))
    return FileContents(path, bins, frames, dt, provenance={"assumed": assumed}, detector=told)


def load(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices, (P, G, G), baseline 1, times growing along both axes."""
    with h5py.File(path, "r") as file:
        item = dataset(file, MAPS)
        chosen, _ = _attributes(item)
        maps = maps_along(item, indices, last=chosen["storage_mode"] == "one_array_q_last")
    if chosen["time_origin_location"] == "lower_left":
        maps = maps[:, ::-1]
    if chosen["baseline_reference"] == "0":
        ones = np.ones(maps.shape[1:])
        baseline = {"all": ones, "upper_half": np.triu(ones), "lower_half": np.tril(ones)}
        maps = maps + baseline[chosen["populated_elements"]]
    return maps


def write(path: Path, data: "TwoTimeData") -> None:
    """Write maps whole, baseline 1, unusable frames as NaN; gap, groups, photons have no place."""
    with h5py.File(path, "w") as file:
        file["entry/definition"] = "NXxpcs"
        file["entry"].attrs["NX_class"] = "NXentry"
        item = file.create_dataset(MAPS, data=data.c2, compression="lzf")
        for name, values in CHOICES.items():
            item.attrs[name] = values[0]
        file[Q], file[PHI] = data.wavevectors, data.phi
        file[Q].attrs["units"], file[PHI].attrs["units"] = "1/angstrom", "degree"
        if data.num_pixels is not None:
            labels, sizes = np.arange(1, len(data.phi) + 1), np.rint(data.num_pixels).astype(int)
            file[ROI_MAP] = np.repeat(labels, sizes)[None]
        file[PERIOD[0]] = data.dt
        file[PERIOD[0]].attrs["units"] = "s"


def _attributes(item: h5py.Dataset) -> tuple[dict[str, str], list[str]]:
    """Return how maps are stored, and what the file does not say of it."""
    chosen, absent = {}, []
    for name, allowed in CHOICES.items():
        stored = item.attrs.get(name)
        text = stored.decode() if isinstance(stored, bytes) else str(stored)
        text = text.removesuffix(".0")
        if stored is None:
            text = allowed[0]
            absent.append(name)
        if text not in allowed:
            raise InputError(
                f"expected {name} of {MAPS} to be one of {', '.join(allowed)}, found "
                f"{text}; store the maps as one array"
            )
        chosen[name] = text
    return chosen, absent


FORMAT = Format(
    name="nxxpcs",
    title="NeXus NXxpcs",
    magic=HDF5,
    members=(MAPS,),
    describe=describe,
    load=load,
    must_pass="`--gap` for flow; `--q` if the file holds several",
    write=write,
    endings=(".nxs",),
)
