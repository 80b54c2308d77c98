"""Where is written: found out before the work, and nothing is lost without being asked for."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from homodyne_bayes.errors import InputError
from homodyne_bayes.files import STORED, holds


class Kind(NamedTuple):
    """What a command writes: a word for it, and bytes that every file of the kind has."""

    word: str
    sign: bytes


RESULT = Kind("result", b"homodyne_bayes result")
PAGE = Kind("page", b"<title>homodyne-bayes")
DATA = Kind("simulated data", b"simulated")
STUDY = Kind("study", b"homodyne-bayes")
LOG = Kind("a log", b"homodyne-bayes")
SETTINGS = Kind("settings", b"homodyne")
SERIES = Kind("a table of a series", b"file,name,unit,")
POOLED = Kind("a table of a series", b"name,unit,t,q,num_files,")


def writable(
    path: str | Path, kind: Kind, source: str | None = None, replace: bool = False
) -> Path:
    """Return a path that can be written, found out before the work and not after.

    Parameters
    ----------
    path : str or Path
        A file, or a zarr store.
    kind : Kind
        What is to be written there.
    source : str, optional
        What it is made from, which is never overwritten.
    replace : bool
        Whether a file of the same kind may be replaced.

    Raises
    ------
    InputError
        If there is no such folder, it cannot be written to, or something is there that is not to
        be replaced.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    store = (path / STORED).is_file()
    if (path.is_dir() and not store) or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; name a file in a folder you may write to")
    if not path.exists():
        return path
    if source is not None and path.samefile(source):
        raise InputError(f"{path}: would overwrite what it is made from; choose another --out")
    if not replace:
        raise InputError(
            f"{path}: is there already; choose another name, or replace it by --overwrite"
        )
    if not holds(path / STORED if store else path, kind.sign):
        raise InputError(
            f"{path}: expected {kind.word} of this package, which --overwrite replaces, found "
            "something else; choose another name, or move it away"
        )
    return path


def folder(path: str | Path, names: tuple[str, ...], replace: bool = False) -> Path:
    """Return a folder in which a report can be written, or that can be made.

    Raises
    ------
    InputError
        If one of ``names`` is in it and not to be replaced, which are files of a report only where
        its page is there too.
    """
    path = Path(path)
    if path.is_file():
        raise InputError(f"{path}: expected a folder, found a file; choose another --out")
    there = [name for name in names if (path / name).exists()]
    if there and not replace:
        raise InputError(
            f"{path}: holds {there[0]} already; choose another --out, or replace the report by "
            "--overwrite"
        )
    page = path / "report.html"
    if there and not (page.is_file() and holds(page, PAGE.sign)):
        raise InputError(
            f"{path}: expected a report of this package, which --overwrite replaces, found "
            f"{there[0]} of something else; choose another --out, or move it away"
        )
    return path


def parts_of(path: Path, resume: bool, replace: bool) -> Path:
    """Return the folder of finished chains of a fit to ``path``.

    Raises
    ------
    InputError
        If chains are there, and neither taken up nor given up.
    """
    parts = path.with_name(f"{path.name}.parts")
    if parts.is_file():
        raise InputError(f"{parts}: expected a folder or nothing, found a file; move it away")
    if not (resume or replace) and _chains(parts):
        raise InputError(
            f"{parts}: holds finished chains of a fit that was stopped; go on with --resume, or "
            "give them up by --overwrite"
        )
    return parts


def give_up(parts: Path) -> None:
    """Remove finished chains and what killed processes left of them, and the folder if it is empty.

    Whatever else is in it stays.
    """
    for file in _chains(parts):
        file.unlink()
    if parts.is_dir():
        for unfinished in parts.glob(".*.nc.*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):  # something else is in it
            parts.rmdir()


def _chains(parts: Path) -> list[Path]:
    return [file for file in parts.glob("*.nc") if holds(file, b"made_from")]
