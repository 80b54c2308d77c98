"""``fit``: sample a posterior and write it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import jax
import xarray as xr

from homodyne_bayes import environment
from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import computes, following, laws, level, numbers, overwrite
from homodyne_bayes.cli.report import print_summary
from homodyne_bayes.cli.settings import chosen_settings, read_data, settings_options
from homodyne_bayes.config import DataConfig
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting import pipeline
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.inference.places import HERE, Workplace, within
from homodyne_bayes.results import store
from homodyne_bayes.results.levels import with_levels
from homodyne_bayes.results.places import RESULT, give_up, parts_of, writable
from homodyne_bayes.results.view import Result

resuming = click.option("--resume", is_flag=True, help="Go on where the same fit was stopped.")
on_cluster = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Sample and certify on the workers of a Dask scheduler, or of local:N, N processes here.",
)


@click.command()
@click.argument("file")
@click.option(
    "--out",
    metavar="FILE.nc",
    help="Result file, or a zarr store NAME.zarr.  [default: <FILE>_posterior.nc]",
)
@resuming
@on_cluster
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Stop chains after this, and certify what there is without them.",
)
@click.option(
    "--num-pixels",
    metavar="VALUE",
    help="Pixels of every bin that see different speckle, or of each; that of the file without.",
)
@click.option(
    "--photons",
    metavar="VALUE",
    help="Mean count of a pixel in a frame, or of each bin; that of the file without.",
)
@overwrite
@level
@laws
@settings_options
@computes
def fit(
    file: str,
    out: str | None,
    resume: bool,
    overwrite: bool,
    cluster: str | None,
    settings: str | None,
    **flags: Any,
) -> None:
    """Sample the posterior of a data FILE and write it.

    Finds the mode by least squares and the noise from its residuals, samples by the method asked
    for (consensus Monte Carlo in 4 shards unless told otherwise), and certifies the draws against
    the posterior of all the data. A setting given as a flag wins over the same one in the settings
    file. Finished chains are kept in the folder <out>.parts until the result is written.
    """
    chosen = chosen_settings(settings, flags)
    path = Path(out or f"{Path(file).stem}_posterior.nc")
    parts = parts_of(path, resume, overwrite)
    path = writable(path, RESULT, file, replace=overwrite or (resume and parts.exists()))
    config = config_of(chosen["fit"], flags["laws"])
    told = {name: flags[name] for name in ("num_pixels", "photons") if flags[name]}
    detector = {n: numbers(f"--{n.replace('_', '-')}", text) for n, text in told.items()}
    data = read_data(file, make(DataConfig, chosen["data"]), **detector)
    if not resume:
        give_up(parts)
    try:
        with workplace(cluster) as place:
            limited = place if flags["time_limit"] is None else within(flags["time_limit"], place)
            tree = fit_and_write(data, config, path, parts, limited, flags["percents"])
    except KeyboardInterrupt:
        kept = f"finished chains are in {parts}: the same command with --resume goes on"
        raise KeyboardInterrupt(f"interrupted; {kept}" if parts.exists() else "") from None
    if any(fault.kind == "stopped" for fault in Result(tree).faults):
        screen.say(f"the same command with --resume goes on from {parts}")
    else:
        give_up(parts)


def config_of(chosen: dict[str, Any], laws: tuple[str, ...]) -> FitConfig:
    """Return how to fit by the settings of that section and the laws of rates, RATE=LAW."""
    model = chosen.get("model", FitConfig.model)
    return make(FitConfig, chosen | ({"model": following(model, laws)} if laws else {}))


def fit_and_write(
    data: TwoTimeData,
    config: FitConfig,
    path: Path,
    parts: Path | None = None,
    place: Workplace = HERE,
    percents: tuple[float, ...] = (),
) -> xr.DataTree:
    """Fit with progress on the screen, write the result, print its summary, and return it.

    Intervals are of the levels ``percents``, where there are any.
    """
    devices = f"{jax.local_device_count()} × {jax.devices()[0].device_kind}"
    where = devices if place.each is HERE.each else "a cluster"
    work = f"fitting {config.model} to {screen.described(data)}, method {config.method} on {where}"
    for name, value in {**environment.versions(), **config.recorded()}.items():
        screen.detail(f"{name:20}{value}")
    with screen.progress_bar(work) as progress:
        tree = pipeline.fit(data, config, progress, parts, place)
    tree = with_levels(tree, percents) if percents else tree
    store.write(tree, path)
    print_summary(tree)
    screen.say(f"wrote {path}")
    return tree


@contextmanager
def workplace(address: str | None) -> Iterator[Workplace]:
    """Give the place of work: here, or the cluster of this address."""
    if address is None:
        yield HERE
        return
    try:
        from homodyne_bayes.inference.cluster import connect  # noqa: PLC0415 - Dask is optional
    except ImportError:
        raise InputError("--cluster needs Dask: pip install 'homodyne-bayes[cluster]'") from None
    with connect(address) as place:
        yield place
