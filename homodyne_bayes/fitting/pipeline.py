"""From measured maps to a result: the one composition."""

from pathlib import Path
from typing import Any

import jax
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import versions
from homodyne_bayes.files import as_attributes
from homodyne_bayes.fitting import schema
from homodyne_bayes.fitting.plan import Plan, plan
from homodyne_bayes.fitting.pointwise import map_by_map
from homodyne_bayes.fitting.sample import during, sample
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.fitting.still import compare_with_rest
from homodyne_bayes.fitting.tree import make_tree
from homodyne_bayes.inference.infer import Progress, silent, timed
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.inference.shelf import Shelf
from homodyne_bayes.model_files import model_name, source_hash


def fit(
    data: TwoTimeData,
    config: FitConfig = FitConfig(),  # noqa: B008 - frozen
    progress: Progress = silent,
    folder: str | Path | None = None,
    place: Workplace = HERE,
) -> xr.DataTree:
    """Sample the posterior of a model given measured maps.

    Shards the distinct pairs, finds the mode, samples by the method asked for, and certifies.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    config : FitConfig
        How to fit.
    progress : callable
        Called as ``progress(stage, done, total)``.
    folder : path, optional
        Where finished chains are kept. Those that are there are taken instead of being run, so
        that a fit that was stopped goes on, to the same draws.
    place : Workplace
        Where shards are sampled and all the data evaluated, see
        `homodyne_bayes.inference.cluster`; on the local devices by default.

    Returns
    -------
    xarray.DataTree
        Groups and attributes as `homodyne_bayes.results.store` lists them.

    Raises
    ------
    InputError
        If data and model do not fit together, no finite density is found, or what is in the
        folder was made from other data or settings.
    MissingPrecisionError
        If JAX is set to float32.
    """
    planned = plan(data, config)
    config = planned.config
    made_from = made_of(data, planned)
    several = {"several_devices": jax.local_device_count() > 1}  # one rounds otherwise
    shelf = None if folder is None else Shelf(Path(folder), made_from | several)
    made = sample(data, planned, progress, shelf=shelf, place=place)
    seconds, still = made.inference.seconds, None
    if config.record.still is not None:
        with timed(seconds, "no flow"), during(progress, "no flow"):
            still = compare_with_rest(data, made, config.record.still, progress, place)
    with during(progress, "checking"):
        tree = make_tree(data, config, made, still)
    with timed(seconds, "map by map"):
        tree["log_likelihood"] = xr.DataTree(map_by_map(data, made, progress, place))
    made_by = schema.making(made.inference, config.sampling.nuts.num_warmup)
    for name in schema.MADE_BY:
        tree[name].attrs |= made_by
    tree.attrs |= as_attributes(
        {
            "title": "homodyne_bayes result",
            "model": model_name(config.model),
            "convention": config.convention,
            "noise": config.noise,
            "scaling": config.scaling,
            "seed": config.seed,
            **made_from,
            "num_pairs": data.num_pairs,
            "provenance": dict(data.provenance),
            "devices": [str(device) for device in jax.local_devices()],
            "seconds": seconds,
            **made_by,
            **schema.of_this_run(seconds),
        }
    )
    return tree


def made_of(data: TwoTimeData, planned: Plan) -> dict[str, Any]:
    """Return all that the draws of a fit depend on, as the attributes of its result hold it."""
    config = planned.config
    return {
        "settings": config.recorded(),
        "priors": planned.model.scaling.stated(planned.priors),
        "data_sha256": data.sha256(),
        **source_hash(config.model),
        "versions": versions(),
    }
