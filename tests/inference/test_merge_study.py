"""What each merge rule does to the laminar ridge, from 2 to 64 shards: docs/consensus.md."""

import jax
import numpy as np
import pandas as pd
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.shards import block_shards, some_pairs
from homodyne_bayes.fitting.start import warm_start
from homodyne_bayes.inference.certify import certify, evaluator
from homodyne_bayes.inference.chains import sample
from homodyne_bayes.inference.density import parts_of
from homodyne_bayes.inference.infer import infer
from homodyne_bayes.inference.merges import RULES
from homodyne_bayes.inference.methods import Problem, merged
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.truth import LAMINAR, LAMINAR_MODEL

MODEL = LAMINAR_MODEL


def against(draws, exact):
    """Shift, joint shift, sd ratios and correlations of draws against those of full NUTS."""
    found, true = draws.reshape(-1, draws.shape[-1]), exact.reshape(-1, exact.shape[-1])
    off, sd = found.mean(axis=0) - true.mean(axis=0), true.std(axis=0)
    ratio = found.std(axis=0) / sd
    correlation = np.abs(np.corrcoef(found.T) - np.corrcoef(true.T)).max()
    return {
        "shift": np.abs(off / sd).max(),
        "joint shift": np.sqrt(off @ np.linalg.solve(np.cov(true.T), off)),
        "sd ratio from": ratio.min(),
        "to": ratio.max(),
        "correlation error": correlation,
    }


@pytest.mark.slow
def test_merge_rules_on_the_laminar_ridge():
    experiment = simulate.Experiment(MODELS["laminar_flow"], (0.0, 45.0, 90.0), 60, LAMINAR)
    data = simulate.independent(jax.random.key(0), experiment, 0.01)
    whole = block_shards(data, 1)
    warm = warm_start(jax.random.key(0), MODEL, some_pairs(data, 0), parts_of(whole))
    mode = Gaussian(warm.theta, warm.covariance)
    evaluate = evaluator(MODEL, parts_of(whole))
    long = FitConfig(method="full", num_samples=4000).sampling
    exact = infer(jax.random.key(1), Problem(MODEL, whole, mode), long).draws
    rows = {}
    for num_shards in (2, 4, 8, 16, 30):
        shards = block_shards(data, num_shards)
        runs = {}
        for rule in RULES:
            targets = RULES[rule].targets
            if targets not in runs:
                settings = FitConfig(num_warmup=300, num_samples=500).sampling.nuts
                runs[targets] = sample(jax.random.key(2), MODEL, targets(shards, mode), settings)
            chains = runs[targets]
            first = merged(jax.random.key(3), chains, mode, rule)
            weighed = certify(jax.random.key(4), evaluate, first.draws, mode, first.name)
            rows[rule, num_shards] = {
                **against(first.draws, exact),
                "k-hat": weighed.attempts[0].k_hat,
                "ESS": weighed.attempts[0].ess,
                "steps": chains.info.n_steps.mean(),
                "divergences": int(chains.info.diverging.sum()),
            }
    table = pd.DataFrame(rows).T.sort_index()
    print(table.round(2).to_string())
    cavity = table.loc["cavity"]
    assert cavity["shift"].max() < 0.25
    assert cavity["k-hat"].max() < 0.7
    assert (cavity["joint shift"] < table.loc["consensus"]["joint shift"]).all()
