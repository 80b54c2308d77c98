"""An engine that checks what it is given before it computes."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.compat import formula
from homodyne_bayes.compat.bounds import has_flow, validate_parameters_detailed
from homodyne_bayes.compat.factors import PhysicsFactors
from homodyne_bayes.compat.geometry import Geometry, Measurement
from homodyne_bayes.compat.modes import Parameters, create_model
from homodyne_bayes.errors import InputError

OPERATIONS = {"static": 10, "laminar_flow": 50}  # of a point
BYTES = 32  # of a point: four numbers
TIERS = {"light": 1e6, "medium": 1e8, "heavy": np.inf}  # operations below


class TheoryEngine:
    """Theory of a mode, with checks of what it is given.

    Parameters outside their bounds and quantities outside their typical ranges are a
    `UserWarning`; what cannot be is an `InputError`.

    Parameters
    ----------
    analysis_mode : str
        A key of `homodyne_bayes.compat.bounds.MODES`.

    Attributes
    ----------
    model : CombinedModel
        The model of the mode.
    """

    def __init__(self, analysis_mode: str = "laminar_flow") -> None:
        self.analysis_mode = analysis_mode
        self.model = create_model(analysis_mode)

    def compute_g1(
        self,
        params: Parameters,
        t1: Any,
        t2: Any,
        phi: Any,
        q: float,
        L: float,
        dt: float,
        **options: Any,
    ) -> jax.Array:
        """Return g1, (P, n1, n2) or paired (N,).

        Parameters
        ----------
        params : array_like or Mapping
            (n,) parameters of the mode.
        t1, t2, phi, q, L, dt, **options
            As in `homodyne_bayes.compat.geometry.Geometry`.

        Raises
        ------
        InputError
            For what cannot be computed with.
        """
        where = Geometry(t1, t2, phi, q, L, dt, **options)
        self._check([params], where)
        return formula.g1(self.model.parameters(params), where)

    def compute_g2(  # noqa: PLR0913, PLR0917
        self,
        params: Parameters,
        t1: Any,
        t2: Any,
        phi: Any,
        q: float,
        L: float,
        contrast: ArrayLike,
        offset: ArrayLike,
        dt: float,
        **options: Any,
    ) -> jax.Array:
        """Return g2, (P, n1, n2) or paired (N,).

        Parameters
        ----------
        params : array_like or Mapping
            (n,) parameters of the mode.
        contrast, offset : array_like
            One value, or (P,).
        t1, t2, phi, q, L, dt, **options
            As in `homodyne_bayes.compat.geometry.Geometry`.

        Raises
        ------
        InputError
            For what cannot be computed with, such as a contrast that is not positive.
        """
        where = Geometry(t1, t2, phi, q, L, dt, **options)
        self._check([params], where)
        _check_scaling(contrast, offset)
        return formula.g2(self.model.parameters(params), where, contrast, offset)

    def compute_chi_squared(  # noqa: PLR0913, PLR0917
        self,
        params: Parameters,
        data: ArrayLike,
        sigma: ArrayLike,
        t1: Any,
        t2: Any,
        phi: Any,
        q: float,
        L: float,
        contrast: ArrayLike,
        offset: ArrayLike,
        dt: float,
        **options: Any,
    ) -> float:
        """Return chi² over every entry.

        Parameters
        ----------
        params : array_like or Mapping
            (n,) parameters of the mode.
        data, sigma : array_like
            (P, n1, n2) or paired (N,); sigma may be one for all.
        contrast, offset : array_like
            One value, or (P,).
        t1, t2, phi, q, L, dt, **options
            As in `homodyne_bayes.compat.geometry.Geometry`.

        Raises
        ------
        InputError
            For what cannot be computed with, such as data that are not finite where sigma is.
        """
        where = Geometry(t1, t2, phi, q, L, dt, **options)
        return self._chi_squared(params, Measurement(where, contrast, offset, data, sigma))

    def batch_computation(  # noqa: PLR0913, PLR0917
        self,
        params_batch: ArrayLike,
        data: ArrayLike,
        sigma: ArrayLike,
        t1: Any,
        t2: Any,
        phi: Any,
        q: float,
        L: float,
        contrast: ArrayLike,
        offset: ArrayLike,
        dt: float,
        **options: Any,
    ) -> jax.Array:
        """Return chi² of every parameter set, (B,).

        Parameters
        ----------
        params_batch : array_like
            (B, n) parameters of the mode.
        data, sigma, t1, t2, phi, q, L, contrast, offset, dt, **options
            As in `compute_chi_squared`.

        Raises
        ------
        InputError
            For what cannot be computed with.
        """
        batch = np.asarray(params_batch, float)
        if batch.ndim != 2 or not len(batch):
            raise InputError(
                f"params_batch must be one parameter set per row, found shape "
                f"{batch.shape}; pass (B, {self.model.n_params})"
            )
        where = Geometry(t1, t2, phi, q, L, dt, **options)
        self._check(batch, where)
        measurement = Measurement(where, contrast, offset, data, sigma)
        _check_measurement(measurement)
        return formula.chi_squared_of_sets(batch, measurement)

    def estimate_computation_cost(
        self, t1: ArrayLike, t2: ArrayLike, phi: ArrayLike
    ) -> dict[str, Any]:
        """Return what maps over two time axes cost: points, operations, bytes and a tier.

        A point takes about 10 operations at rest and 50 in a flow, and four numbers of memory.
        Tiers are light below 10⁶ operations, medium below 10⁸ and heavy.

        Parameters
        ----------
        t1, t2 : array_like
            Times in s, (n1,) and (n2,).
        phi : array_like
            (P,) azimuths, degree.
        """
        pairs, angles = len(np.atleast_1d(t1)) * len(np.atleast_1d(t2)), np.size(phi)
        kind = "laminar_flow" if has_flow(self.analysis_mode) else "static"
        operations = pairs * angles * OPERATIONS[kind]
        return {
            "n_time_pairs": pairs,
            "n_angles": angles,
            "n_total_points": pairs * angles,
            "estimated_operations": operations,
            "estimated_bytes": pairs * angles * BYTES,
            "estimated_memory_mb": pairs * angles * BYTES / 2**20,
            "analysis_mode": self.analysis_mode,
            "performance_tier": next(name for name, most in TIERS.items() if operations < most),
        }

    def _chi_squared(self, params: Parameters, measurement: Measurement) -> float:
        """Return chi² of (n,) parameters, after checks."""
        self._check([params], measurement.geometry)
        _check_measurement(measurement)
        return float(formula.chi_squared(self.model.parameters(params), measurement))

    def _check(self, sets: Iterable[Any], where: Geometry) -> None:
        """Check parameter sets, (n,) each, and experiment, and warn of what is unusual."""
        PhysicsFactors(where.q, cast(float, where.L), where.dt)
        bounds, names = self.model.get_parameter_bounds(), self.model.parameter_names
        outside = []
        for params in sets:
            theta = np.asarray(self.model.parameters(params))
            checked = validate_parameters_detailed(theta, bounds, names)
            if not np.isfinite(theta).all():
                raise InputError(
                    f"parameters must be finite, found {checked.message}; correct them"
                )
            outside += [] if checked.valid else [checked.message]
        if outside:
            more = f" and {len(outside) - 1} more sets" if outside[1:] else ""
            warnings.warn(
                f"parameters outside their bounds: {outside[0]}{more}",
                UserWarning,
                skip_file_prefixes=(str(Path(__file__).parent),),  # point to who called
            )


def compute_g2_theory(  # noqa: PLR0913, PLR0917
    params: Parameters,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float,
    contrast: ArrayLike,
    offset: ArrayLike,
    analysis_mode: str = "laminar_flow",
    *,
    dt: float,
) -> jax.Array:
    """Return g2 of a mode, (P, n1, n2); arguments and checks of `TheoryEngine.compute_g2`."""
    engine = TheoryEngine(analysis_mode)
    return engine.compute_g2(params, t1, t2, phi, q, L, contrast, offset, dt)


def compute_chi2_theory(  # noqa: PLR0913, PLR0917
    params: Parameters,
    data: ArrayLike,
    sigma: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float,
    contrast: ArrayLike,
    offset: ArrayLike,
    analysis_mode: str = "laminar_flow",
    *,
    dt: float,
) -> float:
    """Return chi² of a mode; arguments and checks of `TheoryEngine.compute_chi_squared`."""
    engine = TheoryEngine(analysis_mode)
    where = Geometry(t1, t2, phi, q, L, dt)
    return engine._chi_squared(params, Measurement(where, contrast, offset, data, sigma))


def _check_scaling(contrast: ArrayLike, offset: ArrayLike) -> None:
    """Raise `InputError` unless contrast is positive and offset finite, () or (P,) each."""
    contrast, offset = np.asarray(contrast, float), np.asarray(offset, float)
    if not (np.isfinite(contrast) & (contrast > 0)).all() or not np.isfinite(offset).all():
        raise InputError(
            f"contrast must be positive and offset finite, found {contrast} and "
            f"{offset}; correct them"
        )


def _check_measurement(measurement: Measurement) -> None:
    """Raise `InputError` for scaling, data or sigma that cannot be compared."""
    _check_scaling(measurement.contrast, measurement.offset)
    data, sigma = np.asarray(measurement.data, float), np.asarray(measurement.sigma, float)
    if sigma.shape not in ((), data.shape):
        raise InputError(
            f"sigma must be one value or have the shape of data, {data.shape}, found "
            f"{sigma.shape}; correct it"
        )
    if not (sigma > 0).all():
        raise InputError(
            f"sigma must be positive, or inf to leave an entry out, but its smallest "
            f"is {sigma.min():g}; correct it"
        )
    if not (np.isfinite(data) | np.isinf(sigma)).all():
        raise InputError(
            "data must be finite, found NaN or inf; set sigma to inf where there are no data"
        )
