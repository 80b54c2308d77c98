"""NUTS on all the data of case S, 20 seeds: python tests/benchmarks/sampler_cost.py."""

import time

import numpy as np
from cases import CASES, least_ess, prepare, row

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.sample import sample_posterior

NUM_SEEDS, NUM_SAMPLES = 20, 250  # of every chain


def main():
    """Print a row of each scaling: least and median over the seeds."""
    prepare()
    steps, sizes, diverging, seconds = [], [], 0, []
    for seed in range(NUM_SEEDS):
        config = FitConfig(method="full", noise="independent", num_samples=NUM_SAMPLES, seed=seed)
        began = time.process_time()
        chains = sample_posterior(CASES["S"].data(seed), config).inference.approximation.nuts
        seconds.append(time.process_time() - began)
        steps.append(chains.info.n_steps.mean())
        sizes.append(least_ess(chains.draws[0]))
        diverging += int(np.sum(chains.info.diverging))
    row(
        "sampler",
        seeds=NUM_SEEDS,
        draws=NUM_SAMPLES * config.num_chains,
        **{
            "leapfrogs a draw, median": np.median(steps),
            "most": np.max(steps),
            "least bulk ESS, median": np.median(sizes),
            "least": np.min(sizes),
            "divergences": diverging,
            "CPU seconds, median": np.median(seconds),
        },
    )


if __name__ == "__main__":
    main()
