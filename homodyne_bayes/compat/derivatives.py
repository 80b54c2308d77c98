"""Derivatives of g2 and chi² by the parameters, automatic and exact.

Arguments are those of `compute_g2_scaled` and `compute_chi_squared`; derivatives by the n
parameters are trailing axes. Few parameters and many entries make forward mode the right one for
g2; chi² is one number, whose gradient is one reverse pass.
"""

from typing import Any

import jax
import jax.numpy as jnp
from numpy.typing import ArrayLike

from homodyne_bayes.compat.functions import compute_chi_squared, compute_g2_scaled
from homodyne_bayes.environment import require_x64


def gradient_g2(params: ArrayLike, *experiment: Any, **options: Any) -> jax.Array:
    """Return dg2/dparams, (P, n1, n2, n) or paired (N, n).

    Parameters
    ----------
    params : array_like
        (n,) parameters.
    *experiment, **options
        As `compute_g2_scaled` takes them after ``params``.
    """
    return jax.jacfwd(compute_g2_scaled)(_floats(params), *experiment, **options)


def hessian_g2(params: ArrayLike, *experiment: Any, **options: Any) -> jax.Array:
    """Return d²g2/dparams², (P, n1, n2, n, n) or paired (N, n, n); arguments of `gradient_g2`."""
    second = jax.jacfwd(jax.jacfwd(compute_g2_scaled))
    return second(_floats(params), *experiment, **options)


def gradient_chi2(params: ArrayLike, *experiment: Any, **options: Any) -> jax.Array:
    """Return dchi²/dparams, (n,).

    Parameters
    ----------
    params : array_like
        (n,) parameters.
    *experiment, **options
        As `compute_chi_squared` takes them after ``params``.
    """
    return jax.grad(compute_chi_squared)(_floats(params), *experiment, **options)


def hessian_chi2(params: ArrayLike, *experiment: Any, **options: Any) -> jax.Array:
    """Return d²chi²/dparams², (n, n); arguments of `gradient_chi2`."""
    second = jax.jacfwd(jax.grad(compute_chi_squared))
    return second(_floats(params), *experiment, **options)


def _floats(params: ArrayLike) -> jax.Array:
    """Return parameters (n,) as float64, as JAX does not differentiate by integers."""
    require_x64()
    return jnp.asarray(params, dtype=float)
