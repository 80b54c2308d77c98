"""From a warm start to a verdict: sound runs certified, spoiled merges never, any model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.shards import block_shards, some_pairs
from homodyne_bayes.fitting.start import warm_start
from homodyne_bayes.inference.certify import evaluator, faults_of_weights
from homodyne_bayes.inference.chains import Chains
from homodyne_bayes.inference.density import parts_of
from homodyne_bayes.inference.infer import conclude, infer
from homodyne_bayes.inference.methods import Approximation, Problem, merged, sample_shards
from homodyne_bayes.inference.mode import laplace
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.truth import LAMINAR, LAMINAR_MODEL

MODEL = LAMINAR_MODEL
SPOILED = FitConfig(num_warmup=300, num_samples=500, merge="consensus", rescue_pairs=0).sampling


def moments(draws):
    flat = draws.reshape(-1, draws.shape[-1])
    return flat.mean(axis=0), flat.std(axis=0)


class Run(NamedTuple):
    """Four shards and the mode, their chains, and full NUTS as the judge."""

    problem: Problem
    chains: Chains
    truth: tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def run(laminar_data):
    shards = block_shards(laminar_data, 4)
    warm = warm_start(jax.random.key(0), MODEL, some_pairs(laminar_data, 0), parts_of(shards))
    mode = Gaussian(warm.theta, warm.covariance)
    problem = Problem(MODEL, shards, mode)
    first = sample_shards(jax.random.key(1), problem, SPOILED)
    config = FitConfig(method="full", num_warmup=300, num_samples=750)
    full = infer(jax.random.key(2), problem, config.sampling)
    assert full.certificate.certified
    return Run(problem, first.shards.chains, moments(full.draws))


def shifted(chains, seed):
    """One shard's draws, all of them, 5 sd off in every parameter."""
    draws, k = chains.draws.copy(), seed % 4
    draws[k] += 5 * draws[k].std(axis=(0, 1)) * (-1) ** (seed // 4)
    return chains._replace(draws=draws)


def stuck(chains, seed):
    """One chain of one shard that stays where it is at some draw."""
    draws, score = chains.draws.copy(), chains.score.copy()
    k, c, s = seed % 4, (seed // 4) % 4, 7 * seed
    draws[k, c], score[k, c] = draws[k, c, s], score[k, c, s]
    return chains._replace(draws=draws, score=score)


@pytest.mark.parametrize("spoil", [shifted, stuck])
def test_spoiled_shards_are_never_certified(run, spoil):
    """Twenty of each: the result says so, names the shard, and keeps what it has."""
    evaluate = evaluator(MODEL, parts_of(run.problem.shards))
    for seed in range(20):
        first = merged(
            jax.random.key(seed), spoil(run.chains, seed), run.problem.laplace, "consensus"
        )
        found = conclude(jax.random.key(seed), run.problem, SPOILED, first, evaluate)
        assert not found.certificate.certified
        assert any(f"shard {seed % 4}" in fault.sentence() for fault in found.certificate.faults)
        np.testing.assert_array_equal(found.draws, first.draws)


def test_a_shift_that_no_check_of_the_shards_sees_is_found_by_the_weights(run):
    """All shards 4 sd off along one axis: refused as they are, corrected or not certified.

    The shards then agree as much as before, and their chains have converged as much.
    """
    key, laplace = jax.random.key(0), run.problem.laplace
    off = run.chains.draws + 4 * np.linalg.cholesky(laplace.covariance)[:, 5]
    first = merged(key, run.chains, laplace, "consensus")
    shifted = merged(key, run.chains._replace(draws=off), laplace, "consensus")
    assert [fault.kind for fault in shifted.faults] == [fault.kind for fault in first.faults]
    spoiled = Approximation("spoiled merge", shifted.draws, [])
    evaluate = evaluator(MODEL, parts_of(run.problem.shards))
    found = conclude(jax.random.key(1), run.problem, SPOILED, spoiled, evaluate)
    assert faults_of_weights("spoiled merge", found.certificate.attempts[0], 4) != []
    if found.certificate.certified:
        mean, _ = moments(found.draws)
        np.testing.assert_allclose((mean - run.truth[0]) / run.truth[1], 0, atol=0.25)


def spoiled_by_too_many_shards(seed):
    """A merge of shards of 57 pairs each, not certified; or, if corrected, then right."""
    experiment = simulate.Experiment(
        MODELS["laminar_flow"], phi=(-60.0, 0.0, 60.0), num_frames=20, parameters=LAMINAR, dt=0.4
    )
    data = simulate.independent(jax.random.key(seed), experiment, 0.004)
    shards = block_shards(data, 10)
    warm = warm_start(jax.random.key(seed), MODEL, some_pairs(data, seed), parts_of(shards))
    mode = Gaussian(warm.theta, warm.covariance)
    config = FitConfig(
        num_shards=10,
        merge="consensus",
        num_warmup=100,
        num_samples=100,
        num_chains=2,
        rescue_pairs=0,
        max_tree_depth=6,
    )
    return infer(jax.random.key(seed), Problem(MODEL, shards, mode), config.sampling)


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(20), marks=pytest.mark.slow)])
def test_far_too_many_shards_are_never_certified(seeds):
    for seed in seeds:
        found = spoiled_by_too_many_shards(seed)
        print([f"{a.k_hat:.2f}" for a in found.certificate.attempts])
        assert not found.certificate.certified
        assert faults_of_weights("merge", found.certificate.attempts[0], 2) != []


