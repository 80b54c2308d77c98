"""Reading two-time correlation maps of any format."""

import dataclasses
import hashlib
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes import files
from homodyne_bayes.data.arguments import meant, not_negative
from homodyne_bayes.data.axes import record_selection
from homodyne_bayes.data.choosing import Selection, Wavevectors, choose, narrow, unknown
from homodyne_bayes.data.formats.limits import FileContents
from homodyne_bayes.data.formats.record import Format
from homodyne_bayes.data.formats.table import recognise
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.data.words import UNITS
from homodyne_bayes.errors import suggest

TYPICAL = {"q": (1e-4, 1.0), "dt": (1e-6, 1e3), "gap": (1e5, 1e8)}
TYPICAL_MEAN_C2 = (0.5, 2.5)


def contents(path: str | Path) -> FileContents:
    """Return what a file holds without loading its maps.

    Raises
    ------
    InputError
        If the file cannot be read or is of none of the formats.
    """
    _, held = _described(Path(path))
    q, phi = held.bins[0]
    missing = unknown({"q": q, "phi": phi, "dt": held.dt, "gap": held.gap})
    notes = [*held.notes, *(f"assumed: {what}" for what in held.provenance.get("assumed", []))]
    notes += [f"the file does not tell {name}: pass --{name}" for name in missing]
    return dataclasses.replace(held, notes=notes)


def read(
    path: str | Path,
    *,
    q: Wavevectors = None,
    dt: float | None = None,
    gap: float | None = None,
    phi: ArrayLike | None = None,
    age: float | None = None,
    num_pixels: ArrayLike | None = None,
    photons: ArrayLike | None = None,
    **selection: Unpack[Selection],
) -> TwoTimeData:
    """Return the maps of one or more wavevectors of a file of any format of the table.

    What the file tells is used; what is passed beside it must agree. Only the maps asked for are
    loaded where the format allows it, and they are checked once.

    Parameters
    ----------
    path : str or Path
        The file.
    q : float, array_like or "all", optional
        Wavevectors in 1/Å, each within 0.5 % of one in the file; "all" keeps every one. Of a file
        that does not tell: that of all maps, or one per map.
    dt, gap : float, optional
        Time between frames in s, and gap in Å.
    phi : array_like, (P,), optional
        Azimuths in degree of the maps of a file that does not tell them: of each, or those that
        repeat at every q.
    age : float, optional
        Time in s of the file's first frame on the clock of the rate laws; that of the file, or 0.
    num_pixels, photons : float or array_like, (P,), optional
        Pixels of the bin of every map, those that see different speckle, and the mean count of a
        pixel in a frame; those of the file, where it tells them.
    **selection
        What to keep, as `TwoTimeData.select` takes it: ``angles``, azimuths to keep in degree at
        every q; ``first_frame`` and ``stop_frame``; ``exclude_frames`` to leave out of all angles;
        ``first_lag``, below which pairs are left out. Frames are counted from 0 in the file; what
        the maps hold elsewhere is not looked at.

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

    Examples
    --------
    >>> data = read("flow.h5", q=0.0054, gap=2e6, angles=[0, 60])  # doctest: +SKIP
    """
    detector = {"num_pixels": num_pixels, "photons": photons}
    for name in selection.keys() - Selection.__annotations__:
        known = ("q", "dt", "gap", "phi", "age", *detector, *Selection.__annotations__)
        raise TypeError(
            f"read() got an unexpected keyword argument {name!r}; {suggest(name, known)}"
        )
    path = Path(path)
    file_format, held = _described(path)
    with files.naming(path):
        choice = choose(held, q=q, dt=dt, gap=gap, phi=phi, detector=detector)
        age = held.age if age is None else not_negative(age, "age")
        choice, frames, usable, apart = narrow(choice, held.num_frames, **selection)
    with files.reading(path):
        c2 = file_format.load(path, choice.maps)
        more = file_format.load_more(path, choice.maps, c2) if file_format.load_more else {}
        origin = _provenance(held, choice.assumed)
    c2, more = c2[:, frames, frames], {name: x[..., frames, frames] for name, x in more.items()}
    if apart is not None:
        more["measured"] = more.get("measured", True) & np.broadcast_to(apart, c2.shape)
    left_out = selection.get("exclude_frames", ()), selection.get("first_lag", 1)
    with files.naming(path):
        data = TwoTimeData(
            c2,
            choice.phi,
            choice.dt,
            choice.q,
            choice.gap,
            np.tile(usable[frames], (len(choice.maps), 1)),
            record_selection(origin, frames.start, *left_out),
            age=age + frames.start * choice.dt,
            **choice.detector,
            **more,
        )
    warn_untypical(data)
    return data


def _described(path: Path) -> tuple[Format, FileContents]:
    """Return the format of a file and what it holds, without loading its maps."""
    with files.reading(path):
        file_format = recognise(path)
        held = file_format.describe(path)
    return file_format, dataclasses.replace(held, format=file_format.name)


def warn_untypical(data: TwoTimeData) -> None:
    """Warn (UserWarning) about values that such experiments do not have, as wrong units give."""
    values = [("q", q) for q in np.unique(data.q)] + list(data.scalars.items())
    for name, value in values:
        low, high = TYPICAL[name]
        if not _typical(name, value):
            warnings.warn(
                f"{name} = {value:g} {UNITS[name]} is outside the usual {low:g} to "
                f"{high:g} {UNITS[name]}"
                + (meant(name, value, partial(_typical, name)) or "; check its unit"),
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


def _typical(name: str, value: float) -> bool:
    low, high = TYPICAL[name]
    return low <= value <= high


def _provenance(held: FileContents, assumed: list[str]) -> dict[str, Any]:
    """Return what the file stores about its origin with the file itself added."""
    stored = held.provenance
    with held.path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    origin = stored.get("origin", stored.get("source"))
    return {
        **stored,
        **({} if origin is None else {"origin": origin}),
        "source": str(held.path),
        "format": held.format,
        "sha256": digest,
        "assumed": [*stored.get("assumed", []), *assumed],
    }
