"""Scaling, likelihood and checks of a data set for one mode of analysis."""

from typing import Any, Literal

import numpy as np
from jax.typing import ArrayLike

from homodyne_bayes.compat import formula
from homodyne_bayes.compat.bounds import ParameterSpace, check_mode, has_flow, parameter_names
from homodyne_bayes.compat.factors import check_positive
from homodyne_bayes.compat.geometry import Geometry, Measurement
from homodyne_bayes.compat.solvers import solve_least_squares
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.quantiles import within_bounds

MEDIUM_FROM, LARGE_FROM = 1_000_000, 10_000_000  # points


class UnifiedHomodyneEngine:
    """What a fit of homodyne does around its optimiser.

    Parameters
    ----------
    analysis_mode : str
        A key of `homodyne_bayes.compat.bounds.MODES`.
    parameter_space : ParameterSpace, optional
        Bounds; by default those of the table.

    Raises
    ------
    InputError
        If there is no such mode.
    """

    def __init__(
        self, analysis_mode: str = "laminar_flow", parameter_space: ParameterSpace | None = None
    ) -> None:
        """Check the mode."""
        self.analysis_mode = check_mode(analysis_mode)
        self.parameter_space = ParameterSpace() if parameter_space is None else parameter_space

    @property
    def param_bounds(self) -> list[tuple[float, float]]:
        """Return the bounds of the physical parameters, in order."""
        return self.parameter_space.get_param_bounds(self.analysis_mode)

    def estimate_scaling_parameters(
        self, data: ArrayLike, theory: ArrayLike, validate_bounds: bool = True
    ) -> tuple[float, float]:
        """Return contrast and offset by least squares, averaged over angles.

        Parameters
        ----------
        data : array_like, (P, N) or (N,)
            Measured c2 of distinct pairs of frames.
        theory : array_like, (P, N) or (N,)
            g1² of the same points.
        validate_bounds : bool
            Set an estimate outside its bounds to the nearer one, with a `ScalingWarning`.

        Raises
        ------
        InputError
            If shapes differ, a value is not finite, or the theory of an angle does not vary.
        """
        contrasts, offsets, outcome = solve_least_squares(theory, data)
        singular = np.flatnonzero(outcome == "singular").tolist()
        if singular:
            raise InputError(
                f"contrast and offset need a g1² that varies, but that of angles "
                f"{singular} does not; choose other parameters or lags"
            )
        contrast, offset = float(contrasts.mean()), float(offsets.mean())
        if not validate_bounds:
            return contrast, offset
        bounds = self.parameter_space.bounds
        return (
            within_bounds("contrast", contrast, bounds["contrast"]),
            within_bounds("offset", offset, bounds["offset"]),
        )

    def compute_likelihood(  # noqa: PLR0913, PLR0917
        self,
        params: ArrayLike,
        contrast: ArrayLike,
        offset: ArrayLike,
        data: ArrayLike,
        sigma: ArrayLike,
        t1: ArrayLike,
        t2: ArrayLike,
        phi: ArrayLike,
        q: float,
        L: float | None,
        dt: float,
        *,
        paired: bool = False,
        convention: str = "upstream",
    ) -> float:
        """Return the negative log-likelihood, ½ χ² + ½ Σ log 2πσ².

        Values are taken to scatter independently. A whole map holds every pair of frames twice;
        pass distinct pairs with ``paired=True`` for a likelihood that counts them once.

        Parameters
        ----------
        params : array_like, (3,) or (7,)
            Physical parameters of the mode.
        contrast, offset : array_like
            One value, or (P,).
        data, sigma : array_like
            (P, n1, n2) or paired (N,); sigma may be one for all.
        t1, t2, phi, q, L, dt, paired, convention
            As in `homodyne_bayes.compat.geometry.Geometry`.

        Raises
        ------
        InputError
            If the parameters are not those of the mode, and as `validate_inputs`.
        """
        names, shape = parameter_names(self.analysis_mode), np.shape(params)
        if shape != (len(names),):
            raise InputError(
                f"mode {self.analysis_mode} has parameters {', '.join(names)}, found "
                f"values of shape {shape}; pass these {len(names)}"
            )
        self.validate_inputs(data, sigma, t1, t2, phi, q, L)
        where = Geometry(t1, t2, phi, q, L, dt, paired, convention)
        measurement = Measurement(where, contrast, offset, data, sigma)
        chi_squared = formula.chi_squared(params, measurement)
        log_norm = np.log(2 * np.pi * np.broadcast_to(sigma, np.shape(data)) ** 2).sum()
        return 0.5 * float(chi_squared + log_norm)

    def validate_inputs(
        self,
        data: Any,
        sigma: Any,
        t1: Any,
        t2: Any,
        phi: Any,
        q: float,
        L: float | None,
    ) -> None:
        """Raise `InputError` for anything that cannot be fitted.

        Arguments have the shapes and units of `compute_likelihood`. Refused is what is empty or
        not finite, a sigma that is not positive or of another shape than data (a scalar serves
        all values, None is not looked at), and a wavevector or gap that is not positive. Only
        laminar flow needs the gap.
        """
        given = {"data": data, "t1": t1, "t2": t2, "phi": phi}
        given |= {} if sigma is None else {"sigma": sigma}
        for name, values in given.items():
            if np.size(values) == 0 or not np.isfinite(np.asarray(values, float)).all():
                raise InputError(
                    f"{name} must hold finite numbers, but is empty or holds others; "
                    "leave those out"
                )
        if sigma is not None and (
            np.shape(sigma) not in {(), np.shape(data)} or np.min(sigma) <= 0
        ):
            raise InputError(
                f"sigma must be positive, one for all or one for each of data "
                f"{np.shape(data)}, found shape {np.shape(sigma)} and a smallest of "
                f"{np.min(sigma):g}; correct it"
            )
        check_positive("q", q)
        if L is not None or has_flow(self.analysis_mode):
            check_positive("L", L)

    def detect_dataset_size(self, data: ArrayLike) -> Literal["small", "medium", "large"]:
        """Return the size class of data of any shape: small below 1e6 points, medium below 1e7."""
        size = np.size(data)
        if size < MEDIUM_FROM:
            return "small"
        return "medium" if size < LARGE_FROM else "large"
