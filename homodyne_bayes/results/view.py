"""A result as a user sees it: verdict, numbers, figures, report; the DataTree stays as it is."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from homodyne_bayes.errors import refuse_unknown
from homodyne_bayes.results import (
    budget,
    compared,
    for_arviz,
    levels,
    marks,
    page,
    paper,
    quantities,
    rows,
    sentences,
    store,
)
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.figures import FIGURES
from homodyne_bayes.results.marks import Mark
from homodyne_bayes.thresholds import Fault

ENDS = ("lower", "upper")
SHOWN = 6  # parameters of a repr
BUDGET_COLUMNS = (
    *("at", "unit", "median", "dominating"),
    *(f"{part}_{end}" for part in ("statistical", "systematic", "combined") for end in ENDS),
)
AT_COLUMNS = ("t", "q", "median", "mean", "sd", "lower", "upper", "unit", "kind")


KEYS = ("name", *AT_COLUMNS, "radius")


class Plots:
    """Figures of a result, one method for each that applies; each returns a Matplotlib figure."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __getattr__(self, name: str) -> Callable[..., Figure]:
        """Return what draws a figure of this result."""
        if name.startswith("_") or name not in dir(self):
            raise AttributeError(
                f"expected a figure that this result has, as dir(result.plot) lists them, found "
                f"{name!r}"
            )
        return partial(FIGURES[name].draw, self._tree)

    def __dir__(self) -> list[str]:
        """Return the names of the figures that apply."""
        return [name for name, row in FIGURES.items() if row.applies(self._tree)]


