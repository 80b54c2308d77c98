"""Ranks of truths drawn from the default priors among draws of the default fit, on foreign speckle.

    python -m tests.foreign.ranks MODEL [--experiments N] [--seed S] [--json FILE] [name=value ...]

MODEL is static or laminar_flow. Truths are drawn from the priors as `tests.foreign.study` states
them, 1 s after the clock of the rates has started, so that any exponent is possible. Every
experiment is ranked, certified or not: a truth among 99 draws of its posterior is as often in
each tenth of them as in any other, where the posterior is right. The test is chi-square on 10 bins,
of all experiments and of the certified alone. Baselines drawn from their prior are added to the
maps: contrast is known as well as they are. Truths that cannot be simulated are drawn again: a
contrast outside 0.02 to 0.9, and a D(t) or shear rate that would fall below 0 within the frames;
draws of such are left out, as the posterior under a prior without them has none.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.stats
import yaml

import homodyne_bayes as hb
from homodyne_bayes.fitting.plan import direction
from homodyne_bayes.physics.rate_laws.power_law import to_power_law
from tests.foreign.formula import Sample, diffusion, shear_rate
from tests.foreign.simulator import Beam, simulate
from tests.foreign.study import default_priors

BEAM = Beam(photons=2.0, dt=0.2, num_frames=40)
AGE, NUM_DRAWS, NUM_BINS = 1.0, 99, 10
CONTRASTS = 0.02, 0.9
SHAPES = {
    "D": ("log_D_ref", "D_slope", "D_bend"),
    "gamma_dot": ("log_gamma_dot_ref", "gamma_dot_slope", "gamma_dot_bend"),
}


def heavy(rng):
    """Return by how much all values of a Student's t with 4 degrees of freedom are off together."""
    return np.sqrt(4 / rng.chisquare(4))


def drawn(rng, flow):
    """Return a truth from the priors, by coordinate, with its sample and beam."""
    priors, frames = default_priors(BEAM), AGE + BEAM.dt * np.arange(BEAM.num_frames)
    t_ref = AGE + (frames[-1] - AGE) / np.e
    while True:
        wide = heavy(rng)
        contrast = np.exp(priors.contrast[0] + priors.contrast[1] * wide * rng.standard_normal())
        made, truth = {}, {"contrast": contrast}
        for prefix, names in zip(("", "shear_"), SHAPES.values(), strict=True):
            of_prior = [priors.fluid[prefix + name] for name in ("level", "slope", "bend")]
            values = [mean + sd * rng.standard_normal() for mean, sd in of_prior]
            made[prefix] = [float(x) for x in to_power_law(values, t_ref)]
            truth |= dict(zip(names, values, strict=True))
        truth["phi0"] = rng.uniform(-90, 90)
        rates = dict(zip(("D0", "alpha", "D_offset"), made[""], strict=True))
        if flow:
            names = ("gamma_dot_t0", "beta", "gamma_dot_t_offset")
            rates |= dict(zip(names, made["shear_"], strict=True)) | {"phi0": truth["phi0"]}
        sample = Sample(age=AGE, **rates)
        least = [diffusion(sample, frames).min()] + [shear_rate(sample, frames).min()] * flow
        if CONTRASTS[0] < contrast < CONTRASTS[1] and min(least) > 0:
            spread = priors.contrast[2] * wide
            return truth, sample, replace(BEAM, contrast=contrast, contrast_spread=spread)


def possible(posterior, flow):
    """Return which draws (C, S) could be truths."""
    contrast = np.exp(np.log(posterior["contrast"].values).mean(axis=-1))
    kept = (CONTRASTS[0] < contrast) & (contrast < CONTRASTS[1])
    time = AGE + BEAM.dt * np.arange(BEAM.num_frames)
    laws = [("D0", "alpha", "D_offset")]
    laws += [("gamma_dot_t0", "beta", "gamma_dot_t_offset")] * flow
    for names in laws:
        level, power, offset = (posterior[name].values[..., None] for name in names)
        kept &= (level * time**power + offset).min(axis=-1) > 0
    return kept


def experiment(number, seed, model, settings):
    """Return ranks of one experiment and how it ended."""
    rng = np.random.default_rng([seed, number])
    truth, sample, beam = drawn(rng, model == "laminar_flow")
    made = simulate(sample, beam, [seed, number, 1])
    (_, common, spread), wide = default_priors(BEAM).offset, heavy(rng)
    scatter = spread * rng.standard_normal(len(made.phi))
    baseline = wide * (common * rng.standard_normal() + scatter)
    c2 = made.c2 + baseline[:, None, None]
    data = hb.TwoTimeData(c2, made.phi, made.dt, made.q, made.gap, age=AGE)
    try:
        result = hb.fit(data, model=model, seed=number, **settings)
    except hb.InputError as error:
        return {"refused": str(error)}
    posterior, ranks = result.tree["posterior"], {}
    kept = possible(posterior, model == "laminar_flow")
    truth |= {f"contrast[{i}]": value for i, value in enumerate(made.truth["contrast"])}
    truth |= {f"offset[{i}]": 1 + value for i, value in enumerate(baseline)}
    start = direction(data) - 90
    truth["phi0"] = start + (truth["phi0"] - start) % 180
    for name, value in truth.items():
        whole, _, place = name.partition("[")
        if whole in posterior and (place or posterior[whole].ndim == 2):
            draws = posterior[whole].values
            flat = (draws[..., int(place[:-1])] if place else draws)[kept]
            at = np.linspace(0, flat.size - 1, NUM_DRAWS).round().astype(int)
            ranks[name] = int((flat[at] < value).sum())
    return {"ranks": ranks, "certified": result.certified, "verdict": str(result.verdict)}


def p_values(lines):
    """Return p of uniform ranks, by coordinate."""
    found = {}
    for name in lines[0]["ranks"]:
        counts = np.histogram([one["ranks"][name] for one in lines], NUM_BINS, (0, NUM_DRAWS + 1))[
            0
        ]
        found[name] = scipy.stats.chisquare(counts).pvalue, counts
    return found


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("model", choices=("static", "laminar_flow"))
    parser.add_argument("words", nargs="*", metavar="setting=value")
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_intermixed_args()
    given = (word.partition("=") for word in arguments.words)
    settings = {name: yaml.safe_load(value) for name, _, value in given}
    hb.setup()
    kept, lines = arguments.json, []
    if kept and kept.exists():
        lines = [json.loads(line) for line in kept.read_text().splitlines()]
    for number in range(len(lines), arguments.experiments):
        lines.append(experiment(number, arguments.seed, arguments.model, settings))
        if kept:
            with kept.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    ranked = [one for one in lines if "ranks" in one]
    certified = [one for one in ranked if one["certified"]]
    print(
        f"{arguments.model}: {len(ranked)} ranked, {len(certified)} certified, "
        f"{len(lines) - len(ranked)} refused"
    )
    every, kept_only = p_values(ranked), p_values(certified)
    for name, (p, counts) in every.items():
        print(f"{name:20} p = {p:.3f} of all, {kept_only[name][0]:.3f} of certified; {counts}")


if __name__ == "__main__":
    main()
