"""What users pass: numbers where numbers are expected, whole numbers where frames are counted."""

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from homodyne_bayes.data.words import UNITS
from homodyne_bayes.errors import InputError


def numbers(values: Any, name: str) -> np.ndarray:
    """Return real numbers as float64, of any shape.

    Raises
    ------
    InputError
        For anything else: text, complex numbers, booleans, lists of different lengths.
    """
    array = as_array(values)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{name} must be a number or a list of numbers, but is {reprlib.repr(values)}; "
            f"pass numbers in {UNITS[name]}"
        )
    return array.astype(float)


def as_array(values: Any) -> np.ndarray:
    """Return an array; of lists of different lengths, which are none, an empty one of objects."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.empty(0, object)


OTHERS = {  # units that are mistaken for that of `UNITS`, and what one of them is in it
    "q": {"1/nm": 0.1, "1/µm": 1e-4, "1/m": 1e-10},
    "dt": {"ms": 1e-3, "µs": 1e-6},
    "gap": {"mm": 1e7, "m": 1e10, "µm": 1e4, "cm": 1e8, "nm": 10.0},
}


def meant(name: str, value: float, right: Callable[[float], bool]) -> str:
    """Return which unit was probably meant and what to type, or nothing.

    Parameters
    ----------
    name : str
        Key of `OTHERS`.
    value : float
        As it was given.
    right : callable
        Whether a value in the unit of `UNITS` can be.

    Examples
    --------
    >>> meant("gap", 0.2, lambda gap: 1e5 <= gap <= 1e8)
    '; is it 0.2 mm? then --gap 2e+06'
    """
    for unit, factor in OTHERS[name].items():
        if right(factor * value):
            return f"; is it {value:g} {unit}? then --{name} {factor * value:.6g}"
    return ""


def positive(value: Any, name: str) -> float:
    """Return a single number as float.

    Raises
    ------
    InputError
        Unless it is one number, positive and finite.
    """
    return _single(value, name, lambda number: number > 0, "positive and finite")


def not_negative(value: Any, name: str) -> float:
    """Return a single number as float.

    Raises
    ------
    InputError
        Unless it is one number, finite and not negative.
    """
    return _single(value, name, lambda number: number >= 0, "finite and not negative")


def _single(
    value: Any, name: str, right: Callable[[np.ndarray], np.ndarray], expected: str
) -> float:
    """Return a single finite number that is right, or say what it must be."""
    number = numbers(value, name)
    if number.size != 1 or not (np.isfinite(number) & right(number)).all():
        raise InputError(
            f"{name} must be {expected} (in {UNITS[name]}), but is "
            f"{np.array2string(number, threshold=8)}; pass the right --{name}"
        )
    return float(number.item())


def frame_number(frame: Any, name: str) -> int:
    """Return a frame, counted from 0.

    Raises
    ------
    InputError
        For anything but a whole number: 2.5, True, text.
    """
    if isinstance(frame, bool | np.bool) or not isinstance(frame, int | np.integer):
        raise InputError(
            f"{name} must be counted in whole frames from 0, but "
            f"{reprlib.repr(frame)} was given; change --{name.replace('_', '-')}"
        )
    return int(frame)


def frame_numbers(frames: Any, name: str) -> list[int]:
    """Return frames, each checked as `frame_number` does; a single frame is a list of itself."""
    listed = np.atleast_1d(np.asarray(frames, object)).ravel().tolist()
    return [frame_number(frame, name) for frame in listed]
