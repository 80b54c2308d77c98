"""What computes: versions, precision."""

from importlib.metadata import version

from homodyne_bayes.errors import MissingPrecisionError

SCHEMA_VERSION = 1  # of results: raised where what reads them must change
LIBRARIES = ("homodyne-bayes", "jax", "numpyro", "optax", "arviz", "numpy", "xarray")


def versions() -> dict[str, str]:
    """Return the versions of what computed the result."""
    return {name: version(name) for name in LIBRARIES}


def require_x64() -> None:
    """Raise `MissingPrecisionError` where JAX would compute in float32."""
    import jax  # noqa: PLC0415 - what reads data needs none

    if not jax.config.jax_enable_x64:
        raise MissingPrecisionError(
            "homodyne_bayes computes in float64, found JAX set to float32: call "
            'jax.config.update("jax_enable_x64", True) before anything else'
        )
