"""One pair of small functions per file layout, describe and load, and the table of them."""

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import xarray as xr

from homodyne_bayes.data.axes import check_time_axes, parse_provenance
from homodyne_bayes.data.formats import aps_8idi, chx, esrf, nxxpcs
from homodyne_bayes.data.formats.hdf5 import (
    find,
    integers,
    member,
    num_frames,
    stacked,
    values_of,
    whole,
)
from homodyne_bayes.data.two_time import OPTIONAL, check_groups, dataset_header
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import (
    Bin,
    FileContents,
    check_bytes,
    check_stored,
    map_size,
    per_map,
    real_numbers,
)

HDF5, ZIP, NPY = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY"

MAPS = "xpcs/twotime/correlation_map"
BINS = "xpcs/twotime/processed_bins"
Q_AXIS = "xpcs/qmap/dynamic_v_list_dim0"
PHI_AXIS = "xpcs/qmap/dynamic_v_list_dim1"
AXIS_LENGTHS = "xpcs/qmap/dynamic_num_pts"
INDEX_MAPPING = "xpcs/qmap/dynamic_index_mapping"
MAP_NAMES = "xpcs/qmap/map_names"
INTENSITY = "xpcs/spatial_mean/intensity_vs_time"
FRAME_STEP = (
    "entry/instrument/detector_1/frame_time",
    "xpcs/twotime/config/stride_frame",
    "xpcs/twotime/config/avg_frame",
)
OWN_GROUP = "homodyne_bayes"

MAX_HEADER = 2**16

Header = tuple[tuple[int, ...], np.dtype]


@dataclass(frozen=True)
class Layout:
    """How to recognise a layout (first bytes, members), describe a file of it and load maps.

    ``load_more`` returns, of maps that were loaded, further fields of the data by name; a layout
    without it never has any.
    """

    magic: bytes
    members: tuple[str, ...]
    describe: Callable[[Path], FileContents]
    load: Callable[[Path, list[int]], np.ndarray]
    load_more: Callable[[Path, list[int], np.ndarray], dict[str, Any]] | None = None


