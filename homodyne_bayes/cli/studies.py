"""Commands that fit many times: models compared, posteriors calibrated."""

import json
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import (
    chosen_settings,
    for_machines,
    numbers,
    read_data,
    refuse_options,
    settings_options,
    writable,
)
from homodyne_bayes.config import DataConfig, FitConfig, Method, descriptions, make
from homodyne_bayes.results import store
from homodyne_bayes.studies import calibration, comparison, coverage


@click.command()
@click.argument("file")
@click.option(
    "--models",
    default=",".join(comparison.CANDIDATES),
    show_default=True,
    help="Two or more, separated by commas.",
)
@click.option(
    "--method",
    type=click.Choice(get_args(Method)),
    help="As of fit; the evidence comes "
    f"from weights whichever it is.  [default: {comparison.METHOD}]",
)
@for_machines
@partial(settings_options, without=("model", "method"))
def compare(file: str, models: str, settings: str | None, as_json: bool, **flags: Any) -> None:
    """Say which model the data in FILE prefer, by evidence and by leaving out angles.

    Every model is fitted to all angles and to all but each one.
    """
    chosen = chosen_settings(settings, flags)
    shared = {"method": comparison.METHOD} | chosen["fit"]
    names = [name.strip() for name in models.split(",")]
    configs = {name: make(FitConfig, shared | {"model": name}) for name in names}
    data = read_data(file, make(DataConfig, chosen["data"]))
    with screen.progress_bar(f"fitting {screen.described(data)}") as progress:
        found = comparison.compare(data, configs, progress)
    if as_json:
        screen.print_json(comparison.plain(found))
    else:
        screen.print_comparison(found)


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
@partial(settings_options, without=tuple(descriptions(DataConfig)))
def calibrate(
    result: str | None, simulations: int, out: str | None, settings: str | None, **flags: Any
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
    geometry = ("phi", "frames", "q", "dt", "gap")
    if result is None:
        why = "calibration without --coverage is of independent noise"
        refuse_options(("noise", "bin_frames"), why)
        design = {name: flags[name] for name in geometry}
        _rank(make(FitConfig, chosen), design, simulations, writable(out or "calibration.nc"))
        return
    refuse_options(geometry, "with --coverage experiments are those of the result")
    path, tree = writable(out or "coverage.nc", result), store.read(result)
    recorded = json.loads(tree.attrs["settings"])
    config = make(FitConfig, recorded | {"method": coverage.METHOD} | chosen)
    _cover(coverage.like(tree), config, simulations, path)


def _rank(config: FitConfig, given: dict[str, Any], simulations: int, path: Path) -> None:
    """Rank truths and write what was found."""
    phi, frames = numbers("--phi", given.pop("phi")), given.pop("frames")
    design = calibration.Design(phi, frames, **given)
    with screen.progress_bar(f"calibrating {config.model}, method {config.method}") as progress:
        ranks = calibration.ranks(design, config, simulations, progress)
    figure = calibration.write(ranks, path)
    screen.print_calibration(ranks, calibration.uniformity(ranks))
    screen.console().print(f"wrote {path} and {figure}", highlight=False)


def _cover(study: coverage.Study, config: FitConfig, simulations: int, path: Path) -> None:
    """Count coverage and write what was found."""
    work = f"covering {config.model}, noise {config.noise}, method {config.method}"
    with screen.progress_bar(work) as progress:
        found = coverage.cover(study, config, simulations, progress)
    figure, page = coverage.write(found, path)
    screen.print_coverage(found)
    screen.console().print(f"wrote {path}, {figure} and {page}", highlight=False)
