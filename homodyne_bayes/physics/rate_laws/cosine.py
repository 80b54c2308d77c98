r"""A rate that is driven to and fro, :math:`a \cos(2\pi\nu t + \delta)`.

It is sampled by the log of a, by the log of ν t_ref, and by δ in turns. A frequency that is known,
as that of a drive is, takes the place of the second.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics.rates import Rate, RateLaw, log_level

CYCLES = Prior("normal", 0.0, 1.0, "from one cycle in all frames to seven; state that of the drive")
HALF_A_TURN = Prior("normal", 0.0, 90.0)
TURNS = Prior("normal", 0.0, 0.25, "any; a phase and its opposite are the same")


def reported(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of amplitude, frequency and phase."""
    rows = (
        ("amplitude", rf"{rate.latex}^\mathrm{{a}}", rate.unit, f"amplitude of the {rate.meaning}"),
        ("frequency", rf"\nu_{{{rate.latex}}}", "Hz", f"frequency of the {rate.meaning}"),
        ("phase", rf"\delta_{{{rate.latex}}}", "degree", f"phase of the {rate.meaning} at t = 0"),
    )
    return tuple(
        Parameter(f"{rate.name}_{what}", f"{rate.symbol} {what}", latex, unit, meaning)
        for what, latex, unit, meaning in rows
    )


def coordinates(rate: Rate) -> tuple[Parameter, ...]:
    """Return the rows of log amplitude, log cycles in t_ref, and phase in turns."""
    amplitude, frequency, phase = reported(rate)
    level = log_level(rate)
    rows = (
        (level.name, amplitude, level.unit, amplitude.meaning, rate.level),
        (
            f"{rate.name}_log_cycles",
            frequency,
            "",
            f"cycles of the {rate.meaning} in t_ref",
            CYCLES,
        ),
    )
    return (
        *(
            Parameter(
                *(name, f"log {of.symbol}", rf"\log {of.latex}", unit, f"log of the {meaning}"),
                prior=prior,
                role="coordinate",
            )
            for name, of, unit, meaning, prior in rows
        ),
        replace(
            phase, name=f"{rate.name}_turns", unit="360 degree", prior=TURNS, role="coordinate"
        ),
    )


def instead(rate: Rate, known: Collection[str]) -> tuple[Parameter, ...]:
    """Return the rows of what is sampled where something is known of reported parameters."""
    priors = (replace(rate.level, family="lognormal"), Prior("lognormal", 0.0, 1.0), HALF_A_TURN)
    pairs = zip(reported(rate), coordinates(rate), priors, strict=True)
    return tuple(
        replace(row, prior=prior) if row.name in known else other for row, other, prior in pairs
    )


def complete(values: Sequence[Any], t_ref: jax.Array) -> Sequence[jax.Array]:
    """Return amplitude, frequency and phase by what was sampled, as `instead` says."""
    amplitude, frequency, phase, log_amplitude, log_cycles, turns = values
    return (
        jnp.exp(log_amplitude) if amplitude is None else amplitude,
        jnp.exp(log_cycles) / t_ref if frequency is None else frequency,
        360.0 * turns if phase is None else phase,
    )


def angle(time: jax.Array, frequency: jax.Array, phase: jax.Array) -> jax.Array:
    """Return 2πνt + δ in radian at times in s, of any shape."""
    return 2 * jnp.pi * frequency * time + jnp.deg2rad(phase)


def evaluate(
    time: jax.Array, amplitude: jax.Array, frequency: jax.Array, phase: jax.Array
) -> jax.Array:
    """Return the rate at times in s, of any shape."""
    return amplitude * jnp.cos(angle(time, frequency, phase))


def integral(
    time: jax.Array, amplitude: jax.Array, frequency: jax.Array, phase: jax.Array
) -> jax.Array:
    """Return the integral from the first to every one of ascending times, (G,)."""
    since = jnp.sin(angle(time, frequency, phase)) / (2 * jnp.pi * frequency)
    return amplitude * (since - since[0])


COSINE = RateLaw(
    title="to and fro, at a frequency that should be stated",
    reported=reported,
    coordinates=coordinates,
    to_reported=lambda c, t_ref: complete((None, None, None, *c), t_ref),
    to_coordinates=lambda r, t_ref: (jnp.log(r[0]), jnp.log(r[1] * t_ref), r[2] / 360.0),
    evaluate=evaluate,
    latex=lambda amplitude, frequency, phase: rf"{amplitude} \cos(2\pi {frequency} t + {phase})",
    integral=integral,
    instead=instead,
    complete=complete,
    typical=lambda level: (level, 1.0, 30.0),
    signed=True,
)
