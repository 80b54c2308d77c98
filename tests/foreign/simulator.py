"""Speckle, pixel by pixel, and what beams and detectors make of it: numpy alone.

The field of a pixel is a complex circular Gaussian process over the frames with covariance g1.
Several modes make a pixel, photons are counted, and a map is <I I'> / (<I> <I'>), averaged over
pixels. All that a beam, a detector or a normalisation may do wrong is a keyword of `Beam`.
"""

from dataclasses import asdict, dataclass

import numpy as np

from tests.foreign.formula import field_correlation


@dataclass(frozen=True)
class Beam:
    """How a sample is measured, by default as well as can be.

    Attributes
    ----------
    phi : tuple of float
        Azimuths in degree.
    q, gap, dt : float
        Wavevector in 1/Å, gap in Å, time between frames in s.
    num_frames, num_pixels : int
        Frames, and pixels of every bin.
    photons : float or None
        Mean count of a pixel and frame; None for intensities without noise of counting.
    contrast, contrast_spread : float
        Of speckle, and the relative sd of the contrast from angle to angle.
    envelope : float
        sd of the logarithm of a fixed factor of every pixel's intensity.
    hot, hot_factor : float
        Fraction of pixels that are brighter, and how much brighter.
    speckle_of : tuple of int or None
        For every bin the bin whose speckle it sees, itself if its own; photons are its own.
    shared : float
        Part of the pixels of every bin that are pixels, counts and all, of the bin before it.
    flicker : float
        Relative sd of the intensity from frame to frame.
    smooth : int
        Maps are normalised by the mean intensity averaged over this many frames.
    monitor : tuple of (int, float)
        Frames whose normalisation is wrong, and by what factor.
    afterpulse : float
        Probability that a count makes another in the next frame.
    bad_frames : tuple of int
        Frames in which the beam sees another part of the sample.
    """

    phi: tuple[float, ...] = (-60.0, 0.0, 60.0)
    q: float = 0.0054
    gap: float = 2e6
    dt: float = 0.1
    num_frames: int = 44
    num_pixels: int = 4000
    photons: float | None = 1.0
    contrast: float = 0.25
    contrast_spread: float = 0.0
    envelope: float = 0.0
    hot: float = 0.0
    hot_factor: float = 8.0
    speckle_of: tuple[int, ...] | None = None
    shared: float = 0.0
    flicker: float = 0.0
    smooth: int = 1
    monitor: tuple[tuple[int, float], ...] = ()
    afterpulse: float = 0.0
    bad_frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Maps, and the truth.

    Attributes
    ----------
    c2 : numpy.ndarray
        (P, G, G) maps.
    phi, q, dt, gap
        As in `Beam`.
    truth : dict
        All of `Sample` and `Beam`; ``contrast`` is that of every angle, (P,).
    counts : numpy.ndarray
        (P, G) mean count, or intensity, of a pixel in every frame.
    num_pixels : int
        Pixels of every bin.
    """

    c2: np.ndarray
    phi: tuple[float, ...]
    q: float
    dt: float
    gap: float
    truth: dict
    counts: np.ndarray
    num_pixels: int


def times(sample, beam):
    """Return the times of the frames in s since the start of the clock, (G,)."""
    return sample.age + beam.dt * np.arange(beam.num_frames)


def simulate(sample, beam, seed=0):
    """Measure a sample.

    Parameters
    ----------
    sample : tests.foreign.formula.Sample
    beam : Beam
    seed : int or sequence of int
        Of all randomness.

    Returns
    -------
    Measured
    """
    rng = np.random.default_rng(seed)
    contrasts = beam.contrast * (1 + beam.contrast_spread * rng.standard_normal(len(beam.phi)))
    flicker = np.exp(beam.flicker * rng.standard_normal(beam.num_frames))
    speckles, maps, means = [], [], []
    pixels, overlap = None, round(beam.shared * beam.num_pixels)
    for i, (phi, contrast) in enumerate(zip(beam.phi, contrasts, strict=True)):
        source = i if beam.speckle_of is None else beam.speckle_of[i]
        if source == i:
            speckle = _intensity(rng, _covariance(sample, beam, phi), contrast, sample, beam)
            speckle *= _factor(rng, beam)[:, None] * flicker
        else:
            speckle = speckles[source]
        speckles.append(speckle if beam.speckle_of else None)  # the others are let go
        before, pixels = pixels, _detected(rng, speckle, beam)
        if before is not None and overlap:
            pixels[:overlap] = before[-overlap:]
        maps.append(_map(pixels, beam))
        means.append(pixels.mean(axis=0))
    return Measured(
        np.array(maps),
        beam.phi,
        beam.q,
        beam.dt,
        beam.gap,
        {**asdict(sample), **asdict(beam), "contrast": contrasts},
        np.array(means),
        beam.num_pixels,
    )


def mode_weights(contrast):
    """Return intensities of modes, of sum 1 and sum of squares ``contrast``, all but one equal."""
    M = 1 / contrast
    k = int(np.ceil(M - 1e-9)) - 1  # equal ones; the last, w, solves (k + w²) M = (k + w)²
    w = 1.0 if k == 0 else (k - np.sqrt(k**2 - (M - 1) * (k * M - k**2))) / (M - 1)
    weights = np.append(np.ones(k), w)
    return weights / weights.sum()


def _covariance(sample, beam, phi):
    """Return the covariance of the field that moves, (G, G)."""
    g1 = field_correlation(sample, times(sample, beam), phi, beam.q, beam.gap)
    good = ~np.isin(np.arange(beam.num_frames), beam.bad_frames)
    return np.where(good[:, None] & good | np.eye(beam.num_frames, dtype=bool), g1, 0)


def _intensity(rng, g1, contrast, sample, beam):
    """Return intensities of mean 1 before envelope, flicker and counting, (num_pixels, G)."""
    values, vectors = np.linalg.eigh(g1)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T  # z @ root has covariance g1
    f, x = sample.static, sample.reference
    total = np.zeros((beam.num_pixels, beam.num_frames))
    for weight in mode_weights(contrast):
        field = np.sqrt(1 - f) * (_circular(rng, total.shape) @ root)
        if f:
            field += np.sqrt(f) * _circular(rng, (beam.num_pixels, 1))
        if x:
            field = np.sqrt(1 - x) * field + np.sqrt(x)
        total += weight * (field.real**2 + field.imag**2)
    return total


def _circular(rng, shape):
    """Return complex circular normal numbers of variance 1."""
    return rng.standard_normal((*shape, 2)).view(complex)[..., 0] * np.sqrt(0.5)


def _factor(rng, beam):
    """Return the fixed factor of every pixel, of mean near 1, (num_pixels,)."""
    envelope = np.exp(beam.envelope * rng.standard_normal(beam.num_pixels) - beam.envelope**2 / 2)
    hot = rng.random(beam.num_pixels) < beam.hot
    return np.where(hot, beam.hot_factor, 1.0) * envelope


def _detected(rng, intensity, beam):
    """Return what the detector says of intensities, (num_pixels, G)."""
    if beam.photons is None:
        return intensity.copy()
    counts = rng.poisson(beam.photons * intensity)
    if beam.afterpulse:
        counts[:, 1:] += rng.binomial(counts[:, :-1], beam.afterpulse)
    return counts.astype(float)


def _map(pixels, beam):
    """Return <I I'> / (<I> <I'>), as well normalised as the beam has it, (G, G)."""
    mean = pixels.mean(axis=0)
    if beam.smooth > 1:
        window = np.ones(beam.smooth)
        mean = np.convolve(mean, window, "same") / np.convolve(np.ones_like(mean), window, "same")
    for frame, factor in beam.monitor:
        mean[frame] *= factor
    return pixels.T @ pixels / len(pixels) / np.outer(mean, mean)
