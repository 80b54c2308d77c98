"""The experiments of the foreign study: a table of what is measured, and how it is fitted."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from tests.foreign.formula import Sample
from tests.foreign.simulator import Beam


@dataclass(frozen=True)
class Row:
    """One regime.

    Attributes
    ----------
    meaning : str
        In a few words.
    sample, beam
        The middle of what experiments are drawn about.
    fit : dict
        Settings of the fit.
    slope_sd : float
        sd of alpha from experiment to experiment.
    select : dict
        What is selected of the maps, as `TwoTimeData.select` takes it.
    measured : callable
        ``measured(num_frames, rng)`` are flags of the pairs that maps have, (G, G).
    """

    meaning: str
    sample: Sample
    beam: Beam
    fit: dict = field(default_factory=dict)
    slope_sd: float = 0.1
    select: dict = field(default_factory=dict)
    measured: Callable = lambda num_frames, _: np.ones((num_frames, num_frames), bool)

    @property
    def flow(self):
        """Whether the fit is one of a flow."""
        return self.fit.get("model") == "laminar_flow"

    def draw(self, rng):
        """Return the sample and the beam of one experiment: level, slope, offset, contrast, γ̇."""
        sample, beam = self.sample, self.beam
        scatter = np.exp([0.3, 0.1, 0.1, 0.2] * rng.standard_normal(4))
        alpha = sample.alpha + self.slope_sd * rng.standard_normal()
        offset = sample.D_offset + sample.D0 * rng.uniform(0, 0.2)
        return (
            replace(
                sample,
                D0=sample.D0 * scatter[0],
                alpha=alpha,
                D_offset=offset * scatter[0],
                gamma_dot_t0=sample.gamma_dot_t0 * scatter[3],
                gamma_dot_t_offset=sample.gamma_dot_t_offset * scatter[3],
                phi0=sample.phi0 + rng.uniform(-3, 3),
            ),
            replace(
                beam,
                contrast=beam.contrast * scatter[1],
                photons=beam.photons and beam.photons * scatter[2],
            ),
        )


def half_of_the_lags(num_frames, _):
    """Return the pairs of the shortest and the longest lags; a band of half of them is missing."""
    lag = np.abs(np.subtract.outer(np.arange(num_frames), np.arange(num_frames)))
    return (lag <= num_frames // 8) | (lag > 5 * num_frames // 8)


def four_of_five(num_frames, rng):
    """Return 80 % of the pairs, at random; always as many, so that programs are compiled once."""
    pairs = np.triu_indices(num_frames, 1)
    flags = np.zeros((num_frames, num_frames), bool)
    flags[pairs] = rng.permutation(len(pairs[0])) >= len(pairs[0]) // 5
    return flags | flags.T


REST, FLOW = {"model": "static"}, {"model": "laminar_flow"}
TWELVE = tuple(range(-170, 190, 30))
STILL = Sample(D0=1e4, alpha=-0.3, D_offset=0.0)
SLOW = Sample(D0=1e3, alpha=0.0, D_offset=0.0)
SHEARED = replace(STILL, gamma_dot_t0=1e-3, gamma_dot_t_offset=1e-4)
STEADY = replace(SHEARED, alpha=0.0, beta=0.0)
DIM = Beam(contrast=0.15, photons=0.1)
CLEAR = Beam(contrast=0.33, photons=1.0, dt=0.2)  # the decay is in the window

RIGHT = {  # the fitted model is that of the sample
    "dim": Row("incomplete decay, few photons", STILL, DIM, REST),
    "dim-12": Row("the same, 12 angles", STILL, replace(DIM, phi=TWELVE), REST),
    "slow": Row("hardly any decay", SLOW, Beam(contrast=0.15), REST),
    "slow-0.33": Row("the same, contrast 0.33", SLOW, Beam(contrast=0.33), REST),
    "clear": Row("right model, at rest", STILL, CLEAR, REST),
    "clear-flow": Row("right model, flow", SHEARED, CLEAR, FLOW),
    "unequal": Row(
        "contrast scatters by 5 % over angles", STILL, replace(CLEAR, contrast_spread=0.05), REST
    ),
    "still": Row("no flow, fitted with flow", STILL, CLEAR, FLOW),
    "band": Row("half of the lags missing", STILL, CLEAR, REST, measured=half_of_the_lags),
    "gaps": Row("20 % of pairs missing at random", STILL, CLEAR, REST, measured=four_of_five),
    "lag-2": Row("without the first lag", STILL, CLEAR, REST, select={"first_lag": 2}),
}
DEPARTURES = {  # it is not
    "envelope": Row("lognormal 0.3 intensity", STILL, replace(CLEAR, envelope=0.3), REST),
    "envelope-dim": Row("lognormal 0.3 intensity", STILL, replace(DIM, envelope=0.3), REST),
    "hot": Row("1 % hot pixels, 8 times brighter", STILL, replace(CLEAR, hot=0.01), REST),
    "hot-dim": Row("1 % hot pixels, 8 times brighter", STILL, replace(DIM, hot=0.01), REST),
    "static-0.1": Row("frozen share 0.1", replace(STILL, static=0.1), CLEAR, REST),
    "static-0.2": Row("frozen share 0.2", replace(STILL, static=0.2), CLEAR, REST),
    "static-0.5": Row("frozen share 0.5", replace(STILL, static=0.5), CLEAR, REST),
    "reference-0.02": Row("heterodyne 2 %", replace(SHEARED, reference=0.02), CLEAR, FLOW),
    "reference-0.1": Row("heterodyne 10 %", replace(SHEARED, reference=0.1), CLEAR, FLOW),
    "opposite": Row(
        "maps at phi and phi + 180 degrees",
        STILL,
        replace(CLEAR, phi=(-60.0, 120.0, 0.0), speckle_of=(0, 0, 2)),
        REST,
    ),
    "shared": Row("bins share half of their pixels", STILL, replace(CLEAR, shared=0.5), REST),
    "localised": Row(
        "shear in 70 % of the gap",
        replace(SHEARED, sheared=0.7, convention="gap-average"),
        CLEAR,
        FLOW | {"convention": "gap-average"},
    ),
    "sideways": Row("flow along 90 degrees", replace(SHEARED, phi0=90.0), CLEAR, FLOW),
    "convention": Row(
        "the other phase convention", replace(SHEARED, convention="gap-average"), CLEAR, FLOW
    ),
    "ageing": Row(
        "D falls exponentially, 5:1",
        replace(SLOW, D0=1.5e4, ageing=5.0, ageing_time=8.6),
        CLEAR,
        REST,
        slope_sd=0.0,
    ),
    "stretched": Row("exponent 0.85", replace(STILL, stretch=0.85), CLEAR, REST),
    "start-up": Row("the flow starts in 2 s", replace(STEADY, start_up=2.0), CLEAR, FLOW),
    "afterpulse-0.3": Row(
        "afterpulsing 2 %, 0.3 photon", STILL, replace(CLEAR, photons=0.3, afterpulse=0.02), REST
    ),
    "afterpulse-0.3-lag-2": Row(
        "the same without the first lag",
        STILL,
        replace(CLEAR, photons=0.3, afterpulse=0.02),
        REST,
        select={"first_lag": 2},
    ),
    "afterpulse-0.3-lag-3": Row(
        "the same without two lags",
        STILL,
        replace(CLEAR, photons=0.3, afterpulse=0.02),
        REST,
        select={"first_lag": 3},
    ),
    "afterpulse-0.05": Row(
        "afterpulsing 2 %, 0.05 photon", STILL, replace(CLEAR, photons=0.05, afterpulse=0.02), REST
    ),
    "smoothed": Row(
        "flicker 2 %, mean smoothed over 5", STILL, replace(CLEAR, flicker=0.02, smooth=5), REST
    ),
    "monitor": Row(
        "monitor wrong in 2 frames",
        STILL,
        replace(CLEAR, monitor=((11, 1.05), (30, 0.95))),
        REST,
    ),
    "bad-frame": Row("one bad frame", STILL, replace(CLEAR, bad_frames=(17,)), REST),
}
RIGHT |= {
    f"exact{alpha:+g}-{frames}{'-flow' if fit is FLOW else ''}": Row(
        f"exact integrals, alpha = {alpha:g}, {frames} frames",
        replace(
            SHEARED if fit is FLOW else STILL, D0=1e5 * (alpha + 1) / 8 ** (alpha + 1), alpha=alpha
        ),
        replace(CLEAR, num_frames=frames, dt=8.0 / frames),
        fit,
        slope_sd=0.0,
    )
    for fit in (REST, FLOW)
    for frames in (40, 80)
    for alpha in (-0.8, -0.5, -0.3, 0.0, 0.5, 1.0)
}
ROWS = RIGHT | DEPARTURES
