"""Files of NumPy: caches of homodyne 2.x and xpcsjax, plain .npz and .npy."""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from homodyne_bayes.data.axes import check_time_axes
from homodyne_bayes.data.formats.limits import FileContents, map_size, per_map, real_numbers
from homodyne_bayes.data.formats.record import NPY as NPY_MAGIC
from homodyne_bayes.data.formats.record import ZIP, Format
from homodyne_bayes.data.two_time import DETECTOR
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import check_bytes

MAX_HEADER = 2**16

Header = tuple[tuple[int, ...], np.dtype]


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


def describe_cache(path: Path) -> FileContents:
    """Return what a cache of homodyne or xpcsjax holds."""
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
    return FileContents(path, bins, frames, dt, provenance=provenance)


def describe_npz(path: Path) -> FileContents:
    """Return what an archive of maps holds, and of q, dt, gap, phi, pixels and photons."""
    headers = npz_headers(path)
    count, frames = map_size(*headers[_maps_key(headers)])
    small = _arrays(path, headers, ("q", "dt", "gap", "phi", *DETECTOR))
    q, dt, gap = (per_map(small.get(name), 1, name)[0] for name in ("q", "dt", "gap"))
    bins = [(q, phi) for phi in per_map(small.get("phi"), count, "phi")]
    detector = {n: per_map(small[n], count, n) for n in DETECTOR if n in small}
    return FileContents(path, bins, frames, dt, gap, detector=detector)


def load_npz(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices of an archive, (P, G, G)."""
    headers = npz_headers(path)
    key = _maps_key(headers)
    return _as_stack(_arrays(path, headers, (key,))[key])[indices]


def describe_npy(path: Path) -> FileContents:
    """Return what an array of maps is."""
    with path.open("rb") as stream:
        count, frames = map_size(*_npy_header(stream))
    return FileContents(path, [(None, None)] * count, frames)


def load_npy(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices of an array, (P, G, G)."""
    return _as_stack(np.load(path, mmap_mode="r", allow_pickle=False))[indices]


def _as_stack(maps: np.ndarray) -> np.ndarray:
    """Return maps (P, G, G) of these or of a single one, (G, G)."""
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
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in (name for name in names if name in headers):
            shape, dtype = headers[name]
            check_bytes(path, math.prod(shape) * max(8, dtype.itemsize), name)
            with archive.open(f"{name}.npy") as stream:
                values = np.lib.format.read_array(stream, allow_pickle=False)
            arrays[name] = real_numbers(values, name)
    return arrays


CACHE = Format(
    name="cache",
    title="`.npz` cache of homodyne 2.x and xpcsjax",
    magic=ZIP,
    members=("c2_exp",),
    describe=describe_cache,
    load=load_npz,
    must_pass="`--gap` for flow; what old caches lack",
)
NPZ = Format(
    name="npz",
    title="`.npz` with maps (G, G) or (P, G, G)",
    magic=ZIP,
    members=(),
    describe=describe_npz,
    load=load_npz,
    must_pass="what it lacks of `--q`, `--dt`, `--phi`; `--gap` for flow",
)
NPY = Format(
    name="npy",
    title="`.npy` with maps (G, G) or (P, G, G)",
    magic=NPY_MAGIC,
    members=(),
    describe=describe_npy,
    load=load_npy,
    must_pass="`--q`, `--dt`; `--phi` for more than one map or for flow; `--gap` for flow",
)
