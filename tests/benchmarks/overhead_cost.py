"""What 64 shards take beside their chains: python tests/benchmarks/overhead_cost.py."""

import tempfile
import time
from pathlib import Path

import jax
from cases import Case, prepare, row

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.plan import models_of, plan
from homodyne_bayes.fitting.sample import least_squares
from homodyne_bayes.fitting.shards import block_shards
from homodyne_bayes.inference import chains
from homodyne_bayes.inference.merges import RULES
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.inference.shelf import Shelf

NUM_SHARDS = 64
CASE = Case(3, 2 * NUM_SHARDS)  # the fewest frames that can be dealt into so many shards
SETTINGS = FitConfig(num_warmup=500, num_samples=500, num_chains=4).sampling.nuts


def timed(program, spent):
    """Return a program that adds the time until its results are there to ``spent``."""

    def run(*arguments):
        began = time.perf_counter()
        found = jax.block_until_ready(program(*arguments))
        spent.append(time.perf_counter() - began)
        return found

    return run


def main():
    """Print wall time, the share of it outside of chains, without and with a shelf."""
    data, config = CASE.data(), FitConfig(noise="independent")
    model, warm = models_of(config).model, least_squares(data, plan(data, config))
    mode = Gaussian(warm.theta, warm.covariance)
    targets = RULES["cavity"].targets(block_shards(data, NUM_SHARDS), mode)
    programs, spent = chains._programs, []
    chains._programs = lambda *given: tuple(timed(one, spent) for one in programs(*given))
    with tempfile.TemporaryDirectory() as folder:
        for seed, shelf in enumerate((None, None, Shelf(Path(folder) / "parts", {}))):
            spent.clear()
            began = time.perf_counter()
            chains.sample(
                jax.random.key(seed), model, targets, SETTINGS, chains.Runner(shelf=shelf)
            )
            took = time.perf_counter() - began
            if seed:  # the first compiles
                row(
                    "overhead",
                    **{
                        "chains on disk": shelf is not None,
                        "seconds": took,
                        "outside of chains (%)": 100 * (1 - sum(spent) / took),
                    },
                )


if __name__ == "__main__":
    prepare()
    main()
