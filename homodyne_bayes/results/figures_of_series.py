"""Figures of many results: how quantities change from file to file, and a map of each file."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from homodyne_bayes.results.figures_of_maps import BLUE, image, off_diagonal, panels
from homodyne_bayes.results.labels import with_unit
from homodyne_bayes.results.marks import MARKS as ALL
from homodyne_bayes.results.marks import NO
from homodyne_bayes.text import azimuth

FOLLOWING = ("D_Brownian", "tau")  # from D alone, and drawn with it
MARKS = tuple(name.replace(" ", "_") for name in ALL)  # columns of the table
ORDER = "file, in their order"
ROOM, PANEL = 34, (4.2, 2.0)  # characters of a title; inches


def trends(table: pd.DataFrame, labels: Mapping[str, str], against: Sequence[str] = ()) -> Figure:
    """Draw what is not of one angle: median and interval of every file, one row a quantity.

    Open points are of results of which a mark does not hold; triangles are upper limits.

    Parameters
    ----------
    table : pandas.DataFrame
        As `homodyne_bayes.studies.series.series` returns.
    labels : mapping of str to str
        What to call quantities, by name.
    against : sequence of str
        Columns of the table for the horizontal axes, one column of panels each; the order of the
        files where there is none.
    """
    order = {file: place for place, file in enumerate(dict.fromkeys(table["file"]), start=1)}
    table = table.assign(**{ORDER: table["file"].map(order)})
    rows = table[table["name"].notna() & table["phi"].isna() & ~table["name"].isin(FOLLOWING)]
    names, columns = list(dict.fromkeys(rows["name"])), list(against) or [ORDER]
    size = PANEL[0] * len(columns), 0.6 + PANEL[1] * len(names)
    fig = Figure(size, layout="constrained")
    axes = fig.subplots(len(names), len(columns), sharex="col", sharey="row", squeeze=False)
    for line, name in zip(axes, names, strict=True):
        own = rows[rows["name"] == name]
        unit = str(own["unit"].iloc[0])
        line[0].set_ylabel(with_unit(labels[name], "" if unit == "1" else unit))
        for ax, column in zip(line, columns, strict=True):
            _points(ax, own[column].to_numpy(float), own)
    fig.align_ylabels(axes[:, 0])
    for ax, column in zip(axes[-1], columns, strict=True):
        ax.set_xlabel(column.replace("$", r"\$"))
        if column == ORDER:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return fig


def _points(ax: Axes, x: np.ndarray, rows: pd.DataFrame) -> None:
    """Draw medians with intervals, and upper limits, of rows of one quantity at x, (n,)."""
    sound = ~(rows[list(MARKS)] == NO).any(axis=1).to_numpy()
    known = rows["kind"].eq("interval").to_numpy()
    median, lower, upper = (rows[name].to_numpy(float) for name in ("median", "lower", "upper"))
    for which, fill in ((known & sound, BLUE), (known & ~sound, "white")):
        ends = np.abs(np.stack([lower, upper]) - median)[:, which]
        ax.errorbar(
            x[which], median[which], ends, fmt="o", color=BLUE, mfc=fill, ms=5, lw=1, capsize=2
        )
    ax.plot(x[~known], upper[~known], "v", color=BLUE, mfc="white", ms=6)


def maps(of_files: Mapping[str, xr.DataArray]) -> Figure:
    """Draw one measured map, (t1, t2), of every file, all on one scale of colours."""
    measured = {name: off_diagonal(c2) for name, c2 in of_files.items()}
    everything = np.concatenate([c2.values.ravel() for c2 in measured.values()])
    low, high = np.nanpercentile(everything, [1, 99])
    fig, axes = panels(len(measured), 4, 2.7, 2.7)
    for ax, (name, c2) in zip(axes, measured.items(), strict=True):
        short = name if len(name) <= ROOM else f"{name[: ROOM // 2]}…{name[-ROOM // 2 :]}"
        title = f"{short}\nφ = {azimuth(c2['phi'])}".replace("$", r"\$")
        image(ax, c2, (low, high), "viridis", title)
        ax.tick_params(labelbottom=True, labelleft=True)
        ax.set(xlabel=r"$t_1$ (s)", ylabel=r"$t_2$ (s)")
    fig.colorbar(axes[0].images[0], ax=axes, extend="both", aspect=30, label=r"$c_2$")
    return fig
