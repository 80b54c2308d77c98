"""Writing two-time correlation maps, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from homodyne_bayes.data.formats.record import Format
from homodyne_bayes.data.formats.table import FORMATS, formats
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path

WRITERS = {ending: row.name for row in FORMATS.values() for ending in row.endings}


def write(path: str | Path, data: TwoTimeData, name: str | None = None) -> None:
    """Write data in a format, which `reading.read` reads.

    Parameters
    ----------
    path : str or Path
        The file, replaced if it is there.
    data : TwoTimeData
        What to write.
    name : str, optional
        Name of the format; by default that of the ending of the path: a row of `WRITERS`.

    Raises
    ------
    InputError
        If no data are written in this format or for this ending, the path cannot be written to, or
        the format has no place for pairs that were not measured and the data lack some.
    """
    path = Path(path)
    row, write_file = _writer(path, name)
    if data.num_missing and not row.lacks_pairs:
        raise InputError(
            f"{path}: expected maps with every pair of usable frames, found "
            f"{data.num_missing} pairs that were not measured; write netCDF (.nc)"
        )
    with atomic_path(path) as temporary:
        write_file(temporary, data)


def write_netcdf(path: str | Path, data: TwoTimeData) -> None:
    """Write :meth:`TwoTimeData.to_dataset` as netCDF-4, which `read` returns unchanged."""
    write(path, data, "netcdf")


def write_nxxpcs(path: str | Path, data: TwoTimeData) -> None:
    """Write the NeXus application definition NXxpcs, which has no place for gap and groups."""
    write(path, data, "nxxpcs")


def write_aps_u(path: str | Path, data: TwoTimeData) -> None:
    """Write the HDF5 format of APS-U beamline 8-ID (boost_corr since February 2025).

    Maps are stored as float32 upper triangles, unusable frames as zeros. The format has no place
    for the gap and the provenance, which go to attributes of the group ``homodyne_bayes``, nor
    for the maps of pixel groups, which are left out.
    """
    write(path, data, "aps-u")


def _writer(path: Path, name: str | None) -> tuple[Format, Callable[[Path, TwoTimeData], None]]:
    """Return the format of a name, or of the ending of a path, and what writes it."""
    if name is None and path.suffix not in WRITERS:
        raise InputError(f"{path}: the ending must be one of {', '.join(WRITERS)}")
    name = WRITERS[path.suffix] if name is None else name
    rows = FORMATS if name in FORMATS else formats()
    choices = {row.name: row for row in rows.values() if row.write}
    row = choices.get(name)
    if row is None or row.write is None:
        raise InputError(
            f"{path}: expected a format that can be written, {', '.join(choices)}, found {name!r}; "
            "choose one of these"
        )
    return row, row.write
