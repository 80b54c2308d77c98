"""Measured two-time correlation maps: checked once when they are made, trusted from then on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.arguments import not_negative, numbers, positive
from homodyne_bayes.data.axes import (
    check_azimuths,
    check_time_axes,
    frame_range,
    match_bins,
    pairs_apart,
    parse_provenance,
    record_selection,
    usable_frames,
)
from homodyne_bayes.data.checks import complete, pairs_of
from homodyne_bayes.data.fields import (
    as_counts,
    as_flags,
    as_groups,
    as_maps,
    as_pairs,
    as_wavevectors,
    check_enough,
)
from homodyne_bayes.data.words import UNITS, as_table, in_brief, listed
from homodyne_bayes.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

OPTIONAL = ("group_c2", "measured")  # fields that are arrays of maps and may be None
DETECTOR = ("num_pixels", "photons")  # that hold a number of every map and may be None


@dataclass(frozen=True, eq=False, repr=False)
class TwoTimeData:
    """Two-time correlation maps of one sample; the constructor checks everything.

    Frame times are ``age, age + dt, age + 2 dt, ...``; index 0 is the first selected frame.

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
    age : float
        Time in s of the first frame on the clock from which rate laws count: 0 where the sample
        began to age, or flow, with the first frame. Frames are taken as instants.
    measured : ndarray of bool, (P, G, G), or None
        Which pairs have a value, symmetric; None where all pairs of usable frames have one, which
        is found out. c2 is NaN elsewhere.
    num_pixels, photons : ndarray, (P,), or None
        Pixels of the bin of every map, and the mean count of such a pixel in a frame, as the
        detector tells them: no fit uses them, a result is compared with them.

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
    age: float = 0.0
    num_pixels: np.ndarray | None = None
    photons: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check every field and store its canonical form."""
        c2 = as_maps(self.c2)
        groups = None if self.group_c2 is None else as_groups(self.group_c2, c2.shape)
        q = as_wavevectors(self.q, len(c2))
        phi = check_azimuths(self.phi, len(c2), q)
        scalars = {name: positive(value, name) for name, value in self.scalars.items()}
        usable = as_flags(self.usable, c2.shape[:2])
        measured = None if self.measured is None else as_pairs(self.measured, c2.shape)
        for i, azimuth in enumerate(phi):
            where = f"phi = {azimuth:.6g}"
            where += f", q = {np.asarray(q)[i]:.6g}" if np.ndim(q) else ""
            maps = {where: c2[i]}
            for group, matrix in enumerate(() if groups is None else groups[i]):
                maps[f"{where} in pixel group {group}"] = matrix
            usable[i] = complete(maps, usable[i], None if measured is None else measured[i])
        check_enough(usable, phi)
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
            "age": not_negative(self.age, "age"),
            **{name: as_counts(v, len(c2), name) for name, v in self.detector.items()},
        }
        for name, value in canonical.items():
            object.__setattr__(self, name, value)

    @property
    def scalars(self) -> dict[str, float]:
        """The scalars dt and, where known, gap by name."""
        return {"dt": self.dt} | ({} if self.gap is None else {"gap": self.gap})

    @property
    def detector(self) -> dict[str, np.ndarray]:
        """The numbers of pixels and photons, (P,), by name, where they are known."""
        told = {name: getattr(self, name) for name in DETECTOR}
        return {name: value for name, value in told.items() if value is not None}

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
        return self.age + self.dt * np.arange(self.num_frames)

    @cached_property
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
        if self.measured is None:
            return 0
        return int((pairs_of(self.usable) & ~self.measured).sum()) // 2

    @property
    def excluded(self) -> np.ndarray:
        """Number of unusable frames of each angle, (P,)."""
        return (~self.usable).sum(axis=1)

    @property
    def facts(self) -> dict[str, str]:
        """What the data are, in words by name."""
        return {
            "maps": f"{self.num_angles} × {self.num_frames} frames",
            "q": listed(self.wavevectors.tolist(), "q"),
            "phi": listed(self.phi.tolist(), "phi"),
            "dt": listed([self.dt], "dt"),
            **({"age": listed([self.age], "age")} if self.age else {}),
            "gap": listed([self.gap], "gap"),
            **{name: listed(value.tolist(), name) for name, value in self.detector.items()},
            "pairs": f"{self.num_pairs}, {self.num_missing} missing",
            "unusable frames": f"{self.excluded.sum()}",
        }

    def __repr__(self) -> str:
        """Return the facts, not the numbers."""
        return in_brief("TwoTimeData", self.facts)

    def _repr_html_(self) -> str:
        """Return the facts as a table."""
        return as_table("TwoTimeData", self.facts.items())

    def select(
        self,
        angles: ArrayLike | None = None,
        first_frame: int | None = None,
        stop_frame: int | None = None,
        exclude_frames: Sequence[int] = (),
        first_lag: int = 1,
    ) -> Self:
        """Return some angles and a range of frames, whose first one is so much older.

        Parameters
        ----------
        angles : array_like, optional
            Azimuths in degree to keep, (n,), each within 0.5° (mod 360) of exactly one of every q;
            a range among them is text, "85:95".
        first_frame, stop_frame : int, optional
            Counted from 0; the first is kept, the last is not.
        exclude_frames : sequence of int
            Counted from 0 in this object before the selection; made unusable in all angles.
        first_lag : int
            Pairs of fewer frames apart are left out, as pairs that were not measured: a detector
            whose counts make others in the next frames (afterpulsing) correlates them.

        Returns
        -------
        TwoTimeData

        Raises
        ------
        InputError
            If an azimuth, frame or lag does not exist or too few frames remain.
        """
        frames = frame_range(self.num_frames, first_frame, stop_frame)
        usable = self.usable & usable_frames(self.num_frames, exclude_frames)
        maps = slice(None) if angles is None else match_bins(angles, self.phi, self.q)
        provenance = record_selection(self.provenance, frames.start, exclude_frames, first_lag)
        part = self._part(maps, frames, usable, provenance)
        apart = pairs_apart(part.num_frames, first_lag)
        return part if apart is None else replace(part, measured=part.pairs & apart)

    def take(self, maps: ArrayLike) -> Self:
        """Return the maps of these indices, (n,) int, or of these flags, (P,) bool."""
        return self._part(np.asarray(maps), slice(None), self.usable, self.provenance)

    def _part(
        self,
        maps: slice | np.ndarray,
        frames: slice,
        usable: np.ndarray,
        provenance: Mapping[str, Any],
    ) -> Self:
        """Return some maps and frames, made once."""
        groups, measured = self.group_c2, self.measured
        told: dict[str, Any] = {name: value[maps] for name, value in self.detector.items()}
        return replace(
            self,
            c2=self.c2[:, frames, frames][maps],
            phi=self.phi[maps],
            q=self.wavevectors[maps],
            usable=usable[:, frames][maps],
            provenance=provenance,
            group_c2=None if groups is None else groups[:, :, frames, frames][maps],
            measured=None if measured is None else measured[:, frames, frames][maps],
            age=self.age + (frames.start or 0) * self.dt,
            **told,
        )

    def sha256(self) -> str:
        """Return the SHA-256 hex digest of all fields but the provenance."""
        q = np.asarray(self.q).tolist()
        age = [self.age] if self.age else []
        header = json.dumps([self.dt, q, self.gap, *age, self.c2.dtype.str, self.c2.shape])
        digest = hashlib.sha256(header.encode())
        for array in (self.c2, self.phi, self.usable):
            digest.update(np.ascontiguousarray(array))
        if self.group_c2 is not None:
            digest.update(json.dumps([self.group_c2.dtype.str, self.group_c2.shape]).encode())
            digest.update(np.ascontiguousarray(self.group_c2))
        if self.measured is not None:
            digest.update(b"measured")
            digest.update(np.ascontiguousarray(self.measured))
        for name, value in self.detector.items():
            digest.update(name.encode() + value.tobytes())
        return digest.hexdigest()

    def to_dataset(self) -> "xr.Dataset":
        """Return a Dataset: c2 and measured (phi, t1, t2), usable (phi, frame), group_c2.

        There is a group_c2 (phi, group, t1, t2), a measured, num_pixels and photons (phi) only
        where the data have them. A q of all maps is an attribute, q of every map a coordinate
        (phi).
        """
        import xarray as xr  # noqa: PLC0415 - slow to import, and reading most files needs none

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
        variables |= {name: ("phi", value) for name, value in self.detector.items()}
        return xr.Dataset(
            variables,
            {
                "phi": ("phi", self.phi, {"units": "degree"}),
                **q,
                "t1": ("t1", self.time, seconds),
                "t2": ("t2", self.time, seconds),
            },
            {
                **scalars,
                "age": self.age,
                "age_units": "s",
                **units,
                "provenance": json.dumps(dict(self.provenance)),
            },
        )

    @classmethod
    def from_dataset(cls, dataset: "xr.Dataset") -> Self:
        """Return the data of a Dataset as :meth:`to_dataset` makes it.

        Raises
        ------
        InputError
            If something is missing, if t1 or t2 is off the grid of dt, and as the constructor.
        """
        usable = dataset["usable"].values if "usable" in dataset else np.array(True)
        names = [name for name in (*OPTIONAL, *DETECTOR) if name in dataset]
        more: dict[str, Any] = {name: dataset[name].values for name in names}
        return cls(c2=dataset["c2"].values, usable=usable, **more, **dataset_header(dataset))


def dataset_header(dataset: "xr.Dataset") -> dict[str, Any]:
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
    step = positive(attrs["dt"], "dt")
    age = not_negative(attrs.get("age", 0.0), "age")
    dt, assumed = check_time_axes(dataset["t1"].values - age, dataset["t2"].values - age, step)
    provenance = parse_provenance(attrs.get("provenance", "{}"))
    return {
        "phi": dataset["phi"].values,
        "dt": dt,
        "q": numbers(q, "q"),
        "gap": positive(attrs["gap"], "gap") if "gap" in attrs else None,
        "age": age,
        "provenance": {**provenance, "assumed": [*provenance.get("assumed", []), *assumed]},
    }
