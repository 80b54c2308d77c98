"""Simulated experiments whose truth is known: what is measured, and how often something else."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.model_files import model_name
from homodyne_bayes.physics import rates
from homodyne_bayes.physics.experiment import Experiment
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.simulate import speckle

MANY_PHOTONS = 1e5  # of a pixel in a frame: counting them adds nothing to speckle
DETECTOR = ("num_pixels", "mean_photons", "speckle_size", "num_groups")
NUM_TRUTHS = 400  # draws of a posterior


@dataclass(frozen=True)
class Study:
    """What every simulated experiment is.

    Attributes
    ----------
    experiment : Experiment
        Geometry, frames, contrast and the true parameters.
    truths : tuple of mapping
        True parameters, of which every experiment takes some at random instead of those of
        ``experiment``. What data do not fix must vary as the prior says: an interval that the
        prior sets holds a truth near the prior's centre always, and a far one never.
    num_pixels : int
        Pixels of an angle's bin.
    mean_photons : float or None
        Photons of a pixel in a frame; None for speckle without photon noise.
    speckle_size : int
        Neighbouring pixels that a speckle covers.
    num_groups : int
        Groups of pixels whose maps the data hold too.
    measured : numpy.ndarray or None
        (P, G, G) flags of the pairs that maps have; None where they have all.
    """

    experiment: Experiment
    truths: tuple[Mapping[str, float], ...] = ()
    num_pixels: int = 4000
    mean_photons: float | None = None
    speckle_size: int = 1
    num_groups: int = 1
    measured: np.ndarray | None = field(default=None, compare=False)

    def measure(self, key: jax.Array) -> tuple[dict[str, np.ndarray], TwoTimeData]:
        """Return the truth and the data of one experiment.

        True parameters and coordinates have shape (), contrast and offset (P,).
        """
        which_key, key = jax.random.split(key)
        e, detector = self.experiment, {name: getattr(self, name) for name in DETECTOR}
        if self.truths:
            which = int(jax.random.randint(which_key, (), 0, len(self.truths)))
            e = replace(e, parameters=self.truths[which])
        t_ref = rates.reference_time(e.grid)
        angles = np.ones(len(e.phi))
        truth: dict[str, Any] = dict(e.parameters)
        for rate, law in e.model.rates:
            reported = [jnp.asarray(truth[row.name]) for row in law.reported(rate)]
            names = [row.name for row in law.coordinates(rate)]
            truth |= zip(names, law.to_coordinates(reported, t_ref), strict=True)
        truth |= {"contrast": e.contrast * angles, "offset": angles}
        data = replace(speckle(key, e, **detector), measured=self.measured)
        return {name: np.asarray(value, float) for name, value in truth.items()}, data


def like(tree: xr.DataTree, model: Model) -> Study:
    """Return experiments like the one of a result.

    Geometry, frames and convention are those of the result, all frames usable unless pairs are
    missing, which then are missing again; truths are draws of its posterior. Contrast, photons
    and the number of independent pixels, medians over maps, are those that its noise was found to
    have.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    model : Model
        That of the result.

    Raises
    ------
    InputError
        If the result has no noise.
    """
    if "noise" not in tree.children:
        raise InputError(
            "the result must hold the noise of its maps, found that it took entries of c2 as "
            "independent: fit again with --noise speckle"
        )
    fixed, noise = tree["constant_data"].to_dataset(), tree["noise"].to_dataset()
    rows = json.loads(tree.attrs["parameters"])
    sampled = {row["name"] for row in rows if row["role"] == "physical"}
    sampled &= {str(name) for name in tree["unconstrained_posterior"].data_vars}
    names = [*model.reported, *sorted(sampled - {*model.reported})]
    draws = tree["posterior"].to_dataset()[names].to_dataframe()
    chosen = draws.iloc[np.linspace(0, len(draws) - 1, NUM_TRUTHS).round().astype(int)]
    truths = tuple({str(k): float(v) for k, v in row.items()} for row in chosen.to_dict("records"))
    gap = {"gap": float(fixed["gap"])} if np.isfinite(fixed["gap"]) else {}
    experiment = Experiment(
        model,
        phi=tuple(float(phi) for phi in fixed["phi"]),
        num_frames=fixed.sizes["frame"],
        parameters=truths[0],
        q=tuple(fixed["q"].values.tolist()) if fixed["q"].ndim else float(fixed["q"]),
        dt=float(fixed["dt"]),
        contrast=float(noise["contrast"].median()),
        convention=tree.attrs["convention"],
        age=float(fixed["age"]),
        **gap,
    )
    pixels, photons = (float(noise[name].median()) for name in ("num_pixels", "mean_photons"))
    maps = tree["observed_data"].to_dataset()
    return Study(
        experiment,
        truths,
        round(pixels),
        photons if photons < MANY_PHOTONS else None,
        measured=np.isfinite(maps["c2"].values) if tree.attrs["num_missing"] else None,
    )


def seeds(seed: int, num_simulations: int) -> list[tuple[jax.Array, int]]:
    """Return a random key, (), of truth and data, and a seed of the fit, of every simulation.

    Raises
    ------
    InputError
        If there is no simulation.
    """
    if num_simulations < 1:
        raise InputError(f"a study needs 1 simulation or more, found {num_simulations}")
    keys = jax.random.split(jax.random.key(seed), num_simulations)
    of_fits = np.random.SeedSequence(seed).generate_state(num_simulations)
    return list(zip(keys, of_fits.tolist(), strict=True))


def recorded(study: Study) -> dict[str, Any]:
    """Return a study as JSON holds it, its model by name."""
    stated = asdict(replace(study, truths=(), measured=None))
    return stated | {
        "experiment": stated["experiment"] | {"model": model_name(study.experiment.model)}
    }
