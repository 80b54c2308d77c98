"""The log likelihood of every map by itself at the draws, with which one is left out at a time."""

from functools import partial

import numpy as np
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.fitting.groups import map_labels
from homodyne_bayes.fitting.sample import Sampled
from homodyne_bayes.fitting.shards import hands
from homodyne_bayes.inference.certify import densities_of_parts
from homodyne_bayes.inference.density import Model
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.likelihood.compression import apart
from homodyne_bayes.physics.points import split

INDEPENDENT = "maps are independent given the parameters"
SAME_SPECKLE = (
    "some maps see the same speckle, see noise/same_speckle: their weights count them as what they "
    "say together, and leaving out one leaves its speckle in the others"
)


def map_by_map(
    data: TwoTimeData, made: Sampled, progress: Progress = silent, place: Workplace = HERE
) -> xr.Dataset:
    """Return the log likelihood of every map at every draw, (chain, draw, phi).

    Maps are independent given the parameters, so that the sum over maps is that of all the data;
    they are compressed where they were sampled so.

    Parameters
    ----------
    data : TwoTimeData
        Measured maps.
    made : Sampled
        What was sampled of them.
    progress : callable
        Called as ``progress(stage, done, total)``.
    place : Workplace
        Where maps are evaluated.
    """
    model: Model = made.model
    maps, form, draws = split(made.whole), made.inference.form, made.inference.draws
    if form is not None:
        model, maps = form.model, apart(form.shards, *hands(data, len(form.shards.lo)))
    told, theta = partial(progress, "map by map"), draws.reshape(-1, draws.shape[-1])
    found = densities_of_parts(model, maps, theta, told, place.each)[1]
    shared = made.estimate is not None and bool((made.estimate.same > 0).any())
    C, S = draws.shape[:2]
    meaning = {"long_name": "log density of a map given the parameters"}
    return xr.Dataset(
        {"c2": (("chain", "draw", "phi"), found.reshape(C, S, -1), meaning)},
        {"chain": np.arange(C), "draw": np.arange(S), **map_labels(data)},
        {
            "maps": "whole" if form is None else "compressed",
            "independent": SAME_SPECKLE if shared else INDEPENDENT,
        },
    )
