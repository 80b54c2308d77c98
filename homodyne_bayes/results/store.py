"""The result: one DataTree in ArviZ's groups that explains itself, in netCDF or zarr.

======================= ============================================ =====================
group                   what                                         dimensions
======================= ============================================ =====================
posterior               draws of all parameters                      chain, draw (, phi)
unconstrained_posterior the same in the sampler's coordinates        chain, draw (, phi)
log_prior               log prior density of the same, Jacobians in  chain, draw
log_likelihood          log likelihood of every map, compressed      chain, draw, phi
                        where they were
sample_stats            lp and log likelihood of all the data; of    chain, draw
                        NUTS on all the data: diagnostics and the
                        device of every chain
certificate             the verdict; k-hat, ESS of every attempt;    attempt
                        how far compressed maps are from the maps
approximation           draws before they were weighed               chain, draw (, phi)
sub_posteriors          draws of every shard                         shard, chain, draw
sub_sample_stats        NUTS diagnostics and device of every shard   shard, chain, draw
shard_checks            R-hat, ESS, divergences, disagreement        shard, coordinate
prior                   draws of the prior                           chain, draw (, phi)
rates                   draws of D(t), gamma_dot(t) and any other    chain, draw, time
                        value a frame; attributes units, symbol,
                        latex and level, the coordinate that is the
                        logarithm at t_ref, follows, powers of q,
                        gap and dt by which it goes
factors                 draws of true over stated q, gap and dt, and  chain, draw
                        of what azimuths are off by, in degree
combined                draws of the reported parameters with these   chain, draw (, phi)
combined_rates          the same of the rates                         chain, draw, time
systematic              sd that each of these adds to a parameter or  source (, phi, time)
                        rate
true_rates              the same of the truth of simulated data      time
warm_start              draws of the Gaussian at the mode            chain, draw (, phi)
data_alone              sd of the sampler's coordinates without      (phi)
                        priors, contrast and offset free
posterior_predictive    draws of lag cuts, measured again            chain, draw, point
prior_predictive        the same of the prior                        chain, draw, point
observed_data           c2 as fitted, NaN where there is none; lag   phi, t1, t2;
                        cuts as measured                             point
fitted                  posterior mean of c2                         phi, t1, t2
cuts                    c2 against the lag, averaged over starts:    (level,) phi, age,
                        measured, sd of that; quantiles of prior     lag
                        and posterior, and of a replication
noise                   what the likelihood was given; misfit        phi, bin1, bin2, kind
still                   evidence against the same fluid at rest, log chain, draw
                        weights of draws under a flat prior
constant_data           q, dt, gap, age, t_ref, usable; where told   phi, frame
                        num_pixels and photons of the detector
======================= ============================================ =====================

The dimension phi counts maps. Where they are of several wavevectors, q is a coordinate beside phi,
and draws are labelled by both. Groups of shards are there where the data were sharded, ``noise``
where it is taken as correlated, ``still`` where the model has flow, ``true_rates`` where a truth
is known, those from ``factors`` to ``systematic`` where uncertainties were stated. In ``noise``
variables with the attribute ``symbol`` are told in reports, with their ``meaning``, and by
``phrase`` in a methods section.

The attributes of the root hold versions, settings, priors, seed, convention, data hash, provenance
and cost, and what ArviZ's schema asks for: ``created_at``, ``creation_library``,
``inference_library``, ``sampling_time`` in s, ``tuning_steps``; and ``levels``, those of the
intervals that are stated, where other than 90 % were chosen. These explain the rest, so that a
reader needs no other source:

================== ===============================================================================
schema_version     of this layout, an integer
num_missing        pairs of usable frames that were not measured
parameters         rows of `Parameter`, in the order of tables
words              of each choice (noise, scaling, convention, model, method) and of the kinds of
                   misfit, what reports say of them; see `homodyne_bayes.fitting.describe`
limits             the numbers of `homodyne_bayes.thresholds` in force, in lower case
================== ===============================================================================

The attribute ``faults`` of the group certificate lists what speaks against draws, rows of
`homodyne_bayes.thresholds.Fault`. Mappings and lists are JSON.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from homodyne_bayes.environment import SCHEMA_VERSION
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path, check_stored, naming, reading, text_as_characters
from homodyne_bayes.results import folders
from homodyne_bayes.results.levels import levels
from homodyne_bayes.thresholds import Fault, faults_from_json

GROUPS = ("posterior", "certificate", "warm_start", "observed_data")
DESCRIBED = {"parameters": list, "words": dict, "limits": dict}  # attributes in JSON
CHOICES = ("noise", "scaling", "convention", "model", "method", "misfit", "priors")


class Parameter(NamedTuple):
    """What a result says of one of its parameters.

    Attributes
    ----------
    name, symbol, latex, unit, meaning : str
        How it is called in code, on a screen, in a paper; its unit; what it is.
    role : str
        "physical", "coordinate", "scaling" or "noise".
    bounds : (float, float)
        Range usual for it, infinite where there is none; null in what is stored.
    """

    name: str
    symbol: str
    latex: str
    unit: str
    meaning: str
    role: str
    bounds: tuple[float, float]


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write a result to netCDF or, by a name that ends in .zarr, to zarr; whole or not at all."""
    if Path(path).suffix == folders.ENDING:
        folders.write(tree, Path(path))
        return
    encoding: Any = {node.path: text_as_characters(node.to_dataset()) for node in tree.subtree}
    with atomic_path(path) as temporary:
        tree.to_netcdf(temporary, engine="netcdf4", encoding=encoding)


