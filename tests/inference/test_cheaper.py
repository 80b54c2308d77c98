"""A cheaper form of a posterior that is right, that learns, and that is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from homodyne_bayes.inference.cheaper import ROUNDS, infer_cheaply
from homodyne_bayes.inference.infer import infer
from homodyne_bayes.inference.methods import Problem, Sampling
from homodyne_bayes.inference.nuts import Gaussian, NutsSettings
from homodyne_bayes.thresholds import MAX_DEVIATION

SAMPLING = Sampling("laplace", "cavity", 0, NutsSettings(100, 200, 4, 0.8, 8, "parallel"))
MODE = Gaussian(np.zeros(2), np.diag([1.0, 0.25]))


def model(part):
    """A Gaussian posterior of two coordinates; the part says how far it is shifted."""
    x = numpyro.sample("x", dist.Normal(0.0, 10.0).expand([2]).to_event(1))
    factor = -0.5 * (((x - part["shift"]) / jnp.array([1.0, 0.5])) ** 2).sum()
    numpyro.sample("y", dist.Unit(factor), obs=jnp.zeros(()))


def problem(shift):
    return Problem(model, {"shift": jnp.full((1, 1, 2), shift)}, MODE)


def forms(*shifts):
    """Return a maker of forms with these shifts, one a round, and the clouds that it was given."""
    left, clouds = list(shifts), []

    def cheaper(cloud):
        clouds.append(cloud)
        return problem(left.pop(0))

    return cheaper, clouds


def test_a_right_form_is_taken():
    cheaper, clouds = forms(0.0)
    made = infer_cheaply(jax.random.key(0), problem(0.0), cheaper, SAMPLING)
    assert made.certificate.certified
    assert made.judgement.rounds == len(clouds) == 1
    assert made.judgement.deviation == pytest.approx(0.0, abs=1e-9)
    assert made.judgement.ess == pytest.approx(made.judgement.num_draws)


def test_a_form_that_is_off_by_a_constant_has_the_right_evidence():
    def lifted(part):
        model(part)
        numpyro.factor("constant", 0.7)

    def cheaper(_):
        return problem(0.0)._replace(model=lifted)

    made = infer_cheaply(jax.random.key(0), problem(0.0), cheaper, SAMPLING)
    exact = infer(jax.random.key(1), problem(0.0), SAMPLING)
    errors = made.certificate.log_evidence_error, exact.certificate.log_evidence_error
    expected = pytest.approx(exact.certificate.log_evidence, abs=4 * np.hypot(*errors))
    assert made.certificate.log_evidence == expected


def test_a_form_learns_from_the_draws_of_the_one_before():
    cheaper, clouds = forms(0.5, 0.0)
    made = infer_cheaply(jax.random.key(0), problem(0.0), cheaper, SAMPLING)
    assert made.judgement.rounds == 2
    assert made.certificate.certified
    known = {tuple(row) for row in clouds[0]}
    assert sum(tuple(row) not in known for row in clouds[1]) > 50


def test_where_no_form_is_right_all_the_data_are_sampled():
    cheaper, clouds = forms(*[0.5] * ROUNDS)
    made = infer_cheaply(jax.random.key(0), problem(0.0), cheaper, SAMPLING)
    assert len(clouds) == ROUNDS
    assert made.judgement is None
    assert made.certificate.certified
    fault = made.certificate.faults[0]
    assert fault.kind == "compression"
    assert fault.found[0] > MAX_DEVIATION
    assert np.abs(made.draws.reshape(-1, 2).mean(axis=0)).max() < 0.15
