"""What a paper needs of a result: numbers with units, a LaTeX table, figures, and its methods."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from homodyne_bayes.results import (
    budget,
    diagnostics,
    figures,
    marks,
    page,
    rows,
    sentences,
    tables,
)
from homodyne_bayes.results import latex as tex
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.figures import FIGURES
from homodyne_bayes.results.levels import KIND, in_percent, levels
from homodyne_bayes.results.quantities import Quantity, derived, described, fitted
from homodyne_bayes.text import joined, plain
from homodyne_bayes.thresholds import LIMIT, faults_to_json

COLUMNS = {"single": 3.375, "double": 7.0}  # inches
PRINTED: dict[str, tuple[Callable[[xr.DataTree], Figure], str]] = {
    "rates": (partial(figures.rates, ncols=1), "single"),
    **{
        name: (FIGURES[name].draw, "double")
        for name in ("lag_cuts", "maps", "whitened", "pairs", "prior_posterior")
    },
}
LATEX = ("paper.tex", "table.tex", "scaling.tex", "tables.tex", "methods.tex", "references.bib")
ALIGNED = {"number": "r", "wide": "r", "text": "l"}
PROSE = 0.42  # of a line, for all columns of prose
PRINT_STYLE: Any = {"font.size": 8, "axes.linewidth": 0.6, "lines.linewidth": 1, "pdf.fonttype": 42}


def summary(
    numbers: Numbers, times: Sequence[float] = (), radius: float | None = None
) -> dict[str, Any]:
    """Return a result as one mapping that JSON can hold: verdict, numbers, settings, provenance.

    ``times`` and ``radius`` are those of `homodyne_bayes.results.quantities.derived`.
    """
    tree = numbers.tree
    stored = ("settings", "priors", "provenance", "versions")
    quality = numbers.lines(numbers.reported)[["mcse", "ess", "r_hat"]].to_dict("records")
    three = marks.marks(numbers)
    return {
        **{name: tree.attrs[name] for name in ("model", "convention", "noise", "scaling")},
        "verdict": marks.verdict(three),
        "marks": [mark._asdict() for mark in three],
        "certified": numbers.certified,
        "flow": _flow(numbers),
        "faults": faults_to_json(numbers.faults),
        "interval": levels(tree)[-1],
        "intervals": [*levels(tree)],
        "interval_kind": KIND,
        "parameters": [
            described(quantity) | plain(line)
            for quantity, line in zip(fitted(tree), quality, strict=True)
        ],
        "derived": [described(quantity) for quantity in derived(tree, times, radius)],
        "uncertainty": budget.recorded(numbers),
        "warnings": sentences.warnings(numbers),
        "data_sha256": tree.attrs["data_sha256"],
        **{name: json.loads(tree.attrs[name]) for name in stored},
    }


def names(tree: xr.DataTree, *, latex: bool = False) -> tuple[str, ...]:
    """Return the names of all files that `write` makes."""
    shown = [f"{name}.pdf" for name in PRINTED if FIGURES[name].applies(tree)]
    return ("report.html", "summary.json", "summary.csv", *((*LATEX, *shown) if latex else ()))


def as_csv(content: dict[str, Any]) -> str:
    """Return what `summary` says of parameters and what follows from them, a row each, as CSV."""
    named_rows = [*content["parameters"], *content["derived"]]
    return pd.DataFrame(named_rows).to_csv(index=False)


def _flow(numbers: Numbers) -> dict[str, Any] | None:
    """Return how the model stands against the same fluid at rest; None where there is no such."""
    odds = numbers.flow
    if odds is None:
        return None
    names = ("log_bayes_factor", "error", "k_hat", "decided")
    return plain({name: getattr(odds, name) for name in names}) | {
        "sentence": sentences.flow(numbers)
    }


def latex_value(quantity: Quantity) -> str:
    """Return the median with its interval as LaTeX, or the upper limit, or that there is none."""
    if quantity.kind == "upper limit":
        return rf"\(< \num{{{quantity.limit:.2g}}}\) (\qty{{{100 * LIMIT:.0f}}}{{\percent}})"
    if quantity.kind != "interval":
        return quantity.kind
    low, high = quantity.widest
    return rf"\({tex.asymmetric(low, float(np.median(quantity.draws)), high)}\)"


def latex_combined(quantity: Quantity) -> str:
    """Return the same with what was stated of q and the like, or that it is not told."""
    if quantity.combined is None:
        return "not told"
    return latex_value(quantity._replace(draws=quantity.combined, limit=quantity.combined_limit))


def latex_row(quantity: Quantity) -> dict[str, str]:
    """Return symbol, value and unit of a quantity as LaTeX."""
    said = {"t": (4, r"\second"), "q": (6, r"\per\angstrom"), "radius": (6, r"\angstrom")}
    where = ", ".join(
        r"\qty{{{:.{}g}}}{{{}}}".format(value, *said[name]) if name in said else tex.escaped(value)
        for name, value in quantity.at.items()
    )
    return {
        "symbol": rf"\({tex.symbol(quantity.latex, quantity.name)}\)"
        + (f" ({where})" if where else ""),
        "value": latex_value(quantity),
        "combined": latex_combined(quantity),
        "unit": rf"\unit{{{tex.UNITS[quantity.unit]}}}"
        if quantity.unit in tex.UNITS
        else tex.escaped(quantity.unit),
    }


def scaling_rows(quantities: Sequence[Quantity]) -> list[dict[str, str]]:
    """Return a row for every map, its place and the values of contrast and offset as LaTeX."""
    lines: dict[Any, dict[str, str]] = {}
    for quantity in quantities:
        phi = quantity.at["phi"]
        place = rf"\qty{{{phi:.6g}}}{{\degree}}" if isinstance(phi, float) else tex.escaped(phi)
        lines.setdefault(phi, {"place": place})[quantity.name] = latex_value(quantity)
    return list(lines.values())


def latex_table(table: tables.Shown) -> dict[str, Any]:
    """Return alignment, head, rows and sentences of a table as LaTeX, names in code as code."""
    kinds = [column.kind for column in table.columns]
    share = PROSE / max(kinds.count("prose"), 1)
    prose = rf">{{\raggedright\arraybackslash}}p{{{share:.2f}\linewidth}}"
    return {
        "title": table.title if table.title.endswith("?") else f"{table.title}.",
        "alignment": "".join(ALIGNED.get(kind, prose) for kind in kinds),
        "head": " & ".join(tex.escaped(" ".join(column.head.split())) for column in table.columns),
        "rows": [" & ".join(map(latex_cell, row)) for row in table.cells],
        "sentences": [*table.before, *table.after],
    }


def latex_cell(cell: tables.Cell) -> str:
    """Return one entry of a table as LaTeX."""
    text = rf"\texttt{{{tex.escaped(cell.code)}}}" if cell.code else tex.escaped(cell.text)
    text = rf"\textbf{{{text}}}" if cell.alarm and cell.text else text
    return " ".join([text, tex.escaped(cell.remark)]).rstrip()


def write(
    numbers: Numbers,
    folder: str | Path,
    *,
    latex: bool = False,
    times: Sequence[float] = (),
    radius: float | None = None,
) -> list[Path]:
    """Write report.html, summary.json and .csv, and with ``latex`` what a paper needs.

    The folder is made where it is not there.

    With ``latex``: ``paper.tex``, which compiles, and what it inputs: ``table.tex`` (booktabs,
    siunitx), ``scaling.tex`` (longtable) with contrast and offset of every map, ``tables.tex`` with
    those of `homodyne_bayes.results.tables.TABLES` that are for papers, ``methods.tex``,
    ``references.bib``, and vector figures ``*.pdf`` as wide as a journal's single or double
    column. Each file is written whole or not at all. ``times`` and ``radius`` are those of
    `homodyne_bayes.results.quantities.derived`.

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
    content = summary(numbers, times, radius)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder that can be made, found {error.strerror}; choose another"
        ) from error
    pieces: dict[str, Callable[[Path], object]] = {
        "report.html": _text(page.render(numbers)),
        "summary.json": _text(json.dumps(content, ensure_ascii=False, indent=2)),
        "summary.csv": _text(as_csv(content)),
    }
    if latex:
        shown = [name for name in PRINTED if FIGURES[name].applies(numbers.tree)]
        values = _paper(numbers, times, radius, shown)
        for name in LATEX:
            pieces[name] = _text(tex.filled(name, values))
        for name in shown:
            pieces[f"{name}.pdf"] = _printed(numbers.tree, name)
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
    numbers: Numbers, times: Sequence[float], radius: float | None, shown: list[str]
) -> dict[str, Any]:
    """Return what the templates show."""
    tree, parameters = numbers.tree, fitted(numbers.tree)
    phrases = [row["phrase"] for row in rows.noise(numbers) if row["phrase"]]
    return {
        "parameters": [latex_row(item) for item in parameters if "phi" not in item.at],
        "derived": [latex_row(item) for item in derived(tree, times, radius)],
        "tables": [latex_table(item) for item in tables.shown(numbers, "paper")],
        "scaling": scaling_rows([item for item in parameters if "phi" in item.at]),
        "level": in_percent(levels(tree)[-1]),
        "marks": marks.marks(numbers),
        "flow": sentences.flow(numbers),
        "stated": budget.stated(tree),
        "uncertainty": budget.sentences(numbers),
        "certificate": sentences.certificate(numbers),
        "sampled": sentences.sampled(tree),
        "measured": tex.measured(tree),
        "formulas": tex.formulas(tree),
        "terms": tex.terms(tree),
        "method": sentences.method(numbers),
        "convention": tree.attrs["convention"],
        "model": tree.attrs["model"],
        "noise": tree.attrs["noise"],
        "told": joined(phrases) if phrases else "",
        "settings": json.loads(tree.attrs["settings"]),
        "priors": rows.priors(numbers),
        "versions": json.loads(tree.attrs["versions"]),
        "cited": tex.cited(tree),
        "all_by_nuts": diagnostics.all_by_nuts(tree),
        "figures": {
            name: {
                "caption": tex.in_formulas(FIGURES[name].caption),
                "width": f"{COLUMNS[PRINTED[name][1]]:g}",
            }
            for name in shown
        },
    }
