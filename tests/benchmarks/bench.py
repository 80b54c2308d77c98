"""All benchmarks, each in a process of its own: python tests/benchmarks/bench.py OUT [gpu].

Writes rows.json, tables.md and, without a GPU, scaling.svg to the folder OUT.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pandas as pd
from cases import CASES, LAMINAR, prepare
from matplotlib.figure import Figure

HERE = Path(__file__).parent
TIME_LIMIT = 1800  # s of one process
HOMODYNE_LIMIT = "180"  # s
POSTERIORS = (
    ("S", "laplace", "independent", "shared"),
    ("S", "laplace", "speckle", "shared"),
    ("S", "consensus", "speckle", "shared"),
    ("M", "laplace", "independent", "shared"),
    ("M", "consensus", "independent", "shared"),
    ("5x512", "consensus", "speckle", "shared"),
    ("5x1000", "laplace", "speckle", "shared"),
    ("5x1000", "consensus", "speckle", "shared"),
    ("L", "laplace", "independent", "shared"),
    ("L", "consensus", "independent", "shared"),
    ("L", "consensus", "speckle", "shared"),
)
KERNELS = (("kernel_cost.py", "S", "M", "L"),)
ON_CPUS = (
    ("sampler_cost.py",),
    ("plain_cost.py", "S", "2", "400", "500"),
    ("plain_cost.py", "M", "1", "40", "40"),
    ("scaling_cost.py", "pairs"),
    ("scaling_cost.py", "shards"),
)
BIG = ("M", "L", "5x512", "5x1000")
TITLES = {
    "machine": "The machine, one core",
    "kernel": "Nanoseconds a distinct pair",
    "posterior": "Time to a certified posterior",
    "sampler": "NUTS on all the data of case S",
    "alternatives": "What else could be done",
    "pairs": "Cost against pairs",
    "shards": "Cost against shards and devices",
    "failed": "Did not finish",
}


def rows_of(python, script, *arguments, **environment):
    """Run a script; return the rows it printed, or one that says how it ended."""
    command = [str(python), str(HERE / script), *arguments]
    print(script, *arguments, flush=True)
    failed = {"table": "failed", "command": " ".join([script, *arguments])}
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return [{**failed, "reason": f"not done in {TIME_LIMIT} s"}]
    except subprocess.CalledProcessError as error:
        return [{**failed, "reason": error.stderr.strip().splitlines()[-1]}]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def posterior(arguments):
    """Return rows of a posterior: with no program compiled before; small, with all, and again."""
    if arguments[0] in BIG:
        return rows_of(sys.executable, "posterior_cost.py", "1", *arguments)
    with tempfile.TemporaryDirectory() as cache:
        kept = {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        cold, warm = (
            rows_of(sys.executable, "posterior_cost.py", times, *arguments, **kept)
            for times in ("2", "1")
        )
    cached = [{**row, "time": "first, programs cached"} for row in warm[:1]]
    return [*cold[:1], *cached, *cold[1:]]


def homodyne():
    """Return rows of homodyne 2.23.3 on 3 angles × 40 frames, and of ours, if it can be run."""
    ours = posterior(("homodyne", "laplace", "independent", "shared"))
    python = os.environ.get("HOMODYNE_PYTHON")
    if python is None:
        return [
            *ours,
            {
                "table": "failed",
                "command": "homodyne_cost.py",
                "reason": "HOMODYNE_PYTHON names no environment",
            },
        ]
    data = CASES["homodyne"].data()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(
            path,
            c2=data.c2,
            phi=data.phi,
            dt=data.dt,
            q=data.q,
            gap=data.gap,
            truth=json.dumps(LAMINAR),
        )
        return ours + rows_of(python, "homodyne_cost.py", str(path), HOMODYNE_LIMIT)


def markdown(rows):
    """Return all rows as tables, one a kind."""
    parts = []
    for table, title in TITLES.items():
        found = [
            {k: v for k, v in row.items() if k != "table"} for row in rows if row["table"] == table
        ]
        if not found:
            continue
        names = list(dict.fromkeys(name for row in found for name in row))
        lines = [names, ["---"] * len(names)]
        lines += [[_cell(row.get(name)) for name in names] for row in found]
        parts.append("\n".join([f"## {title}\n", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(parts) + "\n"


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def figure(rows):
    """Return cost against pairs, and against shards and devices."""
    made = Figure((7, 3), layout="constrained")
    left, right = made.subplots(1, 2)
    pairs, shards = (
        pd.DataFrame([row for row in rows if row["table"] == table])
        for table in ("pairs", "shards")
    )
    pairs = pairs.rename(columns={"seconds": "in all"})
    for column, marker in (("in all", "o"), ("warm start", "s"), ("certifying", "^")):
        left.loglog(pairs["pairs"], pairs[column], marker=marker, label=column)
    left.set(xlabel="distinct pairs", ylabel="time to a certified posterior (s)")
    for (devices, own), marker in zip(shards.groupby("devices"), "os", strict=True):
        label = f"{devices} device{'s' * (devices > 1)}"
        right.plot(own["shards"], own["seconds"], marker=marker, label=label)
    counts = sorted(set(shards["shards"]))
    right.set_xscale("log", base=2)
    right.set_xticks(counts, [str(count) for count in counts])
    right.set(xlabel="shards", ylabel="chains of all shards (s)")
    right.set_ylim(0, 1.4 * shards["seconds"].max())
    for axes in (left, right):
        axes.legend(frameon=False)
    return made


def choose(device):
    """Keep this process and all it starts on a device, and leave its memory to who needs it."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
        jax.config.update("jax_platforms", "cpu")


def main(out, device="cpu"):
    """Run everything and write what came of it."""
    choose(device)
    prepare()
    if device == "gpu" and jax.default_backend() == "cpu":
        sys.exit("expected a GPU, found CPU devices only: the GPU was not measured")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows = [row for command in KERNELS for row in rows_of(sys.executable, *command)]
    for arguments in POSTERIORS:
        rows += posterior(arguments)
    if device == "cpu":
        rows += [row for command in ON_CPUS for row in rows_of(sys.executable, *command)]
        rows += homodyne()
        mpl.use("svg")
        figure(rows).savefig(out / "scaling.svg")
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    devices = ", ".join(sorted({each.device_kind for each in jax.devices()}))
    (out / "rows.json").write_text(
        json.dumps({"machine": machine, "devices": devices, "rows": rows})
    )
    (out / "tables.md").write_text(markdown(rows))
    print((out / "tables.md").read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
