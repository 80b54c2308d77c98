"""Theory without sampling: closed forms, quadrature, derivatives, models, façades and errors."""

import json
import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from homodyne_bayes.compat.bounds import parameter_bounds
from homodyne_bayes.compat.derivatives import (
    gradient_chi2,
    gradient_g2,
    hessian_chi2,
    hessian_g2,
)
from homodyne_bayes.compat.facades import TheoryEngine, compute_chi2_theory, compute_g2_theory
from homodyne_bayes.compat.factors import (
    PhysicsFactors,
    create_physics_factors_from_config_dict,
    estimate_correlation_time,
    validate_experimental_setup,
)
from homodyne_bayes.compat.functions import (
    batch_chi_squared,
    compute_chi_squared,
    compute_g1_diffusion,
    compute_g1_shear,
    compute_g1_total,
    compute_g2_scaled,
    compute_g2_scaled_with_factors,
    vectorized_g2_computation,
)
from homodyne_bayes.compat.homodyne_model import HomodyneModel
from homodyne_bayes.compat.modes import (
    CombinedModel,
    DiffusionModel,
    ShearModel,
    create_model,
    get_available_models,
)
from homodyne_bayes.errors import InputError

Q, L, DT, FRAMES = 0.0054, 2e6, 0.1, 12
T = DT * np.arange(FRAMES)
PHI = np.array([-40.0, 0.0, 25.0])
PARAMS = np.array([1e4, -0.3, 500.0, 1e-3, 0.1, 1e-4, 3.0])
WHERE = (T, T, PHI, Q, L, 0.3, 1.0, DT)
DATA = np.ones((3, FRAMES, FRAMES))
PAIRS = (T[[0, 2, 5, 9]], T[[3, 2, 11, 1]], PHI[[0, 1, 2, 0]], Q, L)


def config(**changed):
    temporal = {"dt": DT, "start_frame": 1, "end_frame": FRAMES} | changed
    return {
        "analyzer_parameters": {
            "temporal": temporal,
            "scattering": {"wavevector_q": Q},
            "geometry": {"stator_rotor_gap": L},
        }
    }


# The formula


@pytest.mark.parametrize(
    ("convention", "per_shear", "power"),
    [
        ("upstream", Q * L / (2 * np.pi), 2),
        ("gap-average", Q * L / 2, 1),
    ],
)
def test_constant_rates_have_the_closed_form(convention, per_shear, power):
    params = np.array([1e4, 0.0, 500.0, 1e-3, 0.0, 1e-4, 3.0])
    lag = np.abs(T[:, None] - T[None, :])
    x = per_shear * np.cos(np.deg2rad(3.0 - PHI))[:, None, None] * 1.1e-3 * lag
    shear = np.abs(np.sinc(x / np.pi)) ** power
    diffusion = np.exp(-0.5 * Q**2 * 10500 * lag)
    options = {"convention": convention}
    where = (T, T, PHI, Q, L, DT)
    np.testing.assert_allclose(compute_g1_diffusion(params, T, T, Q, DT), diffusion, rtol=1e-12)
    np.testing.assert_allclose(compute_g1_shear(params, *where, **options), shear, rtol=1e-11)
    g1 = compute_g1_total(params, *where, **options)
    np.testing.assert_allclose(g1, diffusion * shear, rtol=1e-11)
    g2 = compute_g2_scaled(params, *WHERE, **options)
    np.testing.assert_allclose(g2, 1 + 0.3 * (diffusion * shear) ** 2, rtol=1e-12)


