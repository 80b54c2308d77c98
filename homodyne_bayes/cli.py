"""The command line: the only place that touches flags, progress bars, printing and JAX settings."""

import contextlib
import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
import jax
import platformdirs
import xarray as xr
from rich.table import Table

from homodyne_bayes import (
    calibration,
    comparison,
    coverage,
    diagnostics,
    formats,
    pipeline,
    report,
    results,
    simulate,
    suitability,
    terminal,
)
from homodyne_bayes.config import DataConfig, FitConfig, Method, descriptions, make
from homodyne_bayes.data import TwoTimeData
from homodyne_bayes.errors import InputError, MissingPrecisionError
from homodyne_bayes.options import (
    chosen_settings,
    experiment,
    numbers,
    refuse_options,
    settings_options,
    true_parameters,
)
from homodyne_bayes.place import HERE, STOPPED, Place, within

WRITERS = {".h5": formats.write_aps_u, ".hdf": formats.write_aps_u, ".nc": formats.write_netcdf}
OUT_OF_MEMORY = (
    "a device ran out of memory: choose more shards, --chain-method parallel, fewer frames, or "
    "--bin-frames; finished chains are kept, if the settings stay --resume takes them up"
)
DEMO_ANGLES = (-60.0, -30.0, 0.0, 30.0, 60.0)


def main() -> None:
    """Run the command line; every foreseen failure is one sentence and exit code 2."""
    warnings.showwarning = terminal.show_warning
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        commands.main(standalone_mode=False)
    except (InputError, MissingPrecisionError) as error:
        terminal.fail(str(error), 2)
    except click.ClickException as error:
        terminal.fail(error.format_message(), 2)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        terminal.fail(OUT_OF_MEMORY, 2)
    except OSError as error:
        terminal.fail(f"{error.strerror or error}: {error.filename or 'no file named'}", 2)
    except (KeyboardInterrupt, click.Abort) as stopped:
        said = str(stopped.__cause__ or stopped)  # click wraps the interrupt
        terminal.fail(said or "interrupted; nothing was written", 130)


def _interrupt_once(_signal: int, _frame: object) -> None:
    """Stop the work, and let nothing interrupt what is still to be said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--cpu-devices",
    default=os.cpu_count(),
    show_default="the number of cores",
    help="CPU devices to sample on; from two on, the draws do not depend on it.",
)
def commands(cpu_devices: int) -> None:
    """Bayesian inference for two-time correlation maps of a fluid that diffuses and shears."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", cpu_devices)
    _keep_compiled()


def _keep_compiled() -> None:
    """Keep compiled programs for later runs, unless the user has said where JAX should."""
    folder = platformdirs.user_cache_path("homodyne-bayes")
    if jax.config.jax_compilation_cache_dir is None:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@commands.command("inspect")
@click.argument("file")
def inspect_command(file: str) -> None:
    """Say what is in a data FILE, without reading the maps."""
    found = formats.contents(file)
    console = terminal.console()
    for name, value in (
        ("file", found.path),
        ("format", found.format),
        ("frames", found.num_frames),
        ("dt", terminal.with_unit(found.dt, "s")),
        ("gap", terminal.with_unit(found.gap, "Å")),
    ):
        console.print(f"{name:8}{value}", highlight=False)
    table = Table("q (1/Å)", "angles", "φ (degree)", title="maps")
    for q in dict.fromkeys(q for q, _ in found.bins):
        angles = [phi for other, phi in found.bins if other == q]
        known = ", ".join("not given" if phi is None else f"{phi:.6g}" for phi in angles)
        table.add_row("not given" if q is None else f"{q:.6g}", str(len(angles)), known)
    console.print(table)
    for note in found.notes:
        console.print(f"note: {note}", highlight=False)


@commands.command()
@click.argument("file")
@click.option("--out", metavar="FILE.nc", help="Result file.  [default: <FILE>_posterior.nc]")
@click.option("--resume", is_flag=True, help="Go on where the same fit was stopped.")
@click.option("--cluster", metavar="ADDRESS", help="Sample and certify on the workers of a Dask "
              "scheduler, or of local:N, N processes here.")
@click.option("--time-limit", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop chains "
              "after this, and certify what there is without them.")
@settings_options
def fit(file: str, out: str | None, resume: bool, cluster: str | None, time_limit: float | None,
        settings: str | None, **flags: Any) -> None:
    """Sample the posterior of a data FILE and write it.

    Finds the mode by least squares and the noise from its residuals, samples by the method asked
    for (consensus Monte Carlo in 4 shards unless told otherwise), and certifies the draws against
    the posterior of all the data. A setting given as a flag wins over the same one in the settings
    file. Finished chains are kept in the folder <out>.parts until the result is written.
    """
    chosen = chosen_settings(settings, flags)
    path = _writable(out or f"{Path(file).stem}_posterior.nc", file)
    config = make(FitConfig, chosen["fit"])
    data = _read(file, make(DataConfig, chosen["data"]))
    parts = path.with_name(f"{path.name}.parts")
    if not resume:
        shutil.rmtree(parts, ignore_errors=True)
    try:
        with _place(cluster) as place:
            limited = place if time_limit is None else within(time_limit, place)
            tree = _fit(data, config, path, parts, limited)
    except KeyboardInterrupt:
        kept = f"finished chains are in {parts}: the same command with --resume goes on"
        raise KeyboardInterrupt(f"interrupted; {kept}" if parts.exists() else "") from None
    if any(STOPPED in reason for reason in diagnostics.refused(tree)):
        console = terminal.console()
        console.print(f"the same command with --resume goes on from {parts}", highlight=False)
    else:
        shutil.rmtree(parts, ignore_errors=True)


