"""Ways to draws of a posterior, one row of `METHODS` each, and what speaks against the draws."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.certify import AT_THE_MODE
from homodyne_bayes.inference.chains import LOCALLY, Chains, Runner, all_data, sample
from homodyne_bayes.inference.convergence import (
    Agreement,
    Convergence,
    agreement,
    convergence,
    faults_of_chains,
    faults_of_shards,
)
from homodyne_bayes.inference.density import Model, Shard
from homodyne_bayes.inference.merges import RULES, merge
from homodyne_bayes.inference.nuts import Gaussian, NutsSettings, standardise
from homodyne_bayes.thresholds import Fault

MERGED, ON_ALL = "{merge} merge of {num_shards} shards", "NUTS on all the data"


class Problem(NamedTuple):
    """What is to be sampled.

    Attributes
    ----------
    model : callable
        Any NumPyro function of one shard.
    shards : pytree
        K shards of J parts each, leading axes (K, J) on every leaf.
    laplace : Gaussian
        Mode (d,) and covariance (d, d) of the posterior of all shards, as a warm start finds them.
    """

    model: Model
    shards: Shard
    laplace: Gaussian


class Sampling(NamedTuple):
    """How it is to be sampled.

    Attributes
    ----------
    method : str
        A key of `METHODS`.
    merge : str
        A key of `merges.RULES`, for methods that merge shards.
    rescue_pairs : int
        Most values of which NUTS samples all, where nothing else can be certified.
    nuts : NutsSettings
        How chains run; as many draws are made by other means.
    """

    method: str
    merge: str
    rescue_pairs: int
    nuts: NutsSettings


class ShardRun(NamedTuple):
    """Chains of all shards, how each shard's converged, and whether shards agree."""

    chains: Chains
    convergence: list[Convergence]
    agreement: Agreement


class Approximation(NamedTuple):
    """Draws to be certified, and how they came about.

    Attributes
    ----------
    name : str
        What the draws are, in a few words.
    draws : numpy.ndarray
        (C, S, d) of theta.
    faults : list of Fault
        What speaks against them.
    nuts : Chains, optional
        Where draws are those of NUTS on all the data.
    shards : ShardRun, optional
        Where they are merged.
    """

    name: str
    draws: np.ndarray
    faults: list[Fault]
    nuts: Chains | None = None
    shards: ShardRun | None = None

    @property
    def gradients(self) -> float:
        """Leapfrog steps in gradients of all the data, warm-up included; a shard's counts 1/K."""
        chains = self.shards.chains if self.shards else self.nuts
        return float(chains.num_gradients.sum(axis=1).mean()) if chains else 0.0


class Method(NamedTuple):
    """A way to draws.

    Attributes
    ----------
    approximate : callable
        ``approximate(key, problem, sampling, runner)`` gives an `Approximation`.
    title : str
        What it does, in one line for those who choose.
    makes : str
        What its draws are, for readers; may name {merge} and {num_shards}.
    sharded : bool
        Whether data are dealt into shards.
    weighed : bool
        Whether its draws need weights to be those of the posterior.
    """

    approximate: Callable[[jax.Array, Problem, Sampling, Runner], Approximation]
    title: str
    makes: str
    sharded: bool
    weighed: bool


def sample_shards(
    key: jax.Array, problem: Problem, sampling: Sampling, runner: Runner = LOCALLY
) -> Approximation:
    """Run NUTS on every shard and merge."""
    sample_key, merge_key = jax.random.split(key)
    rule = RULES[sampling.merge]
    targets = rule.targets(problem.shards, problem.laplace)
    settings = sampling.nuts._replace(dense_metric=rule.dense_metric)
    chains = sample(sample_key, problem.model, targets, settings, runner)
    return merged(merge_key, chains, problem.laplace, sampling.merge)


def merged(key: jax.Array, chains: Chains, laplace: Gaussian, rule: str) -> Approximation:
    """Merge the chains of all shards, and check them.

    Parameters
    ----------
    key : jax.Array
        Random key.
    chains : Chains
        Draws (K, C, S, d) of the rule's targets.
    laplace : Gaussian
        That made the targets; draws are its own where the merge fails.
    rule : str
        A key of `merges.RULES`.
    """
    name = MERGED.format(merge=rule, num_shards=len(chains.draws))
    broken = np.flatnonzero(~np.isfinite(chains.draws).all(axis=(1, 2, 3)))
    if broken.size:
        fault = Fault("not_finite", name, tuple(broken.tolist()))
        draws = _gaussian_draws(key, laplace, chains.draws.shape[1:])
        return Approximation(AT_THE_MODE, draws, [fault])
    draws, sites = merge(key, chains, rule, laplace)
    diverging = np.asarray(chains.info.diverging)
    per_shard = [convergence(*each) for each in zip(chains.draws, diverging, strict=True)]
    together = agreement(sites, np.linalg.cholesky(laplace.covariance))
    faults = faults_of_shards(name, per_shard, together)
    if not np.isfinite(draws).all():
        faults.append(Fault("no_distribution", name))
        name, draws = AT_THE_MODE, _gaussian_draws(key, laplace, draws.shape)
    return Approximation(name, draws, faults, shards=ShardRun(chains, per_shard, together))


def sample_all(
    key: jax.Array, problem: Problem, sampling: Sampling, runner: Runner = LOCALLY
) -> Approximation:
    """Run NUTS on all the data."""
    target = all_data(problem.shards, problem.laplace)
    chains = sample(key, problem.model, target, sampling.nuts, runner)
    draws = chains.draws[0]
    judged = convergence(draws, np.asarray(chains.info.diverging[0]))
    faults = faults_of_chains(ON_ALL, judged, draws.shape[:2])
    return Approximation(ON_ALL, draws, faults, nuts=chains)


def draw_laplace(
    key: jax.Array, problem: Problem, sampling: Sampling, _runner: Runner = LOCALLY
) -> Approximation:
    """Draw from the Gaussian at the mode."""
    settings, laplace = sampling.nuts, problem.laplace
    shape = (settings.num_chains, settings.num_samples, laplace.mean.size)
    return Approximation(AT_THE_MODE, _gaussian_draws(key, laplace, shape), [])


def _gaussian_draws(key: jax.Array, gaussian: Gaussian, shape: tuple[int, ...]) -> np.ndarray:
    scale = jnp.linalg.cholesky(gaussian.covariance)
    return np.asarray(standardise(gaussian.mean, scale, jax.random.normal(key, shape)))


METHODS: dict[str, Method] = {
    "consensus": Method(
        sample_shards, "NUTS on shards, merged and weighed", MERGED, sharded=True, weighed=True
    ),
    "laplace": Method(
        draw_laplace, "draws at the mode, weighed", AT_THE_MODE, sharded=False, weighed=True
    ),
    "full": Method(sample_all, ON_ALL, ON_ALL, sharded=False, weighed=False),
}