def test_gap_average_is_the_average_over_the_gap():
    """|<exp(i q L cos Γ y)>| over a linear profile, y in [-1/2, 1/2], by quadrature."""
    t = DT * np.arange(30)
    where = (t, t, PHI, Q, L, DT)
    g1 = compute_g1_shear(PARAMS[3:], *where, convention="gap-average")
    rate = PARAMS[3] * np.maximum(t, DT / 2) ** PARAMS[4] + PARAMS[5]
    strain = scipy.integrate.cumulative_trapezoid(rate, t, initial=0)
    for angle, lo, hi in ((0, 0, 3), (1, 2, 9), (2, 5, 29), (0, 0, 29)):
        k = Q * L * np.cos(np.deg2rad(PARAMS[6] - PHI[angle])) * (strain[hi] - strain[lo])
        average = scipy.integrate.quad(lambda y, k=k: np.cos(k * y), -0.5, 0.5, epsabs=1e-12)[0]
        assert float(g1[angle, lo, hi]) == pytest.approx(abs(average), abs=1e-8)


def test_factors_are_what_the_kernels_multiply_by():
    factors = PhysicsFactors.from_config(0.01, 2e6, 0.1)
    assert factors.to_tuple() == pytest.approx((5e-6, 318.30988618379064), rel=1e-14)
    exponent, phase = factors.to_tuple()
    diffusion = compute_g1_diffusion([1e4, 0.0, 0.0], [0.0], [0.1], 0.01, 0.1)
    assert float(-jnp.log(diffusion[0, 0])) == pytest.approx(1e4 * exponent, rel=1e-12)
    flow = [1e-3, 0.0, 0.0, 0.0]
    shear = compute_g1_shear(flow, [0.0], [0.1], 0.0, 0.01, 2e6, 0.1)
    assert float(shear[0, 0, 0]) == pytest.approx(np.sinc(1e-3 * phase / np.pi) ** 2, rel=1e-12)
    factors = PhysicsFactors.from_config(Q, L, DT).to_tuple()
    ours = compute_g2_scaled_with_factors(PARAMS, T, T, PHI, *factors, 0.3, 1.0, DT)
    np.testing.assert_allclose(ours, compute_g2_scaled(PARAMS, *WHERE), rtol=1e-13)


def test_pairs_are_entries_of_maps():
    frames = np.rint(np.array(PAIRS[:2]) / DT).astype(int)
    whole = compute_g1_total(PARAMS, T, T, PHI, Q, L, DT)[jnp.array([0, 1, 2, 0]), *frames]
    np.testing.assert_allclose(compute_g1_total(PARAMS, *PAIRS, DT, paired=True), whole)
    contrast = np.array([0.1, 0.2, 0.3, 0.4])
    g2 = compute_g2_scaled(PARAMS, *PAIRS, contrast, 1.0, DT, paired=True)
    np.testing.assert_allclose(g2, 1 + contrast * whole**2)
    one = compute_g1_total(PARAMS, *PAIRS[:2], 0.0, Q, L, DT, paired=True)
    assert one.shape == (4,)


def test_axes_meshgrids_and_parts_of_them_agree():
    whole = compute_g2_scaled(PARAMS, *WHERE)
    grids = np.meshgrid(T, T, indexing="ij")
    np.testing.assert_array_equal(compute_g2_scaled(PARAMS, *grids, *WHERE[2:]), whole)
    part = compute_g2_scaled(PARAMS, T[2:9:3], T[5:], *WHERE[2:])
    np.testing.assert_allclose(part, whole[:, 2:9:3, 5:], rtol=1e-14)


def test_rounded_times_are_the_same_frames():
    summed = np.cumsum(np.full(FRAMES, DT)) - DT
    assert (summed != T).any()
    late = compute_g2_scaled(PARAMS, summed + 5e-4 * DT, summed, *WHERE[2:])
    np.testing.assert_array_equal(late, compute_g2_scaled(PARAMS, *WHERE))


