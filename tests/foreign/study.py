"""Fits of foreign speckle: how often intervals hold the truth, and what is noticed.

    python -m tests.foreign.study ROW ... [--experiments N] [--seed S] [--json FOLDER]
                                  [--oracle N] [setting=value ...]

Rows are those of `tests.foreign.rows`, by name or by pattern (``"exact*"``); without one they are
listed. Every experiment has a truth of its own. Settings are those of `homodyne_bayes.FitConfig`,
values as YAML: ``"priors={offset: [1, 0.01]}"``. With ``--json`` experiments are kept, a line each,
in a file of every row, and a study that was stopped goes on. The width of intervals is compared
with dense generalised least squares in the first experiments (``--oracle``, 3; a minute each for 80
frames).
"""

import argparse
import json
import time
import zlib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import yaml

import homodyne_bayes as hb
from homodyne_bayes.results.diagnostics import departures
from homodyne_bayes.results.told import comparisons
from tests.foreign.formula import diffusion, shear_rate, slope
from tests.foreign.oracle import Priors, oracle
from tests.foreign.rows import RIGHT, ROWS
from tests.foreign.simulator import simulate, times

FLUID = ("D0", "alpha", "D_offset")
AT = (0.1, 0.3, 0.6, 1.0)  # of the window, where rates are looked at
ENOUGH = 100  # ESS of the oracle's draws
ENDS = (0.05, 0.25, 0.75, 0.95)
WIDE = 40  # characters of a warning that say which it is


def targets(tree, sample, beam):
    """Return name, draws and truth of what is counted."""
    posterior, rates = tree["posterior"], tree["rates"]
    t_ref, t = float(tree["constant_data"]["t_ref"]), times(sample, beam)
    found = [
        ("level", posterior["log_D_ref"], np.log(diffusion(sample, t_ref))),
        ("slope", posterior["D_slope"], slope(sample, t_ref)),
    ]
    found += [(name, posterior[name], getattr(sample, name)) for name in FLUID]
    at = [round(part * (len(t) - 1)) for part in AT]
    found += [(f"D({t[i]:.2g} s)", rates["D"][..., i], diffusion(sample, t[i])) for i in at]
    if "gamma_dot" in rates:
        turned = (posterior["phi0"] - sample.phi0 + 90) % 180 - 90  # both signs of a flow are one
        found.append(("phi0", sample.phi0 + turned, sample.phi0))
        found += [
            (f"γ̇({t[i]:.2g} s)", rates["gamma_dot"][..., i], shear_rate(sample, t[i])) for i in at
        ]
    return [(name, np.ravel(draws), float(truth)) for name, draws, truth in found]


def default_priors(beam):
    """Return the priors of the package's defaults: levels lie in what the window can see."""

    def level(factor):
        least, most = 1 / (factor * beam.dt * (beam.num_frames - 1)), 1 / (factor * beam.dt)
        return np.log(least * most) / 2, np.log(most / least) / 2 + 1

    shapes = {"slope": (0.0, 1.0), "bend": (1.0, 0.4)}
    fluid = {"level": level(beam.q**2), **shapes}
    fluid["shear_level"] = level(beam.q * beam.gap / (2 * np.pi))
    fluid |= {f"shear_{name}": prior for name, prior in shapes.items()}
    fluid["phi0"] = (0.0, 180 / np.sqrt(12))
    return Priors(fluid, contrast=(-2.3, 1.0, 0.03), offset=(1.0, 0.005, 0.002))


def best(row, sample, beam, made, measured):
    """Return mean and sd of level and slope by the oracle, none where its weights are uneven."""
    contrast, priors = made.truth["contrast"], default_priors(beam)
    known = oracle(sample, beam, contrast, priors, row.flow, measured)
    mean, covariance, ess = known.weighed(made.c2, np.random.default_rng(0))
    if ess < ENOUGH:
        return {}
    sd = np.sqrt(np.diag(covariance))
    places = [(name, known.names.index(name)) for name in ("level", "slope")]
    return {name: (float(mean[i]), float(sd[i])) for name, i in places}


def measure(row, seed):
    """Return the sample and the beam of one experiment, what is made, and the data of a fit."""
    rng = np.random.default_rng(seed)
    sample, beam = row.draw(rng)
    made = simulate(sample, beam, [*seed, 1])
    measured = np.broadcast_to(row.measured(beam.num_frames, rng), made.c2.shape)
    told = {"num_pixels": made.num_pixels, "age": sample.age}
    told |= {"photons": made.counts.mean(axis=1)} if beam.photons else {}
    data = hb.TwoTimeData(made.c2, made.phi, made.dt, made.q, made.gap, measured=measured, **told)
    return sample, beam, made, data.select(**row.select)


def seed_of(name, seed, number):
    """Return the seed of an experiment of a row."""
    return [seed, zlib.crc32(name.encode()), number]


