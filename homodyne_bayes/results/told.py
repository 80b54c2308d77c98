"""What the detector tells of pixels and photons, against what the scatter of the maps says.

Under the intensity covariance S = β g1² + e·1 the scatter of residuals knows two numbers of a
wavevector: the signal of a pixel, x = β/e, by how residuals move together, and the number M of
pixels, by how large they are. Photons n counted in a pixel and frame say that x is β n. Neither
number is known well from the scatter alone where photons are few, and both err together, M as e²:
so pixels are compared at the photons that were counted, where these are told.

With λ the eigenvalues of g1² of a map of m frames, and a = λ / (1 + x λ), residuals of the working
covariance have the information ½ (m + 2) (Σ a² − (Σ a)² / m) of x, the scale of the map free.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from homodyne_bayes.results.store import group
from homodyne_bayes.text import short

INEXACT = {"photons": 0.1, "pixels": 0.03}  # what the working covariance leaves out
OVERSTATED = (
    "the contrast is smaller than the fit says, as where priors decide it (fit with --scaling "
    "shared, and see what another --prior contrast changes)"
)
UNEVEN = (
    "the intensity is uneven in the bin (an envelope, hot pixels: mask bright pixels, or choose "
    "smaller bins), or speckles are larger than a pixel (tell how many pixels see different "
    "speckle, --num-pixels)"
)
CAUSES = {  # of a number that comes out too small, and too large
    "photons": (f"{OVERSTATED}, or counts are not photons (--photons)", UNEVEN),
    "pixels": (f"{UNEVEN}, or it was not normalised well", f"{OVERSTATED}, or were told wrong"),
}


class Comparison(NamedTuple):
    """One number of a wavevector, as the detector tells it and as the scatter says.

    Attributes
    ----------
    name : str
        "pixels" or "photons".
    q : float
        Wavevector in 1/Å.
    told, seen : float
        Mean of the maps, told by the detector; what the scatter says.
    error : float
        sd of ``seen`` over ``told`` where both are right.
    distance : float
        By how many sd they differ, positive where more are seen.
    """

    name: str
    q: float
    told: float
    seen: float
    error: float
    distance: float

    @property
    def p(self) -> float:
        """How often chance makes them differ so much."""
        return math.erfc(abs(self.distance) / math.sqrt(2))

    def sentence(self) -> str:
        """Return what does not agree, and what may be the cause."""
        seen, told = short(self.seen), short(self.told)
        said = {
            "photons": f"if a pixel counted {seen} in a frame, but it counted {told}",
            "pixels": f"those of {seen}, but a bin has {told}",
        }
        head = f"{self.name.capitalize()} do not agree with the detector"
        cause = CAUSES[self.name][self.distance > 0]
        return f"{head}: the maps scatter as {said[self.name]}. Either {cause}."


class _Maps(NamedTuple):
    """The maps of a wavevector: β, its relative sd, e, eigenvalues of g1² and M of every map."""

    contrast: float
    contrast_error: float
    nugget: float
    spectra: list[np.ndarray]
    pixels: np.ndarray


def comparisons(tree: xr.DataTree) -> list[Comparison]:
    """Return what can be compared.

    Nothing can where nothing is told, noise is not that of speckle, or contrast was held.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    """
    fixed = group(tree, "constant_data")
    told = {name: fixed[name].values for name in ("num_pixels", "photons") if name in fixed}
    if not told or "noise" not in tree.children or "contrast" not in tree["posterior"]:
        return []
    q, compared = np.broadcast_to(fixed["q"].values, fixed.sizes["phi"]), []
    for value in np.unique(q):
        at = np.flatnonzero(q == value)
        maps = _maps(tree, at)
        here = {name: values[at] for name, values in told.items()}
        if maps.contrast > 0 and "photons" in here:
            compared.append(_photons(maps, float(value), here["photons"]))
        if maps.contrast > 0 and "num_pixels" in here:
            compared.append(_pixels(maps, float(value), here["num_pixels"], here.get("photons")))
    return compared


def unlike(compared: list[Comparison], limit: float) -> list[Comparison]:
    """Return the comparisons whose p, times their number, is at most a limit; the worst first."""
    worst_first = sorted(compared, key=lambda comparison: -abs(comparison.distance))
    return [comparison for comparison in worst_first if len(compared) * comparison.p <= limit]


def signal_error(spectra: Iterable[np.ndarray], signal: float) -> float:
    """Return the relative sd of the signal of a pixel, β/e, as residuals of some maps know it.

    Parameters
    ----------
    spectra : iterable of ndarray, (m,)
        Eigenvalues of g1² of every map.
    signal : float
        The signal.
    """
    information = 0.0
    for eigenvalues in spectra:
        a, m = eigenvalues / (1 + signal * eigenvalues), len(eigenvalues)
        information += (m + 2) / 2 * ((a**2).sum() - a.sum() ** 2 / m)
    return 1 / (signal * math.sqrt(information))


def _photons(maps: _Maps, q: float, told: np.ndarray) -> Comparison:
    """Compare the signal of a pixel with contrast times counted photons."""
    signal = maps.contrast * float(told.mean())
    error = math.hypot(signal_error(maps.spectra, signal), maps.contrast_error, INEXACT["photons"])
    seen = 1 / maps.nugget
    mean = float(told.mean())
    return Comparison("photons", q, mean, seen, error, (seen / mean - 1) / error)


def _pixels(maps: _Maps, q: float, told: np.ndarray, photons: np.ndarray | None) -> Comparison:
    """Compare the logarithm of the number of pixels, at counted photons where they are told."""
    fitted = maps.contrast / maps.nugget
    signals = np.full(len(told), fitted) if photons is None else maps.contrast * photons
    shifts, shares = [], []
    for signal, eigenvalues in zip(signals, maps.spectra, strict=True):
        shifts.append(np.log((eigenvalues + 1 / signal) / (eigenvalues + 1 / fitted)).mean())
        shares.append((1 / (1 + signal * eigenvalues)).mean())  # of shot noise in S
    shot, sizes = np.mean(shares), np.array([len(spectrum) for spectrum in maps.spectra])
    pairs = float((sizes * (sizes - 1) / 2).sum())
    if photons is None:
        errors = [2 * maps.contrast_error, 2 * shot * signal_error(maps.spectra, fitted)]
    else:
        errors = [2 * (1 - shot) * maps.contrast_error]
    error = math.hypot(math.sqrt(2 / pairs), INEXACT["pixels"], *errors)
    off = float((np.log(maps.pixels / told) + 2 * np.array(shifts)).mean())
    mean = float(told.mean())
    return Comparison("pixels", q, mean, mean * math.exp(off), error, off / error)


def _maps(tree: xr.DataTree, at: np.ndarray) -> _Maps:
    """Return what is needed of maps of one wavevector, of these indices."""
    noise, posterior = group(tree, "noise"), group(tree, "posterior")
    usable, fitted = group(tree, "constant_data")["usable"].values, group(tree, "fitted")["c2"]
    bins, spectra = int(noise.attrs["bin_frames"]), []
    contrast, offset = (posterior[name].values[..., at] for name in ("contrast", "offset"))
    for i, height, base in zip(at, contrast.mean((0, 1)), offset.mean((0, 1)), strict=True):
        kept = np.flatnonzero(usable[i])
        kept = kept[: len(kept) // bins * bins]
        g1_squared = (fitted.values[i][np.ix_(kept, kept)] - base) / height
        m = len(kept) // bins
        binned = g1_squared.reshape(m, bins, m, bins).mean((1, 3))
        spectra.append(bins * np.maximum(np.linalg.eigvalsh(binned), 0))  # beside e / bins
    ratio = (contrast / offset**2).mean(axis=-1)
    return _Maps(
        contrast=float(noise["contrast"].values[at].mean()),
        contrast_error=float(ratio.std() / abs(ratio.mean())),
        nugget=float(noise["nugget"].values[at].mean()),
        spectra=spectra,
        pixels=noise["num_pixels"].values[at],
    )
