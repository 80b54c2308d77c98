r"""Numerical derivatives of any NumPy function, six ways, and a judge of derivatives.

============== ======================================= ============ ================
method         derivative in one coordinate            error        calls of f
============== ======================================= ============ ================
forward        (f(x + h) - f(x)) / h                   O(h)         2
backward       (f(x) - f(x - h)) / h                   O(h)         2
central        (f(x + h) - f(x - h)) / 2h              O(h²)        2
complex_step   Im f(x + ih) / h                        rounding     1
richardson     central at h, h/2, h/4, h/8             O(h⁸)        8
               extrapolated to h = 0
adaptive       `scipy.differentiate.jacobian`: order   1e-8 of the  12 or more
               8, h halved until it settles            derivative
============== ======================================= ============ ================
"""

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import differentiate

from homodyne_bayes.errors import InputError

Method = Literal["forward", "backward", "central", "complex_step", "richardson", "adaptive"]
Function = Callable[..., Any]

EPS = float(np.finfo(float).eps)
FIRST_STEP = {
    "forward": EPS ** (1 / 2),
    "backward": EPS ** (1 / 2),
    "central": EPS ** (1 / 3),
    "complex_step": 1e-20,
    "richardson": EPS ** (1 / 9),
    "adaptive": 0.1,
}
SECOND_STEP = FIRST_STEP | {
    "forward": EPS ** (1 / 3),
    "backward": EPS ** (1 / 3),
    "central": EPS ** (1 / 4),
    "richardson": EPS ** (1 / 10),
}
SETTLED = 1e-6  # error of an adaptive derivative, relative to the largest, that is worth a word
ROUNDING = 1e3 * EPS  # of the function
DECISIVE = 0.1  # uncertainty of a numerical derivative, relative to it, that decides nothing


class DifferentiationWarning(UserWarning):
    """A derivative did not settle; the message says where."""


def numpy_gradient(
    function: Function, method: Method = "adaptive", step: ArrayLike | None = None
) -> Function:
    """Return the function that computes the gradient by its first argument.

    Parameters
    ----------
    function : callable
        ``function(x, *args, **kwargs)`` of an array x, real, of any shape; for "complex_step"
        it must be analytic and keep complex numbers complex.
    method : {"forward", "backward", "central", "complex_step", "richardson", "adaptive"}
        See the module.
    step : array_like, optional
        h in the units of x, one for all coordinates or one each. By default a fraction of each
        ``|x|`` that suits the method, or of 1 where x is 0: give the step where 1 is no small
        or large value of a coordinate.

    Returns
    -------
    callable
        ``gradient(x, *args, **kwargs)``, of the shape of the function's value followed by that
        of x.

    Raises
    ------
    InputError
        For an unknown method and, when called, for steps that are not positive or a derivative
        that is not finite.
    """
    _check_method(method)
    return _gradient(function, method, step, FIRST_STEP)


def numpy_hessian(
    function: Function, method: Method = "adaptive", step: ArrayLike | None = None
) -> Function:
    """Return the function that computes the matrix of second derivatives by its first argument.

    Parameters
    ----------
    function : callable
        ``function(x, *args, **kwargs)`` of x (n,), with a scalar value.
    method : str
        As in `numpy_gradient`, applied twice; "complex_step" once, and "richardson" to that.
    step : array_like, optional
        As in `numpy_gradient`; the default is larger, as second derivatives need it. With
        "complex_step" it is the step of "richardson".

    Returns
    -------
    callable
        ``hessian(x, *args, **kwargs)``, (n, n) and symmetric.
    """
    _check_method(method)
    if method == "complex_step":
        inner = _gradient(function, method, None, FIRST_STEP)
        outer = _gradient(inner, "richardson", step, FIRST_STEP)
    else:
        inner = _gradient(function, method, step, SECOND_STEP)
        outer = _gradient(inner, method, step, SECOND_STEP)

    def hessian(x: ArrayLike, *args: Any, **kwargs: Any) -> np.ndarray:
        matrix = outer(x, *args, **kwargs)
        if matrix.ndim != 2:
            raise InputError(
                f"a Hessian needs x of shape (n,) and a scalar function, but the "
                f"second derivatives have shape {matrix.shape}; ravel x"
            )
        return (matrix + matrix.T) / 2

    return hessian


