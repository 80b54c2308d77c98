"""A posterior that is sampled in a cheaper form, which the posterior of all the data judges."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from homodyne_bayes.inference.density import parts_of
from homodyne_bayes.inference.infer import Inference, Progress, infer, silent, timed
from homodyne_bayes.inference.judge import judge
from homodyne_bayes.inference.methods import Problem, Sampling
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.thresholds import MAX_DEVIATION, Fault

ROUNDS = 3
NUM_IN_CLOUD = 256
DEGREES_OF_FREEDOM, WIDER = 6, 1.3  # of the cloud: heavier tails and larger sds than at the mode

Cheaper = Callable[[np.ndarray], Problem]


def infer_cheaply(
    key: jax.Array,
    problem: Problem,
    cheaper: Cheaper,
    sampling: Sampling,
    progress: Progress = silent,
    shelf: Shelf | None = None,
    place: Workplace = HERE,
    dealt: Callable[[], Problem] | None = None,
) -> Inference:
    """Sample a cheaper form of a posterior, and judge the draws by the posterior.

    Where they are far from it the form is made again, with the draws in its cloud; where that does
    not help either, the posterior itself is sampled.

    Parameters
    ----------
    key : jax.Array
        Random key.
    problem : Problem
        The posterior.
    cheaper : callable
        ``cheaper(cloud)`` is the same problem in a form that is cheap, and good near the theta of
        a cloud, (N, d).
    sampling, progress, shelf, place
        As in `homodyne_bayes.inference.infer.infer`.
    dealt : callable, optional
        Makes the problem as it is sampled where no form is good, in other shards.
    """
    cloud_key, last_key, *keys = jax.random.split(key, 2 + ROUNDS)
    evaluate = place.evaluator(
        problem.model, parts_of(problem.shards), progress=partial(progress, "judging")
    )
    cloud = cloud_about(cloud_key, problem.laplace)
    seconds: dict[str, float] = {}
    for rounds, round_key in enumerate(keys, 1):
        with timed(seconds, "compressing"):
            small = cheaper(cloud)
        made = infer(round_key, small, sampling, progress, shelf if rounds == 1 else None, place)
        seconds |= {name: seconds.get(name, 0.0) + s for name, s in made.seconds.items()}
        with timed(seconds, "judging"):
            judgement, judged = judge(
                made.draws, made.log_prior + made.log_likelihood, evaluate, rounds
            )
        if judgement.sound:
            certificate = made.certificate
            log_evidence = certificate.log_evidence + judgement.shift
            certificate = certificate._replace(log_evidence=log_evidence)
            made = made._replace(certificate=certificate, judgement=judgement, seconds=seconds)
            return made._replace(form=small)
        cloud = np.concatenate([judged[: NUM_IN_CLOUD // 2], cloud[: NUM_IN_CLOUD // 2]])
    if shelf is not None:
        shelf = replace(shelf, folder=shelf.folder / "uncompressed")
    last = problem if dealt is None else dealt()
    made = infer(last_key, last, sampling, progress, shelf, place)
    fault = Fault("compression", "compressed maps", (judgement.deviation,), MAX_DEVIATION)
    certificate = made.certificate._replace(faults=(fault, *made.certificate.faults))
    return made._replace(certificate=certificate, seconds=seconds | made.seconds)


def cloud_about(key: jax.Array, laplace: Gaussian) -> np.ndarray:
    """Return theta about a mode, (N, d), where the form has to be good."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    z = rng.standard_normal((NUM_IN_CLOUD, len(laplace.mean)))
    chi2 = rng.chisquare(DEGREES_OF_FREEDOM, (NUM_IN_CLOUD, 1))
    wide = WIDER * np.sqrt(DEGREES_OF_FREEDOM / chi2)
    return np.asarray(laplace.mean) + wide * z @ np.linalg.cholesky(laplace.covariance).T
