"""Reading and writing files safely: whole or not at all, and every complaint names the file."""

import json
import lzma
import math
import mmap
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from homodyne_bayes.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

MAX_EXPANSION = 100  # bytes loaded, over those of the file
ALWAYS_ALLOWED = 2**27  # bytes
HEAP, SCANNED = b"GCOL\x01\0\0\0", 2**30  # how a heap of strings starts; bytes looked through
STORED = ".zmetadata"  # which every zarr store of a result has
MAX_SENTENCE = 1000  # characters of a complaint, which may quote the file
READ_ERRORS = (  # what libraries raise over a damaged file
    ArithmeticError,
    AttributeError,
    OSError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the path in front of every complaint (`InputError`) of the block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {one_line(error)}") from error


@contextmanager
def reading(
    path: str | Path, expected: str = "a complete file", remedy: str = "copy or write it again"
) -> Iterator[None]:
    """Turn what libraries raise over a damaged file into a complaint, and name the file in all.

    For blocks that do nothing but read the file: an error of any other kind would be called damage.

    Parameters
    ----------
    path : str or Path
        The file that the block reads.
    expected, remedy : str
        What it should be, and what to do where it cannot be read.

    Raises
    ------
    InputError
        If the block raises one, or one of `READ_ERRORS`.
    """
    with naming(path):
        try:
            yield
        except InputError:
            raise
        except READ_ERRORS as error:
            raise InputError(
                f"expected {expected}, found one that cannot be read ({one_line(error)}); {remedy}"
            ) from error


def one_line(error: Exception) -> str:
    """Return what an error says in one line that can be printed, whatever the file had in it."""
    line = " ".join(str(error).encode(errors="backslashreplace").decode().split())
    half = MAX_SENTENCE // 2
    return line if len(line) <= MAX_SENTENCE else f"{line[:half]} ... {line[-half:]}"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends without error.

    Raises
    ------
    InputError
        If the folder is missing or cannot be written to, ``path`` is itself a folder, or
        netCDF's library fails in the block, which is how it says that the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path}: expected the name of a file to write, found a folder; add a file name"
        )
    with _beside(path) as folder:
        temporary = folder / path.name
        try:
            yield temporary
        except RuntimeError as error:
            if not str(error).startswith("NetCDF"):
                raise
            raise InputError(
                f"{path}: could not be written ({error}): is the disk full?"
            ) from error
        temporary.replace(path)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give the path of a zarr store to be made beside ``path``, which it then replaces, whole.

    An older store is moved aside for the moment, and comes back where the new one cannot come.

    Raises
    ------
    InputError
        If ``path`` is there and no zarr store, its folder is missing or cannot be written to, or
        the system refuses to write, as where the disk is full.
    """
    path = Path(path)
    if path.exists() and not (path / STORED).is_file():
        raise InputError(
            f"{path}: expected the name of a zarr store to write, found something else there; "
            "choose another name"
        )
    with _beside(path) as folder:
        temporary, aside = folder / path.name, folder / "aside"
        try:
            yield temporary
            if path.exists():
                path.rename(aside)
            temporary.rename(path)
        except OSError as error:
            raise InputError(
                f"{path}: could not be written ({error}): is the disk full?"
            ) from error
        finally:
            if aside.exists() and not path.exists():
                aside.rename(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a temporary folder in the folder of ``path``."""
    try:
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(
            f"{path}: expected a folder that can be written to, found "
            f"{error.strerror}; create it or choose another"
        ) from error
    with folder as name:
        yield Path(name)


def most_bytes(size: int) -> int:
    """Return how many bytes may be loaded from a file of ``size`` bytes."""
    return max(ALWAYS_ALLOWED, MAX_EXPANSION * size)


def check_bytes(path: str | Path, size: int, name: str) -> None:
    """Refuse to load far more bytes than the file has, or all files of a folder together."""
    path = Path(path)
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    stored = sum(file.stat().st_size for file in files)
    most = most_bytes(stored)
    if size > most:
        raise InputError(
            f"expected {name} to take at most {most} bytes in a file of {stored}, found "
            f"{size} declared; write it again with what it really holds"
        )


def holds(path: str | Path, sign: bytes) -> bool:
    """Return whether a file has these bytes among its first ones; a folder or nothing has none."""
    path = Path(path)
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return whole.find(sign, 0, SCANNED) >= 0


def check_heaps(path: Path) -> None:
    """Refuse an HDF5 file with a heap of strings in which the HDF5 library would loop for ever."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        heap = whole.find(HEAP, 0, SCANNED)
        while heap >= 0:
            item, end = heap + 16, heap + int.from_bytes(whole[heap + 8 : heap + 16], "little")
            while item + 16 <= min(end, len(whole)):
                size = int.from_bytes(whole[item + 8 : item + 16], "little")
                step = size if whole[item : item + 2] == b"\0\0" else 16 + (size + 7) // 8 * 8
                if not 0 < step < 2**63:
                    raise InputError(
                        "expected a complete file, found one whose stored strings are "
                        "damaged; copy or write it again"
                    )
                item += step
            heap = whole.find(HEAP, heap + 1, SCANNED)


def check_stored(path: Path) -> None:
    """Refuse a netCDF-4 file that points outside itself or that netCDF's library would not survive.

    What h5py refuses to read, netCDF's library may crash on.
    """
    check_heaps(path)
    with h5py.File(path, "r") as file:
        linked = file.id.links.visit(
            lambda name, link: None if link.type == h5py.h5l.TYPE_HARD else name, info=True
        )
        if linked is not None:
            raise InputError(
                f"expected {linked.decode(errors='replace')} inside the file, found a "
                "link; copy the data into one file"
            )
        dict(file.attrs)
        file.visititems(lambda _, item: _check_item(item))


def _check_item(item: h5py.Group | h5py.Dataset) -> None:
    """Refuse a group or dataset that cannot be read, or not within the limits."""
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        check_chunks(item)
        check_bytes(item.file.filename, dataset_bytes(item), item.name)


def check_chunks(item: h5py.Dataset) -> None:
    """Refuse numbers kept in other files, and chunks larger than may be loaded."""
    if item.is_virtual or item.external:
        raise InputError(
            f"expected {item.name} to be stored in the file, found numbers kept in "
            "other files; copy the data into one file"
        )
    chunk = math.prod(item.chunks or (0,)) * item.dtype.itemsize
    check_bytes(item.file.filename, chunk, f"a chunk of {item.name}")


def dataset_bytes(item: h5py.Dataset) -> int:
    """Return the bytes that a dataset takes when it is loaded as float64 or as it is."""
    return math.prod(item.shape) * max(8, item.dtype.itemsize)


def as_attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that netCDF can hold: mappings and lists become JSON."""
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for name, value in values.items()
    }


def text_as_characters(dataset: "xr.Dataset") -> dict[Any, Any]:
    """Return the encoding in netCDF of the variables of a dataset that are text.

    HDF5 can crash when it opens variables that are strings of any length for a second time.
    """
    text = [name for name, item in dataset.variables.items() if item.dtype.kind in "OU"]
    return {name: {"dtype": "S1"} for name in text}
