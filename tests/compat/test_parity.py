"""The numbers of homodyne 2.23.3, and every way in which ours differ on purpose.

The committed numbers are made by `tests/reference/make_homodyne_reference.py`.
"""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from homodyne_bayes.compat.derivatives import (
    gradient_chi2,
    gradient_g2,
    hessian_chi2,
    hessian_g2,
)
from homodyne_bayes.compat.diagonal import apply_diagonal_correction
from homodyne_bayes.compat.functions import (
    batch_chi_squared,
    compute_chi_squared,
    compute_g1_diffusion,
    compute_g1_shear,
    compute_g1_total,
    compute_g2_scaled,
)
from homodyne_bayes.compat.modes import create_model
from homodyne_bayes.compat.scaling import (
    compute_averaged_scaling,
    estimate_contrast_offset_from_quantiles,
    estimate_per_angle_scaling,
)
from homodyne_bayes.compat.solvers import (
    solve_least_squares,
    solve_least_squares_chunked,
    solve_least_squares_general,
)

FILE = Path(__file__).parents[1] / "reference" / "homodyne_2_23_3.npz"
MODES = ("static", "laminar_flow")
CASES = [(mode, number) for mode in MODES for number in range(4)]
RTOL = 1e-9
SMOOTHING = 1e-12  # homodyne's |Δ| of unit-step sums is sqrt(Δ² + 1e-12)
STEEPEST = 0.5405  # of sinc(x)², at x = 1.30


@cache
def reference(topic):
    """Return the numbers of a topic by name."""
    with np.load(FILE) as stored:
        keys = [key for key in stored.files if key.startswith(f"{topic}/")]
        return {key.removeprefix(f"{topic}/"): stored[key] for key in keys}


def case(mode, number):
    """Return the numbers of a case, its geometry (q, L, dt), times and azimuths."""
    kept = reference(f"{mode}/{number}")
    return kept, [float(kept[name]) for name in ("q", "L", "dt")], kept["time"], kept["phi"]


def over_sets(function, kept):
    """Return a function of parameters, contrast and offset at every set."""
    every = jax.jit(jax.vmap(function))
    sets = [jnp.asarray(kept[name]) for name in ("params", "contrast", "offset")]
    return np.asarray(every(*sets))


def formula(mode, number, smoothing):
    """Return homodyne's own formula of a case, with or without its smoothing, as four functions.

    They take parameters, contrast and offset and return the diffusive part of g1 (n, n), its part
    by shear, g1 and g2 (P, n, n).
    """
    _, (q, L, dt), t, phi = case(mode, number)
    time = jnp.maximum(t, max(dt / 2, 1e-8))

    def between(amplitude, exponent, constant):
        """Return the modulus of the unit-step integral of a rate between every two frames."""
        rate = jnp.maximum(amplitude * time**exponent + constant, 1e-10)
        sums = jnp.concatenate([jnp.zeros(1), jnp.cumsum((rate[1:] + rate[:-1]) / 2)])
        change = sums[None, :] - sums[:, None]
        return jnp.sqrt(change**2 + smoothing) if smoothing else jnp.abs(change)

    def diffusion(p, *_):
        return jnp.exp(jnp.clip(-(q**2) * dt / 2 * between(*p[:3]), -700.0, 0.0))

    def shear(p, *_):
        if len(p) == 3:
            return jnp.ones((len(phi), len(t), len(t)))
        cosine = jnp.cos(jnp.deg2rad(p[6] - phi))[:, None, None]
        x = q * L * dt / (2 * np.pi) * cosine * between(*p[3:6])
        small = jnp.abs(x) < 0.01
        series = 1 - x**2 / 6 * (1 - x**2 / 20 * (1 - x**2 / 42))
        return jnp.where(small, series, jnp.sin(x) / jnp.where(small, 1.0, x)) ** 2

    def g1(p, *_):
        return jnp.maximum(diffusion(p) * shear(p), 1e-10)

    def g2(p, contrast, offset):
        return offset + contrast * g1(p) ** 2

    return diffusion, shear, g1, g2


def test_there_are_sixty_sets_a_mode_anywhere_in_the_bounds():
    for mode in MODES:
        params = np.concatenate([reference(f"{mode}/{number}")["params"] for number in range(4)])
        assert len(params) >= 60
        assert (params[:, 1] < 0).any()
        assert (params[:, 2] < 0).any()
    assert (params[:, 4:6] < 0).any(axis=0).all()


