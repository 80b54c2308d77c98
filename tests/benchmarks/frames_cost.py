"""Time to a certified posterior against frames: frames_cost.py OUT [ANGLES].

Speckle, consensus, with maps compressed and not, a process of its own for every row, nothing
compiled before. Writes frames.json and frames.svg to the folder OUT; rows that are there already
are not measured again.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from bench import rows_of
from matplotlib.figure import Figure

FRAMES = {"compressed": (60, 120, 250, 500, 1000, 2000), "whole maps": (60, 90, 120)}
EXTRA = {"compressed": (), "whole maps": ("no",)}
MARKERS = {"compressed": "o", "whole maps": "s"}


def measured(angles, frames, how):
    """Return the row of so many angles and frames."""
    settings = ("1", f"{angles}x{frames}", "consensus", "speckle", "shared", *EXTRA[how])
    (row,) = rows_of(sys.executable, "posterior_cost.py", *settings)
    return {"frames": frames, "how": how, **row}


def figure(rows, angles):
    """Return CPU seconds against frames, those of results that are not certified hollow."""
    made = Figure((5, 3.2), layout="constrained")
    axes = made.subplots()
    for how, marker in MARKERS.items():
        own = [row for row in rows if row["how"] == how and "CPU seconds" in row]
        frames, seconds = ([row[name] for row in own] for name in ("frames", "CPU seconds"))
        (line,) = axes.loglog(frames, seconds, marker=marker, label=how)
        hollow = [(row["frames"], row["CPU seconds"]) for row in own if not row["certified"]]
        for at in hollow:
            axes.plot(*at, marker, color=line.get_color(), markerfacecolor="white")
    axes.set(xlabel=f"frames, {angles} angles", ylabel="CPU time to a verdict (s)")
    axes.legend(frameon=False)
    return made


def main(out, angles="5"):
    """Measure what is not there yet, and draw all."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "frames.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    for how, numbers in FRAMES.items():
        for frames in numbers:
            if not any((row["how"], row["frames"]) == (how, frames) for row in rows):
                rows.append(measured(angles, frames, how))
                file.write_text(json.dumps(rows))
    mpl.use("svg")
    figure(rows, angles).savefig(out / "frames.svg")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
