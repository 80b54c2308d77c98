"""What computes: JAX set up for this package, versions, precision."""

import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import platformdirs

from homodyne_bayes.errors import InputError, MissingPrecisionError

MAPPINGS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")  # of memory, on Linux
SCHEMA_VERSION = 2  # of results: raised where what reads them must change
MADE_BY = {"Software": "homodyne-bayes"}  # of figures
LIBRARIES = ("homodyne-bayes", "jax", "numpyro", "optax", "arviz", "numpy", "xarray")


def setup(devices: int | None = None, cache: bool = True) -> None:
    """Set JAX up as the command line does; call it before anything is computed.

    Three settings of JAX are changed, for the whole process: numbers are float64
    (``jax_enable_x64``), the CPU counts as several devices, over which chains are spread
    (``jax_num_cpu_devices``), and compiled programs are kept on disk, so that the next process
    need not compile them again (``jax_compilation_cache_dir``). Importing the package changes none
    of them, and nothing is computed in float32.

    Parameters
    ----------
    devices : int, optional
        Number of CPU devices. By default the number of cores, at least 2, unless JAX was given a
        number before or is at work already. Another number may round differently.
    cache : bool
        Whether to keep compiled programs in the user's folder of caches. A folder that JAX was
        given before, as by the variable JAX_COMPILATION_CACHE_DIR, stays.

    Raises
    ------
    InputError
        If JAX is at work already with another number of CPU devices than ``devices``.
    """
    import jax  # noqa: PLC0415 - what reads data needs none

    if devices is not None and devices < 1:
        raise InputError(f"setup needs 1 CPU device or more, found devices={devices}")
    given = jax.config.jax_num_cpu_devices  # -1 where there is none
    default = given if given > 0 else default_devices()
    try:
        jax.config.update("jax_num_cpu_devices", devices or default)
    except RuntimeError:  # JAX is at work
        present = len(jax.devices("cpu"))
        if devices not in (None, present):
            raise InputError(
                f"expected to set JAX up for {devices} CPU devices, found it at work with "
                f"{present}: call hb.setup(devices={devices}) before anything else uses JAX, in "
                "a notebook after a restart of the kernel"
            ) from None
    jax.config.update("jax_enable_x64", True)
    if cache and jax.config.jax_compilation_cache_dir is None:
        _keep_compiled()


def default_devices() -> int:
    """Return the number of CPU devices to sample on: of cores, at least 2."""
    return max(2, os.cpu_count() or 1)


def versions() -> dict[str, str]:
    """Return the versions of what computed the result."""
    return {name: version(name) for name in LIBRARIES}


def require_x64() -> None:
    """Raise `MissingPrecisionError` where JAX would compute in float32."""
    import jax  # noqa: PLC0415 - what reads data needs none

    if not jax.config.jax_enable_x64:
        raise MissingPrecisionError(
            "homodyne_bayes computes in float64, found JAX set to float32: call hb.setup() "
            "(import homodyne_bayes as hb) before anything else"
        )


def make_room(share: float = 0.5) -> None:
    """Let go of compiled programs where they hold more than a share of all memory mappings.

    A program holds some thirty, and a process that runs out of them crashes. Linux alone tells.
    """
    import jax  # noqa: PLC0415 - what reads data needs none

    held, most = MAPPINGS
    with suppress(OSError):
        if held.read_bytes().count(b"\n") > share * int(most.read_text()):
            jax.clear_caches()


def _keep_compiled() -> None:
    """Keep compiled programs in the user's folder of caches, where it can be written."""
    import jax  # noqa: PLC0415 - what reads data needs none

    folder = platformdirs.user_cache_path("homodyne-bayes")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
