"""What a posterior by homodyne 2.23.3 costs: HOMODYNE_PYTHON homodyne_cost.py data.npz SECONDS.

HOMODYNE_PYTHON is an interpreter that has homodyne; it needs nothing of this project. The file
holds c2 (P, G, G), phi (P,) in degrees, dt (s), q (1/Å), gap (Å) and, if wanted, ``truth``: JSON of
the parameters to start from. Prints the row of a consensus of two shards, which homodyne makes of
so few pairs only if told to, and where it does not finish in SECONDS, or refuses to combine its
shards, that of NUTS on all pairs, homodyne's own choice, which has SECONDS of its own. CPU seconds
count imports, compilation and all processes.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

TOOL = "homodyne 2.23.3"
SHARDS = 2
SETTINGS = {"num_warmup": 100, "num_samples": 200, "num_chains": 2}
FIGURES = (
    "draws",
    "leapfrogs a draw",
    "divergences",
    "least ESS",
    "CPU seconds",
    "ESS per CPU second",
)
PHYSICAL = ("D0", "alpha", "D_offset", "gamma_dot_t0", "beta", "gamma_dot_t_offset", "phi0")


def pairs_of(data):
    """Return c2, t1, t2 and phi of the distinct pairs t1 < t2, (N,) each."""
    num_angles, num_frames, _ = data["c2"].shape
    lo, hi = np.triu_indices(num_frames, 1)
    t1, t2 = (np.tile(float(data["dt"]) * index, num_angles) for index in (lo, hi))
    return data["c2"][:, lo, hi].ravel(), t1, t2, np.repeat(data["phi"], len(lo))


def posterior(data, shards):
    """Return homodyne's result, of so many shards."""
    from homodyne.config.parameter_space import ParameterSpace
    from homodyne.optimization.cmc import fit_mcmc_jax

    mode, (q, gap, dt) = "laminar_flow", (float(data[name]) for name in ("q", "gap", "dt"))
    return fit_mcmc_jax(
        *pairs_of(data),
        q,
        gap,
        mode,
        dt=dt,
        progress_bar=False,
        cmc_config={"sharding": {"num_shards": shards}, "per_shard_mcmc": SETTINGS},
        initial_values=json.loads(str(data["truth"])) if "truth" in data else None,
        parameter_space=ParameterSpace.from_defaults(mode),
    )


def is_reported(name):
    """Return whether a name is of a physical parameter, contrast or offset, also contrast_0."""
    return name in PHYSICAL or name.rstrip("_0123456789") in ("contrast", "offset")


def diagnostics(result):
    """Return what is known of the draws; a consensus draws anew, so has no ESS."""
    import arviz as az

    stats, least = result.inference_data.sample_stats, None
    if result.num_shards == 1:
        drawn = result.inference_data.posterior.to_dataset()
        kept = drawn[[name for name in drawn if is_reported(name)]]
        least = min(float(value) for value in az.ess(kept, method="bulk").values())
    return {
        "draws": int(stats["num_steps"].size),
        "leapfrogs a draw": float(stats["num_steps"].mean()),
        "divergences": int(result.divergences),
        "least ESS": least,
    }


def work(path, shards, out):
    """Write diagnostics of a posterior, or why there is none, and CPU seconds to a file."""
    os.dup2(2, 1)  # standard output is for the row
    os.chdir(Path(out).parent)
    try:
        found = {**diagnostics(posterior(np.load(path), shards)), "ended": None}
    except RuntimeError as error:  # as where shards disagree too much to be combined
        found = {"ended": str(error).splitlines()[0]}
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found["CPU seconds"] = sum(each.ru_utime + each.ru_stime for each in used)
    Path(out).write_text(json.dumps(found))


def stop(process):
    """End a process and its children; return the CPU seconds they have used."""
    family = [process, *process.children(recursive=True)]
    cpu = sum(sum(each.cpu_times()[:4]) for each in family)
    for each in family:
        each.terminate()
    for each in psutil.wait_procs(family, timeout=10)[1]:
        each.kill()
    return cpu


def row(path, shards, seconds):
    """Return the row of a posterior that may take so many seconds."""
    num_angles, num_frames, _ = np.load(path)["c2"].shape
    found = {
        "table": "alternatives",
        "tool": f"{TOOL}, {shards} shard{'s' * (shards > 1)}",
        "case": f"homodyne: {num_angles} × {num_frames}",
        **dict.fromkeys(FIGURES),
        "ended": "error",
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        context = multiprocessing.get_context("spawn")
        worker = context.Process(target=work, args=(str(path), shards, str(out)))
        worker.start()
        worker.join(seconds)
        if worker.is_alive():
            found |= {"CPU seconds": stop(psutil.Process(worker.pid)), "ended": "time limit"}
        elif out.exists():
            found |= json.loads(out.read_text())
    if found["least ESS"] is not None:
        found["ESS per CPU second"] = found["least ESS"] / found["CPU seconds"]
    return found


def main(path, seconds):
    """Print the row of a consensus, and where it did not finish that of one shard too."""
    for shards in (SHARDS, 1):
        found = row(Path(path).resolve(), shards, float(seconds))
        print(json.dumps(found), flush=True)
        if found["ended"] is None:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
