"""Modes of analysis, and the bounds, defaults and priors of their parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.errors import InputError, suggest
from homodyne_bayes.likelihood.independent import SIGMA
from homodyne_bayes.likelihood.scaling import CONTRAST, OFFSET
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.parameters import Prior, priors_of

Limits = tuple[float, float]
Bounds = Sequence[Limits]

# homodyne's parameters, their bounds and defaults: all that compat takes from the tables
ROWS = {row.name: row for row in (*MODELS["laminar_flow"].table, CONTRAST, OFFSET, SIGMA)}
PRIORS = priors_of(ROWS.values())
NAMES_AT_REST = MODELS["static"].reported
NAMES = MODELS["laminar_flow"].reported
NAMES_OF_FLOW = NAMES[len(NAMES_AT_REST) :]
UPSTREAM_BOUNDS: dict[str, Limits] = {
    **{name: cast(Limits, ROWS[name].bounds) for name in (*NAMES, "contrast", "offset")},
    "phi0": (-30.0, 30.0),
}
UPSTREAM_DEFAULTS = {name: cast(float, ROWS[name].default) for name in UPSTREAM_BOUNDS}
SAMPLED_AT_REST = tuple(priors_of(MODELS["static"].table))
SAMPLED_OF_FLOW = (
    *(name for name in priors_of(MODELS["laminar_flow"].table) if name != "phi0"),
    "phi0",
)
CONTRAST_BOUNDS, OFFSET_BOUNDS = UPSTREAM_BOUNDS["contrast"], UPSTREAM_BOUNDS["offset"]

MODES: dict[str, tuple[str, ...]] = {
    "static": NAMES_AT_REST,
    "static_isotropic": NAMES_AT_REST,
    "static_anisotropic": NAMES_AT_REST,
    "laminar_flow": NAMES,
}
MODEL_TYPES: dict[str, tuple[str, ...]] = {
    "diffusion": NAMES_AT_REST,
    "shear": NAMES_OF_FLOW,
    "combined": NAMES,
}


def check_mode(name: str) -> str:
    """Return the name of a mode of analysis if there is such a mode.

    Raises
    ------
    InputError
        If there is none; the message names the nearest.
    """
    return _check_name(name, MODES)


def parameter_names(mode: str) -> tuple[str, ...]:
    """Return the physical parameters of a mode, or of "diffusion", "shear" or "combined".

    Raises
    ------
    InputError
        If there is no such mode; the message names the nearest.
    """
    names = MODES | MODEL_TYPES
    return names[_check_name(mode, names)]


def has_flow(mode: str) -> bool:
    """Return whether a mode has the parameters of a flow, and so needs the gap."""
    return "phi0" in parameter_names(mode)


def parameter_bounds(mode: str) -> list[tuple[float, float]]:
    """Return the bounds of the physical parameters of a mode, in the order of their names.

    Parameters
    ----------
    mode : str
        A key of `MODES`, or "diffusion", "shear" or "combined".
    """
    return [UPSTREAM_BOUNDS[name] for name in parameter_names(mode)]


def get_default_parameters(mode: str) -> np.ndarray:
    """Return the default values of the physical parameters of a mode, (3,), (4,) or (7,).

    Parameters
    ----------
    mode : str
        A key of `MODES`, or "diffusion", "shear" or "combined".
    """
    return np.array([UPSTREAM_DEFAULTS[name] for name in parameter_names(mode)], dtype=float)


@dataclass(frozen=True)
class ValidationResult:
    """Which parameters violate their bounds.

    Attributes
    ----------
    valid : bool
        Whether no parameter that was checked violates its bounds.
    violations : list of str
        One sentence for each parameter outside its bounds or not finite.
    parameters_checked : int
        How many were checked; those traced by JAX cannot be.
    message : str
        All of it in one line.
    """

    valid: bool
    violations: list[str]
    parameters_checked: int
    message: str


def validate_parameters_detailed(
    params: Any, bounds: Bounds, names: Sequence[str] | None = None
) -> ValidationResult:
    """Say which parameters lie outside their bounds, and by how much.

    The function can be called while JAX traces: nothing can then be said about values, and the
    result says that.

    Parameters
    ----------
    params : array_like, (n,)
        Values; any of them may be traced.
    bounds : sequence of (float, float)
        Smallest and largest value allowed, both included.
    names : sequence of str, optional
        What to call the parameters; by default "parameter 0" and so on.

    Raises
    ------
    InputError
        If there are not as many bounds and names as parameters.
    """
    names = _matching_names(params, bounds, names)
    values = [] if isinstance(params, jax.core.Tracer) else list(params)
    checked = [
        (name, float(value), limits)
        for name, value, limits in zip(names, values, bounds, strict=bool(values))
        if not isinstance(value, jax.core.Tracer)
    ]
    violations = [text for item in checked if (text := _violation(*item))]
    if violations:
        message = f"FAIL: {len(violations)} of {len(checked)} parameters: {'; '.join(violations)}"
    elif checked:
        message = f"OK: {len(checked)} parameters lie within their bounds"
    else:
        message = "OK: no parameter was checked, their values are not known while JAX traces"
    return ValidationResult(not violations, violations, len(checked), message)


class ClippedParameters(NamedTuple):
    """Values within bounds, and what was changed to get there.

    Attributes
    ----------
    values : numpy.ndarray
        (n,) values within bounds.
    clipped : tuple of str
        One sentence for each parameter that was changed.
    """

    values: np.ndarray
    clipped: tuple[str, ...]


def clip_parameters(
    params: ArrayLike, bounds: Bounds, names: Sequence[str] | None = None
) -> ClippedParameters:
    """Move parameters into their bounds and report which of them were moved.

    Parameters
    ----------
    params : array_like, (n,)
        Values, finite.
    bounds : sequence of (float, float)
        Smallest and largest value allowed.
    names : sequence of str, optional
        What to call the parameters; by default "parameter 0" and so on.

    Raises
    ------
    InputError
        If a value is NaN, or there are not as many bounds and names as parameters.
    """
    values = np.asarray(params, dtype=float)
    names = _matching_names(values, bounds, names)
    undefined = [name for name, value in zip(names, values, strict=True) if np.isnan(value)]
    if undefined:
        raise InputError(
            f"parameters to clip must be numbers, but {', '.join(undefined)} is NaN; "
            "find out where it comes from"
        )
    low, high = np.asarray(bounds, dtype=float).T
    inside = np.clip(values, low, high)
    clipped = tuple(
        f"{name} = {value:.6g} was set to {clip:.6g}"
        for name, value, clip in zip(names, values, inside, strict=True)
        if clip != value
    )
    return ClippedParameters(inside, clipped)


@dataclass(frozen=True)
class ParameterSpace:
    """Bounds and priors of parameters: the one table, with your bounds in their place.

    Attributes
    ----------
    bounds : mapping of str to (float, float)
        Bounds of physical parameters, contrast and offset; those not given are the table's.

    Raises
    ------
    InputError
        For a name that has no bounds, or bounds that are not rising.
    """

    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the bounds and fill in the table's."""
        for name, (low, high) in self.bounds.items():
            _check_name(name, UPSTREAM_BOUNDS)
            if not low < high:
                raise InputError(
                    f"the bounds of {name} must be rising, but are {low:g} and "
                    f"{high:g}; exchange them"
                )
        object.__setattr__(self, "bounds", UPSTREAM_BOUNDS | dict(self.bounds))

    def get_param_bounds(self, mode: str) -> list[tuple[float, float]]:
        """Return the bounds of the physical parameters of a mode, in the order of their names."""
        return [self.bounds[name] for name in parameter_names(mode)]

    def get_param_priors(self, mode: str) -> dict[str, Prior]:
        """Return the prior of everything that is sampled for a mode, by name.

        These are the coordinates in which the posterior is nearly Gaussian (level, slope and
        bend of each rate), phi0, contrast, offset and the noise scale.
        """
        sampled = SAMPLED_OF_FLOW if has_flow(check_mode(mode)) else SAMPLED_AT_REST
        return {name: PRIORS[name] for name in (*sampled, "contrast", "offset", "sigma")}