class GradientCheck(NamedTuple):
    """How a gradient compares with a numerical one.

    Attributes
    ----------
    agrees : bool
        Whether every parameter could be judged and none is off.
    message : str
        A sentence for every parameter that is off, or could not be judged.
    found, expected : numpy.ndarray
        (n,) the gradient that was checked, and the numerical one.
    uncertainty : numpy.ndarray
        (n,) change of the numerical one when its step is halved.
    """

    agrees: bool
    message: str
    found: np.ndarray
    expected: np.ndarray
    uncertainty: np.ndarray


def check_gradient(
    function: Function,
    gradient: Function | ArrayLike,
    x: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    method: Literal["richardson", "complex_step"] = "richardson",
    step: ArrayLike | None = None,
    rtol: float = 1e-6,
) -> GradientCheck:
    """Compare a gradient, such as one by automatic differentiation, with a numerical one.

    A parameter is off where both differ by more than ``rtol`` of the larger plus ten times the
    uncertainty of the numerical one, and cannot be judged where that uncertainty is more than a
    tenth of it and more than rounding.

    Parameters
    ----------
    function : callable
        Scalar function of x.
    gradient : callable or array_like
        Its gradient, as a function of x or its (n,) values there.
    x : array_like, (n,)
        Where to compare.
    names : sequence of str, optional
        What to call the parameters; by default "parameter 0" and so on.
    method : {"richardson", "complex_step"}
        Numerical method.
    step : array_like, optional
        As in `numpy_gradient`.
    rtol : float
        Relative difference that is accepted.

    Raises
    ------
    InputError
        If the gradient has not one value per parameter, or as `numpy_gradient`.
    """
    _check_method(method)
    x = np.asarray(x, float)
    found = np.asarray(gradient(x) if callable(gradient) else gradient, float)
    names = [f"parameter {i}" for i in range(x.size)] if names is None else names
    if x.ndim != 1 or found.shape != x.shape or len(names) != len(x):
        raise InputError(
            f"expected one derivative and one name per parameter, found x of shape "
            f"{x.shape}, a gradient of {found.shape} and {len(names)} names; pass "
            "those of the same parameters"
        )
    h = _steps(x, step, FIRST_STEP[method])
    expected = _gradient(function, method, h, FIRST_STEP)(x)
    uncertainty = np.abs(_gradient(function, method, h / 2, FIRST_STEP)(x) - expected)
    rounding = ROUNDING * np.abs(np.asarray(function(x), float)) / h
    unclear = uncertainty > np.maximum(DECISIVE * np.abs(expected), rounding)
    larger = np.maximum(np.abs(found), np.abs(expected))
    off = ~unclear & ~(np.abs(found - expected) <= rtol * larger + 10 * uncertainty)
    values = (found, expected, uncertainty)
    faults = _named(off, names, "is off", values)
    faults += _named(unclear, names, "cannot be judged", values, "; pass a step")
    message = "; ".join(faults) or "all derivatives agree"
    return GradientCheck(not faults, message, *values)


def _named(
    mask: np.ndarray,
    names: Sequence[str],
    fault: str,
    values: tuple[np.ndarray, np.ndarray, np.ndarray],
    advice: str = "",
) -> list[str]:
    """Return a sentence for every parameter where the mask (n,) holds.

    ``values`` are the gradient, the numerical gradient and its uncertainty, (n,) each.
    """
    return [
        f"{name} {fault}: found {a:.9g}, expected {b:.9g} ± {error:.1g}{advice}"
        for name, a, b, error, chosen in zip(names, *values, mask, strict=True)
        if chosen
    ]


def _check_method(method: str) -> None:
    """Raise `InputError` unless there is such a method."""
    if method not in get_args(Method):
        raise InputError(
            f"method must be one of {', '.join(get_args(Method))}, found {method!r}; "
            "choose one of them"
        )


def _steps(x: np.ndarray, step: ArrayLike | None, fraction: float) -> np.ndarray:
    """Return a positive step for every coordinate of x, (n,) or whatever shape x has."""
    if step is None:
        return fraction * np.where(x == 0, 1.0, np.abs(x))
    h = np.asarray(step, float)
    if h.shape not in {(), x.shape} or not (np.isfinite(h) & (h > 0)).all():
        raise InputError(
            f"step must be positive, one for all or one for each of {x.shape} "
            f"coordinates, found {step!r}; correct it"
        )
    return np.broadcast_to(h, x.shape)


