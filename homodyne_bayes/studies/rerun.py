"""A result once more, from what it recorded: its data, its settings, its seed."""

import json
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from homodyne_bayes import environment
from homodyne_bayes.data.two_time import DETECTOR, TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.pipeline import fit
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.results.diagnostics import group


class Rerun(NamedTuple):
    """A result made again.

    Attributes
    ----------
    tree : xarray.DataTree
        The new result.
    same : bool
        Whether the draws of all parameters are those of the old one, bit for bit.
    shift : float
        Largest difference of a posterior mean, in posterior sd.
    changed : list of str
        What differs: versions, the model's file and devices, one sentence each.
    """

    tree: xr.DataTree
    same: bool
    shift: float
    changed: list[str]


def data_of(tree: xr.DataTree) -> TwoTimeData:
    """Return the data of a result, as they were fitted.

    Raises
    ------
    InputError
        If their hash is not the recorded one: maps of groups of pixels are not kept in results.
    """
    maps, fixed = group(tree, "observed_data"), group(tree, "constant_data")
    gap, q = float(fixed["gap"]), fixed["q"].values
    data = TwoTimeData(
        c2=maps["c2"].values,
        phi=maps["phi"].values,
        dt=float(fixed["dt"]),
        q=q if q.ndim else float(q),
        gap=None if np.isnan(gap) else gap,
        age=float(fixed["age"]),
        usable=fixed["usable"].values.astype(bool),
        provenance=json.loads(tree.attrs["provenance"]),
        measured=np.isfinite(maps["c2"].values),
        **{name: fixed[name].values for name in DETECTOR if name in fixed},
    )
    if data.sha256() != tree.attrs["data_sha256"]:
        raise InputError(
            f"expected data with sha256 {tree.attrs['data_sha256'][:12]}…, found "
            f"{data.sha256()[:12]}… in the result: it was changed, or made from maps of groups of "
            "pixels, which results do not keep; fit the data file again with the same settings"
        )
    return data


def settings_of(tree: xr.DataTree, **others: Any) -> FitConfig:
    """Return the settings of a result, with others in the place of some."""
    return make(FitConfig, json.loads(tree.attrs["settings"]) | others)


def rerun(tree: xr.DataTree, progress: Progress = silent, **others: Any) -> Rerun:
    """Fit the data of a result again with its settings, and compare the draws.

    Draws are the same, bit for bit, with the same versions on the same kind of machine with the
    same number of devices.
    """
    again = fit(data_of(tree), settings_of(tree, **others), progress)
    old, new = group(tree, "posterior"), group(again, "posterior")
    draws = ("chain", "draw")
    shift = abs(new.mean(draws) - old.mean(draws)) / old.std(draws)
    return Rerun(
        again,
        all(np.array_equal(old[name].values, new[name].values) for name in old),
        max(float(means.max()) for means in shift.values()),
        _changed(tree, again),
    )


def _changed(old: xr.DataTree, new: xr.DataTree) -> list[str]:
    then, now = json.loads(old.attrs["versions"]), environment.versions()
    changes = [
        f"{name} was {then[name]} and is {now[name]}"
        for name in now
        if then.get(name) not in (None, now[name])
    ]
    if old.attrs.get("model_sha256") != new.attrs.get("model_sha256"):
        changes.append(f"the file of model {old.attrs['model']} was another")
    if old.attrs["devices"] != new.attrs["devices"]:
        changes.append(f"devices were {old.attrs['devices']} and are {new.attrs['devices']}")
    return changes
