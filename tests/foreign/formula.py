"""What a sample does and what its speckle keeps of it, from the formulas alone.

With the clock of the rates at t = 0, and Γ = ∫γ̇ dt between two times:

    D(t)   = D0 t^alpha + D_offset
    γ̇(t)  = gamma_dot_t0 t^beta + gamma_dot_t_offset
    g1     = exp(-½ q² ∫D dt) · m(x)^k
    x      = q L/(2π) cos(phi0 - φ) Γ, k = 2      "upstream"
           = q L/2 cos(phi0 - φ) Γ,    k = 1      "gap-average"
    m(x)   = sin(x)/x

Integrals are exact: ∫ t^a dt = t^(a+1)/(a+1). Nothing is imported from the package.
"""

from dataclasses import dataclass

import numpy as np

PHASE = {"upstream": (1 / (2 * np.pi), 2), "gap-average": (0.5, 1)}  # x / (qL cos Γ), and power


@dataclass(frozen=True)
class Sample:
    """A sample, by default at rest and as the model of the package has it.

    Attributes
    ----------
    D0, alpha, D_offset : float
        Of D(t) in Å²/s; alpha > -1.
    gamma_dot_t0, beta, gamma_dot_t_offset, phi0 : float
        Of the shear rate in 1/s, and its direction in degree; beta > -1.
    convention : {"upstream", "gap-average"}
        What the phase of the flow means.
    age : float
        Time in s between the start of the clock and frame 0.
    static : float
        Share f of the intensity that is frozen speckle: g1 -> (1 - f) g1 + f.
    reference : float
        Share of the intensity that is a reference without speckle: heterodyne.
    ageing : float
        D falls exponentially by this factor within ``ageing_time`` s.
    stretch : float
        Exponent of ½ q² ∫D dt.
    start_up : float
        Time in s in which the flow starts: γ̇ is multiplied by 1 - exp(-t / start_up).
    sheared : float
        Part of the gap in which all of the shear is localised; the rest moves with the wall.
    """

    D0: float = 1e4
    alpha: float = -0.3
    D_offset: float = 500.0
    gamma_dot_t0: float = 0.0
    beta: float = 0.1
    gamma_dot_t_offset: float = 0.0
    phi0: float = 3.0
    convention: str = "upstream"
    age: float = 0.0
    static: float = 0.0
    reference: float = 0.0
    ageing: float = 1.0
    ageing_time: float = 4.0
    stretch: float = 1.0
    start_up: float = 0.0
    sheared: float = 1.0

    @property
    def flows(self):
        """Whether there is any shear."""
        return self.gamma_dot_t0 != 0 or self.gamma_dot_t_offset != 0


def diffusion(sample, t):
    """Return the transport coefficient in Å²/s at times ``t`` > 0 in s."""
    fall = np.log(sample.ageing) / sample.ageing_time
    return (sample.D0 * t**sample.alpha + sample.D_offset) * np.exp(-fall * (t - sample.age))


def shear_rate(sample, t):
    """Return the shear rate in 1/s at times ``t`` > 0 in s."""
    rate = sample.gamma_dot_t0 * t**sample.beta + sample.gamma_dot_t_offset
    return rate * (1 - np.exp(-t / sample.start_up)) if sample.start_up else rate


def slope(sample, t):
    """Return d log D / d log t at a time in s, without ageing."""
    curved = sample.D0 * t**sample.alpha
    return sample.alpha * curved / (curved + sample.D_offset)


def integral(amplitude, exponent, offset, t):
    """Return ∫ (amplitude s^exponent + offset) ds from 0 to t, times in s."""
    return amplitude * t ** (exponent + 1) / (exponent + 1) + offset * t


def transport(sample, t):
    """Return ∫D dt in Å² from the start of the clock to times ``t`` in s."""
    if sample.ageing == 1:
        return integral(sample.D0, sample.alpha, sample.D_offset, t)
    if sample.alpha:
        raise ValueError("exponential ageing is of a constant D: alpha = 0")
    fall = np.log(sample.ageing) / sample.ageing_time
    start = sample.D0 + sample.D_offset
    return -start / fall * np.expm1(-fall * (t - sample.age))


def strain(sample, t):
    """Return ∫γ̇ dt from the start of the clock to times ``t`` in s."""
    if not sample.start_up:
        rate = sample.gamma_dot_t0, sample.beta, sample.gamma_dot_t_offset
        return integral(*rate, t)
    if sample.beta:
        raise ValueError("the start of a flow is that of a constant shear rate: beta = 0")
    final = sample.gamma_dot_t0 + sample.gamma_dot_t_offset
    return final * (t + sample.start_up * np.expm1(-t / sample.start_up))


def field_correlation(sample, t, phi, q, gap):
    """Return g1 of all pairs of frames, (G, G), a valid covariance.

    Frozen speckle and a reference are not in it. Where there are any, they stand still as one wall
    does, and the field turns with the mean flow past them: g1 is then complex, as it is where the
    shear is localised, and real elsewhere.

    Parameters
    ----------
    sample : Sample
    t : numpy.ndarray
        (G,) times in s since the start of the clock.
    phi, q, gap : float
        Azimuth in degree, wavevector in 1/Å, gap in Å.
    """
    moved = transport(sample, t)
    decay = 0.5 * q**2 * np.abs(moved[:, None] - moved)
    g1 = np.exp(-(decay**sample.stretch))
    if not sample.flows:
        return g1
    factor, power = PHASE[sample.convention]
    turned = strain(sample, t)
    angle = np.cos(np.deg2rad(sample.phi0 - phi))
    x = factor * q * gap * angle * (turned[:, None] - turned)
    field = _profile(x, sample.sheared)
    if sample.static or sample.reference:
        field = field * np.exp(1j * x)
    return g1 * field**power


def _profile(x, sheared):
    """Return ∫ exp(i x (2 u(y) - 1)) dy over the gap, u(y) = min(y / sheared, 1) the velocity."""
    linear = np.sinc(x / np.pi)  # NumPy's sinc has the π
    return linear if sheared == 1 else sheared * linear + (1 - sheared) * np.exp(1j * x)


def intensity_correlation(sample, t, phi, q, gap):
    """Return (<I I'> / <I>² - 1) / β of a single mode, (G, G), frozen parts included.

    Parameters
    ----------
    sample, t, phi, q, gap
        As for `field_correlation`.
    """
    f, x = sample.static, sample.reference
    g1 = (1 - f) * field_correlation(sample, t, phi, q, gap) + f
    return (1 - x) ** 2 * np.abs(g1) ** 2 + 2 * x * (1 - x) * np.real(g1)
