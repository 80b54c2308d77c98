r"""g1, g2 and chi² of whole maps or of paired points, by homodyne's names.

What the functions have in common:

params : array_like
    (3,) D0, alpha, D_offset, or (7,) with gamma_dot_t0, beta, gamma_dot_t_offset, phi0 after
    them, or (4,) these alone. Units and bounds are in `homodyne_bayes.compat.bounds`. May be
    traced by JAX; nothing else may but ``contrast``, ``offset``, ``data`` and ``sigma``.
t1, t2, phi, q, L, dt, paired, convention
    As in `homodyne_bayes.compat.geometry.Geometry`: times in s, azimuths in degree, q in 1/Å, L
    in Å. Axes (n1,) and (n2,) and azimuths (P,) give maps (P, n1, n2); with ``paired=True`` all
    three are (N,), and so is the result.
contrast, offset : array_like
    One value, or (P,), one for every azimuth.

Everything raises `InputError` for what it cannot use, such as a time more than a thousandth of
``dt`` off the frames.
"""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from homodyne_bayes.compat import formula
from homodyne_bayes.compat.factors import check_positive
from homodyne_bayes.compat.geometry import Geometry, Measurement


def compute_g1_diffusion(
    params: ArrayLike, t1: Any, t2: Any, q: float, dt: float, *, paired: bool = False
) -> jax.Array:
    """Return the part of g1 that diffusion makes, without a floor; azimuths do not matter.

    Parameters
    ----------
    params : array_like
        (3,) or (7,).
    t1, t2, q, dt, paired
        See the module.

    Returns
    -------
    jax.Array
        (n1, n2), or paired (N,).
    """
    return formula.g1_of_diffusion(params, Geometry(t1, t2, 0.0, q, None, dt, paired))


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
    convention: str = "upstream",
) -> jax.Array:
    """Return the part of g1 that flow makes, without a floor; see the module for the arguments.

    Returns
    -------
    jax.Array
        (P, n1, n2), or paired (N,); 1 where there are no parameters of a flow.
    """
    return formula.g1_of_flow(params, Geometry(t1, t2, phi, q, L, dt, paired, convention))


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
    convention: str = "upstream",
) -> jax.Array:
    """Return g1, floored at 1e-10; see the module for the arguments.

    Returns
    -------
    jax.Array
        (P, n1, n2), or paired (N,).
    """
    return formula.g1(params, Geometry(t1, t2, phi, q, L, dt, paired, convention))


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
    convention: str = "upstream",
) -> jax.Array:
    """Return g2 = offset + contrast g1²; see the module for the arguments.

    Returns
    -------
    jax.Array
        (P, n1, n2), or paired (N,).
    """
    where = Geometry(t1, t2, phi, q, L, dt, paired, convention)
    return formula.g2(params, where, contrast, offset)


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
    convention: str = "upstream",
) -> jax.Array:
    """Return g2 from two factors in place of q and L.

    Parameters
    ----------
    wavevector_q_squared_half_dt : float
        q² dt/2, s/Å²; see `homodyne_bayes.compat.factors.PhysicsFactors`.
    sinc_prefactor : float
        q L dt/(2π), s.
    params, t1, t2, phi, contrast, offset, dt, paired, convention
        See the module.

    Returns
    -------
    jax.Array
        (P, n1, n2), or paired (N,).
    """
    dt = check_positive("dt", dt)
    q = np.sqrt(2 * check_positive("q² dt / 2", wavevector_q_squared_half_dt) / dt)
    L = 2 * np.pi * check_positive("q L dt / (2π)", sinc_prefactor) / (q * dt)
    where = Geometry(t1, t2, phi, q, L, dt, paired, convention)
    return formula.g2(params, where, contrast, offset)


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
    convention: str = "upstream",
) -> jax.Array:
    """Return Σ ((data - g2) / sigma)² over every entry of ``data``, a scalar.

    A map holds every pair of frames twice, and a diagonal that holds none: ``sigma = inf`` leaves
    an entry out, whatever it holds.

    Parameters
    ----------
    data : array_like
        Measured g2, (P, n1, n2) or paired (N,).
    sigma : array_like
        Standard deviations, of the same shape or one for all.
    params, t1, t2, phi, q, L, contrast, offset, dt, paired, convention
        See the module.

    Raises
    ------
    InputError
        If shapes do not agree.
    """
    where = Geometry(t1, t2, phi, q, L, dt, paired, convention)
    return formula.chi_squared(params, Measurement(where, contrast, offset, data, sigma))


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
    batch = formula.parameter_sets(params_batch)
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
    convention: str = "upstream",
) -> jax.Array:
    """Return chi² of every parameter set of a batch, (B,), holding one map at a time.

    Parameters
    ----------
    params_batch : array_like
        (B, 3), (B, 4) or (B, 7).
    data, sigma, t1, t2, phi, q, L, contrast, offset, dt, paired, convention
        As in `compute_chi_squared`.
    """
    where = Geometry(t1, t2, phi, q, L, dt, paired, convention)
    measured = Measurement(where, contrast, offset, data, sigma)
    return formula.chi_squared_of_sets(params_batch, measured)
