"""The errors a user meets: what was expected, what was found and what to do."""

import difflib
from collections.abc import Collection, Iterable


class InputError(ValueError):
    """A file, a setting or a selection that cannot be used; the message says what to do instead."""


class MissingPrecisionError(RuntimeError):
    """JAX runs in float32, which this library refuses to compute in."""


def suggest(name: object, known: Collection[str]) -> str:
    """Return which of the known names may have been meant, as the end of a complaint."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def refuse_unknown(where: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise `InputError` about the first of the names given to ``where`` that is not known."""
    for name in names:
        if name not in known:
            raise InputError(f"{where}.{name}: unknown; {suggest(name, known)}")