def test_parts_multiply_and_a_fluid_at_rest_is_the_same_everywhere():
    where = (T, T, PHI, Q, L, DT)
    parts = compute_g1_diffusion(PARAMS, T, T, Q, DT) * compute_g1_shear(PARAMS, *where)
    np.testing.assert_allclose(compute_g1_total(PARAMS, *where), parts, rtol=1e-14)
    still = compute_g1_total(PARAMS[:3], T, T, PHI, Q, None, DT)
    assert still.shape == (3, FRAMES, FRAMES)
    np.testing.assert_allclose(still[1], compute_g1_diffusion(PARAMS[:3], T, T, Q, DT))
    np.testing.assert_array_equal(compute_g1_shear(PARAMS[:3], *where), np.ones_like(still))


def test_chi_squared_counts_what_it_is_given():
    g2 = compute_g2_scaled(PARAMS, *WHERE)
    data = g2 + 0.02
    assert float(compute_chi_squared(PARAMS, data, 0.1, *WHERE)) == pytest.approx(3 * 144 * 0.04)
    once = np.where(np.triu(np.ones((FRAMES, FRAMES)), 1) > 0, 0.1, np.inf) * np.ones((3, 1, 1))
    unknown = np.where(np.isinf(once), np.nan, data)
    measured = (unknown, once, *WHERE)
    assert float(compute_chi_squared(PARAMS, *measured)) == pytest.approx(3 * 66 * 0.04)
    assert np.isfinite(gradient_chi2(PARAMS, *measured)).all()


def test_batches_are_single_calls():
    batch = PARAMS * np.linspace(0.9, 1.1, 4)[:, None]
    data = compute_g2_scaled(PARAMS, *WHERE) + 0.01
    one_by_one = [compute_g2_scaled(params, *WHERE) for params in batch]
    np.testing.assert_allclose(vectorized_g2_computation(batch, *WHERE), one_by_one, rtol=1e-13)
    chi2 = [compute_chi_squared(params, data, 0.1, *WHERE) for params in batch]
    np.testing.assert_allclose(batch_chi_squared(batch, data, 0.1, *WHERE), chi2, rtol=1e-12)
    traced = jax.jit(lambda params: compute_chi_squared(params, data, 0.1, *WHERE))
    assert float(traced(batch[0])) == pytest.approx(float(chi2[0]), rel=1e-12)


# Derivatives


def points_in_bounds(mode, count):
    """Draw points in the bounds: half anywhere, half where g2 has shape, a quarter on an edge."""
    rng = np.random.default_rng(5)
    low, high = np.array(parameter_bounds(mode)).T
    n = len(low)
    unit = rng.random((count, n))
    edges = np.arange(0, count, 4)
    unit[edges, rng.integers(0, n, len(edges))] = rng.integers(0, 2, len(edges))
    points = low + (high - low) * unit
    usual = np.array([1e4, 0.5, 1e3, 1e-3, 0.5, 1e-4, 30.0])[:n]
    offset = rng.uniform(-1, 1, (count, n)) * usual
    amplitude = usual * 10 ** rng.uniform(-1, 1, (count, n))
    near = np.where(np.isin(np.arange(n), (0, 3)), amplitude, offset)
    return np.where(np.arange(count)[:, None] % 4 % 2, near, points)


def five_point(function, params, length):
    """Return derivatives by central differences of fourth order, (..., n)."""
    columns = []
    for i, step in enumerate(length):
        ahead = [function(params + k * step * np.eye(len(params))[i]) for k in (-2, -1, 1, 2)]
        columns.append((ahead[0] - 8 * ahead[1] + 8 * ahead[2] - ahead[3]) / (12 * step))
    return jnp.stack(columns, axis=-1)


@pytest.mark.parametrize("mode", ["static", "laminar_flow"])
@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_derivatives_are_finite_everywhere_in_bounds(mode, convention):
    points = jnp.asarray(points_in_bounds(mode, 200))
    where = (*PAIRS, 0.3, 1.0, DT)
    options = {"paired": True, "convention": convention}
    measured = (np.full(4, 1.1), 0.1, *where)
    for function, arguments in (
        (gradient_g2, where),
        (hessian_g2, where),
        (gradient_chi2, measured),
        (hessian_chi2, measured),
    ):
        every = jax.jit(jax.vmap(lambda p, f=function, a=arguments: f(p, *a, **options)))
        assert bool(jnp.isfinite(every(points)).all()), function.__name__


