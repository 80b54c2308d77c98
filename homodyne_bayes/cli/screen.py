"""What a terminal shows: tables, progress, warnings, and how a command fails."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.results import page, sentences, tables
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.studies import comparison, coverage
from homodyne_bayes.studies.comparison import Comparison
from homodyne_bayes.text import plain

LOG_EVERY = 10.0  # s between two lines of a stage in a log
MIN_WIDTH = 144  # of tables: where the terminal is narrower, it wraps and nothing is lost


def print_summary(tree: xr.DataTree) -> None:
    """Print verdict, cost, posterior and warnings of a result."""
    screen, numbers = console(), Numbers(tree)
    verdict = page.certificate(numbers)
    style = "bold green" if verdict["kind"] == "certified" else "bold red"
    screen.print(sentences.certificate(numbers), style=style, highlight=False, soft_wrap=True)
    attempts = (f"{a['proposal']} {a['k_hat']} ({a['ess']})" for a in verdict["attempts"])
    for line in (
        f"method {verdict['method']}; k-hat (ESS): {', '.join(attempts)}",
        f"cost {verdict['cost']}",
        *(f"refused: {sentence}" for sentence in verdict["refused"]),
        *(f"to do: {sentence}" for sentence in verdict["advice"]),
        f"{tree.attrs['model']}, {tree.attrs['convention']} convention",
    ):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    for table in tables.shown(numbers, "terminal"):
        screen.print(laid_out(table))
    for sentence in sentences.warnings(numbers):
        screen.print(f"warning: {sentence}", style="yellow", highlight=False, soft_wrap=True)


def laid_out(table: tables.Shown) -> Table:
    """Return a table of a result as the terminal shows it, parameters by their names in code."""
    made = Table(title=table.title, box=SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    for column in table.columns:
        made.add_column(column.head, no_wrap=True)
    for row in table.cells:
        made.add_row(*(escape(f"{cell.code or cell.text} {cell.remark}".rstrip()) for cell in row))
    return made


def print_comparison(found: Comparison) -> None:
    """Print models, highest evidence first, and what their comparison says."""
    screen = console()
    heads = ("model", "log evidence", "k-hat", "log Bayes factor", "log p(angle | others)")
    table = Table(*heads, "minus the first's", box=SIMPLE_HEAD)
    for name, row in found.models.iterrows():
        table.add_row(
            str(name),
            f"{row['log_evidence']:.2f} ± {row['log_evidence_error']:.2f}",
            f"{row['k_hat']:.2f}",
            f"{row['log_bayes_factor']:.2f} ± {row['log_bayes_factor_error']:.2f}",
            f"{row['loao']:.1f}",
            f"{row['loao_difference']:.1f} ± {row['loao_difference_error']:.1f}",
        )
    screen.print(table)
    for sentence in comparison.sentences(found):
        screen.print(sentence, highlight=False, soft_wrap=True)


def print_calibration(ranks: xr.Dataset, found: pd.DataFrame) -> None:
    """Print a test of uniformity for every parameter, and what was left out."""
    table = Table("parameter", "chi2", "p, adjusted", box=SIMPLE_HEAD)
    for name, row in found.iterrows():
        cells = (f"{row['chi2']:.1f}", f"{row['p_adjusted']:.2g}")
        table.add_row(str(name).replace("[", "\\["), *cells)
    left_out = f"{ranks.attrs['num_left_out']} of {ranks.sizes['simulation']} simulations"
    console().print(table, f"left out, not certified: {left_out}", highlight=False)


def print_coverage(dataset: xr.Dataset) -> None:
    """Print how often the intervals of every parameter hold the truth, and what that says."""
    found = coverage.table(dataset)
    heads = [
        f"{kind}:\n{what}"
        for kind in coverage.KINDS
        for what in ("90 % hold", "50 % hold", "width of 90 %")
    ]
    table = Table("parameter", *heads, box=SIMPLE_HEAD)
    for name, row in found.iterrows():
        cells = []
        for kind in coverage.KINDS:
            one = row[kind]
            cells += [
                f"{100 * one[f'coverage_{level}']:.1f} ± {100 * one[f'error_{level}']:.1f} %"
                for level in ("90", "50")
            ]
            cells.append("" if pd.isna(one["width"]) else f"{one['width']:.3g}")
        table.add_row(str(name), *cells)
    left = f"{dataset.attrs['num_uncertified']} of {dataset.sizes['simulation']} experiments"
    console().print(table, f"not certified, and counted like all others: {left}", highlight=False)
    console().print(coverage.verdict(found), highlight=False, soft_wrap=True)


def print_json(found: Any) -> None:
    """Print mappings, lists, text and numbers as JSON, which has no NaN: null."""
    print(json.dumps(plain(found), ensure_ascii=False, indent=2))  # noqa: T201


def described(data: TwoTimeData) -> str:
    """Return the size of the data in words."""
    dead = int(data.excluded.sum())
    several = len(np.unique(data.q))
    bins = f"{several} q, {data.num_angles} bins" if several > 1 else f"{data.num_angles} angles"
    text = f"{bins} × {data.num_frames} frames, {data.num_pairs} distinct pairs"
    text += f", {data.num_missing} not measured" if data.num_missing else ""
    return f"{text}, {dead} unusable frames left out" if dead else text


@contextmanager
def progress_bar(work: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function ``(stage, done, total)`` that shows progress, one bar a stage.

    Where no terminal is there to redraw them, as in a log, it prints a line now and then.
    """
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _logged(screen, work)
        return
    columns = (TextColumn("{task.description:10}"), BarColumn(20), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"))
    bar = Progress(*columns, *times, console=screen)
    tasks: dict[str, Any] = {}

    def update(stage: str, done: int, total: int) -> None:
        if not tasks:
            bar.console.print(work, highlight=False, soft_wrap=True)
            bar.start()
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total)

    try:
        yield update
    finally:
        if tasks:
            bar.stop()


def _logged(screen: Console, work: str) -> Callable[[str, int, int], None]:
    """Return a function that prints progress as lines, the first and last of a stage among them."""
    began: dict[str, float] = {}
    printed: dict[str, float] = {}

    def update(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not began:
            screen.print(work, highlight=False, soft_wrap=True)
        spent = now - began.setdefault(stage, now)
        if done < total and now - printed.get(stage, -LOG_EVERY) < LOG_EVERY:
            return
        printed[stage] = now
        left = f", {spent * (total - done) / done:.0f} s left" if 0 < done < total else ""
        line = f"{stage} {done}/{total}, {spent:.0f} s elapsed{left}"
        screen.print(line, highlight=False, soft_wrap=True)

    return update


def console(*, stderr: bool = False) -> Console:
    """Return the screen, or where progress goes; tables get room and wrap where it is narrow."""
    screen = Console(stderr=stderr)
    screen.width = max(screen.width, MIN_WIDTH) if not stderr else screen.width
    return screen


def with_unit(value: float | None, unit: str) -> str:
    """Return a value of a file with its unit, or that there is none."""
    return "not in the file" if value is None else f"{value:g} {unit}"


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a Python warning as one line."""
    print(f"warning: {message}", file=sys.stderr)  # noqa: T201


def fail(sentence: str, code: int) -> NoReturn:
    """Print an error and leave."""
    say_error(sentence)
    sys.exit(code)


def say_error(sentence: str) -> None:
    """Print an error at once."""
    print(f"error: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
