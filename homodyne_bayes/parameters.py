"""What a parameter is: name, symbol, unit, meaning, bounds, default and prior.

Models, rate laws, noises and scalings each hold rows of their own; together these are the table of
a fit. Reported parameters have the names of upstream (``D0``, ``alpha``, ...). What the sampler
moves are coordinates in which the posterior is nearly Gaussian.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any, Literal

GIVEN = "given by the user"
LEAST_MASS = 1e-6  # of a prior between its bounds
TINY = 5e-324
EVERYTHING = (-math.inf, math.inf)
SYNTAX = (
    "LOC,SCALE or one of normal(LOC, SCALE), lognormal(LOC, SCALE) of the logarithm, "
    "uniform(LOW, HIGH), fixed(VALUE)"
)
_STATED = re.compile(
    r"\s*(?:(?P<family>[a-z]+)\s*\((?P<of>[^()]*)\)|(?P<pair>[^()\[\]]*?))"
    r"\s*(?:\bin\s*\[(?P<bounds>[^\[\]]*)\])?\s*(?:\bfrom\s+(?P<start>\S+))?\s*"
)

Role = Literal["physical", "coordinate", "scaling", "noise"]
Family = Literal[
    "normal",
    "lognormal",
    "student",
    "logstudent",
    "logitnormal",
    "circular",
    "uniform",
    "fixed",
]


@dataclass(frozen=True)
class Prior:
    """A prior on one sampled quantity.

    Attributes
    ----------
    family : Family
        Distribution: ``loc`` and ``scale`` of a lognormal are those of the logarithm; "student" is
        Student's t with 4 degrees of freedom, and "logstudent" that of the logarithm; "logitnormal"
        is of a share x between 0 and 1, whose log(x/(1 - x)) is Normal; "circular" is uniform over
        a period, which begins ``scale`` before ``loc`` and ends ``scale`` after it; "uniform" is
        that from ``low`` to ``high``; "fixed" holds the value ``loc``.
    loc, scale : float
        Location and scale, in the unit of the parameter.
    reason : str
        Why it is this one.
    low, high : float
        Ends of the values: a prior is truncated there.
    """

    family: Family
    loc: float
    scale: float
    reason: str = field(default="", compare=False)
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        """Return the prior as a paper would write it."""
        if self.family == "fixed":
            return f"held at {self.loc:g}"
        if self.family == "circular":
            return f"Uniform({self.loc - self.scale:g}, {self.loc + self.scale:g})"
        if self.family == "uniform":
            return f"Uniform({self.low:g}, {self.high:g})"
        degrees = "4, " if self.heavy else ""
        inside = f" in [{self.low:g}, {self.high:g}]" if self.truncated else ""
        return f"{self.family.capitalize()}({degrees}{self.loc:g}, {self.scale:g}){inside}"

    @property
    def fixed(self) -> bool:
        """Whether the value is held."""
        return self.family == "fixed"

    @property
    def truncated(self) -> bool:
        """Whether it ends where its family does not."""
        return self.family != "uniform" and (self.low > -math.inf or self.high < math.inf)

    @property
    def heavy(self) -> bool:
        """Whether it is Student's t, of the value or its logarithm."""
        return self.family in {"student", "logstudent"}

    @property
    def positive(self) -> bool:
        """Whether it is stated of the logarithm."""
        return self.family in {"lognormal", "logstudent"}

    @property
    def share(self) -> bool:
        """Whether it is stated of the log odds of what lies between 0 and 1."""
        return self.family == "logitnormal"

    def value_at(self, x: float) -> float:
        """Return the value whose logarithm, or log odds, is x where it is stated of these."""
        if self.share:
            return 1 / (1 + math.exp(-x))
        return math.exp(x) if self.positive else x

    def place_of(self, value: float) -> float:
        """Return the logarithm, or log odds, of a value where it is stated of these."""
        if self.share:
            return _log(value) - _log(1 - value)
        return _log(value) if self.positive else value

    def given(self, loc: float, scale: float) -> "Prior":
        """Return what takes its place where location and scale of the value are given.

        It is Normal; of a quantity that is positive lognormal, with median ``loc`` and relative
        scale ``scale / loc``; of a share logit-normal, with median ``loc``.

        Raises
        ------
        ValueError
            If the location is one that the quantity never has.
        """
        if self.share:
            if not 0 < loc < 1:
                raise ValueError(f"must lie between 0 and 1, found {loc:g}")
            return Prior("logitnormal", self.place_of(loc), scale / (loc * (1 - loc)), GIVEN)
        if self.positive:
            if loc <= 0:
                raise ValueError(f"must be positive, found {loc:g}")
            return Prior("lognormal", math.log(loc), scale / loc, GIVEN)
        return Prior("normal", loc, scale, GIVEN)

    def wrapped(self, value: Any) -> Any:
        """Return a value, or values, within the period of what is circular; others as they are."""
        if self.family != "circular":
            return value
        first, period = self.loc - self.scale, 2 * self.scale
        return first + (value - first) % period

    def between(self, low: float, high: float) -> "Prior":
        """Return the same truncated to values from ``low`` to ``high``."""
        low, high = max(low, self.low), min(high, self.high)
        if self.family == "uniform":
            return uniform(low, high)
        if self.share:
            raise ValueError(f"{self} takes no bounds: give uniform(LOW, HIGH) instead")
        normal = NormalDist(self.loc, self.scale)
        below, above = (normal.cdf(self.place_of(end)) for end in (low, high))
        if not above - below > LEAST_MASS:
            raise ValueError(f"{self} has next to nothing between the bounds {low:g} and {high:g}")
        return replace(self, low=low, high=high)

    @property
    def centre(self) -> float:
        """A likely value: the median, or where that is outside the bounds the one next to it."""
        return min(max(self.value_at(self.loc), self.low), self.high)

    @property
    def around(self) -> tuple[float, float]:
        """Centre and half the width of the middle of the prior, about 68 %."""
        low, high = (self.value_at(self.loc + sign * self.scale) for sign in (-1, 1))
        return (low + high) / 2, (high - low) / 2


