"""``doctor``: whether this machine can do the work: versions, devices, precision, a short test.

``--warm`` fits simulated maps, so that the programs that such a fit needs are compiled and kept.
"""

import os
import platform
import time

import click
import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes import environment
from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import computes, for_machines
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import map_grid

D, Q, DT, NUM_FRAMES = 1e4, 0.0054, 0.1, 64
TOLERANCE = 1e-10
NUM_PIXELS, PHOTONS = 1000, 10.0  # of the maps that --warm fits


@click.command()
@for_machines
@click.option(
    "--warm",
    metavar="ANGLESxFRAMES",
    help="Also compile what fits of so many maps need, such as 5x400, ahead of the first.",
)
@click.option("--model", default=FitConfig().model, show_default=True, help="Model for --warm.")
@computes
def doctor(as_json: bool, warm: str | None, model: str) -> None:
    """Say what this machine offers, and test that it computes what it should."""
    maps = None if warm is None else experiment(warm, model)
    error, seconds = self_test()
    passed = f"g1 is its closed form to {error:.1g}, {seconds:.1f} s"
    lines = {**examine(), "self-test": passed if error < TOLERANCE else "FAILED"}
    if as_json:
        screen.print_json(lines)
    else:
        for name, value in lines.items():
            screen.say(f"{name:18}{value}")
    if not error < TOLERANCE:
        raise InputError(
            f"self-test: expected g1 within {TOLERANCE:g} of its closed form, "
            f"found {error:.2g}: install again, and report this"
        )
    if maps is not None:
        with screen.progress_bar(f"compiling what {model} of {warm} maps needs") as progress:
            data = simulate.speckle(jax.random.key(0), maps, NUM_PIXELS, PHOTONS)
            sample_posterior(data, FitConfig(model=model), progress)


def experiment(size: str, model: str) -> simulate.Experiment:
    """Return what is simulated for a size as text, such as ``5x400``."""
    angles, _, frames = size.partition("x")
    if not (angles.isdecimal() and frames.isdecimal()):
        raise InputError(f"--warm must be angles and frames, such as 5x400, found {size!r}")
    phi = tuple(np.linspace(-60.0, 60.0, int(angles)).tolist())
    record = make(FitConfig, {"model": model}).record
    return simulate.Experiment(record, phi, int(frames), dict(record.example))


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
    computed = np.asarray(kernels.g1(grid, rate))
    frames = np.arange(NUM_FRAMES)
    exact = np.exp(-0.5 * Q**2 * D * DT * abs(frames[:, None] - frames))
    return float(np.abs(computed - exact).max()), time.perf_counter() - began
