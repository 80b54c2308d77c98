"""Settings of homodyne 2.x as those of this package, and what of them has no counterpart."""

import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from homodyne_bayes.compat.bounds import NAMES, has_flow
from homodyne_bayes.compat.homodyne_model import mode_of
from homodyne_bayes.errors import InputError

# bounds, and centre and width of the prior, as homodyne's own templates hold them
TEMPLATES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "D0": ((100, 1e5, 1000, 1000),),
    "alpha": ((-2, 2, -1.2, 0.3), (-2, 2, 0.5, 0.5)),
    "D_offset": ((-1e5, 1e5, 0, 150), (-1e5, 1e5, 10, 200)),
    "gamma_dot_t0": ((1e-6, 0.5, 0.01, 0.1),),
    "beta": ((-2, 2, 0, 0.5),),
    "gamma_dot_t_offset": ((-0.1, 0.1, 0, 0.02),),
    "phi0": ((-10, 10, 0, 5), (-30, 30, 0, 5)),
}
CHAINS = ("num_warmup", "num_samples", "num_chains", "target_accept_prob", "max_tree_depth")
CMC = "optimization.cmc.per_shard_mcmc"
READ = {
    *("metadata", "analysis_mode", "analysis_settings", "analyzer_parameters", "phi_filtering"),
    *("experimental_data", "initial_parameters", "parameter_space", "optimization"),
}
FILTERS = ("phi_filtering", "optimization.angle_filtering")


class Converted(NamedTuple):
    """What a configuration of homodyne says, in the words of this package.

    Attributes
    ----------
    file : str
        The data file that it names; empty if none.
    data, fit : dict
        The sections of a settings file.
    notes : list of str
        What was not taken, and what is done otherwise here.
    """

    file: str
    data: dict[str, Any]
    fit: dict[str, Any]
    notes: list[str]


def converted(config: Mapping[str, Any]) -> Converted:
    """Return the settings that a configuration of homodyne 2.x stands for.

    Frames, counted from 1 to the last one there, become those counted from 0 to before the last
    here. Bounds and priors that are those of homodyne's templates are no knowledge of the user, and
    are not taken.

    Raises
    ------
    InputError
        If it is no such configuration, or says what cannot be.
    """
    if not isinstance(config, Mapping) or "analyzer_parameters" not in config:
        raise InputError(
            "expected a configuration of homodyne 2.x with a section analyzer_parameters, found "
            "none; settings of this package are passed by --settings"
        )
    model = "laminar_flow" if has_flow(mode_of(_lowered(config))) else "static"
    notes: list[str] = []
    data = {**_experiment(config), **_azimuths(config, notes)}
    fit: dict[str, Any] = {"model": model, **_known(config, notes), **_sampling(config)}
    notes.append(
        "homodyne integrates D(t) and the shear rate by trapezoids from frame to frame; here "
        "integrals are exact, and integration: trapezoid is for parity"
    )
    if config.get("optimization"):
        notes.append("of optimization, chains and a number of shards are taken and nothing else")
    unread = sorted(str(name) for name in config if name not in READ)
    if unread:
        notes.append(f"no counterpart, not taken: {', '.join(unread)}")
    return Converted(_file(config), data, fit, notes)


def _at(config: Mapping[str, Any], path: str) -> Any:
    """Return what nested mappings hold at a dotted path, None where there is nothing."""
    found: Any = config
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _section(config: Mapping[str, Any], path: str, kind: type = Mapping) -> Any:
    """Return a section, or a list, at a dotted path; an empty one where there is none."""
    found = _at(config, path)
    if found is not None and not isinstance(found, kind):
        raise InputError(f"{path}: must be a section of its own, found {found!r}")
    return found if found is not None else kind() if kind is list else {}


def _lowered(config: Mapping[str, Any]) -> dict[str, Any]:
    mode, settings = config.get("analysis_mode"), _section(config, "analysis_settings")
    told = {"static_mode", "isotropic_mode"} & set(settings)
    lowered = mode.lower() if isinstance(mode, str) else mode
    return {"analysis_mode": lowered, "analysis_settings": settings if told else None}


