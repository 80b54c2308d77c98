"""NUTS on one standardised log density: two traceable functions, no model, no devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from numpyro.infer.hmc import hmc

CHAIN_METHODS = ("parallel", "vectorized")

State = Any


class NutsSettings(NamedTuple):
    """How chains run; names as in NumPyro.

    Attributes
    ----------
    num_warmup, num_samples : int
        Transitions of a chain: before adaptation ends, and kept.
    num_chains : int
        Chains of a target.
    target_accept_prob : float
        What the step size is adapted to, in (0, 1).
    max_tree_depth : int
        A transition has at most 2^depth leapfrog steps.
    chain_method : str
        One of `CHAIN_METHODS`: "parallel" spreads chains over devices; "vectorized" runs those of
        a target in lockstep on one device, which pays on a GPU.
    dense_metric : bool
        Whether covariances are adapted, too, and not the variance of every coordinate alone: for
        targets that are not as their scale has it.
    """

    num_warmup: int
    num_samples: int
    num_chains: int
    target_accept_prob: float
    max_tree_depth: int
    chain_method: str
    dense_metric: bool = False


class Gaussian(NamedTuple):
    """Mean (d,) and covariance (d, d)."""

    mean: jax.Array | np.ndarray
    covariance: jax.Array | np.ndarray


class NutsInfo(NamedTuple):
    """Diagnostics of every transition, named as ArviZ names them."""

    n_steps: jax.Array
    acceptance_rate: jax.Array
    diverging: jax.Array
    energy: jax.Array
    step_size: jax.Array


class Transitions(NamedTuple):
    """Draws z (..., d), the gradient of the log density there, and diagnostics."""

    z: jax.Array
    score: jax.Array
    info: NutsInfo


class Nuts(NamedTuple):
    """One chain: ``start(key, target) -> state`` and ``advance(state, target, num) -> ...``."""

    start: Callable[[jax.Array, Any], State]
    advance: Callable[[State, Any, int], tuple[State, Transitions]]


def nuts(
    log_density: Callable[[Any, jax.Array], jax.Array],
    dimension: Callable[[Any], int],
    settings: NutsSettings,
) -> Nuts:
    """Return a NUTS chain that adapts its step size and metric.

    Chains start at draws from the standard normal, which is what the target looks like in
    standardised coordinates if its centre and scale were well chosen.

    Parameters
    ----------
    log_density : callable
        ``log_density(target, z)`` of standardised coordinates z (d,).
    dimension : callable
        ``dimension(target)`` is d.
    settings : NutsSettings
        Adaptation ends after ``num_warmup`` transitions.
    """
    init_kernel, sample_kernel = hmc(
        potential_fn_gen=lambda target: lambda z: -log_density(target, z), algo="NUTS"
    )

    def start(key: jax.Array, target: Any) -> State:
        position_key, chain_key = jax.random.split(key)
        return init_kernel(
            jax.random.normal(position_key, (dimension(target),)),
            settings.num_warmup,
            target_accept_prob=settings.target_accept_prob,
            max_tree_depth=settings.max_tree_depth,
            dense_mass=settings.dense_metric,
            model_args=(target,),
            rng_key=chain_key,
        )

    def advance(state: State, target: Any, num: int) -> tuple[State, Transitions]:
        def step(state: State, _: None) -> tuple[State, Transitions]:
            state = sample_kernel(state, model_args=(target,))
            info = NutsInfo(
                n_steps=state.num_steps,
                acceptance_rate=state.accept_prob,
                diverging=state.diverging,
                energy=state.energy,
                step_size=state.adapt_state.step_size,
            )
            return state, Transitions(state.z, -state.z_grad, info)

        return jax.lax.scan(step, state, None, length=num)

    return Nuts(start, advance)


def proper(gaussian: Gaussian) -> bool:
    """Return whether there is such a Gaussian: finite, and with a width in every direction."""
    if not (np.isfinite(gaussian.mean).all() and np.isfinite(gaussian.covariance).all()):
        return False
    try:
        np.linalg.cholesky(gaussian.covariance)
    except np.linalg.LinAlgError:
        return False
    return True


def standardise(centre: Any, scale: Any, z: Any) -> Any:
    """Return theta = centre + scale @ z for draws z (..., d); ``scale`` (d, d) is triangular.

    Arrays of JAX give such an array, those of NumPy one of theirs, for which nothing is compiled.
    """
    library = np if isinstance(z, np.ndarray) else jnp
    return centre + library.einsum("ij,...j->...i", scale, z)


def whiten(gaussian: Gaussian, theta: np.ndarray) -> np.ndarray:
    """Return z (..., d) with theta = mean + L z, L the Cholesky factor of the covariance."""
    scale = np.linalg.cholesky(gaussian.covariance)
    deviation = (theta - np.asarray(gaussian.mean)).reshape(-1, theta.shape[-1])
    z = scipy.linalg.solve_triangular(scale, deviation.T, lower=True).T
    return np.asarray(z.reshape(theta.shape))
