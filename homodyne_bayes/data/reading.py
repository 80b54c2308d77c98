"""Reading two-time correlation maps of any known layout, and writing three of them."""

import dataclasses
import hashlib
import json
import lzma
import math
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.axes import match_bins, record_selection, usable_frames
from homodyne_bayes.data.formats import nxxpcs, table
from homodyne_bayes.data.formats.hdf5 import find
from homodyne_bayes.data.formats.table import LAYOUTS
from homodyne_bayes.data.two_time import UNITS, TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import FileContents, check_heaps

Q_TOLERANCE = 5e-3
SCALAR_TOLERANCE = 1e-6
TYPICAL = {"q": (1e-4, 1.0), "dt": (1e-6, 1e3), "gap": (1e5, 1e8)}
TYPICAL_MEAN_C2 = (0.5, 2.5)
READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
MAX_SENTENCE = 1000  # characters of a complaint, which may quote the file


def contents(path: str | Path) -> FileContents:
    """Return what a file holds without loading its maps.

    Raises
    ------
    InputError
        If the file cannot be read or has no known layout.
    """
    path = Path(path)
    with naming(path):
        found = LAYOUTS[_layout(path)].describe(path)
    q, phi = found.bins[0]
    missing = _missing({"q": q, "phi": phi, "dt": found.dt, "gap": found.gap})
    notes = [*found.notes, *(f"assumed: {what}" for what in found.provenance.get("assumed", []))]
    notes += [f"the file does not tell {name}: pass --{name}" for name in missing]
    return dataclasses.replace(found, notes=notes)


def read(
    path: str | Path,
    *,
    q: ArrayLike | Literal["all"] | None = None,
    dt: float | None = None,
    gap: float | None = None,
    phi: ArrayLike | None = None,
    exclude_frames: Sequence[int] = (),
) -> TwoTimeData:
    """Return the maps of one or more wavevectors of a file of any known layout.

    What the file tells is used; what is passed beside it must agree. Only the maps asked for are
    loaded where the layout allows it.

    Parameters
    ----------
    path : str or Path
        The file.
    q : float, array_like or "all", optional
        Wavevectors in 1/Å, each within 0.5 % of one in the file; "all" keeps every one. Of a file
        that does not tell: that of all maps, or one a map.
    dt, gap : float, optional
        Time between frames in s, and gap in Å.
    phi : array_like, (P,), optional
        Azimuths in degree: those to keep at every q of a file that tells them, within 0.5°; the
        azimuth of each map of a file that does not, or those that repeat at every q.
    exclude_frames : sequence of int
        Frames to leave out of all angles, 0-based; what the maps hold there is not looked at.

    Returns
    -------
    TwoTimeData

    Raises
    ------
    InputError
        If the file cannot be read, disagrees with what was passed, or leaves something unknown.

    Warns
    -----
    UserWarning
        For values outside the range that such experiments have.
    """
    path = Path(path)
    with naming(path):
        layout = LAYOUTS[_layout(path)]
        found = layout.describe(path)
        chosen = _choose_q(found, q)
        chosen, azimuths, assumed = _choose_phi(found, chosen, phi)
        dt, gap = _agree("dt", found.dt, dt), _agree("gap", found.gap, gap)
        known = [found.bins[i][0] for i in chosen]
        q = q if None in known else np.asarray(known, float)
        if q is None or dt is None or azimuths is None:
            missing = _missing({"q": q, "dt": dt, "phi": azimuths})
            raise InputError(
                f"expected q, dt and phi, but the file does not tell "
                f"{' or '.join(missing)}; pass "
                f"{' and '.join(f'--{name}' for name in missing)}"
            )
        usable = np.tile(usable_frames(found.num_frames, exclude_frames), (len(chosen), 1))
        provenance = _provenance(found, assumed)
        if exclude_frames:
            provenance = record_selection(provenance, 0, exclude_frames)
        c2 = layout.load(path, chosen)
        more = layout.load_more(path, chosen, c2) if layout.load_more else {}
        data = TwoTimeData(
            c2,
            np.asarray(azimuths, float),
            dt,
            np.asarray(q, float),
            gap,
            usable,
            provenance,
            **more,
        )
    warn_untypical(data)
    return data


