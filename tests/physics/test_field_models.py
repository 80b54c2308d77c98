"""Fields of the models against sums over layers and populations; limits; derivatives; truths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import homodyne_bayes as hb
from homodyne_bayes.inference import density
from homodyne_bayes.likelihood.misfit import KINDS, Fields, directions
from homodyne_bayes.model_files import MODELS, load_model
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.experiment import Experiment, field_correlation
from homodyne_bayes.physics.points import map_grid
from tests.truth import LAMINAR, STATIC

PHI, FRAMES, Q, GAP, DT = (-60.0, 0.0, 40.0), 14, 0.0054, 2e6, 0.25
TIME = DT * np.arange(FRAMES)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)
BUILT_IN = ("static", "laminar_flow")
NEW = [name for name in MODELS if name not in BUILT_IN]
LAWS = ["static:D=exponential", "laminar_flow:gamma_dot=start"]
STATED = {  # that of the drive; and which of two opposite phases, which are the same
    "oscillatory_flow": {"gamma_dot_frequency": (1.0, 1e-5), "gamma_dot_phase": (0.0, 45.0)}
}
EVEN = "laminar_flow:gamma_dot=constant"
LIMITS = [  # a model and changes of its example, and what it then is, with changes of its own
    ("stretched", {"stretch": 1.0}, "static", {}),
    ("stretched_flow", {"stretch": 1.0}, "laminar_flow", {}),
    ("two_relaxations", {"fast_share": 1.0, **STATIC}, "static", {}),
    ("two_relaxations", {"slower": 1.0, **STATIC}, "static", {}),
    ("frozen", {"frozen_share": 0.0}, "static", {}),
    ("frozen_flow", {"frozen_share": 0.0, "mean_velocity": 0.0}, "laminar_flow", {}),
    ("wall_slip", {"slip": 0.0}, "laminar_flow", {}),
    (
        "oscillatory_flow",
        {"gamma_dot_frequency": 1e-9, "gamma_dot_phase": 0.0},
        EVEN,
        {"gamma_dot_constant": 2e-3},
    ),
    ("laminar_flow:gamma_dot=start", {"gamma_dot_start": -9.0}, EVEN, {}),
    ("laminar_flow:gamma_dot=stop", {"gamma_dot_stop": -9.0}, "static", {}),
]


def field(name, convention="gap-average", **changes):
    """The field, (P, G, G), of a model's example with changes."""
    model = load_model(name)
    parameters = dict(model.example) | changes
    return np.asarray(
        field_correlation(
            Experiment(model, PHI, FRAMES, parameters, Q, DT, GAP, convention=convention)
        )
    )


def power_law_integral(amplitude, exponent, offset):
    """∫ between every two frames, (G, G), from the first axis to the second."""
    whole = amplitude * TIME ** (exponent + 1) / (exponent + 1) + offset * TIME
    return whole[None, :] - whole[:, None]


def decay():
    """½ q² |∫D dt| of the example, (G, G)."""
    return 0.5 * Q**2 * np.abs(power_law_integral(*STATIC.values()))


def strain():
    return power_law_integral(*list(LAMINAR.values())[3:6])


def layers(strain, first, last, slope=1.0):
    """The mean over layers of exp(i q displacement), (P, G, G).

    Layers lie between heights ``first`` and ``last`` of the gap, and are displaced by ``slope``
    times their height, the gap and the strain.
    """
    along = Q * GAP * np.cos(np.deg2rad(LAMINAR["phi0"] - np.array(PHI)))[:, None, None]
    heights = 0.5 * (first + last) + 0.5 * (last - first) * NODES
    return sum(
        0.5 * w * np.exp(1j * slope * z * along * strain)
        for z, w in zip(heights, WEIGHTS, strict=True)
    )


def test_a_stretched_relaxation():
    np.testing.assert_allclose(field("stretched")[0], np.exp(-(decay() ** 0.75)), rtol=1e-10)
    sheared = np.abs(np.exp(-(decay() ** 1.4)) * layers(strain(), 0.0, 1.0))
    found = np.abs(field("stretched_flow", stretch=1.4))
    np.testing.assert_allclose(found, sheared, atol=1e-9)


def test_two_relaxations_are_two_populations():
    rates = {"D0": 1e4, "alpha": -0.3, "D_offset": 500.0}
    found = field("two_relaxations", **rates)
    population = 0.6 * np.exp(-decay()) + 0.4 * np.exp(-decay() / 20)
    np.testing.assert_allclose(found[0], population, rtol=1e-10)


def test_a_frozen_part_adds_to_the_field():
    """Speckle of both, drawn pixel by pixel and summed, has Siegert's c2 of the model's field."""
    pixels, shares = 400_000, (0.8, 0.2)
    rng = np.random.default_rng(0)
    moving = field("static")[0]
    white = rng.normal(size=(2, pixels, FRAMES)) / np.sqrt(2)
    root = np.linalg.cholesky(moving + 1e-9 * np.eye(FRAMES))
    frozen = rng.normal(size=(2, pixels, 1)) / np.sqrt(2)
    both = np.sqrt(shares[0]) * (white @ root.T) + np.sqrt(shares[1]) * frozen
    intensity = (both**2).sum(axis=0)
    c2 = intensity.T @ intensity / pixels
    found = field("frozen")[0]
    np.testing.assert_allclose(found, 0.8 * moving + 0.2, rtol=1e-12)
    np.testing.assert_allclose(c2, 1 + found**2, atol=0.02)


