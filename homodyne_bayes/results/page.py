"""One self-contained HTML page of a result: marks, warnings, tables, figures, provenance."""

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
from homodyne_bayes.results import diagnostics, front, marks, sentences, tables
from homodyne_bayes.results.diagnostics import Numbers, group
from homodyne_bayes.results.figures import FIGURES
from homodyne_bayes.results.levels import ends, levels
from homodyne_bayes.results.parts import PARTS
from homodyne_bayes.text import number, rounded

DPI = 130
SCREEN_PIXELS = 115  # of a figure, per inch
SIZES: dict[str, Any] = {"rates": {"panel": (3.0, 2.45)}}  # of panels, inches, on the page
UNWEIGHTED = " Draws of NUTS on all the data need none: here they only give the evidence."


def render(numbers: Numbers) -> str:
    """Return the report of a result as one HTML page without outside resources."""
    return page("report.html", **contents(numbers))


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


def write(numbers: Numbers, path: str | Path) -> None:
    """Write the report, whole or not at all."""
    page = render(numbers)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def contents(numbers: Numbers) -> dict[str, Any]:
    """Return what the template shows, numbers as text."""
    tree = numbers.tree
    return {
        "model": tree.attrs["model"],
        "title": numbers.words("model").get("title", ""),
        "measured": front.measured(tree),
        "head": head(numbers),
        "found": front.main_numbers(numbers),
        "interval": sentences.interval_label(numbers),
        "front": drawn(tree, "front"),
        "certificate": certificate(numbers),
        "facts": facts(tree),
        "warnings": sentences.warnings(numbers),
        "parts": parts(numbers),
        "transport": transport(tree),
        "convention": convention(numbers),
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


def parts(numbers: Numbers) -> list[dict[str, Any]]:
    """Return title, lead, tables and figures of every part of the page, in order."""
    shown = tables.shown(numbers)
    return [
        {
            "name": name,
            **part._asdict(),
            "lead": part.lead(numbers),
            "tables": [table for table in shown if table.part == name],
            "figures": drawn(numbers.tree, name),
        }
        for name, part in PARTS.items()
    ]


def drawn(tree: xr.DataTree, part: str) -> list[dict[str, str]]:
    """Return the figures of one part: name, caption, and as `embedded` returns them."""
    return [
        {
            "name": name,
            "caption": row.caption,
            **embedded(row.draw(tree, **SIZES.get(name, {}))),
        }
        for name, row in FIGURES.items()
        if row.part == part and row.applies(tree)
    ]


def head(numbers: Numbers) -> dict[str, Any]:
    """Return the three marks, what they come to, how flow stands, and what to do."""
    three = marks.marks(numbers)
    kind = marks.kind(three)
    return {
        "kind": kind,
        "title": marks.HEADS[kind],
        "marks": three,
        "flow": sentences.flow(numbers),
        "advice": sentences.advice(numbers),
    }


def certificate(numbers: Numbers) -> dict[str, Any]:
    """Return what the draws rest on, what was refused on the way, and what it cost."""
    tree, limits = numbers.tree, numbers.limits
    record = group(tree, "certificate")
    seconds = json.loads(tree.attrs["seconds"])
    needed = limits["min_ess_per_chain"] * group(tree, "posterior").sizes["chain"]
    return {
        "basis": sentences.certificate(numbers),
        "method": sentences.method(numbers),
        "attempts": attempts(tree),
        "limits": f"Weights are trusted where k-hat is below {limits['max_k_hat']:g}, the ESS is "
        f"at least {needed:g}, and the moments have settled."
        + (UNWEIGHTED if diagnostics.all_by_nuts(tree) else ""),
        "evidence": f"{number(record.attrs['log_evidence'])} ± "
        f"{number(record.attrs['log_evidence_error'])}, "
        f"k-hat {number(record.attrs['evidence_k_hat'])}",
        "refused": sentences.refused(numbers),
        "cost": f"{record.attrs['gradients']:.0f} gradients and {record.attrs['evaluations']} "
        f"evaluations of {sentences.sampled(tree)}; "
        + ", ".join(f"{stage} {value:.1f}\u00a0s" for stage, value in seconds.items()),
    }


def attempts(tree: xr.DataTree) -> list[dict[str, str]]:
    """Return proposal, k-hat, ess and num_evaluations of every attempt at certification."""
    record = group(tree, "certificate")
    columns = (record[name].values for name in ("proposal", "k_hat", "ess", "num_evaluations"))
    return [
        {"proposal": str(name), "k_hat": number(k_hat), "ess": f"{ess:.0f}", "evaluations": f"{n}"}
        for name, k_hat, ess, n in zip(*columns, strict=True)
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
        **({"other pairs": "not measured, left out"} if diagnostics.lack_pairs(tree) else {}),
        "contrast and offset": tree.attrs["scaling"],
        "data sha256": tree.attrs["data_sha256"][:12],
    }


def convention(numbers: Numbers) -> str:
    """Return the convention and the formula that it stands for."""
    said = (numbers.words(choice).get("explanation") for choice in ("convention", "model"))
    return f"{numbers.tree.attrs['convention']}: {next(filter(None, said), 'not told')}."


def transport(tree: xr.DataTree) -> dict[str, str] | None:
    """Return J and the Brownian D = J/2, median and interval in Å²/s, at the frame next to t_ref.

    None where the model has no D(t).
    """
    if "D" not in group(tree, "rates"):
        return None
    t_ref = float(group(tree, "constant_data")["t_ref"])
    draws = group(tree, "rates")["D"].sel(time=t_ref, method="nearest")
    (low, high), median = ends(draws.values, levels(tree)[-1]), float(draws.median())
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
