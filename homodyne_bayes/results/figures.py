"""Figures of a result: each is a function from its DataTree to a matplotlib Figure."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import gaussian_kde, rankdata

from homodyne_bayes.results import diagnostics, store, variables
from homodyne_bayes.results.diagnostics import group
from homodyne_bayes.results.figures_of_maps import (
    BLUE,
    CYCLE,
    GREY,
    VERMILION,
    lag_cuts,
    legend,
    log_axis,
    maps,
    panels,
    prior_cuts,
    representative,
    whitened,
    worst_map,
)
from homodyne_bayes.results.flow import Flow, flow
from homodyne_bayes.results.labels import in_formula, scaled, symbols, with_unit
from homodyne_bayes.results.levels import in_percent, levels
from homodyne_bayes.results.variables import TAIL
from homodyne_bayes.text import azimuth, number, percent
from homodyne_bayes.thresholds import LIMIT

RANK_BINS = 10
FAR = 0.005  # of the draws, far out on one side
MIDDLE: dict[str, Any] = {"color": "0.3", "ha": "center", "va": "center"}
TRUTH: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0}


def rates(tree: xr.DataTree, ncols: int = 2, panel: tuple[float, float] | None = None) -> Figure:
    """Draw D(t), the shear rate and other rates of the model: median, two intervals.

    Panels, in ``ncols`` columns, are of a width and height in inches.
    """
    dataset = group(tree, "rates").isel(time=slice(1, None))
    true, odds, combined = true_rates(tree), flow(tree), variables.combined_rates(tree)
    stated = levels(tree)
    names = [str(name) for name in dataset.data_vars]
    width, height = panel or (4.75 if len(names) > 1 else 5.5, 3.6)
    fig, axes = panels(len(names), ncols, width, height)
    for ax, name in zip(axes, names, strict=True):
        factor, label = _rate(ax, dataset[name], odds, combined.get(name), stated)
        if name in true:
            ax.plot(dataset.time, factor * true[name].values[1:], label="truth", **TRUTH)
        t_ref = float(group(tree, "constant_data")["t_ref"])
        ax.axvline(t_ref, color="0.4", linestyle=":", linewidth=1)
        ax.annotate(r" $t_\mathrm{ref}$", (t_ref, 0.02), xycoords=("data", "axes fraction"))
        log_axis(ax, dataset.time.values)
        ax.set(xlabel="$t$ (s)", ylabel=label)
        ax.margins(x=0)
    legend(fig, axes)
    return fig


def _rate(
    ax: Axes, draws: xr.DataArray, odds: Flow | None, combined: Any, levels: tuple[float, ...]
) -> tuple[float, str]:
    """Draw the intervals of a rate, or its upper limit; return the factor and label of its axis."""
    name, about, dims = str(draws.name), draws.attrs, ("chain", "draw")
    inner, outer = [0.5, *levels][-2:]
    tails = (1 - outer) / 2, (1 - inner) / 2
    bands = draws.quantile([*tails, 0.5, 1 - tails[1], 1 - tails[0]], dims)
    limited = odds is not None and odds.leaves_open(name)
    if odds is not None and limited:
        bands = xr.apply_ufunc(odds.limit, draws, input_core_dims=[dims], vectorize=True)
    factor, label = scaled(in_formula(about["latex"], name), about["units"], bands)
    values, time = factor * bands.values, draws.time
    if limited:
        ax.fill_between(time, 0, values, color=GREY, alpha=0.5, lw=0)
        ax.plot(time, values, color=BLUE, label=f"{percent(LIMIT)} upper limit")
        ax.set_ylim(bottom=0)
        return factor, label
    low, lower, median, upper, high = values
    ax.fill_between(time, low, high, color=BLUE, alpha=0.2, lw=0, label=f"{in_percent(outer)} %")
    ax.fill_between(
        time, lower, upper, color=BLUE, alpha=0.35, lw=0, label=f"{in_percent(inner)} %"
    )
    ax.plot(time, median, color=BLUE, label="median")
    if combined is not None:
        ends = factor * combined.sel(time=time).quantile([tails[0], 1 - tails[0]], dims).values.T
        ax.plot(time, ends, color=VERMILION, lw=1, label=[f"{in_percent(outer)} % combined", None])
    return factor, label


def pairs(tree: xr.DataTree, names: Sequence[str] = ()) -> Figure:
    """Draw parameters, by default the physical ones, against each other.

    Of heavy tails the outermost draws lie outside of the panels.
    """
    names = names or variables.scalars(tree, variables.reported(tree))
    posterior, known = group(tree, "posterior"), diagnostics.truth(tree)
    diverged, of = divergences(tree), symbols(tree)
    factors, labels = zip(
        *(scaled(of[name], posterior[name].attrs["units"], posterior[name]) for name in names),
        strict=True,
    )
    values = [f * posterior[n].values.ravel() for n, f in zip(names, factors, strict=True)]
    crosses = [f * diverged[n] for n, f in zip(names, factors, strict=True)]
    lines = [[f * known[n]] if n in known else [] for n, f in zip(names, factors, strict=True)]
    limits = [_limits(*shown) for shown in zip(values, crosses, lines, strict=True)]
    side = max(1.35 * len(names), 5.0)
    fig = Figure((side, side))
    fig.subplots_adjust(1.1 / side, 1.1 / side, 0.99, 0.99, wspace=0.08, hspace=0.08)
    axes = fig.subplots(len(names), len(names), sharex="col", squeeze=False)
    for (i, j), ax in np.ndenumerate(axes):
        x, y = values[j], values[i]
        if i < j:
            ax.text(0.5, 0.5, number(np.corrcoef(x, y)[0, 1]), transform=ax.transAxes, **MIDDLE)
            ax.axis("off")
            continue
        if i == j:
            ax.hist(x, bins=30, range=limits[j], color=BLUE, alpha=0.7)
        else:
            ax.set(ylim=limits[i], yticks=_ticks(limits[i]))
            ax.plot(x, y, ".", color=BLUE, ms=3, alpha=np.clip(200 / x.size, 0.3, 0.8), mew=0)
            ax.plot(crosses[j], crosses[i], "x", color=VERMILION, ms=4)
        for line, at in ((ax.axvline, lines[j]), (ax.axhline, lines[i] if i != j else [])):
            for value in at:
                line(value, **TRUTH)
        ax.set(xlim=limits[j], xticks=_ticks(limits[j]))
        for label in ax.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
        ax.tick_params(left=i != j, labelleft=j == 0 and i > 0)
        ax.set_xlabel(labels[j].replace(" (", "\n(") if i == len(names) - 1 else "")
        ax.set_ylabel(labels[i].replace(" (", "\n(") if j == 0 and i > 0 else "")
    fig.align_labels()
    return fig


def _limits(draws: np.ndarray, crosses: np.ndarray, lines: Sequence[float]) -> tuple[float, float]:
    """Return the range of a panel: of nearly all draws (S,), of all crosses and of the truth."""
    low, high = np.quantile(draws, [FAR, 1 - FAR])
    room = 0.2 * (high - low)
    ends = np.clip([low - room, high + room], draws.min(), draws.max())
    shown = np.concatenate([ends, crosses, lines])
    margin = 0.03 * np.ptp(shown)
    return float(shown.min() - margin), float(shown.max() + margin)


def _ticks(limits: tuple[float, float]) -> np.ndarray:
    """Return a few round numbers well inside of a panel, (T,), so that neighbours keep apart."""
    ticks = np.asarray(MaxNLocator(3).tick_values(*limits))
    room = 0.12 * (limits[1] - limits[0])
    return ticks[(ticks > limits[0] + room) & (ticks < limits[1] - room)]


def divergences(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Return the scalars of the draws at which NUTS diverged, on all the data or else on shards."""
    shards = "sub_posteriors" in tree.children and not diagnostics.all_by_nuts(tree)
    names = ("sub_posteriors", "sub_sample_stats") if shards else ("posterior", "sample_stats")
    draws, stats = (group(tree, name) for name in names)
    diverging = (
        stats["diverging"] if "diverging" in stats else xr.zeros_like(stats["lp"], dtype=bool)
    )
    return {
        str(name): values.values[diverging.values]
        for name, values in draws.items()
        if values.dims == diverging.dims
    }