@pytest.mark.parametrize(("mean", "first", "last"), [(0.5, 0.0, 1.0), (0.0, -0.5, 0.5)])
def test_a_frozen_part_under_flow_is_at_rest_with_a_wall_or_between_them(mean, first, last):
    moving = np.exp(-decay()) * layers(strain(), first, last)
    found = field("frozen_flow", mean_velocity=mean)
    np.testing.assert_allclose(found, 0.8 * moving + 0.2, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > -1e-9


def test_walls_of_a_convention_do_the_same_to_small_phases():
    for convention in CONVENTIONS.values():
        slope = jax.grad(convention.factor)(1.0)
        assert convention.walls == pytest.approx(2 * float(slope) ** 0.5)


def test_slip_leaves_a_reduced_profile():
    reduced = np.exp(-decay()) * layers(strain(), -0.5, 0.5, slope=0.7)
    np.testing.assert_allclose(field("wall_slip"), reduced.real, atol=1e-9)
    slower = {name: 0.7 * LAMINAR[name] for name in ("gamma_dot_t0", "gamma_dot_t_offset")}
    for convention in CONVENTIONS:
        found = field("wall_slip", convention)
        np.testing.assert_allclose(found, field("laminar_flow", convention, **slower), atol=1e-12)


def test_oscillatory_shear():
    omega, delta = 2 * np.pi * 1.0, np.deg2rad(30.0)
    whole = 2e-3 / omega * np.sin(omega * TIME + delta)
    expected = np.exp(-decay()) * layers(whole[None, :] - whole[:, None], -0.5, 0.5).real
    np.testing.assert_allclose(field("oscillatory_flow"), expected, atol=1e-9)


@pytest.mark.parametrize(("name", "changes", "limit", "own"), LIMITS)
def test_limits(name, changes, limit, own):
    for convention in CONVENTIONS:
        expected = field(limit, convention, **own)
        np.testing.assert_allclose(field(name, convention, **changes), expected, atol=1e-9)


def priors_of_theta(observed, points):
    """Location and scale of every coordinate, (d,) each: in theta priors are about Normal."""
    priors = dict(observed.priors)
    rows = [priors[label.partition("[")[0]] for label in density.labels(observed, points)]
    flat = [(0, 1.8) if row.family == "circular" else (row.loc, row.scale) for row in rows]
    return np.array(flat).T


@pytest.mark.parametrize("name", [*NEW, *LAWS])
def test_finite_all_over_the_prior_and_truths_are_found(name):
    """A hundred draws; then the mode, and draws of the Gaussian there hold the truth."""
    data = hb.simulate(name, phi=(-60.0, 0.0, 60.0), num_frames=20, dt=0.3, sigma=0.004)
    config = hb.FitConfig(model=name, noise="independent", priors=STATED.get(name, {}))
    observed, points = hb.numpyro_model(data, config)
    parts = jax.tree.map(lambda leaf: leaf[None], points)
    loc, scale = priors_of_theta(observed, points)
    fall = jax.jit(
        jax.value_and_grad(lambda z: -density.log_density(observed, parts, loc + scale * z))
    )
    drawn = np.random.default_rng(1).normal(size=(100, len(loc)))
    values, slopes = zip(*(map(np.asarray, fall(z)) for z in drawn), strict=True)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    best = drawn[np.argsort(values)[:3]]
    ends = [
        minimize(lambda x: tuple(map(np.asarray, fall(x))), start, jac=True, method="BFGS")
        for start in best
    ]
    mode = min(ends, key=lambda end: end.fun).x
    step = 1e-4 * np.eye(len(mode))
    curvature = np.stack([(fall(mode + h)[1] - fall(mode - h)[1]) / 2e-4 for h in step])
    covariance = np.linalg.inv(0.5 * (curvature + curvature.T))
    near = np.random.default_rng(0).multivariate_normal(mode, covariance, 4000)
    found = density.constrain(observed, points, jnp.asarray(loc + scale * near))
    truth = data.provenance["truth"]
    for parameter in load_model(name).reported:
        low, high = np.quantile(found[parameter], [0.0005, 0.9995])
        assert low < truth[parameter] < high, parameter


def test_what_a_model_may_lack_is_real_where_its_field_is_complex():
    grid = map_grid(np.zeros(1), FRAMES, DT, Q, GAP)
    g1, still = (jnp.asarray(field(name)[1]) for name in ("frozen_flow", "frozen"))
    kinds = np.repeat(list(KINDS), [kind.size for kind in KINDS.values()])
    found = directions(grid, Fields(g1, still, (still,)))
    assert found.dtype == float
    moved = jnp.abs(g1 + 1e-6 * (still - g1)) ** 2 - jnp.abs(g1) ** 2
    np.testing.assert_allclose(found[kinds == "band"][0], moved / 2e-6, atol=1e-5)
    other = jnp.abs(still) ** 2 - jnp.abs(g1) ** 2
    np.testing.assert_allclose(found[kinds == "convention"][0], other, atol=1e-12)