@pytest.mark.parametrize("mode", ["static", "laminar_flow"])
def test_gradients_are_those_of_differences_at_200_points_in_bounds(mode):
    """Per relative change of each parameter, to 1e-9 of the derivative or of 1."""
    points = points_in_bounds(mode, 200)
    where = (*PAIRS[:3], Q, L, 0.3, 1.0, DT)

    def g2(params):
        return compute_g2_scaled(params, *where, paired=True)

    exact = jax.jit(jax.vmap(lambda p: gradient_g2(p, *where, paired=True)))(points)
    size = np.maximum(np.abs(points), 1e-3)
    near = jax.jit(jax.vmap(lambda p, h: five_point(g2, p, h)))(points, 1e-5 * size)
    exact, near = exact * size[:, None], near * size[:, None]
    assert (jnp.abs(exact) > 1e-3).mean() > 0.2
    np.testing.assert_allclose(exact, near, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [3, 7])
def test_second_derivatives_are_differences_of_first(count):
    params = PARAMS[:count]
    data = np.asarray(compute_g2_scaled(PARAMS, *WHERE)) + 0.01
    step = 1e-4 * np.abs(params)
    for first, second, arguments in (
        (gradient_g2, hessian_g2, WHERE),
        (gradient_chi2, hessian_chi2, (data, 0.1, *WHERE)),
    ):
        exact = second(params, *arguments)
        assert exact.shape[-2:] == (count, count)
        near = five_point(lambda p, f=first, a=arguments: f(p, *a), params, step)
        scale = np.abs(params)[:, None] * np.abs(params)
        most = 1e-7 * np.abs(exact * scale).max()
        np.testing.assert_allclose(exact * scale, near * scale, rtol=1e-6, atol=most)
        np.testing.assert_allclose(exact, jnp.swapaxes(exact, -1, -2), rtol=1e-6, atol=most)


def test_gradient_of_chi_squared_is_that_of_its_residuals():
    data = np.asarray(compute_g2_scaled(PARAMS, *WHERE)) + 0.01
    slopes = gradient_g2(PARAMS, *WHERE)
    expected = -2 * (0.01 / 0.1**2 * slopes).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(gradient_chi2(PARAMS, data, 0.1, *WHERE), expected, rtol=1e-9)


# Models and façades


def test_models_have_their_parameters():
    assert get_available_models() == [
        "static",
        "static_isotropic",
        "static_anisotropic",
        "laminar_flow",
    ]
    assert create_model("laminar_flow").n_params == 7
    for mode in get_available_models()[:3]:
        model = create_model(mode)
        assert (model.name, model.n_params) == ("static_diffusion", 3)
        assert model.get_parameter_bounds() == [(1, 1e6), (-2, 2), (-1e5, 1e5)]
        assert model.get_default_parameters().tolist() == [100, 0, 10]
    assert ShearModel().parameter_names == ("gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")
    named = CombinedModel().get_parameter_dict(PARAMS)
    assert named["gamma_dot_t0"] == 1e-3
    assert list(named.values()) == PARAMS.tolist()


