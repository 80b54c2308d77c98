"""The result: one DataTree in ArviZ's groups, written to and read from netCDF.

======================= ============================================ =====================
group                   what                                         dimensions
======================= ============================================ =====================
posterior               draws of all parameters                      chain, draw (, phi)
unconstrained_posterior the same in the sampler's coordinates        chain, draw (, phi)
log_prior               log prior density of the same, Jacobians in  chain, draw
log_likelihood          log likelihood of all the data               chain, draw
sample_stats            lp; of NUTS on all the data: diagnostics     chain, draw
                        and the device of every chain
certificate             the verdict; k-hat, ESS of every attempt     attempt
approximation           draws before they were weighed               chain, draw (, phi)
sub_posteriors          draws of every shard                         shard, chain, draw
sub_sample_stats        NUTS diagnostics and device of every shard   shard, chain, draw
shard_checks            R-hat, ESS, divergences, disagreement        shard, coordinate
prior                   draws of the prior                           chain, draw (, phi)
rates                   draws of D(t) and gamma_dot(t)               chain, draw, time
warm_start              draws of the Gaussian at the mode            chain, draw (, phi)
observed_data           c2 as fitted, NaN where there is none        phi, t1, t2
fitted                  posterior mean of c2                         phi, t1, t2
cuts                    c2 against the lag, averaged over starts:    (level,) phi, age,
                        measured, sd of that; quantiles of prior     lag
                        and posterior, and of a replication
noise                   what the likelihood was given; misfit        phi, bin1, bin2, kind
constant_data           q, dt, gap, t_ref, usable                    phi, frame
======================= ============================================ =====================

The dimension phi counts maps. Where they are of several wavevectors, q is a coordinate beside phi,
and draws are labelled by both.
Groups of shards are there where the data were sharded, ``noise`` where it is not taken as
independent. The attributes of the root hold versions,
settings, priors, seed, convention, data hash, provenance and cost; mappings are JSON.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import xarray as xr

from homodyne_bayes.config import NoiseModel
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path, check_stored, reading, text_as_characters

GROUPS = ("posterior", "certificate", "warm_start", "observed_data")
Values = Mapping[str, np.ndarray]


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write a result to netCDF, whole or not at all."""
    encoding: Any = {node.path: text_as_characters(node.to_dataset()) for node in tree.subtree}
    with atomic_path(path) as temporary:
        tree.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


def read(path: str | Path) -> xr.DataTree:
    """Read a result.

    Raises
    ------
    InputError
        If the file is not a result of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a result file (.nc), found no such file")
    with reading(path):
        check_stored(path)
        with xr.open_datatree(path, engine="netcdf4") as tree:
            missing = [group for group in GROUPS if group not in tree.children]
            if missing:
                raise InputError(
                    f"expected a result of `homodyne-bayes fit`, found no group {missing[0]!r}; "
                    "name another file"
                )
            if tree.attrs.get("noise") not in get_args(NoiseModel) or "scaling" not in tree.attrs:
                raise InputError(
                    "expected a result that names its noise and scaling, found one of an older "
                    "version: fit the data again"
                )
            return tree.load()
