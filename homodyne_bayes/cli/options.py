"""What commands share: a flag, a decorator that sets JAX up, text to values."""

import functools
from collections.abc import Callable

import click
from click.core import ParameterSource

from homodyne_bayes import environment
from homodyne_bayes.errors import InputError
from homodyne_bayes.results import levels

for_machines = click.option("--json", "as_json", is_flag=True, help="Print it for machines.")

overwrite = click.option(
    "--overwrite", is_flag=True, help="Replace what this command wrote there before."
)

laws = click.option(
    "--law",
    "laws",
    multiple=True,
    metavar="RATE=LAW",
    help="Law of a rate, as gamma_dot=constant; short for --model NAME:gamma_dot=constant.",
)


def following(model: str, laws: tuple[str, ...]) -> str:
    """Return the name of a model whose rates follow these laws, each RATE=LAW."""
    for law in laws:
        if "=" not in law:
            raise InputError(f"--law must be RATE=LAW, as gamma_dot=constant, found {law!r}")
    return ":".join([model, *laws])


def computes(command: Callable[..., None]) -> Callable[..., None]:
    """Set JAX up before a command that computes, on as many CPU devices as were asked for."""

    @functools.wraps(command)
    def after_setup(**arguments: object) -> None:
        root = click.get_current_context().find_root()
        environment.setup(root.params["cpu_devices"])
        command(**arguments)

    return after_setup


def refuse_options(names: tuple[str, ...], why: str) -> None:
    """Raise `InputError` if one of these options was given on the command line."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"{why}: leave out --{name.replace('_', '-')}")


def chosen_levels(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> tuple[float, ...]:
    """Return percents as typed; none where nothing was."""
    percents = () if text is None else numbers("--level", text)
    if percents:
        levels.checked(percents)
    return percents


level = click.option(
    "--level",
    "percents",
    metavar="PERCENT,PERCENT",
    callback=chosen_levels,
    help="Levels of the equal-tailed intervals that are stated, as 68,95.  [default: 90]",
)


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the numbers of an option's text, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} must be numbers separated by commas, found {text!r}") from None
