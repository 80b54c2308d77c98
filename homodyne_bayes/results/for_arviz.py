"""A result as every function of ArviZ takes it without further arguments.

The tree itself is one that ArviZ reads. Two things in it are in the way of some of its functions:
ArviZ calls the factor of power-scaling ``alpha``, as a dimension beside the draws, which the
exponent of D(t) is called, too; and what is to be compared with predictive draws is taken to be
all that was observed, while the maps are there as well.
"""

import xarray as xr

from homodyne_bayes.results import store

TAKEN = ("alpha", "component_group", "sample")  # dimensions that ArviZ puts beside draws
COMPARED = "cut"  # what predictive draws are of


def view(tree: xr.DataTree) -> xr.DataTree:
    """Return a result whose parameters of names that ArviZ takes are called by their symbols.

    Of what was observed the lag cuts are left, which the predictive groups are draws of.
    """
    symbols = {name: row.symbol for name, row in store.parameters(tree).items() if name in TAKEN}

    def renamed(dataset: xr.Dataset) -> xr.Dataset:
        return dataset.rename({n: symbol for n, symbol in symbols.items() if n in dataset})

    made = tree.map_over_datasets(renamed)
    observed = store.group(tree, "observed_data")
    if COMPARED in observed:
        made["observed_data"] = xr.DataTree(observed[[COMPARED]])
    return made