def npz_headers(path: Path) -> dict[str, Header]:
    """Return shape and dtype of each array of an .npz file without loading any."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        headers = {}
        for name in names:
            with archive.open(name) as stream:
                start = io.BytesIO(stream.read(MAX_HEADER))
            headers[name.removesuffix(".npy")] = _npy_header(start)
    return headers


def _npy_header(stream: IO[bytes]) -> Header:
    """Return shape and dtype that an .npy stream declares."""
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise InputError(
            f"expected version 1.0 or 2.0 of the .npy format, found {version}; save "
            "plain numbers without named fields"
        )
    shape, _, dtype = readers[version](stream)
    return shape, dtype


# netCDF-4 as TwoTimeData.to_dataset makes it


def _open_netcdf(path: Path) -> xr.Dataset:
    """Open a file that keeps everything inside and declares no more than it may."""
    check_stored(path)
    return xr.open_dataset(path, engine="netcdf4", decode_times=False)


def _describe_netcdf(path: Path) -> FileContents:
    with _open_netcdf(path) as dataset:
        count, frames = map_size(dataset["c2"].shape, dataset["c2"].dtype)
        header = dataset_header(dataset)
        notes = []
        if "group_c2" in dataset:
            groups = check_groups(dataset["group_c2"].shape, dataset["c2"].shape)
            notes = [f"c2 of {groups} pixel groups of every angle is there too"]
    q = np.broadcast_to(header["q"], count).tolist()
    bins: list[Bin] = list(zip(q, header["phi"].tolist(), strict=True))
    return FileContents(
        path, "netcdf", bins, frames, header["dt"], header["gap"], notes, header["provenance"]
    )


def _load_netcdf(path: Path, indices: list[int]) -> np.ndarray:
    with _open_netcdf(path) as dataset:
        return dataset["c2"][indices].values


def _load_netcdf_more(path: Path, indices: list[int], _c2: np.ndarray) -> dict[str, Any]:
    with _open_netcdf(path) as dataset:
        return {name: dataset[name][indices].values for name in OPTIONAL if name in dataset}


# APS-U 8-ID (boost_corr since February 2025)


def _describe_aps_u(path: Path) -> FileContents:
    with h5py.File(path, "r") as file:
        names = _map_names(file)
        frames = num_frames(file, names, MAPS)
        bins, notes = _bins(file, len(names))
        dt, gap = _frame_step(file), None
        provenance = {}
        own = find(file, OWN_GROUP)
        if own is not None:
            attrs = own.attrs
            provenance = parse_provenance(attrs.get("provenance", "{}"))
            gap = float(attrs["gap"]) if "gap" in attrs else None
        notes += _dark_frames(file)
    return FileContents(path, "aps-u", bins, frames, dt, gap, notes, provenance)


def _load_aps_u(path: Path, indices: list[int]) -> np.ndarray:
    with h5py.File(path, "r") as file:
        names = _map_names(file)
        return stacked(file, [names[i] for i in indices], MAPS)


def _map_names(file: h5py.File) -> list[str]:
    """Return the paths of the maps in the order of their numbers."""
    group = member(file, MAPS)
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
    stored = whole(file, MAP_NAMES)
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
    counts = whole(file, INTENSITY)[1]
    dark = int((counts == 0).sum())
    return [f"{dark} of {len(counts)} detector frames have no counts"] if dark else []


# NumPy: caches of homodyne and xpcsjax, plain .npz and .npy


def _describe_cache(path: Path) -> FileContents:
    headers = npz_headers(path)
    count, frames = map_size(*headers["c2_exp"])
    small = _arrays(
        path, headers, ("wavevector_q_list", "phi_angles_list", "t1", "t2", "cache_metadata_json")
    )
    dt: float | None = None
    assumed: list[str] = []
    if "t1" in small and "t2" in small:
        t1 = small["t1"][:, 0] if small["t1"].ndim == 2 else small["t1"]
        t2 = small["t2"][0, :] if small["t2"].ndim == 2 else small["t2"]
        if t1.shape != (frames,):
            raise InputError(
                f"expected {frames} times, one per frame, found {t1.shape}; make the cache again"
            )
        dt, assumed = check_time_axes(t1, t2)
    if "cache_metadata" in headers:
        assumed.append(
            "the time axis is right, although caches with a pickled cache_metadata "
            "(never read here) may carry a stretched one: pass --dt to check it"
        )
    provenance: dict[str, Any] = {"assumed": assumed}
    if "cache_metadata_json" in small:
        provenance["cache_metadata"] = str(small["cache_metadata_json"])
    bins = list(
        zip(
            per_map(small.get("wavevector_q_list"), count, "wavevector_q_list"),
            per_map(small.get("phi_angles_list"), count, "phi_angles_list"),
            strict=True,
        )
    )
    return FileContents(path, "cache", bins, frames, dt, provenance=provenance)


def _describe_npz(path: Path) -> FileContents:
    headers = npz_headers(path)
    count, frames = map_size(*headers[_maps_key(headers)])
    small = _arrays(path, headers, ("q", "dt", "gap", "phi"))
    q, dt, gap = (per_map(small.get(name), 1, name)[0] for name in ("q", "dt", "gap"))
    bins = [(q, phi) for phi in per_map(small.get("phi"), count, "phi")]
    return FileContents(path, "npz", bins, frames, dt, gap)


def _load_npz(path: Path, indices: list[int]) -> np.ndarray:
    headers = npz_headers(path)
    key = _maps_key(headers)
    return _stacked(_arrays(path, headers, (key,))[key])[indices]


def _describe_npy(path: Path) -> FileContents:
    with path.open("rb") as stream:
        count, frames = map_size(*_npy_header(stream))
    return FileContents(path, "npy", [(None, None)] * count, frames)


def _load_npy(path: Path, indices: list[int]) -> np.ndarray:
    return _stacked(np.load(path, mmap_mode="r", allow_pickle=False))[indices]


def _stacked(maps: np.ndarray) -> np.ndarray:
    return maps[None] if maps.ndim == 2 else maps


def _maps_key(headers: Mapping[str, Header]) -> str:
    """Return which array of an .npz file holds the maps."""
    for key in ("c2_exp", "c2"):
        if key in headers:
            return key
    if len(headers) != 1:
        raise InputError(
            f"expected an array named c2, found {', '.join(headers) or 'none'}; "
            "rename the array of maps"
        )
    return next(iter(headers))


def _arrays(
    path: Path,
    headers: Mapping[str, Header],
    names: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """Return those of the named arrays that exist, refusing pickled and complex ones."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in (name for name in names if name in headers):
            shape, dtype = headers[name]
            check_bytes(path, math.prod(shape) * max(8, dtype.itemsize), name)
            with archive.open(f"{name}.npy") as stream:
                values = np.lib.format.read_array(stream, allow_pickle=False)
            found[name] = real_numbers(values, name)
    return found


LAYOUTS: dict[str, Layout] = {
    "netcdf": Layout(
        HDF5, ("c2", "phi", "t1", "t2"), _describe_netcdf, _load_netcdf, _load_netcdf_more
    ),
    "aps-u": Layout(HDF5, ("xpcs/qmap",), _describe_aps_u, _load_aps_u),
    "aps-legacy": Layout(HDF5, (aps_8idi.MAPS, aps_8idi.Q), aps_8idi.describe, aps_8idi.load),
    "chx": Layout(HDF5, (chx.MAPS, chx.BINS), chx.describe, chx.load),
    "nxxpcs": Layout(HDF5, (nxxpcs.MAPS,), nxxpcs.describe, nxxpcs.load),
    "esrf": Layout(HDF5, (esrf.V2,), esrf.describe, esrf.load, esrf.measured),
    "esrf-v1": Layout(HDF5, (esrf.V1,), esrf.describe, esrf.load, esrf.measured),
    "cache": Layout(ZIP, ("c2_exp",), _describe_cache, _load_npz),
    "npz": Layout(ZIP, (), _describe_npz, _load_npz),
    "npy": Layout(NPY, (), _describe_npy, _load_npy),
}