def _experiment(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return q, dt, the gap, and the range of frames."""
    section = _section(config, "analyzer_parameters")
    time = _at(section, "temporal") or section
    q, gap = _at(section, "scattering.wavevector_q"), _at(section, "geometry.stator_rotor_gap")
    first, last = _at(time, "start_frame"), _at(time, "end_frame")
    for name, frame in (("start_frame", first), ("end_frame", last)):
        if frame is not None and not (isinstance(frame, int) and (frame >= 1 or frame == -1)):
            raise InputError(
                f"analyzer_parameters.{name}: must be a frame counted from 1, or -1 for the last, "
                f"found {frame!r}"
            )
    named = {
        "q": q,
        "dt": _at(time, "dt"),
        "gap": gap,
        "first_frame": first - 1 if first and first > 1 else None,
        "stop_frame": last if last and last > 0 else None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _azimuths(config: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the ranges of azimuths that are kept."""
    where = next((at for at in FILTERS if _at(config, f"{at}.enabled")), None)
    ranges = _at(config, f"{where}.target_ranges") if where else None
    if not ranges:
        return {}
    try:
        ends = [(float(row["min_angle"]), float(row["max_angle"])) for row in ranges]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{where}.target_ranges: must hold min_angle and max_angle of every range"
        ) from None
    if _at(config, f"{where}.fallback_to_all_angles"):
        notes.append("fallback_to_all_angles: a range without an azimuth is an error here")
    ends = [(low, high + 360 if high < low else high) for low, high in ends]  # through 180
    return {"angles": [f"{low:g}:{high:g}" for low, high in ends]}


def _known(config: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return what is held, where the search starts, and bounds and priors of the user's own."""
    at = "initial_parameters"
    first = _section(config, at)
    names = _section(config, f"{at}.parameter_names", list) or NAMES
    values = _section(config, f"{at}.values", list)
    start = {name: _number(f"initial value of {name}", v) for name, v in zip(names, values)}  # noqa: B905
    held = dict(_section(config, f"{at}.fixed_parameters"))
    active = first.get("active_parameters")
    if active:
        held |= {name: v for name, v in start.items() if name in NAMES and name not in active}
    start = {name: v for name, v in start.items() if name in NAMES and name not in held}
    if any(_section(config, f"{at}.per_angle_scaling").values()):
        notes.append("per_angle_scaling: contrast and offset of the angles are found, not taken")
    priors = _priors(config, held, notes)
    found = {"fix": held, "start": start, "priors": priors}
    return {word: said for word, said in found.items() if said}


def _priors(config: Mapping[str, Any], held: Iterable[str], notes: list[str]) -> dict[str, str]:
    """Return bounds and priors that differ from those of homodyne's templates."""
    priors, same = {}, []
    for row in _section(config, "parameter_space.bounds", list):
        name = _at(row, "name")
        if name not in NAMES or name in held:
            continue
        keys = ("min", "max", "prior_mu", "prior_sigma")
        numbers = [_number(f"{key} of {name}", row.get(key, math.nan)) for key in keys]
        low, high, mean, sd = numbers
        if any(_alike(numbers, template) for template in TEMPLATES[name]):
            same.append(name)
            continue
        normal = f"normal({mean:g}, {sd:g}) " if math.isfinite(mean + sd) else ""
        priors[name] = f"{normal}in [{low:g}, {high:g}]"
    if same:
        notes.append(
            f"bounds and priors of {', '.join(same)} are those of homodyne's templates: the "
            "priors of this package are kept, as homodyne-bayes models lists them"
        )
    if _at(config, "parameter_space.priors"):
        notes.append("priors of contrast and offset: those of this package are kept")
    return priors


def _alike(numbers: list[float], template: tuple[float, ...]) -> bool:
    return all(math.isnan(a) or math.isclose(a, b) for a, b in zip(numbers, template, strict=True))


def _sampling(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how chains run, and in how many shards, where the user says it."""
    chains, shards = _section(config, CMC), _at(config, "optimization.cmc.sharding.num_shards")
    fit = {name: chains[name] for name in CHAINS if isinstance(chains.get(name), int | float)}
    return fit | ({"num_shards": shards} if isinstance(shards, int) else {})


def _number(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{what}: must be a number, found {value!r}") from None


def _file(config: Mapping[str, Any]) -> str:
    """Return the data file that a configuration names, empty if none."""
    told = _section(config, "experimental_data")
    if told.get("file_path"):
        return str(told["file_path"])
    name, folder = told.get("data_file_name"), told.get("data_folder_path")
    return str(PurePath(folder or ".") / name) if name else ""
