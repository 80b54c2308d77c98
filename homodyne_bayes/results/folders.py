"""A result as a zarr store, a folder with a file for every variable, whole or not at all."""

import math
from pathlib import Path

import xarray as xr

from homodyne_bayes.errors import InputError
from homodyne_bayes.files import STORED, atomic_folder, check_bytes

ENDING = ".zarr"


def write(tree: xr.DataTree, path: Path) -> None:
    """Write a result to zarr, format 2, which all that reads zarr knows."""
    import zarr  # noqa: PLC0415 - slow to load

    plain = tree.map_over_datasets(lambda dataset: dataset.drop_encoding())
    everything = {"array.write_empty_chunks": True}  # so that a chunk that is not there was lost
    with atomic_folder(path) as temporary, zarr.config.set(everything):
        plain.to_zarr(temporary, zarr_format=2)


def open_tree(path: Path) -> xr.DataTree:
    """Open a zarr store; what reads it has to be in `homodyne_bayes.files.reading`.

    Raises
    ------
    InputError
        If something is missing in it, or far more is declared than the store has.
    """
    if not (path / STORED).is_file():
        raise InputError(f"expected a zarr store with a file {STORED}, found none; copy it again")
    _check(path)
    return xr.open_datatree(path, engine="zarr", chunks=None)


def _check(path: Path) -> None:
    """Refuse a store that points outside itself, lacks chunks or declares more than it has."""
    import zarr  # noqa: PLC0415 - slow to load

    linked = [found for found in path.rglob("*") if found.is_symlink()]
    if linked:
        raise InputError(
            f"expected {linked[0].relative_to(path)} inside the store, found a link; copy the data"
        )
    members = zarr.open_group(path, mode="r").members(max_depth=None)
    arrays = {name: array for name, array in members if isinstance(array, zarr.Array)}
    chunks = [math.prod(array.chunks) * array.dtype.itemsize for array in arrays.values()]
    check_bytes(path, sum(array.nbytes for array in arrays.values()), "all variables")
    check_bytes(path, max(chunks, default=0), "a chunk")
    for name, array in arrays.items():
        if array.nchunks_initialized != array.nchunks:
            raise InputError(
                f"expected {array.nchunks} chunks of {name}, found {array.nchunks_initialized}; "
                "copy or write it again"
            )
