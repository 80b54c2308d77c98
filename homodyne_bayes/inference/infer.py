"""From a warm start to certified draws, for any model: approximate, certify, and rescue."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from homodyne_bayes.inference.certify import (
    Attempt,
    Certification,
    Evaluate,
    certify,
    faults_of_weights,
    resample,
)
from homodyne_bayes.inference.chains import Chains, Run, all_data, counted, run_here, sample
from homodyne_bayes.inference.convergence import (
    Agreement,
    Convergence,
    agreement,
    convergence,
    faults_of_chains,
    faults_of_shards,
)
from homodyne_bayes.inference.density import Model, Shard, num_points, parts_of
from homodyne_bayes.inference.merges import RULES, merge
from homodyne_bayes.inference.nuts import Gaussian, NutsSettings, standardise
from homodyne_bayes.inference.places import HERE, Place, TimeUpError
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.thresholds import Fault

AT_THE_MODE, ON_ALL = "least squares fit", "NUTS on all the data"

Progress = Callable[[str, int, int], None]


def silent(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""


class ShardRun(NamedTuple):
    """Chains of all shards, how each shard's converged, and whether shards agree."""

    chains: Chains
    convergence: list[Convergence]
    agreement: Agreement


class Approximation(NamedTuple):
    """Draws (C, S, d) to be certified, how they came about, and what speaks against them.

    ``nuts`` is there where draws are those of NUTS on all the data, ``shards`` where they are
    merged.
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


class Certificate(NamedTuple):
    """The verdict on a posterior.

    Attributes
    ----------
    certified : bool
        Whether the draws can be taken for the posterior of all the data.
    draws_from : str
        "reweighted draws", "NUTS on all the data", or the name of the unweighted approximation.
    faults : tuple of Fault
        What spoke against earlier attempts and, where not certified, against this one.
    attempts : list of Attempt
        Proposals and their k-hat, in order.
    log_evidence, log_evidence_error, evidence_k_hat : float
        Logarithm of ∫ prior × likelihood, its standard error, and k-hat of its weights.
    """

    certified: bool
    draws_from: str
    faults: tuple[Fault, ...]
    attempts: list[Attempt]
    log_evidence: float
    log_evidence_error: float
    evidence_k_hat: float


class Inference(NamedTuple):
    """Draws of the posterior (C, S, d), log densities (C, S), their verdict and their making.

    ``nuts`` are the chains on all the data, where they were run; ``gradients`` counts those of
    all the data that sampling took, warm-up included.
    """

    draws: np.ndarray
    log_prior: np.ndarray
    log_likelihood: np.ndarray
    certificate: Certificate
    approximation: Approximation
    nuts: Chains | None
    gradients: float
    seconds: dict[str, float]


def infer(
    key: jax.Array,
    model: Model,
    shards: Shard,
    laplace: Gaussian,
    config: Any,
    progress: Progress = silent,
    shelf: Shelf | None = None,
    place: Place = HERE,
) -> Inference:
    """Sample the posterior of a model given shards, and certify it.

    Approximates by ``config.method``, weighs the approximation by the posterior of all the data,
    and, where that cannot be trusted, runs NUTS on all the data if these are at most
    ``config.rescue_pairs`` values.

    Parameters
    ----------
    key : jax.Array
        Random key.
    model : callable
        Any NumPyro function of one shard.
    shards : pytree
        K shards of J parts each, leading axes (K, J) on every leaf.
    laplace : Gaussian
        Mode and covariance, as a warm start finds them.
    config : Any
        Method, merge, budget and settings of NUTS; the rest is not looked at.
    progress : callable
        Called as ``progress(stage, done, total)``.
    shelf : Shelf, optional
        Where finished chains are kept, and taken from instead of being run.
    place : Place
        Where shards are sampled and all the data evaluated; on the local devices by default.
    """
    approximate_key, settle_key = jax.random.split(key)
    run = counted(place.run, partial(progress, "chains"))
    began = time.perf_counter()
    stopped: tuple[Fault, ...] = ()
    try:
        first = METHODS[config.method](
            approximate_key,
            model,
            shards,
            laplace,
            config,
            partial(progress, "sampling"),
            shelf,
            run,
        )
    except TimeUpError:
        stopped = (Fault("stopped", config.method),)
        first = draw_laplace(approximate_key, model, shards, laplace, config)
    sampling = {"sampling": time.perf_counter() - began}
    evaluate = place.evaluator(model, parts_of(shards), progress=partial(progress, "certifying"))
    rescue = partial(sample_all, progress=partial(progress, "full NUTS"), run=run)
    found = settle(settle_key, model, shards, laplace, config, first, evaluate, rescue)
    certificate = found.certificate._replace(faults=stopped + found.certificate.faults)
    return found._replace(certificate=certificate, seconds=sampling | found.seconds)


def settle(
    key: jax.Array,
    model: Model,
    shards: Shard,
    laplace: Gaussian,
    config: Any,
    first: Approximation,
    evaluate: Evaluate,
    rescue: Callable[..., Approximation] | None = None,
) -> Inference:
    """Certify an approximation, or run NUTS on all the data where it fails.

    Parameters
    ----------
    first : Approximation
        Draws and what is known against them.
    evaluate : callable
        Log prior and log likelihood of all the data, as `certify.evaluator` makes it.
    rescue : callable, optional
        Runs NUTS on all the data, `sample_all` by default.
    key, model, shards, laplace, config
        As in `infer`.
    """
    keys = jax.random.split(key, 3)
    seconds: dict[str, float] = {}

    def certified(key: jax.Array, found: Approximation) -> Certification:
        with timed(seconds, "certifying"):
            return certify(key, evaluate, found.draws, laplace, found.name)

    last, certification = first, certified(keys[0], first)
    sound, faults = _verdict(last, certification, config)
    attempts, gradients = certification.attempts, first.gradients
    hopeful = not sound and first.nuts is None
    if hopeful and num_points(model, parts_of(shards)) <= config.rescue_pairs:
        guess = laplace if first.faults else certification.moments
        try:
            with timed(seconds, "full NUTS"):
                last = (rescue or sample_all)(keys[1], model, shards, guess, config)
        except TimeUpError:
            faults = [*faults, Fault("stopped", ON_ALL)]
        else:
            certification = certified(jax.random.fold_in(keys[0], 1), last)
            sound, more = _verdict(last, certification, config)
            attempts, faults = attempts + certification.attempts, faults + more
            gradients += last.gradients

    nuts, weighted = last.nuts, certification.weighted
    if sound and not (nuts and not last.faults):
        chosen = resample(keys[2], weighted.log_weight, config.num_chains, config.num_samples)
        draws, draws_from, nuts = weighted.theta[chosen], "reweighted draws", None
        log_prior, log_likelihood = weighted.log_prior[chosen], weighted.log_likelihood[chosen]
    else:
        draws, draws_from = last.draws, last.name
        flat = draws.reshape(-1, draws.shape[-1])
        log_prior, log_likelihood = (v.reshape(draws.shape[:2]) for v in evaluate(flat))
    certificate = Certificate(
        sound,
        draws_from,
        tuple(faults),
        attempts,
        certification.log_evidence,
        certification.log_evidence_error,
        certification.attempts[-1].k_hat,
    )
    return Inference(draws, log_prior, log_likelihood, certificate, first, nuts, gradients, seconds)


def sample_shards(
    key: jax.Array,
    model: Model,
    shards: Shard,
    laplace: Gaussian,
    config: Any,
    progress: Callable[[int, int], None] | None = None,
    shelf: Shelf | None = None,
    run: Run = run_here,
) -> Approximation:
    """Run NUTS on every shard and merge."""
    sample_key, merge_key = jax.random.split(key)
    targets = RULES[config.merge].targets(shards, laplace)
    settings = nuts_settings(config)
    chains = sample(sample_key, model, targets, settings, progress, shelf, run)
    return merged(merge_key, chains, laplace, config.merge)


def merged(key: jax.Array, chains: Chains, laplace: Gaussian, rule: str) -> Approximation:
    """Merge the chains of all shards, and check them."""
    name = f"{rule} merge of {len(chains.draws)} shards"
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
    key: jax.Array,
    model: Model,
    shards: Shard,
    guess: Gaussian,
    config: Any,
    progress: Callable[[int, int], None] | None = None,
    shelf: Shelf | None = None,
    run: Run = run_here,
) -> Approximation:
    """Run NUTS on all the data."""
    target, settings = all_data(shards, guess), nuts_settings(config)
    chains = sample(key, model, target, settings, progress, shelf, run)
    draws = chains.draws[0]
    found = convergence(draws, np.asarray(chains.info.diverging[0]))
    faults = faults_of_chains(ON_ALL, found, draws.shape[:2])
    return Approximation(ON_ALL, draws, faults, nuts=chains)


def draw_laplace(
    key: jax.Array,
    _model: Model,
    _shards: Shard,
    laplace: Gaussian,
    config: Any,
    _progress: Callable[[int, int], None] | None = None,
    _shelf: Shelf | None = None,
    _run: Run = run_here,
) -> Approximation:
    """Draw from the Gaussian at the mode."""
    shape = (config.num_chains, config.num_samples, laplace.mean.size)
    return Approximation(AT_THE_MODE, _gaussian_draws(key, laplace, shape), [])


METHODS = {"consensus": sample_shards, "laplace": draw_laplace, "full": sample_all}


def nuts_settings(config: Any) -> NutsSettings:
    """Return the settings of NUTS."""
    return NutsSettings(**{name: getattr(config, name) for name in NutsSettings._fields})


def _gaussian_draws(key: jax.Array, gaussian: Gaussian, shape: tuple[int, ...]) -> np.ndarray:
    scale = jnp.linalg.cholesky(gaussian.covariance)
    return np.asarray(standardise(gaussian.mean, scale, jax.random.normal(key, shape)))


def _verdict(
    found: Approximation, certification: Certification, config: Any
) -> tuple[bool, list[Fault]]:
    """Return whether draws or their weights are the posterior, and what speaks against them.

    Chains of NUTS on all the data that have converged need no weights; those that have not can
    still make good proposals. Merged draws of faulty shards cannot.
    """
    weights = faults_of_weights(found.name, certification.attempts[-1], config.num_chains)
    if found.nuts is None:
        sound, faults = not found.faults and not weights, found.faults + weights
    else:
        sound, faults = not found.faults or not weights, found.faults
        faults = faults + weights if faults else []
    return sound, faults


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of what is done within to ``seconds[stage]``."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began
