"""The command line: the only place that touches flags, progress bars, printing and JAX settings."""

import contextlib
import dataclasses
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jax
import platformdirs
import xarray as xr
from rich.table import Table

from homodyne_bayes.cli import doctor, screen, studies
from homodyne_bayes.cli.options import (
    chosen_settings,
    experiment,
    for_machines,
    numbers,
    read_data,
    refuse_options,
    settings_options,
    true_parameters,
    writable,
)
from homodyne_bayes.config import DataConfig, FitConfig, make
from homodyne_bayes.data import reading, writing
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError, MissingPrecisionError
from homodyne_bayes.fitting import checks, pipeline
from homodyne_bayes.inference.places import HERE, Workplace, within
from homodyne_bayes.physics import simulate
from homodyne_bayes.results import paper, store, view
from homodyne_bayes.results.diagnostics import Numbers
from homodyne_bayes.studies.rerun import rerun as repeat

OUT_OF_MEMORY = (
    "a device ran out of memory: choose more shards, --chain-method parallel, fewer frames, or "
    "--bin-frames; finished chains are kept, if the settings stay --resume takes them up"
)
GRACE = 10.0  # s that work has to end after Ctrl-C
DEMO_ANGLES = (-60.0, -30.0, 0.0, 30.0, 60.0)


def main() -> None:
    """Run the command line; every foreseen failure is one sentence and exit code 2."""
    warnings.showwarning = screen.show_warning
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        commands.main(standalone_mode=False)
    except (InputError, MissingPrecisionError) as error:
        screen.fail(str(error), 2)
    except click.ClickException as error:
        screen.fail(error.format_message(), 2)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        screen.fail(OUT_OF_MEMORY, 2)
    except OSError as error:
        screen.fail(f"{error.strerror or error}: {error.filename or 'no file named'}", 2)
    except (KeyboardInterrupt, click.Abort) as stopped:
        said = str(stopped.__cause__ or stopped)  # click wraps the interrupt
        screen.fail(said or "interrupted; nothing was written", 130)