def test_models_compute_what_the_functions_do():
    where = (T, T, PHI, Q, L, DT)
    flow, still, shear = CombinedModel(), DiffusionModel(), ShearModel()
    whole = flow.compute_g1(PARAMS, *where)
    parts = [still.compute_g1(PARAMS[:3], *where), shear.compute_g1(PARAMS[3:], *where)]
    np.testing.assert_allclose(whole, parts[0] * parts[1], rtol=1e-14)
    by_name = dict(reversed(flow.get_parameter_dict(PARAMS).items()))
    np.testing.assert_array_equal(flow.compute_g1(by_name, *where), whole)
    g2 = compute_g2_scaled(PARAMS, *WHERE)
    np.testing.assert_array_equal(flow.compute_g2(PARAMS, *WHERE), g2)
    g2 = flow.compute_g2_batch(PARAMS, *PAIRS, 0.3, 1.0, DT)
    np.testing.assert_allclose(g2, 1 + 0.3 * flow.compute_g1_batch(PARAMS, *PAIRS, DT) ** 2)
    np.testing.assert_array_equal(
        flow.compute_chi_squared(PARAMS, DATA, 0.1, *WHERE),
        compute_chi_squared(PARAMS, DATA, 0.1, *WHERE),
    )


@pytest.mark.parametrize("convention", ["upstream", "gap-average"])
def test_the_model_of_a_configuration(convention):
    model = HomodyneModel(config(), convention)
    assert (model.dt, model.wavevector_q, model.stator_rotor_gap) == (DT, Q, L)
    assert len(model.time_array) == FRAMES
    c2 = model.compute_c2(PARAMS, PHI, contrast=0.3)
    np.testing.assert_allclose(c2, compute_g2_scaled(PARAMS, *WHERE, convention=convention))
    one = model.compute_c2_single_angle(PARAMS, 25.0, contrast=0.3)
    np.testing.assert_allclose(one, c2[2], rtol=1e-14)
    summary = json.loads(json.dumps(model.config_summary))
    assert summary["time_range"] == [0.0, pytest.approx(1.1)]
    assert summary["convention"] == convention


def test_simulated_data_are_written(tmp_path):
    model = HomodyneModel(config())
    c2, path = model.plot_simulated_data(PARAMS, PHI, tmp_path / "new" / "folder")
    with np.load(path) as stored:
        np.testing.assert_array_equal(stored["c2_data"], c2)
        np.testing.assert_array_equal(stored["params"], PARAMS)
        assert float(stored["pf_sinc_prefactor"]) == model.physics_factors.sinc_prefactor
        assert stored["convention"] == "upstream"
    written = {file.name for file in path.parent.iterdir()}
    maps = {f"c2_simulated_phi_{angle}deg.png" for angle in ("-40", "0", "25")}
    assert written == {"c2_simulated_data.npz", *maps}
    assert all((path.parent / name).read_bytes()[:4] == b"\x89PNG" for name in maps)
    _, path = model.plot_simulated_data(PARAMS, PHI, tmp_path / "bare", generate_plots=False)
    assert [file.name for file in path.parent.iterdir()] == ["c2_simulated_data.npz"]


@pytest.mark.parametrize(
    ("more", "mode"),
    [
        ({}, "laminar_flow"),
        ({"analysis_mode": "static"}, "static"),
        ({"analysis_settings": {"static_mode": True}}, "static_anisotropic"),
        ({"analysis_settings": {"static_mode": True, "isotropic_mode": True}}, "static_isotropic"),
        (
            {"analysis_settings": {"static_mode": False}, "analysis_mode": "laminar_flow"},
            "laminar_flow",
        ),
    ],
)
def test_the_mode_of_a_configuration(more, mode):
    assert HomodyneModel(config() | more).analysis_mode == mode


def test_the_engine_computes_what_the_functions_do():
    engine, where = TheoryEngine(), (T, T, PHI, Q, L, DT)
    data = np.asarray(compute_g2_scaled(PARAMS, *WHERE)) + 0.01
    g2 = engine.compute_g2(PARAMS, *WHERE)
    np.testing.assert_array_equal(g2, compute_g2_scaled(PARAMS, *WHERE))
    np.testing.assert_array_equal(
        engine.compute_g1(PARAMS, *where), compute_g1_total(PARAMS, *where)
    )
    chi2 = engine.compute_chi_squared(PARAMS, data, 0.1, *WHERE)
    assert chi2 == pytest.approx(3 * 144 * 0.01)
    batch = engine.batch_computation([PARAMS, PARAMS], data, 0.1, *WHERE)
    np.testing.assert_allclose(batch, [chi2, chi2])
    np.testing.assert_array_equal(compute_g2_theory(PARAMS, *WHERE[:-1], dt=DT), g2)
    still = compute_chi2_theory(PARAMS[:3], data, 0.1, *WHERE[:-1], "static", dt=DT)
    assert still == float(compute_chi_squared(PARAMS[:3], data, 0.1, *WHERE))


