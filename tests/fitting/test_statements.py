"""What is known of parameters: held, bounded, with a prior; against models written by hand."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro.infer import MCMC, NUTS

import homodyne_bayes as hb
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.fitting.statements import start_of
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.parameters import Prior, Statement
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import GAMMA_DOT, D, distribution, draw
from homodyne_bayes.results import rows, tables
from homodyne_bayes.results.diagnostics import Numbers

NAMES = ("D0", "alpha", "D_offset")
SOME = [known for n in range(4) for known in itertools.combinations(NAMES, n)]
T_REF = 3.0


@pytest.mark.parametrize("known", SOME, ids="-".join)
@pytest.mark.parametrize("law", [(2e4, -0.4, 700.0), (3e3, 0.3, -500.0), (5e3, 1.2, 0.0)])
def test_a_law_is_the_same_by_whatever_is_sampled_of_it(known, law):
    """All six numbers of a power law, of which three are sampled."""
    numbers = (*law, *POWER_LAW.to_coordinates(law, T_REF))
    every = dict(zip((row.name for row in POWER_LAW.parameters(D)), numbers, strict=True))
    sampled = [row.name for row in POWER_LAW.sampled(D, known)]
    assert len(sampled) == 3
    assert {*known} <= {*sampled}
    made = POWER_LAW.made_of(D, {name: every[name] for name in sampled}, T_REF)
    np.testing.assert_allclose(np.array(made), law, rtol=1e-9, atol=1e-6)


def test_what_is_sampled_has_a_prior_of_its_own():
    for known in SOME:
        for rate in (D, GAMMA_DOT):
            names = [row.name for row in POWER_LAW.reported(rate)]
            some = [name for name, word in zip(names, NAMES, strict=True) if word in known]
            assert all(row.prior for row in POWER_LAW.sampled(rate, some))


@pytest.mark.parametrize(
    ("said", "truth", "ends"),
    [
        ("normal(1, 2) in [-2, 1.5]", scipy.stats.truncnorm(-1.5, 0.25, 1, 2), (-2, 1.5)),
        ("normal(1, 2) in [0, inf]", scipy.stats.truncnorm(-0.5, np.inf, 1, 2), (0, 20)),
        ("uniform(-1, 3)", scipy.stats.uniform(-1, 4), (-1, 3)),
        ("uniform(-1, 3) in [0, 9]", scipy.stats.uniform(0, 3), (0, 3)),
        ("lognormal(1, 0.5)", scipy.stats.lognorm(0.5, scale=np.e), (0, 30)),
    ],
)
def test_densities_of_statements(said, truth, ends):
    made = distribution(Statement.of(said).prior(Prior("normal", 0.0, 1.0)))
    x = np.linspace(*ends, 9)[1:-1]
    np.testing.assert_allclose(made.log_prob(jnp.array(x)), truth.logpdf(x), rtol=1e-5)


def test_a_truncated_lognormal_is_the_rest_of_it():
    prior = Statement.of("lognormal(1, 0.5) in [2, 5]").prior(Prior("lognormal", 0.0, 1.0))
    x, whole = jnp.linspace(2.1, 4.9, 7), scipy.stats.lognorm(0.5, scale=np.e)
    rest = whole.logpdf(x) - np.log(whole.cdf(5) - whole.cdf(2))
    np.testing.assert_allclose(distribution(prior).log_prob(x), rest, rtol=1e-5)
    drawn = distribution(prior).sample(jax.random.key(0), (500,))
    assert 2 < drawn.min() < 2.1
    assert 4.7 < drawn.max() < 5


@pytest.mark.parametrize(
    "said", ["1, 2", "fixed(0)", "in [-2, 0]", "normal(-0.3, 0.2) in [-2, inf] from -0.5"]
)
def test_statements_are_read_as_they_are_written(said):
    assert str(Statement.of(said)) == said


def test_shorthands_are_parts_of_one_statement():
    """By word or by text, in Python, in a settings file or on a command line."""
    by_word = FitConfig(
        priors={"D0": (1e4, 5e3)},
        bounds={"D0": (1e3, 1e5), "alpha": (-2, 0)},
        fix={"D_offset": 0, "beta": 0},
        start={"alpha": -0.5},
    )
    text = {
        "D0": "10000, 5000 in [1000, 100000]",
        "alpha": "in [-2, 0] from -0.5",
        "D_offset": "fixed(0)",
        "beta": "fixed(0)",
    }
    typed = {
        "priors": ["D0=1e4,5e3"],
        "bounds": ("D0=1e3:1e5", "alpha=-2:0"),
        "fix": ("D_offset=0", "beta=0"),
        "start": ("alpha=-0.5",),
    }
    assert by_word == FitConfig(priors=text) == make(FitConfig, typed)
    assert by_word.recorded()["priors"] == text
    assert {n: str(p) for n, p in by_word.prior_table().items() if n in text} == {
        "D0": "Lognormal(9.21034, 0.5) in [1000, 100000]",
        "alpha": "Uniform(-2, 0)",
        "D_offset": "held at 0",
        "beta": "held at 0",
    }


BAD = [
    ({"fix": {"D_ofset": 0}}, "D_ofset: unknown; did you mean D_offset"),
    ({"fix": {"D_offset": "x"}}, "fit.fix.D_offset: must be a number, found 'x'"),
    ({"fix": {"D_offset": float("nan")}}, "fit.fix.D_offset: must be a number, found nan"),
    ({"fix": 3}, "fit.fix: must map names to values, found 3"),
    ({"fix": {"gamma_dot_t0": 0}}, "greater than 0, found 0; without any shear rate it is model s"),
    ({"fix": {"D0": 10}, "bounds": {"D0": (20, 30)}}, "held at 10, outside its bounds 20 and 30"),
    ({"fix": {"alpha": 0}, "priors": {"D_slope": (0, 1)}}, "D_slope: follows where .* of alpha"),
    ({"fix": {"offset": 1}}, "offset: .*take LOC,SCALE.*--scaling constant"),
    ({"bounds": {"contrast": (0, 1)}}, "contrast: .*take LOC,SCALE"),
    ({"bounds": {"alpha": (0, -2)}}, r"fit.bounds.alpha: must be two numbers, .*found \(0, -2\)"),
    ({"bounds": {"alpha": "-2"}}, "fit.bounds.alpha: must be two numbers, LOW:HIGH"),
    ({"bounds": {"alpha": "-2:inf"}}, "alpha: must lie between two finite numbers"),
    ({"bounds": {"alpha": (5, 6)}, "priors": {"alpha": (0, 0.1)}}, "next to nothing between"),
    ({"priors": {"D0": "lognorm(9,1)"}}, "D0: must be LOC,SCALE or one of normal.*'lognorm"),
    ({"priors": {"D0": "lognormal(9)"}}, "D0: must be LOC,SCALE or one of normal"),
    ({"priors": {"D0": (-1, 2)}}, "D0: must be positive, found -1"),
    ({"priors": {"alpha": "normal(0, -1)"}}, "alpha: must have a scale greater than 0, found -1"),
    ({"start": {"D0": "many"}}, "fit.start.D0: must be a number, found 'many'"),
    ({"start": {"alpha": 1}, "bounds": {"alpha": (-2, 0)}}, "starts at 1, outside its bounds"),
    ({"start": {"sigma": 1}, "noise": "independent"}, "fit.start.sigma: .*by itself"),
    ({"fix": dict.fromkeys(NAMES, 1), "model": "static"}, "holds all of .*: leave one of them"),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=lambda v: str(v)[:40])
def test_statements_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        FitConfig(**settings)


def test_a_law_that_cannot_complete_itself_says_what_is_sampled():
    bare = dataclasses.replace(POWER_LAW, instead=None, complete=None)
    model = dataclasses.replace(MODELS["static"], rates=((D, bare),))
    message = "alpha: follows from log_D_ref, D_slope, D_bend: say it of these"
    with pytest.raises(InputError, match=message):
        FitConfig(model=model, bounds={"alpha": (-2, 0)})
    assert FitConfig(model=model, fix={"D_bend": 1}).prior_table()["D_bend"].fixed


def test_a_model_that_samples_by_itself_says_how_it_can_be_held():
    with pytest.raises(InputError, match=r"rates.draw\(name, priors\)"):
        distribution(Statement.of("fixed(3)").prior(Prior("normal", 0.0, 1.0)))
    assert draw("x", {"x": Statement.of("fixed(3)").prior(Prior("normal", 0.0, 1.0))}) == 3


@pytest.mark.parametrize("fix", [{}, {"D_offset": 500.0}, {"alpha": -0.3}])
def test_a_start_by_reported_parameters_is_a_start_in_what_is_sampled(fix):
    truth = dict(zip(NAMES, (1e4, -0.3, 500.0), strict=True))
    config = FitConfig(model="static", fix=fix, start=truth)
    model, priors = MODELS["static"], config.prior_table()
    start = start_of(config.stated, model, priors, jnp.asarray(T_REF))
    assert {*start} == {*priors} - {"contrast", "offset"} - {*fix}
    made = POWER_LAW.made_of(D, start | fix, T_REF)
    np.testing.assert_allclose(np.array(made), [*truth.values()], rtol=1e-9)
    config = FitConfig(model="static", start=truth | {"D_offset": -1e6})
    with pytest.raises(InputError, match="positive at the start"):
        start_of(config.stated, model, config.prior_table(), jnp.asarray(T_REF))


def by_hand(data, shape):
    """Return posterior means and sd of a fluid at rest, in plain NumPyro."""
    first, second = np.triu_indices(data.num_frames, k=1)
    time = jnp.asarray(data.time)
    t_ref = time[0] + (time[-1] - time[0]) / np.e
    positive = dist.transforms.ExpTransform()

    def model():
        D0, alpha, D_offset = shape(t_ref)
        integral = D0 * time ** (1 + alpha) / (1 + alpha) + D_offset * time
        g1 = jnp.exp(-0.5 * data.q**2 * (integral[second] - integral[first]))
        sigma = numpyro.sample("sigma", dist.LogNormal(-3.5, 1.5))
        heavy = dist.TransformedDistribution(dist.StudentT(4, -2.3, 1.0), positive)
        with numpyro.plate("phi", len(data.phi)):
            contrast = numpyro.sample("contrast", heavy)
            offset = numpyro.sample("offset", dist.StudentT(4, 1.0, 0.005))
        mean = offset[:, None] + contrast[:, None] * g1**2
        numpyro.sample("c2", dist.Normal(mean, sigma), obs=data.c2[:, first, second])

    chain = MCMC(NUTS(model), num_warmup=500, num_samples=6000, progress_bar=False)
    chain.run(jax.random.key(1))
    draws = chain.get_samples()
    return {name: (draws[name].mean(), draws[name].std()) for name in NAMES}


def held_and_bounded(t_ref):
    """D_offset is 0, alpha between two bounds of which one bites."""
    log_level = numpyro.sample("log_D_ref", dist.Normal(9.0, 1.0))
    alpha = numpyro.sample("alpha", dist.Uniform(-0.9, -0.3))
    D0 = numpyro.deterministic("D0", jnp.exp(log_level) / t_ref**alpha)
    return D0, alpha, numpyro.deterministic("D_offset", jnp.zeros(()))


def known_by_name(_t_ref):
    """All three have priors, of three families."""
    D0 = numpyro.sample("D0", dist.LogNormal(9.0, 0.3))
    alpha = numpyro.sample("alpha", dist.TruncatedNormal(-0.2, 0.05, low=-0.9, high=-0.2))
    return D0, alpha, numpyro.sample("D_offset", dist.Uniform(0.0, 3000.0))


BY_HAND = [
    (
        held_and_bounded,
        {
            "fix": {"D_offset": 0},
            "bounds": {"alpha": (-0.9, -0.3)},
            "priors": {"log_D_ref": (9, 1)},
        },
    ),
    (
        known_by_name,
        {
            "priors": {"D0": "lognormal(9, 0.3)", "alpha": (-0.2, 0.05)},
            "bounds": {"alpha": (-0.9, -0.2), "D_offset": (0, 3000)},
        },
    ),
]


@pytest.mark.parametrize(("shape", "settings"), BY_HAND, ids=["held-and-bounded", "by-name"])
def test_the_posterior_is_that_of_a_model_written_by_hand(shape, settings):
    data = hb.simulate(
        "static",
        phi=(0.0, 60.0),
        num_frames=16,
        parameters={"D0": 1e4, "alpha": -0.3, "D_offset": 0.0},
        sigma=0.02,
        seed=3,
    )
    result = hb.fit(
        data,
        model="static",
        noise="independent",
        scaling="individual",
        method="full",
        compress=False,
        num_samples=2500,
        **settings,
    )
    posterior = result.tree["posterior"]
    for name, (mean, sd) in by_hand(data, shape).items():
        if sd == 0:
            assert (posterior[name] == mean).all()
            continue
        assert abs(float(posterior[name].mean()) - mean) < 0.05 * sd, name
        assert float(posterior[name].std()) == pytest.approx(float(sd), rel=0.05), name


@pytest.fixture(scope="module")
def held():
    data = hb.simulate(num_frames=24, sigma=0.01, parameters={"beta": 0.0, "D_offset": 0.0})
    return hb.fit(
        data,
        noise="independent",
        num_warmup=150,
        num_samples=100,
        fix={"D_offset": 0, "beta": 0},
        start={"D0": 1e4},
    )


def test_what_is_held_is_no_coordinate_and_is_told(held):
    """By the default method: shards, merged, certified by all the data."""
    assert held.certified
    tree = held.tree
    assert (tree["posterior"]["D_offset"] == 0).all()
    assert not {"D_offset", "beta", "D_bend"} & {*tree["unconstrained_posterior"]}
    assert not {"D_offset", "beta"} & {*held.summary().index}
    numbers = Numbers(tree)
    told = {row["name"]: row for row in rows.held(numbers, ("physical",))}
    assert {name: row["mean"] for name, row in told.items()} == {"D_offset": "0", "beta": "0"}
    assert told["beta"]["interval"] == "held, given by the user"
    stated = {row["name"]: row["prior"] for row in rows.priors(numbers)}
    assert stated["D_offset"] == stated["beta"] == "held at 0"
    for medium in ("page", "terminal"):
        cells = [c for t in tables.shown(numbers, medium) for row in t.cells for c in row]
        assert "held, given by the user" in [cell.text for cell in cells]
    assert "D_offset" in repr(held)
    assert "0 (held, given by the user)" in repr(held)


def test_the_still_fluid_is_told_the_same(held):
    """D_offset is held in both; beta is what no flow lacks."""
    assert np.isfinite(held.tree["still"].attrs["log_bayes_factor"])
    assert "beta" in held.tree["still"].attrs["lacks"]


def test_contrast_and_offset_are_held_with_constant_scaling(laminar_data):
    planned = plan(laminar_data, FitConfig(scaling="constant", fix={"offset": 1.0}))
    assert planned.priors["offset"].loc == 1.0
    assert str(dict(planned.per_angle.priors)["offset"]) == "Student(4, 1, 0.005)"
    assert 0 < planned.priors["contrast"].loc < 1
