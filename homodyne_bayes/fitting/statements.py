"""Whether what a user says of parameters can be, and where the search for the mode then starts."""

import math
from collections.abc import Collection, Mapping, Sequence

import jax

from homodyne_bayes.errors import InputError, refuse_unknown
from homodyne_bayes.likelihood.scaling import Scaling
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.parameters import PER_ANGLE, Parameter, Prior, Statement, priors_of
from homodyne_bayes.physics.model import Model

WHERE = "fit.priors"


def check_statements(
    stated: Mapping[str, Statement], model: Model, table: Sequence[Parameter], scaling: Scaling
) -> None:
    """Raise `InputError` if what a user says of parameters cannot be.

    Parameters
    ----------
    stated : mapping of str to Statement
        What is said, by name.
    model : Model
        The model.
    table : sequence of Parameter
        Rows of all parameters of the fit.
    scaling : Scaling
        How contrast and offset vary.
    """
    for rate, law in model.rates:
        made = [row.name for row in law.reported(rate) if row.name in stated]
        if made and law.instead is None:
            others = ", ".join(_names(law.coordinates(rate)))
            raise InputError(f"{WHERE}.{made[0]}: follows from {others}: say it of these")
    reported = [row.name for rate, law in model.rates for row in law.reported(rate)]
    refuse_unknown(WHERE, stated, [row.name for row in table if row.prior or row.name in reported])
    known = {name for name, said in stated.items() if said.of_prior}
    _check_told_once(stated, known, model)
    rows = {row.name: row for row in (*table, *model.sampled(known))}
    for name in stated:
        _check(name, stated[name], rows[name], model, scaling)
    sampled = priors_of(model.sampled(known))
    held = {name for name in known if stated[name].family == "fixed"}
    if sampled and not {*sampled} - held:
        raise InputError(f"fit.fix holds all of {', '.join(sampled)}: leave one of them free")


def _check_told_once(names: Collection[str], known: Collection[str], model: Model) -> None:
    """Raise `InputError` if something is said of a coordinate whose place another has taken."""
    for rate, law in model.rates:
        sampled = _names(law.sampled(rate, known))
        instead = [row.name for row in law.reported(rate) if row.name in known]
        for row in law.coordinates(rate):
            if row.name in names and row.name not in sampled:
                raise InputError(
                    f"{WHERE}.{row.name}: follows where something is said of "
                    f"{' and '.join(instead)}: leave out one of them"
                )


def _check(name: str, said: Statement, row: Parameter, model: Model, scaling: Scaling) -> None:
    """Raise `InputError` if a statement makes no prior, or no start, of a parameter."""
    held = scaling.held and name in PER_ANGLE and said.family == "fixed"
    allowed = Statement("fixed" if held else "", said.numbers)
    if row.role == "scaling" and said != allowed:
        raise InputError(
            f"{WHERE}.{name}: contrast and offset take LOC,SCALE, found {str(said)!r}: to hold "
            "them pass --scaling constant too"
        )
    if row.role == "noise" and said.start is not None:
        raise InputError(f"fit.start.{name}: the search finds it by itself: leave it out")
    if row.prior is None:  # of which only a start can be said
        return
    try:
        said.prior(row.prior)
    except ValueError as error:
        way = _without(name, model) if said.family == "fixed" else ""
        raise InputError(f"{WHERE}.{name}: {error}{way}") from None


def _without(name: str, model: Model) -> str:
    """Return how to fit without the rate of a parameter, as the end of a complaint, if at all."""
    rate = next((rate for rate, law in model.rates if name in _names(law.parameters(rate))), None)
    if rate is None or model.still is None or rate in [own for own, _ in model.still.rates]:
        return ""
    still = [called for called, record in MODELS.items() if record is model.still]
    return f"; without any {rate.meaning} it is model {still[0]}" if still else ""


def start_of(
    stated: Mapping[str, Statement], model: Model, priors: Mapping[str, Prior], t_ref: jax.Array
) -> dict[str, float]:
    """Return where the search starts as the user says, by what is sampled; nothing for nowhere.

    Parameters that nothing is said of start at the centres of their priors.

    Parameters
    ----------
    stated : mapping of str to Statement
        What is said, by name.
    model : Model
        The model.
    priors : mapping of str to Prior
        Of all that is sampled or held.
    t_ref : jax.Array
        Reference time, s, ().

    Raises
    ------
    InputError
        If a rate would not be positive.
    """
    starts = {name: said.start for name, said in stated.items() if said.start is not None}
    if not starts:
        return {}
    likely = {name: prior.centre for name, prior in priors.items()} | starts
    values = {row.name: likely[row.name] for row in model.parameters if row.name in priors}
    for rate, law in model.rates:
        rows = law.sampled(rate, {*priors, *starts})
        own = {row.name: row.prior.centre for row in rows if row.prior} | likely
        made = law.made_of(rate, {row.name: own[row.name] for row in rows}, t_ref)
        ends = (*made, *law.to_coordinates(made, t_ref))
        named = zip(_names(law.parameters(rate)), ends, strict=True)
        values |= {name: float(value) for name, value in named if name in priors}
    if not all(map(math.isfinite, values.values())):
        raise InputError(f"fit.start: rates must be positive at the start, found {starts}")
    return {name: value for name, value in values.items() if not priors[name].fixed}


def _names(rows: Sequence[Parameter]) -> list[str]:
    return [row.name for row in rows]
