"""Time axes, azimuths and selections of frames: what is checked before there are any maps."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.data.arguments import frame_number, frame_numbers, numbers
from homodyne_bayes.errors import InputError

MIN_FRAMES = 4
TIME_TOLERANCE = 1e-3
PHI_TOLERANCE = 0.5
DUPLICATE_PHI = 1e-6
FULL_TURN = 360.0


def check_times(t: ArrayLike, dt: float | None = None) -> float:
    """Return the time step in s of frame times that lie on a uniform grid.

    Parameters
    ----------
    t : array_like, (G,)
        Frame times in s.
    dt : float, optional
        The step that the times must have; by default the mean step.

    Raises
    ------
    InputError
        If a time is off the grid by more than a thousandth of the step.
    """
    t = np.asarray(t, float)
    if t.ndim != 1 or len(t) < MIN_FRAMES:
        raise InputError(
            f"frame times must be a list of at least {MIN_FRAMES}, but have shape "
            f"{t.shape}; give one time per frame"
        )
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is off the grid
        step = float((t[-1] - t[0]) / (len(t) - 1)) if dt is None else dt
        worst = np.abs(t - t[0] - step * np.arange(len(t))).max()
    if not (step > 0 and worst <= TIME_TOLERANCE * step):
        raise InputError(
            f"frame times must be rising and uniform, but with a step of {step:.6g} "
            f"s the worst is {worst:.3g} s off the grid; correct the times or dt"
        )
    return step


def check_time_axes(
    t1: ArrayLike, t2: ArrayLike, dt: float | None = None
) -> tuple[float, list[str]]:
    """Return the common time step of both axes in s and what was assumed about their start."""
    t1, t2 = np.asarray(t1, float), np.asarray(t2, float)
    step = check_times(t1, dt)
    if t1.shape != t2.shape or not np.abs(t1 - t2).max() <= TIME_TOLERANCE * step:
        raise InputError(
            "t1 and t2 must be the same frame times, but differ; a map over two "
            "different time axes cannot be used"
        )
    return step, shifted(t1[0], step)


def shifted(start: float, step: float) -> list[str]:
    """Return what is assumed of times that start at ``start`` s: a sentence, none at 0."""
    if abs(start) <= TIME_TOLERANCE * step:
        return []
    return [f"times were shifted by {-start:.6g} s to start at 0"]


def circular_distance(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return the distance between azimuths in degree, 0 to 180, broadcasting."""
    with np.errstate(invalid="ignore"):  # NaN from what is not finite
        return np.abs((np.asarray(a, float) - np.asarray(b, float) + 180.0) % FULL_TURN - 180.0)


def wrapped(phi: np.ndarray) -> np.ndarray:
    """Return azimuths in degree, wrapped to (-180, 180]; those within stay as they are."""
    return np.where((phi > -180) & (phi <= 180), phi, 180 - (180 - phi) % FULL_TURN)


def check_azimuths(phi: ArrayLike, count: int, q: ArrayLike = 0.0) -> np.ndarray:
    """Return the azimuths in degree, (count,), wrapped to (-180, 180].

    Raises
    ------
    InputError
        Unless there are ``count`` finite azimuths, no two of them the same (mod 360) at one q.
    """
    phi = np.atleast_1d(numbers(phi, "phi"))
    if phi.shape != (count,) or not np.isfinite(phi).all():
        raise InputError(
            f"phi must be {count} finite angles in degree, one per map, but is "
            f"{np.array2string(phi, threshold=8)}; pass one per map"
        )
    q = np.broadcast_to(q, count)
    same = (circular_distance(phi[:, None], phi) < DUPLICATE_PHI) & (q[:, None] == q)
    same = np.triu(same, 1)
    if same.any():
        i, j = np.argwhere(same)[0]
        raise InputError(
            f"each phi must occur once per q, but maps {i} and {j} both have phi = "
            f"{phi[i]:.6g} (mod 360); leave one of them out"
        )
    return wrapped(phi)


def match_bins(angles: ArrayLike, phi: ArrayLike, q: ArrayLike) -> np.ndarray:
    """Return the indices of maps with these azimuths, of every q of the maps in turn.

    Parameters
    ----------
    angles : array_like
        Azimuths asked for, degree.
    phi, q : array_like, (P,)
        Azimuth in degree and wavevector in 1/Å of every map; one q stands for all.

    Returns
    -------
    ndarray of int
        In the order of the azimuths asked for at each q.

    Raises
    ------
    InputError
        As `match_angles`, for the maps of any q.
    """
    phi = np.asarray(phi, float)
    q = np.broadcast_to(np.asarray(q, float), phi.shape)
    groups = [np.flatnonzero(q == value) for value in dict.fromkeys(q)]
    return np.concatenate([group[match_angles(angles, phi[group])] for group in groups])


