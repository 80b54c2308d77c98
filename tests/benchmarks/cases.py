"""The standard cases, and what all benchmarks share."""

import json
import os
import resource
import time
from dataclasses import dataclass
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base import array_stats

from homodyne_bayes import TwoTimeData
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import kernels, simulate

LAMINAR = dict(MODELS["laminar_flow"].example)
SIGMA, DURATION = 0.01, 8.0
NUM_PIXELS, MEAN_PHOTONS = 4000, 2.0
REPEATS, LEAST_REPEATS, LONGEST = 15, 3, 5.0  # timings of a call, and s spent on them


@dataclass(frozen=True)
class Case:
    """Laminar flow seen at some angles for some frames."""

    num_angles: int
    num_frames: int

    @property
    def experiment(self) -> simulate.Experiment:
        """What is simulated."""
        phi = tuple(np.linspace(-60.0, 60.0, self.num_angles).tolist())
        dt = DURATION / self.num_frames
        return simulate.Experiment(MODELS["laminar_flow"], phi, self.num_frames, LAMINAR, dt=dt)

    def data(self, seed: int = 0) -> TwoTimeData:
        """Return maps with independent noise of 0.01."""
        return simulate.independent(jax.random.key(seed), self.experiment, SIGMA)

    def speckle(self, seed: int = 0) -> TwoTimeData:
        """Return maps of simulated speckle, with photon noise."""
        key = jax.random.key(seed)
        return simulate.speckle(key, self.experiment, NUM_PIXELS, mean_photons=MEAN_PHOTONS)

    def __str__(self) -> str:
        """Return angles × frames."""
        return f"{self.num_angles} × {self.num_frames}"


CASES = {"S": Case(3, 60), "M": Case(5, 400), "L": Case(23, 1000), "homodyne": Case(3, 40)}


def prepare(num_cpu_devices: int = 2) -> None:
    """Set what every benchmark sets."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", num_cpu_devices)


def one_core() -> None:
    """Keep this process on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def seconds(function, *arguments) -> float:
    """Return the median time of a call, compiled before."""
    jax.block_until_ready(function(*arguments))
    times, last = [], time.perf_counter() + LONGEST
    while len(times) < REPEATS and (len(times) < LEAST_REPEATS or time.perf_counter() < last):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return median(times)


def least_ess(draws) -> float:
    """Return the least bulk ESS of draws (C, S, d)."""
    return float(np.min(array_stats.ess(np.asarray(draws), chain_axis=0, draw_axis=1)))


def peak_gib() -> float:
    """Return the most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def row(table: str, **values) -> None:
    """Print one row of a table for `bench.py` to collect."""
    print(json.dumps({"table": table, **values}), flush=True)


def obvious_c2(grid, D, gamma_dot, phi0, contrast, offset):
    """Return c2 of points as one would write it: a sine and an exponential for every pair."""
    x = kernels.phase_per_strain(grid, phi0)[grid.phi_index] * kernels.integral(grid, gamma_dot)
    small = jnp.abs(x) < 1e-4
    sinc = jnp.where(small, 1 - x**2 / 6, jnp.sin(x) / jnp.where(small, 1.0, x))
    g1 = jnp.exp(-0.5 * grid.q**2 * kernels.integral(grid, D)) * sinc**2
    return offset[grid.phi_index] + contrast[grid.phi_index] * g1**2