@commands.command()
@click.argument("file")
@click.option("--models", default=",".join(comparison.CANDIDATES), show_default=True,
              help="Two or more, separated by commas.")
@click.option("--method", type=click.Choice(get_args(Method)), help="As of fit; the evidence comes "
              f"from weights whichever it is.  [default: {comparison.METHOD}]")
@partial(settings_options, without=("model", "method"))
def compare(file: str, models: str, settings: str | None, **flags: Any) -> None:
    """Say which model the data in FILE prefer, by evidence and by leaving out angles.

    Every model is fitted to all angles and to all but each one.
    """
    chosen = chosen_settings(settings, flags)
    shared = {"method": comparison.METHOD} | chosen["fit"]
    names = [name.strip() for name in models.split(",")]
    configs = {name: make(FitConfig, shared | {"model": name}) for name in names}
    data = _read(file, make(DataConfig, chosen["data"]))
    with terminal.progress_bar(f"fitting {terminal.described(data)}") as progress:
        found = comparison.compare(data, configs, progress)
    terminal.print_comparison(found)


@commands.command()
@click.option("--coverage", "result", metavar="RESULT.nc", help="Count coverage in experiments "
              "like the one of this result, instead of ranks.")
@click.option("--simulations", type=click.IntRange(min=1), default=200, show_default=True,
              help="Number of simulated experiments.")
@click.option("--phi", default="-60,0,60", show_default=True, help="Azimuths in degree.")
@click.option("--frames", default=20, show_default=True, help="Number of frames.")
@click.option("--q", default=0.0054, show_default=True, help="Wavevector in 1/Å.")
@click.option("--dt", default=0.5, show_default=True, help="Time between frames in s.")
@click.option("--gap", default=2e6, show_default=True, help="Gap in Å.")
@click.option("--out", metavar="FILE.nc", help="What was found; its figure goes beside it as PNG, "
              "and a page on coverage as HTML.  [default: calibration.nc or coverage.nc]")
@partial(settings_options, without=tuple(descriptions(DataConfig)))
def calibrate(result: str | None, simulations: int, out: str | None, settings: str | None,
              **flags: Any) -> None:
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
        _rank(make(FitConfig, chosen), design, simulations, _writable(out or "calibration.nc"))
        return
    refuse_options(geometry, "with --coverage experiments are those of the result")
    path, tree = _writable(out or "coverage.nc", result), results.read(result)
    recorded = json.loads(tree.attrs["settings"])
    config = make(FitConfig, recorded | {"method": coverage.METHOD} | chosen)
    _cover(coverage.like(tree), config, simulations, path)


def _rank(config: FitConfig, given: dict[str, Any], simulations: int, path: Path) -> None:
    """Rank truths and write what was found."""
    phi, frames = numbers("--phi", given.pop("phi")), given.pop("frames")
    design = calibration.Design(phi, frames, **given)
    with terminal.progress_bar(f"calibrating {config.model}, method {config.method}") as progress:
        ranks = calibration.ranks(design, config, simulations, progress)
    figure = calibration.write(ranks, path)
    terminal.print_calibration(ranks, calibration.uniformity(ranks))
    terminal.console().print(f"wrote {path} and {figure}", highlight=False)


def _cover(study: coverage.Study, config: FitConfig, simulations: int, path: Path) -> None:
    """Count coverage and write what was found."""
    work = f"covering {config.model}, noise {config.noise}, method {config.method}"
    with terminal.progress_bar(work) as progress:
        found = coverage.cover(study, config, simulations, progress)
    figure, page = coverage.write(found, path)
    terminal.print_coverage(found)
    terminal.console().print(f"wrote {path}, {figure} and {page}", highlight=False)


@commands.command()
@click.argument("result")
def summary(result: str) -> None:
    """Print the posterior of a RESULT file, its diagnostics and its cost."""
    terminal.print_summary(results.read(result))


@commands.command("report")
@click.argument("result")
@click.option("--out", metavar="FILE.html", help="Report file.  [default: <RESULT>.html]")
def report_command(result: str, out: str | None) -> None:
    """Write a RESULT file as one self-contained HTML page."""
    path = _writable(out or f"{Path(result).with_suffix('')}.html", result)
    report.write(results.read(result), path)
    terminal.console().print(f"wrote {path}", highlight=False)


@commands.command("simulate")
@click.argument("out")
@click.option("--model", type=click.Choice(["static", "laminar_flow"]), default="laminar_flow",
              show_default=True)