def values(mode, number):
    """Return every value that both compute, ours and theirs, by name."""
    kept, (q, L, dt), t, phi = case(mode, number)
    lo, hi, angle = (kept[name] for name in ("lo", "hi", "angle"))
    whole, pairs = (t, t, phi, q, L), (t[lo], t[hi], phi[angle], q, L)
    ours = {
        "g1_diffusion": lambda p, c, o: compute_g1_diffusion(p, t, t, q, dt),
        "g1_shear": lambda p, c, o: compute_g1_shear(p, *whole, dt),
        "g1_total": lambda p, c, o: compute_g1_total(p, *whole, dt),
        "g1_paired_diffusion": lambda p, c, o: compute_g1_diffusion(
            p, t[lo], t[hi], q, dt, paired=True
        ),
        "g1_paired": lambda p, c, o: compute_g1_total(p, *pairs, dt, paired=True),
        "g2": lambda p, c, o: compute_g2_scaled(p, *whole, c, o, dt),
        "chi2": lambda p, c, o: compute_chi_squared(
            p, kept["data"], kept["sigma"], *whole, c, o, dt
        ),
    }
    return {name: (over_sets(function, kept), kept[name]) for name, function in ours.items()}


def values_by_formula(mode, number, smoothing):
    """Return the same values by the formula, by name."""
    kept = case(mode, number)[0]
    lo, hi, angle, data, sigma = (kept[name] for name in ("lo", "hi", "angle", "data", "sigma"))
    diffusion, shear, g1, g2 = formula(mode, number, smoothing)
    functions = {
        "g1_diffusion": diffusion,
        "g1_shear": shear,
        "g1_total": g1,
        "g1_paired_diffusion": lambda *at: diffusion(*at)[lo, hi],
        "g1_paired": lambda *at: g1(*at)[angle, lo, hi],
        "g2": g2,
        "chi2": lambda *at: (((data - g2(*at)) / sigma) ** 2).sum(),
    }
    return {name: over_sets(function, kept) for name, function in functions.items()}


