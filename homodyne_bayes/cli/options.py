"""Options of commands: one for every setting, named and described as it is; text to values."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic.fields import FieldInfo

from homodyne_bayes.config import SECTIONS, DataConfig, descriptions, read_settings
from homodyne_bayes.data import reading
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import DIFFUSION, SHEAR
from homodyne_bayes.physics import simulate

for_machines = click.option("--json", "as_json", is_flag=True, help="Print it for machines.")


def _option(name: str, setting: FieldInfo) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option of a setting; its text goes to `config.make`, which checks it."""
    repeated = name == "priors"
    literal = get_origin(setting.annotation) is Literal
    silent = repeated or setting.default in (None, ())
    shown = "" if silent else f"  [default: {setting.default}]"
    return click.option(
        "--prior" if repeated else "--" + name.replace("_", "-"),
        name,
        type=click.Choice(get_args(setting.annotation)) if literal else str,
        metavar=None if literal else "NAME=LOC,SCALE" if repeated else "VALUE",
        multiple=repeated,
        help=f"{setting.description}{shown}",
    )


def settings_options(
    command: Callable[..., None], without: tuple[str, ...] = ()
) -> Callable[..., None]:
    """Give a command one option for every setting of every section, named as the setting."""
    for kind in reversed(SECTIONS.values()):
        for name, setting in reversed(descriptions(kind).items()):
            command = command if name in without else _option(name, setting)(command)
    return click.option(
        "--settings", metavar="FILE.yaml", help="Settings file with sections data: and fit:."
    )(command)


def chosen_settings(settings: str | None, flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of each section, flags before those of the settings file."""
    chosen = read_settings(settings)
    for section, kind in SECTIONS.items():
        given = {name: flags.get(name) for name in descriptions(kind)}
        chosen[section] |= {name: flag for name, flag in given.items() if flag not in (None, ())}
    return chosen


def refuse_options(names: tuple[str, ...], why: str) -> None:
    """Raise `InputError` if one of these options was given on the command line."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InputError(f"{why}: leave out --{name.replace('_', '-')}")


def experiment(phi: str, parameters: dict[str, float], o: dict[str, Any]) -> simulate.Experiment:
    """Return the experiment of the simulate command's options."""
    geometry = {name: o[name] for name in ("dt", "gap", "contrast", "convention")}
    bins = itertools.product(numbers("--q", o["q"]), numbers("--phi", phi))
    q, azimuths = zip(*bins, strict=True)
    return simulate.Experiment(azimuths, o["frames"], parameters, q=q, **geometry)


def numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the numbers of an option's text, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} must be numbers separated by commas, found {text!r}") from None


def true_parameters(model: str, values: tuple[str, ...]) -> dict[str, float]:
    """Return the true parameters of a model, those given as NAME=VALUE and the rest by default."""
    known = DIFFUSION if model == "static" else (*DIFFUSION, *SHEAR)
    parameters = {name: simulate.LAMINAR[name] for name in known}
    for item in values:
        name, _, text = item.partition("=")
        if name not in known:
            raise InputError(f"--set knows {', '.join(known)}, found {name!r}")
        try:
            parameters[name] = float(text)
        except ValueError:
            raise InputError(f"--set {name} needs a number, found {text!r}") from None
    return parameters


def read_data(file: str, chosen: DataConfig) -> TwoTimeData:
    """Return what settings choose of a data file."""
    return reading.read(file, **dataclasses.asdict(chosen))


def writable(path: str | Path, source: str | None = None) -> Path:
    """Return a path that can be written, found out before the work and not after."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; name a file in a folder you may write to")
    if source is not None and path.exists() and path.samefile(source):
        raise InputError(f"{path}: would overwrite what it is made from; choose another --out")
    return path
