"""``series``: many files by one setting, and how what is found changes from one to the next."""

from typing import Any

import click
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.fit import config_of, on_cluster, resuming, workplace
from homodyne_bayes.cli.options import computes, laws, level, overwrite
from homodyne_bayes.cli.settings import chosen_settings, settings_options
from homodyne_bayes.config import DataConfig
from homodyne_bayes.fitting.settings import make
from homodyne_bayes.results.figures_of_series import FOLLOWING, MARKS
from homodyne_bayes.results.flow import below
from homodyne_bayes.results.marks import SIGNS
from homodyne_bayes.studies import series as study
from homodyne_bayes.text import interval, rounded

NAME, RATES = 22, 2  # what fits in 80 columns: characters of a file's name, rates
SOME_FAILED = 1  # exit code


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--out", metavar="FOLDER", required=True, help="Where results, table and figures go.")
@click.option(
    "--against",
    metavar="FILE.csv",
    help="Draw trends against its columns: first file names, others numbers, as a temperature.",
)
@resuming
@on_cluster
@overwrite
@level
@laws
@settings_options
@computes
def series(
    files: tuple[str, ...],
    out: str,
    against: str | None,
    cluster: str | None,
    settings: str | None,
    **flags: Any,
) -> None:
    """Fit many data FILES by one setting; write results, a table and trends.

    The result of a.h5 is FOLDER/a_posterior.nc; series.csv has all numbers, trends.png draws them
    file by file, maps.png shows a map of each. A file that cannot be fitted is told at the end and
    does not stop the others; the exit code is then 1.
    """
    chosen = chosen_settings(settings, flags)
    how = study.Series(
        config_of(chosen["fit"], flags["laws"]),
        make(DataConfig, chosen["data"]),
        against,
        flags["percents"],
        flags["resume"],
        flags["overwrite"],
    )
    try:
        with workplace(cluster) as place:
            table = study.series(files, out, how, screen.progress_bar, place)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; what was finished is in {out}: the same command with --resume goes on"
        ) from None
    if not screen.quiet():
        print_series(table)
    screen.say(f"wrote {', '.join(str(path) for path in study.written(table, out))}")
    failed = study.failures(table)
    for name, error in failed.items():
        screen.say_error(error if name in error else f"{name}: {error}")
    if failed:
        count = table["file"].nunique()
        screen.fail(
            f"{len(failed)} of {count} files failed: {', '.join(failed)}; mend them, and the same "
            "command with --resume fits what is lacking",
            SOME_FAILED,
        )


def print_series(table: pd.DataFrame) -> None:
    """Print one row a file: marks, and rates at the reference time with their intervals."""
    rates = table[table["t"].notna() & ~table["name"].isin(FOLLOWING)]
    units = dict(zip(rates["name"], rates["unit"], strict=True))
    names = list(units)[:RATES]
    heads = (f"{name} ({units[name]})" for name in names)
    shown = Table("file", "marks", *heads, box=SIMPLE_HEAD, padding=(0, 1))
    for file, rows in table.groupby("file", sort=False):
        name = str(file)
        short = name if len(name) <= NAME else f"{name[: NAME // 2 - 1]}…{name[-NAME // 2 :]}"
        first = rows.iloc[0]
        failed = first["error"] != ""
        marks = "failed" if failed else "".join(SIGNS[first[mark]] for mark in MARKS)
        at = rows[rows["t"].notna()].set_index("name")
        cells = (_cell(at.loc[rate]) if rate in at.index else "–" for rate in names)
        shown.add_row(escape(short), marks, *cells)
    screen.show(shown)
    if names:
        screen.say("Medians and intervals at the reference time; marks: " + ", ".join(MARKS))


def _cell(row: pd.Series) -> str:
    """Return median and interval, or the upper limit, of a quantity."""
    if row["kind"] != "interval":
        return below(row["upper"])
    sd = row["sd"]
    return f"{rounded(row['median'], sd)} ({interval(row['lower'], row['upper'], sd)})"
