r"""g1, g2 and chi² of whole maps or of paired points, computed by `homodyne_bayes.physics.kernels`.

What the functions have in common:

params : array_like
    (3,) D0, alpha, D_offset, or (7,) with gamma_dot_t0, beta, gamma_dot_t_offset, phi0 after
    them, or (4,) these alone. Units and bounds are in `homodyne_bayes.parameters`. May be traced
    by JAX; nothing else may but ``contrast``, ``offset``, ``data`` and ``sigma``.
t1, t2 : array_like
    Frame times in s, multiples of ``dt``. Axes (n1,) and (n2,), or their meshgrids (n1, n2) made
    with ``indexing="ij"``, give maps (P, n1, n2); with ``paired=True`` both are (N,) and so is the
    result.
phi : array_like
    (P,) azimuths of the maps in degree; with ``paired=True`` (N,), or one for all points.
q, L, dt : float
    Wavevector (1/Å), gap (Å; None where nothing flows) and time between frames (s).
contrast, offset : array_like
    One value, or one for every azimuth.
convention : {"upstream", "gap-average"}
    Meaning of the shear phase, see `homodyne_bayes.physics.kernels`.

Integrals are taken over all frames 0, dt, 2 dt, ... between two times, whichever times are asked
for. Everything raises `InputError` for what it cannot use, such as a time more than a thousandth
of ``dt`` off the frames.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.compat.factors import check_positive
from homodyne_bayes.config import MAX_FRAMES, Convention
from homodyne_bayes.data.axes import TIME_TOLERANCE
from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import DIFFUSION, SHEAR
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid, map_grid

LENGTHS = (len(DIFFUSION), len(SHEAR), len(DIFFUSION + SHEAR))


def theory_grid(
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float | None,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> ShardGrid:
    """Return the points at which theory is computed; see the module for the arguments.

    Raises
    ------
    InputError
        Unless times are frames, shapes agree, and q, dt and L are positive.
    """
    dt = check_positive("dt", dt)
    lo, hi = _frames("t1", t1, dt), _frames("t2", t2, dt)
    phi = np.atleast_1d(np.asarray(phi, float))
    if phi.ndim != 1 or not len(phi) or not np.isfinite(phi).all():
        raise InputError(
            f"phi must be finite azimuths in degree, one per map or point, but has "
            f"shape {phi.shape}; correct it"
        )
    lo, hi, phi_index = _points(lo, hi, len(phi)) if paired else _map(lo, hi, len(phi))
    gap = None if L is None else check_positive("L", L)
    num_frames = int(max(lo.max(), hi.max())) + 1
    grid = map_grid(phi, num_frames, dt, check_positive("q", q), gap, convention)
    return replace(grid, lo=jnp.asarray(lo), hi=jnp.asarray(hi), phi_index=jnp.asarray(phi_index))


def compute_g1_diffusion(
    params: ArrayLike, t1: Any, t2: Any, q: float, dt: float, *, paired: bool = False
) -> jax.Array:
    """Return the part of g1 that diffusion makes, (n1, n2) or paired (N,), without a floor.

    ``params`` are (3,) or (7,). Azimuths do not matter. See the module for the arguments.
    """
    grid = theory_grid(t1, t2, 0.0, q, None, dt, paired=paired)
    theta = _parameters(params)
    if len(theta) == len(SHEAR):
        raise InputError(
            "params must begin with D0, alpha and D_offset, found 4 values; pass 3 or 7"
        )
    return _g1_diffusion(grid, theta[: len(DIFFUSION)])


def compute_g1_shear(  # noqa: PLR0913
    params: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float | None,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> jax.Array:
    """Return the part of g1 that flow makes, (P, n1, n2) or (N,), without a floor.

    It is 1 where there are no parameters of a flow. See the module for the arguments.
    """
    theta = _parameters(params, L)
    grid = theory_grid(t1, t2, phi, q, L, dt, paired=paired, convention=convention)
    return _g1_shear(grid, theta[len(DIFFUSION) :] if len(theta) != len(SHEAR) else theta)


def compute_g1_total(  # noqa: PLR0913
    params: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float | None,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> jax.Array:
    """Return g1, floored at 1e-10, (P, n1, n2) or (N,); see the module for the arguments."""
    theta = _parameters(params, L)
    return _g1(theory_grid(t1, t2, phi, q, L, dt, paired=paired, convention=convention), theta)


def compute_g2_scaled(  # noqa: PLR0913, PLR0917
    params: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float | None,
    contrast: ArrayLike,
    offset: ArrayLike,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> jax.Array:
    """Return g2 = offset + contrast g1², (P, n1, n2) or (N,); see the module for the arguments."""
    theta = _parameters(params, L)
    grid = theory_grid(t1, t2, phi, q, L, dt, paired=paired, convention=convention)
    return _g2(grid, theta, *_scaling(grid, contrast, offset))


def compute_g2_scaled_with_factors(  # noqa: PLR0913, PLR0917
    params: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    wavevector_q_squared_half_dt: float,
    sinc_prefactor: float,
    contrast: ArrayLike,
    offset: ArrayLike,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> jax.Array:
    """Return g2 from q² dt/2 (s/Å²) and q L dt/(2π) (s) in place of q and L.

    See `homodyne_bayes.compat.factors.PhysicsFactors`, and the module for the other arguments.
    """
    dt = check_positive("dt", dt)
    q = np.sqrt(2 * check_positive("q² dt / 2", wavevector_q_squared_half_dt) / dt)
    L = 2 * np.pi * check_positive("q L dt / (2π)", sinc_prefactor) / (q * dt)
    return compute_g2_scaled(
        params, t1, t2, phi, q, L, contrast, offset, dt, paired=paired, convention=convention
    )


def compute_chi_squared(  # noqa: PLR0913, PLR0917
    params: ArrayLike,
    data: ArrayLike,
    sigma: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float | None,
    contrast: ArrayLike,
    offset: ArrayLike,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> jax.Array:
    """Return Σ ((data - g2) / sigma)² over every entry of ``data``.

    A map holds every pair of frames twice, and a diagonal that holds none: ``sigma = inf`` leaves
    an entry out, whatever it holds.

    Parameters
    ----------
    data : array_like
        Measured g2, of the shape that g2 has.
    sigma : array_like
        Standard deviations, of the same shape or one for all.
    params, t1, t2, phi, q, L, contrast, offset, dt, paired, convention
        See the module.

    Raises
    ------
    InputError
        If shapes do not agree.
    """
    theta = _parameters(params, L)
    grid = theory_grid(t1, t2, phi, q, L, dt, paired=paired, convention=convention)
    return _chi2(grid, theta, *_scaling(grid, contrast, offset), *_measured(grid, data, sigma))


def vectorized_g2_computation(
    params_batch: ArrayLike, *experiment: Any, **options: Any
) -> jax.Array:
    """Return g2 of every parameter set of a batch, (B, P, n1, n2) or (B, N).

    Parameters
    ----------
    params_batch : array_like
        (B, 3), (B, 4) or (B, 7).
    *experiment, **options
        As `compute_g2_scaled` takes them after ``params``.
    """
    batch = _batch(params_batch)
    return jax.vmap(lambda params: compute_g2_scaled(params, *experiment, **options))(batch)


def batch_chi_squared(  # noqa: PLR0913, PLR0917
    params_batch: ArrayLike,
    data: ArrayLike,
    sigma: ArrayLike,
    t1: Any,
    t2: Any,
    phi: Any,
    q: float,
    L: float | None,
    contrast: ArrayLike,
    offset: ArrayLike,
    dt: float,
    *,
    paired: bool = False,
    convention: Convention = "upstream",
) -> jax.Array:
    """Return chi² of every parameter set of a batch, (B,), holding one map at a time.

    Parameters
    ----------
    params_batch : array_like
        (B, 3), (B, 4) or (B, 7).
    data, sigma, t1, t2, phi, q, L, contrast, offset, dt, paired, convention
        As in `compute_chi_squared`.
    """
    batch = _batch(params_batch, L)
    grid = theory_grid(t1, t2, phi, q, L, dt, paired=paired, convention=convention)
    return _chi2s(grid, batch, *_scaling(grid, contrast, offset), *_measured(grid, data, sigma))


def _rates(
    grid: ShardGrid, theta: jax.Array
) -> tuple[jax.Array, jax.Array | None, jax.Array | float]:
    """Return D (G,), the shear rate (G,) and its direction; D = 0 without its parameters."""
    still = jnp.zeros_like(grid.time)
    D = still if len(theta) in (0, len(SHEAR)) else kernels.power_law(grid, *theta[:3])
    if len(theta) in (0, len(DIFFUSION)):
        return D, None, 0.0
    *law, phi0 = theta[-len(SHEAR) :]
    return D, kernels.power_law(grid, *law), phi0


@jax.jit
def _g1_diffusion(grid: ShardGrid, theta: jax.Array) -> jax.Array:
    return kernels.g1_diffusion(grid, _rates(grid, theta)[0])


@jax.jit
def _g1_shear(grid: ShardGrid, theta: jax.Array) -> jax.Array:
    return _every_map(grid, jnp.abs(kernels.field_correlation(grid, *_rates(grid, theta))))


@jax.jit
def _g1(grid: ShardGrid, theta: jax.Array) -> jax.Array:
    return _every_map(grid, kernels.g1(grid, *_rates(grid, theta)))


@jax.jit
def _g2(grid: ShardGrid, theta: jax.Array, contrast: jax.Array, offset: jax.Array) -> jax.Array:
    return kernels.g2(grid, _g1(grid, theta), contrast, offset)


@jax.jit
def _chi2(
    grid: ShardGrid,
    theta: jax.Array,
    contrast: jax.Array,
    offset: jax.Array,
    data: jax.Array,
    sigma: jax.Array,
) -> jax.Array:
    return (((data - _g2(grid, theta, contrast, offset)) / sigma) ** 2).sum()


@jax.jit
def _chi2s(grid: ShardGrid, batch: jax.Array, *against: jax.Array) -> jax.Array:
    return jax.lax.map(lambda theta: _chi2(grid, theta, *against), batch)


def _every_map(grid: ShardGrid, g1: jax.Array) -> jax.Array:
    """Return g1 for every azimuth, also where it does not depend on it."""
    return jnp.broadcast_to(g1, _shape(grid))


def _shape(grid: ShardGrid) -> tuple[int, ...]:
    return jnp.broadcast_shapes(grid.lo.shape, grid.hi.shape, grid.phi_index.shape)


def _frames(name: str, times: Any, dt: float) -> np.ndarray:
    """Return the frame index of every time."""
    times = np.atleast_1d(np.asarray(times, float))
    if times.ndim > 2 or not times.size or not np.isfinite(times).all():
        raise InputError(
            f"{name} must be finite times in s, an axis or a meshgrid, but has shape "
            f"{times.shape}; correct it"
        )
    index = np.rint(times / dt)
    off = np.abs(times - index * dt)
    if index.min() < 0 or index.max() >= MAX_FRAMES or off.max() > TIME_TOLERANCE * dt:
        worst = times.flat[int(off.argmax())]
        raise InputError(
            f"{name} must hold multiples of dt = {dt:g} s, of at most {MAX_FRAMES} "
            f"frames from 0, but runs from {times.min():g} to {times.max():g} s and "
            f"{worst:.9g} s is {off.max():.3g} s off; correct the times or dt"
        )
    return index.astype(np.int32)


def _map(lo: np.ndarray, hi: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return indices of maps, which broadcast to (P, n1, n2)."""
    if lo.ndim == hi.ndim == 2 and lo.shape == hi.shape:
        if (lo != lo[:, :1]).any() or (hi != hi[:1]).any():
            raise InputError(
                "t1 and t2 must be meshgrids of two axes, t1 the same along a row and "
                't2 along a column, but are not; make them with indexing="ij", or '
                "pass the axes"
            )
        lo, hi = lo[:, 0], hi[0]
    if lo.ndim != 1 or hi.ndim != 1:
        raise InputError(
            f"t1 and t2 must both be axes or both be meshgrids, but have shapes "
            f"{lo.shape} and {hi.shape}; pass the axes"
        )
    return lo[:, None], hi[None, :], np.arange(count)[:, None, None]


def _points(lo: np.ndarray, hi: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return indices of paired points, (N,) each."""
    if lo.ndim != 1 or lo.shape != hi.shape or count not in (1, len(lo)):
        raise InputError(
            f"paired t1, t2 and phi must be lists of the same length, but have "
            f"shapes {lo.shape}, {hi.shape} and {count} azimuths; pass one of each "
            "per point, or one azimuth for all"
        )
    return lo, hi, np.arange(count) if count > 1 else np.zeros(len(lo), int)


def _parameters(params: ArrayLike, L: float | None = 1.0) -> jax.Array:
    """Return parameters as an array, after checking their number and that a flow has a gap."""
    theta = jnp.asarray(params, dtype=float)
    if theta.ndim != 1 or len(theta) not in LENGTHS:
        raise InputError(
            f"params must be (3,) {', '.join(DIFFUSION)}, (4,) {', '.join(SHEAR)} or "
            f"(7,) both, found shape {theta.shape}; pass one of these"
        )
    if L is None and len(theta) != len(DIFFUSION):
        raise InputError("a flow needs the gap L in Å, found None; pass it")
    return theta


def _batch(params_batch: ArrayLike, L: float | None = 1.0) -> jax.Array:
    batch = jnp.asarray(params_batch, dtype=float)
    if batch.ndim != 2 or not len(batch):
        raise InputError(
            f"params_batch must be one parameter set per row, found shape "
            f"{batch.shape}; pass (B, 3), (B, 4) or (B, 7)"
        )
    _parameters(batch[0], L)
    return batch


def _scaling(grid: ShardGrid, contrast: ArrayLike, offset: ArrayLike) -> tuple[jax.Array, ...]:
    """Return contrast and offset of every azimuth, (P,)."""
    given = {"contrast": jnp.asarray(contrast, float), "offset": jnp.asarray(offset, float)}
    for name, value in given.items():
        if value.shape not in ((), grid.phi.shape):
            raise InputError(
                f"{name} must be one value or one for each of {len(grid.phi)} "
                f"azimuths, found shape {value.shape}; correct it"
            )
    return tuple(jnp.broadcast_to(value, grid.phi.shape) for value in given.values())


def _measured(grid: ShardGrid, data: ArrayLike, sigma: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Return data and standard deviations of the shape of g2."""
    data, sigma = jnp.asarray(data, float), jnp.asarray(sigma, float)
    shape = _shape(grid)
    if data.shape != shape or sigma.shape not in ((), shape):
        raise InputError(
            f"data and sigma must have the shape of g2, {shape}, found {data.shape} "
            f"and {sigma.shape}; pass one value per entry, or one sigma for all"
        )
    return jnp.where(jnp.isinf(sigma), 0.0, data), sigma
