"""Log densities of a NumPyro model as functions of one flat unconstrained vector.

A model is a function of one shard, or of one part of it: a shard is a stack of parts that are
looked at one after the other. Its latent sites, transformed to the real line and ravelled
in alphabetical order, are the vector theta (d,) that optimisers and samplers move.
"""

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import constrain_fn

TRACING = threading.RLock()  # handlers of NumPyro are in one list of the process

Shard = Any
Model = Callable[[Shard], None]


def parts_of(shards: Shard) -> Shard:
    """Return the parts of all shards, (K, J, ...) as (K J, ...)."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), shards)


def as_one_shard(parts: Shard) -> Shard:
    """Return parts (J, ...) as one shard, (1, J, ...)."""
    return jax.tree.map(lambda leaf: leaf[None], parts)


class Space(NamedTuple):
    """Where theta lives: ``unravel`` gives the unconstrained sites, ``size`` is d."""

    unravel: Callable[[jax.Array], dict[str, jax.Array]]
    size: int


def latent_sites(model: Model, shard: Shard, key: jax.Array | None = None) -> dict[str, Any]:
    """Return the trace of the latent sites of ``model``, with a key drawn from the prior.

    Without one each is where its unconstrained value is 0: drawing some distributions is slow.
    """
    seeded = handlers.seed(model, jax.random.key(0) if key is None else key)
    if key is None:
        seeded = handlers.substitute(seeded, substitute_fn=_at_zero)
    with TRACING:
        trace = handlers.trace(seeded).get_trace(shard)
    return {
        name: site
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def _at_zero(site: dict[str, Any]) -> jax.Array | None:
    """Return the value of a latent site whose unconstrained value is 0."""
    if site["type"] != "sample" or site["is_observed"]:
        return None
    constrain = biject_to(site["fn"].support)
    value: jax.Array = constrain(jnp.zeros(constrain.inverse_shape(site["fn"].shape())))
    return value


def space(model: Model, shard: Shard) -> Space:
    """Return the coordinates of ``model``; the same for every shard of the data."""
    leaves, structure = jax.tree.flatten(shard)
    return _space(model, structure, tuple((jnp.shape(x), jnp.result_type(x)) for x in leaves))


@lru_cache(maxsize=64)
def _space(model: Model, structure: Any, leaves: tuple[tuple[Any, Any], ...]) -> Space:
    """Return the coordinates for a shard of this shape; models are slow to trace."""

    def sites(shard: Shard) -> dict[str, jax.Array]:
        values = {name: site["value"] for name, site in latent_sites(model, shard).items()}
        return unconstrained(model, shard, values)

    shapes = [jax.ShapeDtypeStruct(*leaf) for leaf in leaves]
    shaped = jax.eval_shape(sites, jax.tree.unflatten(structure, shapes))
    flat, unravel = ravel_pytree({name: np.zeros(x.shape) for name, x in shaped.items()})
    return Space(unravel, flat.size)


def labels(model: Model, shard: Shard) -> list[str]:
    """Return names of the coordinates of theta, e.g. ``contrast[0]``, (d,)."""
    sites = space(model, shard).unravel(jnp.zeros(space(model, shard).size))
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name in sorted(sites)
        for index in np.ndindex(*jnp.shape(sites[name]))
    ]


def constrained(
    model: Model, shard: Shard, sites: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Return the values of unconstrained sites and the log Jacobian determinant of the map."""
    trace, log_jacobian = _traced(model, shard, sites)
    return {name: trace[name]["value"] for name in sites}, log_jacobian


def _traced(
    model: Model, shard: Shard, sites: Mapping[str, jax.Array]
) -> tuple[dict[str, Any], jax.Array]:
    """Return the trace of the model at unconstrained sites, and the log Jacobian determinant."""
    log_jacobians = [jnp.zeros(())]

    def value(site: dict[str, Any]) -> jax.Array | None:
        if site["type"] != "sample" or site["name"] not in sites:
            return None
        transform, x = biject_to(site["fn"].support), sites[site["name"]]
        y = transform(x)
        log_jacobians.append(transform.log_abs_det_jacobian(x, y).sum())
        return y

    with TRACING:
        trace = handlers.trace(handlers.substitute(model, substitute_fn=value)).get_trace(shard)
    return trace, sum(log_jacobians[1:], log_jacobians[0])


