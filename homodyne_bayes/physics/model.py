"""What a model is: a function to the field correlation, with all that is to be said of it."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import jax

from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import Parameter
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.rates import Rate, RateLaw

Field = Callable[..., jax.Array]


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
        point, signed or complex, (N,); its modulus is g1. Where a rate may follow another law, as
        `following` makes it, the field takes that law by keyword, e.g. ``D_law``.
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

    def following(self, **laws: RateLaw) -> "Model":
        """Return the model with other laws of its rates, e.g. ``following(D=CONSTANT)``.

        The same laws give the same object. The fluid without flow follows them too.

        Raises
        ------
        InputError
            If the model has no such rate, or the law of that rate cannot be chosen.
        """
        free = [rate.name for rate, _ in self.rates if _keyword(rate.name) in self._arguments]
        for name in laws:
            if name not in free:
                raise InputError(
                    f"a law can be chosen for {', '.join(free) or 'no rate of this model'}, found "
                    f"{name!r}"
                )
        return _following(self, tuple(sorted(laws.items()))) if laws else self

    @property
    def laws(self) -> dict[str, RateLaw]:
        """The laws that were chosen by `following`, by the name of the rate."""
        chosen = self.field.keywords if isinstance(self.field, partial) else {}
        return {rate.name: law for rate, law in self.rates if _keyword(rate.name) in chosen}

    @property
    def function(self) -> Field:
        """The field as it was written."""
        return self.field.func if isinstance(self.field, partial) else self.field

    @property
    def _arguments(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.function).parameters)

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


def _keyword(rate: str) -> str:
    """Return the argument of a field that is the law of a rate."""
    return f"{rate}_law"


@lru_cache(maxsize=256)
def _following(model: Model, laws: tuple[tuple[str, RateLaw], ...]) -> Model:
    """Return the model with some laws; the same object for the same laws."""
    chosen = dict(laws)
    rates = tuple((rate, chosen.get(rate.name, law)) for rate, law in model.rates)
    examples = dict(model.example)
    for rate, law in model.rates:
        if rate.name in chosen:
            for row in law.reported(rate):
                examples.pop(row.name, None)
            examples |= chosen[rate.name].example(rate)
    still = model.still
    if still is not None:
        there = {rate.name for rate, _ in still.rates}
        still = still.following(**{name: law for name, law in laws if name in there})
    keywords = {_keyword(name): law for name, law in laws}
    return replace(
        model,
        field=partial(model.field, **keywords),
        rates=rates,
        example=tuple(examples.items()),
        still=still,
    )
