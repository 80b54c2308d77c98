"""The result of a fit: one DataTree in ArviZ's groups."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.files import as_attributes
from homodyne_bayes.fitting import describe
from homodyne_bayes.fitting import groups as parts
from homodyne_bayes.fitting.budget import Posterior, budget
from homodyne_bayes.fitting.groups import DRAWS
from homodyne_bayes.fitting.predicted import predicted_groups
from homodyne_bayes.fitting.sample import Sampled
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.fitting.still import Still, log_flat
from homodyne_bayes.inference import density
from homodyne_bayes.inference.mode import WarmStart
from homodyne_bayes.likelihood.information import alone, prior_of
from homodyne_bayes.likelihood.observe import Observed
from homodyne_bayes.likelihood.rescale import parameter_values, without_data
from homodyne_bayes.physics.points import ShardGrid, shard, split
from homodyne_bayes.physics.rates import reference_time

NUM_PRIOR_DRAWS = 2000


def make_tree(
    data: TwoTimeData, config: FitConfig, made: Sampled, still: Still | None = None
) -> xr.DataTree:
    """Return the groups of a result from what was sampled, and how flow stands against rest."""
    model, warm, inference, whole = made.model, made.warm, made.inference, made.whole
    units = {row.name: row.unit for row in config.parameters}
    dataset = partial(parts.draws_dataset, data=data, units=units)
    rates = describe.rate_names(model, whole)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    gauss_key, prior_key, scaling_key = jax.random.split(key, 3)
    gaussian = jax.random.multivariate_normal(
        gauss_key, warm.theta, warm.covariance, (1, NUM_PRIOR_DRAWS)
    )
    from_prior = density.prior_draws(prior_key, model, whole, NUM_PRIOR_DRAWS)[None]

    def parameters(
        theta: Any,
        leading: tuple[str, ...] = DRAWS,
        model: Observed = model,
        grid: ShardGrid = whole,
    ) -> xr.Dataset:
        values = density.constrain(model, grid, jnp.asarray(theta), lambda name: name not in rates)
        return dataset(values, leading=leading)

    def complete(key: jax.Array, theta: Any, grid: ShardGrid) -> dict[str, np.ndarray]:
        return parameter_values(key, model, grid, jnp.asarray(theta), lambda n: n not in rates)

    draws = jnp.asarray(inference.draws)
    posterior = complete(scaling_key, draws, whole)
    prior = complete(scaling_key, from_prior, without_data(whole))
    over_time = density.constrain(model, whole, draws, lambda name: name in rates)
    unravel = jax.vmap(jax.vmap(density.space(model, whole).unravel))
    unconstrained: Mapping[str, Any] = unravel(draws)
    groups = {
        "posterior": dataset(posterior, leading=DRAWS),
        "unconstrained_posterior": dataset(
            {name: np.asarray(value) for name, value in unconstrained.items()}, leading=DRAWS
        ),
        "approximation": parameters(inference.approximation.draws),
        "prior": dataset(prior, leading=DRAWS),
        "rates": parts.rates_dataset(over_time, data.time, model.model),
        "warm_start": parameters(gaussian, model=made.plan.least_squares, grid=made.unweighted),
        "data_alone": dataset(_alone(made), leading=()),
        **predicted_groups(data, made, (draws, posterior), (from_prior, prior)),
        "constant_data": parts.constant_dataset(data, float(reference_time(whole))),
        **parts.inference_groups(inference, density.labels(model, whole)),
        **_combined(jax.random.fold_in(key, 3), config, made, posterior, dataset),
    }
    if still is not None:
        groups["still"] = parts.still_dataset(still._asdict(), log_flat(made, still, posterior))
    if made.estimate is not None:
        groups["noise"] = parts.noise_dataset(made.estimate, data, model.noise.words)
    if (run := inference.approximation.shards) is not None:
        groups["sub_posteriors"] = parameters(run.chains.draws, ("shard", *DRAWS))
    groups["warm_start"].attrs = _of_start(warm)
    if true := describe.true_rates(_truth(data), model.model, whole):
        groups["true_rates"] = parts.rates_dataset(true, data.time, model.model, ())
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = as_attributes(
        describe.describe(data, config, {*posterior, *unconstrained}, made.plan.priors)
        | {"diverging": describe.diverging(posterior, model.model, whole)}
    )
    return tree


def _combined(
    key: jax.Array,
    config: FitConfig,
    made: Sampled,
    posterior: Mapping[str, np.ndarray],
    dataset: Callable[..., xr.Dataset],
) -> dict[str, xr.Dataset]:
    """Return the groups of what uncertainties add to a posterior, none where none are stated."""
    if not config.uncertainty:
        return {}
    roles = {row.name: row.role for row in config.parameters}
    statistical = Posterior(made.model.model, posterior, roles, made.whole)
    return budget(key, config.uncertainty, statistical, dataset)


def _of_start(warm: WarmStart) -> dict[str, Any]:
    """Return how the warm start went."""
    return {
        "outcome": warm.outcome,
        "num_agreeing": warm.num_agreeing,
        "num_starts": len(warm.objectives),
        "gradient_norm": warm.gradient_norm,
    }


def _alone(made: Sampled) -> dict[str, np.ndarray]:
    """Return the sd of every coordinate by the data alone, contrast and offset free."""
    model, mode = made.fitted
    grid = made.unweighted if made.estimate is None else made.whole
    prior = prior_of(model, shard(split(grid), 0), mode.mean)
    sd = alone(jnp.asarray(mode.covariance), prior)
    sites = density.space(model, grid).unravel(sd)
    return {name: np.asarray(value) for name, value in sites.items()}


def _truth(data: TwoTimeData) -> dict[str, float]:
    """Return the true parameters of simulated data, none for measured ones."""
    truth = data.provenance.get("truth")
    known = truth if isinstance(truth, Mapping) else {}
    return {name: value for name, value in known.items() if isinstance(value, int | float)}
