"""One file a model, and the table of them.

A model of your own is a file with a function ``(points, priors)`` like those here that returns the
field correlation, named as ``--model file.py:function``; or with a `Model` that says more of it,
named as ``--model file.py:NAME``. Another package adds a model by an entry point of the group
``homodyne_bayes.models`` that leads to a `Model`.

Behind the name of a model stand the laws of its rates where they are not its own, as in
``laminar_flow:D=exponential:gamma_dot=constant``.
"""

import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from homodyne_bayes.errors import InputError, suggest
from homodyne_bayes.model_files import (
    frozen,
    frozen_flow,
    laminar_flow,
    oscillatory_flow,
    static,
    stretched,
    stretched_flow,
    two_components,
    two_relaxations,
    wall_slip,
)
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.rate_laws import RATE_LAWS
from homodyne_bayes.physics.rates import RateLaw

__all__ = ["GROUP", "MODELS", "load_model", "model_name", "models", "source_hash"]

GROUP = "homodyne_bayes.models"
MODELS: dict[str, Model] = {
    "static": static.MODEL,
    "laminar_flow": laminar_flow.MODEL,
    "stretched": stretched.MODEL,
    "stretched_flow": stretched_flow.MODEL,
    "two_relaxations": two_relaxations.MODEL,
    "frozen": frozen.MODEL,
    "frozen_flow": frozen_flow.MODEL,
    "oscillatory_flow": oscillatory_flow.MODEL,
    "wall_slip": wall_slip.MODEL,
    "two_components": two_components.MODEL,
}


def models() -> dict[str, Model]:
    """Return the models of this package and of those that add some, by name.

    Raises
    ------
    InputError
        If an entry point of another package does not lead to a model.
    """
    return MODELS | {point.name: _plugged_in(point.name) for point in entry_points(group=GROUP)}


def model_name(model: str | Callable[..., object] | Model) -> str:
    """Return how a model is called in a result."""
    if isinstance(model, str):
        return model
    if not isinstance(model, Model):
        return getattr(model, "__name__", "model")
    names = {law: name for name, law in RATE_LAWS.items()}
    laws = [f"{rate}={names.get(law, 'law')}" for rate, law in model.laws.items()]
    return ":".join([getattr(model.function, "__name__", "model"), *laws])


def load_model(model: str | Callable[..., object] | Model) -> Model:
    """Return a model: by name, from ``file.py:name``, from a function, or as it is.

    Raises
    ------
    InputError
        If there is no such model, file or function, or no such law of a rate.
    """
    if isinstance(model, Model):
        return model
    if not isinstance(model, str):
        return Model(model)  # type: ignore[arg-type]
    name, laws = _laws(model)
    return _named(name).following(**laws)


def _laws(model: str) -> tuple[str, dict[str, RateLaw]]:
    """Return the name of a model without the laws behind it, and these by the rate."""
    parts = model.split(":")
    chosen = dict(part.split("=", 1) for part in parts if "=" in part)
    for rate, law in chosen.items():
        if law not in RATE_LAWS:
            raise InputError(f"the law of {rate}: unknown {law!r}; {suggest(law, RATE_LAWS)}")
    name = ":".join(part for part in parts if "=" not in part)
    return name, {rate: RATE_LAWS[law] for rate, law in chosen.items()}


def _named(model: str) -> Model:
    """Return a model by name, or from ``file.py:name``."""
    if model in MODELS:
        return MODELS[model]
    if model in entry_points(group=GROUP).names:
        return _plugged_in(model)
    path, separator, name = model.partition(":")
    if not separator or not Path(path).is_file():
        raise InputError(
            f"model must be one of {', '.join(models())} or file.py:function of an existing file, "
            f"found {model!r}"
        )
    return _from_file(path, name, _digest(Path(path)))


def source_hash(model: str | Callable[..., object] | Model) -> dict[str, str]:
    """Return the SHA-256 of what defines a model that is not one of this package, if known."""
    if not isinstance(model, str):
        function = model.function if isinstance(model, Model) else model
        try:
            source = inspect.getsource(function)
        except (OSError, TypeError):
            return {}
        return {"model_sha256": hashlib.sha256(source.encode()).hexdigest()}
    path = Path(model.partition(":")[0])
    if str(path) in MODELS or not path.is_file():
        return {}
    return {"model_sha256": _digest(path)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=16)
def _from_file(path: str, name: str, _content: str) -> Model:
    """Return the model of this name in a file; the same object for the same content."""
    held = getattr(_module(path), name, None)
    if isinstance(held, Model):
        return held
    if not callable(held):
        raise InputError(f"{path}: expected a function {name!r}, found none of that name")
    return Model(held)


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"model file must be Python (.py), found {path!r}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (ImportError, NameError, SyntaxError, AttributeError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise InputError(f"{path}: the model could not be loaded: {kind}: {error}") from error
    return module


@lru_cache(maxsize=16)
def _plugged_in(name: str) -> Model:
    """Return the model that an entry point of another package leads to."""
    (point,) = entry_points(group=GROUP, name=name)
    try:
        model = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"model {name!r} of the entry point {point.value!r} could not be loaded: {error}; "
            "install its package again"
        ) from error
    if not isinstance(model, Model):
        raise InputError(
            f"the entry point {point.value!r} must lead to a Model, found "
            f"{type(model).__name__}; mend or remove its package"
        )
    return model
