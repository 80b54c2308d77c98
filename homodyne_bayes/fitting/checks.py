"""Whether data and settings fit together, and what of the settings the data can meet."""

from dataclasses import replace

from homodyne_bayes.compat.scaling import averaged_scaling
from homodyne_bayes.config import INTEGRATED, FitConfig
from homodyne_bayes.data.axes import MIN_FRAMES
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.environment import require_x64
from homodyne_bayes.errors import InputError
from homodyne_bayes.likelihood.scaling import order
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.physics.points import check_num_shards


def whole_angles(config: FitConfig) -> bool:
    """Return whether a shard has to hold all pairs of its angles."""
    return config.noise != "independent" or config.scaling in INTEGRATED


def check_flow(data: TwoTimeData, model: str) -> None:
    """Raise `InputError` if a model needs a gap or azimuths that the data do not have."""
    if model != "laminar_flow":
        return
    if data.gap is None:
        raise InputError("model laminar_flow needs the gap in Å, found none: pass --gap")
    if "phi" in data.provenance.get("assumed", ()):
        raise InputError(
            "model laminar_flow needs the azimuth of every map, found none in the file: "
            "pass --phi, or fit --model static"
        )


def shardable(data: TwoTimeData, config: FitConfig) -> FitConfig:
    """Return the settings as they can be met by the data, or say why they cannot.

    Where noise is correlated or contrast and offset are integrated, a shard has an angle or more;
    where there is a single angle, NUTS samples all the data. Where contrast and offset are
    constant, those without a prior of the user are held at estimates from quantiles.

    Raises
    ------
    InputError
        If data and settings do not fit together.
    MissingPrecisionError
        If JAX is set to float32.
    """
    require_x64()
    check_flow(data, config.model)
    check_bins(data, config)
    check_pairs(data, config)
    if 2 * order(config.scaling) >= data.num_angles and order(config.scaling):
        raise InputError(
            f"scaling {config.scaling!r} needs at least {2 * order(config.scaling) + 1} angles, "
            f"found {data.num_angles}: choose fewer harmonics, or another scaling"
        )
    if config.scaling == "constant" and not set(PER_ANGLE) <= set(config.priors):
        found = dict(zip(PER_ANGLE, averaged_scaling(data), strict=True))
        held = {name: (value, config.prior_table()[name].scale) for name, value in found.items()}
        config = replace(config, priors={**held, **config.priors})
    if config.method != "consensus":
        return config
    if not whole_angles(config):
        check_num_shards(data, config.num_shards)
        return config
    most = min(config.num_shards, data.num_angles)
    return replace(config, num_shards=most) if most > 1 else replace(config, method="full")


def check_pairs(data: TwoTimeData, config: FitConfig) -> None:
    """Raise `InputError` if maps lack pairs and the noise is that of whole maps."""
    if config.noise != "independent" and data.num_missing:
        raise InputError(
            f"noise {config.noise!r} needs a value for every pair of usable frames, found "
            f"{data.num_missing} pairs that were not measured: choose --noise independent, whose "
            "intervals are uncorrected and much too narrow"
        )


def check_bins(data: TwoTimeData, config: FitConfig) -> None:
    """Raise `InputError` if frames cannot be averaged as asked for."""
    if config.bin_frames == 1:
        return
    if config.noise == "independent":
        raise InputError(
            "bin_frames averages the residuals of correlated noise, found noise 'independent': "
            "choose noise speckle or corrected, or leave bin_frames at 1"
        )
    if data.num_frames < MIN_FRAMES * config.bin_frames:
        raise InputError(
            f"bin_frames must leave at least {MIN_FRAMES} bins, found {config.bin_frames} for "
            f"{data.num_frames} frames"
        )
