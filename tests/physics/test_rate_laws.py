"""Every rate law: its integral, its coordinates, its derivatives; and models that follow it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import homodyne_bayes as hb
from homodyne_bayes import InputError
from homodyne_bayes.fitting.describe import rate_formulas
from homodyne_bayes.model_files import MODELS, load_model, model_name, source_hash
from homodyne_bayes.physics import rates
from homodyne_bayes.physics.rate_laws import RATE_LAWS
from homodyne_bayes.physics.rate_laws.constant import CONSTANT
from homodyne_bayes.physics.rate_laws.exponential import EXPONENTIAL

T_REF = 1.5
NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
TRUTHS = [
    ("constant", (1e4,)),
    ("exponential", (2e4, 5e3, 0.7)),  # slows down
    ("exponential", (1e3, 8e3, 5.0)),  # speeds up
    ("exponential", (1e4, -1e4, 20.0)),  # falls below 0 long after the record
    ("exponential", (1e4, 1.1e4, 400.0)),  # all but linear
    ("start", (1e4, 1.2, 0.1)),
    ("start", (1e4, 3.0, 0.02)),
    ("stop", (1e4, 1.2, 0.1)),
    ("stop", (1e4, -0.5, 0.4)),  # before the record
    ("growth", (1e3, 0.8, 2e3)),
    ("growth", (1e4, -0.8, 2e3)),  # fades
    ("cosine", (1e4, 0.7, 30.0)),
]
IDS = [f"{name}-{'-'.join(map(str, values))}" for name, values in TRUTHS]


@pytest.mark.parametrize("age", [0.0, 0.7])
@pytest.mark.parametrize(("name", "values"), TRUTHS, ids=IDS)
def test_the_integral_is_that_of_quadrature(name, values, age):
    law, values = RATE_LAWS[name], [jnp.asarray(value) for value in values]
    time = age + 0.2 * np.arange(12)
    steps = 0.5 * np.diff(time)
    at = 0.5 * (time[1:] + time[:-1])[:, None] + steps[:, None] * NODES
    expected = steps * (law.evaluate(jnp.asarray(at), *values) @ WEIGHTS)
    found = law.integral(jnp.asarray(time), *values)
    assert float(found[0]) == 0.0
    np.testing.assert_allclose(np.diff(found), expected, rtol=1e-6, atol=1e-6)


def test_where_a_relaxation_is_below_0_its_integral_stands_still():
    time = jnp.linspace(0.0, 4.0, 50)
    first, last, tau = 1e4, -1e4, 2.0
    zero = tau * np.log(2)
    until = last * zero + (first - last) * tau * 0.5
    found = EXPONENTIAL.integral(time, *map(jnp.asarray, (first, last, tau)))
    assert float(found[-1]) == pytest.approx(until)
    assert (jnp.diff(found) >= 0).all()


@pytest.mark.parametrize(("name", "values"), TRUTHS, ids=IDS)
def test_coordinates_round_trip(name, values):
    law = RATE_LAWS[name]
    there = law.to_coordinates([jnp.asarray(value) for value in values], jnp.asarray(T_REF))
    np.testing.assert_allclose(law.to_reported(there, jnp.asarray(T_REF)), values, rtol=1e-9)


@pytest.mark.parametrize("name", RATE_LAWS)
def test_rates_are_positive_and_derivatives_finite_all_over_the_prior(name):
    """What is driven to and fro is negative half of the time."""
    law = RATE_LAWS[name]
    rows = law.coordinates(rates.D)
    drawn = np.random.default_rng(0).normal(size=(len(rows), 1000))
    drawn = [
        jnp.asarray(row.prior.loc + row.prior.scale * z) for row, z in zip(rows, drawn, strict=True)
    ]
    time = jnp.linspace(0.0, jnp.e * T_REF, 30)

    def sums(*coordinates):
        reported = law.to_reported(coordinates, T_REF)
        rate, strain = law.evaluate(time[1:], *reported), law.integral(time, *reported)
        return rate.min(), jnp.diff(strain).min() / strain[-1], jnp.log(jnp.abs(strain[-1]))

    lowest, step, whole = jax.vmap(sums)(*drawn)
    assert law.signed or (lowest > 0).all()
    assert law.signed or (step > -1e-9).all()
    assert jnp.isfinite(whole).all()
    slopes = jax.vmap(jax.grad(lambda *c: sums(*c)[2], argnums=range(len(rows))))(*drawn)
    assert all(jnp.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("name", ["constant", "exponential"])
def test_the_level_is_that_at_the_reference_time(name):
    law = RATE_LAWS[name]
    others = [jnp.asarray(0.4)] * (len(law.coordinates(rates.D)) - 1)
    reported = law.to_reported([jnp.asarray(8.0), *others], jnp.asarray(T_REF))
    rate = law.evaluate(jnp.asarray(T_REF), *reported)
    assert float(jnp.log(rate)) == pytest.approx(8.0)
    assert law.level(rates.D) == "log_D_ref"


def test_a_slow_relaxation_is_a_straight_line_and_a_late_stop_a_constant():
    time = jnp.linspace(0.0, jnp.e * T_REF, 30)
    slow = EXPONENTIAL.to_reported([jnp.asarray(x) for x in (8.0, 0.5, 9.0)], jnp.asarray(T_REF))
    rate = EXPONENTIAL.evaluate(time, *slow)
    np.testing.assert_allclose(rate, jnp.linspace(rate[0], rate[-1], 30), rtol=1e-3)
    assert float(rate[-1] / rate[0]) == pytest.approx(np.exp(0.5))
    late = RATE_LAWS["stop"].integral(time, *map(jnp.asarray, (8e3, 100.0, 0.1)))
    np.testing.assert_allclose(late, CONSTANT.integral(time, 8e3), rtol=1e-12)


def test_a_model_follows_other_laws():
    name = "laminar_flow:D=exponential:gamma_dot=constant"
    model = load_model(name)
    assert model is load_model("laminar_flow:gamma_dot=constant:D=exponential")
    assert model is MODELS["laminar_flow"].following(D=EXPONENTIAL, gamma_dot=CONSTANT)
    assert model_name(model) == name
    assert model.laws == {"D": EXPONENTIAL, "gamma_dot": CONSTANT}
    assert model.still is MODELS["static"].following(D=EXPONENTIAL)
    assert model.reported == ("D_first", "D_last", "D_tau", "gamma_dot_constant", "phi0")
    assert {*dict(model.example)} == {*model.reported}
    assert r"D(t) = D^\mathrm{last}" in rate_formulas(model)[0]
    assert MODELS["static"].following() is MODELS["static"]
    assert source_hash(name) == {}


def test_a_model_of_ones_own_follows_other_laws(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from homodyne_bayes.model_files import laminar_flow\nMINE = laminar_flow.MODEL\n"
        "def plain(points, priors):\n    return 1\n"
    )
    assert load_model(f"{path}:MINE:D=constant") is load_model("laminar_flow:D=constant")
    assert source_hash(f"{path}:MINE:D=constant") == source_hash(f"{path}:MINE") != {}
    with pytest.raises(InputError, match="for no rate of this model, found 'D'"):
        load_model(f"{path}:plain:D=constant")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("static:D=constnt", "the law of D: unknown 'constnt'; did you mean constant?"),
        ("static:gamma_dot=constant", "can be chosen for D, found 'gamma_dot'"),
        ("static:constant", "model must be one of"),
        ("laminar_flow:D=cosine", "D is never negative, found a law that is .to and fro"),
    ],
)
def test_laws_that_there_are_not(name, message):
    with pytest.raises(InputError, match=message):
        hb.FitConfig(model=name)