def warn_untypical(data: TwoTimeData) -> None:
    """Warn (UserWarning) about values that such experiments do not have, as wrong units give."""
    values = [("q", q) for q in np.unique(data.q)] + list(data.scalars.items())
    for name, value in values:
        low, high = TYPICAL[name]
        if not low <= value <= high:
            warnings.warn(
                f"{name} = {value:g} {UNITS[name]} is outside the usual {low:g} to "
                f"{high:g} {UNITS[name]}; check its unit",
                stacklevel=3,
            )
    off_diagonal = ~np.eye(data.num_frames, dtype=bool)
    low, high = TYPICAL_MEAN_C2
    for matrix, azimuth in zip(data.c2, data.phi, strict=True):
        with np.errstate(over="ignore"):
            mean = np.nanmean(matrix[off_diagonal], dtype=float)
        if not low <= mean <= high:
            warnings.warn(
                f"the mean of c2 off the diagonal is {mean:.3g} at phi = {azimuth:.6g}, "
                f"outside {low:g} to {high:g}; its baseline should be 1",
                stacklevel=3,
            )


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends without error.

    Raises
    ------
    InputError
        If the folder is missing or cannot be written to, ``path`` is itself a folder, or
        netCDF's library fails in the block, which is how it says that the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path}: expected the name of a file to write, found a folder; add a file name"
        )
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(
            f"{path}: expected a folder that can be written to, found "
            f"{error.strerror}; create it or choose another"
        ) from error
    with folder as name:
        temporary = Path(name) / path.name
        try:
            yield temporary
        except RuntimeError as error:
            if not str(error).startswith("NetCDF"):
                raise
            raise InputError(
                f"{path}: could not be written ({error}): is the disk full?"
            ) from error
        temporary.replace(path)


def write_netcdf(path: str | Path, data: TwoTimeData) -> None:
    """Write :meth:`TwoTimeData.to_dataset` as netCDF-4, which ``read`` returns unchanged."""
    with atomic_path(path) as temporary:
        data.to_dataset().to_netcdf(temporary, engine="netcdf4")


def write_nxxpcs(path: str | Path, data: TwoTimeData) -> None:
    """Write the NeXus application definition NXxpcs, which has no place for gap and groups."""
    _check_complete(path, data)
    with atomic_path(path) as temporary:
        nxxpcs.write(temporary, data)


def write_aps_u(path: str | Path, data: TwoTimeData) -> None:
    """Write the HDF5 layout of APS-U beamline 8-ID (boost_corr since February 2025).

    Maps are stored as float32 upper triangles, unusable frames as zeros. The layout has no place
    for the gap and the provenance, which go to attributes of the group ``homodyne_bayes``, nor
    for the maps of pixel groups, which are left out. Mean counts are unknown and written as 1, or
    0 for frames unusable in all angles.
    """
    _check_complete(path, data)
    q, phi = (np.array(list(dict.fromkeys(values))) for values in (data.wavevectors, data.phi))
    cells = np.array(
        [
            len(phi) * np.flatnonzero(q == own_q)[0] + np.flatnonzero(phi == own_phi)[0]
            for own_q, own_phi in zip(data.wavevectors, data.phi, strict=True)
        ]
    )
    data, cells = data.take(np.argsort(cells)), np.sort(cells).astype(np.int32)
    count, frames = data.usable.shape
    labels = np.arange(1, count + 1, dtype=np.int32)
    counts = data.usable.any(axis=0).astype(np.float32)
    datasets = {
        table.BINS: labels,
        "xpcs/twotime/normalized_g2": _lag_means(data.c2).astype(np.float32),
        **dict(zip(table.FRAME_STEP, (np.array([[data.dt]]), 1, 1), strict=True)),
        "xpcs/twotime/config/begin_frame": 0,
        "xpcs/twotime/config/end_frame": frames,
        table.Q_AXIS: q,
        table.PHI_AXIS: phi,
        table.AXIS_LENGTHS: np.array([len(q), len(phi)]),
        table.INDEX_MAPPING: cells,
        "xpcs/qmap/dynamic_roi_map": labels[None, :],
        table.MAP_NAMES: ["q", "phi"],
        "xpcs/qmap/map_units": ["1/Å", "degree"],
        table.INTENSITY: np.stack([np.arange(frames, dtype=np.float32), counts]),
    }
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in datasets.items():
            file[name] = value
        for label, matrix in zip(labels, data.c2, strict=True):
            half = np.triu(np.where(np.isfinite(matrix), matrix, 0.0)).astype(np.float32)
            file.create_dataset(f"{table.MAPS}/c2_{label:05d}", data=half, compression="lzf")
        own = file.create_group(table.OWN_GROUP).attrs
        own["provenance"] = json.dumps(dict(data.provenance))
        if data.gap is not None:
            own["gap"] = data.gap


def _check_complete(path: str | Path, data: TwoTimeData) -> None:
    """Refuse maps that lack pairs, for a layout that has no place for that."""
    if data.num_missing:
        raise InputError(
            f"{path}: expected maps with every pair of usable frames, found "
            f"{data.num_missing} pairs that were not measured; write netCDF (.nc)"
        )


def _lag_means(c2: np.ndarray) -> np.ndarray:
    """Return the mean of each diagonal over the finite entries, (G, P); 0 where there is none."""
    finite = np.isfinite(c2)
    filled = np.where(finite, c2, 0.0)
    lags = range(c2.shape[1])
    totals = np.array([np.trace(filled, lag, axis1=1, axis2=2) for lag in lags])
    return totals / np.maximum([np.trace(finite, lag, axis1=1, axis2=2) for lag in lags], 1)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the path in front of every complaint, and turn those of the libraries into ours."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {_one_line(error)}") from error
    except READ_ERRORS as error:
        raise InputError(
            f"{path}: expected a complete file, found one that cannot be read "
            f"({_one_line(error)}); copy or write it again"
        ) from error


