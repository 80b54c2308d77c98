"""The sampler against the truth, on data drawn from the model: coverage, cost, consensus."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes import FitConfig, TwoTimeData, density, diagnostics, fit, simulate
from homodyne_bayes.consensus import sample_shards
from homodyne_bayes.models import laminar_flow
from homodyne_bayes.nuts import Gaussian, NutsSettings
from homodyne_bayes.parameters import DIFFUSION, PRIORS, SHEAR
from homodyne_bayes.shards import random_shards, shard
from homodyne_bayes.warmstart import warm_start

PHYSICAL = (*DIFFUSION, *SHEAR)
FIVE_ANGLES = simulate.Experiment(
    phi=(-60.0, -30.0, 0.0, 30.0, 60.0), num_frames=60, parameters=simulate.LAMINAR
)
THREE_ANGLES = simulate.Experiment(
    phi=(0.0, 45.0, 90.0), num_frames=60, parameters=simulate.LAMINAR
)


def measured(experiment: simulate.Experiment, seed: int) -> TwoTimeData:
    return simulate.independent(jax.random.key(seed), experiment, 0.01)


def test_intervals_cover_the_truth_under_independent_noise():
    """Forty experiments run as forty lanes of the driver, each with its own full posterior."""
    model = partial(laminar_flow, priors=PRIORS)
    num_seeds = 40
    grids, guesses = [], []
    for seed in range(num_seeds):
        shards = random_shards(measured(FIVE_ANGLES, seed), 1, seed)
        warm = warm_start(jax.random.key(seed), model, shards)
        assert warm.outcome == "converged"
        grids.append(shards)
        guesses.append(Gaussian(warm.theta, warm.covariance))
    stacked = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *grids)
    guess = jax.tree.map(lambda *leaves: jnp.stack(leaves), *guesses)
    settings = NutsSettings(num_warmup=200, num_samples=300, num_chains=1)
    sub = sample_shards(jax.random.key(0), model, stacked, guess, 1.0, settings)
    values = density.constrain(model, shard(stacked, 0), jnp.asarray(sub.draws[:, 0]))
    covered = []
    for name in PHYSICAL:
        lower, upper = np.quantile(values[name], [0.05, 0.95], axis=1)
        covered.append((lower < simulate.LAMINAR[name]) & (simulate.LAMINAR[name] < upper))
    print("pooled coverage", np.mean(covered), dict(zip(PHYSICAL, np.mean(covered, axis=1))))
    assert 0.80 <= np.mean(covered) <= 0.97


def test_consensus_agrees_with_a_single_shard():
    """Means within 0.5 sd and sds within 15 % in the median over five experiments."""
    shifts, ratios = [], []
    for seed in range(5):
        data = measured(FIVE_ANGLES, 100 + seed)
        whole, merged = (fit(data, FitConfig(num_shards=k, seed=seed)) for k in (1, 4))
        one, four = (diagnostics.summary(tree) for tree in (whole, merged))
        shifts.append(((four["mean"] - one["mean"]) / one["sd"]).abs())
        ratios.append(four["sd"] / one["sd"])
        print(seed, "steps", [diagnostics.leapfrogs_per_draw(t) for t in (whole, merged)],
              "div", [int(t["sub_sample_stats"]["diverging"].sum()) for t in (whole, merged)])
    shift = np.median([row[list(PHYSICAL)] for row in shifts], axis=0)
    ratio = np.median([row[list(PHYSICAL)] for row in ratios], axis=0)
    import pandas as pd
    print(pd.DataFrame({"shift": pd.concat(shifts, axis=1).median(axis=1), "ratio": pd.concat(ratios, axis=1).median(axis=1), "maxshift": pd.concat(shifts, axis=1).max(axis=1)}))
    assert shift.max() < 0.5, dict(zip(PHYSICAL, shift, strict=True))
    assert np.abs(ratio - 1).max() < 0.15, dict(zip(PHYSICAL, ratio, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_realistic_case_is_cheap_and_clean(seed):
    """At most 12 leapfrog steps a draw, no divergence in 2,000 draws, bulk ESS of 1,000."""
    tree = fit(measured(THREE_ANGLES, seed), FitConfig(num_shards=1, seed=seed))
    table = diagnostics.summary(tree)
    print(diagnostics.leapfrogs_per_draw(tree), table.ess_bulk.min(), int(tree["sub_sample_stats"]["diverging"].sum()))
    assert tree["sub_sample_stats"]["n_steps"].size == 2000
    assert diagnostics.leapfrogs_per_draw(tree) <= 12
    assert int(tree["sub_sample_stats"]["diverging"].sum()) == 0
    assert table["ess_bulk"].min() >= 1000
    assert table["r_hat"].max() < 1.01
