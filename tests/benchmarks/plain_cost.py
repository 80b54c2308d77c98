"""Plain NumPyro on the obvious model: plain_cost.py CASE CHAINS WARMUP DRAWS.

Upstream's parameters with log D(t_ref), alpha and D_offset/D(t_ref) in place of D0, alpha and
D_offset, the same of the shear rate, started at the truth; NumPyro's own metric and adaptation.
"""

import math
import sys
import time

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from cases import CASES, LAMINAR, SIGMA, least_ess, obvious_c2, one_core, peak_gib, prepare, row
from numpyro.infer import MCMC, NUTS, init_to_value

from homodyne_bayes.fitting.shards import some_pairs
from homodyne_bayes.physics import kernels
from homodyne_bayes.physics.rates import reference_time

MAX_TREE_DEPTH = 7
RATES = {
    "D": ("D0", "alpha", "D_offset"),
    "gamma_dot": ("gamma_dot_t0", "beta", "gamma_dot_t_offset"),
}
LEVELS = {"D": math.log(1e4), "gamma_dot": math.log(1e-3)}


def model(points):
    """Observe every pair, with a Normal likelihood."""
    P, t_ref = points.phi.shape[0], reference_time(points)

    def rate(name):
        level = jnp.exp(numpyro.sample(f"log_{name}", dist.Normal(LEVELS[name], 2.0)))
        exponent = numpyro.sample(f"{name}_exponent", dist.Normal(0.0, 0.5))
        share = numpyro.sample(f"{name}_offset_share", dist.Normal(0.0, 0.5))
        amplitude = (1 - share) * level / t_ref**exponent
        return kernels.power_law(kernels.clock(points), amplitude, exponent, share * level)

    D, gamma_dot = rate("D"), rate("gamma_dot")
    phi0 = numpyro.sample("phi0", dist.Normal(0.0, 5.0))
    with numpyro.plate("phi", P):
        contrast = numpyro.sample("contrast", dist.Normal(0.3, 0.2))
        offset = numpyro.sample("offset", dist.Normal(1.0, 0.2))
    sigma = numpyro.sample("sigma", dist.LogNormal(jnp.log(SIGMA), 1.0))
    mean = obvious_c2(points, D, gamma_dot, phi0, contrast, offset)
    numpyro.sample("c2", dist.Normal(mean, sigma), obs=points.c2)


def truth(points):
    """Return the true values of all sites."""
    t_ref, P, found = reference_time(points), points.phi.shape[0], {}
    for name, (amplitude, exponent, offset) in RATES.items():
        values = LAMINAR
        level = values[amplitude] * t_ref ** values[exponent] + values[offset]
        found |= {
            f"log_{name}": jnp.log(level),
            f"{name}_exponent": values[exponent],
            f"{name}_offset_share": values[offset] / level,
        }
    scaling = {"contrast": jnp.full(P, 0.25), "offset": jnp.ones(P), "sigma": SIGMA}
    return {**found, **scaling, "phi0": LAMINAR["phi0"]}


def main(name, num_chains, num_warmup, num_samples):
    """Print a row: the draws' effective number, and what they took, compilation left out."""
    one_core()
    prepare(1)
    data = CASES[name].data()
    points = some_pairs(data, 0, most=data.num_pairs)
    kernel = NUTS(
        model,
        dense_mass=True,
        max_tree_depth=MAX_TREE_DEPTH,
        init_strategy=init_to_value(values=truth(points)),
    )
    mcmc = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="sequential",
        progress_bar=False,
    )
    fields = ("num_steps", "diverging")
    if name == "S":  # where compilation would count
        mcmc.run(jax.random.key(0), points, extra_fields=fields)
    began = time.process_time()
    mcmc.run(jax.random.key(1), points, extra_fields=fields)
    jax.block_until_ready(mcmc.get_samples())
    cpu = time.process_time() - began
    found = jax.tree.leaves(mcmc.get_samples(group_by_chain=True))
    draws = jnp.concatenate([x.reshape(*x.shape[:2], -1) for x in found], axis=-1)
    ess, extra = least_ess(draws), mcmc.get_extra_fields()
    number = draws.shape[0] * draws.shape[1]
    row(
        "alternatives",
        tool="plain NumPyro NUTS",
        case=f"{name}: {CASES[name]}",
        **{
            "draws": number,
            "leapfrogs a draw": float(extra["num_steps"].mean()),
            "divergences": int(extra["diverging"].sum()),
            "least ESS": ess,
            "CPU seconds": cpu,
            "ESS per CPU second": ess / cpu,
            "draws per CPU second": number / cpu,
            "GiB": peak_gib(),
        },
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
