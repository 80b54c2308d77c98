"""What the mark "decided by the data" and the upper limit of the shear rate are worth.

``python -m pytest -m slow -n 0 -s tests/studies/test_marks.py`` prints the tables of docs/noise.md.
"""

import numpy as np
import pytest

import homodyne_bayes as hb
from homodyne_bayes.results.view import Result
from tests.truth import LAMINAR, STATIC

pytestmark = pytest.mark.slow
PHI = (-60.0, 0.0, 60.0)
NUM, AT_REST, SHEARED = 10, 20, 5
DETECTOR = {"num_frames": 48, "num_pixels": 4000}
TIGHT = {  # priors of every angle that overrule dim data
    "scaling": "individual",
    "priors": {"contrast": (0.5, 0.2), "offset": (1.0, 0.3)},
}
DIM = {"D0": 1e4, "alpha": -0.3, "D_offset": 0.0}
SLOW = {"D0": 1e3, "alpha": -1e-4, "D_offset": 0.0}
WEAK = {"D0": 7500.0, "alpha": -0.05, "D_offset": 2500.0}
RIGHT = {
    "at rest, no photon noise": ("static", STATIC, {"contrast": 0.3}),
    "at rest, 1 photon": ("static", STATIC, {"contrast": 0.3, "mean_photons": 1.0}),
    "at rest, weakly identified": ("static", WEAK, {"contrast": 0.3}),
    "flow, 10 photons": ("laminar_flow", LAMINAR, {"contrast": 0.3, "mean_photons": 10.0}),
}
OVERRULED = {
    "contrast 0.15, 0.1 photon": (DIM, {"contrast": 0.15, "mean_photons": 0.1}),
    "D 1e3, contrast 0.15, 1 photon": (SLOW, {"contrast": 0.15, "mean_photons": 1.0}),
    "D 1e3, contrast 0.33, 1 photon": (SLOW, {"contrast": 0.33, "mean_photons": 1.0}),
}


def fitted(model, truth, seed, settings=None, **more):
    """Simulate and fit an experiment."""
    data = hb.simulate(model, phi=PHI, parameters=truth, seed=seed, **{**DETECTOR, **more})
    return hb.fit(data, **{"model": model, "method": "laplace", "seed": seed, **(settings or {})})


def told(name, results):
    """Print and return how many of some results rest on priors."""
    level = [
        (np.log(r.tree["rates"]["D"]) - np.log(r.tree["true_rates"]["D"])).sel(
            time=float(r.tree["constant_data"]["t_ref"]), method="nearest"
        )
        for r in results
    ]
    off = np.median([float(one.mean() / one.std()) for one in level])
    alone = [
        float(r.tree["data_alone"]["log_D_ref"] / at.std())
        for r, at in zip(results, level, strict=True)
    ]
    count = sum(r.marks[2].state != "yes" for r in results)
    print(
        f"{name}: {np.median(alone):.1f} times as wide by the data alone, level off by "
        f"{off:.1f} sd, does not hold in {count} of {len(results)}"
    )
    return count


@pytest.mark.parametrize("name", RIGHT)
def test_right_data_decide(name):
    model, truth, more = RIGHT[name]
    assert told(name, [fitted(model, truth, 100 + k, **more) for k in range(NUM)]) <= 1


@pytest.mark.parametrize("name", OVERRULED)
def test_priors_that_overrule_the_data_are_told(name):
    truth, more = OVERRULED[name]
    results = [fitted("static", truth, 100 + k, TIGHT, **more) for k in range(NUM)]
    assert told(name, results) >= 9


def two_sided(result: Result) -> bool:
    """Return whether any parameter of flow has an interval."""
    ends = result.summary(["gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0"])
    return bool(ends["lower"].notna().any() or (result.at().loc["gamma_dot", "kind"] == "interval"))


def test_a_sample_at_rest_has_an_upper_limit_and_no_interval():
    more = {"num_frames": 40, "mean_photons": 2.0}
    flow = {"model": "laminar_flow"}
    results = [fitted("static", STATIC, 200 + k, flow, **more) for k in range(AT_REST)]
    factors = [r._numbers.flow.log_bayes_factor for r in results]
    limits = [r.at().loc["gamma_dot", "upper"] for r in results]
    print(
        f"at rest: log Bayes factors of flow {min(factors):.1f} to {max(factors):.1f}; "
        f"upper limits {min(limits):.1e} to {max(limits):.1e} 1/s; "
        f"two-sided in {sum(map(two_sided, results))} of {AT_REST}"
    )
    assert sum(map(two_sided, results)) <= 1
    assert np.isfinite(limits).all()


def test_sheared_samples_keep_their_intervals():
    more = {"num_frames": 40, "mean_photons": 2.0}
    results = [fitted("laminar_flow", LAMINAR, 300 + k, **more) for k in range(SHEARED)]
    for result in results:
        draws = result.tree["posterior"]["gamma_dot_t0"]
        line = result.summary(["gamma_dot_t0"]).iloc[0]
        ends = draws.quantile([0.05, 0.95]).values
        np.testing.assert_allclose(line[["lower", "upper"]].astype(float), ends, rtol=2e-3)
        assert "A sample at rest is excluded" in result.flow()


def test_upper_limits_hold_small_shear_rates():
    """Truths that the data can hardly tell from rest lie below their 95 % limits."""
    rates = np.geomspace(1e-6, 6e-5, 20)
    more = {"num_frames": 40, "mean_photons": 2.0}
    held = []
    for k, rate in enumerate(rates):
        truth = LAMINAR | {"gamma_dot_t0": rate, "beta": 0.0, "gamma_dot_t_offset": 0.0}
        line = fitted("laminar_flow", truth, 400 + k, **more).at().loc["gamma_dot"]
        held.append(line["kind"] == "interval" or rate <= line["upper"])
    print(f"small shear rates: {sum(held)} of {len(held)} not above their limits")
    assert sum(held) >= 17