@pytest.mark.parametrize(("mode", "number"), CASES)
def test_values_are_upstreams_but_for_its_smoothing(mode, number):
    """Theirs are the formula with the smoothing, ours the same formula without it.

    Near zeros of sinc the difference is that of rounding x, far below 1e-15.
    """
    smoothed, exact = (values_by_formula(mode, number, epsilon) for epsilon in (SMOOTHING, 0.0))
    for name, (ours, theirs) in values(mode, number).items():
        np.testing.assert_allclose(theirs, smoothed[name], rtol=RTOL, atol=1e-15, err_msg=name)
        np.testing.assert_allclose(ours, exact[name], rtol=RTOL, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("number", range(4))
def test_at_rest_the_smoothing_is_too_small_to_see(number):
    for name, (ours, theirs) in values("static", number).items():
        np.testing.assert_allclose(ours, theirs, rtol=RTOL, err_msg=name)


def derivatives_by_formula(mode, number, smoothing):
    """Return the derivatives that homodyne has a name for, of the formula, by name."""
    kept = case(mode, number)[0]
    *_, g2 = formula(mode, number, smoothing)

    def chosen(*at):
        return g2(*at).reshape(-1)[kept["at"]]

    def chi2(*at):
        return (((kept["data"] - g2(*at)) / kept["sigma"]) ** 2).sum()

    functions = {
        "gradient_g2": jax.jacfwd(chosen),
        "hessian_g2": jax.jacfwd(jax.jacfwd(chosen)),
        "gradient_chi2": jax.grad(chi2),
        "hessian_chi2": jax.hessian(chi2),
    }
    return {name: over_sets(function, kept) for name, function in functions.items()}


def rounding_upstream(kept):
    """Return how well homodyne knows its second derivatives of g2 by relative changes.

    Those of sin(x)/x by automatic differentiation are good to 1e-16 / x² only, some 16 roundings of
    g2 by relative changes of x. x is proportional to cos(phi0 - phi), and may thus change far more
    than phi0 does, which is the one parameter for which this can be seen.
    """
    params, phi, at = (kept[name] for name in ("params", "phi", "at"))
    change = np.ones((len(params), len(at), params.shape[1]))
    if params.shape[1] == 7:
        phi0 = np.deg2rad(params[:, 6, None])
        azimuth = np.deg2rad(phi[at // len(kept["time"]) ** 2])
        change[..., 6] = phi0 * np.tan(phi0 - azimuth)
    least = 16 * np.finfo(float).eps * kept["contrast"][:, None, None, None]
    return least * change[..., :, None] * change[..., None, :]


def assert_same_derivatives(name, found, expected, kept, rounding=0.0):
    """Compare derivatives by the relative change of parameters.

    They agree to 1e-9 of themselves or of what changes: the contrast for g2, and chi² itself.
    """
    params = np.abs(kept["params"])
    size = params[:, :, None] * params[:, None, :] if "hessian" in name else params
    size = size[:, None] if "g2" in name else size
    least = kept["contrast" if "g2" in name else "chi2"]
    least = least.reshape(-1, *[1] * (expected.ndim - 1))
    error = np.abs(found - expected) * size
    allowed = RTOL * np.maximum(np.abs(expected) * size, least) + np.abs(rounding)
    assert (error <= allowed).all(), name


@pytest.mark.parametrize(("mode", "number"), CASES)
def test_derivatives_are_upstreams_but_for_its_smoothing(mode, number):
    """Theirs are those of the formula with the smoothing, ours of the same formula without it."""
    kept, (q, L, dt), t, phi = case(mode, number)
    at, frames, whole = kept["at"], len(t), (t, t, phi, q, L)
    angle, lo, hi = np.unravel_index(at, (len(phi), frames, frames))
    points = (t[lo], t[hi], phi[angle], q, L)
    measured = (kept["data"], kept["sigma"])
    ours = {
        "gradient_g2": lambda p, c, o: gradient_g2(p, *points, c, o, dt, paired=True),
        "hessian_g2": lambda p, c, o: hessian_g2(p, *points, c, o, dt, paired=True),
        "gradient_chi2": lambda p, c, o: gradient_chi2(p, *measured, *whole, c, o, dt),
        "hessian_chi2": lambda p, c, o: hessian_chi2(p, *measured, *whole, c, o, dt),
    }
    smoothed, exact = (
        derivatives_by_formula(mode, number, epsilon) for epsilon in (SMOOTHING, 0.0)
    )
    for name, function in ours.items():
        rounding = rounding_upstream(kept) if name == "hessian_g2" else 0.0
        assert_same_derivatives(name, smoothed[name], kept[name], kept, rounding)
        assert_same_derivatives(name, over_sets(function, kept), exact[name], kept)
    last = kept["hessian_g2"][-1]
    np.testing.assert_allclose(kept["last_hessian_g2"], last, atol=1e-6 * np.abs(last).max())


@pytest.mark.parametrize("number", range(4))
def test_the_smoothing_is_as_large_as_its_closed_form(number):
    """sqrt(Δ² + ε) - |Δ| is at most 1e-6 and 5e-13/|Δ|; on the diagonal it is all there is."""
    kept, (q, L, dt), _, phi = case("laminar_flow", number)
    exponent, phase = 0.5 * q**2 * dt, q * L * dt / (2 * np.pi)
    contrast = kept["contrast"][:, None, None, None]
    found = values("laminar_flow", number)
    ours, theirs = found["g2"]
    most = 1e-6 * (exponent + STEEPEST * phase)
    assert (np.abs(ours - theirs) <= 2 * contrast * most).all()
    cosine = np.cos(np.deg2rad(kept["params"][:, 6, None] - phi))
    smeared = np.exp(-exponent * 1e-6) * np.sinc(phase * cosine * 1e-6 / np.pi) ** 2
    ours, theirs = (np.diagonal(g1, 0, 2, 3) for g1 in found["g1_total"])
    np.testing.assert_array_equal(ours, 1.0)
    np.testing.assert_allclose(theirs, smeared[..., None] * np.ones_like(ours), rtol=1e-12)


def test_the_steepest_slope_of_sinc_squared():
    x = np.linspace(1e-3, 20, 20_001)
    slope = 2 * np.sin(x) * (x * np.cos(x) - np.sin(x)) / x**3
    assert 0.5400 < np.abs(slope).max() < STEEPEST


def test_quantile_estimates():
    kept = reference("scaling")
    pooled = [kept[name] for name in ("c2", "t1", "t2", "angle")]
    c2, t1, t2, angle = pooled
    first = (c2[angle == 0], (t2 - t1)[angle == 0])
    bounds = ((0.0, 1.0), (0.5, 1.5))
    for ours, name in (
        (estimate_contrast_offset_from_quantiles(*first), "first"),
        (
            estimate_contrast_offset_from_quantiles(*first, *bounds, 0.7, 0.3, 0.25, 0.75),
            "other_quantiles",
        ),
    ):
        np.testing.assert_allclose(ours, kept[name], rtol=RTOL)
    per_angle = estimate_per_angle_scaling(*pooled, 5, *bounds)
    assert set(per_angle) == set(kept["names"])
    np.testing.assert_allclose([per_angle[name] for name in kept["names"]], kept["values"], RTOL)
    contrast, offset, contrasts, offsets = compute_averaged_scaling(*pooled, 5, *bounds)
    np.testing.assert_allclose((contrast, offset), kept["averaged"], rtol=RTOL)
    np.testing.assert_allclose(contrasts, kept["contrasts"], rtol=RTOL)
    np.testing.assert_allclose(offsets, kept["offsets"], rtol=RTOL)


def test_least_squares():
    """Theirs answers a singular system by 1 and 1, ours by its name."""
    kept = reference("least_squares")
    theory, measured = kept["theory"], kept["measured"]
    solved = solve_least_squares(theory, measured)
    np.testing.assert_allclose((solved.contrast, solved.offset), kept["solution"], rtol=RTOL)
    chunked = solve_least_squares_chunked(zip(theory, measured, strict=True))
    together = np.array([chunked.contrast, chunked.offset]).ravel()
    np.testing.assert_allclose(together, kept["chunked"].ravel(), rtol=RTOL)
    for name, ridge in (("general", 1e-10), ("ridge", 1e-3)):
        ours = solve_least_squares_general(kept["design"], kept["target"], ridge)
        np.testing.assert_allclose(ours.coefficients, kept[name], rtol=RTOL)
    assert kept["singular"].ravel().tolist() == [1.0, 1.0]
    assert solve_least_squares(np.ones((1, 30)), measured[:1]).outcome.tolist() == ["singular"]


def test_diagonal_correction():
    """Given JAX arrays, theirs does "basic" whatever method is asked for."""
    kept = reference("diagonal")
    methods = {
        "basic": {"method": "basic"},
        "median": {"method": "statistical"},
        "mean": {"method": "statistical", "estimator": "mean", "window_size": 2},
        "trimmed_mean": {"method": "statistical", "estimator": "trimmed_mean"},
        "interpolation": {"method": "interpolation"},
    }
    for name, settings in methods.items():
        ours = apply_diagonal_correction(kept["maps"], **settings)
        np.testing.assert_allclose(ours, kept[name], rtol=RTOL, err_msg=name)
        one = apply_diagonal_correction(kept["maps"][0], **settings)
        np.testing.assert_allclose(one, kept[f"{name}_single"], rtol=RTOL, err_msg=name)
    np.testing.assert_allclose(kept["basic_jax"], kept["basic"], rtol=RTOL)
    np.testing.assert_array_equal(kept["median_jax"], kept["basic_jax"])
    assert np.abs(kept["median_jax"] - kept["median"]).max() > 0.01


def trap():
    """Return what homodyne made of input that is easily mistaken, and the input."""
    kept = reference("traps")
    return kept, kept["params"], kept["time"], [float(kept[name]) for name in ("q", "L", "dt")]


def diffusion(t1, t2, **options):
    _, params, _, (q, _, dt) = trap()
    return np.asarray(compute_g1_diffusion(params, t1, t2, q, dt, **options))


def test_a_nanosecond_late_is_a_frame_late_upstream():
    kept, _, t, _ = trap()
    right = diffusion(t[:-1], t[1:], paired=True)
    late = diffusion(t[:-1] + 1e-9, t[1:] + 1e-9, paired=True)
    np.testing.assert_array_equal(late, right)
    np.testing.assert_allclose(kept["late"][:-1], right[1:], rtol=RTOL)
    assert kept["late"][0] - right[0] > 0.005
    assert right[-1] < 0.99 < 1 - 1e-9 < kept["late"][-1]


def test_every_other_frame_has_half_the_exponent_upstream():
    kept, _, t, _ = trap()
    right = diffusion(t[::2], t[::2])
    np.testing.assert_array_equal(right, diffusion(t, t)[::2, ::2])
    off = ~np.eye(len(right), dtype=bool)
    ratio = np.log(kept["every_other"][off]) / np.log(right[off])
    assert 0.44 < ratio.min() < ratio.max() < 0.51


def test_a_second_axis_is_ignored_upstream():
    kept, _, t, _ = trap()
    np.testing.assert_allclose(kept["two_axes"], diffusion(t[:6], t[:6]), rtol=RTOL)
    np.testing.assert_array_equal(diffusion(t[:6], t[6:]), diffusion(t, t)[:6, 6:])


def test_triples_have_no_lag_upstream():
    kept, params, t, geometry = trap()
    model = create_model("laminar_flow")
    right = model.compute_g1_batch(params, t[:6], t[6:], np.zeros(6), *geometry)
    whole = compute_g1_total(params, t, t, 0.0, *geometry)[0]
    np.testing.assert_allclose(right, np.diagonal(whole[:6, 6:]), rtol=1e-14)
    assert (right < 0.95).all()
    assert (kept["triples"] > 0.9999).all()


def test_a_batch_takes_a_millisecond_for_dt_upstream():
    kept, params, t, (q, L, dt) = trap()

    def chi2(scale):
        measured = (kept["data"], kept["sigma"], t, t, kept["phi"])
        where = (q / scale, L / scale, 0.3, 1.0, dt)
        return float(batch_chi_squared(params[None], *measured, *where)[0])

    (found,) = kept["without_dt"]
    assert found == pytest.approx(chi2(10), rel=1e-6)
    assert abs(found / chi2(1) - 1) > 0.1


def test_axes_of_more_than_2000_frames_become_pairs_upstream():
    kept, _, _, (_, _, dt) = trap()
    many = dt * np.arange(2001)
    assert kept["many_shape"].tolist() == [2001]
    assert diffusion(many, many).shape == (2001, 2001)
