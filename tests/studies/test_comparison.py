"""Evidence against closed forms, and which model wins on data whose model is known."""

import json
import re
import sys
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.stats

from homodyne_bayes import FitConfig, InputError
from homodyne_bayes.cli import main, screen
from homodyne_bayes.data import writing
from homodyne_bayes.fitting.sample import sample_posterior
from homodyne_bayes.inference.infer import infer
from homodyne_bayes.inference.methods import Problem
from homodyne_bayes.inference.nuts import Gaussian
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from homodyne_bayes.studies.comparison import (
    BAYES_FACTORS,
    Evidence,
    compare,
    evidence,
    held_out,
    probabilities,
    sentences,
    strength,
    tabulate,
)
from homodyne_bayes.studies.widths import WIDTHS, log_evidence_ratios
from tests.truth import LAMINAR, STATIC

D = 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 30, D)) @ RNG.normal(size=(D, D))
Y = X @ RNG.normal(size=D) + RNG.normal(size=(4, 30))
NAMES = ["static", "laminar_flow"]
PHI = (-60.0, 0.0, 60.0)


def regression(shard):
    """Linear regression with unit noise and a standard normal prior."""
    x, y = shard
    w = numpyro.sample("w", dist.Normal(jnp.zeros(D), 1.0).to_event(1))
    numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)


def closed_form(parts):
    """Return log p(y) = log N(y; 0, 1 + X Xᵀ)."""
    x, y = X[parts].reshape(-1, D), Y[parts].ravel()
    return scipy.stats.multivariate_normal(None, np.eye(len(y)) + x @ x.T).logpdf(y)


def wrong_mode(parts):
    """Return the posterior shifted by 0.3 sd in every direction, 1.3 times its covariance."""
    x, y = X[parts].reshape(-1, D), Y[parts].ravel()
    covariance = np.linalg.inv(np.eye(D) + x.T @ x)
    shift = 0.3 * np.linalg.cholesky(covariance).sum(axis=1)
    return Gaussian(jnp.asarray(covariance @ x.T @ y + shift), jnp.asarray(1.3 * covariance))


def estimated(parts, seed=0, **settings):
    config = FitConfig(num_samples=250, rescue_pairs=0, **settings)
    shards = (jnp.asarray(X[parts][:, None]), jnp.asarray(Y[parts][:, None]))
    problem = Problem(regression, shards, wrong_mode(parts))
    found = infer(jax.random.key(seed), problem, config.sampling)
    return evidence(found.certificate)


def test_evidence_of_a_conjugate_model():
    """Twenty seeds: within the stated errors, which are neither too small nor too large."""
    found = [estimated([0, 1, 2, 3], seed, method="laplace") for seed in range(20)]
    errors = np.array([one.error for one in found])
    deviation = np.array([one.log_evidence - closed_form([0, 1, 2, 3]) for one in found]) / errors
    assert np.abs(deviation).max() < 3.5
    assert (np.abs(deviation) > 3).sum() <= 1
    assert 0.5 < np.sqrt(np.mean(deviation**2)) < 1.5
    assert errors.max() < 0.05


def test_evidence_by_consensus():
    found = estimated([0, 1, 2, 3], method="consensus", num_warmup=100)
    assert abs(found.log_evidence - closed_form([0, 1, 2, 3])) < 3.5 * found.error < 0.1


def test_a_part_held_out_is_predicted_as_in_closed_form():
    everything = [0, 1, 2, 3]
    rests = [[part for part in everything if part != out] for out in everything]
    found = [estimated(parts, method="laplace") for parts in (everything, *rests)]
    exact = held_out(np.array([closed_form(parts) for parts in (everything, *rests)]))
    scores = held_out(np.array([one.log_evidence for one in found]))
    error = np.hypot(found[0].error, [one.error for one in found[1:]])
    assert (np.abs(scores - exact) < 3.5 * error).all()


def fits(log_evidence, error=0.1, k_hat=0.2):
    shape = np.shape(log_evidence)
    full = [np.broadcast_to(leaf, shape).astype(float) for leaf in (log_evidence, error, k_hat)]
    return Evidence(*full, np.full(shape, fill_value=True))


