"""How settings are checked when they are made, what to read, and settings files."""

import difflib
import functools
import math
import re
import reprlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from homodyne_bayes.errors import InputError, suggest
from homodyne_bayes.parameters import Statement

SECTIONS = ("data", "fit")
MAX_FRAMES = MAX_MAPS = 100_000

_SHORT = reprlib.Repr(maxlevel=3, maxstring=200, maxlong=50, maxother=200)
_PAIR = re.compile(r"[-+\d\s.eE]*,[-+\d\s.eE]*")
STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _Yaml(yaml.SafeLoader):
    """YAML as version 1.2 reads it: 10:20 is text, not 620 in base 60, and 1e-3 a number."""


_OF_BASE_60 = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")}
_Yaml.yaml_implicit_resolvers = {
    first: [row for row in rows if row[0] not in _OF_BASE_60]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
}
for _kind, _form in _NUMBERS.items():
    _Yaml.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_form})$"), [*"-+.0123456789"]
    )


def _listed(value: Any) -> Any:
    """Split "1, 2.5" as typed on a command line; leave lists as they are."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _frames(value: Any) -> Any:
    """Expand "3,10-12" to 3, 10, 11, 12; leave lists as they are."""
    if not isinstance(value, str):
        return value
    ends = [(int(a), int(b or a)) for a, _, b in (part.partition("-") for part in _listed(value))]
    if sum(last - first + 1 for first, last in ends) > MAX_FRAMES:
        raise ValueError(f"at most {MAX_FRAMES} frames")
    return [frame for first, last in ends for frame in range(first, last + 1)]


def _named(value: Any) -> Any:
    """Turn ["phi0=0,5"] as typed on a command line into {"phi0": "0,5"}."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("must map names to location and scale, as {phi0: [0, 5]}")
    parts = [item.partition("=") for item in value]
    return {name: said for name, _, said in parts}