def prior_posterior(tree: xr.DataTree) -> Figure:
    """Draw prior and posterior densities of the sampled parameters, each scaled to its peak."""
    names = variables.scalars(tree, variables.sampled(tree))
    shares, most = variables.widths(tree, names, "prior"), store.limits(tree)["prior_driven"]
    of = symbols(tree)
    fig, axes = panels(len(names), 4, 2.4, 1.9)
    for ax, name in zip(axes, names, strict=True):
        prior, posterior = (
            group(tree, which)[name].values.ravel() for which in ("prior", "posterior")
        )
        _density(ax, prior, "0.55", "prior")
        _density(ax, posterior, BLUE, "posterior")
        share = float(shares[name])
        note, color = (", prior-driven", VERMILION) if share > most else ("", "0.3")
        ax.set_title(f"{percent(share)} of the prior's width{note}", fontsize="small", color=color)
        unit = group(tree, "posterior")[name].attrs["units"]
        ax.locator_params("x", nbins=4)
        ax.set(xlabel=with_unit(of[name], unit), yticks=[], ylim=(0, 1.08))
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False
    )
    return fig


def shard_agreement(tree: xr.DataTree) -> Figure:
    """Draw mean and 90 % interval of every shard beside the interval of the result."""
    shown = representative(group(tree, "observed_data")["phi"])
    merged, per_shard = (
        [entry for name in variables.sampled(tree) for entry in _entries(tree, which, name, shown)]
        for which in ("posterior", "sub_posteriors")
    )
    num_shards = group(tree, "sub_posteriors").sizes["shard"]
    fig = Figure((8, 1 + len(merged) * (0.2 + 0.04 * num_shards)), layout="constrained")
    ax = fig.subplots()
    for y, ((_, draws), (_, shards)) in enumerate(zip(merged, per_shard, strict=True)):
        centre, scale = float(draws.mean()), float(draws.std())
        low, high = (draws.quantile([TAIL, 1 - TAIL]).values - centre) / scale
        ax.fill_betweenx([y - 0.4, y + 0.4], low, high, color=GREY, lw=0)
        scores = (shards - centre) / scale
        heights = y + np.linspace(-0.3, 0.3, num_shards)
        ends = scores.quantile([TAIL, 1 - TAIL], ("chain", "draw")).values
        ax.hlines(heights, *ends, color=BLUE, linewidth=1.2)
        ax.plot(scores.mean(("chain", "draw")), heights, "o", color=BLUE, markersize=3)
    ax.set_yticks(range(len(merged)), [label for label, _ in merged])
    ax.set(ylim=(len(merged) - 0.5, -0.5), xlabel="(value − posterior mean) / posterior sd")
    ax.axvline(0, color="0.4", linewidth=0.8)
    test = group(tree, "shard_checks").attrs
    ax.set_title(
        f"χ² = {test['chi2']:.1f} on {test['dof']} degrees of freedom, p = {test['p_value']:.2g}",
        fontsize="medium",
    )
    return fig