def _one_line(error: Exception) -> str:
    """Return what an error says in one line that can be printed, whatever the file had in it."""
    line = " ".join(str(error).encode(errors="backslashreplace").decode().split())
    half = MAX_SENTENCE // 2
    return line if len(line) <= MAX_SENTENCE else f"{line[:half]} ... {line[-half:]}"


def _layout(path: Path) -> str:
    """Return the name of the file's layout."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing of that name"
        raise InputError(f"expected a file, found {found}; check the path")
    with path.open("rb") as stream:
        start = stream.read(8)
    members = _members(path, start)
    for name, layout in LAYOUTS.items():
        if start.startswith(layout.magic) and members.issuperset(layout.members):
            return name
    found = f"the entries {', '.join(sorted(members))}" if members else f"the first bytes {start!r}"
    raise InputError(
        f"expected one of the layouts {', '.join(LAYOUTS)}, found {found}; convert "
        "the maps to .npy and pass --q, --dt and --phi"
    )


def _members(path: Path, start: bytes) -> set[str]:
    """Return what the file holds: names of arrays, or HDF5 groups down to two levels."""
    if start.startswith(table.ZIP):
        return set(table.npz_headers(path))
    if not start.startswith(table.HDF5):
        return set()
    check_heaps(path)
    with h5py.File(path, "r") as file:
        asked = {name for layout in LAYOUTS.values() for name in layout.members}
        return set(file) | {name for name in asked if find(file, name) is not None}


def _missing(values: dict[str, Any]) -> list[str]:
    """Return the names of the values that are not known."""
    return [name for name, value in values.items() if value is None]


def _choose_q(found: FileContents, q: ArrayLike | Literal["all"] | None) -> list[int]:
    """Return which maps have the wavevectors asked for, in their order."""
    known = {f"{value:.6g}": value for value, _ in found.bins if value is not None}
    if not known or (isinstance(q, str) and q == "all"):
        return list(range(len(found.bins)))
    choices = f"one of {', '.join(known)}, or several of them, or all"
    if q is None and len(known) > 1:
        raise InputError(
            f"expected a choice of q, found {len(known)} values; pass --q with {choices}"
        )
    labels = set(known) if q is None else set()
    for value in () if q is None else np.atleast_1d(np.asarray(q, float)):
        label = min(known, key=lambda name: abs(known[name] - value))
        if not abs(known[label] - value) <= Q_TOLERANCE * known[label]:
            raise InputError(
                f"expected a q within 0.5 % of one in the file, found {value:.6g}; "
                f"pass --q with {choices}"
            )
        labels.add(label)
    return [i for i, (value, _) in enumerate(found.bins) if f"{value:.6g}" in labels]


def _choose_phi(
    found: FileContents, chosen: list[int], phi: ArrayLike | None
) -> tuple[list[int], ArrayLike | None, list[str]]:
    """Return which of the chosen maps to keep, their azimuths if known, and what was assumed."""
    known = [azimuth for azimuth in (found.bins[i][1] for i in chosen) if azimuth is not None]
    if known:
        values = [found.bins[i][0] or np.nan for i in chosen]
        kept = range(len(chosen)) if phi is None else match_bins(phi, known, values)
        return [chosen[i] for i in kept], [known[i] for i in kept], []
    q = [found.bins[i][0] for i in chosen]
    if phi is None and len(set(q)) == len(chosen):
        return chosen, np.zeros(len(chosen)), ["phi"]
    return chosen, phi if phi is None else _at_every_q(np.ravel(np.asarray(phi, float)), q), []


def _at_every_q(phi: np.ndarray, q: Sequence[float | None]) -> np.ndarray:
    """Return one azimuth a map: phi, or at every q phi, where each q has as many maps."""
    places = [[i for i, other in enumerate(q) if other == value] for value in dict.fromkeys(q)]
    if any(len(own) != len(phi) for own in places):
        return phi
    azimuths = np.empty(len(q))
    for own in places:
        azimuths[own] = phi
    return azimuths


def _agree(name: str, in_file: float | None, given: float | None) -> float | None:
    """Return the given value or that of the file, refusing two that differ."""
    if given is None or in_file is None:
        return in_file if given is None else given
    if not math.isclose(given, in_file, rel_tol=SCALAR_TOLERANCE):
        raise InputError(
            f"expected --{name} to agree with the file, {in_file:.9g} {UNITS[name]}, "
            f"found {given:.9g} {UNITS[name]}; leave out --{name} or correct the file"
        )
    return given


def _provenance(found: FileContents, assumed: list[str]) -> dict[str, Any]:
    """Return what the file stores about its origin with the file itself added."""
    stored = found.provenance
    with found.path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    origin = stored.get("origin", stored.get("source"))
    return {
        **stored,
        **({} if origin is None else {"origin": origin}),
        "source": str(found.path),
        "format": found.format,
        "sha256": digest,
        "assumed": [*stored.get("assumed", []), *assumed],
    }