def test_the_cost_of_a_computation():
    t = DT * np.arange(1000)
    cost = TheoryEngine("laminar_flow").estimate_computation_cost(t, t, np.zeros(3))
    assert (cost["n_total_points"], cost["estimated_operations"]) == (3_000_000, 150_000_000)
    assert (cost["estimated_bytes"], cost["performance_tier"]) == (96_000_000, "heavy")
    cost = TheoryEngine("static").estimate_computation_cost(T, T, 0.0)
    assert (cost["estimated_operations"], cost["performance_tier"]) == (1440, "light")


# What is wrong, and what is unusual


def test_the_correlation_time_is_where_contrast_has_fallen_to_1_over_e():
    for alpha in (0.0, 0.5, -0.3):
        tau = estimate_correlation_time(1e4, alpha, Q)
        transport = scipy.integrate.quad(lambda t, a=alpha: 1e4 * t**a, 0, tau)[0]
        assert math.exp(-(Q**2) * transport) == pytest.approx(math.exp(-1), rel=1e-6)
    assert estimate_correlation_time(1e4, 0.0, Q) == pytest.approx(1 / (Q**2 * 1e4), rel=1e-14)


def test_unusual_experiments_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert validate_experimental_setup(Q, L, 1.54)
    for setup, unit in (((2.0, L), "1/Å"), ((Q, 1e3), "Å"), ((Q, L, 50.0), "Å")):
        with pytest.warns(UserWarning, match=f"{unit} is outside its typical range"):
            assert not validate_experimental_setup(*setup)
    with pytest.warns(UserWarning, match="dt = 2000 s is outside") as caught:
        PhysicsFactors.from_config(Q, L, 2e3)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="D0 = 2e\\+06 is 1e\\+06 above") as caught:
        compute_chi2_theory([2e6, 0.0, 0.0], DATA, 0.1, *WHERE[:-1], "static", dt=DT)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="and 1 more sets"):
        TheoryEngine("static").batch_computation([[2e6, 0, 0]] * 2, DATA, 0.1, *WHERE)


def g1(t1=T, t2=T, phi=PHI, params=PARAMS, gap=L, dt=DT, **options):
    return compute_g1_total(params, t1, t2, phi, Q, gap, dt, **options)


def chi2(data=DATA, sigma=0.1, contrast=0.3):
    engine = TheoryEngine()
    return engine.compute_chi_squared(PARAMS, data, sigma, *WHERE[:5], contrast, 1.0, DT)


def without(*path):
    """Return a configuration with one key missing."""
    changed = config()
    section = changed
    for key in path[:-1]:
        section = section[key]
    section[path[-1] + "s"] = section.pop(path[-1])
    return changed


