"""One self-contained HTML page of a result: verdict, warnings, tables, figures, provenance."""

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from homodyne_bayes.files import atomic_path
from homodyne_bayes.inference.certify import MAX_K_HAT
from homodyne_bayes.inference.convergence import MIN_AGREEMENT_P, MIN_ESS_PER_CHAIN
from homodyne_bayes.parameters import PER_ANGLE
from homodyne_bayes.results import diagnostics, text
from homodyne_bayes.results.diagnostics import TAIL, group
from homodyne_bayes.results.figures import FIGURES
from homodyne_bayes.results.figures_of_maps import lack_pairs
from homodyne_bayes.results.text import labels, number, rounded, rows

DPI = 130
SCREEN_PIXELS = 115  # of a figure, per inch
MAX_SHARDS = 16  # of a table
UNWEIGHTED = " Draws of NUTS on all the data need none: here they only give the evidence."
CONVENTIONS = {
    "upstream": "g₁ = exp(−½ q² ∫D dt) · sinc²(x) with x = (qL/2π) cos(φ₀ − φ) ∫γ̇ dt, so c2 "
    "carries sinc⁴(x), as homodyne 2.x computes it",
    "gap-average": "g₁ = exp(−½ q² ∫D dt) · |sinc(x)| with x = (qL/2) cos(φ₀ − φ) ∫γ̇ dt, so c2 "
    "carries sinc²(x), the phase of a linear velocity profile averaged over the gap",
}
NO_FLOW = "g₁ = exp(−½ q² ∫D dt); the model has no shear, so the convention makes no difference"
COMPARED = {
    "speckle": "independent likelihood, uncorrected",
    "corrected": "independent likelihood, uncorrected",
    "independent": "least squares at the mode, 90 % interval",
}
PIXELS = (
    " η is found from the scatter of the score over simulated pixels with the same β, g₁ and e, "
    "or over measured groups of pixels where the data hold them."
)
NOISE = {
    "speckle": "All entries of a map average the same pixels, so that entries which share or "
    "neighbour a frame move together. The speckle likelihood knows this: it gives entries (a, b) "
    "and (c, d) the covariance S(a,c) S(b,d) + S(a,d) S(b,c), where S = β g₁² + e is the "
    "covariance of the intensity of a pixel in two frames, and the nugget e, there for equal "
    "frames only, comes from the random numbers of photons. Parameters rest on sums over many "
    "entries, which have third and fourth cumulants too; η corrects for these." + PIXELS,
    "corrected": "All entries of a map average the same pixels, so that entries which share or "
    "neighbour a frame move together. The fit is that of least squares, as if entries were "
    "independent, but η widens its intervals to the scatter that it truly has under speckle with "
    "contrast β and shot noise e (a sandwich covariance)." + PIXELS + " The intervals are valid, "
    "but wider than those of the speckle likelihood, which weighs entries by their correlations.",
}
OWN_FORMULA = "g₁ is what the model makes it"


def render(tree: xr.DataTree) -> str:
    """Return the report of a result as one HTML page without outside resources.

    Parameters
    ----------
    tree : xarray.DataTree
        A result of `homodyne_bayes.fitting.pipeline.fit`.
    """
    return page("report.html", **contents(tree))


