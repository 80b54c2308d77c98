"""What is read of a file: what it tells, joined with what a user passes beside it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.arguments import meant, numbers, positive
from homodyne_bayes.data.axes import (
    check_azimuths,
    frame_range,
    match_bins,
    pairs_apart,
    usable_frames,
)
from homodyne_bayes.data.fields import as_counts, as_wavevectors
from homodyne_bayes.data.formats.limits import FileContents
from homodyne_bayes.data.words import UNITS, listed
from homodyne_bayes.errors import InputError

Q_TOLERANCE = 5e-3
SCALAR_TOLERANCE = 1e-6

Wavevectors = ArrayLike | Literal["all"] | None


class Selection(TypedDict, total=False):
    """What is selected of the maps: see `TwoTimeData.select`."""

    angles: ArrayLike | None
    first_frame: int | None
    stop_frame: int | None
    exclude_frames: Sequence[int]
    first_lag: int


class Choice(NamedTuple):
    """Which maps of a file are read, and what is known of them.

    Attributes
    ----------
    maps : list of int, P
        Which maps of the file.
    q, phi : ndarray, (P,)
        Wavevector in 1/Å and azimuth in degree of each.
    dt : float
        In s.
    gap : float or None
        In Å.
    assumed : list of str
        What neither the file nor the user tells.
    detector : dict of str to ndarray, (P,)
        Pixels and photons, where they are told.
    """

    maps: list[int]
    q: np.ndarray
    phi: np.ndarray
    dt: float
    gap: float | None
    assumed: list[str]
    detector: dict[str, np.ndarray]


def choose(
    contents: FileContents,
    *,
    q: Wavevectors = None,
    dt: float | None = None,
    gap: float | None = None,
    phi: ArrayLike | None = None,
    detector: Mapping[str, ArrayLike | None] = MappingProxyType({}),
) -> Choice:
    """Return which maps have the wavevectors asked for, and all that must be known of them.

    Pixels and photons of ``detector`` that are not None take the place of those of the file.

    Raises
    ------
    InputError
        If the file disagrees with what was passed, or something remains unknown.
    """
    dt, gap = _agree("dt", contents.dt, dt), _agree("gap", contents.gap, gap)
    maps = maps_of_q(contents, q)
    q = _wavevectors([contents.bins[i][0] for i in maps], q)
    phi, assumed = _azimuths([contents.bins[i][1] for i in maps], phi, q)
    if q is None or dt is None or phi is None:
        missing = unknown({"q": q, "dt": dt, "phi": phi})
        raise InputError(
            f"expected q, dt and phi, but the file does not tell {' or '.join(missing)}; pass "
            f"{' and '.join(f'--{name}' for name in missing)}"
        )
    told = {name: np.array(values, float)[maps] for name, values in contents.detector.items()}
    told |= {
        name: as_counts(value, len(maps), name)
        for name, value in detector.items()
        if value is not None
    }
    return Choice(maps, q, phi, dt, gap, assumed, told)


def narrow(
    choice: Choice,
    num_frames: int,
    *,
    angles: ArrayLike | None = None,
    first_frame: int | None = None,
    stop_frame: int | None = None,
    exclude_frames: Sequence[int] = (),
    first_lag: int = 1,
) -> tuple[Choice, slice, np.ndarray, np.ndarray | None]:
    """Return the maps of some azimuths, a range of frames, which frames are usable, and pairs kept.

    Frames are (G,); pairs, of the range, are None where all lags are kept.

    Raises
    ------
    InputError
        As `TwoTimeData.select`.
    """
    if angles is not None:
        kept = match_bins(angles, choice.phi, choice.q)
        maps = [choice.maps[i] for i in kept]
        told = {name: values[kept] for name, values in choice.detector.items()}
        choice = choice._replace(maps=maps, q=choice.q[kept], phi=choice.phi[kept], detector=told)
    frames = frame_range(num_frames, first_frame, stop_frame)
    apart = pairs_apart(frames.stop - frames.start, first_lag)
    return choice, frames, usable_frames(num_frames, exclude_frames), apart


def unknown(values: dict[str, object]) -> list[str]:
    """Return the names of the values that are None."""
    return [name for name, value in values.items() if value is None]


def maps_of_q(contents: FileContents, q: Wavevectors) -> list[int]:
    """Return which maps have the wavevectors asked for, in their order.

    All of a file that does not tell q.

    Raises
    ------
    InputError
        If the file has no such q, or several and none was asked for.
    """
    in_file = {f"{value:.6g}": value for value, _ in contents.bins if value is not None}
    if not in_file or _is_all(q):
        return list(range(len(contents.bins)))
    choices = f"one of {', '.join(in_file)}, or several of them, or all"
    if q is None and len(in_file) > 1:
        raise InputError(
            f"expected a choice of q, found {len(in_file)} values; pass --q with {choices}"
        )
    labels = set(in_file) if q is None else set()
    for value in () if q is None else np.ravel(numbers(q, "q")):
        label = min(in_file, key=lambda name: abs(in_file[name] - value))
        if not abs(in_file[label] - value) <= Q_TOLERANCE * in_file[label]:
            raise InputError(
                f"expected a q within 0.5 % of one in the file, found {value:.6g}; "
                f"pass --q with {choices}" + meant("q", value, partial(_one_of, in_file.values()))
            )
        labels.add(label)
    names = ["" if value is None else f"{value:.6g}" for value, _ in contents.bins]
    return [i for i, name in enumerate(names) if name in labels]


def _one_of(known: Iterable[float], value: float) -> bool:
    return any(math.isclose(value, one, rel_tol=Q_TOLERANCE) for one in known)


def _is_all(q: Wavevectors) -> bool:
    return isinstance(q, str) and q == "all"


def _wavevectors(in_file: Sequence[float | None], q: Wavevectors) -> np.ndarray | None:
    """Return the wavevector of every map, as the file tells it or as it was passed, if at all."""
    if None not in in_file:
        q = np.asarray(in_file, float)
    elif _is_all(q):
        raise InputError(
            f"expected a file that tells q, found {len(in_file)} maps without; pass --q with the "
            f"wavevector in {UNITS['q']}"
        )
    return None if q is None else np.broadcast_to(as_wavevectors(q, len(in_file)), len(in_file))


def _azimuths(
    in_file: Sequence[float | None], phi: ArrayLike | None, q: np.ndarray | None
) -> tuple[np.ndarray | None, list[str]]:
    """Return the azimuth of every map in degree, if it is told, passed or free; what is assumed."""
    if None not in in_file:
        if phi is not None:
            raise InputError(
                "expected phi only where the file does not tell the azimuths of its maps, found "
                f"that it tells {listed(in_file, 'phi')}; leave out --phi, or choose by --angles"
            )
        return np.asarray(in_file, float), []
    wavevectors = [0.0] * len(in_file) if q is None else q.tolist()
    if phi is not None:
        azimuths = _at_every_q(np.ravel(numbers(phi, "phi")), wavevectors)
        return check_azimuths(azimuths, len(in_file), wavevectors), []
    if set(in_file) == {None} and len(set(wavevectors)) == len(in_file):
        return np.zeros(len(in_file)), ["phi"]
    return None, []


def _at_every_q(phi: np.ndarray, q: Sequence[float]) -> np.ndarray:
    """Return the azimuth of every map: phi itself, or phi repeated at every q that has as many."""
    groups = [[i for i, other in enumerate(q) if other == value] for value in dict.fromkeys(q)]
    if any(len(group) != len(phi) for group in groups):
        return phi
    azimuths = np.empty(len(q))
    for group in groups:
        azimuths[group] = phi
    return azimuths


def _agree(name: str, in_file: float | None, given: float | None) -> float | None:
    """Return the given value or that of the file, refusing two that differ."""
    if given is None:
        return in_file
    given = positive(given, name)
    if in_file is not None and not math.isclose(given, in_file, rel_tol=SCALAR_TOLERANCE):
        raise InputError(
            f"expected --{name} to agree with the file, {in_file:.9g} {UNITS[name]}, "
            f"found {given:.9g} {UNITS[name]}; leave out --{name} or correct the file"
            + meant(name, given, partial(math.isclose, in_file, rel_tol=SCALAR_TOLERANCE))
        )
    return given
