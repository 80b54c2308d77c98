"""Whether this machine can do the work: versions, devices, precision, and a test of a second."""

import os
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes import environment
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import map_grid

D, Q, DT, NUM_FRAMES = 1e4, 0.0054, 0.1, 64
TOLERANCE = 1e-10


def examine() -> dict[str, str]:
    """Return name and value of everything that a report of a problem needs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kinds = [f"{device} ({device.device_kind})" for device in jax.local_devices()]
    return {
        "python": platform.python_version(),
        **environment.versions(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.1f} GiB",
        "devices": ", ".join(kinds),
        "double precision": "on" if jax.config.jax_enable_x64 else "OFF",
        "compiled programs": str(jax.config.jax_compilation_cache_dir or "not kept"),
    }


def self_test() -> tuple[float, float]:
    """Return the error of g1 against its closed form for constant D, and the seconds it took."""
    began = time.perf_counter()
    grid = map_grid(np.zeros(1), NUM_FRAMES, DT, Q)
    rate = jnp.full(NUM_FRAMES, D)
    found = np.asarray(kernels.g1(grid, rate))
    frames = np.arange(NUM_FRAMES)
    exact = np.exp(-0.5 * Q**2 * D * DT * abs(frames[:, None] - frames))
    return float(np.abs(found - exact).max()), time.perf_counter() - began
