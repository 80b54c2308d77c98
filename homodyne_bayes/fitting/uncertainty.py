"""Standard uncertainties of what is stated of an experiment, as settings: read and checked."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from homodyne_bayes.errors import InputError, refuse_unknown
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.stated import STATED, followed

WHERE = "fit.uncertainty"


def _checked(value: Any) -> dict[str, float]:
    """Return standard uncertainties by name, also of "q=0.01,gap=0.03" as it is typed.

    Raises
    ------
    InputError
        If a name is unknown, or a number cannot be an uncertainty.
    """
    given = _named(value)
    refuse_unknown(WHERE, given, STATED)
    return {str(name): _standard(str(name), found) for name, found in given.items()}


Uncertainty = Annotated[dict[str, float], BeforeValidator(_checked)]


def _named(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(
        isinstance(item, str) and "=" in item for item in items
    ):
        raise InputError(
            f"{WHERE}: must give names their standard uncertainties, as q=0.01,gap=0.03, found "
            f"{value!r}"
        )
    parts = [item.partition("=") for item in items]
    return {name.strip(): number for name, _, number in parts}


def _standard(name: str, found: Any) -> float:
    stated = STATED[name]
    try:
        number = float(found)
    except (TypeError, ValueError):
        number = -1.0
    if 0 < number < stated.most:
        return number
    kind = "in degree, such as phi=0.5" if stated.unit else f"relative, such as {name}=0.01 for 1 %"
    raise InputError(
        f"{WHERE}.{name}: must be a standard uncertainty {kind}, above 0 and below "
        f"{stated.most:g}, found {found!r}; leave {name} out where it is exact"
    )


def check_followed(names: Iterable[str], model: Model, called: str) -> None:
    """Raise `InputError` where nothing of a model is told to follow what is not exact."""
    has_part = followed([rate for rate, _ in model.rates], model.parameters)
    for name in names:
        if has_part[name]:
            continue
        title = f"the {STATED[name].title}"
        if not any(has_part.values()):
            raise InputError(
                f"{WHERE}.{name}: expected a model that tells how its rates follow {title}, found "
                f"none told by {called}: state ``follows`` of its rates in a Model"
            )
        raise InputError(
            f"{WHERE}.{name}: expected a model in which something follows {title}, found {called}, "
            f"where nothing does: leave out {name}, or fit a model with flow"
        )
