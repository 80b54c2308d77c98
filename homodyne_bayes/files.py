"""What files hold and declare, and what of it may be loaded."""

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from homodyne_bayes.config import MAX_FRAMES, MAX_MAPS
from homodyne_bayes.data.axes import MIN_FRAMES
from homodyne_bayes.errors import InputError

MAX_EXPANSION = 100  # bytes loaded, over those of the file
ALWAYS_ALLOWED = 2**27  # bytes
HEAP, SCANNED = b"GCOL\x01\0\0\0", 2**30  # how a heap of strings starts; bytes looked through

Bin = tuple[float | None, float | None]


@dataclass(frozen=True)
class FileContents:
    """What a file holds, found without loading its maps.

    Attributes
    ----------
    path : Path
        The file.
    format : str
        Name of its layout, a key of ``LAYOUTS``.
    bins : list of (q, phi)
        Wavevector in 1/Å and azimuth in degree of each map; None where the file does not tell.
    num_frames : int
        Frames G of each map.
    dt, gap : float or None
        In s and Å; None where the file does not tell.
    notes : list of str
        Sentences on what was found, assumed and missing.
    provenance : mapping
        What the file stores about its origin; "assumed" lists what reading it assumes.
    """

    path: Path
    format: str
    bins: list[Bin]
    num_frames: int
    dt: float | None = None
    gap: float | None = None
    notes: list[str] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def map_size(shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, int]:
    """Return the number of maps and of frames that an array declares, if it can be maps."""
    square = len(shape) in {2, 3} and shape[-1] == shape[-2]
    count = shape[0] if len(shape) == 3 else 1
    if not square or count == 0:
        raise InputError(
            f"expected maps of shape (frames, frames) or (angles, frames, frames), "
            f"found {shape}; move the angles to the first axis"
        )
    if dtype.kind not in "fiu":
        raise InputError(f"expected maps of real numbers, found the type {dtype}; convert them")
    if not MIN_FRAMES <= shape[-1] <= MAX_FRAMES:
        raise InputError(
            f"expected {MIN_FRAMES} to {MAX_FRAMES} frames, found {shape[-1]}; use "
            "maps within these limits"
        )
    if count > MAX_MAPS:
        raise InputError(f"expected at most {MAX_MAPS} maps, found {count}; keep fewer in a file")
    return count, shape[-1]


def most_bytes(own: int) -> int:
    """Return how many bytes may be made of ``own`` bytes."""
    return max(ALWAYS_ALLOWED, MAX_EXPANSION * own)


def check_bytes(path: str | Path, size: int, name: str) -> None:
    """Refuse to load far more bytes than the file has."""
    own = Path(path).stat().st_size
    most = most_bytes(own)
    if size > most:
        raise InputError(
            f"expected {name} to take at most {most} bytes in a file of {own}, found "
            f"{size} declared; write it again with what it really holds"
        )


def check_heaps(path: Path) -> None:
    """Refuse an HDF5 file with a heap of strings in which the HDF5 library would loop for ever."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        heap = whole.find(HEAP, 0, SCANNED)
        while heap >= 0:
            item, end = heap + 16, heap + int.from_bytes(whole[heap + 8 : heap + 16], "little")
            while item + 16 <= min(end, len(whole)):
                size = int.from_bytes(whole[item + 8 : item + 16], "little")
                step = size if whole[item : item + 2] == b"\0\0" else 16 + (size + 7) // 8 * 8
                if not 0 < step < 2**63:
                    raise InputError(
                        "expected a complete file, found one whose stored strings are "
                        "damaged; copy or write it again"
                    )
                item += step
            heap = whole.find(HEAP, heap + 1, SCANNED)


def check_stored(path: Path) -> None:
    """Refuse a netCDF-4 file that points outside itself or that netCDF's library would not survive.

    What h5py refuses to read, netCDF's library may crash on.
    """
    check_heaps(path)
    with h5py.File(path, "r") as file:
        linked = file.id.links.visit(
            lambda name, link: None if link.type == h5py.h5l.TYPE_HARD else name, info=True
        )
        if linked is not None:
            raise InputError(
                f"expected {linked.decode(errors='replace')} inside the file, found a "
                "link; copy the data into one file"
            )
        dict(file.attrs)
        file.visititems(lambda _, item: _check_item(item))


def _check_item(item: h5py.Group | h5py.Dataset) -> None:
    """Refuse a group or dataset that cannot be read, or not within the limits."""
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        check_chunks(item)
        check_bytes(item.file.filename, dataset_bytes(item), item.name)


def check_chunks(item: h5py.Dataset) -> None:
    """Refuse numbers kept in other files, and chunks larger than may be loaded."""
    if item.is_virtual or item.external:
        raise InputError(
            f"expected {item.name} to be stored in the file, found numbers kept in "
            "other files; copy the data into one file"
        )
    chunk = math.prod(item.chunks or (0,)) * item.dtype.itemsize
    check_bytes(item.file.filename, chunk, f"a chunk of {item.name}")


def dataset_bytes(item: h5py.Dataset) -> int:
    """Return the bytes that a dataset takes when it is loaded as float64 or as it is."""
    return math.prod(item.shape) * max(8, item.dtype.itemsize)


def real_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Return the values, unless they are complex."""
    if np.iscomplexobj(values):
        raise InputError(f"expected {name} to be real, found complex numbers; write it again")
    return values


def per_map(values: np.ndarray | None, count: int, name: str) -> list[float | None]:
    """Return one value per map from nothing, one value or a list of them."""
    if values is None:
        return [None] * count
    flat = np.ravel(values).astype(float)
    if flat.size not in {1, count}:
        raise InputError(
            f"expected {count} values of {name}, one per map, found {flat.size}; "
            "write the file again"
        )
    return [float(value) for value in np.broadcast_to(flat, count)]


def as_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that netCDF can hold: mappings and lists become JSON."""
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for name, value in values.items()
    }


def text_as_characters(dataset: xr.Dataset) -> dict[Any, Any]:
    """Return the encoding in netCDF of the variables of a dataset that are text.

    HDF5 can crash when it opens variables that are strings of any length for a second time.
    """
    text = [name for name, one in dataset.variables.items() if one.dtype.kind in "OU"]
    return {name: {"dtype": "S1"} for name in text}
