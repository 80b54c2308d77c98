"""g1, g2 and chi² of a parameter vector in homodyne's order, by `homodyne_bayes.physics.kernels`.

Parameters are (3,) D0, alpha, D_offset, or (7,) with gamma_dot_t0, beta, gamma_dot_t_offset, phi0
after them, or (4,) these alone; they may be traced by JAX.
"""

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from homodyne_bayes.compat.bounds import NAMES_AT_REST, NAMES_OF_FLOW
from homodyne_bayes.compat.geometry import Geometry, Measurement
from homodyne_bayes.errors import InputError
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.points import ShardGrid

AT_REST, OF_FLOW = len(NAMES_AT_REST), len(NAMES_OF_FLOW)
LENGTHS = (AT_REST, OF_FLOW, AT_REST + OF_FLOW)

Pair = tuple[jax.Array, jax.Array]


def g1_of_diffusion(params: ArrayLike, geometry: Geometry) -> jax.Array:
    """Return exp(-q²/2 ∫D dt), (n1, n2) or paired (N,), without a floor; ``params`` (3,) or (7,).

    Raises
    ------
    InputError
        If there are no parameters of diffusion, or as `Geometry.points`.
    """
    points, theta = geometry.points(), _parameters(params)
    if len(theta) == OF_FLOW:
        raise InputError(
            "params must begin with D0, alpha and D_offset, found 4 values; pass 3 or 7"
        )
    return _field(points, theta[:AT_REST])


def g1_of_flow(params: ArrayLike, geometry: Geometry) -> jax.Array:
    """Return the part of g1 that flow makes, (P, n1, n2) or paired (N,), without a floor.

    ``params`` are (3,), (4,) or (7,); without those of a flow it is 1.

    Raises
    ------
    InputError
        If a flow has no gap, or as `Geometry.points`.
    """
    theta = _parameters(params, geometry)
    points = geometry.points()
    flow = theta if len(theta) == OF_FLOW else theta[AT_REST:]
    return jnp.broadcast_to(jnp.abs(_field(points, flow)), _shape(points))


def g1(params: ArrayLike, geometry: Geometry) -> jax.Array:
    """Return g1, floored at 1e-10, (P, n1, n2) or paired (N,); ``params`` (3,), (4,) or (7,).

    Raises
    ------
    InputError
        If a flow has no gap, or as `Geometry.points`.
    """
    theta = _parameters(params, geometry)
    return _g1(geometry.points(), theta)


def g2(params: ArrayLike, geometry: Geometry, contrast: ArrayLike, offset: ArrayLike) -> jax.Array:
    """Return offset + contrast g1², (P, n1, n2) or paired (N,).

    Parameters
    ----------
    params : array_like
        (3,), (4,) or (7,), see the module.
    geometry : Geometry
        Where.
    contrast, offset : array_like
        One value, or (P,), one for every azimuth.

    Raises
    ------
    InputError
        If a flow has no gap, shapes differ, or as `Geometry.points`.
    """
    theta = _parameters(params, geometry)
    points = geometry.points()
    return _g2(points, theta, _scaling(points, contrast, offset))


def chi_squared(params: ArrayLike, measurement: Measurement) -> jax.Array:
    """Return Σ ((data - g2) / sigma)² over every entry, a scalar; ``params`` (3,), (4,) or (7,).

    Raises
    ------
    InputError
        As `g2`, or if data and sigma have another shape than g2.
    """
    theta = _parameters(params, measurement.geometry)
    return _chi_squared(*_compared(measurement), theta)


def chi_squared_of_sets(params_batch: ArrayLike, measurement: Measurement) -> jax.Array:
    """Return chi² of every parameter set, (B,), holding one map at a time.

    ``params_batch`` is (B, 3), (B, 4) or (B, 7).

    Raises
    ------
    InputError
        As `chi_squared`.
    """
    batch = parameter_sets(params_batch, measurement.geometry)
    return _chi_squared_of_sets(*_compared(measurement), batch)


def parameter_sets(params_batch: ArrayLike, geometry: Geometry | None = None) -> jax.Array:
    """Return parameter sets (B, n) as an array, n of 3, 4 or 7, after checks.

    Raises
    ------
    InputError
        For another shape, or a flow in a geometry without a gap.
    """
    batch = jnp.asarray(params_batch, dtype=float)
    if batch.ndim != 2 or not len(batch):
        raise InputError(
            f"params_batch must be one parameter set per row, found shape "
            f"{batch.shape}; pass (B, 3), (B, 4) or (B, 7)"
        )
    _parameters(batch[0], geometry)
    return batch


