"""Fit one experiment on 1, 2, 4, ... and all local devices; draws must agree. Exit code 1 if not.

    python tests/benchmarks/device_check.py [shards]

Run it where there are GPUs: it needs no network and takes some minutes. Seven shards, the default,
leave devices idle in the last round.
"""

import sys
import time
from functools import partial

import jax
import numpy as np
from cases import LAMINAR

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.inference.certify import evaluator
from homodyne_bayes.inference.chains import run_here
from homodyne_bayes.inference.places import Workplace
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from homodyne_bayes.results.view import Result

TOLERANCE = 0.1  # of means, in posterior sd, where programs differ


def fitted(devices, num_shards):
    """Return a result of which all was sampled and weighed on these devices, and the seconds."""
    experiment = simulate.Experiment(MODELS["laminar_flow"], (-60.0, 0.0, 60.0), 60, LAMINAR)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    config = FitConfig(noise="independent", num_shards=num_shards, rescue_pairs=0)
    place = Workplace(partial(run_here, devices=devices), partial(evaluator, devices=devices))
    began = time.perf_counter()
    return fit(data, config, place=place), time.perf_counter() - began


def main():
    """Compare every number of devices with the largest."""
    jax.config.update("jax_enable_x64", True)
    num_shards = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    devices, wrong = jax.local_devices(), 0
    for device in devices:
        memory = (device.memory_stats() or {}).get("bytes_limit")
        told = "memory not told" if memory is None else f"{memory / 2**30:.1f} GiB"
        sys.stdout.write(f"{device} {device.device_kind}, {told}\n")
    counts = sorted({2**k for k in range(16) if 2**k < len(devices)} | {len(devices)})
    trees, seconds = zip(*(fitted(devices[:n], num_shards) for n in counts), strict=True)
    most = trees[-1]["posterior"]
    scale = most.std(("chain", "draw"))
    for count, tree, spent in zip(counts, trees, seconds, strict=True):
        own = tree["posterior"]
        same = all(np.array_equal(own[name], most[name]) for name in most)
        shift = abs(own.mean(("chain", "draw")) - most.mean(("chain", "draw"))) / scale
        worst = max(float(one.max()) for one in shift.data_vars.values())
        used = len(np.unique(tree["sub_sample_stats"]["device"]))
        equal = "the same draws" if same else f"means within {worst:.1e} sd"
        sys.stdout.write(
            f"{count} devices, {used} used: {spent:.1f} s, {equal} as on "
            f"{counts[-1]}; {Result(tree).verdict}\n"
        )
        alike = same or (count == 1 and worst < TOLERANCE)
        wrong += not alike or used != min(count, num_shards * 4)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