def match_angles(angles: ArrayLike, phi: ArrayLike) -> np.ndarray:
    """Return the index in ``phi``, (P,), of each azimuth asked for, all in degree.

    A range, as the text "85:95", asks for all from its first end anticlockwise to its second.

    Raises
    ------
    InputError
        Unless each is within 0.5° (mod 360) of exactly one, and no two of the same, and every range
        holds one.
    """
    phi = np.asarray(phi, float)
    listed = list(angles) if isinstance(angles, list | tuple) else [angles]
    asked: list[Any] = []
    for one in listed:
        asked += [one] if _is_range(one) else numbers(one, "angles").ravel().tolist()
    indices = [_of_range(one, phi) if _is_range(one) else _of_angle(one, phi) for one in asked]
    found = np.concatenate(indices).astype(int) if indices else np.empty(0, int)
    wrong = [one for one, own in zip(asked, indices, strict=True) if not len(own)]
    if not len(found) or wrong or len(np.unique(found)) < len(found):
        named = ", ".join(one if _is_range(one) else f"{one:.6g}" for one in wrong or asked)
        choices = ", ".join(f"{value:.6g}" for value in phi)
        raise InputError(
            f"each of the angles must be within {PHI_TOLERANCE:g}° of one azimuth of the data, or "
            f"be a range that holds some, and name it once, but {named or 'none'} was asked for; "
            f"choose from {choices}"
        )
    return found


def _is_range(angle: Any) -> bool:
    return isinstance(angle, str) and ":" in angle


def _of_angle(angle: float, phi: np.ndarray) -> np.ndarray:
    """Return the index of the one azimuth nearby, (1,); (0,) where there are none or several."""
    near = np.flatnonzero(circular_distance(angle, phi) <= PHI_TOLERANCE)
    return near if len(near) == 1 else near[:0]


def _of_range(ends: str, phi: np.ndarray) -> np.ndarray:
    """Return the indices of azimuths from one end to the other, in their order."""
    try:
        low, high = map(float, ends.split(":"))
    except ValueError:
        low = high = np.nan
    if not low <= high < np.inf:
        raise InputError(
            f"a range of angles must be LOW:HIGH in degree, the lower first, found {ends!r}; "
            "a range through 180 is 170:190"
        )
    whole = high - low >= FULL_TURN
    within = (phi - low + DUPLICATE_PHI) % FULL_TURN <= high - low + 2 * DUPLICATE_PHI
    return np.flatnonzero(within | whole)


def frame_range(num_frames: int, first: int | None, stop: int | None) -> slice:
    """Return the range of frames from ``first`` (or 0) to before ``stop`` (or the end).

    Raises
    ------
    InputError
        If one is not a whole number or outside the ``num_frames``, or fewer than 4 remain.
    """
    start = 0 if first is None else frame_number(first, "first_frame")
    end = num_frames if stop is None else frame_number(stop, "stop_frame")
    if not (start >= 0 and end <= num_frames and end - start >= MIN_FRAMES):
        raise InputError(
            f"the frames to keep must lie in 0 to {num_frames} and be at "
            f"least {MIN_FRAMES}, but {start} to {end} was asked for; change "
            "--first-frame or --stop-frame"
        )
    return slice(start, end)


def usable_frames(num_frames: int, exclude_frames: Sequence[int]) -> np.ndarray:
    """Return flags, (G,), that are False for the frames to exclude, counted from 0.

    Raises
    ------
    InputError
        If one is not a whole number or outside the ``num_frames``.
    """
    excluded = frame_numbers(exclude_frames, "exclude_frames")
    outside = [frame for frame in excluded if not 0 <= frame < num_frames]
    if outside:
        raise InputError(
            f"frames to exclude must lie in 0 to {num_frames - 1}, but {outside[0]} "
            "was given; change --exclude-frames"
        )
    return ~np.isin(np.arange(num_frames), excluded)


def pairs_apart(num_frames: int, first_lag: int) -> np.ndarray | None:
    """Return which pairs of frames are at least so many frames apart, (G, G); None where all are.

    Raises
    ------
    InputError
        Unless it is a whole number of at least 1 that leaves a lag.
    """
    if not 1 <= frame_number(first_lag, "first_lag") < num_frames:
        raise InputError(
            f"the first lag to keep must lie in 1 to {num_frames - 1} frames, but {first_lag} was "
            "given; change --first-lag"
        )
    frames = np.arange(num_frames)
    return None if first_lag == 1 else np.abs(np.subtract.outer(frames, frames)) >= first_lag


def record_selection(
    provenance: Mapping[str, Any], first: int, exclude_frames: Sequence[int], first_lag: int
) -> dict[str, Any]:
    """Return the provenance with a selection added, counted in frames of the original file."""
    offset, earlier = provenance.get("first_frame", 0), provenance.get("exclude_frames", [])
    added = (offset + frame for frame in frame_numbers(exclude_frames, "exclude_frames"))
    return {
        **provenance,
        "first_frame": offset + first,
        "exclude_frames": sorted({*earlier, *added}),
        "first_lag": max(provenance.get("first_lag", 1), first_lag),
    }


def parse_provenance(text: str) -> dict[str, Any]:
    """Return the provenance stored as a JSON object."""
    try:
        provenance = json.loads(text)
    except json.JSONDecodeError:
        provenance = None
    if not isinstance(provenance, dict):
        raise InputError(
            f"the provenance must be a JSON object, but is {text[:40]!r}; write the file again"
        )
    lists = {"assumed": str, "exclude_frames": int}
    wrong = [
        name
        for name, kind in lists.items()
        if not isinstance(provenance.get(name, []), list)
        or not all(type(item) is kind for item in provenance.get(name, []))
    ]
    wrong += [
        name for name in ("first_frame", "first_lag") if type(provenance.get(name, 1)) is not int
    ]
    if wrong:
        raise InputError(
            f"the provenance must have lists of sentences and of frames, but not so "
            f"{', '.join(wrong)}; write the file again"
        )
    return provenance
