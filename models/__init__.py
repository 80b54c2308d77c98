"""NumPyro models of one shard.

A model of your own is a function ``(grid, priors)`` like these, in a file of its own, named on
the command line as ``--model file.py:function``. It samples the sites ``contrast``, ``offset``
and ``sigma`` and observes ``c2``, which `homodyne_bayes.likelihood.observe.observe_c2` does.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from homodyne_bayes.errors import InputError
from homodyne_bayes.model_files.laminar_flow import laminar_flow
from homodyne_bayes.model_files.static import static

__all__ = ["MODELS", "laminar_flow", "load_model", "source_hash", "static"]

MODELS: dict[str, Callable[..., None]] = {"static": static, "laminar_flow": laminar_flow}


def source_hash(name: str) -> dict[str, str]:
    """Return the SHA-256 of the file of a model named as ``file.py:function``, if it is in one."""
    path = Path(name.partition(":")[0])
    if name in MODELS or not path.is_file():
        return {}
    return {"model_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def load_model(name: str) -> Callable[..., None]:
    """Return a model by name, or the function of a file named as ``file.py:function``.

    Raises
    ------
    InputError
        If there is no such model, file or function.
    """
    if name in MODELS:
        return MODELS[name]
    path, separator, function = name.partition(":")
    if not separator or not Path(path).is_file():
        raise InputError(
            f"model must be one of {', '.join(MODELS)} or file.py:function of an existing file, "
            f"found {name!r}"
        )
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"model file must be Python (.py), found {path!r}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (ImportError, NameError, SyntaxError, AttributeError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise InputError(f"{path}: the model could not be loaded: {kind}: {error}") from error
    if not callable(getattr(module, function, None)):
        raise InputError(f"{path}: expected a function {function!r}, found none of that name")
    return getattr(module, function)
