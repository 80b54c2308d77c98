"""``demo``: the whole way from speckle to a report, on simulated data."""

from pathlib import Path

import click
import jax

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.fit import fit_and_write
from homodyne_bayes.cli.options import computes, overwrite
from homodyne_bayes.data import reading
from homodyne_bayes.data.writing import write
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from homodyne_bayes.results.places import DATA, PAGE, RESULT, writable
from homodyne_bayes.results.view import Result

FILES = {"data.h5": DATA, "posterior.nc": RESULT, "report.html": PAGE}
ANGLES = (-60.0, -30.0, 0.0, 30.0, 60.0)


@click.command()
@click.option("--out", default="demo", show_default=True, help="Folder of the three files.")
@click.option("--seed", default=0, show_default=True)
@overwrite
@computes
def demo(out: str, seed: int, overwrite: bool) -> None:
    """Simulate sheared speckle, fit the file, and report, against the truth."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    measured, posterior, page = (
        writable(folder / name, kind, replace=overwrite) for name, kind in FILES.items()
    )
    model = MODELS["laminar_flow"]
    experiment = simulate.Experiment(model, ANGLES, 80, dict(model.example))
    data = simulate.speckle(jax.random.key(seed), experiment, 5000, mean_photons=2.0)
    write(measured, data)
    screen.say(f"simulated {screen.described(data)} into {measured}")
    tree = fit_and_write(reading.read(measured), FitConfig(seed=seed), posterior)
    Result(tree).report(page)
    screen.say(f"wrote {page}: open it in a browser")