def read(path: str | Path) -> xr.DataTree:
    """Read a result.

    Raises
    ------
    InputError
        If the file is not a result of this package, or one that this version cannot read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: expected a result file (.nc or .zarr), found no such file")
    with reading(path), _opened(path) as stored:
        missing = [group for group in GROUPS if group not in stored.children]
        if missing:
            raise InputError(
                f"expected a result of `homodyne-bayes fit`, found no group {missing[0]!r}; "
                "name another file"
            )
        tree = stored.load()
    with naming(path):
        check(tree)
    return tree


def _opened(path: Path) -> xr.DataTree:
    """Return a result whose groups are not loaded yet."""
    if path.is_dir():
        return folders.open_tree(path)
    check_stored(path)
    return xr.open_datatree(path, engine="netcdf4")


def check(tree: xr.DataTree) -> None:
    """Raise `InputError` if a result does not explain itself in a way that this version reads."""
    version = str(tree.attrs.get("schema_version", ""))
    if not version:
        raise InputError(
            f"expected a result with schema_version {SCHEMA_VERSION}, found one without, of an "
            "older version: fit the data again"
        )
    if version != str(SCHEMA_VERSION):
        newer = version.isdecimal() and int(version) > SCHEMA_VERSION
        remedy = "update homodyne-bayes" if newer else "fit the data again"
        raise InputError(
            f"expected a result with schema_version {SCHEMA_VERSION}, found {version}: {remedy}"
        )
    for name, kind in DESCRIBED.items():
        if not isinstance(described(tree, name), kind):
            raise InputError(
                f"expected the attribute {name} to hold a JSON {kind.__name__}, found another "
                "thing: copy or write the file again"
            )
    parameters(tree)
    faults(tree)
    levels(tree)
    missing = [name for name in CHOICES if not isinstance(described(tree, "words").get(name), dict)]
    if missing:
        raise InputError(
            f"expected the attribute words to speak of {missing[0]}, found nothing of it: copy or "
            "write the file again"
        )


def described(tree: xr.DataTree, name: str) -> Any:
    """Return an attribute of the root that is JSON.

    Raises
    ------
    InputError
        If it is missing or not JSON.
    """
    try:
        return json.loads(tree.attrs[name])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected the attribute {name} in JSON, found none ({error}): copy or write the file "
            "again"
        ) from error


def parameters(tree: xr.DataTree) -> dict[str, Parameter]:
    """Return what a result says of its parameters, in the order of tables.

    Raises
    ------
    InputError
        If a row lacks a column.
    """
    rows, everything = described(tree, "parameters"), (-math.inf, math.inf)
    try:
        made = [Parameter(**{key: row[key] for key in Parameter._fields}) for row in rows]
        return {
            row.name: row._replace(bounds=everything if row.bounds is None else (*row.bounds,))
            for row in made
        }
    except (KeyError, TypeError) as error:
        raise InputError(
            f"expected rows of {', '.join(Parameter._fields)} in the attribute parameters, found "
            "others: copy or write the file again"
        ) from error


def words(tree: xr.DataTree, choice: str) -> dict[str, Any]:
    """Return what the noise, scaling, convention, model or method of a result says of itself."""
    return described(tree, "words")[choice]


def limits(tree: xr.DataTree) -> dict[str, float]:
    """Return the numbers that decided the verdict, by the names in `thresholds` in lower case."""
    return described(tree, "limits")


def faults(tree: xr.DataTree) -> tuple[Fault, ...]:
    """Return what speaks against a result, or spoke against earlier attempts, in order.

    Raises
    ------
    InputError
        If they are not there or damaged.
    """
    try:
        return faults_from_json(json.loads(tree["certificate"].attrs["faults"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected faults in JSON in the group certificate, found others ({error}): copy or "
            "write the file again"
        ) from error


def group(tree: xr.DataTree, name: str) -> xr.Dataset:
    """Return one group of a result."""
    return tree.children[name].to_dataset()
