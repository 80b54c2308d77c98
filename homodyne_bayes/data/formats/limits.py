"""What files hold and may declare: their contents, the sizes of maps, real numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from homodyne_bayes.config import MAX_FRAMES, MAX_MAPS
from homodyne_bayes.data.axes import MIN_FRAMES
from homodyne_bayes.data.words import as_table, in_brief, listed
from homodyne_bayes.errors import InputError

Bin = tuple[float | None, float | None]


@dataclass(frozen=True, repr=False)
class FileContents:
    """What a file holds, told without loading its maps.

    Attributes
    ----------
    path : Path
        The file.
    bins : list of (q, phi), P
        Wavevector in 1/Å and azimuth in degree of each map; None where the file does not tell.
    num_frames : int
        Frames G of each map.
    dt, gap : float or None
        In s and Å; None where the file does not tell.
    notes : list of str
        Sentences on what was seen, assumed and missing.
    provenance : mapping
        What the file stores about its origin; "assumed" lists what reading it assumes.
    format : str
        Name of its format; `reading.contents` fills it in.
    age : float
        Of the first frame in s, as `TwoTimeData` has it.
    detector : mapping of str to list, P
        ``num_pixels`` and ``photons`` of every map, as `TwoTimeData` has them, where the file
        tells them.
    """

    path: Path
    bins: list[Bin]
    num_frames: int
    dt: float | None = None
    gap: float | None = None
    notes: list[str] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    format: str = ""
    age: float = 0.0
    detector: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, str]:
        """What the file holds, in words by name."""
        return {
            "file": str(self.path),
            "format": self.format,
            "maps": f"{len(self.bins)} × {self.num_frames} frames",
            "q": listed([q for q, _ in self.bins], "q"),
            "phi": listed([phi for _, phi in self.bins], "phi"),
            "dt": listed([self.dt], "dt"),
            "gap": listed([self.gap], "gap"),
            **({"age": listed([self.age], "age")} if self.age else {}),
            **{name: listed(values, name) for name, values in self.detector.items()},
        }

    def __repr__(self) -> str:
        """Return the facts and the number of notes."""
        return in_brief("FileContents", {**self.facts, "notes": str(len(self.notes))})

    def _repr_html_(self) -> str:
        """Return the facts and the notes as a table."""
        facts = [*self.facts.items(), *(("note", note) for note in self.notes)]
        return as_table("FileContents", facts)


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


def real_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Return the values, of any shape, unless they are complex."""
    if np.iscomplexobj(values):
        raise InputError(f"expected {name} to be real, found complex numbers; write it again")
    return values


def per_map(values: np.ndarray | None, count: int, name: str) -> list[float | None]:
    """Return one value per map from nothing, one value or as many as there are maps, (P,)."""
    if values is None:
        return [None] * count
    flat = np.ravel(values).astype(float)
    if flat.size not in {1, count}:
        raise InputError(
            f"expected {count} values of {name}, one per map, found {flat.size}; "
            "write the file again"
        )
    return [float(value) for value in np.broadcast_to(flat, count)]
