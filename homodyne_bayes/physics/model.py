"""What a model is: a function to the field correlation, with all that is to be said of it."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax

from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rates import Rate, RateLaw, draw, sample


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


def same_in_every_convention(text: str, latex: str, *terms: str) -> Callable[[Convention], Formula]:
    """Return what makes the formula of a fluid that diffuses, whatever the convention."""
    return lambda _convention: Formula(text, latex, (*AT_REST.terms, *terms))


def under_flow(convention: Convention, still: Formula = AT_REST) -> Formula:
    """Return g1 of a fluid that shears, and is ``still`` at rest."""
    sinc = r"and $\mathrm{sinc}\,x = \sin(x)/x$"
    return Formula(
        still.text + convention.text, still.latex + convention.latex, (*still.terms, sinc)
    )


def under_flow_of(still: "Model") -> Callable[[Convention], Formula]:
    """Return what makes g1 of a fluid that shears, and at rest follows another model."""
    return lambda convention: under_flow(convention, still.formula(convention))


def under_flow_times(factor: str) -> Callable[[Convention], Formula]:
    """Return what makes g1 of a fluid that shears by a factor, such as "(1 − w)", of γ̇."""

    def formula(convention: Convention) -> Formula:
        flow, latex = under_flow(convention), factor.replace("−", "-")
        return replace(
            flow,
            text=flow.text.replace("∫γ̇", f"{factor} ∫γ̇"),
            latex=flow.latex.replace(r"\int \dot", rf"{latex} \int \dot"),
        )

    return formula


def under_flow_beside_frozen(convention: Convention) -> Formula:
    """Return g1 of a fluid that shears, beside what is frozen; sinc has its sign."""
    factor, latex = (text.replace("|", "") for text in (convention.text, convention.latex))
    walls = rf"where $\psi = {convention.walls:.3g}\,x$ is the phase between the walls"
    return Formula(
        f"g₁ = |(1 − f) exp(i v ψ) g + f|, ψ = {convention.walls:.3g} x the phase between the "
        f"walls, g = exp(−½ q² ∫D dt){factor}",
        r"g_1 = |(1 - f)\,e^{i v \psi} g + f|, \quad "
        rf"g = \exp(-\tfrac{{1}}{{2}} q^2 \textstyle\int D\,\mathrm{{d}}t){latex}",
        (*AT_REST.terms, walls),
    )


def not_stated(_convention: Convention) -> Formula:
    """Return what is said of a model that states no formula."""
    return Formula("g₁ is what the model makes it", "")


@dataclass(frozen=True)
class Model:
    """One model of the fluid.

    Attributes
    ----------
    function : callable
        Returns the field correlation of every point, signed or complex, (N,); its modulus is g1.
        It is given points, and by name what the record lists: every rate, as its `History`, and
        every parameter, (). One that names none of these, ``function(points, priors)``, samples
        what it needs itself.
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
    chosen : tuple of str
        Names of the rates whose laws were chosen by `following`.
    """

    function: Callable[..., jax.Array]
    title: str = "a model of your own"
    needs: tuple[str, ...] = ()
    rates: tuple[tuple[Rate, RateLaw], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    formula: Callable[[Convention], Formula] = not_stated
    example: tuple[tuple[str, float], ...] = ()
    references: tuple[str, ...] = ()
    still: "Model | None" = None
    chosen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a function that is given part of what the record lists."""
        missing = [name for name in self._listed if name not in self._arguments]
        if self._given and missing:
            raise InputError(
                f"a model that is given {', '.join(self._given)} must be given all that its record "
                f"lists, found none of {', '.join(missing)} among the arguments of "
                f"{getattr(self.function, '__name__', 'it')}: name them there, or take them out of "
                "the record"
            )

    def field(self, points: ShardGrid, priors: Mapping[str, Prior]) -> jax.Array:
        """Sample rates, then parameters, and return the field correlation of every point, (N,)."""
        if not self._given:
            return self.function(points, priors)
        values: dict[str, Any] = {
            rate.name: sample(rate, law, points, priors) for rate, law in self.rates
        }
        values |= {row.name: draw(row.name, priors) for row in self.parameters}
        return self.function(points, **values)

    def following(self, **laws: RateLaw) -> "Model":
        """Return the model with other laws of its rates, e.g. ``following(D=CONSTANT)``.

        The same laws give the same object. The fluid without flow follows them too.

        Raises
        ------
        InputError
            If the model has no such rate, samples it itself, or that rate cannot follow the law.
        """
        free = {rate.name: rate for rate, _ in self.rates if self._given}
        for name, law in laws.items():
            if name not in free:
                raise InputError(
                    f"a law can be chosen for {', '.join(free) or 'no rate of this model'}, found "
                    f"{name!r}"
                )
            if law.signed and not free[name].signed:
                raise InputError(
                    f"{name} is never negative, found a law that is ({law.title}): choose another"
                )
        return _following(self, tuple(sorted(laws.items()))) if laws else self

    @property
    def laws(self) -> dict[str, RateLaw]:
        """The laws that were chosen by `following`, by the name of the rate."""
        return {rate.name: law for rate, law in self.rates if rate.name in self.chosen}

    @property
    def _listed(self) -> list[str]:
        return [*(rate.name for rate, _ in self.rates), *(row.name for row in self.parameters)]

    @property
    def _arguments(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.function).parameters)

    @property
    def _given(self) -> list[str]:
        return [name for name in self._listed if name in self._arguments]

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
    return replace(
        model,
        rates=rates,
        example=tuple(examples.items()),
        still=still,
        chosen=tuple({**dict.fromkeys(model.chosen), **chosen}),
    )
