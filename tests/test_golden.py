"""Golden draws: a change that should not touch the statistics leaves every bit where it was.

XLA compiles for the machine at hand, and NUTS amplifies the last digit, so that hashes are those of
one kind of machine; draws of the prior, which no chain amplifies, are compared on every machine.
``python tests/test_golden.py`` records both, where a change is meant to touch the statistics.
"""

import hashlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import pytest

from homodyne_bayes.model_files import MODELS

GOLDEN = Path(__file__).parent / "reference" / "golden.json"
GROUPS = ("posterior", "prior", "rates", "log_prior", "log_likelihood", "fitted", "cuts", "noise")
SMALL = {"num_warmup": 60, "num_samples": 60}
CASES = {
    "laminar_flow, independent, consensus": {"noise": "independent", "num_shards": 2},
    "laminar_flow, speckle, laplace": {"method": "laplace"},
    "laminar_flow, independent, laplace, hierarchical": {
        "noise": "independent",
        "method": "laplace",
        "scaling": "hierarchical",
    },
    "static, speckle, consensus, marginal": {
        "model": "static",
        "scaling": "marginal",
        "num_shards": 2,
    },
    "static, independent, full, gap-average": {
        "model": "static",
        "noise": "independent",
        "method": "full",
        "convention": "gap-average",
    },
    "static, corrected, laplace, averaged": {
        "model": "static",
        "noise": "corrected",
        "method": "laplace",
        "scaling": "averaged",
    },
}
TOLERANCE = 1e-8


def machine() -> str:
    """Return what the last digit depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    models = sorted({line.partition(":")[2].strip() for line in lines if "model name" in line})
    flags = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    wide = hashlib.sha256(" ".join(sorted(flags[0] if flags else [])).encode()).hexdigest()[:8]
    several = "several devices" if jax.local_device_count() > 1 else "one device"
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    versions = (f"{name} {version(name)}" for name in ("jaxlib", "numpyro", "numpy", "scipy"))
    return "; ".join([platform.machine(), *models, wide, f"{cores} cores", several, *versions])


def made(name: str):
    """Return the result of a case."""
    from homodyne_bayes import FitConfig
    from homodyne_bayes.fitting.pipeline import fit
    from homodyne_bayes.physics import simulate

    config = FitConfig(**SMALL, **CASES[name])
    model = MODELS[config.model]
    experiment = simulate.Experiment(model, (-60.0, 0.0, 60.0), 20, dict(model.example), dt=0.4)
    key = jax.random.key(0)
    if config.noise == "independent":
        return fit(simulate.independent(key, experiment, 0.004), config)
    return fit(simulate.speckle(key, experiment, 1000, mean_photons=2.0), config)


def hashes(tree) -> dict[str, str]:
    """Return the hash of the numbers of every group."""
    found = {}
    groups = {name: tree[name].data_vars for name in GROUPS if name in tree.children}
    groups["log_likelihood"] = {"c2": tree["sample_stats"]["log_likelihood"]}  # of all maps
    for name in GROUPS:
        if name in groups:
            digest = hashlib.sha256()
            for variable, values in sorted(groups[name].items()):
                if values.dtype.kind in "fbi":
                    digest.update(variable.encode() + np.ascontiguousarray(values).tobytes())
            found[name] = digest.hexdigest()[:16]
    return found


def prior_sums(tree) -> list[float]:
    """Return the sum of the first prior draws of every variable."""
    return [float(tree["prior"][name].values.ravel()[:50].sum()) for name in sorted(tree["prior"])]


@pytest.mark.parametrize("name", CASES)
def test_golden_draws(name):
    golden = json.loads(GOLDEN.read_text())
    tree = made(name)
    np.testing.assert_allclose(prior_sums(tree), golden["priors"][name], rtol=TOLERANCE)
    if machine() in golden["hashes"]:
        assert hashes(tree) == golden["hashes"][machine()][name]


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", 4)
    trees = {name: made(name) for name in CASES}
    stored = {
        "hashes": {machine(): {name: hashes(tree) for name, tree in trees.items()}},
        "priors": {name: prior_sums(tree) for name, tree in trees.items()},
    }
    GOLDEN.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
