"""What the independent likelihood costs a pair: python tests/benchmarks/kernel_cost.py."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes import FitConfig, kernels, simulate
from homodyne_bayes.density import log_density, prior_draws
from homodyne_bayes.pipeline import bound_model
from homodyne_bayes.shards import angle_shards, random_shards, shard

CASES, REPEATS = ((3, 60), (5, 200), (5, 400)), 9


def nanoseconds(function, argument, pairs):
    """Return the least time of a call, a pair, compiled before."""
    jax.block_until_ready(function(argument))
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - began)
    return 1e9 * min(times) / pairs


def obvious(grid, theta):
    """Return the log likelihood as one would write it: a sine and an exponential for every pair."""
    D, gamma_dot = kernels.power_law(grid, *theta[:3]), kernels.power_law(grid, *theta[3:6])
    phase = kernels.phase_per_strain(grid, theta[6])[grid.phi_index]
    x = phase * kernels.integral(grid, gamma_dot)
    sinc = jnp.where(x < 1e-4, 1 - x**2 / 6, jnp.sin(x) / jnp.where(x < 1e-4, 1.0, x))
    g1 = jnp.exp(-0.5 * grid.q**2 * kernels.integral(grid, D)) * sinc**2
    residual = (grid.c2 - theta[12:][grid.phi_index] - theta[7:12][grid.phi_index] * g1**2) / 0.01
    return -0.5 * (grid.used * residual**2).sum()


def cost(num_angles, num_frames):
    """Print value and gradient a pair: as obvious, as points, as maps, as one map after another."""
    phi = tuple(np.linspace(-60.0, 60.0, num_angles))
    experiment = simulate.Experiment(phi, num_frames, simulate.LAMINAR, dt=8.0 / num_frames)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    model, pairs = bound_model(FitConfig()), data.num_pairs
    points = random_shards(data, 1, 0)
    theta = prior_draws(jax.random.key(1), model, shard(points, 0), 1)[0]
    plain = jnp.array([*simulate.LAMINAR.values(), *[0.25] * 5, *[1.0] * 5])
    functions = {"obvious": (lambda at: obvious(shard(points, 0), at), plain)}
    layouts = {"points": points, "maps": angle_shards(data, 1)}
    layouts["map by map"] = angle_shards(data, num_angles)
    for name, shards in layouts.items():
        functions[name] = (lambda at, shards=shards: log_density(model, shards, at), theta)
    for name, (function, at) in functions.items():
        value, slope = (nanoseconds(jax.jit(f), at, pairs) for f in (function, jax.grad(function)))
        print(f"| {num_angles} × {num_frames} | {name} | {value:.1f} | {slope:.1f} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print("| angles × frames | laid out | value (ns a pair) | gradient (ns a pair) |")  # noqa: T201
    for case in CASES:
        cost(*case)