def traces(tree: xr.DataTree) -> Figure:
    """Draw traces and ranks of the chains; of several angles, that of largest R-hat."""
    rows = [
        max(_entries(tree, "posterior", name), key=lambda entry: float(az.rhat(entry[1])))
        for name in variables.reported(tree)
    ]
    num_chains, num_draws = rows[0][1].shape
    fig = Figure((9.5, 0.6 + len(rows)), layout="constrained")
    axes = fig.subplots(len(rows), 2, width_ratios=[3, 1], sharex="col", squeeze=False)
    for (trace, rank), (symbol, draws) in zip(axes, rows, strict=True):
        factor, label = scaled(symbol, draws.attrs["units"], draws)
        ranks = rankdata(draws.values).reshape(draws.shape)
        for chain in range(num_chains):
            color = CYCLE[chain % len(CYCLE)]
            trace.plot(factor * draws.values[chain], color=color, linewidth=0.5, alpha=0.8)
            counts, edges = np.histogram(ranks[chain], RANK_BINS, (0, ranks.size))
            rank.stairs(counts, edges, color=color)
        rank.axhline(num_draws / RANK_BINS, color="0.4", linestyle=":", linewidth=1)
        rank.set(ylim=(0, None), yticks=[])
        trace.set_ylabel(label.replace(" (", "\n("), rotation=0, ha="right", va="center")
        trace.locator_params("y", nbins=3)
    axes[0, 0].set_title(f"{num_chains} chains", loc="left", fontsize="medium")
    axes[0, 1].set_title("ranks", loc="left", fontsize="medium")
    axes[-1, 0].set(xlabel="draw", xlim=(0, num_draws - 1))
    axes[-1, 1].set(xlabel="rank among all chains", xlim=(0, num_chains * num_draws))
    axes[-1, 1].locator_params("x", nbins=3)
    fig.align_ylabels(axes[:, 0])
    return fig


def true_rates(tree: xr.DataTree) -> xr.Dataset:
    """Return the true rates of simulated data, dimension time, none for measured ones."""
    return group(tree, "true_rates") if "true_rates" in tree.children else xr.Dataset()


def _density(ax: Axes, draws: np.ndarray, color: str, label: str) -> None:
    low, high = np.quantile(draws, [0.002, 0.998])
    values = np.linspace(low, high, 200)
    density = gaussian_kde(draws)(values)
    ax.fill_between(values, density / density.max(), color=color, alpha=0.4, ec=color, label=label)


def _entries(
    tree: xr.DataTree, which: str, name: str, shown: np.ndarray | None = None
) -> list[tuple[str, xr.DataArray]]:
    """Return label and draws (..., chain, draw) of every entry of a variable, e.g. every angle.

    Of those of maps, the ``shown``.
    """
    draws, symbol, entries = group(tree, which)[name], symbols(tree)[name], []
    if shown is not None:
        draws = draws.isel(phi=shown, missing_dims="ignore")
    dims = [dim for dim in draws.dims if dim not in ("shard", "chain", "draw")]
    for position in np.ndindex(*(draws.sizes[dim] for dim in dims)):
        scalar = draws.isel(dict(zip(dims, position, strict=True)))
        where = azimuth(scalar["phi"]) if "phi" in dims else ", ".join(map(str, position))
        entries.append((symbol + (f"[{where}]" if where else ""), scalar))
    return entries