def test_the_table():
    """Two models of three angles: differences per angle are 1, 2 and 6, less those of the first."""
    found = tabulate(["a", "b"], np.array(PHI), fits([[10.0, 7, 7, 7], [20.0, 16, 15, 11]]))
    assert list(found.models.index) == ["b", "a"]
    np.testing.assert_array_equal(found.angles["b"] - found.angles["a"], [1, 2, 6])
    one, other = found.models.loc["b"], found.models.loc["a"]
    assert one["log_bayes_factor"] == one["loao_difference"] == one["loao_difference_error"] == 0
    assert other["log_bayes_factor"] == -10
    assert other["log_bayes_factor_error"] == pytest.approx(0.1 * np.sqrt(2))
    assert other["loao_difference"] == -9
    spread, monte_carlo = 3 * np.var([1, 2, 6], ddof=1), 2 * (9 + 3) * 0.1**2
    assert other["loao_difference_error"] == pytest.approx(np.sqrt(spread + monte_carlo))
    bayes, predicted, shares, caveat = sentences(found)
    assert bayes == (
        "The data prefer b over a by a log Bayes factor of 10.00 ± 0.14: very strong "
        "evidence (Kass & Raftery 1995)."
    )
    assert "better by b than by a: log score +9.0 ± 4.6, by the spread over 3 angles" in predicted
    assert shares == "If one of them is true, at prior odds 1:1: b over 99.9 %, a 0.005 %."
    assert caveat == NOISES["independent"].words.caveat


def test_probabilities_at_prior_odds():
    """Errors are those of draws of the evidences."""
    evidence, error, odds = np.array([10.0, 9.0, 8.5]), np.array([0.02, 0.03, 0.01]), [1, 4, 1]
    share, sd = probabilities(evidence, error, np.array(odds, float))
    weight = np.exp(evidence - 10) * odds
    np.testing.assert_allclose(share, weight / weight.sum())
    drawn = evidence + error * RNG.normal(size=(20_000, 3))
    drawn = np.exp(drawn - 10) * odds
    np.testing.assert_allclose((drawn.T / drawn.sum(axis=1)).std(axis=1), sd, rtol=0.05)
    found = tabulate(["a", "b"], np.array([]), fits([[10.0], [9.0]]), odds=(1, 9))
    assert found.models.loc["b", "probability"] == pytest.approx(9 / (9 + np.e))
    assert "at prior odds 1:9: a 23.2 %, b 76.8 %" in " ".join(sentences(found))


def test_priors_that_decide_are_told():
    """With wider priors the other model wins."""
    ratios = [[0.3, -2.0], [-0.2, 0.5]]
    found = tabulate(["a", "b"], np.array([]), fits([[10.0], [8.5]]), ratios=ratios)
    narrow, wide = found.models.loc["b", list(BAYES_FACTORS)]
    assert (narrow, wide) == pytest.approx((-2.0, 1.0))
    assert (
        "With priors of the fluid two thirds as wide it is 2.00, one and a half times as wide "
        "-1.00, so that priors decide." in sentences(found)
    )


def test_what_is_not_known_is_said(capsys):
    nan = np.nan
    one = tabulate(["a", "b"], np.array(PHI), fits([[nan, 7, 7, 7], [20.0, 16, 15, 11]], k_hat=0.8))
    assert one.models["log_bayes_factor"].isna()["a"]
    screen.print_json(one.record)
    known, unknown = json.loads(capsys.readouterr().out)["models"]
    assert (known["model"], known["log_evidence"]) == ("b", 20.0)
    assert (unknown["model"], unknown["log_bayes_factor"]) == ("a", None)
    assert "The evidence of a cannot be trusted: k-hat is 0.80" in sentences(one)[0]
    two = tabulate(["a", "b"], np.array(PHI), fits([[9, nan, 7, 7], [20.0, 16, 15, 11]], k_hat=0.6))
    assert two.models["log_bayes_factor"]["a"] == -11
    assert two.models["loao_difference"].isna()["a"]
    assert any("b and a is less certain than its error says" in said for said in sentences(two))
    alone = tabulate(["a", "b"], np.array([]), fits([[10.0], [8.0]]))
    assert alone.models["loao"].isna().all()
    assert "With a single angle there is none to leave out." in sentences(alone)


def test_evidence_of_untrusted_weights_is_not_given():
    from homodyne_bayes.inference.infer import Certificate

    found = evidence(Certificate(False, "", (), [], 3.0, 0.1, 0.71))
    assert np.isnan(found.log_evidence)
    assert np.isnan(found.error)


def test_words_of_kass_and_raftery():
    words = [strength(value).removesuffix(" evidence") for value in (0.5, 2.0, 4.0, 9.0)]
    assert words == ["not worth more than a bare mention", "positive", "strong", "very strong"]


def measured(parameters, seed):
    """Three angles of 20 frames of speckle."""
    model = MODELS["laminar_flow" if "phi0" in parameters else "static"]
    experiment = simulate.Experiment(model, PHI, 20, parameters, dt=0.4)
    return simulate.speckle(jax.random.key(seed), experiment, 3000, mean_photons=5.0)


TRUTHS = {"static": STATIC, "laminar_flow": LAMINAR}


