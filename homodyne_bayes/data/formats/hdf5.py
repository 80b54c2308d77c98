"""What an HDF5 file holds under a name: inside the file itself, of the kind that was expected."""

import contextlib
import importlib
import math
from collections.abc import Sequence

import h5py
import numpy as np

from homodyne_bayes.config import MAX_MAPS
from homodyne_bayes.data.formats.limits import map_size
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import check_bytes, check_chunks, dataset_bytes

MAX_LINKS = 16


def find(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return what the file itself stores under a name, if anything; never opens another file."""
    item, parts, followed = file, name.split("/"), 0
    while parts:
        part = parts.pop(0)
        if part in {"", "."}:
            continue
        key = part.encode(errors="surrogateescape")
        if not isinstance(item, h5py.Group) or not item.id.links.exists(key):
            return None
        kind = item.id.links.get_info(key).type
        if kind == h5py.h5l.TYPE_HARD:
            item = item[part]
        elif kind != h5py.h5l.TYPE_SOFT:
            raise InputError(
                f"expected {name} inside the file, found a link to another file; copy "
                "the data into one file (h5repack or h5copy)"
            )
        elif (followed := followed + 1) > MAX_LINKS:
            return None
        else:
            target = item.id.links.get_val(key).decode(errors="surrogateescape")
            item, parts = file if target.startswith("/") else item, [*target.split("/"), *parts]
    return item


def required(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    """Return a group or dataset that must be there."""
    item = find(file, name)
    if item is None:
        raise InputError(
            f"expected {name}, found no such entry; check that the two-time "
            "correlation was computed"
        )
    return item


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that may be too large to be loaded whole, such as that of all maps."""
    item = required(file, name)
    if not isinstance(item, h5py.Dataset):
        raise InputError(f"expected {name} to be a dataset, found a group; process the file again")
    check_chunks(item)
    _check_filters(item)
    return item


def _check_filters(item: h5py.Dataset) -> None:
    """Refuse a compression that HDF5 does not know, once hdf5plugin was asked."""
    filters = item.id.get_create_plist()
    codes = [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]
    if not all(map(h5py.h5z.filter_avail, codes)):
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")
    for code in codes:
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                f"expected {item.name} in a compression that is known here, found "
                f"HDF5 filter {code}; pip install hdf5plugin"
            )


def small_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that can be loaded whole."""
    item = dataset(file, name)
    check_bytes(file.filename, dataset_bytes(item), name)
    return item


def values_of(file: h5py.File, name: str) -> np.ndarray:
    """Return real numbers, (N,), of a dataset of any shape."""
    item = small_dataset(file, name)
    if item.size > MAX_MAPS:
        raise InputError(
            f"expected at most {MAX_MAPS} values of {name}, found {item.size}; "
            "process the file again"
        )
    if item.dtype.kind not in "fiub":
        raise InputError(
            f"expected {name} to be real numbers, found the type {item.dtype}; "
            "process the file again"
        )
    return np.ravel(item[...])


def integers(file: h5py.File, name: str) -> np.ndarray:
    """Return whole numbers, (N,), of a dataset of any shape."""
    values = values_of(file, name)
    with np.errstate(invalid="ignore"):
        rounded = values.astype(int)
    if not np.array_equal(rounded, values):
        raise InputError(
            f"expected {name} to hold whole numbers, found others; process the file again"
        )
    return rounded


def num_frames(file: h5py.File, names: list[str], where: str) -> int:
    """Return the frames of maps that are stored one by one, which must be of one size and type."""
    headers = {(item.shape, item.dtype) for item in (dataset(file, name) for name in names)}
    if len(headers) != 1:
        raise InputError(
            f"expected {where} to hold maps of one size and type, found "
            f"{len(headers)} kinds; process the file again"
        )
    shape, dtype = headers.pop()
    return map_size((1, *shape), dtype)[1]


def separate_maps(file: h5py.File, names: list[str], where: str) -> np.ndarray:
    """Return maps that are stored one by one, (P, G, G)."""
    items = [dataset(file, name) for name in names]
    check_bytes(file.filename, sum(map(dataset_bytes, items)), where)
    return np.stack([item[...] for item in items])


def maps_along(item: h5py.Dataset, indices: list[int], *, last: bool) -> np.ndarray:
    """Return some maps, (P, G, G), of a dataset that has them along its last or its first axis."""
    entries = math.prod(item.shape[:2] if last else item.shape[1:])
    check_bytes(item.file.filename, 8 * len(indices) * entries, item.name)
    return np.stack([item[:, :, i] if last else item[i] for i in indices])


def detector(
    file: h5py.File, labels: np.ndarray, roi_map: str, image: str = "", frames: float = 1.0
) -> dict[str, Sequence[float | None]]:
    """Return what a file tells of pixels and photons of bins, as `FileContents.detector` holds it.

    Parameters
    ----------
    file : h5py.File
        The file.
    labels : ndarray of int, (P,)
        Labels of the bins, from 1.
    roi_map, image : str
        Paths of the label of every pixel, and of its mean count in a detector frame.
    frames : float
        Detector frames averaged in a frame of the maps: so many photons more.

    Returns
    -------
    dict
        Without what the file lacks, or holds otherwise than is expected.
    """
    roi, top = _pixels(file, roi_map, "iu"), int(labels.max())
    if roi is None:
        return {}
    roi = np.where((roi >= 0) & (roi <= top), roi, 0).astype(int)
    sizes = np.bincount(roi, minlength=top + 1)[labels]
    mean = _pixels(file, image, "fiu")
    if not sizes.all():
        return {}
    told: dict[str, Sequence[float | None]] = {"num_pixels": sizes.astype(float).tolist()}
    if mean is None or mean.size != roi.size:
        return told
    counts = frames * np.bincount(roi, mean, minlength=top + 1)[labels] / sizes
    known = np.isfinite(counts).all() and (counts > 0).all()
    return {**told, "photons": counts.tolist()} if known else told


def _pixels(file: h5py.File, name: str, kinds: str) -> np.ndarray | None:
    """Return a number of every pixel, (N,), where a file holds such of these kinds."""
    if not isinstance(find(file, name), h5py.Dataset):
        return None
    item = small_dataset(file, name)
    return np.ravel(item[...]) if item.dtype.kind in kinds else None


def first_number(file: h5py.File, names: tuple[str, ...]) -> float | None:
    """Return the single number under the first of these names that is there, if any is."""
    for name in names:
        if find(file, name) is not None:
            return float(values_of(file, name).item())
    return None
