"""Numbers of homodyne 2.23.3, to compare with: writes homodyne_2_23_3.npz beside this file.

homodyne is no dependency of this project. Run the script once in an environment of its own:

    python -m venv homodyne-env
    homodyne-env/bin/pip install homodyne==2.23.3
    homodyne-env/bin/python tests/reference/make_homodyne_reference.py

It takes about a minute. Inputs are stored beside the numbers, so that nothing has to be drawn
again. ``gradient_g2``, ``gradient_chi2`` and ``hessian_chi2`` of homodyne 2.23.3 raise whatever
they are given; their numbers are those of JAX's derivatives of homodyne's own functions.
"""

from importlib.metadata import version
from pathlib import Path

import homodyne  # noqa: F401  (sets JAX to float64)
import jax
import jax.numpy as jnp
import numpy as np
from homodyne.core import diagonal_correction, fitting, jax_backend, physics_cmc, scaling_utils
from homodyne.core.models import create_model
from homodyne.core.theory import TheoryEngine

HERE = Path(__file__).parent
SETS = 16
EXPERIMENTS = (  # q (1/Å), L (Å), dt (s), frames, azimuths
    (0.0054, 2e6, 0.1, 10, (-60.0, 0.0, 30.0)),
    (0.01, 1e6, 0.05, 8, (0.0, 90.0)),
    (0.003, 5e6, 1.0, 9, (10.0, 100.0, 170.0)),
    (0.02, 3e5, 0.002, 12, (-170.0, 45.0)),
)
ENTRIES = 12  # of every map at which derivatives of g2 are kept
PAIRS = 40


def main():
    """Write the numbers."""
    rng = np.random.default_rng(2023)
    kept = {"versions": np.array([f"{name} {version(name)}" for name in ("homodyne", "jax")])}
    for mode in ("static", "laminar_flow"):
        for number, experiment in enumerate(EXPERIMENTS):
            found = physics(rng, mode, *experiment)
            kept |= {f"{mode}/{number}/{name}": value for name, value in found.items()}
    for topic in (scaling, least_squares, diagonal, traps):
        kept |= {f"{topic.__name__}/{name}": value for name, value in topic(rng).items()}
    np.savez_compressed(
        HERE / "homodyne_2_23_3.npz", **{name: np.asarray(value) for name, value in kept.items()}
    )


def parameters(rng, mode, count):
    """Draw parameter sets, half of them over the bounds, half where c2 has shape."""
    anywhere = np.arange(count) < count // 2

    def log(low, high, usual_low, usual_high):
        low, high = np.where(anywhere, low, usual_low), np.where(anywhere, high, usual_high)
        return low * (high / low) ** rng.uniform(size=count)

    sign = rng.choice([-1.0, 1.0], (2, count))
    alpha, beta = rng.uniform(-2, 2, (2, count)) * np.where(anywhere, 1.0, 0.3)
    columns = [log(1, 1e6, 1e3, 3e5), alpha, sign[0] * log(1, 1e5, 1, 1e3)]
    if mode == "laminar_flow":
        columns += [log(1e-5, 1, 1e-4, 3e-2), beta]
        columns += [sign[1] * log(1e-6, 1, 1e-6, 1e-4), rng.uniform(-30, 30, count)]
    return np.stack(columns, axis=1)


def physics(rng, mode, q, L, dt, frames, phi):
    """Return g1, g2, chi² and derivatives of maps and of paired points."""
    theta = parameters(rng, mode, SETS)
    contrast, offset = rng.uniform(0.05, 1, SETS), rng.uniform(0.5, 1.5, SETS)
    time, phi = dt * np.arange(frames), np.array(phi)
    shape = (len(phi), frames, frames)
    data, sigma = rng.normal(1.1, 0.1, shape), rng.uniform(0.05, 0.2, shape)
    at = np.sort(rng.choice(int(np.prod(shape)), ENTRIES, replace=False))
    lo, hi = rng.integers(0, frames, (2, PAIRS))
    angle = rng.integers(0, len(phi), PAIRS)
    geometry = (q, L)
    t = jnp.asarray(time)

    def g2(one, c, o):
        return jax_backend.compute_g2_scaled(one, t, t, phi, *geometry, c, o, dt)

    def chi2(one, c, o):
        return jax_backend.compute_chi_squared(one, data, sigma, t, t, phi, *geometry, c, o, dt)

    def chosen(function):
        return lambda *args: function(*args).reshape(-1)[at]

    def all_sets(function):
        return jax.jit(jax.vmap(function))(jnp.asarray(theta), contrast, offset)

    g1 = {name: [] for name in ("diffusion", "shear", "total", "paired_diffusion", "paired")}
    for one in jnp.asarray(theta):
        g1["diffusion"].append(jax_backend.compute_g1_diffusion(one, t, t, q, dt))
        g1["shear"].append(jax_backend.compute_g1_shear(one, t, t, phi, *geometry, dt))
        g1["total"].append(jax_backend.compute_g1_total(one, t, t, phi, *geometry, dt))
        points = (one, t[lo], t[hi])
        g1["paired_diffusion"].append(physics_cmc.compute_g1_diffusion(*points, q, dt, t))
        every = physics_cmc.compute_g1_total(*points, phi, *geometry, dt, t)
        g1["paired"].append(every[angle, np.arange(PAIRS)])
    second = jax_backend.hessian_g2(
        jnp.asarray(theta[-1]), t, t, phi, *geometry, contrast[-1], offset[-1], dt
    )
    count = theta.shape[1]
    return {
        "q": q,
        "L": L,
        "dt": dt,
        "time": time,
        "phi": phi,
        "params": theta,
        "contrast": contrast,
        "offset": offset,
        "data": data,
        "sigma": sigma,
        "at": at,
        "lo": lo,
        "hi": hi,
        "angle": angle,
        **{f"g1_{name}": np.stack(values) for name, values in g1.items()},
        "g2": np.stack([g2(one, c, o) for one, c, o in zip(theta, contrast, offset, strict=True)]),
        "chi2": [chi2(one, c, o) for one, c, o in zip(theta, contrast, offset, strict=True)],
        "gradient_g2": all_sets(jax.jacfwd(chosen(g2))),
        "hessian_g2": all_sets(jax.jacfwd(jax.jacfwd(chosen(g2)))),
        "last_hessian_g2": second.reshape(-1, count, count)[at],
        "gradient_chi2": all_sets(jax.grad(chi2)),
        "hessian_chi2": all_sets(jax.hessian(chi2)),
    }


