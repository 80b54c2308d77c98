"""What is to be done with data by settings: whether they fit together, resolved once."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from homodyne_bayes.data.axes import MIN_FRAMES
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import require_x64
from homodyne_bayes.errors import InputError
from homodyne_bayes.fitting.settings import FitConfig
from homodyne_bayes.fitting.shards import check_num_shards
from homodyne_bayes.inference.methods import METHODS
from homodyne_bayes.likelihood.entries import length_of_list
from homodyne_bayes.likelihood.independent import INDEPENDENT
from homodyne_bayes.likelihood.noise import Noise
from homodyne_bayes.likelihood.noises import NOISES
from homodyne_bayes.likelihood.observe import Observed, observe
from homodyne_bayes.likelihood.quantiles import averaged_scaling
from homodyne_bayes.likelihood.scaling import SHARED, Scaling
from homodyne_bayes.model_files import model_name
from homodyne_bayes.parameters import PER_ANGLE, Prior, priors_of
from homodyne_bayes.physics.model import Model
from homodyne_bayes.physics.points import data_grid
from homodyne_bayes.physics.rates import Window, window_of

MAX_LISTED = 5000  # rows of a matrix of every map that lacks pairs: 0.2 GiB, and 12 s to invert


class Plan(NamedTuple):
    """Settings as the data can meet them, and the models that they stand for.

    Attributes
    ----------
    config : FitConfig
        The settings.
    priors : mapping of str to Prior
        Of all that is sampled.
    model : Observed
        The complete model.
    per_angle : Observed
        The same with contrast and offset of every angle sampled, in which noise is found.
    least_squares : Observed
        That under independent noise, of the warm start.
    """

    config: FitConfig
    priors: dict[str, Prior]
    model: Observed
    per_angle: Observed
    least_squares: Observed

    @property
    def whole_angles(self) -> bool:
        """Whether a shard has to hold all pairs of its angles."""
        return self.model.noise.whole_maps or self.model.scaling.integrated


def plan(data: TwoTimeData, config: FitConfig) -> Plan:
    """Return what is to be done, or say why data and settings do not fit together.

    Noise that is not Normal has no compressed form. Where maps are compressed or compared whole, or
    contrast and offset are integrated, a shard has an angle or more; where there is a single angle,
    NUTS samples all the data. Where contrast and offset are held fixed, those without a prior of
    the user are held at estimates from quantiles.

    Raises
    ------
    InputError
        If data and settings do not fit together.
    MissingPrecisionError
        If JAX is set to float32.
    """
    require_x64()
    model, scaling, noise = config.record, config.scale, NOISES[config.noise]
    check_needs(data, model, model_name(config.model))
    config = replace(config, compress=config.compress and noise.gram is not None)
    _check_bins(data, config, noise)
    _check_pairs(data, config, noise)
    _check_order(data, config, scaling)
    if scaling.held and not set(PER_ANGLE) <= set(config.priors):
        estimates = dict(zip(PER_ANGLE, averaged_scaling(data), strict=True))
        table = config.prior_table()
        held = {name: (value, table[name].scale) for name, value in estimates.items()}
        config = replace(config, priors={**held, **config.priors})
    planned = models_of(config, window_of(data_grid(data, config.physics)), direction(data))
    return planned._replace(config=_shards(data, config, planned.whole_angles or config.compress))


def direction(data: TwoTimeData) -> float:
    """Return roughly the axis along which c2 is least, of -45, 0, 45 and 90 degree.

    It is 0 where there is none.

    An axis that is known up to its period is sampled on a line, which is cut far from it.
    """
    first = np.flatnonzero(data.wavevectors == data.wavevectors[0])
    phi = np.deg2rad(2 * data.phi[first])
    mean = [data.c2[p].mean(where=data.pairs[p], dtype=float) for p in first]
    waves = np.column_stack([np.ones_like(phi), np.cos(phi), np.sin(phi)])
    _, cosine, sine = np.linalg.lstsq(waves, mean)[0]
    axis = 45.0 * round(math.degrees(math.atan2(-sine, -cosine)) / 2 / 45.0)
    return axis if axis > -90.0 else 90.0


def models_of(config: FitConfig, window: Window | None = None, axis: float = 0.0) -> Plan:
    """Return the models of settings.

    Parameters
    ----------
    config : FitConfig
        The settings.
    window : Window, optional
        What the experiment can see, which sets the levels of the rates.
    axis : float
        Roughly where angles lie that are known up to their period.
    """
    model, scaling, noise = config.record, config.scale, NOISES[config.noise]
    seen = model
    if window is not None:
        rates = ((replace(rate, level=rate.level_in(window)), law) for rate, law in model.rates)
        seen = replace(model, rates=tuple(rates))
    priors = config.prior_table(seen)
    priors |= {
        name: replace(prior, loc=axis)
        for name, prior in priors.items()
        if prior.family == "circular"
    }
    own = {row.name for row in (*scaling.parameters, *noise.parameters)}
    free = {name: prior for name, prior in priors.items() if name not in own}

    def with_priors(scaling: Scaling, noise: Noise) -> Observed:
        rows = priors_of((*scaling.parameters, *noise.parameters))
        chosen: dict[str, Prior] = {name: priors.get(name, row) for name, row in rows.items()}
        if not scaling.held:  # where those of the fit are
            chosen |= {n: rows[n] for n in PER_ANGLE if n in chosen and chosen[n].fixed}
        return observe(model, scaling, noise, free | chosen)

    per_angle = scaling if scaling.per_angle else SHARED
    return Plan(
        config,
        priors,
        with_priors(scaling, noise),
        with_priors(per_angle, noise),
        with_priors(per_angle, INDEPENDENT),
    )


def check_needs(data: TwoTimeData, model: Model, name: str) -> None:
    """Raise `InputError` if a model needs a gap or azimuths that the data do not have."""
    if "gap" in model.needs and data.gap is None:
        raise InputError(f"model {name} needs the gap in Å, found none: pass --gap")
    if "phi" in model.needs and "phi" in data.provenance.get("assumed", ()):
        raise InputError(
            f"model {name} needs the azimuth of every map, found none in the file: "
            "pass --phi, or fit --model static"
        )


def _shards(data: TwoTimeData, config: FitConfig, whole_angles: bool) -> FitConfig:
    """Return the settings with as many shards as the data can be dealt into."""
    if not METHODS[config.method].sharded:
        return config
    if not whole_angles:
        check_num_shards(data, config.num_shards)
        return config
    most = min(config.num_shards, data.num_angles)
    return replace(config, num_shards=most) if most > 1 else replace(config, method="full")


def _check_order(data: TwoTimeData, config: FitConfig, scaling: Scaling) -> None:
    """Raise `InputError` if there are more harmonics than angles can tell apart."""
    if scaling.order and 2 * scaling.order >= data.num_angles:
        raise InputError(
            f"scaling {config.scaling!r} needs at least {2 * scaling.order + 1} angles, found "
            f"{data.num_angles}: choose fewer harmonics, or another scaling"
        )


def _check_pairs(data: TwoTimeData, config: FitConfig, noise: Noise) -> None:
    """Raise `InputError` if maps lack so many pairs that their covariance cannot be held."""
    if not (noise.whole_maps and data.num_missing):
        return
    if config.bin_frames > 1:
        raise InputError(
            f"bin_frames averages maps with a value for every pair of usable frames, found "
            f"{data.num_missing} pairs that were not measured: leave bin_frames at 1"
        )
    size = length_of_list(data)
    if size > MAX_LISTED:
        raise InputError(
            f"noise {config.noise!r} needs a matrix with a row for every pair that is missing, or "
            f"for every pair that is there, at most {MAX_LISTED}, found {size} in a map: keep "
            "fewer frames by --first-frame and --stop-frame, or choose --noise independent, whose "
            "intervals are uncorrected and much too narrow"
        )


def _check_bins(data: TwoTimeData, config: FitConfig, noise: Noise) -> None:
    """Raise `InputError` if frames cannot be averaged as asked for."""
    if config.bin_frames == 1:
        return
    if not noise.whole_maps:
        raise InputError(
            f"bin_frames averages the residuals of correlated noise, found noise "
            f"{config.noise!r}: choose noise speckle or corrected, or leave bin_frames at 1"
        )
    if data.num_frames < MIN_FRAMES * config.bin_frames:
        raise InputError(
            f"bin_frames must leave at least {MIN_FRAMES} bins, found {config.bin_frames} for "
            f"{data.num_frames} frames"
        )
