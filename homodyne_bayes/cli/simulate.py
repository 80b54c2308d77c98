"""``simulate``: data of an experiment whose truth is known."""

from typing import Any

import click
import jax

from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import computes, following, laws, numbers, overwrite, refuse_options
from homodyne_bayes.data.writing import WRITERS, write
from homodyne_bayes.errors import InputError
from homodyne_bayes.model_files import load_model
from homodyne_bayes.physics.convention import CONVENTIONS
from homodyne_bayes.physics.experiment import Experiment, every_bin
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.simulate import independent, speckle
from homodyne_bayes.results.places import DATA, writable

DETECTOR = ("pixels", "photons", "flicker", "speckle_size", "groups")


@click.command()
@click.argument("out")
@click.option(
    "--model",
    default="laminar_flow",
    show_default=True,
    help="As `models` lists them, or file.py:name of a model of your own.",
)
@laws
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
    type=click.Choice(list(CONVENTIONS)),
    default="upstream",
    show_default=True,
)
@click.option("--age", default=0.0, show_default=True, help="Of the first frame in s.")
@click.option("--pixels", default=5000, show_default=True, help="Pixels of an angle's bin.")
@click.option("--photons", type=float, help="Photons a pixel and frame; no photon noise without.")
@click.option("--flicker", default=0.0, show_default=True, help="Relative sd of a frame's flux.")
@click.option("--speckle-size", default=1, show_default=True, help="Pixels that a speckle covers.")
@click.option("--groups", default=1, show_default=True, help="Groups of pixels kept apart (.nc).")
@click.option("--sigma", type=float, help="Instead of speckle, independent noise of this scatter.")
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="True parameter.")
@click.option("--seed", default=0, show_default=True)
@overwrite
@computes
def simulate(
    out: str, model: str, laws: tuple[str, ...], phi: str, values: tuple[str, ...], **o: Any
) -> None:
    """Simulate an experiment into OUT (.h5: APS-U layout; .nc: netCDF; .nxs: NXxpcs)."""
    path = writable(out, DATA, replace=o.pop("overwrite"))
    if path.suffix not in WRITERS:
        raise InputError(f"{path}: the ending must be one of {', '.join(WRITERS)}")
    if o["sigma"] is not None:
        refuse_options(DETECTOR, "with --sigma there are no pixels")
    measured = _experiment(load_model(following(model, laws)), phi, values, o)
    key = jax.random.key(o["seed"])
    if o["sigma"] is not None:
        data = independent(key, measured, o["sigma"])
    else:
        detector = {name: o[name] for name in ("flicker", "speckle_size")}
        data = speckle(key, measured, o["pixels"], o["photons"], **detector, num_groups=o["groups"])
    write(path, data)
    screen.say(f"wrote {path}: {screen.described(data)}")


def _experiment(model: Model, phi: str, values: tuple[str, ...], o: dict[str, Any]) -> Experiment:
    """Return the experiment of the command's options."""
    geometry = {name: o[name] for name in ("dt", "gap", "contrast", "convention", "age")}
    q, azimuths = every_bin(numbers("--q", o["q"]), numbers("--phi", phi))
    parameters = _true_parameters(model, values)
    return Experiment(model, azimuths, o["frames"], parameters, q=q, **geometry)


def _true_parameters(model: Model, values: tuple[str, ...]) -> dict[str, float]:
    """Return the true parameters of a model, those given as NAME=VALUE before its example."""
    parameters = dict(model.example)
    for item in values:
        name, _, text = item.partition("=")
        if model.example and name not in parameters:
            raise InputError(f"--set knows {', '.join(parameters)}, found {name!r}")
        try:
            parameters[name] = float(text)
        except ValueError:
            raise InputError(f"--set {name} needs a number, found {text!r}") from None
    return parameters
