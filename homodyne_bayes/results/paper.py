"""What a paper needs of a result: numbers with units, a LaTeX table, figures, and its methods."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from homodyne_bayes.parameters import PARAMETERS, PER_ANGLE
from homodyne_bayes.results import diagnostics, figures, page, text
from homodyne_bayes.results.diagnostics import INTERVAL, TAIL, group
from homodyne_bayes.results.figures import FIGURES
from homodyne_bayes.results.latex import (
    UNITS,
    asymmetric,
    cited,
    escaped,
    filled,
    formulas,
    in_formulas,
    measured,
)

COLUMNS = {"single": 3.375, "double": 7.0}  # inches
PRINTED: dict[str, tuple[Callable[[xr.DataTree], Figure], str]] = {
    "rates": (partial(figures.rates, ncols=1), "single"),
    **{
        name: (FIGURES[name].draw, "double")
        for name in ("lag_cuts", "maps", "whitened", "pairs", "prior_posterior")
    },
}
PRINT_STYLE: Any = {"font.size": 8, "axes.linewidth": 0.6, "lines.linewidth": 1, "pdf.fonttype": 42}


class Quantity(NamedTuple):
    """One number of a paper, as draws.

    Attributes
    ----------
    name, latex, unit : str
        In files, in a formula, and as in `homodyne_bayes.parameters`.
    at : dict of str to float
        Where it holds: ``phi`` (degree), ``t`` (s), ``q`` (1/Å).
    draws : numpy.ndarray
        (S,) draws of its posterior.
    """

    name: str
    latex: str
    unit: str
    at: dict[str, Any]
    draws: np.ndarray


def parameters(tree: xr.DataTree) -> list[Quantity]:
    """Return the reported parameters; contrast and offset of every map."""
    posterior = group(tree, "posterior")
    found = []
    for name in diagnostics.reported(tree):
        draws = posterior[name]
        latex = PARAMETERS[name].latex if name in PARAMETERS else rf"\mathrm{{{escaped(name)}}}"
        own = [dim for dim in draws.dims if dim not in ("chain", "draw")]
        for index in np.ndindex(*(draws.sizes[dim] for dim in own)):
            one = draws.isel(dict(zip(own, index, strict=True)))
            numbered = dict(zip(map(str, own), index, strict=True))
            at = {"phi": one["phi"].item()} if name in PER_ANGLE else numbered
            found.append(Quantity(name, latex, draws.attrs["units"], at, one.values.ravel()))
    return found


def derived(
    tree: xr.DataTree, times: Sequence[float] = (), radius: float | None = None
) -> list[Quantity]:
    """Return what follows from D(t) and the shear rate at some times.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    times : sequence of float
        In s, from the first frame on; the reference time by default. Between frames rates are
        interpolated linearly.
    radius : float, optional
        Of the particles in Å, for the Péclet number.

    Returns
    -------
    list of Quantity
        D, the transport coefficient J; D_Brownian = J/2; tau = 2/(q² J), the time in which g1 of
        a fluid with this J decays to 1/e, for every q; gamma_dot; and Pe = gamma_dot a²/D_Brownian.

    Raises
    ------
    InputError
        If a time lies outside the record or the radius is not positive.
    """
    rates, fixed = group(tree, "rates"), group(tree, "constant_data")
    last = float(rates["time"][-1]) if len(rates) else 0.0
    times = times or (float(fixed["t_ref"]),)
    for t in times:
        if len(rates) and not 0 < t <= last:
            raise InputError(
                f"--at {t:g}: expected times in s above 0 and up to {last:g}, the end of the record"
            )
    if radius is not None and not (math.isfinite(radius) and radius > 0):
        raise InputError(f"--radius {radius:g}: expected a positive length in Å")
    return [one for t in times for one in _derived(rates, np.unique(fixed["q"]), t, radius)]


def _derived(
    rates: xr.Dataset, wavevectors: np.ndarray, t: float, radius: float | None
) -> Iterator[Quantity]:
    """Give the derived quantities at one time."""
    at = {name: draws.interp(time=t).values.ravel() for name, draws in rates.items()}
    J, gamma_dot, where = at.get("D"), at.get("gamma_dot"), {"t": t}
    if J is not None:
        yield Quantity("D", "D", "Å²/s", where, J)
        yield Quantity("D_Brownian", r"D_\mathrm{Brownian}", "Å²/s", where, J / 2)
        for q in wavevectors:
            yield Quantity("tau", r"\tau", "s", {**where, "q": float(q)}, 2 / (q**2 * J))
    if gamma_dot is not None:
        yield Quantity("gamma_dot", r"\dot\gamma", "1/s", where, gamma_dot)
    if J is not None and gamma_dot is not None and radius is not None:
        peclet = gamma_dot * radius**2 / (J / 2)
        yield Quantity("Pe", r"\mathrm{Pe}", "", {**where, "radius": radius}, peclet)


def described(quantity: Quantity) -> dict[str, Any]:
    """Return name, unit, place and median, mean, sd and ends of the 90 % interval of a quantity."""
    low, median, high = np.quantile(quantity.draws, [TAIL, 0.5, 1 - TAIL])
    return text.plain(
        {
            "name": quantity.name,
            "unit": quantity.unit or "1",
            **quantity.at,
            "median": median,
            "mean": quantity.draws.mean(),
            "sd": quantity.draws.std(ddof=1),
            "lower": low,
            "upper": high,
        }
    )


def summary(
    tree: xr.DataTree, times: Sequence[float] = (), radius: float | None = None
) -> dict[str, Any]:
    """Return a result as one mapping that JSON can hold: verdict, numbers, settings, provenance.

    Arguments are those of `derived`.
    """
    found = group(tree, "certificate")
    stored = ("settings", "priors", "provenance", "versions")
    quality = diagnostics.summary(tree)[["ess_bulk", "r_hat"]]
    return {
        "model": tree.attrs["model"],
        "convention": tree.attrs["convention"],
        "noise": tree.attrs["noise"],
        "scaling": tree.attrs["scaling"],
        "certified": bool(found.attrs["certified"]),
        "verdict": diagnostics.certificate(tree),
        "interval": INTERVAL,
        "parameters": [
            described(quantity) | text.plain(line.to_dict())
            for quantity, (_, line) in zip(parameters(tree), quality.iterrows(), strict=True)
        ],
        "derived": [described(quantity) for quantity in derived(tree, times, radius)],
        "warnings": diagnostics.warnings(tree),
        "data_sha256": tree.attrs["data_sha256"],
        **{name: json.loads(tree.attrs[name]) for name in stored},
    }


def latex_value(quantity: Quantity) -> str:
    """Return the median with its interval as LaTeX."""
    low, median, high = np.quantile(quantity.draws, [TAIL, 0.5, 1 - TAIL])
    return rf"\({asymmetric(low, median, high)}\)"


def latex_row(quantity: Quantity) -> dict[str, str]:
    """Return symbol, value and unit of a quantity as LaTeX."""
    said = {"t": (4, r"\second"), "q": (6, r"\per\angstrom"), "radius": (6, r"\angstrom")}
    where = ", ".join(
        r"\qty{{{:.{}g}}}{{{}}}".format(value, *said[name]) if name in said else escaped(value)
        for name, value in quantity.at.items()
    )
    return {
        "symbol": rf"\({quantity.latex}\)" + (f" ({where})" if where else ""),
        "value": latex_value(quantity),
        "unit": rf"\unit{{{UNITS[quantity.unit]}}}"
        if quantity.unit in UNITS
        else escaped(quantity.unit),
    }


def scaling_rows(quantities: Sequence[Quantity]) -> list[dict[str, str]]:
    """Return a row for every map, its place and the values of contrast and offset as LaTeX."""
    found: dict[Any, dict[str, str]] = {}
    for one in quantities:
        phi = one.at["phi"]
        place = rf"\qty{{{phi:.6g}}}{{\degree}}" if isinstance(phi, float) else escaped(phi)
        found.setdefault(phi, {"place": place})[one.name] = latex_value(one)
    return list(found.values())


def write(
    tree: xr.DataTree,
    folder: str | Path,
    *,
    latex: bool = False,
    times: Sequence[float] = (),
    radius: float | None = None,
) -> list[Path]:
    """Write page.html and summary.json, and with ``latex`` what a paper needs, into a folder.

    With ``latex``: ``paper.tex``, which compiles, and what it inputs, ``table.tex`` (booktabs,
    siunitx), ``scaling.tex`` (longtable) with contrast and offset of every map, ``methods.tex``,
    ``references.bib``, and vector figures ``*.pdf`` as wide as a journal's single or double
    column. Each file is written whole or not at all. Other arguments
    are those of `derived`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If the folder cannot be made or written to, or a time or the radius is out of range.
    """
    folder = Path(folder)
    numbers = summary(tree, times, radius)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder that can be made, found {error.strerror}; choose another"
        ) from error
    pieces: dict[str, Callable[[Path], object]] = {
        "report.html": _text(page.render(tree)),
        "summary.json": _text(json.dumps(numbers, ensure_ascii=False, indent=2)),
    }
    if latex:
        shown = [name for name in PRINTED if FIGURES[name].applies(tree)]
        values = _paper(tree, times, radius, shown)
        for name in ("paper.tex", "table.tex", "scaling.tex", "methods.tex", "references.bib"):
            pieces[name] = _text(filled(name, values))
        for name in shown:
            pieces[f"{name}.pdf"] = _printed(tree, name)
    for name, made in pieces.items():
        with atomic_path(folder / name) as temporary:
            made(temporary)
    return [folder / name for name in pieces]


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def _printed(tree: xr.DataTree, name: str) -> Callable[[Path], object]:
    """Return what draws a figure at the width of its column, its letters at the size of print."""
    draw, column = PRINTED[name]
    width = COLUMNS[column]

    def save(path: Path) -> None:
        with mpl.rc_context(PRINT_STYLE):
            figure = draw(tree)
            own_width, height = figure.get_size_inches()
            figure.set_size_inches(width, height * width / own_width)
            figure.savefig(path, format="pdf")

    return save


def _paper(
    tree: xr.DataTree, times: Sequence[float], radius: float | None, shown: list[str]
) -> dict[str, Any]:
    """Return what the templates show."""
    fitted, noise = parameters(tree), "noise" in tree.children
    return {
        "parameters": [latex_row(one) for one in fitted if "phi" not in one.at],
        "derived": [latex_row(one) for one in derived(tree, times, radius)],
        "scaling": scaling_rows([one for one in fitted if "phi" in one.at]),
        "level": f"{100 * INTERVAL:.0f}",
        "verdict": diagnostics.certificate(tree),
        "measured": measured(tree),
        "formulas": formulas(tree),
        "method": diagnostics.method(tree),
        "convention": tree.attrs["convention"],
        "model": tree.attrs["model"],
        "noise": tree.attrs["noise"],
        "told": {row["symbol"]: row["value"] for row in text.noise(tree)} if noise else {},
        "prior_driven": diagnostics.prior_driven(tree),
        "settings": json.loads(tree.attrs["settings"]),
        "priors": text.priors(tree),
        "versions": json.loads(tree.attrs["versions"]),
        "cited": cited(tree),
        "all_by_nuts": diagnostics.all_by_nuts(tree),
        "figures": {
            name: {
                "caption": in_formulas(FIGURES[name].caption),
                "width": f"{COLUMNS[PRINTED[name][1]]:g}",
            }
            for name in shown
        },
    }
