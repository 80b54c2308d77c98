"""Cost against pairs, shards and devices: python tests/benchmarks/scaling_cost.py pairs|shards."""

import sys
import time
from functools import partial

import jax
from cases import Case, prepare, row

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.plan import models_of, plan
from homodyne_bayes.fitting.sample import least_squares, sample_posterior
from homodyne_bayes.fitting.shards import block_shards
from homodyne_bayes.inference.chains import Runner, run_here, sample
from homodyne_bayes.inference.merges import RULES
from homodyne_bayes.inference.nuts import Gaussian

FRAMES = (64, 200, 632, 2000)  # of 5 angles: 1e4, 1e5, 1e6 and 1e7 pairs
SHARDS, DEVICES = (1, 2, 4, 8, 16), (1, 2)
OF_SHARDS = Case(5, 200)
SETTINGS = FitConfig(num_warmup=100, num_samples=150, num_chains=2).sampling.nuts


def against_pairs():
    """Print what a certified posterior takes, everything compiled before."""
    for frames in FRAMES:
        case, config = Case(5, frames), FitConfig(method="laplace", noise="independent")
        sample_posterior(case.data(0), config)
        data, began = case.data(1), time.perf_counter()
        found = sample_posterior(data, config).inference
        row(
            "pairs",
            pairs=data.num_pairs,
            seconds=time.perf_counter() - began,
            certified=found.certificate.certified,
            **found.seconds,
        )


def against_shards():
    """Print what the chains of all shards take together, on one device and on two."""
    data, config = OF_SHARDS.data(), FitConfig(noise="independent")
    model, warm = models_of(config).model, least_squares(data, plan(data, config))
    mode = Gaussian(warm.theta, warm.covariance)
    for num_shards in SHARDS:
        targets = RULES["cavity"].targets(block_shards(data, num_shards), mode)
        for num_devices in DEVICES:
            devices, seconds = jax.devices()[:num_devices], []
            for seed in range(2):
                began = time.perf_counter()
                key = jax.random.key(seed)
                run = partial(run_here, devices=devices)
                chains = sample(key, model, targets, SETTINGS, Runner(run))
                seconds.append(time.perf_counter() - began)
            row(
                "shards",
                shards=num_shards,
                devices=num_devices,
                seconds=seconds[-1],
                **{
                    "leapfrogs a draw": float(chains.info.n_steps.mean()),
                    "ms a leapfrog and device": 1e3
                    * num_devices
                    * seconds[-1]
                    / float(chains.num_gradients.sum()),
                },
            )


if __name__ == "__main__":
    prepare()
    {"pairs": against_pairs, "shards": against_shards}[sys.argv[1]]()
