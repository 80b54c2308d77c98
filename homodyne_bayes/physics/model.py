"""What a model is: a function to the field correlation, with all that is to be said of it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import jax

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import Rate, RateLaw

Field = Callable[[ShardGrid, Mapping[str, Prior]], jax.Array]


@dataclass(frozen=True)
class Formula:
    """g1 of a model.

    Attributes
    ----------
    text, latex : str
        The formula.
    terms : tuple of str
        Clauses on its symbols, formulas between dollars.
    """

    text: str
    latex: str
    terms: tuple[str, ...] = ()


AT_REST = Formula(
    "g₁ = exp(−½ q² ∫D dt)",
    r"g_1 = \exp(-\tfrac{1}{2} q^2 \textstyle\int D\,\mathrm{d}t)",
    (
        "where $D$ is the transport coefficient, twice the diffusion coefficient of a Brownian "
        "particle",
    ),
)


def at_rest(_convention: Convention) -> Formula:
    """Return g1 of a fluid that diffuses, whatever the convention."""
    text = f"{AT_REST.text}; the model has no shear, so the convention makes no difference"
    return replace(AT_REST, text=text)


def under_flow(convention: Convention) -> Formula:
    """Return g1 of a fluid that diffuses and shears."""
    return Formula(
        AT_REST.text + convention.text,
        AT_REST.latex + convention.latex,
        (*AT_REST.terms, r"and $\mathrm{sinc}\,x = \sin(x)/x$"),
    )


def not_stated(_convention: Convention) -> Formula:
    """Return what is said of a model that states no formula."""
    return Formula("g₁ is what the model makes it", "")


@dataclass(frozen=True)
class Model:
    """One model of the fluid.

    Attributes
    ----------
    field : callable
        ``field(points, priors)`` samples parameters and returns the field correlation of every
        point, signed or complex, (N,); its modulus is g1.
    title : str
        What it is, in one line.
    needs : tuple of str
        What data must have beside maps, frames and q: "gap", "phi".
    rates : tuple of (Rate, RateLaw)
        What changes with time, and how.
    parameters : tuple of Parameter
        Rows of the parameters beside those of the rates.
    formula : callable
        ``formula(convention)`` is g1 as text and LaTeX.
    example : tuple of (str, float)
        Reported parameters of a typical fluid, for simulations.
    references : tuple of str
        Where it is from.
    still : Model, optional
        The same fluid without flow, whose parameters are among those of this model: its evidence
        is weighed against that of every fit.
    """

    field: Field
    title: str = "a model of your own"
    needs: tuple[str, ...] = ()
    rates: tuple[tuple[Rate, RateLaw], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    formula: Callable[[Convention], Formula] = not_stated
    example: tuple[tuple[str, float], ...] = ()
    references: tuple[str, ...] = ()
    still: "Model | None" = None

    @property
    def table(self) -> tuple[Parameter, ...]:
        """Rows of all parameters: reported ones, then coordinates."""
        reported = [row for rate, law in self.rates for row in law.reported(rate)]
        coordinates = [row for rate, law in self.rates for row in law.coordinates(rate)]
        return (*reported, *self.parameters, *coordinates)

    def sampled(self, known: Collection[str]) -> tuple[Parameter, ...]:
        """Return the rows of what is sampled where something is known of these parameters."""
        of_rates = (row for rate, law in self.rates for row in law.sampled(rate, known))
        return (*self.parameters, *of_rates)

    @property
    def reported(self) -> tuple[str, ...]:
        """Names of the physical parameters."""
        return tuple(row.name for row in self.table if row.role == "physical")