@click.option("--phi", default="-60,-30,0,30,60", show_default=True, help="Azimuths in degree.")
@click.option("--frames", default=80, show_default=True, help="Number of frames.")
@click.option("--q", default="0.0054", show_default=True, help="Wavevectors in 1/Å, all of them "
              "with all azimuths.")
@click.option("--dt", default=0.1, show_default=True, help="Time between frames in s.")
@click.option("--gap", default=2e6, show_default=True, help="Gap in Å.")
@click.option("--contrast", default=0.25, show_default=True, help="Above 0, at most 1.")
@click.option("--convention", type=click.Choice(["upstream", "gap-average"]), default="upstream",
              show_default=True)
@click.option("--pixels", default=5000, show_default=True, help="Pixels of an angle's bin.")
@click.option("--photons", type=float, help="Photons a pixel and frame; no photon noise without.")
@click.option("--flicker", default=0.0, show_default=True, help="Relative sd of a frame's flux.")
@click.option("--speckle-size", default=1, show_default=True, help="Pixels that a speckle covers.")
@click.option("--groups", default=1, show_default=True, help="Groups of pixels kept apart (.nc).")
@click.option("--sigma", type=float, help="Instead of speckle, independent noise of this scatter.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="True parameter.")
@click.option("--seed", default=0, show_default=True)
def simulate_command(out: str, model: str, phi: str, values: tuple[str, ...], **o: Any) -> None:
    """Simulate an experiment into OUT (.h5: APS-U layout; .nc: netCDF)."""
    path = _writable(out)
    if path.suffix not in WRITERS:
        raise InputError(f"{path}: the ending must be one of {', '.join(WRITERS)}")
    measured = experiment(phi, true_parameters(model, values), o)
    key = jax.random.key(o["seed"])
    if o["sigma"] is not None:
        data = simulate.independent(key, measured, o["sigma"])
    else:
        detector = {name: o[name] for name in ("flicker", "speckle_size")}
        data = simulate.speckle(
            key, measured, o["pixels"], o["photons"], **detector, num_groups=o["groups"]
        )
    WRITERS[path.suffix](path, data)
    terminal.console().print(f"wrote {path}: {terminal.described(data)}", highlight=False)


@commands.command()
@click.option("--out", default="demo", show_default=True, help="Folder of the three files.")
@click.option("--seed", default=0, show_default=True)
def demo(out: str, seed: int) -> None:
    """Simulate sheared speckle, fit the file, and report, against the truth."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    experiment = simulate.Experiment(DEMO_ANGLES, 80, simulate.LAMINAR)
    data = simulate.speckle(jax.random.key(seed), experiment, 5000, mean_photons=2.0)
    measured = folder / "data.h5"
    formats.write_aps_u(measured, data)
    screen = terminal.console()
    screen.print(f"simulated {terminal.described(data)} into {measured}", highlight=False)
    tree = _fit(formats.read(measured), FitConfig(seed=seed), folder / "posterior.nc")
    report.write(tree, folder / "report.html")
    screen.print(f"wrote {folder / 'report.html'}: open it in a browser", highlight=False)


@contextlib.contextmanager
def _place(address: str | None) -> Iterator[Place]:
    """Give the place of work: here, or the cluster of this address."""
    if address is None:
        yield HERE
        return
    try:
        from homodyne_bayes.cluster import connect  # noqa: PLC0415 - Dask is optional
    except ImportError:
        raise InputError("--cluster needs Dask: pip install 'homodyne-bayes[cluster]'") from None
    with connect(address) as place:
        yield place


def _fit(
    data: TwoTimeData,
    config: FitConfig,
    path: Path,
    parts: Path | None = None,
    place: Place = HERE,
) -> xr.DataTree:
    config = suitability.shardable(data, config)
    shards = f" in {config.num_shards} shards" if config.method == "consensus" else ""
    here = f"{jax.local_device_count()} × {jax.devices()[0].device_kind}"
    where = here if place.evaluator is HERE.evaluator else "a cluster"
    work = (
        f"fitting {config.model} to {terminal.described(data)}, method {config.method}{shards} "
        f"on {where}"
    )
    with terminal.progress_bar(work) as progress:
        tree = pipeline.fit(data, config, progress, parts, place)
    results.write(tree, path)
    terminal.print_summary(tree)
    terminal.console().print(f"wrote {path}", highlight=False)
    return tree


def _read(file: str, chosen: DataConfig) -> TwoTimeData:
    data = formats.read(
        file,
        q=chosen.q,
        dt=chosen.dt,
        gap=chosen.gap,
        phi=chosen.phi,
        exclude_frames=chosen.exclude_frames,
    )
    return data.select(chosen.angles, chosen.first_frame, chosen.stop_frame)


def _writable(path: str | Path, source: str | None = None) -> Path:
    """Return a path that can be written, found out before the work and not after."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; name a file in a folder you may write to")
    if source is not None and path.exists() and path.samefile(source):
        raise InputError(f"{path}: would overwrite what it is made from; choose another --out")
    return path


if __name__ == "__main__":
    main()