def _check_name(name: str, table: Mapping[str, Any]) -> str:
    """Return a name if it is in the table; suggest the nearest if not."""
    if name not in table:
        raise InputError(
            f"expected one of {', '.join(table)}, found {name!r}; {suggest(name, table)}"
        )
    return name


def _matching_names(params: Any, bounds: Bounds, names: Sequence[str] | None) -> Sequence[str]:
    """Return n names of parameters (n,), after checking that everything is equally long."""
    shape = getattr(params, "shape", (len(params),))
    names = [f"parameter {i}" for i in range(len(bounds))] if names is None else names
    if shape != (len(bounds),) or len(names) != len(bounds):
        raise InputError(
            f"expected one value, one pair of bounds and one name per parameter, "
            f"found values of shape {shape}, {len(bounds)} bounds and {len(names)} "
            "names; pass those of the same mode"
        )
    return names


def _violation(name: str, value: float, limits: tuple[float, float]) -> str:
    """Return a sentence if the value is not within the limits, else nothing."""
    low, high = limits
    if not np.isfinite(value):
        return f"{name} = {value} is not finite"
    if value < low:
        return f"{name} = {value:.6g} is {low - value:.6g} below [{low:g}, {high:g}]"
    if value > high:
        return f"{name} = {value:.6g} is {value - high:.6g} above [{low:g}, {high:g}]"
    return ""
