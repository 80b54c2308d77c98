"""What a likelihood costs a pair, and what it must: python tests/benchmarks/kernel_cost.py CASE."""

import sys

import jax
import jax.numpy as jnp
from cases import CASES, LAMINAR, SIGMA, obvious_c2, one_core, prepare, row, seconds

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.plan import models_of
from homodyne_bayes.fitting.shards import block_shards, some_pairs
from homodyne_bayes.inference.density import log_density, parts_of, prior_draws
from homodyne_bayes.likelihood.entries import entries_of
from homodyne_bayes.likelihood.estimate import working
from homodyne_bayes.likelihood.pixels import Plugged
from homodyne_bayes.physics import kernels, simulate
from homodyne_bayes.physics.points import each_map, shard

MODELS = models_of(FitConfig())
BYTES = 9  # of a pair: its value, and whether it is used


def bandwidth():
    """Return the bytes a second of adding up an array that fits in no cache."""
    array = jnp.ones(2**26)
    return array.nbytes / seconds(jax.jit(jnp.sum), array)


def rate():
    """Return the operations a second of a product of matrices."""
    a = jnp.ones((1000, 1000))
    return 2 * 1000**3 / seconds(jax.jit(jnp.matmul), a, a)


def operations(function, at):
    """Return the operations that XLA counts in a function without loops."""
    cost = jax.jit(function).lower(at).compile().cost_analysis()
    return cost["flops"] + cost.get("transcendentals", 0.0)


def obvious(data):
    """Return the independent likelihood as one would write it, and the true parameters."""
    points, P = some_pairs(data, 0, most=data.num_pairs), data.num_angles

    def log_likelihood(at):
        D, gamma_dot = (
            kernels.power_law(kernels.clock(points), *at[:3]),
            kernels.power_law(kernels.clock(points), *at[3:6]),
        )
        mean = obvious_c2(points, D, gamma_dot, at[6], at[7 : 7 + P], at[7 + P :])
        return -0.5 * (((points.c2 - mean) / SIGMA) ** 2).sum()

    return log_likelihood, jnp.array([*LAMINAR.values(), *[0.25] * P, *[1.0] * P])


def ours(parts):
    """Return the log density of stacked parts under the noise they hold, and a theta."""
    model = MODELS.least_squares if parts.noise is None else MODELS.individual
    theta = prior_draws(jax.random.key(1), model, shard(parts, 0), 1)[0]
    return lambda at: log_density(model, parts, at), theta


def speckle(case):
    """Return the single maps of a case under the working covariance of the true speckle."""
    data = case.data()
    field = simulate.field_correlation(case.experiment)
    contrast, nugget = (jnp.full(len(field), value) for value in (0.25, 0.1))
    plugged = Plugged(contrast, nugget, field)
    return each_map(data, noise=working(plugged, entries_of(data)))


def cost(name):
    """Print rows of one case: value and gradient a pair, operations, and the floor."""
    case = CASES[name]
    data = case.data()
    speed, transfer = rate() / 1e9, BYTES / bandwidth() * 1e9
    blocks, maps = parts_of(block_shards(data, 1)), speckle(case)
    rows = {
        ("independent", "as one would write it"): (obvious(data), None),
        ("independent", "blocks"): (ours(blocks), blocks),
        ("speckle", "maps"): (ours(maps), maps),
    }
    for (likelihood, layout), ((function, at), parts) in rows.items():
        timed = [jax.jit(function), jax.jit(jax.grad(function))]
        value, gradient = (1e9 * seconds(f, at) / data.num_pairs for f in timed)
        found = {}
        if parts is not None:
            first = jax.tree.map(lambda leaf: leaf[:1], parts)
            counted = len(parts.q) * operations(jax.value_and_grad(ours(first)[0]), at)
            floor = max(transfer, counted / data.num_pairs / speed)
            found = {"operations": counted / data.num_pairs, "over floor": gradient / floor}
        row(
            "kernel",
            case=f"{name}: {case}",
            likelihood=likelihood,
            layout=layout,
            value=value,
            gradient=gradient,
            **found,
        )
    row("machine", bandwidth=BYTES / transfer, rate=speed)


if __name__ == "__main__":
    one_core()
    prepare(1)
    for name in sys.argv[1:]:
        cost(name)
