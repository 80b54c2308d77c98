"""What a file format is: how it is recognised, described, loaded and written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homodyne_bayes.data.formats.limits import FileContents

if TYPE_CHECKING:
    from homodyne_bayes.data.two_time import TwoTimeData

HDF5, ZIP, NPY = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY"


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes
    ----------
    name : str
        A word for it, as `inspect` and the provenance of data give it.
    title : str
        What it is, in words.
    magic : bytes
        How its files start.
    members : tuple of str
        Paths of an HDF5 file, or arrays of an archive, that all its files hold. A format without is
        taken only where no other matches.
    describe : callable, path -> FileContents
        Say what a file holds without loading its maps.
    load : callable, (path, indices) -> ndarray, (P, G, G)
        Load the maps of these indices, which may be in any order.
    load_more : callable, (path, indices, c2) -> dict, optional
        Load further fields of `TwoTimeData`, whose last two axes are frames: ``group_c2``,
        ``measured``.
    must_pass : str
        What its files do not tell and the user must pass, in words.
    write : callable, (path, data), optional
        Write data to a new file.
    endings : tuple of str
        Endings of file names for which data are written in it.
    lacks_pairs : bool
        Whether written files can lack pairs of frames.
    """

    name: str
    title: str
    magic: bytes
    members: tuple[str, ...]
    describe: Callable[[Path], FileContents]
    load: Callable[[Path, list[int]], np.ndarray]
    load_more: Callable[[Path, list[int], np.ndarray], dict[str, Any]] | None = None
    must_pass: str = "`--gap` for flow"
    write: Callable[[Path, "TwoTimeData"], None] | None = None
    endings: tuple[str, ...] = ()
    lacks_pairs: bool = False