def _log(value: float) -> float:
    return math.log(max(value, TINY))


def fixed(value: float) -> Prior:
    """Return what holds a value."""
    return Prior("fixed", value, 0.0, GIVEN)


def uniform(low: float, high: float) -> Prior:
    """Return the prior that is uniform between two finite values, the lower first."""
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            f"must lie between two finite numbers, the lower first, where it has no other prior, "
            f"found {low:g} and {high:g}"
        )
    return Prior("uniform", (low + high) / 2, (high - low) / 2, GIVEN, low, high)


@dataclass(frozen=True)
class Statement:
    """What a user says of one parameter.

    As text it is ``normal(-0.3, 0.2) in [-2, 0] from -0.5``: a distribution, or LOC,SCALE; the
    bounds; and where the search for the mode starts; each may be left out.

    Attributes
    ----------
    family : str
        Family of a `Prior`; empty for location and scale of what `Prior.given` makes of them.
    numbers : tuple of float
        Those of the distribution, none where nothing is said of it.
    low, high : float
        The bounds.
    start : float or None
        The start.
    """

    family: str = ""
    numbers: tuple[float, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    start: float | None = None

    @classmethod
    def of(cls, said: str | Sequence[float]) -> "Statement":
        """Return what is said by text, or by location and scale.

        Raises
        ------
        ValueError
            If it cannot be read.
        """
        if not isinstance(said, str):
            return cls("", _numbers(said, 2))
        found = _STATED.fullmatch(said.lower())
        if found is None or found["family"] not in (None, *_SAID):
            raise ValueError(f"must be {SYNTAX}")
        family = found["family"] or ""
        text = found["of"] if family else found["pair"]
        numbers = _numbers(text.split(","), _SAID[family]) if text else ()
        low, high = _numbers(found["bounds"].split(","), 2) if found["bounds"] else EVERYTHING
        start = _numbers([found["start"]], 1)[0] if found["start"] else None
        return cls(family, numbers, low, high, start)

    def __str__(self) -> str:
        """Return it as text that can be read again."""
        numbers = ", ".join(map(_short, self.numbers))
        parts = [f"{self.family}({numbers})" if self.family else numbers]
        if (self.low, self.high) != EVERYTHING:
            parts.append(f"in [{_short(self.low)}, {_short(self.high)}]")
        if self.start is not None:
            parts.append(f"from {_short(self.start)}")
        return " ".join(filter(None, parts))

    @property
    def of_prior(self) -> bool:
        """Whether it says more than where to start."""
        return bool(self.numbers) or (self.low, self.high) != EVERYTHING

    def prior(self, default: Prior) -> Prior:
        """Return the prior that it makes of another; bounds alone make it uniform.

        Raises
        ------
        ValueError
            If there is no such prior.
        """
        if self.start is not None and not self.low < self.start < self.high:
            raise ValueError(
                f"starts at {self.start:g}, outside its bounds {self.low:g} and {self.high:g}"
            )
        if not self.numbers:
            return uniform(self.low, self.high) if self.of_prior else default
        if self.family == "fixed":
            (value,) = self.numbers
            if not self.low <= value <= self.high:
                raise ValueError(
                    f"is held at {value:g}, outside its bounds {self.low:g} and {self.high:g}"
                )
            if default.positive and not value > 0:
                raise ValueError(f"must be greater than 0, found {value:g}")
            if default.share and not 0 < value < 1:
                raise ValueError(f"must lie between 0 and 1, found {value:g}")
            return fixed(value)
        if self.family == "uniform":
            return uniform(*self.numbers).between(self.low, self.high)
        loc, scale = self.numbers
        if not scale > 0:
            raise ValueError(f"must have a scale greater than 0, found {scale:g}")
        family: Any = self.family
        made = Prior(family, loc, scale, GIVEN) if family else default.given(loc, scale)
        return made.between(self.low, self.high) if (self.low, self.high) != EVERYTHING else made


_SAID = {
    "": 2,
    "normal": 2,
    "lognormal": 2,
    "student": 2,
    "logstudent": 2,
    "logitnormal": 2,
    "uniform": 2,
    "fixed": 1,
}


def _numbers(said: Sequence[Any], count: int) -> tuple[float, ...]:
    """Return so many numbers, of text or not."""
    try:
        numbers = tuple(float(number) for number in said)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or any(map(math.isnan, numbers)):
        raise ValueError(f"must be {SYNTAX}")
    return numbers


def _short(number: float) -> str:
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


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
