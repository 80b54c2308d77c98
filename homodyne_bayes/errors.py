"""The errors a user meets: what was expected, what was found and what to do."""


class InputError(ValueError):
    """A file, a setting or a selection that cannot be used; the message says what to do instead."""


class MissingPrecisionError(RuntimeError):
    """JAX runs in float32, which this library refuses to compute in."""