def experiment(row, seed, settings, asked):
    """Return what one experiment says, as JSON holds it; the oracle is ``asked`` or not."""
    sample, beam, made, data = measure(row, seed)
    began = time.perf_counter()
    try:
        result = hb.fit(data, method="laplace", **row.fit, **settings)
    except hb.InputError as error:
        return {"refused": str(error)}
    seconds = time.perf_counter() - began
    tree = result.tree
    return {
        "seconds": seconds,
        "certified": result.certified,
        "misfit": departures(tree),
        "marks": {mark.name: mark.state for mark in result.marks},
        "warnings": result.warnings(),
        "contrast": float(tree["posterior"]["contrast"].mean()) / made.truth["contrast"].mean(),
        "offset": float(tree["posterior"]["offset"].mean()),
        "pixels": float(tree["noise"]["num_pixels"].mean()) / made.num_pixels,
        "oracle": best(row, sample, beam, made, data.pairs[0]) if asked else {},
        "detector": {one.name: one.distance for one in comparisons(tree)},
        "targets": {
            name: {
                "truth": truth,
                "mean": draws.mean(),
                "sd": draws.std(),
                "ends": np.quantile(draws, ENDS).tolist(),
            }
            for name, draws, truth in targets(tree, sample, beam)
        },
    }


def against_oracle(name, lines):
    """Return median sd over that of the oracle, and mean shift from its mean in its sd."""
    pairs = [(one["targets"][name], one["oracle"][name]) for one in lines if name in one["oracle"]]
    if not pairs:
        return np.nan, np.nan
    wide = np.median([fit["sd"] / sd for fit, (_, sd) in pairs])
    return wide, np.mean([(fit["mean"] - mean) / sd for fit, (mean, sd) in pairs])


def summary(lines):
    """Return a table of experiments as text; refused ones are counted, and not in it."""
    refused = [one for one in lines if "refused" in one]
    lines = [one for one in lines if "refused" not in one]
    n = len(lines)
    if not n:
        return f"all {len(refused)} refused"
    marks = {
        "certified": sum(one["certified"] for one in lines),
        "misfit": sum(bool(one["misfit"]) for one in lines),
    }
    middle = {
        name: np.median([one[name] for one in lines])
        for name in ("contrast", "offset", "pixels", "seconds")
    }
    text = [
        f"{n} experiments, {marks['certified']} certified, "
        f"{marks['misfit']} misfit; medians: "
        f"contrast {middle['contrast']:.2f} of the truth, baseline {middle['offset']:.4f}, "
        f"pixels {middle['pixels']:.2f} of the truth, {middle['seconds']:.1f} s",
        f"{'':12}{'50 %':>8}{'90 %':>8}{'bias/sd':>9}{'sd/oracle':>11}{'shift':>9}",
    ]
    for name in lines[0]["targets"]:
        every = [one["targets"][name] for one in lines]
        truth = np.array([one["truth"] for one in every])
        ends = np.array([one["ends"] for one in every])
        bias = np.mean([(one["mean"] - one["truth"]) / one["sd"] for one in every])
        inside = [np.mean((ends[:, i] <= truth) & (truth <= ends[:, -1 - i])) * 100 for i in (1, 0)]
        wide, shift = against_oracle(name, lines)
        beside = f"{wide:11.2f}{shift:9.2f}" if np.isfinite(wide) else ""
        text.append(f"{name:12}{inside[0]:8.0f}{inside[1]:8.0f}{bias:9.2f}{beside}")
    states = Counter(f"{name}: {state}" for one in lines for name, state in one["marks"].items())
    text += [f"  {state}: {count}" for state, count in sorted(states.items())]
    kinds = Counter(kind for one in lines for kind in one["misfit"])
    said = Counter(sentence[:WIDE] for one in lines for sentence in one["warnings"])
    text += [f"  misfit of {kind}: {count}" for kind, count in kinds.most_common()]
    text += [f"  {count} × {start}…" for start, count in said.most_common()]
    text += [f"  {len(refused)} more were refused"] if refused else []
    return "\n".join(text)


def run(name, arguments, settings):
    """Fit the experiments of a row that are not kept yet, and print what all of them say."""
    row, lines = ROWS[name], []
    known = arguments.oracle if name in RIGHT and row.flow == row.sample.flows else 0
    kept = arguments.json and Path(arguments.json) / f"{name}.jsonl"
    if kept and kept.exists():
        lines = [json.loads(line) for line in kept.read_text().splitlines()]
    for i in range(len(lines), arguments.experiments):
        seed = seed_of(name, arguments.seed, i)
        lines.append(experiment(row, seed, settings, asked=i < known))
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with kept.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    print(f"{name}: {row.meaning}; {summary(lines)}\n", flush=True)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("words", nargs="*", metavar="ROW or setting=value")
    parser.add_argument("--experiments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FOLDER")
    parser.add_argument("--oracle", type=int, default=3)
    arguments = parser.parse_intermixed_args()
    given = [word.partition("=") for word in arguments.words]
    patterns = [pattern for pattern, equals, _ in given if not equals]
    names = [name for name in ROWS if any(fnmatch(name, pattern) for pattern in patterns)]
    settings = {name: yaml.safe_load(value) for name, equals, value in given if equals}
    if not names:
        parser.exit(2, "".join(f"{name:18}{row.meaning}\n" for name, row in ROWS.items()))
    hb.setup()
    for name in names:
        run(name, arguments, settings)


if __name__ == "__main__":
    main()
