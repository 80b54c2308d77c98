"""Two components: maps against the formula written out, derivatives, a fit of true speckle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import homodyne_bayes as hb
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics.experiment import Experiment, field_correlation, true_sites

MODEL = MODELS["two_components"]
TRUTH = dict(MODEL.example)
PHI, FRAMES, Q, DT = (-60.0, 0.0, 50.0), 24, 0.0054, 0.2
TIME = DT * np.arange(FRAMES)


def experiment(**changes):
    return Experiment(MODEL, PHI, FRAMES, TRUTH | changes, Q, DT)


def integral(amplitude, exponent, offset):
    """∫ from the first to the second of every two frames, (G, G)."""
    whole = amplitude * TIME ** (exponent + 1) / (exponent + 1) + offset * TIME
    return whole[None, :] - whole[:, None]


def c2_minus_1(**changes):
    """c2 − 1 at contrast 1 of every azimuth: two decays and a cross term that beats, (P, G, G)."""
    p = TRUTH | changes
    names = [("D0_ref", "alpha_ref", "D_offset_ref"), ("D0_sample", "alpha_sample")]
    names[1] += ("D_offset_sample",)
    g_r, g_s = (np.exp(-0.5 * Q**2 * np.abs(integral(*(p[name] for name in own)))) for own in names)
    x = np.clip(p["f0"] * np.exp(p["f1"] * TIME) + p["f3"], 0, 1)
    xs, xr = np.outer(x, x), np.outer(1 - x, 1 - x)
    moved = integral(p["v0"], p["beta"], p["v_offset"])
    along = np.cos(np.deg2rad(np.array(PHI) - p["phi0"]))[:, None, None]
    norm = x**2 + (1 - x) ** 2
    beating = 2 * xr * xs * g_r * g_s * np.cos(Q * along * moved)
    return ((xr * g_r) ** 2 + (xs * g_s) ** 2 + beating) / np.outer(norm, norm)


@pytest.mark.parametrize("changes", [{}, {"f1": 0.5}, {"v0": 300.0, "phi0": -40.0}])
def test_maps_are_those_of_the_formula(changes):
    """With a share that reaches 1 within the frames, too."""
    field = np.asarray(field_correlation(experiment(**changes)))
    np.testing.assert_allclose(np.abs(field) ** 2, c2_minus_1(**changes), atol=1e-9)
    np.testing.assert_allclose(field, np.conj(np.swapaxes(field, 1, 2)), atol=1e-12)
    assert np.linalg.eigvalsh(field).min() > -1e-9
    assert np.abs(field.imag).max() > 0.1


def test_the_labels_may_be_exchanged_where_the_share_does_not_change():
    still = {"f0": 1e-12, "f3": 0.3}
    exchanged = {"f0": 1e-12, "f3": 0.7} | {
        f"{name}_{mine}": TRUTH[f"{name}_{other}"]
        for name in ("D0", "alpha", "D_offset")
        for mine, other in (("ref", "sample"), ("sample", "ref"))
    }
    np.testing.assert_allclose(c2_minus_1(**still), c2_minus_1(**exchanged), atol=1e-9)
    share = dict(MODEL.rates)[next(rate for rate, _ in MODEL.rates if rate.name == "share")]
    (row,) = (row for row in MODEL.table if row.name == "log_share_ref")
    assert row.prior.high == pytest.approx(np.log(0.5))
    assert share is hb.rates["growth"]


def test_gradients_are_differences():
    """Of a weighed sum of c2, with respect to all that is reported."""
    grid = experiment().grid
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(len(PHI), FRAMES, FRAMES)))

    @jax.jit
    def total(values):
        field = true_sites(MODEL, grid, dict(zip(TRUTH, values, strict=True)))["field"]["value"]
        return (weights * jnp.abs(field) ** 2).sum()

    at = jnp.asarray(list(TRUTH.values()))
    slopes = jax.grad(total)(at)
    for i, name in enumerate(TRUTH):
        step = 1e-5 * max(abs(float(at[i])), 1e-2)
        ends = [total(at.at[i].add(sign * step)) for sign in (1, -1)]
        difference = float(ends[0] - ends[1]) / (2 * step)
        assert float(slopes[i]) == pytest.approx(difference, rel=1e-4, abs=1e-9), name


@pytest.mark.slow
def test_a_fit_of_speckle_finds_the_truth():
    """Velocity, both D and the share at three times, within 99.9 % intervals, certified."""
    data = hb.simulate("two_components", phi=PHI, num_frames=FRAMES, dt=DT, num_pixels=4000, seed=0)
    result = hb.fit(data, model="two_components", method="laplace", num_samples=400, seed=1)
    assert result.certified, result.verdict
    truth, times = data.provenance["truth"], result.tree["rates"]["time"].values
    t = times[[5, 12, 20]]
    expected = {
        "velocity": truth["v0"] * t ** truth["beta"] + truth["v_offset"],
        "D_sample": truth["D0_sample"] * t ** truth["alpha_sample"] + truth["D_offset_sample"],
        "D_reference": truth["D0_ref"] * t ** truth["alpha_ref"] + truth["D_offset_ref"],
        "share": truth["f0"] * np.exp(truth["f1"] * t) + truth["f3"],
    }
    for name, values in expected.items():
        draws = result.tree["rates"][name].sel(time=t)
        ends = draws.quantile([0.0005, 0.9995], dim=("chain", "draw")).values
        assert (ends[0] < values).all(), name
        assert (values < ends[1]).all(), name
    direction = result.tree["posterior"]["phi0"].values - truth["phi0"]
    assert np.abs(np.sin(np.deg2rad(direction))).mean() < 0.01