def unconstrained(
    model: Model, shard: Shard, values: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Return the unconstrained sites of ``values``."""
    supports = {name: site["fn"].support for name, site in latent_sites(model, shard).items()}
    return {name: biject_to(supports[name]).inv(value) for name, value in values.items()}


def log_prior_and_likelihood(
    model: Model, shard: Shard, theta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return log p(theta), Jacobians included, and log p(shard | theta)."""
    trace, log_prior = _traced(model, shard, space(model, shard).unravel(theta))
    log_likelihood = jnp.zeros(())
    for site in trace.values():
        if site["type"] == "sample":
            scale = 1.0 if site["scale"] is None else site["scale"]
            term = (scale * site["fn"].log_prob(site["value"])).sum()
            if site["is_observed"]:
                log_likelihood += term
            else:
                log_prior += term
    return log_prior, log_likelihood


def log_prior_and_likelihoods(
    model: Model, parts: Shard, theta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return log p(theta) and log p(part | theta) of every part of a stack, (J,).

    One part is looked at after the other, so that memory does not grow with their number.
    """
    priors, likelihoods = jax.lax.map(lambda p: log_prior_and_likelihood(model, p, theta), parts)
    return priors[0], likelihoods


def log_density(
    model: Model, parts: Shard, theta: jax.Array, prior_power: jax.Array | float = 1.0
) -> jax.Array:
    """Return log p(theta)^prior_power + log p(parts | theta), Jacobians included.

    It can be differentiated by theta and by the power, not by the data.

    Parameters
    ----------
    model : callable
        NumPyro function of one shard, or of one part of it.
    parts : pytree
        Stacked parts, leading axis J on every leaf.
    theta : jax.Array
        (d,) unconstrained coordinates.
    prior_power : float
        1 for the posterior of these parts; 1/K where they are one of K shards, so that the
        log densities of the shards add up to that of all the data.
    """
    return _summed(model, parts, theta, jnp.asarray(prior_power, float))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(model: Model, parts: Shard, theta: jax.Array, prior_power: jax.Array) -> jax.Array:
    """Return the sum over parts of log densities; its gradient sums theirs, a part at a time."""
    density = _of_part(model, parts)
    return _total(lambda part: density(theta, prior_power, part), parts, jnp.zeros(()))


def _of_part(model: Model, parts: Shard) -> Callable[..., jax.Array]:
    J = jax.tree.leaves(parts)[0].shape[0]

    def density(theta: jax.Array, prior_power: jax.Array, part: Shard) -> jax.Array:
        prior, likelihood = log_prior_and_likelihood(model, part, theta)
        return prior_power / J * prior + likelihood

    return density


def _total(function: Callable[[Shard], Any], parts: Shard, zero: Any) -> Any:
    """Return the sum of a function of every part."""

    def add(total: Any, part: Shard) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    return jax.lax.scan(add, zero, parts)[0]


def _summed_with_slopes(
    model: Model, parts: Shard, theta: jax.Array, prior_power: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    slopes = jax.value_and_grad(_of_part(model, parts), argnums=(0, 1))
    zero = (jnp.zeros(()), (jnp.zeros_like(theta), jnp.zeros(())))
    return _total(lambda part: slopes(theta, prior_power, part), parts, zero)


def _pulled_back(
    _model: Model, slopes: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[None, jax.Array, jax.Array]:
    by_theta, by_power = slopes
    return None, cotangent * by_theta, cotangent * by_power


_summed.defvjp(_summed_with_slopes, _pulled_back)


def num_points(model: Model, parts: Shard) -> int:
    """Return the number of observed values in stacked parts.

    Parts that say by ``used`` which of their values are compared are taken at their word.
    """
    if hasattr(parts, "used"):
        return int(parts.used.sum())
    first = jax.tree.map(lambda leaf: leaf[0], parts)
    trace = handlers.trace(handlers.seed(model, jax.random.key(0))).get_trace(first)
    observed = [s for s in trace.values() if s["type"] == "sample" and s["is_observed"]]
    return jax.tree.leaves(parts)[0].shape[0] * sum(jnp.size(s["value"]) for s in observed)


def prior_draws(key: jax.Array, model: Model, shard: Shard, num_draws: int) -> jax.Array:
    """Return draws of theta from the prior, (num_draws, d)."""
    drawn: jax.Array = _prior_draws(model)(jax.random.split(key, num_draws), shard)
    return drawn


@lru_cache(maxsize=16)
def _prior_draws(model: Model) -> Callable[..., Any]:
    """Return a draw for every key, compiled so that what is observed is not computed."""

    def draw(key: jax.Array, shard: Shard) -> jax.Array:
        values = {name: site["value"] for name, site in latent_sites(model, shard, key).items()}
        return ravel_pytree(unconstrained(model, shard, values))[0]

    return jax.jit(jax.vmap(draw, in_axes=(0, None)))


def constrain(
    model: Model,
    shard: Shard,
    theta: jax.Array,
    wanted: Callable[[str], bool] = lambda _: True,
) -> dict[str, np.ndarray]:
    """Return the wanted latent and deterministic sites at draws theta (..., d)."""
    values = _values(model)(shard, theta.reshape(-1, theta.shape[-1]))
    return {
        name: np.asarray(value).reshape((*theta.shape[:-1], *value.shape[1:]))
        for name, value in values.items()
        if wanted(name)
    }


@lru_cache(maxsize=16)
def _values(model: Model) -> Callable[[Shard, jax.Array], Mapping[str, jax.Array]]:
    """Return all sites of a shard at draws theta (N, d), compiled when first called."""

    def values(shard: Shard, theta: jax.Array) -> Mapping[str, jax.Array]:
        sites = space(model, shard).unravel(theta)
        return constrain_fn(model, (shard,), {}, sites, return_deterministic=True)

    return jax.jit(jax.vmap(values, in_axes=(None, 0)))


def observation(model: Model, shard: Shard, theta: jax.Array) -> Any:
    """Return the distribution of the one observation of the shard at theta, without its mask."""
    trace, _ = _traced(model, shard, space(model, shard).unravel(theta))
    (observed,) = [s for s in trace.values() if s["type"] == "sample" and s["is_observed"]]
    return getattr(observed["fn"], "base_dist", observed["fn"])
