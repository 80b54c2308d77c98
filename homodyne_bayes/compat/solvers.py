"""Least squares: contrast and offset for a given g1², and linear problems of any size.

A system without a unique solution is answered by the outcome "singular" and NaN.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, stats

from homodyne_bayes.errors import InputError

ILL_CONDITIONED = 1e10  # condition number of the normal equations from which the SVD is used
FLAT_BELOW = 1e-12  # spread of the theory, relative to its rms, that is no more than rounding


class ScalingSolution(NamedTuple):
    """Best contrast and offset.

    Attributes
    ----------
    contrast, offset : numpy.ndarray
        (P,), NaN where singular; as they come out, of either sign.
    outcome : numpy.ndarray of str
        (P,) "solved", or "singular" where the theory does not vary.
    """

    contrast: np.ndarray
    offset: np.ndarray
    outcome: np.ndarray


class LinearSolution(NamedTuple):
    """Solution of a linear least squares problem.

    Attributes
    ----------
    coefficients : numpy.ndarray
        (n,), NaN where singular.
    outcome : {"cholesky", "svd", "singular"}
        How it was solved, if it was.
    """

    coefficients: np.ndarray
    outcome: Literal["cholesky", "svd", "singular"]


class _Moments(NamedTuple):
    """Number of points, means and centred sums of theory and measured values, (P,) or () each."""

    points: int
    theory: np.ndarray
    measured: np.ndarray
    theory_theory: np.ndarray
    theory_measured: np.ndarray


def solve_least_squares(theory: ArrayLike, measured: ArrayLike) -> ScalingSolution:
    """Return the contrast and offset that bring ``offset + contrast theory`` nearest.

    Parameters
    ----------
    theory : array_like, (P, N)
        g1² of N points of each angle; one angle may come as (N,).
    measured : array_like, (P, N)
        Measured c2 of the same points.

    Returns
    -------
    ScalingSolution
        Contrast and offset (P,), or () of one angle (N,).

    Raises
    ------
    InputError
        If the shapes differ or a value is not finite.
    """
    return _solve(_moments(theory, measured))


def solve_least_squares_chunked(
    chunks: Iterable[tuple[ArrayLike, ArrayLike]],
) -> ScalingSolution:
    """Return what `solve_least_squares` gives for all chunks together, one in memory at a time.

    Parameters
    ----------
    chunks : iterable of (theory, measured)
        Points as in `solve_least_squares`, any number in each chunk, of the same angles.

    Raises
    ------
    InputError
        If there is no chunk, shapes differ or a value is not finite.
    """
    parts = (_moments(theory, measured) for theory, measured in chunks)
    first = next(parts, None)
    if first is None:
        raise InputError(
            "expected at least one chunk of points, found none; an iterator can be used only once"
        )
    return _solve(reduce(_merge, parts, first))


def solve_least_squares_general(
    design: ArrayLike, target: ArrayLike, regularization: float = 0.0
) -> LinearSolution:
    """Return x that minimises ``|design x - target|² + regularization |x|²``.

    The normal equations are solved by Cholesky's method while their condition number is below
    1e10, else the singular value decomposition of the design itself is used.

    Parameters
    ----------
    design : array_like, (m, n)
        One row for each value, one column for each coefficient.
    target : array_like, (m,)
        Values.
    regularization : float
        Ridge penalty, 0 or more.

    Raises
    ------
    InputError
        If the shapes do not fit, a value is not finite or the penalty is negative.
    """
    design, target = np.asarray(design, float), np.asarray(target, float)
    if design.ndim != 2 or target.shape != design.shape[:1] or 0 in design.shape:
        raise InputError(
            f"expected a design (m, n) and a target (m,), found shapes "
            f"{design.shape} and {target.shape}; rearrange them"
        )
    if not (regularization >= 0 and np.isfinite(design).all() and np.isfinite(target).all()):
        raise InputError(
            "design and target must be finite and the penalty 0 or more; leave out "
            "what is not finite"
        )
    gram = design.T @ design + regularization * np.eye(design.shape[1])
    curvatures = linalg.eigvalsh(gram)
    if curvatures[-1] < ILL_CONDITIONED * curvatures[0]:
        return LinearSolution(
            linalg.cho_solve(linalg.cho_factor(gram), design.T @ target), "cholesky"
        )
    left, size, right = linalg.svd(design, full_matrices=False)
    rank = (size > np.finfo(float).eps * max(design.shape) * size[0]).sum()
    if regularization == 0 and rank < design.shape[1]:
        return LinearSolution(np.full(design.shape[1], np.nan), "singular")
    return LinearSolution(right.T @ (size / (size**2 + regularization) * (left.T @ target)), "svd")


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fit to values of known scatter, and how good it is.

    Attributes
    ----------
    params : numpy.ndarray
        (n,) physical parameters.
    contrast, offset : numpy.ndarray
        (P,) or scalar.
    residuals : numpy.ndarray
        Measured minus fitted, divided by sigma; any shape.
    covariance : numpy.ndarray, optional
        Of params, contrast and offset in this order.
    """

    params: np.ndarray
    contrast: np.ndarray
    offset: np.ndarray
    residuals: np.ndarray
    covariance: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that every fitted number has an error, and that there are values to spare."""
        number = np.size(self.params) + np.size(self.contrast) + np.size(self.offset)
        if self.covariance is not None and np.shape(self.covariance) != (number, number):
            raise InputError(
                f"the covariance of {number} fitted numbers must have shape "
                f"({number}, {number}), but has {np.shape(self.covariance)}; order "
                "it as params, contrast, offset"
            )
        if np.size(self.residuals) <= number:
            raise InputError(
                f"a fit of {number} numbers needs more values than that, found "
                f"{np.size(self.residuals)}; keep more points"
            )

    @property
    def chi_squared(self) -> float:
        """Return the sum of squared residuals."""
        return float((np.asarray(self.residuals) ** 2).sum())

    @property
    def degrees_of_freedom(self) -> int:
        """Return the number of values minus that of fitted parameters, contrasts and offsets."""
        fitted = np.size(self.params) + np.size(self.contrast) + np.size(self.offset)
        return np.size(self.residuals) - fitted

    @property
    def reduced_chi_squared(self) -> float:
        """Return chi² per degree of freedom, 1 for a right model and a right sigma."""
        return self.chi_squared / self.degrees_of_freedom

    @property
    def p_value(self) -> float:
        """Return the probability of a larger chi² if values scatter independently; c2 does not."""
        return float(stats.chi2.sf(self.chi_squared, self.degrees_of_freedom))

    @property
    def residual_std(self) -> float:
        """Return the standard deviation of the residuals, in units of sigma."""
        return float(np.std(self.residuals))

    @property
    def max_residual(self) -> float:
        """Return the largest residual in magnitude, in units of sigma."""
        return float(np.abs(self.residuals).max())

    @property
    def errors(self) -> dict[str, np.ndarray] | None:
        """Return standard errors of params (n,), contrast and offset (P,), or () as they are."""
        if self.covariance is None:
            return None
        sizes = np.cumsum([np.size(self.params), np.size(self.contrast)])
        parts = np.split(np.sqrt(np.diag(self.covariance)), sizes)
        return dict(zip(("params", "contrast", "offset"), parts, strict=True))


def _moments(theory: ArrayLike, measured: ArrayLike) -> _Moments:
    """Return the moments over the last axis of values (P, N) or (N,)."""
    x, y = np.asarray(theory, float), np.asarray(measured, float)
    if x.shape != y.shape or x.ndim not in {1, 2} or x.size == 0:
        raise InputError(
            f"theory and measured values must both have shape (P, N) or (N,), but "
            f"have {x.shape} and {y.shape}; pass the same points of both"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(
            "theory and measured values must be finite; leave out the points that are not"
        )
    mean_x, mean_y = x.mean(axis=-1), y.mean(axis=-1)
    x, y = x - mean_x[..., None], y - mean_y[..., None]
    return _Moments(x.shape[-1], mean_x, mean_y, (x * x).sum(axis=-1), (x * y).sum(axis=-1))


def _merge(a: _Moments, b: _Moments) -> _Moments:
    """Return the moments, (P,) each, of both sets of points, centred (Chan et al. 1979)."""
    if a.theory.shape != b.theory.shape:
        raise InputError(
            f"every chunk must hold the same angles, but the number changed from "
            f"{a.theory.shape} to {b.theory.shape}; pass all angles in each"
        )
    points = a.points + b.points
    theory, measured = b.theory - a.theory, b.measured - a.measured
    share, weight = b.points / points, a.points * b.points / points
    return _Moments(
        points,
        a.theory + share * theory,
        a.measured + share * measured,
        a.theory_theory + b.theory_theory + weight * theory**2,
        a.theory_measured + b.theory_measured + weight * theory * measured,
    )


def _solve(moments: _Moments) -> ScalingSolution:
    """Return the line of regression of measured values on theory, (P,) or () of each number."""
    points, theory, measured, theory_theory, theory_measured = moments
    square = theory_theory / points
    flat = square <= FLAT_BELOW**2 * (square + theory**2)
    nan = np.full(np.shape(theory), np.nan)
    contrast = np.divide(theory_measured, theory_theory, out=nan, where=~flat)
    outcome = np.where(flat, "singular", "solved")
    return ScalingSolution(contrast, measured - contrast * theory, outcome)
