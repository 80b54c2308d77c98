"""A fluid that is sheared to and fro between two walls at a known frequency."""

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpyro

from homodyne_bayes.model_files import laminar_flow, static
from homodyne_bayes.parameters import Parameter, Prior
from homodyne_bayes.physics import kernels, rates
from homodyne_bayes.physics.convention import Convention
from homodyne_bayes.physics.model import Formula, Model, under_flow
from homodyne_bayes.physics.points import ShardGrid
from homodyne_bayes.physics.rate_laws.constant import CONSTANT
from homodyne_bayes.physics.rate_laws.power_law import POWER_LAW
from homodyne_bayes.physics.rates import RateLaw

AMPLITUDE = replace(
    rates.GAMMA_DOT,
    name="gamma_dot_amplitude",
    symbol="γ̇_a",
    latex=r"\dot\gamma_\mathrm{a}",
    meaning="amplitude of the shear rate",
)
FREQUENCY = Parameter(
    *("frequency", "ν", r"\nu", "Hz", "frequency of the shear"),
    prior=Prior("lognormal", 0.0, 1e-5, "known from the drive: state yours"),
)
PHASE = Parameter(
    *("phase", "δ", r"\delta", "degree", "phase of the shear rate at t = 0"),
    prior=Prior("normal", 0.0, 90.0, "any; a phase and its opposite are the same"),
)


def oscillatory_flow(
    points: ShardGrid, priors: Mapping[str, Prior], D_law: RateLaw = POWER_LAW
) -> jax.Array:
    """Return the signed field of diffusion and γ̇(t) = γ̇_a cos(2πνt + δ), of every point."""
    D = rates.sample(rates.D, D_law, points, priors)  # (G,) Å²/s
    amplitude = rates.sample(AMPLITUDE, CONSTANT, points, priors).values[0]  # 1/s
    omega = 2 * jnp.pi * rates.draw("frequency", priors)
    delta = jnp.deg2rad(rates.draw("phase", priors))

    def gamma_dot(time: jax.Array) -> jax.Array:
        return amplitude * jnp.cos(omega * time + delta)

    def strain(time: jax.Array) -> jax.Array:
        return amplitude / omega * jnp.sin(omega * time + delta)

    values = numpyro.deterministic("gamma_dot", gamma_dot(points.time))
    history = kernels.History(values, rates.integrated(points, gamma_dot, strain))
    return kernels.field_correlation(points, D, history, rates.draw("phi0", priors))


def formula(convention: Convention) -> Formula:
    """Return g1 of laminar flow, and what its shear rate is."""
    flow, rate = under_flow(convention), r"\dot\gamma_\mathrm{a} \cos(2\pi\nu t + \delta)"
    terms = (*flow.terms, rf"with $\dot\gamma(t) = {rate}$")
    return Formula(f"{flow.text}, with γ̇(t) = γ̇_a cos(2πνt + δ)", flow.latex, terms)


MODEL = Model(
    oscillatory_flow,
    title="a fluid that diffuses and is sheared to and fro at a known frequency",
    needs=("gap", "phi"),
    rates=((rates.D, POWER_LAW), (AMPLITUDE, CONSTANT)),
    parameters=(laminar_flow.PHI0, FREQUENCY, PHASE),
    formula=formula,
    example=(
        *(("D0", 1e4), ("alpha", -0.3), ("D_offset", 500.0)),
        *(("gamma_dot_amplitude_constant", 2e-3), ("phi0", 3.0)),
        *(("frequency", 1.0), ("phase", 30.0)),
    ),
    still=static.MODEL,
)
