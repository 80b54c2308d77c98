"""``plot``: measured maps before anything is fitted, and which frames stand out."""

from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from homodyne_bayes import environment
from homodyne_bayes.cli import screen
from homodyne_bayes.cli.options import overwrite
from homodyne_bayes.cli.settings import chosen_settings, read_data, settings_options
from homodyne_bayes.config import DataConfig, descriptions
from homodyne_bayes.data.outliers import FAR, FrameLevels, as_flag, frame_levels
from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.errors import InputError
from homodyne_bayes.files import atomic_path
from homodyne_bayes.fitting.settings import FitConfig, make
from homodyne_bayes.results.figures_of_maps import CYCLE, image, log_axis, representative
from homodyne_bayes.results.places import STUDY, writable
from homodyne_bayes.text import azimuth

AGES = 3
PANEL = 2.6  # inches


@click.command()
@click.argument("file")
@click.option("--out", metavar="FILE.png", help="Figure to write.  [default: <FILE>.png]")
@overwrite
@partial(settings_options, without=tuple(descriptions(FitConfig)))
def plot(file: str, out: str | None, overwrite: bool, settings: str | None, **flags: Any) -> None:
    """Draw the maps of a data FILE, its lag cuts and its frames, before any fit."""
    path = writable(out or f"{Path(file).stem}.png", STUDY, file, replace=overwrite)
    if path.suffix != ".png":
        raise InputError(f"{path}: the ending must be .png; choose another --out")
    data = read_data(file, make(DataConfig, chosen_settings(settings, flags)["data"]))
    levels = frame_levels(data)
    with atomic_path(path) as temporary:
        drawn(data, levels).savefig(temporary, dpi=150, metadata=environment.MADE_BY)
    screen.say(screen.described(data))
    for sentence in told(data, levels):
        screen.say(sentence)
    screen.say(f"wrote {path}")


def told(data: TwoTimeData, levels: FrameLevels) -> list[str]:
    """Return which frames stand out, and the flag that leaves them out."""
    first = data.provenance.get("first_frame", 0)
    far = [first + frame for frame in levels.far]
    if not far:
        return [f"No frame stands out from its neighbours by {FAR:g} sds."]
    these = f"{len(far)} frames stand" if far[1:] else "1 frame stands"
    before = [*data.provenance.get("exclude_frames", []), *far]
    flag = as_flag(sorted(set(before)))
    return [
        f"{these} out from the neighbours, as stripes in the maps: the beam, its monitor or the "
        f"detector failed; leave out by --exclude-frames {flag}"
    ]


def drawn(data: TwoTimeData, levels: FrameLevels) -> Figure:
    """Draw maps of at most 6 angles, c2 against the lag at three ages, and the level of frames."""
    c2 = data.to_dataset()["c2"].where(data.pairs)
    shown = representative(c2["phi"])
    limits = tuple(np.nanpercentile(c2.values, [1, 99]))
    fig = Figure((1.2 + PANEL * len(shown), 3 * PANEL), layout="constrained")
    axes = fig.subplots(3, len(shown), squeeze=False)
    for (ax, below), angle in zip(axes[:2].T, c2.isel(phi=shown), strict=True):
        image(ax, angle, limits, "viridis", f"φ = {azimuth(angle['phi'])}")
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(r"$t_1$ (s)")
        _cuts(below, angle, data.dt)
    axes[0, 0].set_ylabel(r"$t_2$ (s)")
    fig.colorbar(axes[0, 0].images[0], ax=axes[0], extend="both", label=r"$c_2$")
    axes[1, 0].set_ylabel(r"$c_2$")
    axes[1, -1].legend(frameon=False, fontsize="small")
    grid = axes[2, 0].get_gridspec()
    for ax in axes[2]:
        ax.remove()
    _frames(fig.add_subplot(grid[2, :]), levels, data.provenance.get("first_frame", 0))
    return fig


def _cuts(ax: Axes, c2: xr.DataArray, dt: float) -> None:
    """Draw c2 of a map (G, G) against the lag, averaged over the starts in thirds of the record."""
    maps, count = c2.values, len(c2)
    for age, color in zip(range(AGES), CYCLE, strict=False):
        starts = np.arange(age * count // AGES, (age + 1) * count // AGES)
        lags = np.arange(1, count - starts[0])
        means = [_mean(maps, starts, lag) for lag in lags]
        label = f"$t_1$ = {starts[0] * dt:.3g} to {starts[-1] * dt:.3g} s"
        ax.plot(dt * lags, means, ".", color=color, markersize=3, label=label)
    log_axis(ax, dt * np.arange(1, count))
    ax.set_xlabel(r"lag $t_2 - t_1$ (s)")


def _mean(maps: np.ndarray, starts: np.ndarray, lag: int) -> float:
    """Return the mean of a map (G, G) at a lag over some starts; NaN where there is none."""
    at = starts[starts + lag < len(maps)]
    found = maps[at, at + lag]
    known = found[np.isfinite(found)]
    return float(known.mean()) if known.size else np.nan


def _frames(ax: Axes, levels: FrameLevels, first: int) -> None:
    """Draw how high c2 is in every frame, those that stand out marked."""
    frame = first + np.arange(len(levels.level))
    ax.plot(frame, levels.level, color=CYCLE[0], linewidth=0.8)
    far = levels.far
    ax.plot(frame[far], levels.level[far], "x", color=CYCLE[3], label="stands out")
    for side in (-1, 1):
        ax.axhline(side * FAR * levels.sd, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="frame of the file", ylabel="c2 beside\nits neighbours")
    ax.margins(x=0.01)
