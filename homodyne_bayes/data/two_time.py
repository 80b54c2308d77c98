"""Measured two-time correlation maps: checked once when they are made, trusted from then on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from homodyne_bayes.data.axes import (
    MIN_FRAMES,
    check_azimuths,
    check_time_axes,
    match_bins,
    parse_provenance,
    record_selection,
    usable_frames,
)
from homodyne_bayes.data.checks import pairs_of, settle
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import real_numbers

MIN_USABLE_FRAMES = 3
OPTIONAL = ("group_c2", "measured")  # fields that are arrays and may be None
UNITS = {"q": "1/Å", "dt": "s", "gap": "Å"}


@dataclass(frozen=True, eq=False)
class TwoTimeData:
    """Two-time correlation maps of one sample; the constructor checks everything.

    Frame times are ``0, dt, 2 dt, ...``; index 0 is the first selected frame.

    Attributes
    ----------
    c2 : ndarray, (P, G, G)
        Measured correlation with baseline near 1, float32 or float64 as given. Maps with one
        strict triangle all zero are completed; rows and columns of unusable frames become NaN.
        The diagonal is never fitted.
    phi : ndarray, (P,)
        Azimuths in degree, wrapped to (-180, 180].
    dt : float
        Time between frames in s.
    q : float or ndarray, (P,)
        Wavevector magnitude in 1/Å, of every map where they differ.
    gap : float or None
        Stator-rotor gap in Å; only flow models need it.
    usable : ndarray of bool, (P, G)
        False for a dead or excluded frame. Dead frames (nothing but zero or NaN off the diagonal
        of the map or that of a pixel group) are found whatever is given; the default is all the
        others.
    provenance : mapping
        Flat and JSON-able. "assumed" lists what was assumed (the word "phi" where a file with a
        single map gave no azimuth); readers add "source", "format" and "sha256" of the file.
    group_c2 : ndarray, (P, H, G, G), or None
        c2 of each of H >= 2 contiguous groups of equally many pixels of every angle's bin, as
        that group alone measures it; stored as c2 is.
    measured : ndarray of bool, (P, G, G), or None
        Which pairs have a value, symmetric; None where all pairs of usable frames have one, which
        is found out. c2 is NaN elsewhere.

    Raises
    ------
    InputError
        For wrong shapes, azimuths repeated at one q, impossible values, maps that are neither
        symmetric nor half, non-finite entries outside unusable frames, too few usable frames.
    """

    c2: np.ndarray
    phi: np.ndarray
    dt: float
    q: float | np.ndarray
    gap: float | None = None
    usable: np.ndarray = field(default_factory=lambda: np.array(True))
    provenance: Mapping[str, Any] = field(default_factory=dict)
    group_c2: np.ndarray | None = None
    measured: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check every field and store its canonical form."""
        c2 = _as_maps(self.c2)
        groups = None if self.group_c2 is None else _as_groups(self.group_c2, c2.shape)
        q = _as_wavevectors(self.q, len(c2))
        phi = check_azimuths(self.phi, len(c2), q)
        scalars = {name: _positive(name, value) for name, value in self.scalars.items()}
        usable = _as_flags(self.usable, c2.shape[:2])
        measured = None if self.measured is None else _as_pairs(self.measured, c2.shape)
        for i, azimuth in enumerate(phi):
            where = f"phi = {azimuth:.6g}"
            where += f", q = {np.asarray(q)[i]:.6g}" if np.ndim(q) else ""
            maps = {where: c2[i]}
            for group, matrix in enumerate(() if groups is None else groups[i]):
                maps[f"{where} in pixel group {group}"] = matrix
            usable[i] = settle(maps, usable[i], None if measured is None else measured[i])
        _check_enough(usable, phi)
        if measured is not None:
            every = pairs_of(usable)
            measured = None if measured[every].all() else measured & every
        provenance = {"assumed": [], **self.provenance}
        canonical = {
            "c2": c2,
            "phi": phi,
            "q": q,
            **scalars,
            "usable": usable,
            "provenance": provenance,
            "group_c2": groups,
            "measured": measured,
        }
        for name, value in canonical.items():
            object.__setattr__(self, name, value)

    @property
    def scalars(self) -> dict[str, float]:
        """The scalars dt and, where known, gap by name."""
        return {"dt": self.dt} | ({} if self.gap is None else {"gap": self.gap})

    @property
    def wavevectors(self) -> np.ndarray:
        """Wavevector in 1/Å of every map, (P,)."""
        return np.broadcast_to(self.q, self.num_angles)

    @property
    def num_angles(self) -> int:
        """Number P of maps: of angles, of all wavevectors."""
        return self.c2.shape[0]

    @property
    def num_frames(self) -> int:
        """Number G of frames, unusable ones included."""
        return self.c2.shape[1]

    @property
    def time(self) -> np.ndarray:
        """Frame times in s, (G,)."""
        return self.dt * np.arange(self.num_frames)

    @property
    def pairs(self) -> np.ndarray:
        """Which two different frames have a value to fit, (P, G, G), symmetric."""
        return pairs_of(self.usable) if self.measured is None else self.measured

    @property
    def num_pairs(self) -> int:
        """Number of pairs t1 < t2 that have a value to fit, summed over angles."""
        return int(self.pairs.sum()) // 2

    @property
    def num_missing(self) -> int:
        """Number of pairs t1 < t2 of usable frames that were not measured, summed over angles."""
        return int((pairs_of(self.usable) & ~self.pairs).sum()) // 2

    @property
    def excluded(self) -> np.ndarray:
        """Number of unusable frames of each angle, (P,)."""
        return (~self.usable).sum(axis=1)

    def select(
        self,
        phi: ArrayLike | None = None,
        first_frame: int | None = None,
        stop_frame: int | None = None,
        exclude_frames: Sequence[int] = (),
    ) -> Self:
        """Return some angles and a range of frames; time restarts at 0 at the first frame.

        Parameters
        ----------
        phi : array_like, optional
            Azimuths in degree to keep, each within 0.5° (mod 360) of exactly one of every q.
        first_frame, stop_frame : int, optional
            0-based; the first is kept, the last is not.
        exclude_frames : sequence of int
            0-based, counted in this object before the selection; made unusable in all angles.

        Returns
        -------
        TwoTimeData

        Raises
        ------
        InputError
            If an azimuth or frame does not exist or too few frames remain.
        """
        first = 0 if first_frame is None else first_frame
        stop = self.num_frames if stop_frame is None else stop_frame
        if not (first >= 0 and stop <= self.num_frames and stop - first >= MIN_FRAMES):
            raise InputError(
                f"the frames to keep must lie in 0 to {self.num_frames} and be at "
                f"least {MIN_FRAMES}, but {first} to {stop} was asked for; change "
                "--first-frame or --stop-frame"
            )
        usable = self.usable & usable_frames(self.num_frames, exclude_frames)
        frames = slice(first, stop)
        groups = None if self.group_c2 is None else self.group_c2[:, :, frames, frames]
        measured = None if self.measured is None else self.measured[:, frames, frames]
        cut = replace(
            self,
            c2=self.c2[:, frames, frames],
            usable=usable[:, frames],
            group_c2=groups,
            measured=measured,
            provenance=record_selection(self.provenance, first, exclude_frames),
        )
        return cut if phi is None else cut.take(match_bins(phi, self.phi, self.q))

    def take(self, maps: ArrayLike) -> Self:
        """Return the maps of these indices."""
        at = np.asarray(maps)
        return replace(
            self,
            c2=self.c2[at],
            phi=self.phi[at],
            q=self.wavevectors[at],
            usable=self.usable[at],
            group_c2=None if self.group_c2 is None else self.group_c2[at],
            measured=None if self.measured is None else self.measured[at],
        )

    def sha256(self) -> str:
        """Return the SHA-256 hex digest of all fields but the provenance."""
        q = np.asarray(self.q).tolist()
        header = json.dumps([self.dt, q, self.gap, self.c2.dtype.str, self.c2.shape])
        digest = hashlib.sha256(header.encode())
        for array in (self.c2, self.phi, self.usable):
            digest.update(np.ascontiguousarray(array))
        if self.group_c2 is not None:
            digest.update(json.dumps([self.group_c2.dtype.str, self.group_c2.shape]).encode())
            digest.update(np.ascontiguousarray(self.group_c2))
        if self.measured is not None:
            digest.update(b"measured")
            digest.update(np.ascontiguousarray(self.measured))
        return digest.hexdigest()

    def to_dataset(self) -> xr.Dataset:
        """Return a Dataset: c2 and measured (phi, t1, t2), usable (phi, frame), group_c2.

        There is a group_c2 (phi, group, t1, t2), and a measured, only where the data have one. A q
        of all maps is an attribute, q of every map a coordinate (phi).
        """
        seconds = {"units": "s"}
        units = {"q_units": UNITS["q"], **{f"{name}_units": UNITS[name] for name in self.scalars}}
        q = {"q": ("phi", self.q)} if np.ndim(self.q) else {}
        scalars = self.scalars if q else {"q": self.q, **self.scalars}
        variables: dict[str, Any] = {
            "c2": (("phi", "t1", "t2"), self.c2, {"units": "1"}),
            "usable": (("phi", "frame"), self.usable),
        }
        if self.group_c2 is not None:
            variables["group_c2"] = (("phi", "group", "t1", "t2"), self.group_c2, {"units": "1"})
        if self.measured is not None:
            variables["measured"] = (("phi", "t1", "t2"), self.measured)
        return xr.Dataset(
            variables,
            {
                "phi": ("phi", self.phi, {"units": "degree"}),
                **q,
                "t1": ("t1", self.time, seconds),
                "t2": ("t2", self.time, seconds),
            },
            {**scalars, **units, "provenance": json.dumps(dict(self.provenance))},
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Self:
        """Return the data of a Dataset as :meth:`to_dataset` makes it.

        Raises
        ------
        InputError
            If something is missing, if t1 or t2 is off the grid of dt, and as the constructor.
        """
        usable = dataset["usable"].values if "usable" in dataset else np.array(True)
        more: dict[str, Any] = {name: dataset[name].values for name in OPTIONAL if name in dataset}
        return cls(c2=dataset["c2"].values, usable=usable, **more, **dataset_header(dataset))


def dataset_header(dataset: xr.Dataset) -> dict[str, Any]:
    """Return phi, dt, q, gap and provenance of a Dataset, checked, without loading c2."""
    missing = [name for name in ("c2", "phi", "t1", "t2") if name not in dataset.variables]
    missing += [name for name in ("q", "dt") if name not in {*dataset.attrs, *dataset.coords}]
    if missing:
        raise InputError(
            f"a dataset of two-time data needs c2, phi, t1, t2, q and dt, "
            f"but {', '.join(missing)} is missing; write it by to_dataset"
        )
    attrs = dataset.attrs
    q = np.asarray(dataset["q"] if "q" in dataset.coords else attrs["q"])
    dt, assumed = check_time_axes(dataset["t1"].values, dataset["t2"].values, float(attrs["dt"]))
    provenance = parse_provenance(attrs.get("provenance", "{}"))
    return {
        "phi": dataset["phi"].values,
        "dt": dt,
        "q": real_numbers(q, "q"),
        "gap": float(attrs["gap"]) if "gap" in attrs else None,
        "provenance": {**provenance, "assumed": [*provenance.get("assumed", []), *assumed]},
    }


def check_groups(shape: tuple[int, ...], maps: tuple[int, ...]) -> int:
    """Return the number H of pixel groups.

    Parameters
    ----------
    shape, maps : tuple of int
        Shapes of group_c2 and of c2, (P, G, G).

    Raises
    ------
    InputError
        Unless ``shape`` is (P, H, G, G) with H >= 2.
    """
    if len(shape) != 4 or (shape[0], *shape[2:]) != maps or shape[1] < 2:
        P, *frames = maps
        expected = ", ".join(str(length) for length in (P, "groups", *frames))
        raise InputError(
            f"group_c2 must have shape ({expected}) with at least 2 pixel groups, to "
            f"agree with c2, but has shape {shape}; rearrange the axes or leave it "
            "out"
        )
    return shape[1]


def _as_groups(group_c2: ArrayLike, maps: tuple[int, ...]) -> np.ndarray:
    """Return a copy of the maps of pixel groups as float32 (if they are) or float64."""
    group_c2 = np.asarray(group_c2)
    check_groups(group_c2.shape, maps)
    return _as_floats(group_c2, "group_c2")


def _as_maps(c2: ArrayLike) -> np.ndarray:
    """Return a copy of the maps as float32 (if they are) or float64."""
    c2 = np.asarray(c2)
    if c2.ndim != 3 or c2.shape[1] != c2.shape[2] or c2.shape[1] < MIN_FRAMES or len(c2) == 0:
        raise InputError(
            f"c2 must have shape (angles, frames, frames) with at least {MIN_FRAMES} "
            f"frames, but has shape {c2.shape}; rearrange the axes"
        )
    return _as_floats(c2, "c2")


def _as_floats(values: np.ndarray, name: str) -> np.ndarray:
    """Return a copy of real numbers as float32 (if they are) or float64."""
    if values.dtype.kind not in "fiu":
        raise InputError(f"{name} must be real numbers, but its type is {values.dtype}; convert it")
    return values.astype(np.float32 if values.dtype == np.float32 else np.float64)


def _as_wavevectors(q: ArrayLike, count: int) -> float | np.ndarray:
    """Return one q of all maps as a float, or that of every map, (count,)."""
    q = np.asarray(q, float)
    if q.shape not in {(), (count,)}:
        raise InputError(
            f"q must be one value or {count}, one per map, but has shape {q.shape}; "
            "pass one per map"
        )
    if not ((q > 0) & np.isfinite(q)).all():
        raise InputError(
            f"q must be positive and finite (in {UNITS['q']}), but is "
            f"{np.array2string(q, threshold=8)}; pass the right --q"
        )
    return q if len(np.unique(q)) > 1 else float(q.flat[0])


def _as_flags(usable: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return a flag per angle and frame; None or a single True stands for all."""
    flags = np.asarray(True if usable is None else usable, bool)
    if flags.shape not in {(), shape}:
        raise InputError(
            f"usable must have shape {shape}, one flag per angle and frame, but has "
            f"shape {flags.shape}; pass one row per angle"
        )
    return np.broadcast_to(flags, shape).copy()


def _as_pairs(measured: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return a flag per pair of frames of every angle, which must be symmetric."""
    flags = np.asarray(measured, bool)
    if flags.shape != shape or not np.array_equal(flags, flags.swapaxes(1, 2)):
        raise InputError(
            f"measured must have the shape of c2, {shape}, and be symmetric, but has "
            f"shape {flags.shape} or differs between (i, j) and (j, i); mark both"
        )
    return flags


def _positive(name: str, value: float) -> float:
    """Return the scalar as float, refusing one that is not positive and finite."""
    if not (np.isfinite(value) and value > 0):
        raise InputError(
            f"{name} must be positive and finite (in {UNITS[name]}), but is "
            f"{value:g}; pass the right --{name}"
        )
    return float(value)


def _check_enough(usable: np.ndarray, phi: np.ndarray) -> None:
    """Refuse an angle with too few usable frames."""
    counts = usable.sum(axis=1)
    if counts.min() < MIN_USABLE_FRAMES:
        raise InputError(
            f"each angle needs at least {MIN_USABLE_FRAMES} usable frames, but phi = "
            f"{phi[counts.argmin()]:.6g} has {counts.min()} of {usable.shape[1]}; "
            "leave that angle out or keep more frames"
        )
