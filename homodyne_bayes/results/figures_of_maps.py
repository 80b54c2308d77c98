"""Figures of two-time maps: measured, fitted, residuals, cuts, and residuals made white."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import scipy.stats
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from homodyne_bayes.results.diagnostics import group, lack_pairs
from homodyne_bayes.text import azimuth

MAX_ANGLES = 6
WHITE_LIMIT = 3.0  # of the colours of residuals of unit variance
MAX_SIDE = 250  # of a map that lacks pairs: entries that can still be told apart
MAX_BLOCKS = 24  # along an axis of a map of sums over blocks
CYCLE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")  # Okabe-Ito
BLUE, VERMILION, GREY = CYCLE[0], CYCLE[3], "0.8"


def worst_map(tree: xr.DataTree, panel: float = 1.9) -> Figure:
    """Draw measured c2, fitted c2 and residual of the map with the largest residuals."""
    spread = _difference(tree).std(("t1", "t2"))
    return maps(tree, np.array([int(spread.values.argmax())]), panel)


def maps(tree: xr.DataTree, shown: np.ndarray | None = None, panel: float = 3.0) -> Figure:
    """Draw measured c2, fitted c2 and residual of every angle, of at most 6 if there are more.

    Or of the angles ``shown``, indices (n,), a map being ``panel`` inches wide.
    """
    chosen = shown
    shown = representative(group(tree, "observed_data")["phi"]) if chosen is None else chosen
    measured, fitted, residual = (
        off_diagonal(c2).isel(phi=shown)
        for c2 in (group(tree, "observed_data")["c2"], group(tree, "fitted")["c2"], residuals(tree))
    )
    if lack_pairs(tree):
        measured, fitted, residual = map(legible, (measured, fitted, residual))
    most = float(scatter(tree).max())
    span = (float(fitted.min()) - most, float(fitted.max()) + most)
    extreme = float(np.nanpercentile(np.abs(residual), 99))
    unit = r"$\sigma$" if "sigma" in group(tree, "posterior") else "its sd"
    wide = len(shown) > 3
    side, panel = ("right", 1.75) if wide else ("bottom", panel)
    nrows, ncols = (3, len(shown)) if wide else (len(shown), 3)
    fig = Figure((1.2 + panel * ncols, 1.2 + panel * nrows), layout="compressed")
    axes = fig.subplots(nrows, ncols, sharex=True, sharey=True, squeeze=False)
    kinds = (
        ("measured", measured, span, "viridis"),
        ("fitted", fitted, span, "viridis"),
        ("residual", residual, (-extreme, extreme), "RdBu_r"),
    )
    axes = axes if wide else axes.T
    for row, (kind, c2, limits, cmap) in zip(axes, kinds, strict=True):
        for ax, angle in zip(row, c2, strict=True):
            where = azimuth(angle["phi"])
            above = where.replace(", ", "\n") if ax in axes[0] else ""
            image(ax, angle, limits, cmap, above if wide else f"{kind}, {where}")
        if wide:
            row[0].set_ylabel(f"{kind}\n$t_2$ (s)")
    fig.colorbar(
        axes[0, 0].images[0], ax=axes[:2], location=side, extend="both", aspect=30, label=r"$c_2$"
    )
    fig.colorbar(
        axes[2, 0].images[0],
        ax=axes[2],
        location=side,
        extend="both",
        aspect=15,
        label=f"residual / {unit}",
    )
    if chosen is None:
        title_subset(fig, tree, shown)
    return fig


def lag_cuts(tree: xr.DataTree) -> Figure:
    """Draw c2 against the lag t2 - t1 at three ages t1: points measured, posterior bands."""
    return _cuts(tree, (("replicated", (0, -1), 0.2), ("posterior", (0, -1), 0.5)), "posterior")


def prior_cuts(tree: xr.DataTree) -> Figure:
    """Draw c2 against the lag at the first age: points measured, bands of the prior."""
    return _cuts(tree, (("prior", (0, -1), 0.2), ("prior", (1, -2), 0.35)), "prior", ages=1)


def _cuts(
    tree: xr.DataTree,
    bands: Sequence[tuple[str, tuple[int, int], float]],
    median: str,
    ages: int | None = None,
) -> Figure:
    """Draw measured cuts over bands, (variable, levels from and to, opacity), and a median."""
    shown = representative(group(tree, "observed_data")["phi"])
    fig, axes = panels(len(shown), 3, 3.3 if len(shown) > 1 else 5.5, 2.6, sharey=True)
    for ax, angle in zip(axes, shown, strict=True):
        cuts = group(tree, "cuts").isel(phi=angle, age=slice(ages))
        for age, color in zip(range(cuts.sizes["age"]), CYCLE, strict=False):
            own = cuts.isel(age=age).dropna("lag", subset=["measured"])
            for name, (low, high), alpha in bands:
                ax.fill_between(
                    own["lag"], own[name][low], own[name][high], color=color, alpha=alpha, lw=0
                )
            ax.plot(
                own["lag"],
                own[median].sel(level=0.5),
                color=color,
                linewidth=1,
                label=f"$t_1$ = {_span(float(own['begin']), float(own['end']))} s",
            )
            ax.plot(own["lag"], own["measured"], ".", color=color, markersize=3)
        ax.set_title(f"φ = {azimuth(cuts['phi'])}", loc="left", fontsize="medium")
        log_axis(ax, cuts["lag"].values)
    for ax in axes[-3:]:
        ax.set_xlabel(r"lag $t_2 - t_1$ (s)")
    legend(fig, axes)
    fig.supylabel(r"$c_2$", fontsize="medium")
    title_subset(fig, tree, shown)
    return fig


def log_axis(ax: Axes, values: np.ndarray) -> None:
    """Make the horizontal axis, of ascending values (L,), logarithmic, with a few plain numbers."""
    ax.set_xscale("log")
    subs = (1.0,) if values[-1] > 50 * values[0] else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def legend(fig: Figure, axes: Sequence[Axes]) -> None:
    """Draw one legend below all panels where they have the same labels, or else each its own."""
    entries = [ax.get_legend_handles_labels() for ax in axes]
    if all(labels == entries[0][1] for _, labels in entries):
        fig.legend(*entries[0], loc="outside lower center", ncols=3, frameon=False)
    else:
        for ax in axes:
            ax.legend(frameon=False, fontsize="small")


def _span(begin: float, end: float) -> str:
    return f"{begin:.3g}" if begin == end else f"{begin:.3g} to {end:.3g}"


def whitened(tree: xr.DataTree) -> Figure:
    """Draw residuals without their correlations: sums over blocks, and how they are distributed."""
    entries = white_entries(tree)
    blocks = white_blocks(entries)
    shown = representative(entries["phi"])
    count, size = len(shown) + 1, -(-entries.sizes["bin1"] // blocks.sizes["bin1"])
    fig, axes = panels(count, min((3, 4), key=lambda n: -count % n), 2.9, 2.6)
    for ax, block in zip(axes, blocks.isel(phi=shown), strict=False):
        image(ax, block, (-WHITE_LIMIT, WHITE_LIMIT), "RdBu_r", f"φ = {azimuth(block['phi'])}")
    fig.colorbar(
        axes[0].images[0],
        ax=axes[:-1],
        location="right",
        extend="both",
        aspect=30,
        label=f"blocks of {size} × {size} (sd)",
    )
    _distribution(axes[-1], {"entries": entries, f"{size} × {size} blocks": blocks})
    title_subset(fig, tree, shown)
    return fig


def representative(phi: xr.DataArray) -> np.ndarray:
    """Return indices of at most 6 maps spread evenly over the sorted azimuths (P,)."""
    chosen = np.linspace(0, len(phi) - 1, min(len(phi), MAX_ANGLES)).round().astype(int)
    return np.argsort(phi.values)[chosen]


def off_diagonal(c2: xr.DataArray) -> xr.DataArray:
    """Return maps (phi, t1, t2) with NaN on the diagonal, which is never fitted."""
    return c2.where(c2["t1"] != c2["t2"])


def legible(c2: xr.DataArray) -> xr.DataArray:
    """Return maps (phi, t1, t2), or means over blocks where single pairs were too small to see."""
    size = -(-c2.sizes["t1"] // MAX_SIDE)
    return c2.coarsen(t1=size, t2=size, boundary="pad").mean()


def residuals(tree: xr.DataTree) -> xr.DataArray:
    """Return (measured - fitted) / `scatter`, (phi, t1, t2), diagonal NaN."""
    return _difference(tree) / scatter(tree)


def scatter(tree: xr.DataTree) -> xr.DataArray:
    """Return the unit of residuals, (phi,): posterior mean of sigma, or else their sd in a map."""
    posterior, difference = group(tree, "posterior"), _difference(tree)
    if "sigma" in posterior:
        return posterior["sigma"].mean() * xr.ones_like(difference["phi"], dtype=float)
    return difference.std(("t1", "t2"))


def white_entries(tree: xr.DataTree) -> xr.DataArray:
    """Return residuals without their correlations, (phi, bin1, bin2), NaN where nothing is fitted.

    Nothing is fitted on the diagonal and in bins without usable frames.
    """
    noise, usable = group(tree, "noise"), group(tree, "constant_data")["usable"].values
    white, bins = noise["whitened"], int(noise.attrs["bin_frames"])
    padded = np.pad(usable, [(0, 0), (0, -usable.shape[1] % bins)])
    kept = padded.reshape(*white.shape[:2], bins).any(axis=-1)
    fitted = kept[:, :, None] & kept[:, None, :] & ~np.eye(white.shape[1], dtype=bool)
    return white.where(fitted)


def white_blocks(entries: xr.DataArray) -> xr.DataArray:
    """Return sums of white entries over square blocks, (phi, bin1, bin2), again of unit variance.

    Blocks have so many bins a side that at most 24 cover the record; a pair of bins counts once.
    Blocks without entries are NaN.
    """
    angles, bins, _ = entries.shape
    size = -(-bins // MAX_BLOCKS)
    count = -(-bins // size)
    pad = [(0, 0), (0, count * size - bins), (0, count * size - bins)]
    upper = np.pad(np.triu(np.nan_to_num(entries.values)), pad)
    known = np.pad(np.triu(np.isfinite(entries.values)), pad)
    sums, numbers = (
        values.reshape(angles, count, size, count, size).sum(axis=(2, 4))
        for values in (upper, known)
    )
    blocks = np.where(numbers > 0, sums / np.sqrt(np.maximum(numbers, 1)), np.nan)
    lower = np.tri(count, k=-1, dtype=bool)
    blocks[:, lower] = blocks.swapaxes(1, 2)[:, lower]
    step = float(entries["bin1"][1] - entries["bin1"][0])
    centres = float(entries["bin1"][0]) + step * (size * np.arange(count) + (size - 1) / 2)
    coords = {**entries["phi"].coords, "bin1": centres, "bin2": centres}
    return xr.DataArray(blocks, coords, ("phi", "bin1", "bin2"))


def panels(
    count: int, ncols: int, width: float, height: float, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels of a size in inches, in rows of ``ncols`` at most."""
    ncols = min(ncols, count)
    nrows = -(-count // ncols)
    fig = Figure((width * ncols, 0.5 + height * nrows), layout="constrained")
    axes = list(fig.subplots(nrows, ncols, sharey=sharey, squeeze=False).flat)
    for ax in axes[count:]:
        ax.remove()
    return fig, axes[:count]


def title_subset(fig: Figure, tree: xr.DataTree, shown: np.ndarray) -> None:
    """Say in the title where not all angles are shown; ``shown`` are their indices, (n,)."""
    total = group(tree, "observed_data").sizes["phi"]
    if len(shown) < total:
        fig.suptitle(f"{len(shown)} of {total} angles", fontsize="medium")


def image(ax: Axes, c2: xr.DataArray, limits: tuple[float, float], cmap: str, title: str) -> None:
    """Draw one map, (G, G), over two times in s, on the colours of ``limits``."""
    time = c2[c2.dims[0]].values
    half = 0.5 * (time[1] - time[0])
    ends = (time[0] - half, time[-1] + half)
    ax.imshow(
        c2.values.T,
        origin="lower",
        extent=(*ends, *ends),
        vmin=limits[0],
        vmax=limits[1],
        cmap=mpl.colormaps[cmap].with_extremes(bad=GREY),
        interpolation="nearest",
    )
    ax.locator_params(nbins=4)
    ax.set(xlabel=r"$t_1$ (s)", ylabel=r"$t_2$ (s)")
    ax.set_title(title, fontsize="medium")
    ax.label_outer()


def _distribution(ax: Axes, samples: dict[str, xr.DataArray]) -> None:
    """Draw how samples (phi, bin1, bin2), each pair once, are distributed beside a normal."""
    edges = np.linspace(-5, 5, 41)
    for (name, values), color in zip(samples.items(), (BLUE, VERMILION), strict=False):
        once = values.values[:, *np.triu_indices(values.shape[-1])]
        once = once[np.isfinite(once)]
        density, _ = np.histogram(once.clip(-5, 5), edges, density=True)
        ax.stairs(density, edges, color=color, label=f"{name}, sd {once.std():.2f}")
    x = np.linspace(-5, 5, 201)
    ax.plot(x, scipy.stats.norm.pdf(x), "k--", linewidth=1, label="normal, sd 1")
    ax.set(xlabel="whitened residual (sd)", yticks=[], ylim=(0, 0.75))
    ax.set_title("all angles", fontsize="medium")
    ax.legend(frameon=False, fontsize="small", loc="upper left")


def _difference(tree: xr.DataTree) -> xr.DataArray:
    """Return measured - fitted, (phi, t1, t2), diagonal NaN."""
    return off_diagonal(group(tree, "observed_data")["c2"] - group(tree, "fitted")["c2"])
