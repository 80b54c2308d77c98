"""From a warm start to certified draws, for any model: approximate, certify, and rescue."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from homodyne_bayes.inference.certify import (
    Attempt,
    Certification,
    Evaluate,
    certify,
    faults_of_weights,
    resample,
)
from homodyne_bayes.inference.chains import LOCALLY, Chains, Runner, counted
from homodyne_bayes.inference.density import num_points, parts_of
from homodyne_bayes.inference.judge import Judgement
from homodyne_bayes.inference.methods import (
    METHODS,
    ON_ALL,
    Approximation,
    Problem,
    Sampling,
    draw_laplace,
    sample_all,
)
from homodyne_bayes.inference.places import HERE, TimeUpError, Workplace
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.thresholds import REWEIGHTED, Fault

Progress = Callable[[str, int, int], None]


def silent(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""


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
    all the data that sampling took, warm-up included; ``judgement`` is there where all the data
    judged draws of a cheaper form, and ``form`` is that form.
    """

    draws: np.ndarray
    log_prior: np.ndarray
    log_likelihood: np.ndarray
    certificate: Certificate
    approximation: Approximation
    nuts: Chains | None
    gradients: float
    seconds: dict[str, float]
    judgement: Judgement | None = None
    form: Problem | None = None


def infer(
    key: jax.Array,
    problem: Problem,
    sampling: Sampling,
    progress: Progress = silent,
    shelf: Shelf | None = None,
    place: Workplace = HERE,
) -> Inference:
    """Sample a posterior, and certify it.

    Approximates it by ``sampling.method``, weighs the approximation by the posterior of all the
    data, and, where that cannot be trusted, runs NUTS on all the data if these are at most
    ``sampling.rescue_pairs`` values.

    Parameters
    ----------
    key : jax.Array
        Random key.
    problem : Problem
        Model, shards, and the Gaussian at the mode.
    sampling : Sampling
        Method, merge, budget and settings of NUTS.
    progress : callable
        Called as ``progress(stage, done, total)``.
    shelf : Shelf, optional
        Where finished chains are kept, and taken from instead of being run.
    place : Workplace
        Where shards are sampled and all the data evaluated; on the local devices by default.

    Raises
    ------
    InputError
        If what is on the shelf cannot be read or was made from something else.
    """
    approximate_key, conclude_key = jax.random.split(key)
    run = counted(place.run, partial(progress, "chains"))
    seconds: dict[str, float] = {}
    stopped: list[Fault] = []
    with timed(seconds, "sampling"):
        try:
            runner = Runner(run, partial(progress, "sampling"), shelf)
            first = METHODS[sampling.method].approximate(approximate_key, problem, sampling, runner)
        except TimeUpError:
            stopped = [Fault("stopped", sampling.method)]
            first = draw_laplace(approximate_key, problem, sampling)
    parts = parts_of(problem.shards)
    evaluate = place.evaluator(problem.model, parts, progress=partial(progress, "certifying"))
    runner = Runner(run, partial(progress, "full NUTS"))
    made = conclude(conclude_key, problem, sampling, first, evaluate, runner)
    certificate = made.certificate._replace(faults=(*stopped, *made.certificate.faults))
    return made._replace(certificate=certificate, seconds=seconds | made.seconds)


def conclude(
    key: jax.Array,
    problem: Problem,
    sampling: Sampling,
    first: Approximation,
    evaluate: Evaluate,
    runner: Runner = LOCALLY,
) -> Inference:
    """Certify an approximation, or run NUTS on all the data where it fails.

    Parameters
    ----------
    key, problem, sampling
        As in `infer`.
    first : Approximation
        Draws, and what speaks against them already.
    evaluate : callable
        Log prior and log likelihood of all the data, as `certify.evaluator` makes it.
    runner : Runner
        Runs the chains on all the data.
    """
    keys = jax.random.split(key, 3)
    seconds: dict[str, float] = {}

    def weigh(key: jax.Array, approximation: Approximation) -> Certification:
        with timed(seconds, "certifying"):
            draws, name = approximation.draws, approximation.name
            return certify(key, evaluate, draws, problem.laplace, name)

    last, certification = first, weigh(keys[0], first)
    sound, faults = _verdict(last, certification, sampling)
    attempts, gradients = certification.attempts, first.gradients
    if not sound and first.nuts is None and _affordable(problem, sampling):
        guess = problem.laplace if first.faults else certification.moments
        try:
            with timed(seconds, "full NUTS"):
                last = sample_all(keys[1], problem._replace(laplace=guess), sampling, runner)
        except TimeUpError:
            faults = [*faults, Fault("stopped", ON_ALL)]
        else:
            certification = weigh(jax.random.fold_in(keys[0], 1), last)
            sound, more = _verdict(last, certification, sampling)
            attempts, faults = attempts + certification.attempts, faults + more
            gradients += last.gradients

    nuts, weighted = last.nuts, certification.weighted
    if sound and not (nuts and not last.faults):
        shape = sampling.nuts.num_chains, sampling.nuts.num_samples
        chosen = resample(keys[2], weighted.log_weight, *shape)
        draws, draws_from, nuts = weighted.theta[chosen], REWEIGHTED, None
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


def _affordable(problem: Problem, sampling: Sampling) -> bool:
    """Return whether NUTS may sample all the data."""
    return num_points(problem.model, parts_of(problem.shards)) <= sampling.rescue_pairs


def _verdict(
    approximation: Approximation, certification: Certification, sampling: Sampling
) -> tuple[bool, list[Fault]]:
    """Return whether draws or their weights are the posterior, and what speaks against them.

    Chains of NUTS on all the data that have converged need no weights; those that have not can
    still make good proposals. Merged draws of faulty shards cannot.
    """
    of_draws, last = approximation.faults, certification.attempts[-1]
    of_weights = faults_of_weights(approximation.name, last, sampling.nuts.num_chains)
    if approximation.nuts is None:
        return not (of_draws or of_weights), of_draws + of_weights
    return not (of_draws and of_weights), of_draws + of_weights if of_draws else []


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of what is done within to ``seconds[stage]``."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began
