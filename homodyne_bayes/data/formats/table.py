"""The table of file formats, those of other packages, and which of them a file is of."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import h5py

from homodyne_bayes.data.formats import (
    aps_8idi,
    aps_u,
    chx,
    esrf,
    netcdf,
    numpy_files,
    nxxpcs,
)
from homodyne_bayes.data.formats.hdf5 import find
from homodyne_bayes.data.formats.record import HDF5, ZIP, Format
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import READ_ERRORS, check_heaps, one_line

GROUP = "homodyne_bayes.formats"  # of entry points: each loads a `Format`
IMPORT_ERRORS = (ImportError, NameError, SyntaxError, *READ_ERRORS)

FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        netcdf.FORMAT,
        aps_u.FORMAT,
        aps_8idi.FORMAT,
        chx.FORMAT,
        nxxpcs.FORMAT,
        esrf.VERSION_2,
        esrf.VERSION_1,
        numpy_files.CACHE,
        numpy_files.NPZ,
        numpy_files.NPY,
    )
}


def formats() -> dict[str, Format]:
    """Return all formats by name, in the order in which a file is tried.

    First those of this package, then those of others, last those that take any file of their kind.

    Raises
    ------
    InputError
        If one of another package cannot be loaded.
    """
    return {row.name: row for row in _in_order()}


def recognise(path: Path) -> Format:
    """Return the format of a file.

    Raises
    ------
    InputError
        If there is no such file, or it is of no known format.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing of that name"
        raise InputError(f"expected a file, found {found}; check the path")
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(HDF5):
        check_heaps(path)
    for row in _in_order():
        if start.startswith(row.magic) and _holds(path, start, row.members):
            return row
    held = _members(path, start)
    found = f"the entries {', '.join(sorted(held))}" if held else f"the first bytes {start!r}"
    raise InputError(
        f"expected one of the formats {', '.join(formats())}, found {found}; convert "
        "the maps to .npy and pass --q, --dt and --phi"
    )


def _in_order() -> Iterator[Format]:
    """Yield formats as `formats` has them; those of other packages are loaded when reached."""
    yield from (row for row in FORMATS.values() if row.members)
    for entry in entry_points(group=GROUP):
        try:
            row = entry.load()
        except IMPORT_ERRORS as error:
            raise InputError(
                f"expected a file format from the plug-in {entry.name} ({entry.value}), could not "
                f"load it ({one_line(error)}); update or uninstall the package that brings it"
            ) from error
        if not isinstance(row, Format):
            raise InputError(
                f"expected a file format (Format) from the plug-in {entry.name} ({entry.value}), "
                f"found {type(row).__name__}; update or uninstall the package that brings it"
            )
        yield row
    yield from (row for row in FORMATS.values() if not row.members)


def _holds(path: Path, start: bytes, members: tuple[str, ...]) -> bool:
    """Return whether a file that starts so holds all these members."""
    if not start.startswith(HDF5):
        return _members(path, start).issuperset(members)
    with h5py.File(path, "r") as file:
        return all(find(file, name) is not None for name in members)


def _members(path: Path, start: bytes) -> set[str]:
    """Return the arrays of an archive, the uppermost entries of an HDF5 file, or nothing."""
    if start.startswith(ZIP):
        return set(numpy_files.npz_headers(path))
    if start.startswith(HDF5):
        with h5py.File(path, "r") as file:
            return set(file)
    return set()
