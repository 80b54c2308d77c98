"""What compression leaves out, and what a gradient costs, against frames.

    python -m tests.benchmarks.compression [FRAMES,ANGLES,NOISE ...]

Prints rows of the table in docs/compression.md: the median and the largest difference of log
densities at 200 theta of a Student's t with 8 degrees of freedom and the sds of the posterior, and
the median time of value and gradient of the compressed log density of all maps, on one core when
run with ``taskset -c 0``.
"""

import sys
import time

import jax
import numpy as np

import homodyne_bayes as hb
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.fitting.shards import angle_shards
from homodyne_bayes.inference.certify import evaluator
from homodyne_bayes.inference.cheaper import cloud_about
from homodyne_bayes.inference.density import log_density, parts_of
from homodyne_bayes.likelihood.compression import compress, of_compressed
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from homodyne_bayes.physics.points import shard, split
from tests.truth import LAMINAR

ROWS = ("40,3,speckle", "100,5,speckle", "100,5,independent", "400,5,speckle", "400,5,independent")
DEGREES_OF_FREEDOM, NUM_THETA, REPEATS = 8, 200, 300


def speckle(frames, angles):
    """Return speckle of a laminar flow at these numbers of frames and angles."""
    phi = tuple(np.linspace(-60, 60, angles))
    experiment = simulate.Experiment(MODELS["laminar_flow"], phi, frames, LAMINAR)
    return simulate.speckle(jax.random.key(0), experiment, 5000, 2.0)


def about(laplace, seed):
    """Return theta that lie farther out than draws do, (N, d)."""
    rng = np.random.default_rng(seed)
    wide = np.sqrt(DEGREES_OF_FREEDOM / rng.chisquare(DEGREES_OF_FREEDOM, (NUM_THETA, 1)))
    z = wide * rng.standard_normal((NUM_THETA, len(laplace.mean)))
    return np.asarray(laplace.mean) + z @ np.linalg.cholesky(laplace.covariance).T


def seconds(function, *arguments):
    """Return the median time of a call of a compiled function."""
    jax.block_until_ready(function(*arguments))
    spent = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        spent.append(time.perf_counter() - began)
    return float(np.median(spent))


def row(frames, angles, noise):
    """Print one row."""
    data = speckle(frames, angles)
    made = sample_posterior(data, hb.FitConfig(noise=noise, method="laplace", num_samples=100))
    model, laplace, maps = made.model, made.fitted[1], split(made.whole)
    cloud = cloud_about(jax.random.key(1), laplace)
    small = compress(model, angle_shards(data, 1, maps), np.asarray(laplace.mean), cloud)
    theta = about(laplace, 2)
    exact = evaluator(model, maps)(theta)[1]
    close = evaluator(of_compressed(model), parts_of(small))(theta)[1]
    off = np.abs(exact - close - np.median(exact - close))
    slope = jax.jit(
        jax.value_and_grad(lambda at, parts: log_density(of_compressed(model), parts, at))
    )
    cost = seconds(slope, laplace.mean, shard(small, 0))
    print(
        f"| {angles} × {frames} | {noise} | {np.median(off):.1g} | {off.max():.1g} | "
        f"{1e3 * cost:.2f} ms |",
        flush=True,
    )


if __name__ == "__main__":
    hb.setup()
    for wanted in sys.argv[1:] or ROWS:
        frames, angles, noise = wanted.split(",")
        row(int(frames), int(angles), noise)
