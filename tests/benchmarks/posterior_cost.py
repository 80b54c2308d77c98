"""Time to a certified posterior: posterior_cost.py TIMES CASE METHOD NOISE SCALING [no].

Measured in one process: first from nothing, compilation included, then again on other data of the
same shape; with "no", of maps that are not compressed. A compilation cache is used where
JAX_COMPILATION_CACHE_DIR names one.
"""

import sys
import time

from cases import CASES, Case, least_ess, peak_gib, prepare, row

from homodyne_bayes import FitConfig
from homodyne_bayes.fitting.sample import sample_posterior


def cost(case, config, seed):
    """Return what a certified posterior costs, of data with the noise that it is made for."""
    data = case.data(seed) if config.noise == "independent" else case.speckle(seed)
    wall, cpu = time.perf_counter(), time.process_time()
    found = sample_posterior(data, config).inference
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ess, certificate = least_ess(found.draws), found.certificate
    return {
        "seconds": wall,
        "CPU seconds": cpu,
        "certified": certificate.certified,
        "k-hat": certificate.attempts[-1].k_hat,
        "least ESS": ess,
        "ESS per CPU second": ess / cpu,
        "GiB": peak_gib(),
        **{f"{stage} (s)": s for stage, s in found.seconds.items()},
    }


def main(times, name, method, noise, scaling, compress="yes"):
    """Print a row for every time."""
    prepare()
    case = CASES[name] if name in CASES else Case(*map(int, name.split("x")))
    chosen = {"method": method, "noise": noise, "scaling": scaling, "compress": compress == "yes"}
    config = FitConfig(**chosen, rescue_pairs=0)
    asked = {"case": f"{name}: {case}", "likelihood": noise, "method": method, "scaling": scaling}
    for seed in range(int(times)):
        row("posterior", **asked, time="again" if seed else "first", **cost(case, config, seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