class Plot(NamedTuple):
    """One figure: how it is drawn, its caption, whether a result has it, its part of the page."""

    draw: Callable[..., Figure]
    caption: str
    applies: Callable[[xr.DataTree], bool] = bool  # any result
    part: str = "checks"


FIGURES: dict[str, Plot] = {
    "worst_map": Plot(
        worst_map,
        "The map that is fitted least well: c2 as measured, as fitted, and their difference, the "
        "residual. Where the model is right, blotches and crosses in it are those of speckle.",
        part="front",
    ),
    "maps": Plot(
        maps,
        "c2 measured, fitted (posterior mean), and their difference, the residual, by "
        "azimuth φ: in units of the posterior mean of σ where noise is taken as independent, of "
        "its own standard deviation over the map otherwise. Grey: diagonal and excluded frames, "
        "not fitted. Colours span the fitted values ± that unit, and 99 % of the residuals. "
        "Entries that share or neighbour a frame move together, so that crosses and blotches in "
        "the residual are no misfit.",
    ),
    "whitened": Plot(
        whitened,
        "Whitened residuals: what is left of the residuals once the correlations of "
        "speckle are taken out, summed over square blocks and divided by the root of their number "
        "of entries, by azimuth φ. Where the model is right, the maps are structureless noise of "
        "unit variance, and entries and blocks are distributed as the normal curve (last panel). "
        "A pattern shows where the model fails: bands along the diagonal a wrong shape or rate of "
        "the decay, bands that change along it a rate that changes otherwise with time, crosses a "
        "bad frame, a tint far from the diagonal a wrong baseline.",
        lambda tree: "noise" in tree.children and "whitened" in tree["noise"],
    ),
    "lag_cuts": Plot(
        lag_cuts,
        "Posterior predictive: c2 against the lag at three ages t1, measured (points; "
        "averages over the start times given) and fitted (line: posterior median). Dark bands hold "
        "the curve with a probability of 90 %, light bands 90 % of points that would be measured "
        "again, as scattered as the likelihood takes them. Neighbouring points scatter together.",
        lambda tree: "cuts" in tree.children,
    ),
    "prior_predictive": Plot(
        prior_cuts,
        "Prior predictive: c2 against the lag at the first age as the prior expects it "
        "(line: median; bands: 50 % and 90 % of curves), and as measured (points). The prior "
        "should leave room for the data.",
        lambda tree: "cuts" in tree.children,
        "priors",
    ),
    "rates": Plot(
        rates,
        "What changes with time, the transport coefficient D(t) and where there is flow the shear "
        "rate: posterior median with pointwise intervals. Lines at the ends of the combined "
        "interval where uncertainties of q, dt or the gap were stated. Dashed: truth of simulated "
        "data.",
        lambda tree: len(group(tree, "rates")) > 0,
        "front",
    ),
    "pairs": Plot(
        pairs,
        "Draws of the physical parameters, and their correlation coefficients. Crosses mark "
        "where NUTS diverged, on all the data or, where their draws were merged, on the shards; "
        "dashed lines the truth of simulated data. Draws far out in long tails are left out.",
        lambda tree: len(variables.scalars(tree, variables.reported(tree))) > 0,
        "draws",
    ),
    "coordinate_pairs": Plot(
        lambda tree: pairs(tree, variables.coordinates(tree)),
        "The same draws in the coordinates in which the rates were sampled.",
        lambda tree: len(variables.coordinates(tree)) > 0,
        "draws",
    ),
    "prior_posterior": Plot(
        prior_posterior,
        "Prior and posterior densities, each scaled to its peak, and the width of "
        "the posterior's 90 % interval over that of the prior. Where it is nearly as wide, the "
        "prior, not the data, sets it.",
        lambda tree: len(variables.scalars(tree, variables.sampled(tree))) > 0,
        "priors",
    ),
    "shard_agreement": Plot(
        shard_agreement,
        "Mean (dot) and 90 % interval (line) of the chains of every shard, the "
        "first on top, beside the 90 % interval of the result (grey). For the merge cavity a shard "
        "is sampled with the rest of the data as a Gaussian, so its line is as long as the "
        "result’s; for other merges it is sampled alone, and its line is longer.",
        lambda tree: "sub_posteriors" in tree.children,
        "computing",
    ),
    "traces": Plot(
        traces,
        "Traces and rank histograms of the draws; of contrast and offset, the angle with "
        "the largest R-hat. Chains that agree have flat rank histograms about the dotted line.",
        diagnostics.all_by_nuts,
        "computing",
    ),
}
