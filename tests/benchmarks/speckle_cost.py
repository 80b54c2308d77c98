"""What the speckle likelihood costs: python tests/benchmarks/speckle_cost.py [FRAMES ...]."""

import sys

import jax
from cases import Case, peak_gib, prepare, seconds

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.inference.density import log_density
from homodyne_bayes.physics.points import each_map

NUM_ANGLES = 5
FRAMES = (64, 128, 256, 512, 1000)


def cost(num_frames):
    """Print one row: value, gradient, stages of a certified posterior, memory."""
    data = Case(NUM_ANGLES, num_frames).speckle()
    config = FitConfig(method="laplace", rescue_pairs=0)
    made = sample_posterior(data, config)
    parts, model = each_map(data, noise=made.estimate.noise), made.model
    value = jax.jit(lambda theta: log_density(model, parts, theta))
    theta = made.estimate.theta
    gradient = jax.jit(jax.grad(lambda theta: log_density(model, parts, theta)))
    stages = made.inference.seconds
    verdict = "certified" if made.inference.certificate.certified else "not certified"
    print(
        f"| {num_frames} | {1e3 * seconds(value, theta):.1f} | {1e3 * seconds(gradient, theta):.1f}"
        f" | {stages['warm start']:.0f} | {stages['noise']:.0f} | {stages['certifying']:.0f}"
        f" | {sum(stages.values()):.0f} | {verdict} | {peak_gib():.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    prepare()
    print(
        "| frames | value (ms) | gradient (ms) | warm start (s) | noise (s) | certifying (s)"
        " | in all (s) | verdict | peak memory (GiB) |"
    )
    for frames in map(int, sys.argv[1:] or FRAMES):
        cost(frames)
