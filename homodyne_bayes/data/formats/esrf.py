"""Result files of ESRF beamline ID02, whose maps lie over age and lag: lists of points."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from homodyne_bayes.data.axes import shifted
from homodyne_bayes.data.formats.hdf5 import (
    dataset,
    find,
    integers,
    required,
    small_dataset,
    values_of,
)
from homodyne_bayes.data.formats.limits import Bin, FileContents
from homodyne_bayes.data.formats.record import HDF5, Format
from homodyne_bayes.data.points import FrameTimes, check_size, common_frames, maps_of_points
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import check_bytes, dataset_bytes

V2, V1 = "entry_0000/correlations", "entry_0000/dynamix/correlations/directions"
MAGIC, TITLE = "XPCSResultFile_v2.0", "XPCSResultFile"
RANGES = "entry_0000/dynamix/correlations/q_index_min_max"
UNIT = "q is stored in 1/nm, as ESRF's own reader labels it, and is turned to 1/Å, q = q_file / 10"
MIDDLE = "age is the middle of the two times and lag their difference, t = age ∓ lag / 2"
MAX_NAMED = 20


class Direction(NamedTuple):
    """One analysis of a file: where its maps are, their q, and their two times.

    Attributes
    ----------
    key : str
        Its name.
    maps : str
        Path of the maps (n, A, L) over ages and lags.
    q : ndarray, (n,)
        Wavevector in 1/Å.
    rows, columns : ndarray of bool, (A,), (L,)
        False where an age or lag is NaN.
    t1, t2 : ndarray
        Times in s of the rows and columns that are kept.
    """

    key: str
    maps: str
    q: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    t1: np.ndarray
    t2: np.ndarray

    def values(self, file: h5py.File, index: int) -> np.ndarray:
        """Return one map over the ages and lags that are kept, (ages, lags)."""
        return dataset(file, self.maps)[index][np.ix_(self.rows, self.columns)]


def describe(path: Path) -> FileContents:
    """Return what a file holds; what was measured is looked up in every map, one after another.

    Maps of the first direction come first, by name, each in the order of its q.
    """
    with h5py.File(path, "r") as file:
        directions = _directions(file)
        times, kept = _record(file, directions)
    check_size(times, 1, path.stat().st_size)
    names = [direction.key for direction in directions]
    shown = ", ".join(map(repr, names[:MAX_NAMED])) + (", ..." if names[MAX_NAMED:] else "")
    pairs = [
        times.pairs(direction.t1[inside], direction.t2[inside])
        for direction, inside in zip(directions, kept, strict=True)
    ]
    count = len(np.unique(np.concatenate(pairs)))
    most = times.num_frames * (times.num_frames - 1) // 2
    notes = [f"{count} of {most} pairs of frames have a value"]
    if len(names) > 1:
        notes.append(f"{len(names)} directions, in this order: {shown}; --phi gives their azimuths")
    bins: list[Bin] = [(float(q), None) for direction in directions for q in direction.q]
    assumed = [UNIT, MIDDLE, *shifted(times.start, times.dt)]
    return FileContents(
        path, bins, times.num_frames, times.dt, notes=notes, provenance={"assumed": assumed}
    )


def load(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices, (P, G, G), NaN where nothing was measured."""
    with h5py.File(path, "r") as file:
        directions = _directions(file)
        times, kept = _record(file, directions)
        check_size(times, len(indices), path.stat().st_size)
        stored = [(n, k) for n, direction in enumerate(directions) for k in range(len(direction.q))]
        maps = []
        for n, k in (stored[i] for i in indices):
            direction, values = directions[n], directions[n].values(file, k)
            inside = kept[n] & np.isfinite(values)
            points = (direction.t1[inside], direction.t2[inside], values[inside])
            maps.append(maps_of_points(times, 1, np.zeros(inside.sum(), int), *points)[0])
    return np.stack(maps)


def load_more(_path: Path, _indices: list[int], c2: np.ndarray) -> dict[str, np.ndarray]:
    """Return which pairs of loaded maps, (P, G, G), were measured."""
    return {"measured": ~np.isnan(c2)}


def _directions(file: h5py.File) -> list[Direction]:
    """Return all directions that have two-time maps, by name."""
    new = find(file, V2) is not None
    _check_kind(file, new)
    root, group, q_of = (V2, "twotime", _q_v2) if new else (V1, "2times_correlation", _q_v1)
    held = required(file, root)
    if not isinstance(held, h5py.Group):
        raise InputError(f"expected {root} to be a group, found a dataset; process the file again")
    keys = [key for key in sorted(held) if find(file, f"{root}/{key}/{group}/ttcf") is not None]
    if not keys:
        raise InputError(
            f"expected a direction with {group}/ttcf in {root}, found none; check "
            "that the two-time correlation was computed"
        )
    items = [dataset(file, f"{root}/{key}/{group}/ttcf") for key in keys]
    check_bytes(file.filename, sum(map(dataset_bytes, items)), root)
    return [_direction(file, f"{root}/{key}", group, q_of) for key in keys]


