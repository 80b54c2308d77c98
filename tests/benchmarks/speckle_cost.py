"""What the speckle likelihood costs: python tests/benchmarks/speckle_cost.py [FRAMES ...]."""

import resource
import sys
import time
from statistics import median

import jax
import jax.numpy as jnp

from homodyne_bayes import FitConfig, simulate
from homodyne_bayes.density import log_density
from homodyne_bayes.pipeline import bound_model, sample_posterior
from homodyne_bayes.shards import each_map

PHI, REPEATS = (-60.0, -30.0, 0.0, 30.0, 60.0), 5
FRAMES = (64, 128, 256, 512, 1000)


def seconds(function, *arguments):
    """Return the median time of a call, compiled before."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - began)
    return median(times)


def cost(num_frames):
    """Print one row: value, gradient, stages of a certified posterior, memory."""
    experiment = simulate.Experiment(PHI, num_frames, simulate.LAMINAR, dt=8.0 / num_frames)
    data = simulate.speckle(jax.random.key(0), experiment, 4000, mean_photons=2.0)
    config = FitConfig(method="laplace", rescue_pairs=0)
    made = sample_posterior(data, config)
    parts, model = each_map(data, noise=made.estimate.noise), bound_model(config)
    value = jax.jit(lambda theta: log_density(model, parts, theta))
    theta = made.estimate.theta
    gradient = jax.jit(jax.grad(lambda theta: log_density(model, parts, theta)))
    stages = made.inference.seconds
    verdict = "certified" if made.inference.certificate.certified else "not certified"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(  # noqa: T201
        f"| {num_frames} | {1e3 * seconds(value, theta):.1f} | {1e3 * seconds(gradient, theta):.1f}"
        f" | {stages['warm start']:.0f} | {stages['noise']:.0f} | {stages['certifying']:.0f}"
        f" | {sum(stages.values()):.0f} | {verdict} | {peak:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", 2)
    print("| frames | value (ms) | gradient (ms) | warm start (s) | noise (s) | certifying (s)"  # noqa: T201
          " | in all (s) | verdict | peak memory (GiB) |")  # fmt: skip
    assert jnp.zeros(()).dtype == jnp.float64
    for frames in map(int, sys.argv[1:] or FRAMES):
        cost(frames)
