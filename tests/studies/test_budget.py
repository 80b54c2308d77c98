"""Combined intervals hold the truth where q, gap, dt and azimuths are wrong; others do not.

python -m pytest -m slow -n 0 -s tests/studies/test_budget.py
"""

import os
import time
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics.experiment import Experiment
from homodyne_bayes.physics.simulate import independent
from tests.studies.test_coverage import bent
from tests.truth import DIFFUSION, LAMINAR, SHEAR

NUMBER = int(os.environ.get("EXPERIMENTS", "100"))
STATED = {"q": 0.01, "gap": 0.03, "dt": 0.002, "phi": 0.5}
SIGMA = 0.001  # of c2, so that the shear rate is known to half a percent
LEVELS = (0.05, 0.95)


TRUTHS = bent(LAMINAR, 400, 19 * 0.4 / np.e)


def experiment(seed):
    """Return simulated data whose q, gap, dt and azimuths are stated wrong."""
    rng = np.random.default_rng(seed)
    q, gap, dt, phi = (rng.normal(0.0, STATED[name]) for name in STATED)
    true = Experiment(
        MODELS["laminar_flow"],
        tuple(np.array([-60.0, 0.0, 60.0]) + phi),
        20,
        TRUTHS[seed],
        q=0.0054 * np.exp(q),
        dt=0.4 * np.exp(dt),
        gap=2e6 * np.exp(gap),
    )
    data = independent(jax.random.key(seed), true, SIGMA)
    return replace(data, q=0.0054, dt=0.4, gap=2e6, phi=np.array([-60.0, 0.0, 60.0]))


def truth(seed, name, time):
    """Return a true rate at times on the true clock."""
    names = {"D": DIFFUSION, "gamma_dot": SHEAR[:3]}[name]
    amplitude, exponent, offset = (TRUTHS[seed][name] for name in names)
    return amplitude * time**exponent + offset


def inside(draws, value):
    """Return whether the 90 % interval of draws (C, S, ...) holds a value, (...)."""
    low, high = np.quantile(draws, LEVELS, axis=(0, 1))
    return (low <= value) & (value <= high)


@pytest.mark.slow
def test_combined_intervals_hold_the_truth():
    """A hundred experiments; docs/how-to/state-uncertainties.md."""
    settings = {"method": "laplace", "noise": "independent", "rescue_pairs": 0}
    config = FitConfig(uncertainty=STATED, num_samples=250, **settings)
    rows, begin = [], time.perf_counter()
    for seed in range(NUMBER):
        tree = fit(experiment(seed), replace(config, seed=seed))
        row = {}
        for kind, (rates, values) in {
            "statistical": ("rates", "posterior"),
            "combined": ("combined_rates", "combined"),
        }.items():
            for name in ("D", "gamma_dot"):
                draws = tree[rates][name].isel(time=slice(1, None))
                held = inside(draws.values, truth(seed, name, draws["time"].values))
                row |= {(kind, f"{name} {at}"): held[i] for at, i in PLACES.items()}
            for name in LAMINAR:
                row[kind, name] = inside(tree[values][name].values, TRUTHS[seed][name])
        rows.append(row)
    held = pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(rows[0])).mean()
    found = held.unstack(0)
    spent = (time.perf_counter() - begin) / NUMBER
    print(f"\n{NUMBER} experiments, {spent:.1f} s each\n{found.round(3).to_string()}")
    within = 0.05 + 2.5 * np.sqrt(0.09 * max(0.0, 1 / NUMBER - 1 / 100))  # fewer tell less
    rates = found.loc[[f"{name} {at}" for name in ("D", "gamma_dot") for at in PLACES]]
    assert rates["combined"].between(0.9 - within, 0.9 + within).all()
    assert found.loc["phi0", "combined"] > 0.9 - within
    assert (rates.loc[[f"gamma_dot {at}" for at in PLACES], "statistical"] < 0.5).all()


PLACES = {"early": 2, "middle": 7, "late": 16}  # of the frames after the first