def scaling(rng):
    """Return quantile estimates of contrast and offset."""
    frames, count = 40, 5
    lo, hi = (index.repeat(count) for index in np.triu_indices(frames, 1))
    angle = np.tile(np.arange(count), len(lo) // count)
    t1, t2 = 0.1 * lo, 0.1 * hi
    level = rng.uniform(0.1, 0.4, count)[angle]
    c2 = 1 + level * np.exp(-(t2 - t1)) + rng.normal(0, 0.02, len(lo))
    bounds = ((0.0, 1.0), (0.5, 1.5))
    one = angle == 0
    pooled = (c2, t1, t2, angle, count, *bounds)
    per_angle = scaling_utils.estimate_per_angle_scaling(*pooled)
    contrast, offset, contrasts, offsets = scaling_utils.compute_averaged_scaling(*pooled)
    return {
        "c2": c2,
        "t1": t1,
        "t2": t2,
        "angle": angle,
        "first": scaling_utils.estimate_contrast_offset_from_quantiles(c2[one], (t2 - t1)[one]),
        "other_quantiles": scaling_utils.estimate_contrast_offset_from_quantiles(
            c2[one], (t2 - t1)[one], *bounds, 0.7, 0.3, 0.25, 0.75
        ),
        "names": list(per_angle),
        "values": list(per_angle.values()),
        "averaged": (contrast, offset),
        "contrasts": contrasts,
        "offsets": offsets,
    }


def least_squares(rng):
    """Return least squares solutions."""
    theory = rng.uniform(0, 1, (64, 30))
    truth = rng.uniform(0.1, 1, (64, 1)), rng.uniform(0.5, 1.5, (64, 1))
    measured = truth[0] * theory + truth[1] + rng.normal(0, 0.05, theory.shape)
    design, target = rng.normal(size=(60, 7)), rng.normal(size=60)
    return {
        "theory": theory,
        "measured": measured,
        "design": design,
        "target": target,
        "solution": np.stack(fitting.solve_least_squares_jax(theory, measured)),
        "chunked": np.stack(fitting.solve_least_squares_chunked_jax(theory, measured)),
        "general": fitting.solve_least_squares_general_jax(design, target),
        "ridge": fitting.solve_least_squares_general_jax(design, target, 1e-3),
        "singular": np.stack(fitting.solve_least_squares_jax(np.ones((1, 30)), measured[:1])),
    }


def diagonal(rng):
    """Return maps with the diagonal replaced."""
    maps = rng.normal(1.1, 0.1, (3, 9, 9))
    methods = {
        "basic": {"method": "basic"},
        "median": {"method": "statistical"},
        "mean": {"method": "statistical", "estimator": "mean", "window_size": 2},
        "trimmed_mean": {"method": "statistical", "estimator": "trimmed_mean"},
        "interpolation": {"method": "interpolation"},
    }
    correct = diagonal_correction
    return {
        "maps": maps,
        **{
            name: correct.apply_diagonal_correction_batch(maps, backend="numpy", **settings)
            for name, settings in methods.items()
        },
        **{
            f"{name}_single": correct.apply_diagonal_correction(
                maps[0], backend="numpy", **settings
            )
            for name, settings in methods.items()
        },
        "basic_jax": correct.apply_diagonal_correction_batch(jnp.asarray(maps)),
        "median_jax": correct.apply_diagonal_correction_batch(jnp.asarray(maps), "statistical"),
    }


def traps(rng):
    """Return what homodyne makes of input that is easily mistaken."""
    params = jnp.array([1e4, -0.3, 500.0, 1e-3, 0.1, 1e-4, 3.0])
    q, L, dt, frames = 0.0054, 2e6, 0.1, 12
    t, phi = dt * jnp.arange(frames), jnp.array([0.0, 30.0])
    data = rng.normal(1.1, 0.1, (2, frames, frames))
    sigma = np.full_like(data, 0.1)
    late = t + 1e-9
    short, long = t[:6], t[6:]
    engine = TheoryEngine("laminar_flow")
    many = dt * jnp.arange(2001)
    return {
        "params": params,
        "q": q,
        "L": L,
        "dt": dt,
        "time": t,
        "phi": phi,
        "data": data,
        "sigma": sigma,
        "late": physics_cmc.compute_g1_diffusion(params, late[:-1], late[1:], q, dt, t),
        "every_other": jax_backend.compute_g1_diffusion(params, t[::2], t[::2], q, dt),
        "two_axes": jax_backend.compute_g1_diffusion(params, short, long, q, dt),
        "triples": create_model("laminar_flow").compute_g1_batch(
            params, short, long, jnp.zeros(6), q, L, dt
        ),
        "without_dt": engine.batch_computation(
            params[None], data, sigma, t, t, phi, q, L, 0.3, 1.0
        ),
        "many_shape": jax_backend.compute_g1_diffusion(params, many, many, q, dt).shape,
    }


if __name__ == "__main__":
    main()
