"""The experiment in two numbers, and whether it is one: positive, finite and of a usual size."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from homodyne_bayes.data.reading import TYPICAL
from homodyne_bayes.errors import InputError, suggest

TYPICAL_RANGES: dict[str, tuple[float, float, str]] = {
    "q": (*TYPICAL["q"], "1/Å"),
    "L": (*TYPICAL["gap"], "Å"),
    "dt": (*TYPICAL["dt"], "s"),
    "wavelength": (0.1, 10.0, "Å"),
}
DT_AT = "analyzer_parameters.temporal.dt"
Q_AT = "analyzer_parameters.scattering.wavevector_q"
L_AT = "analyzer_parameters.geometry.stator_rotor_gap"


@dataclass(frozen=True)
class PhysicsFactors:
    """What q, L and dt do to the unit-step integrals of D(t) and of the shear rate.

    A quantity outside its typical range is a `UserWarning`.

    Attributes
    ----------
    wavevector_q : float
        q, 1/Å.
    stator_rotor_gap : float
        L, the gap between the walls, Å.
    dt : float
        Time between frames, s.

    Raises
    ------
    InputError
        Unless all three, and the two factors, are positive and finite.
    """

    wavevector_q: float
    stator_rotor_gap: float
    dt: float

    def __post_init__(self) -> None:
        """Check the three quantities and what follows from them."""
        given = {"q": self.wavevector_q, "L": self.stator_rotor_gap, "dt": self.dt}
        for field, (name, value) in zip(fields(self), given.items(), strict=True):
            given[name] = check_positive(name, value)
            object.__setattr__(self, field.name, given[name])
        for name, factor in zip(("q² dt / 2", "q L dt / (2π)"), self.to_tuple(), strict=True):
            check_positive(name, factor)
        for text in _atypical(given):
            warnings.warn(text, UserWarning, stacklevel=4)

    @classmethod
    def from_config(cls, q: float, L: float, dt: float) -> Self:
        """Return the factors of a wavevector q (1/Å), a gap L (Å) and a frame time dt (s)."""
        return cls(q, L, dt)

    @property
    def wavevector_q_squared_half_dt(self) -> float:
        """Return q² dt / 2 in s/Å², the factor of the summed D(t) in the exponent of g1."""
        return 0.5 * self.wavevector_q**2 * self.dt

    @property
    def sinc_prefactor(self) -> float:
        """Return q L dt / (2π) in s, the factor of the summed shear rate in the phase x."""
        return self.wavevector_q * self.stator_rotor_gap * self.dt / (2 * math.pi)

    def to_tuple(self) -> tuple[float, float]:
        """Return q² dt / 2 and q L dt / (2π)."""
        return self.wavevector_q_squared_half_dt, self.sinc_prefactor

    def to_dict(self) -> dict[str, float]:
        """Return the three quantities and the two factors by name."""
        names = ("wavevector_q_squared_half_dt", "sinc_prefactor")
        return {**asdict(self), **dict(zip(names, self.to_tuple(), strict=True))}


def create_physics_factors_from_config_dict(config: Mapping[str, Any]) -> PhysicsFactors:
    """Return the factors of a configuration as homodyne documents it.

    Parameters
    ----------
    config : Mapping
        Holds ``analyzer_parameters`` with ``temporal.dt`` (s), ``scattering.wavevector_q`` (1/Å)
        and ``geometry.stator_rotor_gap`` (Å).

    Raises
    ------
    InputError
        If one of them is missing, or not positive and finite.
    """
    return PhysicsFactors.from_config(*(setting(config, at) for at in (Q_AT, L_AT, DT_AT)))


def setting(config: Mapping[str, Any], path: str) -> Any:
    """Return what nested mappings hold at a dotted path.

    Raises
    ------
    InputError
        If there is nothing; the message names the nearest key.
    """
    section: Any = config
    for key in path.split("."):
        if not isinstance(section, Mapping):
            raise InputError(
                f"config must hold {path}, but what should hold {key!r} is "
                f"{section!r}; make it a section"
            )
        if key not in section:
            hint = suggest(key, section) if section else "the section is empty"
            raise InputError(f"config must hold {path}, but {key!r} is missing; {hint}")
        section = section[key]
    return section


def check_positive(name: str, value: Any) -> float:
    """Return a positive and finite number as a float.

    Raises
    ------
    InputError
        If it is not one.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise InputError(f"{name} must be positive and finite, found {value!r}; correct it")
    return number


def validate_experimental_setup(q: float, L: float, wavelength: float | None = None) -> bool:
    """Return whether an experiment is of a usual size; a `UserWarning` says what is not.

    Parameters
    ----------
    q : float
        Wavevector, 1/Å.
    L : float
        Gap, Å.
    wavelength : float, optional
        Of the X-rays, Å.

    Raises
    ------
    InputError
        Unless all are positive and finite.
    """
    given = {"q": q, "L": L} | ({} if wavelength is None else {"wavelength": wavelength})
    unusual = _atypical({name: check_positive(name, value) for name, value in given.items()})
    for text in unusual:
        warnings.warn(text, UserWarning, stacklevel=2)
    return not unusual


def estimate_correlation_time(D0: float, alpha: float, q: float) -> float:
    """Return the time in s after which g1² has fallen to 1/e, counted from the start.

    With D(t) = D0 t^alpha it solves q² ∫D dt = 1: τ = ((1 + alpha) / (q² D0))^(1 / (1 + alpha)),
    which is 1 / (q² D0) at alpha = 0.

    Parameters
    ----------
    D0 : float
        Transport coefficient at 1 s, Å²/s.
    alpha : float
        Its exponent, above -1.
    q : float
        Wavevector, 1/Å.

    Raises
    ------
    InputError
        If ``D0`` or ``q`` is not positive, or ``alpha`` not above -1: the integral from t = 0 then
        has no value and g1 depends on the first frame.
    """
    rate = check_positive("q", q) ** 2 * check_positive("D0", D0)
    if not -1 < alpha < math.inf:
        raise InputError(
            f"alpha must be above -1 for a correlation time counted from the start, "
            f"found {alpha!r}; compute g1 from the time that matters instead"
        )
    return ((1 + alpha) / rate) ** (1 / (1 + alpha))


def _atypical(given: Mapping[str, float]) -> list[str]:
    """Return a sentence for every quantity outside its typical range."""
    ranges = {name: (value, *TYPICAL_RANGES[name]) for name, value in given.items()}
    return [
        f"{name} = {value:g} {unit} is outside its typical range, {low:g} to {high:g} {unit}; "
        "check its unit"
        for name, (value, low, high, unit) in ranges.items()
        if not low <= value <= high
    ]