def _stated(value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
    """Return location and scale, or what else is said of a parameter, as text."""
    pair = isinstance(value, list | tuple) or value == "" or _PAIR.fullmatch(str(value))
    return checked(_listed(value)) if pair else str(Statement.of(value))


class Shorthand(NamedTuple):
    """A part of what is said of parameters in ``priors``, which has a word of its own.

    Attributes
    ----------
    metavar, text : str
        Its form and its help on the command line.
    put : callable
        ``put(statement, value)`` is the statement with this part.
    expected : str
        What a value must be.
    """

    metavar: str
    text: str
    put: Callable[[Statement, Any], Statement]
    expected: str


def _held(statement: Statement, value: Any) -> Statement:
    return replace(statement, family="fixed", numbers=(_finite(value),))


def _bounded(statement: Statement, value: Any) -> Statement:
    low, high = map(float, value.split(":") if isinstance(value, str) else value)
    if not low < high:
        raise ValueError
    return replace(statement, low=low, high=high)


def _started(statement: Statement, value: Any) -> Statement:
    return replace(statement, start=_finite(value))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


SHORTHANDS = {
    "fix": Shorthand("NAME=VALUE", "Hold a parameter, e.g. D_offset=0.", _held, "a number"),
    "bounds": Shorthand(
        "NAME=LOW:HIGH",
        "Bound a parameter, whose prior is uniform there without one of yours, e.g. alpha=-2:0.",
        _bounded,
        "two numbers, LOW:HIGH, the lower first",
    ),
    "start": Shorthand(
        "NAME=VALUE", "A start for the search of the mode, e.g. D0=1e4.", _started, "a number"
    ),
}


def stating(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings of a fit, those by shorthands as the parts of ``priors`` that they are.

    Raises
    ------
    InputError
        If what a shorthand says cannot be read.
    """
    said = {word: values[word] for word in SHORTHANDS if values.get(word)}
    rest = {name: value for name, value in values.items() if name not in SHORTHANDS}
    priors = _said("priors", rest.get("priors")) if said else {}
    for word, names in said.items():
        for name, value in _said(word, names).items():
            try:
                priors[name] = str(SHORTHANDS[word].put(Statement.of(priors.get(name, "")), value))
            except (TypeError, ValueError):
                raise InputError(
                    f"fit.{word}.{name}: must be {SHORTHANDS[word].expected}, found "
                    f"{_SHORT.repr(value)}"
                ) from None
    return {**rest, "priors": priors} if said else rest


def _said(word: str, names: Any) -> dict[str, Any]:
    """Return what is said of every name."""
    try:
        return dict(_named(names or {}))
    except ValueError:
        raise InputError(
            f"fit.{word}: must map names to values, found {_SHORT.repr(names)}"
        ) from None


class OneOf:
    """Checks that a setting names a row of a table, as it is when the setting is made."""

    def __init__(self, table: Collection[str]) -> None:
        self.table = table

    @property
    def choices(self) -> tuple[str, ...]:
        """The names of the rows."""
        return tuple(self.table)

    def __call__(self, value: str) -> str:
        """Return the name, or say which there are and which may have been meant."""
        if value in self.choices:
            return value
        close = difflib.get_close_matches(value, self.choices, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"must be one of {', '.join(self.choices)}{hint}")


def _wavevectors(value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
    """Take "all" as it is, "1, 2.5" as typed on a command line apart, and a number as one."""
    listed = [value] if isinstance(value, int | float) else _listed(value)
    return "all" if listed == ["all"] else checked(listed)


Count = Annotated[int, Field(ge=1)]
Wavevectors = Annotated[tuple[float, ...], WrapValidator(_wavevectors)]
Degrees = Annotated[tuple[float, ...], BeforeValidator(_listed)]
Range = Annotated[str, Field(pattern="^[^:]+:[^:]+$")]
Azimuths = Annotated[tuple[float | Range, ...], BeforeValidator(_listed)]
Frames = Annotated[tuple[int, ...], BeforeValidator(_frames)]
LocScale = tuple[float, Annotated[float, Field(gt=0)]]
Stated = Annotated[LocScale, WrapValidator(_stated)]
Priors = Annotated[dict[str, Stated], BeforeValidator(_named)]


def settings[T](
    section: str, spelled: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> Callable[[type[T]], type[T]]:
    """Return what makes a class of settings say in an `InputError` what is wrong with them.

    ``spelled(values)`` are the settings that are meant by values.
    """

    def checked(kind: type[T]) -> type[T]:
        make = kind.__init__

        @functools.wraps(make)
        def init(self: T, *arguments: Any, **values: Any) -> None:
            try:
                make(self, *arguments, **spelled(values))
            except ValidationError as error:
                raise InputError(_complaint(section, kind, error)) from None

        kind.__init__ = init  # type: ignore[method-assign,assignment]
        return kind

    return checked


@settings("data")
@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """What to read from a file; the text of every field is its command line help."""

    q: Wavevectors | None = None
    """Wavevectors in 1/Å: which of the file's, or its only one; several share D(t), as do all."""
    dt: float | None = None
    """Time between frames in s, where the file has none."""
    gap: float | None = None
    """Gap between the walls in Å, needed for flow."""
    phi: Degrees | None = None
    """Azimuths of the maps in degree, where the file has none."""
    age: float | None = None
    """Age of the file's first frame in s, from which rate laws count time; 0 where none is told."""
    angles: Azimuths | None = None
    """Azimuths to keep in degree, and ranges, e.g. 0,85:95; all by default."""
    first_frame: int | None = None
    """First frame to keep, counted from 0."""
    stop_frame: int | None = None
    """Frame before which to stop."""
    exclude_frames: Frames = ()
    """Frames to leave out, e.g. 3,10-12."""
    first_lag: Count = 1
    """First lag to keep, in frames: leave out those that a detector's afterpulsing correlates."""


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Yaml)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a YAML file, could not read it: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day, lists in lists
        line = " ".join(str(error).split())
        raise InputError(f"{path}: expected YAML, found a syntax error: {line}") from error


def read_settings(path: str | Path | None) -> dict[str, dict[str, Any]]:
    """Return the sections ``data`` and ``fit`` of a YAML settings file.

    Raises
    ------
    InputError
        If the file cannot be read or holds another section.
    """
    if path is None:
        return {section: {} for section in SECTIONS}
    settings = read_yaml(path)
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise InputError(
            f"{path}: expected sections {' and '.join(SECTIONS)}, found {type(settings).__name__}"
        )
    for section in settings:
        if section not in SECTIONS:
            hint = suggest(section, SECTIONS)
            if "analyzer_parameters" in settings:
                hint = f"of homodyne's configuration `homodyne-bayes convert {path}` makes settings"
            raise InputError(f"{path}: unknown section {_SHORT.repr(section)}; {hint}")
        if not isinstance(settings[section] or {}, dict):
            raise InputError(
                f"{path}: {section} must hold settings, found {_SHORT.repr(settings[section])}"
            )
    return {section: dict(settings.get(section) or {}) for section in SECTIONS}


def _complaint(section: str, kind: type, error: ValidationError) -> str:
    """Return which setting is unknown or invalid, what was found and what is allowed."""
    first: Any = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause)
    where = " ".join(".".join([section, *map(str, first["loc"])]).split())
    if first["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown; {suggest(first['loc'][-1], descriptions(kind))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {_lower(message)}, found {_SHORT.repr(first['input'])}"


def descriptions(kind: type) -> dict[str, FieldInfo]:
    """Return annotation, default and text of every setting of a section."""
    return dict(kind.__pydantic_fields__)  # type: ignore[attr-defined]


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