def page(template: str, **values: Any) -> str:
    """Return a template of this package with values filled in; a missing one is an error."""
    environment = Environment(
        loader=PackageLoader("homodyne_bayes.results"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write the report, whole or not at all."""
    page = render(tree)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def contents(tree: xr.DataTree) -> dict[str, Any]:
    """Return what the template shows, numbers as text."""
    names = diagnostics.reported(tree)
    scaling = [name for name in names if name.partition("_")[0] in PER_ANGLE]
    return {
        "model": tree.attrs["model"],
        "certificate": certificate(tree),
        "facts": facts(tree),
        "warnings": diagnostics.warnings(tree),
        "interval": diagnostics.interval_label(tree),
        "compared": COMPARED[tree.attrs["noise"]],
        "tables": {
            "Parameters": rows(tree, [name for name in names if name not in scaling]),
            "Contrast and offset of every angle": rows(tree, scaling),
            "Coordinates in which the rates were sampled": rows(
                tree, diagnostics.coordinates(tree)
            ),
        },
        "misfit": misfit(tree),
        "noise": noise(tree),
        "transport": transport(tree),
        "shards": shards(tree),
        "corrections": corrections(tree),
        "sensitivity": sensitivity(tree),
        "convention": convention(tree),
        "figures": [
            {"name": name, "caption": row.caption, **embedded(row.draw(tree))}
            for name, row in FIGURES.items()
            if row.applies(tree)
        ],
        "priors": text.priors(tree),
        "records": {
            "Settings": _record(tree, "settings"),
            "Provenance": {
                "sha256 of the data": tree.attrs["data_sha256"],
                **_record(tree, "provenance"),
            },
            "Versions": _record(tree, "versions"),
            "Devices": {"devices": ", ".join(json.loads(tree.attrs["devices"]))},
        },
    }


def certificate(tree: xr.DataTree) -> dict[str, Any]:
    """Return the verdict, what it rests on, what was refused, what to do, and what it cost."""
    found = group(tree, "certificate")
    verdict, _, basis = diagnostics.certificate(tree).partition(": ")
    seconds = json.loads(tree.attrs["seconds"])
    needed = MIN_ESS_PER_CHAIN * group(tree, "posterior").sizes["chain"]
    return {
        "kind": "certified" if found.attrs["certified"] else "uncertified",
        "verdict": verdict,
        "basis": basis[:1].upper() + basis[1:],
        "method": diagnostics.method(tree),
        "attempts": attempts(tree),
        "limits": f"Weights are trusted where k-hat is below {MAX_K_HAT}, the ESS is at least "
        f"{needed}, and the moments have settled."
        + (UNWEIGHTED if diagnostics.all_by_nuts(tree) else ""),
        "evidence": f"{number(found.attrs['log_evidence'])} ± "
        f"{number(found.attrs['log_evidence_error'])}, "
        f"k-hat {number(found.attrs['evidence_k_hat'])}",
        "refused": diagnostics.refused(tree),
        "advice": diagnostics.advice(tree),
        "cost": f"{found.attrs['gradients']:.0f} gradients and {found.attrs['evaluations']} "
        "evaluations of all the data; "
        + ", ".join(f"{stage} {value:.1f}\u00a0s" for stage, value in seconds.items()),
    }


def attempts(tree: xr.DataTree) -> list[dict[str, str]]:
    """Return proposal, k-hat, ess and num_evaluations of every attempt at certification."""
    found = group(tree, "certificate")
    columns = (found[name].values for name in ("proposal", "k_hat", "ess", "num_evaluations"))
    return [
        {"proposal": str(name), "k_hat": number(k_hat), "ess": f"{ess:.0f}", "evaluations": f"{n}"}
        for name, k_hat, ess, n in zip(*columns, strict=True)
    ]


def shards(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return whether the shards agree and a row for each, those that deviate most first.

    None where the data were not sharded. Of more than 16 shards, 16 are shown.
    """
    if "shard_checks" not in tree.children:
        return None
    checks = group(tree, "shard_checks")
    size = np.nan_to_num(np.abs(checks["score"].values), nan=np.inf)
    worst, shown = size.argmax(axis=1), np.argsort(-size.max(axis=1), kind="stable")[:MAX_SHARDS]
    test = checks.attrs
    agree = min(test["p_value"], test["worst_p"]) >= MIN_AGREEMENT_P
    return {
        "agree": "agree within their spread" if agree else "disagree",
        "test": f"χ² = {test['chi2']:.1f} on {test['dof']} degrees of freedom, "
        f"p = {test['p_value']:.2g}; of the shard that deviates most, corrected for their number, "
        f"p = {test['worst_p']:.2g}",
        "total": len(size),
        "rows": [
            {
                "shard": f"{k}",
                "r_hat": number(checks["r_hat"].values[k], 3),
                "ess": f"{checks['ess'].values[k]:.0f}",
                "diverging": f"{checks['diverging'].values[k]}",
                "score": number(checks["score"].values[k, worst[k]], 1),
                "coordinate": str(checks["coordinate"].values[worst[k]]),
            }
            for k in shown
        ],
    }


def misfit(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return whether the model fits, in sentences, and a row for every test; None if not tested."""
    if not diagnostics.misfit(tree):
        return None
    return {
        "sentences": diagnostics.misfit(tree),
        "rows": text.misfit(tree),
        "limit": f"{diagnostics.MISFIT:g}",
    }


def noise(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return what the likelihood knows of the noise; None where it takes it as independent."""
    if "noise" not in tree.children:
        return None
    return {
        "text": NOISE[tree.attrs["noise"]],
        "growth": diagnostics.growth(tree),
        "rows": text.noise(tree),
    }


def corrections(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return how far the approximation was off, a row for every scalar, and a sentence on sigma.

    The sentence is empty where sigma was not sampled. None where there is nothing to compare: not
    certified, or all by NUTS on all the data.
    """
    method = json.loads(tree.attrs["settings"])["method"]
    if method == "full" or not group(tree, "certificate").attrs["certified"]:
        return None
    table = diagnostics.corrections(tree)
    names = [
        name
        for name in diagnostics.reported(tree) + diagnostics.coordinates(tree)
        if name in group(tree, "approximation")
    ]
    sampled = "sigma" in table.index
    shift, ratio = (table[name].get("sigma", np.nan) for name in table)
    return {
        "approximation": diagnostics.method(tree).partition(": ")[2],
        "sigma": f"The noise scale σ was off by {number(shift)} sd in the mean, and "
        f"{number(ratio)} times as wide."
        if sampled
        else "",
        "rows": [
            {"label": label, "shift": number(line["shift"]), "sd_ratio": number(line["sd_ratio"])}
            for label, (_, line) in zip(labels(tree, names), table.iterrows(), strict=True)
        ],
    }


def sensitivity(tree: xr.DataTree) -> list[dict[str, str]]:
    """Return label, prior, likelihood and diagnosis of power scaling of the sampled scalars."""
    return [
        {
            "label": labels(tree, [str(name)])[0],
            "name": str(name),
            "prior": number(line["prior"], 3),
            "likelihood": number(line["likelihood"], 3),
            "diagnosis": line["diagnosis"],
        }
        for name, line in diagnostics.sensitivity(tree).iterrows()
    ]


def facts(tree: xr.DataTree) -> dict[str, str]:
    """Return what was measured and fitted, in a few words each."""
    fixed = group(tree, "constant_data")
    gap = float(fixed["gap"])
    return {
        "convention": tree.attrs["convention"],
        "q": f"{', '.join(f'{q:.6g}' for q in np.unique(fixed['q']))} 1/Å",
        "dt": f"{float(fixed['dt']):.6g} s",
        "gap": f"{gap:.7g} Å" if math.isfinite(gap) else "not given",
        "angles × frames": f"{fixed.sizes['phi']} × {fixed.sizes['frame']}",
        "distinct pairs": f"{int(tree.attrs['num_pairs'])}",
        **({"other pairs": "not measured, left out"} if lack_pairs(tree) else {}),
        "contrast and offset": tree.attrs["scaling"],
        "data sha256": tree.attrs["data_sha256"][:12],
    }


def convention(tree: xr.DataTree) -> str:
    """Return the convention and the formula that it stands for."""
    name, rates = tree.attrs["convention"], group(tree, "rates")
    without_shear = NO_FLOW if "D" in rates else OWN_FORMULA
    return f"{name}: {CONVENTIONS[name] if 'gamma_dot' in rates else without_shear}."


def transport(tree: xr.DataTree) -> dict[str, str] | None:
    """Return J and the Brownian D = J/2, median and interval in Å²/s, at the frame next to t_ref.

    None where the model has no D(t).
    """
    if "D" not in group(tree, "rates"):
        return None
    t_ref = float(group(tree, "constant_data")["t_ref"])
    draws = group(tree, "rates")["D"].sel(time=t_ref, method="nearest")
    low, median, high = draws.quantile([TAIL, 0.5, 1 - TAIL]).values
    sd = float(draws.std())
    return {
        "time": f"{float(draws['time']):.4g}",
        **{
            name: f"{rounded(median / part, sd / part)} Å²/s "
            f"({rounded(low / part, sd / part)} to {rounded(high / part, sd / part)} Å²/s)"
            for name, part in (("J", 1), ("brownian", 2))
        },
    }


def embedded(figure: Figure) -> dict[str, str]:
    """Return a figure as a data URI, and its width on the screen in pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return {
        "source": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"),
        "width": f"{SCREEN_PIXELS * figure.get_figwidth():.0f}",
    }


def _record(tree: xr.DataTree, name: str) -> dict[str, str]:
    """Return a mapping stored as JSON as rows of text."""
    stored = json.loads(tree.attrs[name])
    return {
        str(key): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in stored.items()
    }