def _interrupt_once(_signal: int, _frame: object) -> None:
    """Stop the work, and let nothing interrupt what is still to be said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_anyway, daemon=True).start()
    raise KeyboardInterrupt


def _leave_anyway() -> None:
    """Leave where a library does not end its work; all that was finished is on disk, whole."""
    time.sleep(GRACE)
    screen.say_error(
        f"interrupted, and left what did not end within {GRACE:g} s; what was "
        "finished is kept, and fit --resume takes it up"
    )
    os._exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--cpu-devices",
    default=max(2, os.cpu_count() or 1),
    show_default="the number of cores, at least 2",
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
@for_machines
def inspect_command(file: str, as_json: bool) -> None:
    """Say what is in a data FILE, without reading the maps."""
    found = reading.contents(file)
    if as_json:
        screen.print_json(dataclasses.asdict(found))
        return
    console = screen.console()
    for name, value in (
        ("file", found.path),
        ("format", found.format),
        ("frames", found.num_frames),
        ("dt", screen.with_unit(found.dt, "s")),
        ("gap", screen.with_unit(found.gap, "Å")),
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
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Sample and certify on the workers of a Dask scheduler, or of local:N, N processes here.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Stop chains after this, and certify what there is without them.",
)
@settings_options
def fit(
    file: str,
    out: str | None,
    resume: bool,
    cluster: str | None,
    time_limit: float | None,
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
    path = writable(out or f"{Path(file).stem}_posterior.nc", file)
    config = make(FitConfig, chosen["fit"])
    data = read_data(file, make(DataConfig, chosen["data"]))
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
    if any(fault.kind == "stopped" for fault in view.Result(tree).faults):
        console = screen.console()
        console.print(f"the same command with --resume goes on from {parts}", highlight=False)
    else:
        shutil.rmtree(parts, ignore_errors=True)


@commands.command()
@click.argument("result")
@for_machines
def summary(result: str, as_json: bool) -> None:
    """Print the posterior of a RESULT file, its diagnostics and its cost."""
    tree = store.read(result)
    if as_json:
        screen.print_json(paper.summary(Numbers(tree)))
    else:
        screen.print_summary(tree)


@commands.command("report")
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
def report_command(
    result: str, out: str | None, latex: bool, at: str, radius: float | None
) -> None:
    """Write a RESULT file as one self-contained HTML page, or as a folder for a paper."""
    if out is None or out.endswith(".html"):
        refuse_options(
            ("latex", "at", "radius"),
            "one HTML page has no room for it: name a folder by --out, as --out report/",
        )
        path = writable(out or f"{Path(result).with_suffix('')}.html", result)
        view.load(result).report(path)
        written = [path]
    else:
        times = numbers("--at", at) if at else ()
        written = view.load(result).paper(out, latex=latex, times=times, radius=radius)
    for path in written:
        screen.console().print(f"wrote {path}", highlight=False)


@commands.command()
@click.argument("result")
@click.option("--out", metavar="FILE.nc", help="Where to write the new result; nowhere without.")
def rerun(result: str, out: str | None) -> None:
    """Repeat a RESULT file from what it recorded, and say whether the draws are the same."""
    path = None if out is None else writable(out, result)
    tree = store.read(result)
    with screen.progress_bar(f"repeating {result}") as progress:
        found = repeat(tree, progress)
    same = (
        "the draws are the same, bit for bit"
        if found.same
        else (f"the draws differ: posterior means by at most {found.shift:.2g} sd")
    )
    for line in (
        f"data are those recorded, sha256 {tree.attrs['data_sha256'][:12]}…",
        same,
        *found.changed,
    ):
        screen.console().print(line, highlight=False)
    if path is not None:
        store.write(found.tree, path)
        screen.console().print(f"wrote {path}", highlight=False)


@commands.command("doctor")
@for_machines
def doctor_command(as_json: bool) -> None:
    """Say what this machine offers, and test that it computes what it should."""
    error, seconds = doctor.self_test()
    passed = f"g1 is its closed form to {error:.1g}, {seconds:.1f} s"
    found = {**doctor.examine(), "self-test": passed if error < doctor.TOLERANCE else "FAILED"}
    if as_json:
        screen.print_json(found)
    else:
        for name, value in found.items():
            screen.console().print(f"{name:18}{value}", highlight=False)
    if not error < doctor.TOLERANCE:
        raise InputError(
            f"self-test: expected g1 within {doctor.TOLERANCE:g} of its closed form, "
            f"found {error:.2g}: install again, and report this"
        )


@commands.command("simulate")
@click.argument("out")
@click.option(
    "--model",
    type=click.Choice(["static", "laminar_flow"]),
    default="laminar_flow",
    show_default=True,
)
@click.option("--phi", default="-60,-30,0,30,60", show_default=True, help="Azimuths in degree.")
@click.option("--frames", default=80, show_default=True, help="Number of frames.")
@click.option(
    "--q",
    default="0.0054",
    show_default=True,
    help="Wavevectors in 1/Å, all of them with all azimuths.",
)
@click.option("--dt", default=0.1, show_default=True, help="Time between frames in s.")
@click.option("--gap", default=2e6, show_default=True, help="Gap in Å.")
@click.option("--contrast", default=0.25, show_default=True, help="Above 0, at most 1.")
@click.option(
    "--convention",
    type=click.Choice(["upstream", "gap-average"]),
    default="upstream",
    show_default=True,
)
@click.option("--pixels", default=5000, show_default=True, help="Pixels of an angle's bin.")
@click.option("--photons", type=float, help="Photons a pixel and frame; no photon noise without.")
@click.option("--flicker", default=0.0, show_default=True, help="Relative sd of a frame's flux.")
@click.option("--speckle-size", default=1, show_default=True, help="Pixels that a speckle covers.")
@click.option("--groups", default=1, show_default=True, help="Groups of pixels kept apart (.nc).")
@click.option("--sigma", type=float, help="Instead of speckle, independent noise of this scatter.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="True parameter.")
@click.option("--seed", default=0, show_default=True)
def simulate_command(out: str, model: str, phi: str, values: tuple[str, ...], **o: Any) -> None:
    """Simulate an experiment into OUT (.h5: APS-U layout; .nc: netCDF; .nxs: NXxpcs)."""
    path = writable(out)
    if path.suffix not in writing.WRITERS:
        raise InputError(f"{path}: the ending must be one of {', '.join(writing.WRITERS)}")
    measured = experiment(phi, true_parameters(model, values), o)
    key = jax.random.key(o["seed"])
    if o["sigma"] is not None:
        data = simulate.independent(key, measured, o["sigma"])
    else:
        detector = {name: o[name] for name in ("flicker", "speckle_size")}
        data = simulate.speckle(
            key, measured, o["pixels"], o["photons"], **detector, num_groups=o["groups"]
        )
    writing.write(path, data)
    screen.console().print(f"wrote {path}: {screen.described(data)}", highlight=False)


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
    writing.write_aps_u(measured, data)
    shown = screen.console()
    shown.print(f"simulated {screen.described(data)} into {measured}", highlight=False)
    tree = _fit(reading.read(measured), FitConfig(seed=seed), folder / "posterior.nc")
    view.Result(tree).report(folder / "report.html")
    shown.print(f"wrote {folder / 'report.html'}: open it in a browser", highlight=False)


commands.add_command(studies.compare)
commands.add_command(studies.calibrate)


@contextlib.contextmanager
def _place(address: str | None) -> Iterator[Workplace]:
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


def _fit(
    data: TwoTimeData,
    config: FitConfig,
    path: Path,
    parts: Path | None = None,
    place: Workplace = HERE,
) -> xr.DataTree:
    config = checks.shardable(data, config)
    shards = f" in {config.num_shards} shards" if config.method == "consensus" else ""
    here = f"{jax.local_device_count()} × {jax.devices()[0].device_kind}"
    where = here if place.evaluator is HERE.evaluator else "a cluster"
    work = (
        f"fitting {config.model} to {screen.described(data)}, method {config.method}{shards} "
        f"on {where}"
    )
    with screen.progress_bar(work) as progress:
        tree = pipeline.fit(data, config, progress, parts, place)
    store.write(tree, path)
    screen.print_summary(tree)
    screen.console().print(f"wrote {path}", highlight=False)
    return tree


if __name__ == "__main__":
    main()