def test_full_nuts_rescues_where_it_is_affordable(run):
    first = merged(jax.random.key(0), shifted(run.chains, 0), run.problem.laplace, "consensus")
    evaluate = evaluator(MODEL, parts_of(run.problem.shards))
    config = FitConfig(num_samples=500, rescue_pairs=100_000)
    found = conclude(jax.random.key(2), run.problem, config.sampling, first, evaluate)
    assert found.certificate.certified
    assert found.certificate.draws_from == "NUTS on all the data"
    assert any("shard 0" in fault.sentence() for fault in found.certificate.faults)
    mean, sd = moments(found.draws)
    np.testing.assert_allclose((mean - run.truth[0]) / run.truth[1], 0, atol=0.2)
    np.testing.assert_allclose(sd / run.truth[1], 1, atol=0.15)


@pytest.mark.parametrize(
    "settings",
    [{"method": "laplace"}, {"merge": "cavity"}, {"merge": "parametric"}, {"merge": "consensus"}],
    ids=lambda settings: "-".join(settings.values()),
)
def test_every_way_ends_at_the_same_posterior(run, settings):
    config = FitConfig(**settings, num_warmup=500, num_samples=1000, rescue_pairs=0)
    found = infer(jax.random.key(4), run.problem, config.sampling)
    assert found.certificate.certified, found.certificate.faults
    mean, sd = moments(found.draws)
    np.testing.assert_allclose((mean - run.truth[0]) / run.truth[1], 0, atol=0.2)
    np.testing.assert_allclose(sd / run.truth[1], 1, atol=0.15)


def logistic(shard):
    """A logistic regression with an intercept and five covariates."""
    x, y = shard
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
    slope = numpyro.sample("slope", dist.Normal(jnp.zeros(5), 1.0).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=intercept + x @ slope), obs=y)


@pytest.mark.parametrize("merge", ["consensus", "cavity"])
def test_a_model_that_is_not_ours(merge):
    """Logistic regression, 20,000 rows in 16 shards: against full NUTS within 0.1 sd."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 1250, 5))
    logits = -1.0 + x @ np.array([0.5, -1.0, 0.2, 0.0, 2.0])
    parts = jnp.asarray(x), jnp.asarray(rng.random(logits.shape) < 1 / (1 + np.exp(-logits)), int)
    warm = laplace(jax.random.key(0), logistic, parts)
    shards = jax.tree.map(lambda leaf: leaf[:, None], parts)
    assert warm.outcome == "converged"
    problem = Problem(logistic, shards, Gaussian(warm.theta, warm.covariance))
    config = FitConfig(num_shards=16, merge=merge, num_warmup=100, num_samples=400, rescue_pairs=0)
    found = infer(jax.random.key(1), problem, config.sampling)
    assert found.certificate.certified
    long = FitConfig(method="full", num_warmup=150, num_samples=500)
    full = infer(jax.random.key(2), problem, long.sampling)
    (mean, sd), (exact, spread) = moments(found.draws), moments(full.draws)
    np.testing.assert_allclose((mean - exact) / spread, 0, atol=0.1)
    np.testing.assert_allclose(sd / spread, 1, atol=0.1)
