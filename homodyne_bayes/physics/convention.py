"""What the phase of a flow means: a table of conventions.

With Γ = ∫γ̇ dt between the two times of a point and the unnormalised sinc,

============== ===================== =========== ====================
convention     x                     s(x)        c2 carries
============== ===================== =========== ====================
"upstream"     q L/(2π) cos(φ₀-φ) Γ  sinc²(x)    sinc⁴
"gap-average"  q L/2 cos(φ₀-φ) Γ     sinc(x)     sinc²
============== ===================== =========== ====================

"gap-average" is the phase of a linear velocity profile averaged over the gap; "upstream" is what
homodyne 2.x computes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Convention:
    """One meaning of the phase.

    Attributes
    ----------
    title : str
        What it is, in one line.
    phase : callable
        ``phase(qL)`` is x over cos(φ₀-φ) Γ, from wavevector times gap.
    factor : callable
        ``factor(sinc)`` is what flow makes of the field, signed, from sinc(x).
    walls : float
        Phase between the two walls over x: that of the linear velocity profile which does the same
        to small phases.
    text, latex : str
        The factor of g1, and x, in words and as a formula.
    """

    title: str
    phase: Callable[[jax.Array], jax.Array]
    factor: Callable[[jax.Array], jax.Array]
    walls: float
    text: str
    latex: str


CONVENTIONS: dict[str, Convention] = {
    "upstream": Convention(
        title="the phase of homodyne 2.x: c2 carries the fourth power of sinc(x)",
        phase=lambda qL: qL / (2 * jnp.pi),
        factor=lambda sinc: sinc**2,
        walls=2 * math.sqrt(2),
        text=" · sinc²(x) with x = (qL/2π) cos(φ₀ − φ) ∫γ̇ dt, so c2 carries sinc⁴(x), as homodyne "
        "2.x computes it",
        latex=r"\,\mathrm{sinc}^2 x, \quad "
        r"x = \frac{qL}{2\pi} \cos(\phi_0 - \phi) \int \dot\gamma\,\mathrm{d}t",
    ),
    "gap-average": Convention(
        title="a linear velocity profile averaged over the gap: c2 carries sinc(x) squared",
        phase=lambda qL: qL / 2,
        factor=lambda sinc: sinc,
        walls=2.0,
        text=" · |sinc(x)| with x = (qL/2) cos(φ₀ − φ) ∫γ̇ dt, so c2 carries sinc²(x), the phase "
        "of a linear velocity profile averaged over the gap",
        latex=r"\,|\mathrm{sinc}\,x|, \quad "
        r"x = \frac{qL}{2} \cos(\phi_0 - \phi) \int \dot\gamma\,\mathrm{d}t",
    ),
}


def alike(name: str) -> dict[str, jax.Array]:
    """Return the other conventions, and the gap at which small phases do the same, over the gap.

    The latter are scalars. To second order in x a factor of sinc(x) is 1 - n x²/6, n its slope
    at 1.
    """

    def strength(convention: Convention) -> jax.Array:
        slope = jax.grad(convention.factor)(1.0)
        return convention.phase(jnp.asarray(1.0)) * jnp.sqrt(slope)

    own = strength(CONVENTIONS[name])
    return {n: own / strength(other) for n, other in CONVENTIONS.items() if n != name}
