"""``summary`` and ``report``: what is made of a result."""

from pathlib import Path

import click
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import for_machines, level, numbers, overwrite, refuse_options
from homodyne_bayes.results import (
    budget,
    compared,
    marks,
    page,
    paper,
    sentences,
    store,
    tables,
    view,
)
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.results.levels import with_levels
from homodyne_bayes.results.places import PAGE, folder, writable

STYLES = {"good": "bold green", "bad": "bold red", "open": "bold"}  # of marks


@click.command()
@click.argument("result")
@level
@for_machines
def summary(result: str, percents: tuple[float, ...], as_json: bool) -> None:
    """Print the posterior of a RESULT file, its diagnostics and its cost."""
    tree = stating(result, percents)
    if as_json:
        screen.print_json(paper.summary(Numbers(tree)))
    else:
        print_summary(tree)


@click.command()
@click.argument("result")
@click.option(
    "--out",
    metavar="PATH",
    help="An HTML file, or a folder with summary.json beside it.  [default: <RESULT>.html]",
)
@click.option(
    "--latex",
    is_flag=True,
    help="Into the folder, a table, methods, references and figures in LaTeX as well.",
)
@click.option(
    "--at",
    default="",
    metavar="T,T",
    help="Times in s at which D and the shear rate are stated.  [default: the reference time]",
)
@click.option("--radius", type=float, help="Of the particles in Å, for the Péclet number.")
@click.option(
    "--comparison",
    metavar="FILE.json",
    help="What `homodyne-bayes compare DATA --json` printed, to be shown beside the result.",
)
@level
@overwrite
def report(
    result: str,
    out: str | None,
    latex: bool,
    at: str,
    radius: float | None,
    comparison: str | None,
    percents: tuple[float, ...],
    overwrite: bool,
) -> None:
    """Write a RESULT file as one self-contained HTML page, or as a folder for a paper."""
    shown = stating(result, percents)
    if comparison is not None:
        shown = compared.with_comparison(shown, compared.read(comparison))
    if out is None or out.endswith(".html"):
        refuse_options(
            ("latex", "at", "radius"),
            "one HTML page has no room for it: name a folder by --out, as --out report/",
        )
        page_of = out or f"{Path(result).with_suffix('')}.html"
        path = writable(page_of, PAGE, result, replace=overwrite)
        view.Result(shown).report(path)
        written = [path]
    else:
        times = numbers("--at", at) if at else ()
        made = view.Result(shown)
        folder(out, paper.names(made.tree, latex=latex), replace=overwrite)
        written = made.paper(out, latex=latex, times=times, radius=radius)
    for path in written:
        screen.say(f"wrote {path}")


def stating(result: str, percents: tuple[float, ...]) -> xr.DataTree:
    """Return a result with intervals of these levels, or of its own where there are none."""
    tree = store.read(result)
    return with_levels(tree, percents) if percents else tree


def print_summary(tree: xr.DataTree) -> None:
    """Print marks, cost, posterior and warnings of a result."""
    numbers = Numbers(tree)
    for mark in marks.marks(numbers):
        screen.show(f"{mark}. ", style=STYLES[mark.kind], highlight=False, end="")
        screen.show(escape(mark.sentence), highlight=False, soft_wrap=True)
    if screen.quiet():
        return
    made = page.certificate(numbers)
    attempts = (f"{a['proposal']} {a['k_hat']} ({a['ess']})" for a in made["attempts"])
    flow = sentences.flow(numbers)
    for line in (
        *([flow] if flow else []),
        f"method {made['method']}; k-hat (ESS): {', '.join(attempts)}",
        f"cost {made['cost']}",
        *(f"refused: {sentence}" for sentence in made["refused"]),
        *(f"to do: {sentence}" for sentence in sentences.advice(numbers)),
        f"{tree.attrs['model']}, {tree.attrs['convention']} convention",
    ):
        screen.say(line)
    for table in tables.shown(numbers, "terminal"):
        screen.show(laid_out(table))
    for sentence in budget.sentences(numbers):
        screen.say(sentence)
    for sentence in sentences.warnings(numbers):
        screen.show(f"warning: {sentence}", style="yellow", highlight=False, soft_wrap=True)


def laid_out(table: tables.Shown) -> Table:
    """Return a table of a result as the terminal shows it, parameters by their names in code."""
    made = Table(title=table.title, box=SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    for column in table.columns:
        made.add_column(column.head, no_wrap=True)
    for row in table.cells:
        made.add_row(*(escape(f"{cell.code or cell.text} {cell.remark}".rstrip()) for cell in row))
    return made