@pytest.mark.parametrize("truth", NAMES)
def test_the_true_model_wins_once(truth):
    seen = []
    found = compare(measured(TRUTHS[truth], 0), progress=lambda *now: seen.append(now))
    assert found.models.index[0] == truth, found.models
    assert found.models["log_evidence"].notna().all()
    assert found.models["probability"].sum() == pytest.approx(1)
    assert found.models[BAYES_FACTORS[0]].iloc[1] < 0
    np.testing.assert_allclose(found.angles.sum(), found.models["loao"][found.angles.columns])
    noise = [("noise", done, 2) for done in range(3)]
    assert seen == noise + [("comparing", done, 8) for done in range(9)]


def test_evidence_with_wider_priors_is_that_of_a_fit_with_them():
    data = measured(STATIC, 0).take(np.array([0]))
    config = FitConfig(model="static", method="laplace")
    made = sample_posterior(data, config)
    rows = [(name, row) for name, row in made.model.priors if name in ("D_slope", "D_bend")]
    level = dict(made.model.priors)["log_D_ref"]
    ratios = log_evidence_ratios(made)
    for width, ratio in zip(WIDTHS, ratios, strict=True):
        priors = {name: (row.loc, width * row.scale) for name, row in [*rows, ("log_D_ref", level)]}
        other = sample_posterior(data, replace(config, priors=priors), noise=made.whole.noise)
        one, two = (evidence(each.inference.certificate) for each in (made, other))
        assert two.log_evidence - one.log_evidence == pytest.approx(ratio, abs=0.05)
        assert abs(ratio) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("truth", NAMES)
def test_the_true_model_wins(truth):
    """At least 18 of 20."""
    other, rows = next(name for name in NAMES if name != truth), []
    for seed in range(20):
        began = time.perf_counter()
        models = compare(measured(TRUTHS[truth], 100 + seed)).models
        won, lost = models.loc[truth], models.loc[other]
        rows.append(
            {
                "log_bayes_factor": won["log_evidence"] - lost["log_evidence"],
                "error": models["log_bayes_factor_error"].max(),
                "k_hat": lost["k_hat"] if truth == "static" else won["k_hat"],
                "loao": won["loao"] - lost["loao"],
                "loao_error": models["loao_difference_error"].max(),
                "seconds": time.perf_counter() - began,
            }
        )
    table = pd.DataFrame(rows)
    print(f"\n{truth}\n{table.to_string()}\n{table.describe().to_string()}")
    assert (table["log_bayes_factor"] > 0).sum() >= 18


def test_refused_before_anything_is_fitted():
    data, seen = measured(STATIC, 0), []
    with pytest.raises(InputError, match="two models or more, found static"):
        compare(data, {"static": FitConfig(model="static")})
    mixed = {"a": FitConfig(model="static"), "b": FitConfig(model="static", noise="independent")}
    with pytest.raises(InputError, match="one noise, found independent, speckle"):
        compare(data, mixed)
    for bad, message in (
        ({"gap": None}, "needs the gap"),
        ({"provenance": {"assumed": ["phi"]}}, "needs the azimuth"),
    ):
        with pytest.raises(InputError, match=message):
            compare(replace(data, **bad), progress=lambda *now: seen.append(now))
    assert seen == []


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the compare command; return exit code, standard output and standard error."""

    def call(*arguments):
        devices = ["--cpu-devices", str(jax.local_device_count())]
        argv = ["homodyne-bayes", *devices, "compare", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", argv)
        code = 0
        try:
            main.main()
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def data_file(tmp_path):
    path = tmp_path / "data.nc"
    writing.write_netcdf(path, measured(LAMINAR, 0))
    return path


def test_from_the_command_line(run, data_file):
    code, out, err = run(data_file, "--rescue-pairs", 0)
    assert code == 0, err
    assert "comparing" in err
    for name in NAMES:
        assert name in out.split("The data prefer")[0]
    assert "The data prefer laminar_flow over static by a log Bayes factor of" in out
    assert NOISES["speckle"].words.caveat in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "static"], "two models or more, found static"),
        (["--models", "static,static"], "models must differ by name, found static, static"),
        (["--models", "static,flow"], "model must be one of static, laminar_flow.*'flow'"),
        (
            ["--odds", "2"],
            "odds must be a positive number of each of static, laminar_flow.*found 2",
        ),
        (["--odds", "2,0"], "odds must be a positive number of each"),
        (["--odds", "two,one"], "--odds must be numbers separated by commas, found 'two,one'"),
        (["--model", "static"], "No such option.*--model"),
        (["--method", "guess"], "guess.*not one of.*laplace"),
        (["--num-samples", "many"], "fit.num_samples: .*integer"),
        (["--angles", "45"], "45.*choose from -60, 0, 60"),
    ],
    ids=str,
)
def test_bad_calls(run, data_file, flags, message):
    code, out, err = run(data_file, *flags)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
