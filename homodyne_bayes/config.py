"""Settings: what to read and how to fit, checked when made; unknown or invalid keys raise."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import PRIORS, Prior

Convention = Literal["upstream", "gap-average"]
Method = Literal["consensus", "laplace", "full"]
MergeRule = Literal["consensus", "parametric", "cavity"]
ChainMethod = Literal["parallel", "vectorized"]
NoiseModel = Literal["speckle", "corrected", "independent"]
SCALINGS = ("individual", "averaged", "constant", "fourier", "hierarchical", "marginal")
INTEGRATED = ("hierarchical", "marginal")  # contrast and offset are not sampled

MAX_FRAMES = MAX_MAPS = 100_000

_SHORT = reprlib.Repr(maxlevel=3, maxstring=200, maxlong=50, maxother=200)
_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


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
    """Turn ["phi0=0,5"] as typed on a command line into {"phi0": ["0", "5"]}."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("must map names to location and scale, as {phi0: [0, 5]}")
    parts = [item.partition("=") for item in value]
    return {name: _listed(numbers) for name, _, numbers in parts}


def _scaling(value: str) -> str:
    """Check a scaling and write out how many harmonics "fourier" has."""
    name, colon, harmonics = value.partition(":")
    if name not in SCALINGS or (colon and (name != "fourier" or not harmonics.isdecimal())):
        known = ", ".join(SCALINGS).replace("fourier", "fourier:K (K harmonics)")
        raise ValueError(f"must be one of {known}")
    return f"fourier:{int(harmonics or 2)}" if name == "fourier" else name


def _wavevectors(value: Any, checked: ValidatorFunctionWrapHandler) -> Any:
    """Take "all" as it is, "1, 2.5" as typed on a command line apart, and a number as one."""
    listed = [value] if isinstance(value, int | float) else _listed(value)
    return "all" if listed == ["all"] else checked(listed)


Count = Annotated[int, Field(ge=1)]
Wavevectors = Annotated[tuple[float, ...], WrapValidator(_wavevectors)]
Degrees = Annotated[tuple[float, ...], BeforeValidator(_listed)]
Frames = Annotated[tuple[int, ...], BeforeValidator(_frames)]
LocScale = tuple[float, Annotated[float, Field(gt=0)]]
Scaling = Annotated[str, AfterValidator(_scaling)]
Priors = Annotated[dict[str, LocScale], BeforeValidator(_named)]


@dataclass(frozen=True, config=_STRICT)
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
    angles: Degrees | None = None
    """Azimuths to keep in degree; all by default."""
    first_frame: int | None = None
    """First frame to keep, counted from 0."""
    stop_frame: int | None = None
    """Frame before which to stop."""
    exclude_frames: Frames = ()
    """Frames to leave out, e.g. 3,10-12."""


@dataclass(frozen=True, config=_STRICT)
class FitConfig:
    """How to fit; the text of every field is its command line help."""

    model: str = "laminar_flow"
    """static, laminar_flow, or file.py:function for a model of your own."""
    convention: Convention = "upstream"
    """Shear phase as homodyne 2.x has it, or averaged over the gap."""
    priors: Priors = Field(default_factory=dict)
    """Replace a prior by location and scale, e.g. phi0=0,10."""
    scaling: Scaling = "individual"
    """Contrast and offset: individual, averaged, constant, fourier:K, hierarchical or marginal."""
    method: Method = "consensus"
    """NUTS on shards and a merge, the fit at the mode alone (both reweighted), or NUTS on all."""
    noise: NoiseModel = "speckle"
    """Speckle's own correlations; least squares, its intervals corrected for them; or neither."""
    bin_frames: Count = 1
    """Frames averaged together in residuals, for more than 1000; short lags are lost."""
    num_shards: Annotated[int, Field(ge=2)] = 4
    """Shards of method consensus: whole angles, at most one each; of frames if independent."""
    merge: MergeRule = "cavity"
    """How shards are merged; cavity samples each within the rest as a Gaussian, and is exactest."""
    rescue_pairs: Annotated[int, Field(ge=0)] = 100_000
    """Where certification fails, run full NUTS on at most this many pairs; 0 for never."""
    num_warmup: Count = 300
    """Warm-up transitions of a chain."""
    num_samples: Annotated[int, Field(ge=4)] = 500
    """Kept draws of a chain."""
    num_chains: Count = 4
    """Chains of a shard."""
    target_accept_prob: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Raise it where transitions diverge."""
    max_tree_depth: Annotated[int, Field(ge=1, le=15)] = 10
    """At most 2^depth leapfrog steps a draw."""
    chain_method: ChainMethod = "parallel"
    """Chains over devices, or in lockstep on one, which pays on a GPU."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all randomness."""

    def prior_table(self) -> dict[str, Prior]:
        """Return the priors of all sampled quantities, with the user's in place.

        Raises
        ------
        InputError
            If a prior is set for a quantity that has none.
        """
        for name in self.priors:
            if name not in PRIORS:
                raise InputError(f"fit.priors.{name}: unknown; {suggest(name, PRIORS)}")
        return {
            name: Prior(prior.family, *self.priors[name]) if name in self.priors else prior
            for name, prior in PRIORS.items()
        }


SECTIONS: dict[str, type[DataConfig] | type[FitConfig]] = {"data": DataConfig, "fit": FitConfig}


def read_settings(path: str | Path | None) -> dict[str, dict[str, Any]]:
    """Return the sections ``data`` and ``fit`` of a YAML settings file.

    Raises
    ------
    InputError
        If the file cannot be read or holds another section.
    """
    if path is None:
        return {section: {} for section in SECTIONS}
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a YAML file, could not read it: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no such day, lists in lists
        line = " ".join(str(error).split())
        raise InputError(f"{path}: expected YAML, found a syntax error: {line}") from error
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise InputError(
            f"{path}: expected sections {' and '.join(SECTIONS)}, found {type(settings).__name__}"
        )
    for section in settings:
        if section not in SECTIONS:
            raise InputError(
                f"{path}: unknown section {_SHORT.repr(section)}; {suggest(section, SECTIONS)}"
            )
        if not isinstance(settings[section] or {}, dict):
            raise InputError(
                f"{path}: {section} must hold settings, found {_SHORT.repr(settings[section])}"
            )
    return {section: dict(settings.get(section) or {}) for section in SECTIONS}


def make[T: (DataConfig, FitConfig)](kind: type[T], settings: Mapping[str, Any]) -> T:
    """Return checked settings of one section.

    Raises
    ------
    InputError
        Naming the first key that is unknown or invalid, what was found and what is allowed.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(settings))
    except ValidationError as error:
        first: Any = error.errors()[0]
        section = next(name for name, known in SECTIONS.items() if known is kind)
        where = " ".join(".".join([section, *map(str, first["loc"])]).split())
        if first["type"] == "unexpected_keyword_argument":
            hint = suggest(first["loc"][-1], kind.__dataclass_fields__)
            raise InputError(f"{where}: unknown; {hint}") from None
        found, message = first["input"], first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {_lower(message)}, found {_SHORT.repr(found)}") from None


def descriptions(kind: type) -> dict[str, FieldInfo]:
    """Return annotation, default and text of every setting of a section."""
    return dict(kind.__pydantic_fields__)  # type: ignore[attr-defined]


def suggest(name: object, known: Iterable[str]) -> str:
    """Return which of the known names may have been meant."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
