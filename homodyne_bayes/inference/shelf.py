"""Finished work on disk: a folder with a netCDF file a piece, each saying what it was made from.

A piece is written under another name and renamed, so that it is there whole or not at all.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path, check_stored, reading

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Shelf:
    """A folder of finished pieces.

    Attributes
    ----------
    folder : Path
        Made when first needed.
    made_from : mapping of str to object
        All that pieces depend on: data, settings, versions; JSON can hold it. A piece made from
        anything else is refused.
    """

    folder: Path
    made_from: Mapping[str, Any]

    def save(self, name: str, arrays: Arrays) -> None:
        """Put a piece on the shelf, whole or not at all.

        It is written in a thread, which Ctrl-C does not reach: xarray, interrupted while it holds
        its lock, would wait for it for ever.
        """
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self._write, name, arrays).result()

    def _write(self, name: str, arrays: Arrays) -> None:
        import netCDF4  # noqa: PLC0415 - it sets a variable when imported

        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            atomic_path(self._path(name)) as temporary,
            netCDF4.Dataset(temporary, "w", auto_complex=False) as piece,
        ):
            piece.made_from = json.dumps(self.made_from)
            for key, value in arrays.items():
                _store(piece, key, np.asarray(value))

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return a piece, or None if it is not there.

        Raises
        ------
        InputError
            If it cannot be read or was made from something else.
        """
        path = self._path(name)
        if not path.exists():
            return None
        with reading(path, "finished work", "delete it, or leave out --resume"):
            check_stored(path)
            with xr.open_dataset(path, engine="netcdf4") as piece:
                recorded = json.loads(piece.attrs["made_from"])
                arrays = {str(key): np.asarray(value) for key, value in piece.items()}
        check_same(path, recorded, self.made_from)
        return arrays

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.nc"


def check_same(path: Path, then: Any, now: Mapping[str, Any]) -> None:
    """Raise `InputError` naming the first thing that a file was made from and that is now another.

    Parameters
    ----------
    path : Path
        The file.
    then, now : mapping of str to object
        All that it was made from, and that it would be made from now; JSON can hold them.
    """
    was, is_now = _flat(then), _flat(json.loads(json.dumps(now)))
    for key in [*is_now, *was]:
        if is_now.get(key) != was.get(key):
            raise InputError(
                f"{path}: was made with {key} = {was.get(key)}, and now it is "
                f"{is_now.get(key)}: restore it to resume, or leave out --resume to start anew"
            )


def _store(piece: Any, name: str, value: np.ndarray) -> None:
    """Write one array into a netCDF file as xarray reads it; ten times as fast as xarray is."""
    axes = [f"{name}_{axis}" for axis in range(value.ndim)]
    for axis, size in zip(axes, value.shape, strict=True):
        piece.createDimension(axis, size)
    kind: Any = {"b": "i1", "U": str}.get(value.dtype.kind, value.dtype)
    stored = piece.createVariable(name, kind, axes, fill_value=False)
    if value.dtype == bool:
        stored.setncattr("dtype", "bool")
    stored[...] = value.item() if kind is str else value


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings, named with dots."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat
