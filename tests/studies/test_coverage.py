"""Intervals under the noise of speckle hold the truth as often as they say, on true speckle."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from homodyne_bayes import FitConfig, InputError, files
from homodyne_bayes.cli import main
from homodyne_bayes.fitting.describe import describe, parameter_rows
from homodyne_bayes.model_files import MODELS, load_model
from homodyne_bayes.parameters import priors_of
from homodyne_bayes.physics import simulate
from homodyne_bayes.physics.rate_laws.power_law import PowerLaw, to_coordinates, to_power_law
from homodyne_bayes.results import store
from homodyne_bayes.studies import coverage
from homodyne_bayes.studies.coverage import Study, recorded
from homodyne_bayes.studies.rerun import settings_of
from tests.truth import DIFFUSION, LAMINAR, PRIORS, ROWS, SHEAR, STATIC

ANGLES = (-60.0, 0.0, 60.0)
WEAK = {"D0": 7500.0, "alpha": -0.05, "D_offset": 2500.0}  # bend 1.3, one prior sd from its centre
QUICK = FitConfig(model="static", method="laplace", rescue_pairs=0, num_samples=250)


def experiment(parameters):
    """Three angles of 48 frames; 0.3 lies in the middle of the contrasts of four modes."""
    model = MODELS["laminar_flow" if "phi0" in parameters else "static"]
    return simulate.Experiment(model, ANGLES, 48, parameters, contrast=0.3)


def bent(parameters, number=400, t_ref=47 * 0.1 / np.e):
    """Parameters with the bends of rates drawn from their priors, levels and slopes kept.

    The data hardly fix the bends, so their intervals are the prior's: they hold the truth as
    often as they say only where the truth is as variable as the prior says.
    """
    rng = np.random.default_rng(0)
    drawn = [dict(parameters) for _ in range(number)]
    for names, bend in ((DIFFUSION, "D_bend"), (SHEAR[:3], "gamma_dot_bend")):
        if names[0] in parameters:
            law = PowerLaw(*(jnp.asarray(parameters[name]) for name in names))
            v = jnp.asarray(rng.normal(PRIORS[bend].loc, PRIORS[bend].scale, number))
            laws = to_power_law(to_coordinates(law, t_ref)._replace(bend=v), t_ref)
            for name, values in zip(names, np.broadcast_arrays(*laws), strict=True):
                drawn = [one | {name: float(v)} for one, v in zip(drawn, values, strict=True)]
    return tuple(drawn)


def varied(name, names, changes, number=400):
    """An experiment of a model, and its parameters with some drawn from their priors.

    ``names`` are those of coordinates of its rates, and of its other parameters.
    """
    rng, t_ref, model = np.random.default_rng(0), 47 * 0.1 / np.e, load_model(name)
    example, columns = dict(model.example) | changes, {}

    def drawn(prior):
        z = jnp.asarray(rng.normal(prior.loc, prior.scale, number))
        return {"lognormal": jnp.exp, "logitnormal": jax.nn.sigmoid}.get(prior.family, jnp.array)(z)

    for rate, law in model.rates:
        reported = [row.name for row in law.reported(rate)]
        held = law.to_coordinates([jnp.asarray(example[name]) for name in reported], t_ref)
        rows = zip(law.coordinates(rate), held, strict=True)
        theta = [drawn(row.prior) if row.name in names else value for row, value in rows]
        columns |= zip(reported, law.to_reported(theta, t_ref), strict=True)
    columns |= {row.name: drawn(row.prior) for row in model.parameters if row.name in names}
    rows = zip(
        *(np.broadcast_to(column, number).tolist() for column in columns.values()), strict=True
    )
    truths = tuple(example | dict(zip(columns, row, strict=True)) for row in rows)
    return Study(
        simulate.Experiment(model, ANGLES, 48, truths[0], contrast=0.3), truths, mean_photons=10.0
    )


@dataclass(frozen=True)
class Regime:
    """Experiments, how they are fitted, and the bounds on what is found."""

    study: Study
    model: str = "static"
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rescue_pairs: int = 0
    pooled: tuple[float, float] = (0.85, 0.95)
    each: tuple[float, float] = (0.83, 0.97)
    half: tuple[float, float] = (0.42, 0.58)
    uncorrected: float = 1.0


FAST = {"D0": 4e4, "D_offset": 2e3}  # the decay ends within the frames
OTHERS = {  # models and laws: what truths vary in, as their priors say, and what is not the example
    "static:D=exponential": (("D_log_tau", "D_change"), {}),
    "stretched": (("D_bend", "stretch"), FAST),
    "stretched_flow": (("D_bend", "gamma_dot_bend", "stretch"), FAST),
    "two_relaxations": (("D_bend", "fast_share", "slower"), {}),
    "frozen": (("D_bend", "frozen_share"), FAST),
    "frozen_flow": (("D_bend", "gamma_dot_bend", "frozen_share", "mean_velocity"), FAST),
    "oscillatory_flow": (("D_bend", "gamma_dot_turns"), {}),
    "wall_slip": (("D_bend", "gamma_dot_bend", "slip"), {}),
    "two_components": (
        ("D_reference_bend", "D_sample_bend", "velocity_bend", "share_log_odds"),
        {},
    ),
    "laminar_flow:gamma_dot=start": (("D_bend", "gamma_dot_log_width"), {}),
}
STATED = {"oscillatory_flow": {"gamma_dot_frequency": (1.0, 1e-5)}}  # that of the drive
REGIMES = {
    "static": Regime(Study(experiment(STATIC), bent(STATIC)), uncorrected=0.5),
    "one photon": Regime(Study(experiment(STATIC), bent(STATIC), mean_photons=1.0)),
    "laminar flow": Regime(
        Study(experiment(LAMINAR), bent(LAMINAR), mean_photons=10.0),
        "laminar_flow",
    ),
    "oversampled": Regime(
        Study(experiment(STATIC), bent(STATIC), speckle_size=4),
        pooled=(0.83, 1.0),
        each=(0.0, 1.0),
        half=(0.0, 1.0),
    ),
    "weak": Regime(
        Study(experiment(WEAK)),
        rescue_pairs=100_000,
        pooled=(0.82, 1.0),
        each=(0.0, 1.0),
        half=(0.0, 1.0),
    ),
} | {name: Regime(varied(name, *how), name, STATED.get(name, {})) for name, how in OTHERS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", REGIMES)
def test_intervals_hold_the_truth(name):
    """Two hundred experiments each; docs/calibration.md."""
    regime = REGIMES[name]
    config = FitConfig(
        model=regime.model,
        method="laplace",
        rescue_pairs=regime.rescue_pairs,
        priors=dict(regime.priors),
    )
    dataset = coverage.cover(regime.study, config, 200)
    found = coverage.table(dataset)
    print(
        f"\n{name}: {dataset.attrs['num_uncertified']} not certified, "
        f"{float(dataset['seconds'].median()):.1f} s an experiment\n"
        f"{found.round(3).to_string()}"
    )
    reported = found["reported"]
    pooled = reported.loc["all parameters"]
    each = reported["coverage_90"].drop(["all parameters", "all coordinates"])
    assert regime.pooled[0] <= pooled["coverage_90"] <= regime.pooled[1]
    assert regime.half[0] <= pooled["coverage_50"] <= regime.half[1]
    assert each.between(*regime.each).all(), each
    assert found["uncorrected"].loc["all parameters", "coverage_90"] < regime.uncorrected


@pytest.mark.slow
def test_intervals_are_narrower_than_those_of_corrected_least_squares():
    """Forty experiments without photon noise; docs/calibration.md."""
    config = FitConfig(model="static", method="laplace", rescue_pairs=0)
    study = REGIMES["static"].study
    speckle, corrected = (
        coverage.table(coverage.cover(study, replace(config, noise=noise), 40))["reported"]
        for noise in ("speckle", "corrected")
    )
    ratio = (speckle["width"] / corrected["width"]).dropna()
    print(f"\nwidths, of those of least squares\n{ratio.round(3).to_string()}")
    print(corrected.round(3).to_string())
    assert ratio.median() < 0.4
    assert ratio[["log_D_ref", "D_slope", "contrast", "offset"]].max() < 0.4


@pytest.fixture(scope="module")
def small():
    """Twenty experiments of still fluid without photon noise."""
    return coverage.cover(Study(experiment(STATIC)), QUICK, 20)


def test_a_small_study_tells_the_likelihoods_apart(small):
    """What data fix is held as often as said under speckle, and hardly ever if uncorrected."""
    pooled = coverage.table(small).loc["all coordinates"]
    assert 0.78 <= pooled["reported", "coverage_90"] <= 0.99
    assert 0.2 <= pooled["reported", "coverage_50"] <= 0.8
    assert pooled["uncorrected", "coverage_90"] < 0.5
    assert small.attrs["num_uncertified"] == 0
    assert (small["k_hat"] < 0.7).all()


def test_experiments_do_not_depend_on_how_many_there_are(small):
    again = coverage.cover(Study(experiment(STATIC)), QUICK, 1)
    xr.testing.assert_allclose(again["lower"], small["lower"][:1])


def hand_made(covered, num_simulations=20):
    """Of every scalar the reported intervals hold the truth so many times, uncorrected never."""
    names = list(covered)
    inside = np.arange(num_simulations)[:, None] < list(covered.values())
    reported = np.where(inside, -1.0, 1.0)
    lower = np.stack([reported, np.full_like(reported, 0.5)])[:, :, None].repeat(2, axis=2)
    upper = lower + np.array([2.0, 1.5])[:, None]
    return xr.Dataset(
        {
            "lower": (("intervals", "simulation", "level", "parameter"), lower),
            "upper": (("intervals", "simulation", "level", "parameter"), upper),
            "truth": (("simulation", "parameter"), np.zeros_like(reported)),
            "certified": ("simulation", np.arange(num_simulations) > 0),
            "seconds": ("simulation", np.ones(num_simulations)),
        },
        {"intervals": list(coverage.KINDS), "level": list(coverage.LEVELS), "parameter": names},
        files.as_attributes(
            {
                "model": "static",
                "noise": "speckle",
                "seed": 0,
                "num_uncertified": 1,
                "study": {
                    "experiment": {
                        "phi": [0.0],
                        "num_frames": 9,
                        "q": 0.005,
                        "dt": 0.1,
                        "gap": 2e6,
                        "contrast": 0.3,
                        "convention": "upstream",
                    },
                    "mean_photons": None,
                    "num_pixels": 100,
                    "speckle_size": 1,
                },
                "pooled": {
                    "all parameters": list(MODELS["laminar_flow"].reported),
                    "all coordinates": list(priors_of(MODELS["laminar_flow"].table)),
                },
                "parameters": parameter_rows(ROWS, {row.name for row in ROWS}),
                "settings": {"method": "laplace"},
                "priors": {},
                "versions": {},
            }
        ),
    )


def test_table_counts():
    found = coverage.table(hand_made({"D0": 18, "alpha": 20, "contrast[0]": 20, "contrast[1]": 10}))
    reported = found["reported"]
    assert list(found.index) == ["D0", "alpha", "contrast", "all parameters"]
    assert reported["coverage_90"].tolist() == [0.9, 1.0, 0.75, 0.95]
    assert reported["width"][:3].tolist() == [2.0, 2.0, 2.0]
    assert np.isnan(reported.loc["all parameters", "width"])
    assert (found["uncorrected"]["coverage_90"] == 0).all()
    assert reported.loc["D0", "error_90"] == pytest.approx(0.067, abs=0.005)  # sqrt(0.9 0.1 / 20)
    assert reported.loc["alpha", "error_90"] > 0.01
    # both angles are covered together or not at all: as uncertain as one of 20 entries would be
    together = coverage.table(hand_made({"contrast[0]": 10, "contrast[1]": 10}))["reported"]
    assert together.loc["contrast", "error_90"] == pytest.approx(np.sqrt(0.25 / 20), rel=0.05)


@pytest.mark.parametrize(
    ("held", "number", "words"),
    [(12, 20, "too narrow"), (400, 400, "too wide"), (18, 20, "too few"), (180, 200, "as wide as")],
)
def test_verdict(held, number, words):
    sentence = coverage.verdict(coverage.table(hand_made({"D0": held}, number)))
    assert words in sentence
    assert f"{100 * held / number:.1f} ±" in sentence


def test_figure_and_page(tmp_path):
    dataset = hand_made({"D0": 18, "alpha": 20, "contrast[0]": 20})
    left, right = coverage.figure(dataset).axes
    assert [label.get_text() for label in left.get_yticklabels()][-1] == "all parameters"
    assert right.get_xscale() == "log"
    page = coverage.render(dataset)
    assert "90.0 ± " in page
    assert "1 were not certified" in page
    assert "no photon noise" in page
    assert "nan" not in page.replace("provenance", "")
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.partition("base64,")[0]


def test_truth_is_that_of_the_experiment():
    study = Study(experiment(LAMINAR), num_pixels=10)
    truth, data = study.measure(jax.random.key(0))
    t_ref = 47 * 0.1 / np.e
    assert truth["log_D_ref"] == pytest.approx(np.log(1e4 * t_ref**-0.3 + 500), rel=1e-12)
    slope = -0.3 * 1e4 * t_ref**-0.3 / (1e4 * t_ref**-0.3 + 500)
    assert truth["D_slope"] == pytest.approx(slope, rel=1e-12)
    assert truth["contrast"].tolist() == [0.3] * 3
    assert data.c2.shape == (3, 48, 48)


def test_experiments_of_another_model_are_refused():
    with pytest.raises(InputError, match=r"found 'laminar_flow' for D0, .*leave out --model"):
        coverage.cover(Study(experiment(STATIC)), FitConfig(), 1)


def test_truths_vary_from_experiment_to_experiment():
    study = Study(experiment(STATIC), bent(STATIC, 50), num_pixels=10)
    keys = jax.random.split(jax.random.key(0), 20)
    drawn = [study.measure(key)[0] for key in keys]
    assert np.std([truth["D_bend"] for truth in drawn]) == pytest.approx(0.3, abs=0.15)
    assert np.std([truth["log_D_ref"] for truth in drawn]) < 1e-9


def result(**changes):
    """As much of a result as studies look at: four draws of a still fluid at two azimuths."""
    draws = {
        name: (("chain", "draw"), np.full((2, 2), value) + np.arange(4).reshape(2, 2))
        for name, value in STATIC.items()
    }
    noise = {"contrast": 0.3, "mean_photons": 2.0, "num_pixels": ("phi", [3000.2, 5000.4])}
    fixed = {
        "q": 0.004,
        "dt": 0.1,
        "gap": np.nan,
        "age": 0.0,
        "usable": (("phi", "frame"), np.ones((2, 48))),
    }
    groups = {
        "posterior": xr.Dataset(draws),
        "noise": xr.Dataset(noise | changes),
        "constant_data": xr.Dataset(fixed, {"phi": ("phi", [0.0, 45.0])}),
        "unconstrained_posterior": xr.Dataset(),
        "certificate": xr.Dataset(attrs={"faults": "[]"}),
        **{name: xr.Dataset() for name in ("warm_start", "observed_data")},
    }
    tree = xr.DataTree.from_dict(groups)
    settings = {"model": "static", "method": "full", "rescue_pairs": 0, "num_samples": 100}
    tree.attrs = {
        "model": "static",
        "convention": "upstream",
        "noise": "speckle",
        "scaling": "individual",
        "settings": json.dumps(settings),
        **files.as_attributes(
            describe(SimpleNamespace(num_missing=0), FitConfig(**settings), {*STATIC}, {})
        ),
    }
    return tree


def test_studies_are_like_a_result():
    study = coverage.like(result(), MODELS["static"])
    e = study.experiment
    assert (e.phi, e.num_frames, e.q, e.dt, e.contrast) == ((0.0, 45.0), 48, 0.004, 0.1, 0.3)
    assert (study.num_pixels, study.mean_photons, study.speckle_size) == (4000, 2.0, 1)
    truths = {tuple(truth.values()) for truth in study.truths}
    assert truths == {tuple(v + i for v in STATIC.values()) for i in range(4)}
    assert e.parameters in study.truths


def test_what_is_missing_is_missing_again():
    tree = result()
    lag = np.abs(np.subtract.outer(np.arange(48), np.arange(48)))
    c2 = np.stack([np.where(lag > 2, 1.0, np.nan)] * 2)
    tree["observed_data"] = xr.Dataset({"c2": (("phi", "t1", "t2"), c2)})
    tree.attrs["num_missing"] = 2 * (47 + 46)
    study = replace(coverage.like(tree, MODELS["static"]), num_pixels=10)
    _, data = study.measure(jax.random.key(0))
    np.testing.assert_array_equal(data.pairs, np.stack([lag > 2] * 2))
    json.dumps(recorded(study))


def test_photons_that_do_not_matter_are_not_counted():
    assert coverage.like(result(mean_photons=1e6), MODELS["static"]).mean_photons is None


def test_results_without_noise_or_of_other_models_are_refused():
    tree = result()
    del tree["noise"]
    with pytest.raises(InputError, match="fit again with --noise speckle"):
        coverage.like(tree, MODELS["static"])
    tree.attrs["settings"] = json.dumps({"model": "mine.py:model"})
    with pytest.raises(InputError, match=r"file.py:function of an existing.*mine.py:model"):
        settings_of(tree)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run calibrate on a result of three azimuths, which compiles nothing anew."""
    tree = result(mean_photons=1e6)
    three = {"phi": ("phi", list(ANGLES))}
    fixed = tree["constant_data"].to_dataset().drop_vars(["usable", "phi"]).assign_coords(three)
    tree["constant_data"] = xr.DataTree(fixed.assign(usable=(("phi", "frame"), np.ones((3, 48)))))
    store.write(tree, tmp_path / "result.nc")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        devices = ["--cpu-devices", str(jax.local_device_count())]
        command = [*devices, "calibrate", "--coverage", "result.nc", *arguments]
        monkeypatch.setattr(sys, "argv", ["homodyne-bayes", *command])
        main.main()

    return call


def test_from_the_command_line(run, tmp_path, capsys):
    run("--simulations", "1", "--seed", "5")
    printed = capsys.readouterr().out
    assert "log_D_ref" in printed
    assert "of 1 experiments" in printed
    names = ["coverage.html", "coverage.nc", "coverage.png", "result.nc"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with xr.open_dataset("coverage.nc") as found:
        assert found.attrs["method"] == "laplace"
        settings = json.loads(found.attrs["settings"])
        assert (settings["seed"], settings["num_samples"]) == (5, 100)
        assert found["lower"].shape == (1, 2, 2, 12)


def test_interrupted_leaves_nothing(run, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(coverage, "sample_posterior", interrupt)
    with pytest.raises(SystemExit, match="130"):
        run("--simulations", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["result.nc"]


def test_held_contrast_has_no_interval_to_count():
    with pytest.raises(InputError, match="scaling 'constant', which has none"):
        coverage.cover(Study(experiment(STATIC)), replace(QUICK, scaling="constant"), 1)
