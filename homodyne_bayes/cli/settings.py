"""Settings as options: one for every setting, named and described as it is."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import click
from pydantic.fields import FieldInfo

from homodyne_bayes.config import SHORTHANDS, DataConfig, OneOf, descriptions, read_settings
from homodyne_bayes.data import reading
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting.settings import SECTIONS, FitConfig


def settings_options(
    command: Callable[..., None], without: tuple[str, ...] = ()
) -> Callable[..., None]:
    """Give a command one option for every setting of every section, named as the setting."""
    for kind in reversed(SECTIONS.values()):
        for name, setting in reversed(descriptions(kind).items()):
            command = command if name in without else _option(name, setting)(command)
            if name == "priors":
                command = _shorthands(command)
    return click.option(
        "--settings", metavar="FILE.yaml", help="Settings file with sections data: and fit:."
    )(command)


def chosen_settings(settings: str | None, flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of each section, flags before those of the settings file."""
    chosen = read_settings(settings)
    for section, kind in SECTIONS.items():
        words = SHORTHANDS if kind is FitConfig else ()
        given = {name: flags.get(name) for name in (*descriptions(kind), *words)}
        chosen[section] |= {name: flag for name, flag in given.items() if flag not in (None, ())}
    return chosen


def read_data(file: str, chosen: DataConfig, **detector: Any) -> TwoTimeData:
    """Return what settings choose of a data file, and of its detector what was passed."""
    return reading.read(file, **dataclasses.asdict(chosen), **detector)


def _shorthands(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say a part of what is known of parameters."""
    for word, shorthand in reversed(SHORTHANDS.items()):
        option = click.option(
            f"--{word}", word, metavar=shorthand.metavar, multiple=True, help=shorthand.text
        )
        command = option(command)
    return command


def _option(name: str, setting: FieldInfo) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option of a setting; its text goes to `config.make`, which checks it."""
    repeated = name == "priors"
    allowed = choices(setting)
    silent = repeated or setting.default in (None, ())
    shown = "" if silent else f"  [default: {setting.default}]"
    return click.option(
        "--prior" if repeated else "--" + name.replace("_", "-"),
        name,
        type=click.Choice(allowed) if allowed else str,
        metavar=None if allowed else "NAME=PRIOR" if repeated else "VALUE",
        multiple=repeated,
        help=f"{setting.description}{shown}",
    )


def choices(setting: FieldInfo) -> tuple[str, ...]:
    """Return the rows of the table of which a setting names one; none for another kind."""
    checks = (getattr(validator, "func", None) for validator in setting.metadata)
    return next((check.choices for check in checks if isinstance(check, OneOf)), ())
