"""What is measured in a simulated experiment: fluid, geometry, frames; the field that follows."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers

from homodyne_bayes.data.axes import MIN_FRAMES
from homodyne_bayes.errors import InputError
from homodyne_bayes.parameters import priors_of
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import Physics, ShardGrid, map_grid


@dataclass(frozen=True)
class Experiment:
    """What is measured: the fluid, geometry and frames.

    Attributes
    ----------
    model : Model
        What the fluid does.
    phi : tuple of float
        Azimuths, degree.
    num_frames : int
        Number of frames G.
    parameters : mapping of str to float
        True values of the parameters that the model reports, by name.
    q : float or tuple of float
        Wavevector (1/Å), of every azimuth where they differ.
    dt, gap : float
        Frame spacing (s), gap (Å).
    contrast : float
        Speckle contrast of every angle.
    convention : str
        Meaning of the shear phase.
    age : float
        Time of the first frame on the clock of the rate laws, s.

    Raises
    ------
    InputError
        If there is no azimuth, or fewer frames than maps need.
    """

    model: Model
    phi: tuple[float, ...]
    num_frames: int
    parameters: Mapping[str, float]
    q: float | tuple[float, ...] = 0.0054
    dt: float = 0.1
    gap: float = 2e6
    contrast: float = 0.25
    convention: str = "upstream"
    age: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an experiment in which nothing is measured."""
        if not self.phi or self.num_frames < MIN_FRAMES:
            raise InputError(
                f"an experiment needs an azimuth and at least {MIN_FRAMES} frames, found "
                f"{len(self.phi)} and {self.num_frames}: pass phi and num_frames"
            )

    @property
    def grid(self) -> ShardGrid:
        """Its points, (P, G, G)."""
        return map_grid(
            np.asarray(self.phi),
            self.num_frames,
            self.dt,
            np.asarray(self.q),
            self.gap,
            age=self.age,
            physics=Physics(self.convention),
        )


def every_bin(
    q: Iterable[float], phi: Iterable[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return wavevectors and azimuths of an experiment that has all azimuths at every q."""
    bins = list(itertools.product(q, phi))
    return tuple(value for value, _ in bins), tuple(azimuth for _, azimuth in bins)


def field_correlation(experiment: Experiment) -> jax.Array:
    """Return the covariance of the speckle field, (P, G, G).

    Raises
    ------
    InputError
        If a parameter is missing, or one is named that the model has not.
    """
    sites = true_sites(experiment.model, experiment.grid, experiment.parameters)
    field = sites["field"]["value"]
    return jnp.broadcast_to(field, (len(experiment.phi), *field.shape[-2:]))


def true_sites(model: Model, points: ShardGrid, parameters: Mapping[str, float]) -> dict[str, Any]:
    """Return the trace of a model at true parameters; its field is the site "field".

    Parameters
    ----------
    model : Model
        What the fluid does.
    points : ShardGrid
        Points.
    parameters : mapping of str to float
        Values of all sites that are reported and follow no rate law, and, of every rate, of the
        parameters that its law reports.

    Raises
    ------
    InputError
        If a parameter is missing, or one is named that the model has not.
    """

    def run() -> None:
        numpyro.deterministic("field", model.field(points, priors_of(model.table)))

    seeded = handlers.seed(run, jax.random.key(0))
    follow = {row.name for rate, law in model.rates for row in law.coordinates(rate)}
    reported = {row.name for rate, law in model.rates for row in law.reported(rate)}
    free = _sampled(seeded) - follow
    expected = [*model.reported, *sorted(free - set(model.reported))]
    missing = [name for name in expected if name not in parameters]
    unknown = [name for name in parameters if name not in {*reported, *free}]
    if missing or unknown:
        wrong = f"missing {', '.join(missing)}" if missing else f"unknown {', '.join(unknown)}"
        raise InputError(
            f"parameters must be {', '.join(expected)}, found {wrong}: state the true value of each"
        )
    values = {name: jnp.asarray(value) for name, value in parameters.items()}
    return handlers.trace(handlers.substitute(seeded, data=values)).get_trace()


def _sampled(model: Callable[[], None]) -> set[str]:
    """Return the names of the sites that a model samples, computing nothing."""
    names: set[str] = set()

    def look() -> None:
        trace = handlers.trace(model).get_trace()
        names.update(name for name, site in trace.items() if site["type"] == "sample")

    jax.eval_shape(look)
    return names