def _gradient(
    function: Function, method: Method, step: ArrayLike | None, fractions: dict[str, float]
) -> Function:
    """Return the function that computes a gradient by one method.

    ``step`` is (), of the shape of x, or None for the fraction of x that suits the method. The
    gradient has the shape of the function's value followed by that of x.
    """

    def gradient(x: ArrayLike, *args: Any, **kwargs: Any) -> np.ndarray:
        x = np.asarray(x, float)
        h = _steps(x, step, fractions[method])

        def moved(shift: np.ndarray) -> np.ndarray:
            """Return the function after moving x by multiples of the steps, raveled."""
            return np.asarray(function(x + h * shift.reshape(x.shape), *args, **kwargs))

        if method == "adaptive":
            columns = _settled(moved, x.size)
        else:
            rule = _RULES[method]
            columns = np.stack(
                [rule(lambda length, unit=unit: moved(length * unit)) for unit in np.eye(x.size)],
                axis=-1,
            )
        columns = columns.reshape(*columns.shape[:-1], *x.shape) / h
        if not np.isfinite(columns).all():
            bad = np.flatnonzero(~np.isfinite(columns).reshape(-1, x.size).all(axis=0))
            raise InputError(
                f"derivatives must be finite, but are not by coordinates "
                f"{bad.tolist()} of x; check the function near x, or pass a "
                "smaller step"
            )
        return columns

    return gradient


def _forward(line: Function) -> np.ndarray:
    """Return f(1) - f(0), of the shape of the function's value."""
    return line(1.0) - line(0.0)


def _backward(line: Function) -> np.ndarray:
    """Return f(0) - f(-1), of the shape of the function's value."""
    return line(0.0) - line(-1.0)


def _central(line: Function, length: float = 1.0) -> np.ndarray:
    """Return (f(h) - f(-h)) / 2h with h = ``length``, of the shape of the function's value."""
    return (line(length) - line(-length)) / (2 * length)


def _complex_step(line: Function) -> np.ndarray:
    """Return Im f(i), of the shape of the function's value."""
    value = line(1j)
    if not np.iscomplexobj(value):
        raise InputError(
            "complex_step needs a function that returns complex numbers for complex "
            "arguments, found a real value; use method richardson"
        )
    return value.imag


def _richardson(line: Function) -> np.ndarray:
    """Return central differences at steps 1, 1/2, 1/4 and 1/8, extrapolated to a step of 0."""
    estimates = [_central(line, 2.0**-k) for k in range(4)]
    for order in (4, 16, 64):
        estimates = [
            (order * finer - coarser) / (order - 1) for coarser, finer in pairwise(estimates)
        ]
    return estimates[0]


_RULES: dict[str, Callable[[Function], np.ndarray]] = {
    "forward": _forward,
    "backward": _backward,
    "central": _central,
    "complex_step": _complex_step,
    "richardson": _richardson,
}


def _settled(moved: Callable[[np.ndarray], np.ndarray], size: int) -> np.ndarray:
    """Return derivatives by unit steps in every coordinate, adaptively; (..., size)."""
    shape = moved(np.zeros(size)).shape

    def batch(shifts: np.ndarray) -> np.ndarray:
        """Return the function (m, ...), raveled, after moving x by many shifts (n, ...)."""
        values = [moved(shift).ravel() for shift in shifts.reshape(size, -1).T]
        return np.stack(values, axis=-1).reshape(-1, *shifts.shape[1:])

    result = differentiate.jacobian(batch, np.zeros(size), initial_step=1.0)
    largest = np.abs(result.df).max(initial=0.0)
    loose = (result.error > SETTLED * largest).any(axis=0)
    if loose.any():
        warnings.warn(
            f"derivatives by coordinates {np.flatnonzero(loose).tolist()} of x did not settle, to "
            f"{result.error[:, loose].max() / largest:.1g} of the largest; pass a step that suits "
            "them, in their units",
            DifferentiationWarning,
            stacklevel=3,
        )
    return result.df.reshape(*shape, size)
