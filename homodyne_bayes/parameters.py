"""What a parameter is: name, symbol, unit, meaning, bounds, default and prior.

Models, rate laws, noises and scalings each hold rows of their own; together these are the table of
a fit. Reported parameters have the names of upstream (``D0``, ``alpha``, ...). What the sampler
moves are coordinates in which the posterior is nearly Gaussian.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

GIVEN = "given by the user"

Role = Literal["physical", "coordinate", "scaling", "noise"]


@dataclass(frozen=True)
class Prior:
    """A prior on one sampled quantity.

    Attributes
    ----------
    family : {"normal", "lognormal", "student", "logstudent", "circular"}
        Distribution: ``loc`` and ``scale`` of a lognormal are those of the logarithm; "student" is
        Student's t with 4 degrees of freedom, and "logstudent" that of the logarithm; "circular" is
        uniform over a period, which begins ``scale`` before ``loc`` and ends ``scale`` after it.
    loc, scale : float
        Location and scale, in the unit of the parameter.
    reason : str
        Why it is this one.
    """

    family: Literal["normal", "lognormal", "student", "logstudent", "circular"]
    loc: float
    scale: float
    reason: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the prior as a paper would write it."""
        if self.family == "circular":
            return f"Uniform({self.loc - self.scale:g}, {self.loc + self.scale:g})"
        degrees = "4, " if self.heavy else ""
        return f"{self.family.capitalize()}({degrees}{self.loc:g}, {self.scale:g})"

    @property
    def heavy(self) -> bool:
        """Whether it is Student's t, of the value or its logarithm."""
        return self.family in {"student", "logstudent"}

    @property
    def positive(self) -> bool:
        """Whether it is stated of the logarithm."""
        return self.family in {"lognormal", "logstudent"}

    def given(self, loc: float, scale: float) -> "Prior":
        """Return what takes its place where location and scale of the value are given.

        It is Normal; of a quantity that is positive lognormal, with median ``loc`` and relative
        scale ``scale / loc``.
        """
        if self.positive:
            return Prior("lognormal", math.log(loc), scale / loc, GIVEN)
        return Prior("normal", loc, scale, GIVEN)

    def wrapped(self, value: Any) -> Any:
        """Return a value, or values, within the period of what is circular; others as they are."""
        if self.family != "circular":
            return value
        first, period = self.loc - self.scale, 2 * self.scale
        return first + (value - first) % period

    @property
    def around(self) -> tuple[float, float]:
        """Centre and half the width of the middle of the prior, about 68 %."""
        if self.positive:
            low, high = (math.exp(self.loc + sign * self.scale) for sign in (-1, 1))
            return (low + high) / 2, (high - low) / 2
        return self.loc, self.scale


@dataclass(frozen=True)
class Parameter:
    """One row of a table of parameters.

    Attributes
    ----------
    name, symbol, latex, unit, meaning : str
        How it is called in code, on a screen, in a paper; its unit; what it is.
    bounds : tuple of float or None
        Range in which the kernels are finite, from upstream; not a truncation of the prior.
    default : float or None
        Upstream's default value.
    prior : Prior or None
        Prior of a sampled quantity; None where the value follows from sampled ones.
    role : {"physical", "coordinate", "scaling", "noise"}
        What is reported of the fluid, what the sampler moves instead, contrast and offset, and
        the scatter of the values.
    follows : tuple of (str, float) or None
        How the value goes with what is stated of the experiment, see
        `homodyne_bayes.physics.stated`; None where that is not told.
    """

    name: str
    symbol: str
    latex: str
    unit: str
    meaning: str
    bounds: tuple[float, float] | None = None
    default: float | None = None
    prior: Prior | None = None
    role: Role = "physical"
    follows: tuple[tuple[str, float], ...] | None = None


PER_ANGLE: tuple[str, ...] = ("contrast", "offset")


def priors_of(parameters: Iterable[Parameter]) -> dict[str, Prior]:
    """Return the priors of the parameters that are sampled, by name."""
    return {row.name: row.prior for row in parameters if row.prior is not None}
