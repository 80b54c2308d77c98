"""What a parameter is: name, symbol, unit, meaning, bounds, default and prior.

Models, rate laws, noises and scalings each hold rows of their own; together these are the table of
a fit. Reported parameters have the names of upstream (``D0``, ``alpha``, ...). What the sampler
moves are coordinates in which the posterior is nearly Gaussian.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Role = Literal["physical", "coordinate", "scaling", "noise"]


@dataclass(frozen=True)
class Prior:
    """A prior on one sampled quantity.

    Attributes
    ----------
    family : {"normal", "lognormal"}
        Distribution; ``loc`` and ``scale`` of a lognormal are those of the logarithm.
    loc, scale : float
        Location and scale, in the unit of the parameter.
    """

    family: Literal["normal", "lognormal"]
    loc: float
    scale: float

    def __str__(self) -> str:
        """Return the prior as a paper would write it."""
        return f"{self.family.capitalize()}({self.loc:g}, {self.scale:g})"


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


PER_ANGLE: tuple[str, ...] = ("contrast", "offset")


def priors_of(parameters: Iterable[Parameter]) -> dict[str, Prior]:
    """Return the priors of the parameters that are sampled, by name."""
    return {row.name: row.prior for row in parameters if row.prior is not None}
