"""NUTS on all the data of case S, 20 seeds: python tests/benchmarks/sampler_cost.py."""

import time

import numpy as np
from cases import CASES, least_ess, prepare, row

from homodyne_bayes import FitConfig
from homodyne_bayes.pipeline import sample_posterior

NUM_SEEDS, NUM_SAMPLES = 20, 250  # of every chain


def main():
    """Print a row of each scaling: least and median over the seeds."""
    prepare()
    for scaling in ("individual", "marginal"):
        steps, sizes, diverging, seconds = [], [], 0, []
        for seed in range(NUM_SEEDS):
            config = FitConfig(method="full", noise="independent", scaling=scaling,
                               num_samples=NUM_SAMPLES, seed=seed)  # fmt: skip
            began = time.process_time()
            found = sample_posterior(CASES["S"].data(seed), config).inference
            seconds.append(time.process_time() - began)
            steps.append(found.nuts.info.n_steps.mean())
            sizes.append(least_ess(found.nuts.draws[0]))
            diverging += int(np.sum(found.nuts.info.diverging))
        draws = NUM_SAMPLES * config.num_chains
        row("sampler", scaling=scaling, seeds=NUM_SEEDS, draws=draws,
            **{"leapfrogs a draw, median": np.median(steps), "most": np.max(steps),
               "least bulk ESS, median": np.median(sizes), "least": np.min(sizes),
               "divergences": diverging, "CPU seconds, median": np.median(seconds)})  # fmt: skip


if __name__ == "__main__":
    main()
