"""Modes, bounds, defaults and priors agree with the table; violations and clipping are named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.compat.bounds import (
    MODES,
    ParameterSpace,
    check_mode,
    clip_parameters,
    get_default_parameters,
    parameter_bounds,
    parameter_names,
    validate_parameters_detailed,
)
from homodyne_bayes.errors import InputError
from tests.truth import PARAMETERS

LAMINAR = parameter_bounds("laminar_flow")
NAMES = MODES["laminar_flow"]


@pytest.mark.parametrize("mode", [*MODES, "diffusion", "shear", "combined"])
def test_defaults_lie_within_bounds(mode):
    values = get_default_parameters(mode)
    result = validate_parameters_detailed(values, parameter_bounds(mode), parameter_names(mode))
    assert result.valid
    assert result.parameters_checked == len(values) == len(parameter_names(mode))
    assert result.message.startswith("OK")


def test_bounds_and_defaults_are_the_known_ones():
    assert parameter_bounds("static") == [(1.0, 1e6), (-2.0, 2.0), (-1e5, 1e5)]
    assert LAMINAR[3:] == [(1e-5, 1.0), (-2.0, 2.0), (-1.0, 1.0), (-30.0, 30.0)]
    assert get_default_parameters("laminar_flow").tolist() == [100, 0, 10, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("laminar", "laminar_flow"),
        ("static_isotrop", "static_isotropic"),
        ("statik", "static"),
        ("static_anistropic", "static_anisotropic"),
    ],
)
def test_a_typo_suggests_the_mode(typo, meant):
    assert check_mode(meant) == meant
    with pytest.raises(InputError, match=f"found '{typo}'; did you mean {meant}"):
        check_mode(typo)


def test_something_else_lists_the_modes():
    with pytest.raises(InputError, match="expected one of static, static_isotropic"):
        parameter_bounds("xyz")


def test_violations_name_the_parameter_and_the_amount():
    values = [0.5, 2.5, np.nan, 1e-3, 0.0, 0.0, 0.0]
    result = validate_parameters_detailed(values, LAMINAR, NAMES)
    assert not result.valid
    assert result.violations == [
        "D0 = 0.5 is 0.5 below [1, 1e+06]",
        "alpha = 2.5 is 0.5 above [-2, 2]",
        "D_offset = nan is not finite",
    ]
    assert result.parameters_checked == 7
    assert result.message.startswith("FAIL: 3 of 7 parameters: D0")


def test_edges_are_inside():
    for edge in np.array(LAMINAR).T:
        assert validate_parameters_detailed(edge, LAMINAR).valid


def test_validation_under_tracing_says_that_nothing_is_known():
    found = []

    @jax.jit
    def traced(values):
        found.append(validate_parameters_detailed(values, LAMINAR))
        found.append(validate_parameters_detailed([values[0], 9.0], LAMINAR[:2], NAMES[:2]))
        return values.sum()

    traced(jnp.zeros(7))
    whole, partly = found
    assert whole.valid
    assert whole.parameters_checked == 0
    assert "not known while JAX traces" in whole.message
    assert partly.violations == ["alpha = 9 is 7 above [-2, 2]"]
    assert partly.parameters_checked == 1


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((7, 1)), [1.0]])
def test_bounds_of_another_mode_are_refused(values):
    for function in (validate_parameters_detailed, clip_parameters):
        with pytest.raises(InputError, match="one value, one pair of bounds and one name"):
            function(values, LAMINAR, NAMES)


def test_clipping_reports_what_it_moved():
    values = [100.0, -3.0, 1e6]
    inside, clipped = clip_parameters(values, LAMINAR[:3], NAMES[:3])
    assert inside.tolist() == [100.0, -2.0, 1e5]
    assert clipped == ("alpha = -3 was set to -2", "D_offset = 1e+06 was set to 100000")
    assert clip_parameters(inside, LAMINAR[:3]).clipped == ()
    with pytest.raises(InputError, match="parameter 1 is NaN"):
        clip_parameters([1.0, np.nan, 1.0], LAMINAR[:3])


def test_parameter_space_takes_other_bounds_and_the_priors_of_the_table():
    space = ParameterSpace({"D0": (10.0, 1e4)})
    assert space.get_param_bounds("static") == [(10.0, 1e4), *LAMINAR[1:3]]
    assert space.bounds["contrast"] == (0.0, 1.0)
    assert ParameterSpace().get_param_bounds("laminar_flow") == LAMINAR
    priors = space.get_param_priors("laminar_flow")
    assert priors["phi0"] == PARAMETERS["phi0"].prior
    assert set(space.get_param_priors("static")) == {
        "log_D_ref",
        "D_slope",
        "D_bend",
        "contrast",
        "offset",
        "sigma",
    }
    assert len(priors) == 10
    with pytest.raises(InputError, match="did you mean alpha"):
        ParameterSpace({"alhpa": (0.0, 1.0)})
    with pytest.raises(InputError, match="bounds of D0 must be rising"):
        ParameterSpace({"D0": (1.0, 1.0)})
