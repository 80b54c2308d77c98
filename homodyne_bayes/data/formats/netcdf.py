"""netCDF-4 as `TwoTimeData.to_dataset` makes it, which holds all that data hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homodyne_bayes.data.fields import check_groups
from homodyne_bayes.data.formats.limits import Bin, FileContents, map_size, per_map
from homodyne_bayes.data.formats.record import HDF5, Format
from homodyne_bayes.data.two_time import DETECTOR, OPTIONAL, TwoTimeData, dataset_header
from homodyne_bayes.files import check_stored

if TYPE_CHECKING:
    import xarray as xr


def describe(path: Path) -> FileContents:
    """Return what a file holds."""
    with _opened(path) as dataset:
        count, frames = map_size(dataset["c2"].shape, dataset["c2"].dtype)
        header = dataset_header(dataset)
        notes = []
        if "group_c2" in dataset:
            groups = check_groups(dataset["group_c2"].shape, dataset["c2"].shape)
            notes = [f"c2 of {groups} pixel groups of every angle is there too"]
        detector = {
            name: per_map(dataset[name].values, count, name) for name in DETECTOR if name in dataset
        }
    q = np.broadcast_to(header["q"], count).tolist()
    bins: list[Bin] = list(zip(q, header["phi"].tolist(), strict=True))
    return FileContents(
        path,
        bins,
        frames,
        header["dt"],
        header["gap"],
        notes,
        header["provenance"],
        age=header["age"],
        detector=detector,
    )


def load(path: Path, indices: list[int]) -> np.ndarray:
    """Return the maps of these indices, (P, G, G)."""
    with _opened(path) as dataset:
        return dataset["c2"][indices].values


def load_more(path: Path, indices: list[int], _c2: np.ndarray) -> dict[str, Any]:
    """Return maps of pixel groups, (P, H, G, G), and which pairs were measured, (P, G, G).

    Each where the file has it.
    """
    with _opened(path) as dataset:
        return {name: dataset[name][indices].values for name in OPTIONAL if name in dataset}


def write(path: Path, data: TwoTimeData) -> None:
    """Write everything."""
    data.to_dataset().to_netcdf(path, engine="netcdf4")


def _opened(path: Path) -> "xr.Dataset":
    """Open a file that keeps everything inside and declares no more than it may."""
    import xarray as xr  # noqa: PLC0415 - slow to import, and no other format needs it

    check_stored(path)
    return xr.open_dataset(path, engine="netcdf4", decode_times=False)


FORMAT = Format(
    name="netcdf",
    title="netCDF as `write_netcdf` makes it",
    magic=HDF5,
    members=("c2", "phi", "t1", "t2"),
    describe=describe,
    load=load,
    load_more=load_more,
    must_pass="nothing",
    write=write,
    endings=(".nc",),
    can_lack_pairs=True,
)