def _parameters(params: ArrayLike, geometry: Geometry | None = None) -> jax.Array:
    """Return parameters (n,), after checking their number and that a flow has a gap."""
    theta = jnp.asarray(params, dtype=float)
    if theta.ndim != 1 or len(theta) not in LENGTHS:
        raise InputError(
            f"params must be (3,) {', '.join(NAMES_AT_REST)}, (4,) {', '.join(NAMES_OF_FLOW)} or "
            f"(7,) both, found shape {theta.shape}; pass one of these"
        )
    if geometry is not None and geometry.L is None and len(theta) != AT_REST:
        raise InputError("a flow needs the gap L in Å, found None; pass it")
    return theta


def _compared(measurement: Measurement) -> tuple[ShardGrid, Pair, Pair]:
    """Return points, contrast and offset (P,), data and sigma (P, n1, n2) or (N,)."""
    geometry, contrast, offset, data, sigma = measurement
    points = geometry.points()
    return points, _scaling(points, contrast, offset), _measured(points, data, sigma)


def _scaling(points: ShardGrid, contrast: ArrayLike, offset: ArrayLike) -> Pair:
    """Return contrast and offset of every azimuth, (P,)."""
    given = {"contrast": jnp.asarray(contrast, float), "offset": jnp.asarray(offset, float)}
    for name, value in given.items():
        if value.shape not in ((), points.phi.shape):
            raise InputError(
                f"{name} must be one value or one for each of {len(points.phi)} "
                f"azimuths, found shape {value.shape}; correct it"
            )
    contrast, offset = (jnp.broadcast_to(value, points.phi.shape) for value in given.values())
    return contrast, offset


def _measured(points: ShardGrid, data: ArrayLike, sigma: ArrayLike) -> Pair:
    """Return data and sigma of the shape of g2, (P, n1, n2) or (N,)."""
    data, sigma = jnp.asarray(data, float), jnp.asarray(sigma, float)
    shape = _shape(points)
    if data.shape != shape or sigma.shape not in ((), shape):
        raise InputError(
            f"data and sigma must have the shape of g2, {shape}, found {data.shape} "
            f"and {sigma.shape}; pass one value per entry, or one sigma for all"
        )
    return jnp.where(jnp.isinf(sigma), 0.0, data), sigma


def _shape(points: ShardGrid) -> tuple[int, ...]:
    """Return the shape of g2, (P, n1, n2) or (N,)."""
    return jnp.broadcast_shapes(points.lo.shape, points.hi.shape, points.phi_index.shape)


def _rates(
    points: ShardGrid, theta: jax.Array
) -> tuple[jax.Array, jax.Array | None, jax.Array | float]:
    """Return D (G,) in Å²/s, the shear rate (G,) in 1/s and its direction in degree.

    ``theta`` is (0,), (3,), (4,) or (7,). D is 0 without its parameters; without those of a flow
    there is no shear rate.
    """
    still = jnp.zeros_like(points.time)
    D = (
        still
        if len(theta) in (0, OF_FLOW)
        else kernels.power_law(kernels.clock(points), *theta[:AT_REST])
    )
    if len(theta) in (0, AT_REST):
        return D, None, 0.0
    *law, phi0 = theta[-OF_FLOW:]
    return D, kernels.power_law(kernels.clock(points), *law), phi0


@jax.jit
def _field(points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return the signed field, (P, n1, n2), (n1, n2) at rest or (N,), without a floor."""
    return kernels.field_correlation(points, *_rates(points, theta))


@jax.jit
def _g1(points: ShardGrid, theta: jax.Array) -> jax.Array:
    """Return g1 (P, n1, n2) or (N,), for every azimuth also where it does not depend on it."""
    return jnp.broadcast_to(kernels.g1(points, *_rates(points, theta)), _shape(points))


@jax.jit
def _g2(points: ShardGrid, theta: jax.Array, scaling: Pair) -> jax.Array:
    """Return g2 (P, n1, n2) or (N,); contrast and offset are (P,)."""
    return kernels.g2(points, _g1(points, theta), *scaling)


@jax.jit
def _chi_squared(points: ShardGrid, scaling: Pair, measured: Pair, theta: jax.Array) -> jax.Array:
    """Return chi², a scalar, of data and sigma (P, n1, n2) or (N,)."""
    data, sigma = measured
    return (((data - _g2(points, theta, scaling)) / sigma) ** 2).sum()


@jax.jit
def _chi_squared_of_sets(
    points: ShardGrid, scaling: Pair, measured: Pair, batch: jax.Array
) -> jax.Array:
    """Return chi² (B,) of parameter sets (B, n)."""
    return jax.lax.map(lambda theta: _chi_squared(points, scaling, measured, theta), batch)