class Result:
    """The posterior of a fit, whether it can be trusted, and what is made of it.

    Parameters
    ----------
    tree : xarray.DataTree
        Groups and attributes as `homodyne_bayes.results.store` lists them.

    Attributes
    ----------
    tree : xarray.DataTree
        The same, untouched, for ArviZ and xarray.
    plot : Plots
        Figures, e.g. ``result.plot.rates()``; ``dir(result.plot)`` lists them.

    Raises
    ------
    InputError
        If the tree does not explain itself in a way that this version reads.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        store.check(tree)
        self.tree, self.plot = tree, Plots(tree)
        self._numbers = Numbers(tree)

    @property
    def for_arviz(self) -> xr.DataTree:
        """The tree with ``alpha`` called α and only lag cuts observed, as all of ArviZ takes it."""
        return for_arviz.view(self.tree)

    @property
    def certified(self) -> bool:
        """Whether the draws can be taken for the posterior of all the data: the first mark."""
        return self._numbers.certified

    @property
    def faults(self) -> list[Fault]:
        """What speaks against the draws, or spoke against earlier attempts, in order."""
        return list(self._numbers.faults)

    @property
    def marks(self) -> list[Mark]:
        """The verdict: computed right, model fits, decided by the data."""
        return marks.marks(self._numbers)

    @property
    def verdict(self) -> str:
        """The three marks in one line."""
        return marks.verdict(self.marks)

    def flow(self) -> str:
        """Return the evidence of no flow in words; empty for a model that has none to compare."""
        return sentences.flow(self._numbers)

    def advice(self) -> list[str]:
        """Return what to try where the result is not certified, one sentence each."""
        return sentences.advice(self._numbers)

    def refused(self) -> list[str]:
        """Return the faults in words, one sentence each."""
        return sentences.refused(self._numbers)

    def misfit(self) -> list[str]:
        """Return whether the model fits, one sentence each; none where that cannot be tested."""
        return sentences.misfit(self._numbers)

    def warnings(self) -> list[str]:
        """Return what a reader must know before using the numbers, one sentence each."""
        return sentences.warnings(self._numbers)

    def summary(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return mean, sd, median, intervals, diagnostics and cost of parameters.

        Parameters
        ----------
        names : sequence of str, optional
            Variables of the posterior; by default all but the sampler's coordinates.

        Returns
        -------
        pandas.DataFrame
            One row a scalar, columns as `homodyne_bayes.results.diagnostics.summary` has them.

        Raises
        ------
        InputError
            If the result has no variable of a name.
        """
        numbers = self._numbers
        names = numbers.reported if names is None else names
        refuse_unknown("summary", names, [*numbers.reported, *numbers.coordinates])
        return numbers.lines(names).copy()

    def at(self, times: float | Sequence[float] = (), radius: float | None = None) -> pd.DataFrame:
        """Return D, J/2, the relaxation time and the shear rate at some times.

        Parameters
        ----------
        times : float or sequence of float
            In s, above 0 and within the record; the reference time by default. Between frames
            rates are interpolated linearly.
        radius : float, optional
            Of the particles in Å, for the Péclet number Pe.

        Returns
        -------
        pandas.DataFrame
            One row a quantity and time, the index its name: D, D_Brownian = J/2, tau = 2/(q² J),
            gamma_dot, Pe, and other rates of the model by their names. Columns are t in s, q in
            1/Å (NaN where a quantity does not depend on it), median, mean, sd, lower and upper end
            of the widest equal-tailed interval, unit and kind: "interval", or "upper limit" where
            ``upper`` is the 95 % upper limit and there is nothing else to say; where uncertainties
            of q and the like were stated, combined_lower and combined_upper as well.

        Raises
        ------
        InputError
            If a time lies outside the record or the radius is not positive.
        """
        listed = tuple(float(t) for t in np.atleast_1d(np.asarray(times, float)))
        derived = quantities.derived(self.tree, listed, radius)
        rows = [{"q": math.nan, **quantities.described(quantity)} for quantity in derived]
        more = list(dict.fromkeys(name for row in rows for name in row if name not in KEYS))
        return pd.DataFrame(rows, columns=["name", *AT_COLUMNS, *more]).set_index("name")

    def budget(self) -> pd.DataFrame:
        """Return statistical, systematic and combined intervals, and which source dominates.

        Returns
        -------
        pandas.DataFrame
            One row a quantity, the index its name: rates at t_ref, then reported parameters, those
            of every map by their place, ``at``. Columns are unit, median, the source with the
            largest standard uncertainty, dominating, and ends of the intervals, such as
            combined_lower; NaN where there is no such part. Without rows where no uncertainty of
            q, gap, dt or the azimuth's zero was stated.
        """
        made = budget.lines(self.tree) if budget.stated(self.tree) else []
        columns = ["name", *BUDGET_COLUMNS]
        return pd.DataFrame(map(budget.row, made), columns=columns).set_index("name")

    def with_levels(self, *percents: float) -> "Result":
        """Return the same result with intervals of these levels, ``result.with_levels(68, 95)``.

        The widest is that of ``lower`` and ``upper``, of figures and budgets, and others stand
        beside it. All are equal-tailed.

        Raises
        ------
        InputError
            If one is not a percent from 1 to below 100.
        """
        return Result(levels.with_levels(self.tree, percents))

    def with_comparison(self, record: Mapping[str, Any]) -> "Result":
        """Return the same result with a comparison of models, ``hb.compare(...).record``.

        Pages and folders for a paper show it.

        Raises
        ------
        InputError
            If the comparison is of other data, or without the model of the result.
        """
        return Result(compared.with_comparison(self.tree, record))

    def report(self, path: str | Path) -> None:
        """Write one self-contained HTML page, whole or not at all."""
        page.write(self._numbers, path)

    def paper(
        self,
        folder: str | Path,
        *,
        latex: bool = True,
        times: Sequence[float] = (),
        radius: float | None = None,
    ) -> list[Path]:
        """Write what a paper needs into a folder; see `homodyne_bayes.results.paper.write`."""
        return paper.write(self._numbers, folder, latex=latex, times=times, radius=radius)

    def save(self, path: str | Path) -> None:
        """Write the result to netCDF, or to zarr as ``name.zarr``, whole or not at all."""
        store.write(self.tree, path)

    def _main(self) -> list[str]:
        """Return the parameters that a repr shows, those that the data fix first to last."""
        rows = self._numbers.parameters
        names = [name for name in self._numbers.reported if rows[name].role == "physical"]
        return [n for n in names if self.tree["posterior"][n].ndim == 2][:SHOWN]

    def _head(self) -> str:
        fixed, attrs = group(self.tree, "constant_data"), self.tree.attrs
        return (
            f"{attrs['model']}, noise {attrs['noise']}, {fixed.sizes['phi']} maps of "
            f"{fixed.sizes['frame']} frames"
        )

    def _values(self) -> list[tuple[str, str, str, str, str]]:
        """Return name, symbol, mean, interval and unit of the main parameters and the held."""
        made = [
            *rows.parameters(self._numbers, self._main()),
            *rows.held(self._numbers, ("physical",)),
        ]
        return [
            (row["name"], row["label"], row["mean"], row["interval"], row["unit"]) for row in made
        ]

    def __repr__(self) -> str:
        """Return verdict, model, data and main parameters in a few lines."""
        values = self._values()
        width = max((len(name) for name, *_ in values), default=0)
        lines = [
            f"  {name:{width}}  {f'{mean} ({ends})' if mean != '–' else ends} {unit}".rstrip()
            for name, _, mean, ends, unit in values
        ]
        warned = len(self.warnings())
        more = [f"  {warned} warnings: see .warnings()"] if warned else []
        return "\n".join([f"<Result: {self.verdict}", f"  {self._head()}", *lines, *more]) + ">"

    def _repr_html_(self) -> str:
        """Return verdict, main parameters and warnings as HTML, all text escaped."""
        label = sentences.interval_label(self._numbers)
        heads = "".join(f"<th>{text}</th>" for text in ("", "mean", html.escape(label), "unit"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in cells) + "</tr>"
            for _, *cells in self._values()
        )
        said = "".join(
            f"<li>{html.escape(sentence)}</li>" for sentence in self.advice() + self.warnings()
        )
        judged = "<br>".join(
            f"<b>{html.escape(str(mark))}</b>. {html.escape(mark.sentence)}" for mark in self.marks
        )
        return (
            f"<div><p>{judged}</p><p>{html.escape(self._head())}</p>"
            f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
            f"<ul>{said}</ul></div>"
        )


def load(path: str | Path) -> Result:
    """Read a result.

    Parameters
    ----------
    path : str or Path
        A file, or a folder ``name.zarr``, that `Result.save` or ``homodyne-bayes fit`` has written.

    Raises
    ------
    InputError
        If the file is not a result of this package, or one that this version cannot read.
    """
    return Result(store.read(path))
