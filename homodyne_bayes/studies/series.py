"""A series: many files fitted by one setting, one table of what is found, and how it goes on.

A file that cannot be fitted is a row of the table with its error, and does not stop the others.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from homodyne_bayes import environment
from homodyne_bayes.config import DataConfig
from homodyne_bayes.data import reading
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path, naming, one_line
from homodyne_bayes.files import reading as reading_file
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.fitting.plan import plan
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.inference.infer import Progress, silent
from homodyne_bayes.inference.places import HERE, Workplace
from homodyne_bayes.inference.shelf import check_same
from homodyne_bayes.results import store
from homodyne_bayes.results.figures_of_series import MARKS, maps, trends
from homodyne_bayes.results.labels import in_formula
from homodyne_bayes.results.levels import with_levels
from homodyne_bayes.results.places import POOLED, RESULT, SERIES, STUDY, give_up, parts_of, writable
from homodyne_bayes.results.quantities import derived, described, fitted
from homodyne_bayes.results.view import Result
from homodyne_bayes.studies.together import together

TABLE, TOGETHER, TRENDS, MAPS = "series.csv", "together.csv", "trends.png", "maps.png"
HEAD = ("file", "name", "unit", "phi", "t", "q", "kind", "median", "mean", "sd", "lower", "upper")
TAKEN = (*HEAD, *MARKS, "error")
FAILURES = (InputError, OSError, jax.errors.JaxRuntimeError)  # of one file, not of the others

Watch = Callable[[str], AbstractContextManager[Progress]]


def unwatched(_work: str) -> AbstractContextManager[Progress]:
    """Show no progress."""
    return nullcontext(silent)


class Series(NamedTuple):
    """How to fit many files.

    Attributes
    ----------
    config : FitConfig
        How to fit each.
    selection : DataConfig
        What to read of each.
    against : str, Path or None
        A CSV file: first column names of the files, others numbers, as a temperature.
    percents : tuple of float
        Levels of the intervals; that of the results where there is none.
    resume : bool
        Whether results and finished chains that are there are taken up.
    overwrite : bool
        Whether what is there is replaced.
    """

    config: FitConfig
    selection: DataConfig
    against: str | Path | None = None
    percents: tuple[float, ...] = ()
    resume: bool = False
    overwrite: bool = False


class Found(NamedTuple):
    """What is kept of a result.

    Attributes
    ----------
    rows : list of dict
        Of the table.
    labels : dict of str to str
        What figures call the quantities, by name.
    map : xarray.DataArray
        (t1, t2) measured c2 of the middle azimuth.
    """

    rows: list[dict[str, Any]]
    labels: dict[str, str]
    map: xr.DataArray


def series(
    files: Sequence[str | Path],
    out: str | Path,
    how: Series,
    watch: Watch = unwatched,
    place: Workplace = HERE,
) -> pd.DataFrame:
    """Fit many files, and write their results, tables and figures into a folder.

    Parameters
    ----------
    files : sequence of path
        Data files; the result of ``a.h5`` is ``a_posterior.nc``.
    out : path
        The folder, made where it is not there.
    how : Series
        Settings, and what to do with what is there.
    watch : callable
        Called once a file with words on the work, gives a context with a progress function.
    place : Workplace
        Where the work is done; on the local devices by default.

    Returns
    -------
    pandas.DataFrame
        One row a file and quantity: rates at the reference time, what follows from them, reported
        parameters. Columns are file, name, unit, phi (degree), t (s), q (1/Å), kind ("interval",
        "upper limit", "not decided"), median, mean, sd, lower, upper, other ends where levels or
        uncertainties were stated; the marks, "yes", "no", "cannot tell" or "in part"; what
        ``against`` told; and error, empty where there is none: a file that failed has one row.

    Raises
    ------
    InputError
        If there is no file, two have one name, something is in the way in ``out``, or ``against``
        does not tell of every file; nothing is fitted then.
    """
    told = None if how.against is None else _told(how.against, files)
    paths = _results(files, Path(out), how)
    found: dict[str, Found] = {}
    failed: dict[str, str] = {}
    for number, (file, path) in enumerate(paths.items(), start=1):
        try:
            with watch(f"file {number} of {len(paths)}, {file.name}") as progress:
                tree = _result(file, path, how, progress, place)
            found[file.name] = _found(file.name, tree, how.percents)
        except FAILURES as error:
            failed[file.name] = one_line(error)
    table = _table([file.name for file in paths], found, failed, told)
    _write(table, found, Path(out), [] if told is None else [str(name) for name in told])
    return table


def failures(table: pd.DataFrame) -> dict[str, str]:
    """Return what failed, by the name of the file."""
    bad = table[table["error"] != ""]
    return dict(zip(bad["file"], bad["error"], strict=True))


def _results(files: Sequence[str | Path], out: Path, how: Series) -> dict[Path, Path]:
    """Return where the result of every file goes, once it is known that all can be written."""
    names = Counter(Path(file).stem for file in files)
    if not names:
        raise InputError("a series needs a data file or more, found none")
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        same = ", ".join(str(file) for file in files if Path(file).stem == twice)
        raise InputError(
            f"files of a series must differ by name without the ending, found {same}: rename one, "
            "or fit them into another --out"
        )
    paths = {Path(file): out / f"{Path(file).stem}_posterior.nc" for file in files}
    if out.is_file():
        raise InputError(f"{out}: expected a folder, found a file; choose another --out")
    out.mkdir(exist_ok=True, parents=True)
    replace = how.resume or how.overwrite
    for name, kind in ((TABLE, SERIES), (TOGETHER, POOLED), (TRENDS, STUDY), (MAPS, STUDY)):
        writable(out / name, kind, replace=replace)
    for file, path in paths.items():
        writable(path, RESULT, str(file) if file.exists() else None, replace)
        parts_of(path, how.resume, how.overwrite)
    return paths


def _told(against: str | Path, files: Sequence[str | Path]) -> pd.DataFrame:
    """Return what a CSV file tells of every file, numbers, one row a file by its name."""
    with reading_file(against, "a table of file names and numbers", "write it again as CSV"):
        table = pd.read_csv(against, index_col=0, skipinitialspace=True, dtype={0: str})
    with naming(against):
        table.index = pd.Index([Path(str(name)).name for name in table.index])
        names = [Path(file).name for file in files]
        lacking = [name for name in names if name not in table.index]
        if lacking:
            listed = ", ".join(map(str, table.index[:6]))
            raise InputError(f"expected a row of {lacking[0]}, found rows of {listed}: add it")
        if table.index.has_duplicates or not len(table.columns):
            raise InputError(
                "expected one row a file and a column of numbers beside its name, found "
                f"{len(table)} rows and {len(table.columns)} columns: mend it"
            )
        for name in table.columns:
            if name in TAKEN or not pd.api.types.is_numeric_dtype(table[name]):
                raise InputError(
                    f"expected columns of numbers, none called as one of {', '.join(TAKEN)}, found "
                    f"{name!r}: rename it, or write numbers only"
                )
    return table.loc[names]


def _result(
    file: Path, path: Path, how: Series, progress: Progress, place: Workplace
) -> xr.DataTree:
    """Return the result of a file: the one that is there, or one that is made and written."""
    data = reading.read(file, **asdict(how.selection))
    there = _taken_up(path, data, how)
    if there is not None:
        return there
    parts = parts_of(path, how.resume, how.overwrite)
    if not how.resume:
        give_up(parts)
    tree = pipeline.fit(data, how.config, progress, parts, place)
    tree = with_levels(tree, how.percents) if how.percents else tree
    store.write(tree, path)
    give_up(parts)
    return tree


def _taken_up(path: Path, data: TwoTimeData, how: Series) -> xr.DataTree | None:
    """Return the result that is there, of these data and settings; None if one is to be made.

    Raises
    ------
    InputError
        If one of others is there that is not to be replaced.
    """
    if not (how.resume and path.exists()):
        return None
    now = pipeline.made_of(data, plan(data, how.config))
    try:
        tree = store.read(path)
        told = {name: tree.attrs[name] for name in now if name in tree.attrs}
        then = {
            name: json.loads(value) if isinstance(now[name], dict) else value
            for name, value in told.items()
        }
        check_same(path, then, now)
    except InputError:
        if how.overwrite:
            return None
        raise
    return tree


def _found(file: str, tree: xr.DataTree, percents: tuple[float, ...]) -> Found:
    """Return what is kept of the result of a file."""
    tree = with_levels(tree, percents) if percents else tree
    quantities = [*derived(tree), *fitted(tree)]
    marks = dict(zip(MARKS, (mark.state for mark in Result(tree).marks), strict=True))
    rows = [{"file": file, **described(q), **marks, "error": ""} for q in quantities]
    labels = {quantity.name: in_formula(quantity.latex, quantity.name) for quantity in quantities}
    c2 = store.group(tree, "observed_data")["c2"]
    middle = int(np.argsort(c2["phi"].values)[c2.sizes["phi"] // 2])
    return Found(rows, labels, c2.isel(phi=middle))


def _table(
    names: Sequence[str],
    found: dict[str, Found],
    failed: dict[str, str],
    told: pd.DataFrame | None,
) -> pd.DataFrame:
    """Return the table of a series, files in their order."""
    rows: list[dict[str, Any]] = []
    for name in names:
        rows += [{"file": name, "error": failed[name]}] if name in failed else found[name].rows
    table = pd.DataFrame(rows)
    more = [column for column in table.columns if column not in TAKEN]
    table = table.reindex(columns=[*HEAD, *more, *MARKS, "error"])
    return table if told is None else table.join(told, on="file")


def _write(table: pd.DataFrame, found: dict[str, Found], out: Path, against: list[str]) -> None:
    """Write the tables, and figures where there is something to draw."""
    for made, name in ((table, TABLE), (together(table), TOGETHER)):
        with atomic_path(out / name) as temporary:
            made.to_csv(temporary, index=False)
    if not found:
        return
    labels = {name: label for one in found.values() for name, label in one.labels.items()}
    _draw(trends(table, labels, against), out / TRENDS)
    _draw(maps({name: one.map for name, one in found.items()}), out / MAPS)


def _draw(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata=environment.MADE_BY)


def written(table: pd.DataFrame, out: str | Path) -> list[Path]:
    """Return the tables and figures of a series in its folder."""
    figures = [TRENDS, MAPS] if table["name"].notna().any() else []
    return [Path(out) / name for name in (TABLE, TOGETHER, *figures)]
