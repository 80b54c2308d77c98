"""``calibrate``: whether posteriors are right, by simulating and fitting many experiments."""

from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.table import Table

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import computes, numbers, overwrite, refuse_options
from homodyne_bayes.cli.settings import chosen_settings, settings_options
from homodyne_bayes.config import DataConfig, descriptions
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.results import store
from homodyne_bayes.results.places import PAGE, STUDY, writable
from homodyne_bayes.studies import calibration, coverage
from homodyne_bayes.studies.rerun import settings_of

GEOMETRY = ("phi", "frames", "q", "dt", "gap")


@click.command()
@click.option(
    "--coverage",
    "result",
    metavar="RESULT.nc",
    help="Count coverage in experiments like the one of this result, instead of ranks.",
)
@click.option(
    "--simulations",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Number of simulated experiments.",
)
@click.option("--phi", default="-60,0,60", show_default=True, help="Azimuths in degree.")
@click.option("--frames", default=20, show_default=True, help="Number of frames.")
@click.option("--q", default=0.0054, show_default=True, help="Wavevector in 1/Å.")
@click.option("--dt", default=0.5, show_default=True, help="Time between frames in s.")
@click.option("--gap", default=2e6, show_default=True, help="Gap in Å.")
@click.option(
    "--out",
    metavar="FILE.nc",
    help="What was found; its figure goes beside it as PNG, "
    "and a page on coverage as HTML.  [default: calibration.nc or coverage.nc]",
)
@overwrite
@partial(settings_options, without=tuple(descriptions(DataConfig)))
@computes
def calibrate(
    result: str | None,
    simulations: int,
    out: str | None,
    overwrite: bool,
    settings: str | None,
    **flags: Any,
) -> None:
    """Test by simulation whether posteriors are right: ranks of truths, or coverage.

    Without --coverage: simulation-based calibration (Talts et al., arXiv:1804.06788). Truths are
    drawn from the prior, their maps have independent noise and are fitted as such, and the truth
    must rank uniformly among draws of its posterior. A small p speaks against the sampler with
    these settings.

    With --coverage RESULT.nc: the speckle of experiments like that of the result is simulated
    pixel by pixel, and each is fitted with the settings of the result, flags before them and
    method laplace, which is fast, unless --method is given. Intervals must hold the truth as often
    as they say.
    """
    chosen = chosen_settings(settings, flags)["fit"]
    if result is None:
        why = "calibration without --coverage is of independent noise"
        refuse_options(("noise", "bin_frames"), why)
        design = {name: flags[name] for name in GEOMETRY}
        _rank(
            make(FitConfig, chosen),
            design,
            simulations,
            _free(out or "calibration.nc", None, overwrite),
        )
        return
    refuse_options(GEOMETRY, "with --coverage experiments are those of the result")
    path, tree = _free(out or "coverage.nc", result, overwrite), store.read(result)
    config = settings_of(tree, **{"method": coverage.METHOD, **chosen})
    _cover(coverage.like(tree, config.record), config, simulations, path)


def _free(out: str, source: str | None, replace: bool) -> Path:
    """Return where to write a study whose figure and page go beside it, all free or replaced."""
    path = Path(out)
    writable(path.with_suffix(".png"), STUDY, source, replace)
    if source is not None:
        writable(path.with_suffix(".html"), PAGE, source, replace)
    return writable(path, STUDY, source, replace)


def _rank(config: FitConfig, given: dict[str, Any], simulations: int, path: Path) -> None:
    """Rank truths, write the ranks and print what they say."""
    phi, frames = numbers("--phi", given.pop("phi")), given.pop("frames")
    design = calibration.Design(phi, frames, **given)
    with screen.progress_bar(f"calibrating {config.model}, method {config.method}") as progress:
        ranks = calibration.ranks(design, config, simulations, progress)
    figure = calibration.write(ranks, path)
    print_calibration(ranks, calibration.uniformity(ranks))
    screen.say(f"wrote {path} and {figure}")


def _cover(study: coverage.Study, config: FitConfig, simulations: int, path: Path) -> None:
    """Count coverage, write the counts and print what they say."""
    work = f"covering {config.model}, noise {config.noise}, method {config.method}"
    with screen.progress_bar(work) as progress:
        counts = coverage.cover(study, config, simulations, progress)
    figure, page = coverage.write(counts, path)
    print_coverage(counts)
    screen.say(f"wrote {path}, {figure} and {page}")


def print_calibration(ranks: xr.Dataset, tests: pd.DataFrame) -> None:
    """Print a test of uniformity for every parameter, and what was left out."""
    table = Table("parameter", "chi2", "p, adjusted", box=SIMPLE_HEAD)
    for name, row in tests.iterrows():
        cells = (f"{row['chi2']:.1f}", f"{row['p_adjusted']:.2g}")
        table.add_row(str(name).replace("[", "\\["), *cells)
    left_out = f"{ranks.attrs['num_left_out']} of {ranks.sizes['simulation']} simulations"
    screen.show(table)
    screen.say(f"left out, not certified: {left_out}")


def print_coverage(counts: xr.Dataset) -> None:
    """Print how often the intervals of every parameter hold the truth, and what that says."""
    rows = coverage.table(counts)
    heads = [
        f"{kind}:\n{what}"
        for kind in coverage.KINDS
        for what in ("90 % hold", "50 % hold", "width of 90 %")
    ]
    table = Table("parameter", *heads, box=SIMPLE_HEAD)
    for name, row in rows.iterrows():
        cells: list[str] = []
        for kind in coverage.KINDS:
            shares = row[kind]
            cells += [
                f"{100 * shares[f'coverage_{level}']:.1f} ± {100 * shares[f'error_{level}']:.1f} %"
                for level in ("90", "50")
            ]
            cells.append("" if pd.isna(shares["width"]) else f"{shares['width']:.3g}")
        table.add_row(str(name), *cells)
    left = f"{counts.attrs['num_uncertified']} of {counts.sizes['simulation']} experiments"
    screen.show(table)
    screen.say(f"not certified, and counted like all others: {left}")
    screen.say(coverage.verdict(rows))
