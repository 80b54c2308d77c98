"""The engine's scaling, likelihood, checks and size classes; devices and precision."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from homodyne_bayes.compat.bounds import ParameterSpace
from homodyne_bayes.compat.devices import get_device_info
from homodyne_bayes.compat.engine import UnifiedHomodyneEngine
from homodyne_bayes.compat.functions import compute_g1_total, compute_g2_scaled
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.quantiles import ScalingWarning

TRUTH = np.array([1e4, -0.3, 500.0, 1e-3, 0.1, 1e-4, 3.0])
Q, GAP, DT = 0.0054, 2e6, 0.1
LO, HI = np.triu_indices(20, k=1)
T1, T2 = DT * LO, DT * HI


def test_scaling_of_exact_values_is_found():
    phi = np.array([-30.0, 0.0, 60.0])
    g1 = np.stack([compute_g1_total(TRUTH, T1, T2, p, Q, GAP, DT, paired=True) for p in phi])
    contrast, offset = np.array([[0.2], [0.25], [0.3]]), np.array([[1.0], [1.02], [0.98]])
    engine = UnifiedHomodyneEngine("laminar_flow")
    found = engine.estimate_scaling_parameters(offset + contrast * g1**2, g1**2)
    assert found == pytest.approx((0.25, 1.0), rel=1e-12)


def test_scaling_outside_its_bounds_is_reported():
    theory = np.linspace(0, 1, 30)
    space = ParameterSpace({"contrast": (0.0, 0.2)})
    engine = UnifiedHomodyneEngine("static", space)
    assert engine.param_bounds == [(1.0, 1e6), (-2.0, 2.0), (-1e5, 1e5)]
    with pytest.warns(ScalingWarning, match="contrast is estimated as 0.25"):
        assert engine.estimate_scaling_parameters(1 + 0.25 * theory, theory)[0] == 0.2
    free = engine.estimate_scaling_parameters(1 + 0.25 * theory, theory, validate_bounds=False)
    assert free == pytest.approx((0.25, 1.0), rel=1e-12)
    flat = np.stack([theory, np.full(30, 0.5)])
    with pytest.raises(InputError, match=r"that of angles \[1\] does not"):
        engine.estimate_scaling_parameters(1 + 0.25 * flat, flat)


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_likelihood_is_that_of_independent_normal_values(convention):
    rng = np.random.default_rng(0)
    g2 = np.asarray(
        compute_g2_scaled(
            TRUTH, T1, T2, 20.0, Q, GAP, 0.25, 1.0, DT, paired=True, convention=convention
        )
    )
    sigma = rng.uniform(0.01, 0.02, len(LO))
    data = g2 + sigma * rng.normal(size=len(LO))
    found = UnifiedHomodyneEngine().compute_likelihood(
        TRUTH,
        0.25,
        1.0,
        data,
        sigma,
        T1,
        T2,
        20.0,
        Q,
        GAP,
        DT,
        paired=True,
        convention=convention,
    )
    chi_squared = (((data - g2) / sigma) ** 2).sum()
    expected = 0.5 * chi_squared + 0.5 * np.log(2 * np.pi * sigma**2).sum()
    assert found == pytest.approx(expected, rel=1e-12)


def test_one_sigma_serves_every_value_and_static_needs_no_gap():
    time, params = DT * np.arange(6), TRUTH[:3]
    g2 = compute_g2_scaled(params, time, time, [0.0, 45.0], Q, None, 0.25, 1.0, DT)
    engine = UnifiedHomodyneEngine("static_isotropic")
    found = engine.compute_likelihood(
        params, 0.25, 1.0, np.asarray(g2) + 0.01, 0.02, time, time, [0.0, 45.0], Q, None, DT
    )
    assert found == pytest.approx(72 * (0.125 + 0.5 * np.log(2 * np.pi * 4e-4)), rel=1e-10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": []}, "data must hold finite numbers"),
        ({"data": [1.0, np.nan]}, "data must hold finite numbers"),
        ({"sigma": [0.1, np.inf]}, "sigma must hold finite numbers"),
        ({"sigma": [0.1, 0.0]}, "smallest of 0; correct it"),
        ({"sigma": [0.1, 0.1, 0.1]}, r"found shape \(3,\)"),
        ({"t1": [0.0, np.nan]}, "t1 must hold finite numbers"),
        ({"q": 0.0}, "q must be positive"),
        ({"L": -1.0}, "L must be positive"),
        ({"L": None}, "L must be positive"),
    ],
)
def test_inputs_that_cannot_be_fitted_are_refused(changes, message):
    inputs = {
        "data": [1.0, 1.1],
        "sigma": None,
        "t1": [0.0, 0.1],
        "t2": [0.1, 0.2],
        "phi": [0.0],
        "q": Q,
        "L": GAP,
    }
    engine = UnifiedHomodyneEngine()
    engine.validate_inputs(**inputs)
    with pytest.raises(InputError, match=message):
        engine.validate_inputs(**inputs | changes)


def test_parameters_of_another_mode_are_refused():
    with pytest.raises(InputError, match=r"mode static has parameters D0, .* shape \(7,\)"):
        UnifiedHomodyneEngine("static").compute_likelihood(
            TRUTH, 0.25, 1.0, [1.0], 0.1, [0.0], [0.1], 0.0, Q, None, DT, paired=True
        )
    with pytest.raises(InputError, match="did you mean laminar_flow"):
        UnifiedHomodyneEngine("laminar")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(999_999, "small"), (1_000_000, "medium"), (9_999_999, "medium"), (10_000_000, "large")],
)
def test_size_classes(size, expected):
    assert UnifiedHomodyneEngine().detect_dataset_size(np.broadcast_to(1.0, size)) == expected


def test_devices_and_precision():
    info = get_device_info()
    assert info.x64
    assert info.precision == "float64"
    assert info.device_count == len(info.devices) == jax.device_count()
    assert info.jax_version == jax.__version__
    assert not any("float32" in note for note in info.notes)


def test_missing_precision_is_said_and_nothing_changed():
    code = (
        "import jax; from homodyne_bayes.compat.devices import get_device_info as f; info = f();"
        "assert info.precision == 'float32' and 'jax_enable_x64' in info.notes[0];"
        "assert not jax.config.jax_enable_x64"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