def _check_kind(file: h5py.File, new: bool) -> None:
    """Refuse a file that is not what its groups look like."""
    if new:
        expected, found = MAGIC, file.attrs.get("MagicString")
    else:
        title = small_dataset(file, "entry_0000/title")
        expected, found = TITLE, title[0] if title.ndim == 1 and title.size else title[()]
    text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
    if text != expected or (not new and "version" not in required(file, "entry_0000").attrs):
        raise InputError(
            f"expected a result file of ESRF ID02 that says {expected} and its "
            f"version, found {text!r}; process the file again"
        )


def _direction(
    file: h5py.File, path: str, group: str, q_of: Callable[[h5py.File, str], np.ndarray]
) -> Direction:
    """Return one direction, its axes checked against its maps."""
    here = f"{path}/{group}"
    item = dataset(file, f"{here}/ttcf")
    names = ("age", "timeshift" if find(file, f"{here}/timeshift") is not None else "lag")
    age, lag = (values_of(file, f"{here}/{name}").astype(float) for name in names)
    q = q_of(file, path) / 10.0
    expected = (len(q), len(age), len(lag))
    if item.shape != expected or not item.size or item.dtype.kind not in "fiu":
        raise InputError(
            f"expected {item.name} to be real numbers of shape {expected}, one map "
            f"per q over ages and lags, found {item.dtype} of {item.shape}; process "
            "the file again"
        )
    rows, columns = np.isfinite(age), np.isfinite(lag)
    with np.errstate(over="ignore"):
        t1, t2 = (np.add.outer(age[rows], sign * lag[columns] / 2) for sign in (-1, 1))
    return Direction(path.rpartition("/")[2], f"{here}/ttcf", q, rows, columns, t1, t2)


def _q_v2(file: h5py.File, path: str) -> np.ndarray:
    return values_of(file, f"{path}/parameters/q").astype(float)


def _q_v1(file: h5py.File, path: str) -> np.ndarray:
    """Return the middle of the range of q that the index of each map names, in the unit stored."""
    labels, item = integers(file, f"{path}/q_index"), small_dataset(file, RANGES)
    if item.ndim != 2 or item.shape[1] < 3 or item.dtype.kind not in "fiu":
        raise InputError(
            f"expected {RANGES} to have columns index, lowest and highest q, found "
            f"shape {item.shape}; process the file again"
        )
    ranges = item[...].astype(float)
    rows = {float(row[0]): 0.5 * (row[1] + row[2]) for row in ranges}
    named = len(rows) == len(ranges) and set(labels.tolist()) <= set(rows)
    if not named or (np.diff(labels) <= 0).any():
        raise InputError(
            f"expected rising values of q_index, each named once by the first column "
            f"of {RANGES}, found {labels.tolist()[:MAX_NAMED]} of "
            f"{ranges[:MAX_NAMED, 0].tolist()}; process the file again"
        )
    return np.array([rows[label] for label in labels.tolist()])


def _record(file: h5py.File, directions: list[Direction]) -> tuple[FrameTimes, list[np.ndarray]]:
    """Return the frames of all directions, and which (age, lag) of each lie in the record."""
    kept, filled, t1, t2 = [], [], [], []
    for direction in directions:
        finite, nonzero = (np.zeros(direction.t1.shape, bool) for _ in range(2))
        for k in range(len(direction.q)):
            values = direction.values(file, k)
            finite |= np.isfinite(values)
            nonzero |= np.isfinite(values) & (values != 0)
        kept.append(finite)
        filled.append(nonzero[finite])
        t1.append(direction.t1[finite])
        t2.append(direction.t2[finite])
    times, inside = common_frames(*(np.concatenate(column) for column in (t1, t2, filled)))
    ends = np.cumsum([len(column) for column in filled])
    for finite, part in zip(kept, np.split(inside, ends), strict=False):
        finite[finite] = part
    return times, kept


MUST_PASS = (
    "`--gap` for flow; `--q` if the file holds several; `--phi` where there are several directions"
)
VERSION_2 = Format(
    name="esrf",
    title="ESRF ID02 results, version 2",
    magic=HDF5,
    members=(V2,),
    describe=describe,
    load=load,
    load_more=load_more,
    must_pass=MUST_PASS,
)
VERSION_1 = replace(VERSION_2, name="esrf-v1", title="ESRF ID02 results, version 1", members=(V1,))