WRONG = [
    (lambda: g1(dt=None), "dt must be positive and finite, found None"),
    (lambda: g1(dt=0.0), "dt must be positive"),
    (lambda: g1(t1=T + 0.02), "0.02 s off; correct the times or dt"),
    (lambda: g1(t1=T - 0.1), "frames from 0, but runs from -0.1"),
    (lambda: g1(dt=1e-6), "at most 100000 frames"),
    (lambda: g1(t1=[np.nan]), "t1 must be finite times"),
    (lambda: g1(*np.meshgrid(T, T, indexing="xy")), 'make them with indexing="ij"'),
    (lambda: g1(T, np.meshgrid(T, T)[0]), "must both be axes or both be meshgrids"),
    (lambda: g1(T, T[:3], paired=True), "lists of the same length"),
    (lambda: g1(phi=[0.0, np.inf]), "phi must be finite azimuths"),
    (lambda: g1(params=PARAMS[:5]), "params must be \\(3,\\) D0, alpha, D_offset"),
    (lambda: g1(gap=None), "a flow needs the gap L"),
    (lambda: g1(gap=-1.0), "L must be positive"),
    (lambda: g1(convention="mine"), "convention must be one of"),
    (lambda: compute_g1_diffusion(PARAMS[3:], T, T, Q, DT), "must begin with D0"),
    (lambda: compute_g2_scaled(PARAMS, *WHERE[:5], [0.1, 0.2], 1.0, DT), "contrast must be one"),
    (lambda: compute_chi_squared(PARAMS, [1.0], 0.1, *WHERE), "must have the shape of g2"),
    (lambda: batch_chi_squared(PARAMS, [1.0], 0.1, *WHERE), "one parameter set per row"),
    (lambda: PhysicsFactors.from_config(-0.01, L, DT), "q must be positive and finite"),
    (lambda: PhysicsFactors.from_config(Q, np.inf, DT), "L must be positive and finite"),
    (lambda: PhysicsFactors.from_config(Q, L, "fast"), "dt must be positive and finite"),
    (lambda: PhysicsFactors.from_config(1e-200, L, DT), "q² dt / 2 must be positive"),
    (lambda: estimate_correlation_time(1e4, -1.0, Q), "alpha must be above -1"),
    (
        lambda: create_physics_factors_from_config_dict(without("analyzer_parameters")),
        "did you mean analyzer_parameterss",
    ),
    (lambda: HomodyneModel(without("analyzer_parameters", "temporal", "dt")), "did you mean dts"),
    (lambda: HomodyneModel({"analyzer_parameters": {}}), "the section is empty"),
    (lambda: HomodyneModel({"analyzer_parameters": 3}), "make it a section"),
    (lambda: HomodyneModel(config(end_frame=-1)), "index of a frame, 0 or more, found -1"),
    (lambda: HomodyneModel(config(end_frame=1)), "end_frame must come after start_frame = 1"),
    (lambda: HomodyneModel(config() | {"analysis_mode": "laminar"}), "did you mean laminar_flow"),
    (
        lambda: HomodyneModel(
            config() | {"analysis_mode": "static", "analysis_settings": {"static_mode": False}}
        ),
        "leave one of them out",
    ),
    (
        lambda: HomodyneModel(config()).plot_simulated_data(PARAMS, [0.0, 360.0], "nowhere"),
        "each phi must occur once",
    ),
    (lambda: create_model("laminer_flow"), "did you mean laminar_flow"),
    (lambda: CombinedModel().parameters({"D0": 1.0, "aplha": 0.0}), "did you mean alpha"),
    (lambda: DiffusionModel().parameters({"D0": 1.0}), "missing: alpha, D_offset"),
    (lambda: CombinedModel("static").parameters(PARAMS), "has 3 parameters"),
    (lambda: TheoryEngine("statik"), "did you mean static"),
    (lambda: TheoryEngine("static").compute_g1([np.nan, 0, 0], *WHERE[:5], DT), "not finite"),
    (lambda: chi2(contrast=0.0), "contrast must be positive"),
    (lambda: chi2(sigma=0.0), "sigma must be positive"),
    (lambda: chi2(sigma=[0.1]), "sigma must be one value or have the shape"),
    (lambda: chi2(data=np.nan * DATA), "data must be finite"),
]


@pytest.mark.parametrize(("mistake", "says"), WRONG, ids=[says for _, says in WRONG])
def test_mistakes_are_named(mistake, says):
    with pytest.raises(InputError, match=says):
        mistake()
